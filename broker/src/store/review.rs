//! TokenReview: asking the API server whether a service account's token is genuine and still alive.
//!
//! ```text
//! POST /apis/authentication.k8s.io/v1/tokenreviews   {"apiVersion","kind","spec":{"token","audiences":[…]}}
//! 201 {"status":{"authenticated":true,"audiences":[…],"user":{"username":"system:serviceaccount:NS:NAME","uid":"…"}}}
//! ```
//! Whatever goes wrong is one refusal, 403 `permission denied`, as in Vault: a caller cannot tell a bad token from an API
//! server that is down, and tries again. Out of scope: which claims the role asks for.

use std::path::Path;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use vouchsafe_model::Secret;
use vouchsafe_net::client::Client;
use vouchsafe_net::http::{Request, Response};
use vouchsafe_net::tls::TrustRoots;

use super::kubernetes::ReviewOf;

/// How long the API server may take: below the time-outs of usual clients.
const DEADLINE: Duration = Duration::from_secs(10);
/// Path of the call.
const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// Roots of the pod's own API server.
const LOCAL_ROOTS: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// Token of the pod's own service account.
const LOCAL_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Whether the API server confirms everything that the token says.
pub(crate) async fn confirms(review: &ReviewOf) -> bool {
    let Some(roots) = roots(review) else { return false };
    let local = if review.reviewer.is_none() && review.local { read_file(LOCAL_TOKEN) } else { None };
    let bearer = review.reviewer.as_ref().or(local.as_ref()).unwrap_or(&review.jwt);
    let Some(request) = request(review, bearer) else { return false };
    let answer = Client::new(review.server.clone(), &roots).send(request, DEADLINE).await;
    answer.is_ok_and(|response| is_confirmed(review, &response))
}

fn roots(review: &ReviewOf) -> Option<TrustRoots> {
    // EXPOSE: certificates are public.
    let configured = Some(review.ca_cert.as_str()).filter(|pem| !pem.is_empty());
    match configured {
        Some(pem) => TrustRoots::from_pem(pem).ok(),
        None => TrustRoots::from_pem(read_file(LOCAL_ROOTS).filter(|_| review.local)?.expose_str()?).ok(),
    }
}

fn read_file(path: &str) -> Option<Secret> {
    let mut bytes = std::fs::read(Path::new(path)).ok()?;
    bytes.truncate(bytes.trim_ascii_end().len());
    Some(Secret::new(bytes))
}

fn request(review: &ReviewOf, bearer: &Secret) -> Option<Request> {
    // EXPOSE: the two tokens go to the API server, over TLS, and nowhere else.
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", bearer.expose_str()?)).ok()?;
    authorization.set_sensitive(true);
    let mut spec = json!({ "token": review.jwt.expose_str()? });
    if let (Some(spec), false) = (spec.as_object_mut(), review.audiences.is_empty()) {
        spec.insert("audiences".to_owned(), json!(review.audiences));
    }
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec });
    let mut request = Request::new(Method::POST, PATH);
    request.headers.insert(AUTHORIZATION, authorization);
    request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.body = Secret::from(body.to_string());
    Some(request)
}

fn is_confirmed(review: &ReviewOf, response: &Response) -> bool {
    // EXPOSE: decoding the API server's answer, which holds names only.
    let body: Value = serde_json::from_slice(response.body.expose()).unwrap_or_default();
    let status = body.get("status").unwrap_or(&Value::Null);
    let user = status.get("user").unwrap_or(&Value::Null);
    let said = |field: &str| user.get(field).and_then(Value::as_str).unwrap_or_default();
    let confirmed: Vec<&str> =
        status.get("audiences").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let claims = &review.claims;
    let username = format!("system:serviceaccount:{}:{}", claims.namespace, claims.service_account);
    matches!(response.status, 200 | 201)
        && status.get("authenticated") == Some(&Value::Bool(true))
        && status.get("error").and_then(Value::as_str).is_none_or(str::is_empty)
        && said("username") == username
        && said("uid") == claims.uid
        && (review.audiences.is_empty() || review.audiences.iter().any(|asked| confirmed.contains(&asked.as_str())))
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
