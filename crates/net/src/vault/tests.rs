use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vouchsafe_model::Kind;
use vouchsafe_model::wire::KvRead;
use vouchsafe_model::wire::extension::{Applied, Held};

use super::*;
use crate::lifecycle::Lifecycle;
use crate::testing::{AMPLE, Authority, answering, client, tls_server};

fn token() -> Secret {
    Secret::from("hvs.canary".to_owned())
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A Vault that gives the same answer to every request.
async fn vault_saying(lifecycle: &Lifecycle, status: &str, body: &str) -> (Vault, SocketAddr) {
    let authority = Authority::new();
    let server = answering(lifecycle, &authority.pair().identity(), answer(status, body)).await;
    (Vault::new(client(server, &authority.roots()), None), server)
}

/// A Vault that answers with `body` and shows the request that it got.
async fn vault_showing(lifecycle: &Lifecycle, body: &str) -> (Vault, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let authority = Authority::new();
    let (show, shown) = tokio::sync::mpsc::unbounded_channel();
    let response = answer("200 OK", body);
    let server = tls_server(lifecycle, &authority.pair().identity(), move |mut stream, head| {
        let (show, response) = (show.clone(), response.clone());
        async move {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            stream.read_exact(&mut body).await.unwrap();
            show.send(format!("{head}{}", String::from_utf8(body).unwrap())).unwrap();
            let _ = stream.write_all(response.as_bytes()).await;
        }
    })
    .await;
    let namespace = Some("team/a".parse().unwrap());
    (Vault::new(client(server, &authority.roots()), namespace), shown)
}

#[tokio::test]
async fn a_login_sends_role_and_jwt_and_gives_the_token() {
    let lifecycle = Lifecycle::new();
    let body = r#"{"auth":{"client_token":"hvs.new","accessor":"acc","lease_duration":3600,"renewable":true}}"#;
    let (vault, mut shown) = vault_showing(&lifecycle, body).await;
    let jwt = Secret::from("eyJ.canary.jwt\n".to_owned());
    let auth = vault
        .login_kubernetes(&"auth/kubernetes".parse().unwrap(), &"vouchsafe.a.b".parse().unwrap(), &jwt)
        .await
        .unwrap();
    assert_eq!((auth.client_token, auth.lease), (Secret::from("hvs.new".to_owned()), Duration::from_secs(3600)));
    let sent = shown.recv().await.unwrap();
    assert!(sent.starts_with("post /v1/auth/kubernetes/login http/1.1\r\n"), "{sent}");
    assert!(sent.contains("x-vault-request: true\r\n") && sent.contains("x-vault-namespace: team/a\r\n"), "{sent}");
    assert!(!sent.contains("x-vault-token"), "{sent}");
    assert!(sent.ends_with(r#"{"role":"vouchsafe.a.b","jwt":"eyJ.canary.jwt"}"#), "{sent}");
}

#[tokio::test]
async fn a_read_carries_token_and_query_and_gives_the_data() {
    let lifecycle = Lifecycle::new();
    let body = r#"{"request_id":"r","data":{"data":{"k":"v"},"metadata":{"version":2}}}"#;
    let (vault, mut shown) = vault_showing(&lifecycle, body).await;
    let envelope = vault.read(&token(), "secret/data/x?version=2").await.unwrap();
    let read = KvRead::from_data(envelope.data.unwrap()).unwrap();
    assert_eq!((read.version, read.data.unwrap().keys().count()), (2, 1));
    let sent = shown.recv().await.unwrap();
    assert!(sent.starts_with("get /v1/secret/data/x?version=2 http/1.1\r\n"), "{sent}");
    assert!(sent.contains("x-vault-token: hvs.canary\r\n"), "{sent}");
}

#[tokio::test]
async fn a_deleted_version_is_an_answer_and_a_missing_path_an_error() {
    let lifecycle = Lifecycle::new();
    let deleted = r#"{"request_id":"r","data":{"data":null,"metadata":{"version":3,"deletion_time":"t"}}}"#;
    let (vault, _) = vault_saying(&lifecycle, "404 Not Found", deleted).await;
    let read = KvRead::from_data(vault.read(&token(), "secret/data/x").await.unwrap().data.unwrap()).unwrap();
    assert!(read.data.is_none() && read.version == 3);

    // The second is what a KV v1 path on a v2 mount gives: an envelope with warnings only.
    for body in [r#"{"errors":[]}"#, r#"{"request_id":"r","data":null,"warnings":["x"]}"#, "", "<html>"] {
        let (vault, _) = vault_saying(&lifecycle, "404 Not Found", body).await;
        let error = vault.read(&token(), "secret/data/x").await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::Missing, Some(404)), "{body}");
    }
}

#[tokio::test]
async fn a_refusal_names_path_address_status_and_the_servers_words_and_no_token() {
    let lifecycle = Lifecycle::new();
    let (vault, server) = vault_saying(&lifecycle, "403 Forbidden", r#"{"errors":["permission denied"]}"#).await;
    let error = vault.read(&token(), "secret/data/x").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("read secret/data/x at https://{server}: status 403 (\"permission denied\")")
    );
    assert!(!format!("{error:?}").contains("canary"));
    assert_eq!((error.kind(), error.errors()), (Kind::Denied, &["permission denied".to_owned()][..]));
    assert!(!error.before_sent() && !error.is_sealed());
}

#[tokio::test]
async fn a_sealed_server_and_a_busy_one_are_told_apart() {
    let lifecycle = Lifecycle::new();
    let (vault, _) = vault_saying(&lifecycle, "503 Service Unavailable", r#"{"errors":["Vault is sealed"]}"#).await;
    let error = vault.lookup_self(&token()).await.unwrap_err();
    assert!(error.is_sealed() && error.kind() == Kind::Unavailable && error.retry_after().is_none());
    let status = "429 Too Many Requests\r\nretry-after: 17";
    let (vault, _) = vault_saying(&lifecycle, status, r#"{"errors":["rate limit quota exceeded"]}"#).await;
    let error = vault.renew_self(&token()).await.unwrap_err();
    assert!(!error.is_sealed());
    assert_eq!((error.kind(), error.retry_after()), (Kind::Busy, Some(Duration::from_secs(17))));
}

#[tokio::test]
async fn a_success_that_is_no_vault_answer_is_transient_and_not_repeated() {
    let lifecycle = Lifecycle::new();
    for (status, body) in
        [("200 OK", "<html>canary</html>"), ("200 OK", r#"{"data":"canary""#), ("200 OK", ""), ("204 No Content", "")]
    {
        let (vault, _) = vault_saying(&lifecycle, status, body).await;
        let error = vault.read(&token(), "secret/data/x").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(
            error.to_string().contains("secret/data/x") && !format!("{error} {error:?}").contains("canary"),
            "{error}"
        );
    }
    let (vault, _) = vault_saying(&lifecycle, "200 OK", r#"{"data":{}}"#).await;
    assert!(vault.renew_self(&token()).await.unwrap_err().to_string().contains("has no \"auth\""));
}

#[tokio::test]
async fn a_redirect_is_an_error_that_says_what_to_do() {
    let lifecycle = Lifecycle::new();
    let (vault, _) = vault_saying(&lifecycle, "307 Temporary Redirect\r\nlocation: https://evil.example/", "").await;
    let error = vault.read(&token(), "secret/data/x").await.unwrap_err();
    assert!(error.to_string().contains("never followed") && error.kind() == Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn writes_lists_leases_and_revocations_take_what_servers_give() {
    let lifecycle = Lifecycle::new();
    let (vault, mut shown) = vault_showing(&lifecycle, r#"{"data":{"keys":["a","b/"]}}"#).await;
    assert_eq!(vault.list(&token(), "secret/metadata/x/").await.unwrap(), ["a", "b/"]);
    assert!(shown.recv().await.unwrap().starts_with("list /v1/secret/metadata/x/ "));
    let (vault, _) = vault_saying(&lifecycle, "404 Not Found", r#"{"errors":[]}"#).await;
    assert!(vault.list(&token(), "secret/metadata/x/").await.unwrap().is_empty());
    let (vault, _) = vault_saying(&lifecycle, "404 Not Found", r#"{"errors":["no handler for route"]}"#).await;
    assert_eq!(vault.list(&token(), "nowhere/").await.unwrap_err().kind(), Kind::Missing);

    let (vault, _) = vault_saying(&lifecycle, "204 No Content", "").await;
    assert!(vault.write(&token(), "secret/data/x", &object()).await.unwrap().is_none());
    vault.revoke_self(&token()).await.unwrap();
    let (vault, mut shown) =
        vault_showing(&lifecycle, r#"{"lease_id":"database/creds/x/1","lease_duration":60,"renewable":true}"#).await;
    let lease = vault.renew_lease(&token(), "database/creds/x/1").await.unwrap();
    assert_eq!((lease.duration, lease.renewable), (Duration::from_secs(60), true));
    assert!(shown.recv().await.unwrap().ends_with(r#"{"lease_id":"database/creds/x/1"}"#));
}

#[tokio::test]
async fn our_extension_has_no_envelope_and_may_be_missing() {
    let lifecycle = Lifecycle::new();
    let held = vec![Held { path: "secret/data/x".to_owned(), version: 2 }];
    let request = WatchRequest { paths: held.clone(), wait_seconds: 1 };
    let (vault, _) = vault_saying(&lifecycle, "200 OK", r#"{"changes":[{"path":"secret/data/x","version":3}]}"#).await;
    assert_eq!(vault.watch(&token(), &request).await.unwrap().changes.len(), 1);
    let (vault, _) = vault_saying(&lifecycle, "200 OK", r#"{"bundle":"pem"}"#).await;
    assert_eq!(vault.trust(&token()).await.unwrap().bundle, "pem");
    let (vault, _) = vault_saying(&lifecycle, "204 No Content", "").await;
    vault.ack(&token(), &Ack { held, applied: Applied::Written }).await.unwrap();
    vault.goodbye(&token()).await.unwrap();
    for status in ["404 Not Found", "405 Method Not Allowed"] {
        let (vault, _) = vault_saying(&lifecycle, status, r#"{"errors":["unsupported path"]}"#).await;
        assert_eq!(vault.watch(&token(), &request).await.unwrap_err().kind(), Kind::Missing);
    }
}

#[tokio::test]
async fn a_token_that_is_no_header_is_refused_before_anything_is_sent() {
    let client = client("127.0.0.1:1".parse().unwrap(), &Authority::new().roots());
    let vault = Vault::new(client, None);
    let error = vault.read(&Secret::from("hvs.canary\r\nx: y".to_owned()), "secret/data/x").await.unwrap_err();
    assert!(error.before_sent() && error.kind() == Kind::Invalid && !error.to_string().contains("canary"), "{error}");
    assert_eq!(vault.client().send(Request::new(Method::GET, "/"), AMPLE).await.unwrap_err().kind(), Kind::Unavailable);
}
