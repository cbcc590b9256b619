//! TokenReview answers: only one that confirms everything lets a login through.

use http::HeaderMap;

use super::super::kubernetes::ReviewOf;
use super::*;

fn review() -> ReviewOf {
    ReviewOf::example(vec!["vault".to_owned()])
}

fn confirmed() -> Value {
    json!({"status": {
        "authenticated": true, "audiences": ["vault"],
        "user": {"username": "system:serviceaccount:ns:app", "uid": "sa-uid", "groups": []},
    }})
}

fn verdict(status: u16, body: &Value) -> bool {
    let response = Response { status, headers: HeaderMap::new(), body: Secret::from(body.to_string()) };
    is_confirmed(&review(), &response)
}

#[test]
fn a_full_confirmation_lets_the_login_through() {
    assert!(verdict(201, &confirmed()) && verdict(200, &confirmed()));
}

#[test]
fn any_gap_in_the_confirmation_refuses_the_login() {
    for (pointer, value) in [
        ("/status/authenticated", json!(false)),
        ("/status/authenticated", json!("true")),
        ("/status/audiences", json!(["other"])),
        ("/status/audiences", json!("vault")),
        ("/status/audiences", json!([])),
        ("/status/user/username", json!("system:serviceaccount:ns:root")),
        ("/status/user/uid", json!("other")),
        ("/status/user", Value::Null),
        ("/status", Value::Null),
    ] {
        let mut body = confirmed();
        *body.pointer_mut(pointer).unwrap() = value.clone();
        assert!(!verdict(201, &body), "{pointer} {value}");
    }
    let mut failed = confirmed();
    failed["status"]["error"] = json!("token has been invalidated");
    assert!(!verdict(201, &failed));
    for status in [202, 400, 401, 403, 500] {
        assert!(!verdict(status, &confirmed()), "{status}");
    }
    let text = Response { status: 201, headers: HeaderMap::new(), body: Secret::from("<html>".to_owned()) };
    assert!(!is_confirmed(&review(), &text));
}

#[test]
fn the_call_carries_token_and_audiences_and_the_bearer_is_marked_sensitive() {
    let bearer = Secret::from("reviewer".to_owned());
    let call = request(&review(), &bearer).unwrap();
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", PATH));
    let header = call.headers.get(AUTHORIZATION).unwrap();
    assert!(header.is_sensitive() && header == "Bearer reviewer");
    let body: Value = serde_json::from_slice(call.body.expose()).unwrap();
    assert_eq!(body["spec"], json!({"token": "a.b.c", "audiences": ["vault"]}));
    assert!(request(&review(), &Secret::from("a\nb".to_owned())).is_none());
}
