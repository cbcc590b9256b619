//! A login through a real TokenReview call over TLS, against a server that answers like an API server.

use std::sync::Mutex;
use std::time::Duration;

use vouchsafe_net::http::{Request, Response};
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::server::{Handler, Limits, Peer, serve};
use vouchsafe_net::tls::{Identity, server_config};

use super::super::jwt::tests::{Signer, claims};
use super::*;

/// Answers each review with what the test says, and keeps what it was asked.
struct ApiServer {
    answer: Value,
    asked: Mutex<Vec<(String, Value)>>,
}

impl Handler for ApiServer {
    async fn handle(&self, request: Request, _: Peer) -> Response {
        let bearer = request.header("authorization").unwrap_or_default().to_owned();
        let body = serde_json::from_slice(request.body.expose()).unwrap_or_default();
        self.asked.lock().unwrap().push((bearer, body));
        Response::json(201, &self.answer)
    }
}

/// Status of a login that the API server judges with `answer`, and what it was asked.
async fn login_judged_by(answer: Value, reviewer: Option<&str>) -> (Seen, Vec<(String, Value)>) {
    let f = Fixture::new();
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = Secret::from(pair.signing_key.serialize_pem());
    let identity = Identity::from_pem(&pair.cert.pem(), &key).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("https://{}", listener.local_addr().unwrap());
    let server = Arc::new(ApiServer { answer, asked: Mutex::default() });
    let lifecycle = Lifecycle::new();
    let serving =
        serve(listener, Some(server_config(&identity)), Limits::default(), Arc::clone(&server), lifecycle.clone());
    lifecycle.spawn("api server", serving);

    let write = |path: &'static str, body| f.as_root(Operation::Write, path, body);
    write("sys/auth/kubernetes", json!({"type": "kubernetes"})).await;
    let role =
        json!({"bound_service_account_names": "app", "bound_service_account_namespaces": "ns", "audience": "vault"});
    write("auth/kubernetes/role/r", role).await;
    let config = json!({"kubernetes_host": host, "kubernetes_ca_cert": pair.cert.pem(), "token_reviewer_jwt": reviewer,
        "disable_local_ca_jwt": true});
    let seen = write("auth/kubernetes/config", config).await;
    assert_eq!(seen.0, 204, "{seen:?}");
    // Without pem_keys nobody here checks the signature: the API server is the judge.
    let body = json!({"role": "r", "jwt": Signer::new().sign(&claims("ns", "app", START))});
    let seen = f.call(None, Operation::Write, "auth/kubernetes/login", body).await;
    lifecycle.stop("the test is over");
    let _ = lifecycle.drain(Duration::from_secs(5)).await;
    let asked = std::mem::take(&mut *server.asked.lock().unwrap());
    (seen, asked)
}

fn confirmed() -> Value {
    json!({"status": {"authenticated": true, "audiences": ["vault"],
        "user": {"username": "system:serviceaccount:ns:app", "uid": "sa-uid"}}})
}

#[tokio::test]
async fn a_confirmed_token_logs_in_and_the_reviewer_is_the_bearer() {
    let ((status, body), asked) = login_judged_by(confirmed(), Some("reviewer-token")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["auth"]["metadata"]["service_account_name"], json!("app"));
    let [(bearer, review)] = asked.as_slice() else { panic!("{} calls", asked.len()) };
    assert_eq!(bearer, "Bearer reviewer-token");
    assert_eq!(review["spec"]["audiences"], json!(["vault"]));
}

#[tokio::test]
async fn without_a_reviewer_the_token_speaks_for_itself() {
    let ((status, _), asked) = login_judged_by(confirmed(), None).await;
    assert_eq!(status, 200);
    let (bearer, review) = &asked[0];
    assert_eq!(bearer.strip_prefix("Bearer ").unwrap(), review["spec"]["token"]);
}

#[tokio::test]
async fn a_token_that_the_api_server_does_not_know_is_refused() {
    let ((status, body), _) = login_judged_by(json!({"status": {"authenticated": false}}), None).await;
    assert_eq!((status, errors(&body)), (403, vec!["permission denied"]));
}
