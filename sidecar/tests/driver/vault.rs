//! A Vault (or broker) of a few rooms, over real TLS, that fails as told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use vouchsafe_model::Secret;
use vouchsafe_net::http::{Request, Response};
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::server::{Handler, Limits, Peer, serve};
use vouchsafe_net::tls::{Identity, server_config};

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Works,
    Sealed,
    Hangs,
    Garbage,
    Html,
    NoRole,
    Denies,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    broker: bool,
    secrets: BTreeMap<String, (u64, Value)>,
    log: Vec<String>,
    lease_seconds: u64,
    tokens: u64,
    /// What was logged in with.
    jwts: Vec<String>,
    /// Credentials made.
    minted: u64,
}

pub(crate) struct Vault {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    pub(crate) port: u16,
    pub(crate) trust: String,
    lifecycle: Lifecycle,
}

struct Front(Arc<Vault>);

impl Vault {
    pub(crate) async fn start(broker: bool) -> Arc<Self> {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let identity = Identity::from_pem(&certificate.pem(), &Secret::from(key.serialize_pem())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lifecycle = Lifecycle::new();
        let vault = Arc::new(Self {
            state: Mutex::new(State {
                mode: Mode::Works,
                broker,
                secrets: BTreeMap::new(),
                log: Vec::new(),
                lease_seconds: 3600,
                tokens: 0,
                jwts: Vec::new(),
                minted: 0,
            }),
            changed: watch::Sender::new(0),
            port: listener.local_addr().unwrap().port(),
            trust: certificate.pem(),
            lifecycle: lifecycle.clone(),
        });
        let front = Arc::new(Front(Arc::clone(&vault)));
        let limits = Limits { handler_timeout: Duration::from_secs(90), ..Limits::default() };
        let tls = Some(server_config(&identity));
        let tasks = lifecycle.clone();
        lifecycle.spawn("fake vault", async move { serve(listener, tls, limits, front, tasks).await });
        vault
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Life of tokens and leases made from now on.
    pub(crate) fn set_lease(&self, seconds: u64) {
        self.lock().lease_seconds = seconds;
    }

    pub(crate) fn jwts(&self) -> Vec<String> {
        self.lock().jwts.clone()
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.lock().mode = mode;
        self.changed.send_modify(|count| *count += 1);
    }

    /// Writes a new version.
    pub(crate) fn put(&self, path: &str, value: Value) {
        let mut state = self.lock();
        let version = state.secrets.get(path).map_or(0, |(version, _)| *version) + 1;
        state.secrets.insert(path.to_owned(), (version, value));
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn count(&self, request: &str) -> usize {
        self.lock().log.iter().filter(|line| line.starts_with(request)).count()
    }

    pub(crate) fn requests(&self) -> usize {
        self.lock().log.len()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// Closes the door: connections are refused from now on.
    pub(crate) async fn stop(&self) {
        self.lifecycle.stop("the test closes the server");
        let _ = self.lifecycle.drain(Duration::from_millis(50)).await;
    }

    fn answer(&self, request: &Request) -> Response {
        let path = request.path.trim_start_matches("/v1/").to_owned();
        let mut state = self.lock();
        let token = request.header("x-vault-token").unwrap_or_default().to_owned();
        match path.as_str() {
            "auth/kubernetes/login" if state.mode == Mode::NoRole => error(400, "invalid role name \"x\""),
            "auth/kubernetes/login" => {
                state.tokens += 1;
                let asked: Value = serde_json::from_slice(request.body.expose()).unwrap();
                state.jwts.push(asked["jwt"].as_str().unwrap().to_owned());
                auth(state.tokens, state.lease_seconds)
            }
            _ if state.mode == Mode::Denies || !token.starts_with("hvs.canary") => error(403, "permission denied"),
            "auth/token/renew-self" => auth(state.tokens, state.lease_seconds),
            "auth/token/revoke-self" | "sys/leases/revoke" => Response::empty(204),
            "creds/app" => {
                state.minted += 1;
                leased(state.minted, 3600)
            }
            "vouchsafe/ack" | "vouchsafe/goodbye" if state.broker => Response::empty(204),
            "vouchsafe/trust" if state.broker => Response::json(200, &json!({"bundle": self.trust})),
            _ if path.starts_with("vouchsafe/") => error(404, "no handler for route"),
            _ => match path.split_once("/metadata/") {
                Some((mount, rest)) => metadata(state.secrets.get(&format!("{mount}/{rest}"))),
                None => data(state.secrets.get(&path.replacen("/data/", "/", 1))),
            },
        }
    }

    async fn watch(&self, request: &Request) -> Response {
        let asked: Value = serde_json::from_slice(request.body.expose()).unwrap();
        let mut changed = self.changed.subscribe();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(asked["waitSeconds"].as_u64().unwrap());
        loop {
            let changes: Vec<Value> = {
                let state = self.lock();
                let newer = |held: &&Value| {
                    let path = held["path"].as_str().unwrap().replacen("/data/", "/", 1);
                    state.secrets.get(&path).map_or(0, |(version, _)| *version) != held["version"].as_u64().unwrap()
                };
                let version = |held: &Value| {
                    let path = held["path"].as_str().unwrap().replacen("/data/", "/", 1);
                    let version = state.secrets.get(&path).map_or(0, |(version, _)| *version);
                    json!({"path": held["path"], "version": version})
                };
                asked["paths"].as_array().unwrap().iter().filter(newer).map(version).collect()
            };
            if !changes.is_empty() {
                return Response::json(200, &json!({"changes": changes}));
            }
            if tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
                return Response::json(200, &json!({"changes": []}));
            }
        }
    }
}

impl Handler for Front {
    async fn handle(&self, request: Request, _peer: Peer) -> Response {
        let (mode, broker) = {
            let mut state = self.0.lock();
            let line = format!("{} {}", request.method, request.path.trim_start_matches("/v1/"));
            state.log.push(line);
            (state.mode, state.broker)
        };
        match mode {
            Mode::Sealed => error(503, "Vault is sealed"),
            Mode::Hangs => std::future::pending().await,
            Mode::Garbage => Response::text(200, "{\"data\":{\"data\":{\"password\":\"canary"),
            Mode::Html => Response::text(502, "<html>bad gateway</html>"),
            _ if request.path == "/v1/vouchsafe/watch" && broker => self.0.watch(&request).await,
            _ => self.0.answer(&request),
        }
    }
}

fn auth(number: u64, seconds: u64) -> Response {
    Response::json(
        200,
        &json!({"auth": {"client_token": format!("hvs.canary{number}"), "accessor": "a", "lease_duration": seconds,
            "renewable": true}}),
    )
}

fn leased(number: u64, seconds: u64) -> Response {
    Response::json(
        200,
        &json!({"lease_id": format!("creds/app/{number}"), "lease_duration": seconds, "renewable": true,
            "data": {"password": format!("canary-minted-{number}")}}),
    )
}

fn data(found: Option<&(u64, Value)>) -> Response {
    match found {
        Some((version, value)) => Response::json(
            200,
            &json!({"request_id": "r", "data": {"data": value, "metadata": {"version": version, "destroyed": false}}}),
        ),
        None => Response::json(404, &json!({"errors": []})),
    }
}

fn metadata(found: Option<&(u64, Value)>) -> Response {
    match found {
        Some((version, _)) => Response::json(200, &json!({"data": {"current_version": version, "versions": {}}})),
        None => Response::json(404, &json!({"errors": []})),
    }
}

fn error(status: u16, text: &str) -> Response {
    Response::json(status, &json!({"errors": [text]}))
}
