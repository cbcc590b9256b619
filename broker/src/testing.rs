//! What the tests of this crate share: an upstream with fault modes, and requests and answers of Vault's shape.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::http::Response;

use crate::upstream::{Operation, Upstream, UpstreamError, UpstreamRequest};

/// An upstream that gives prepared answers, one after the other.
pub(crate) struct Script(Mutex<VecDeque<Response>>);

impl Script {
    pub(crate) fn answering(response: Response) -> Self {
        Self(Mutex::new(VecDeque::from([response])))
    }
}

impl Upstream for Script {
    async fn call(&self, _request: UpstreamRequest) -> Result<Response, UpstreamError> {
        Ok(self.0.lock().unwrap().pop_front().unwrap())
    }
}

pub(crate) fn upstream_request(operation: Operation, path: &str, client: IpAddr) -> UpstreamRequest {
    UpstreamRequest {
        operation,
        path: path.to_owned(),
        query: Vec::new(),
        token: None,
        namespace: None,
        wrap_ttl: None,
        content_type: None,
        headers: Vec::new(),
        body: Secret::new(Vec::new()),
        client,
    }
}

/// The body of a login with a token as Kubernetes projects it; its signature is not one.
pub(crate) fn jwt_body(namespace: &str, account: &str, pod: &str, uid: &str) -> Secret {
    let claims = json!({"iss": "test", "exp": 4_000_000_000_u64, "kubernetes.io": {
        "namespace": namespace, "serviceaccount": {"name": account, "uid": "u"}, "pod": {"name": pod, "uid": uid}}});
    let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    Secret::from(json!({"role": "r", "jwt": jwt}).to_string())
}

/// What Vault answers to a login that it accepts.
pub(crate) fn login_answer(namespace: &str, account: &str) -> Response {
    Response::json(
        200,
        &json!({"request_id": "up-1", "lease_id": "", "data": null, "wrap_info": null, "auth": {
            "client_token": format!("hvs.{namespace}.{account}"), "accessor": "accessor-1", "lease_duration": 3600,
            "renewable": true, "metadata": {"role": "r", "service_account_name": account,
                "service_account_namespace": namespace, "service_account_uid": "u"}}}),
    )
}

/// A small Vault in memory: KV v2, logins and tokens, with fault modes.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) fault: Mutex<Fault>,
    state: Mutex<State>,
}

/// How the upstream misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not.
    #[default]
    None,
    /// Nobody listens.
    Refuse,
    /// It never answers.
    Hang,
    /// It answers late.
    Slow(Duration),
    /// It answers nonsense.
    Garbage,
    /// It does what was asked and the answer is lost.
    FailedButDone,
}

#[derive(Default)]
struct State {
    /// Path as read: version and value.
    secrets: BTreeMap<String, (u64, String)>,
    /// Tokens that may do nothing any more.
    refused: BTreeSet<String>,
    /// Every request: operation and path.
    calls: Vec<String>,
}

impl Fake {
    /// Puts a secret in, behind everybody's back.
    pub(crate) fn put(&self, path: &str, value: &str) {
        let mut state = self.state.lock().unwrap();
        let entry = state.secrets.entry(path.to_owned()).or_default();
        *entry = (entry.0 + 1, value.to_owned());
    }

    /// Takes every right from a token.
    pub(crate) fn refuse(&self, token: &str) {
        self.state.lock().unwrap().refused.insert(token.to_owned());
    }

    /// What was asked so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Sets the fault mode.
    pub(crate) fn misbehave(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn serve(&self, request: &UpstreamRequest) -> Response {
        let mut state = self.state.lock().unwrap();
        state.calls.push(format!("{:?} {}", request.operation, request.path));
        let token = request.token.as_ref().and_then(|token| token.expose_str()).unwrap_or_default().to_owned();
        if request.path == "sys/health" {
            return Response::json(200, &json!({"sealed": false}));
        }
        if request.path.ends_with("/login") {
            let claims = crate::identity::Unverified::of_login("", &request.body).is_some();
            return if claims { login_answer("argocd", "dex") } else { denied() };
        }
        if token.is_empty() || state.refused.contains(&token) {
            return denied();
        }
        match (request.operation, request.path.as_str()) {
            (_, "auth/token/lookup-self") => {
                Response::json(200, &json!({"request_id": "up", "data": {"accessor": format!("a-{token}"), "ttl": 60}}))
            }
            (_, "auth/token/revoke-self") => {
                state.refused.insert(token);
                Response::empty(204)
            }
            (Operation::Write, path) => {
                let value = request.body.expose_str().unwrap_or_default().to_owned();
                let entry = state.secrets.entry(path.to_owned()).or_default();
                *entry = (entry.0 + 1, value);
                Response::json(200, &json!({"request_id": "up", "data": {"version": entry.0}}))
            }
            (Operation::Delete, path) => {
                state.secrets.remove(path);
                Response::empty(204)
            }
            (_, path) => match state.secrets.get(path) {
                None => Response::json(404, &json!({"errors": []})),
                Some((version, value)) => Response::json(
                    200,
                    &json!({"request_id": "up", "data": {"data": {"k": value}, "metadata": {"version": version}}}),
                ),
            },
        }
    }
}

impl Upstream for Fake {
    async fn call(&self, request: UpstreamRequest) -> Result<Response, UpstreamError> {
        let fault = *self.fault.lock().unwrap();
        let lost = |may_have_happened| {
            Err(UpstreamError {
                kind: Kind::Unavailable,
                message: "https://vault:8200: gone".to_owned(),
                may_have_happened,
            })
        };
        match fault {
            Fault::None => Ok(self.serve(&request)),
            Fault::Refuse => lost(false),
            Fault::Hang => std::future::pending().await,
            Fault::Slow(delay) => {
                tokio::time::sleep(delay).await;
                Ok(self.serve(&request))
            }
            Fault::Garbage => Ok(Response::text(200, "<html>\u{0}")),
            Fault::FailedButDone => {
                self.serve(&request);
                lost(true)
            }
        }
    }
}

fn denied() -> Response {
    Response::json(403, &json!({"errors": ["permission denied"]}))
}
