//! Wrapped answers, cubbyholes and last uses: what belongs to a token is there for it, once, and goes with it.

use Operation::{Delete, List, Read, Write};

use super::super::jwt::tests::{Signer, claims};
use super::*;

/// Asks for a wrapped answer; the wrapping token.
async fn wrapped(f: &Fixture, operation: Operation, path: &str, body: Value) -> (String, Value) {
    let mut asked = request(Some(&f.root), operation, path, &body);
    asked.wrap_ttl = Some("60".to_owned());
    let (status, body) = call(&f.store, asked).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["data"], &body["auth"]), (&Value::Null, &Value::Null), "nothing but the wrapping is told");
    (body["wrap_info"]["token"].as_str().unwrap().to_owned(), body["wrap_info"].clone())
}

#[tokio::test]
async fn a_wrapped_answer_comes_out_once_as_it_was() {
    let f = Fixture::new();
    f.as_root(Write, "secret/data/a", json!({"data": {"n": 12_345_678_901_u64}})).await;
    let plain = f.as_root(Read, "secret/data/a", Value::Null).await.1;
    let (token, info) = wrapped(&f, Read, "secret/data/a", Value::Null).await;
    assert_eq!((&info["ttl"], &info["creation_path"]), (&json!(60), &json!("secret/data/a")));
    let f = f.reopen();
    let looked_up = f.call(None, Write, "sys/wrapping/lookup", json!({"token": token})).await;
    assert_eq!((looked_up.0, &looked_up.1["data"]["creation_ttl"]), (200, &json!(60)));
    let (status, body) = f.call(Some(&token), Write, "sys/wrapping/unwrap", Value::Null).await;
    assert_eq!((status, &body["data"]), (200, &plain["data"]));
    for _ in 0..2 {
        let (status, body) = f.as_root(Write, "sys/wrapping/unwrap", json!({"token": token})).await;
        assert_eq!((status, errors(&body)), (400, vec!["wrapping token is not valid or does not exist"]));
    }
}

#[tokio::test]
async fn a_wrapping_token_opens_nothing_else_and_ends_by_trying() {
    let f = Fixture::new();
    f.as_root(Write, "secret/data/a", json!({"data": {"k": "v"}})).await;
    let (token, _) = wrapped(&f, Read, "secret/data/a", Value::Null).await;
    assert_eq!(f.call(Some(&token), Read, "secret/data/a", Value::Null).await.0, 403);
    let (status, _) = f.as_root(Write, "sys/wrapping/unwrap", json!({"token": token})).await;
    assert_eq!(status, 400, "its one use is gone, and who waits for the secret learns that");
    let (late, _) = wrapped(&f, Read, "secret/data/a", Value::Null).await;
    f.pass(60);
    assert_eq!(f.as_root(Write, "sys/wrapping/unwrap", json!({"token": late})).await.0, 400);
    let ordinary = f.token(json!({"policies": ["default"]})).await;
    assert_eq!(f.as_root(Write, "sys/wrapping/unwrap", json!({"token": ordinary})).await.0, 400);
    assert_eq!(f.call(Some(&ordinary), Read, "auth/token/lookup-self", Value::Null).await.0, 200);
}

#[tokio::test]
async fn rewrapping_ends_the_old_token() {
    let f = Fixture::new();
    let (old, _) = wrapped(&f, Write, "sys/wrapping/wrap", json!({"k": "v"})).await;
    let (status, body) = f.as_root(Write, "sys/wrapping/rewrap", json!({"token": old})).await;
    assert_eq!(status, 200);
    let new = body["wrap_info"]["token"].as_str().unwrap().to_owned();
    assert_eq!(f.as_root(Write, "sys/wrapping/unwrap", json!({"token": old})).await.0, 400);
    let (_, body) = f.as_root(Write, "sys/wrapping/unwrap", json!({"token": new})).await;
    assert_eq!(body["data"], json!({"k": "v"}));
}

#[tokio::test]
async fn a_login_can_be_wrapped_and_its_accessor_is_told() {
    let f = Fixture::new();
    let signer = Signer::new();
    f.as_root(Write, "sys/auth/kubernetes", json!({"type": "kubernetes"})).await;
    f.as_root(Write, "auth/kubernetes/config", json!({"pem_keys": [signer.pem]})).await;
    let role = json!({"bound_service_account_names": "app", "bound_service_account_namespaces": "ns"});
    f.as_root(Write, "auth/kubernetes/role/r", role).await;
    let jwt = signer.sign(&claims("ns", "app", START));
    let mut login = request(None, Write, "auth/kubernetes/login", &json!({"role": "r", "jwt": jwt}));
    login.wrap_ttl = Some("5m".to_owned());
    let (status, body) = call(&f.store, login).await;
    assert_eq!((status, &body["auth"]), (200, &Value::Null), "{body}");
    let token = body["wrap_info"]["token"].as_str().unwrap();
    let (_, unwrapped) = f.as_root(Write, "sys/wrapping/unwrap", json!({"token": token})).await;
    assert_eq!(unwrapped["auth"]["accessor"], body["wrap_info"]["wrapped_accessor"]);
    let client = unwrapped["auth"]["client_token"].as_str().unwrap();
    assert_eq!(f.call(Some(client), Read, "auth/token/lookup-self", Value::Null).await.0, 200);
}

#[tokio::test]
async fn a_cubbyhole_is_its_tokens_own_and_goes_with_it() {
    let f = Fixture::new();
    let one = f.token(json!({"id": "one", "policies": ["default"]})).await;
    let other = f.token(json!({"policies": ["default"]})).await;
    assert_eq!(f.call(Some(&one), Write, "cubbyhole/a/b", json!({"k": "v"})).await.0, 204);
    assert_eq!(f.call(Some(&one), Read, "cubbyhole/a/b", Value::Null).await.1["data"], json!({"k": "v"}));
    assert_eq!(f.call(Some(&one), List, "cubbyhole/", Value::Null).await.1["data"]["keys"], json!(["a/"]));
    for stranger in [&other, &f.root] {
        assert_eq!(f.call(Some(stranger), Read, "cubbyhole/a/b", Value::Null).await.0, 404);
    }
    f.as_root(Write, "auth/token/revoke", json!({"token": one})).await;
    // The same value again is the same tag: what lay there must be gone, not found by who comes after.
    let again = f.token(json!({"id": "one", "policies": ["default"]})).await;
    assert_eq!(f.call(Some(&again), Read, "cubbyhole/a/b", Value::Null).await.0, 404);
    assert_eq!(f.call(Some(&again), List, "cubbyhole/", Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_last_use_of_a_token_works_whole_and_leaves_nothing() {
    let f = Fixture::new();
    let token = f.token(json!({"policies": ["default"], "num_uses": 2})).await;
    assert_eq!(f.call(Some(&token), Write, "cubbyhole/a", json!({"k": "v"})).await.0, 204);
    assert_eq!(f.call(Some(&token), Read, "cubbyhole/a", Value::Null).await.1["data"], json!({"k": "v"}));
    assert_eq!(f.call(Some(&token), Read, "cubbyhole/a", Value::Null).await.0, 403);
    let refused = f.token(json!({"policies": ["default"], "num_uses": 1})).await;
    assert_eq!(f.call(Some(&refused), Read, "secret/data/a", Value::Null).await.0, 403);
    assert_eq!(f.call(Some(&refused), Read, "auth/token/lookup-self", Value::Null).await.0, 403);
}

#[tokio::test]
async fn version_one_becomes_version_two_with_all_that_is_in_it() {
    let f = Fixture::new();
    f.as_root(Write, "sys/mounts/old", json!({"type": "kv"})).await;
    let mut changes = f.store.subscribe_changes();
    f.as_root(Write, "old/a/b", json!({"k": "v"})).await;
    assert_eq!(changes.try_recv().unwrap().path, "old/a/b");
    let tune = json!({"options": {"version": "2"}});
    assert_eq!(f.as_root(Write, "sys/mounts/old/tune", tune.clone()).await.0, 200);
    let (_, body) = f.as_root(Read, "old/data/a/b", Value::Null).await;
    assert_eq!((&body["data"]["data"], &body["data"]["metadata"]["version"]), (&json!({"k": "v"}), &json!(1)));
    assert_eq!(changes.try_recv().unwrap().path, "old/data/a/b");
    assert_eq!(f.as_root(Write, "sys/mounts/old/tune", json!({"options": {"version": "1"}})).await.0, 400);
    assert_eq!(f.as_root(Delete, "sys/mounts/old", Value::Null).await.0, 204);
}
