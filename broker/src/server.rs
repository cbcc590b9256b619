//! The broker as a server: starts the audit log, the front and the listener, and answers health and metrics.
//!
//! Out of scope: command line and signals (config, main); they also run it inside other programs.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use vouchsafe_model::Secret;
use vouchsafe_model::wire::extension::Change;
use vouchsafe_net::http::{Method, Request, Response};
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::server::{Handler, Limits, Peer, serve_counted};
use vouchsafe_net::tls::{Identity, server_config};
use vouchsafe_net::{hash, random};

use crate::answer::Withheld;
use crate::audit::{Log, LogError, LogOptions, LogState};
use crate::front::Front;
use crate::session::Sessions;
use crate::upstream::{Operation, Upstream, UpstreamRequest};
use crate::watch::Hint;

/// Largest body of a request: a secret of 1 MiB, in base64 and JSON, and its envelope.
pub const BODY_BYTES: usize = (1 << 20) + (1 << 19);
/// Connections at a time: a long poll from every pod of a large cluster; about 40 KiB each with TLS.
pub const CONNECTIONS: usize = 10_000;
/// How long the evidence of a read counts, where nobody says otherwise.
pub const AUTH_TTL: Duration = Duration::from_secs(5);

/// What a broker is made of.
pub struct BrokerOptions<U> {
    /// Where it listens.
    pub listener: TcpListener,
    /// Its certificate and key.
    pub identity: Identity,
    /// Where and how the audit log is kept.
    pub audit: LogOptions,
    /// Key of the accessor HMACs, the same for all replicas of a cluster.
    pub accessor_key: Secret,
    /// Who answers the Vault API.
    pub upstream: Arc<U>,
    /// Changes that the upstream itself tells, as the embedded store does.
    pub changes: Option<broadcast::Receiver<Change>>,
    /// How long the evidence of a read counts; zero means that it is asked for each time.
    pub auth_ttl: Duration,
    /// PEM file that `vouchsafe/trust` hands out; it is read at each request.
    pub trust_bundle: Option<PathBuf>,
}

impl<U> BrokerOptions<U> {
    /// Options with the usual settings.
    pub fn new(
        listener: TcpListener,
        identity: Identity,
        audit: LogOptions,
        accessor_key: Secret,
        upstream: U,
    ) -> Self {
        Self {
            listener,
            identity,
            audit,
            accessor_key,
            upstream: Arc::new(upstream),
            changes: None,
            auth_ttl: AUTH_TTL,
            trust_bundle: None,
        }
    }
}

/// The broker.
pub struct Broker;

/// A broker that runs; its tasks belong to the lifecycle.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// How its audit log does.
    pub audit: Arc<LogState>,
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] LogError),
    /// The listener is not usable.
    #[error("listener: {0}")]
    Listener(io::Error),
    /// The accessor key cannot be used.
    #[error("accessor key {}: {problem}", .file.display())]
    AccessorKey {
        /// The file.
        file: PathBuf,
        /// What is wrong and how to fix it.
        problem: String,
    },
}

impl Broker {
    /// Starts a broker. Opens the audit log first: without one nothing is answered.
    pub fn start<U: Upstream>(options: BrokerOptions<U>, lifecycle: &Lifecycle) -> Result<Running, StartError> {
        let address = options.listener.local_addr().map_err(StartError::Listener)?;
        let log = Log::open(&options.audit, lifecycle)?;
        let audit = log.state();
        let sessions = Sessions::new(Secret::new(random::bytes::<KEY_BYTES>().to_vec()), options.accessor_key);
        let front = Arc::new(Front::new(
            options.upstream,
            log,
            sessions,
            lifecycle.clone(),
            options.auth_ttl,
            options.trust_bundle,
        ));
        if let Some(changes) = options.changes {
            lifecycle.spawn("changes", forward(changes, Arc::clone(&front)));
        }
        lifecycle.spawn("goodbyes", Arc::clone(&front).revoke_departed());
        let connections = front.connections.clone();
        let handler = Arc::new(Service { front, ready: Mutex::default() });
        let tls = Some(server_config(&options.identity));
        let serving = serve_counted(options.listener, tls, LIMITS, handler, lifecycle.clone(), connections);
        lifecycle.spawn("listener", serving);
        Ok(Running { address, audit })
    }
}

/// Reads the accessor key, or makes it where the file is missing: 32 random bytes in hex, for this user alone.
pub fn accessor_key(file: &Path) -> Result<Secret, StartError> {
    let failed = |problem: String| StartError::AccessorKey { file: file.to_owned(), problem };
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match made {
        Ok(mut new) => {
            let key = hash::hex(&random::bytes::<KEY_BYTES>());
            let written = new.write_all(key.as_bytes()).and_then(|()| new.sync_all());
            written.map_err(|error| failed(format!("writing it: {error}")))?;
            Ok(Secret::from(key))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut key = Vec::new();
            let opened = std::fs::File::open(file).and_then(|file| file.take(KEY_FILE_BYTES).read_to_end(&mut key));
            opened.map_err(|error| failed(format!("reading it: {error}")))?;
            let key = Secret::new(key.trim_ascii().to_vec());
            if key.len() < KEY_BYTES {
                return Err(failed(format!("holds {} bytes; it must hold {KEY_BYTES} random ones or more", key.len())));
            }
            Ok(key)
        }
        Err(error) => Err(failed(format!("making it: {error}"))),
    }
}

/// Turns the upstream's own Changes into hints.
async fn forward<U: Upstream>(mut changes: broadcast::Receiver<Change>, front: Arc<Front<U>>) {
    loop {
        let change = tokio::select! {
            () = front.lifecycle.stopping() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(Change { path, version }) => {
                // Fails where nobody watches.
                let _ = front.hints.send(Hint { namespace: None, path, version: Some(version) });
            }
            // What was missed is found by the watchers' next check.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Answers what the listener hands over.
struct Service<U> {
    front: Arc<Front<U>>,
    /// When the upstream was asked last how it does, and what it said.
    ready: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl<U: Upstream> Handler for Service<U> {
    async fn handle(&self, request: Request, peer: Peer) -> Response {
        if request.method == Method::GET || request.method == Method::HEAD {
            match request.path.as_str() {
                "/healthz" => return Response::text(200, "ok\n"),
                "/readyz" => return self.readyz().await,
                "/metrics" => return metrics(self.front.metrics_text()),
                _ => {}
            }
        }
        self.front.answer(request, peer).await.into_response()
    }
}

impl<U: Upstream> Service<U> {
    /// The truth: whether a request would be answered now.
    async fn readyz(&self) -> Response {
        let upstream = self.upstream_health().await;
        let audit = if self.front.log.state().is_writable() { Ok(()) } else { Err("cannot be written".to_owned()) };
        let is_ready = upstream.is_ok() && audit.is_ok() && !self.front.lifecycle.is_stopping();
        let word = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
        let body = json!({"ready": is_ready, "upstream": word(upstream), "audit": word(audit),
            "stopping": self.front.lifecycle.is_stopping()});
        Response::json(if is_ready { 200 } else { 503 }, &body)
    }

    /// How the upstream does, asked at most once a second whoever asks us.
    async fn upstream_health(&self) -> Result<(), String> {
        let known = self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, health)) = known.filter(|(asked, _)| asked.elapsed() < HEALTH_EVERY) {
            return health;
        }
        let asking = Withheld::ask(&*self.front.upstream, "", health_request());
        let health = match tokio::time::timeout(HEALTH_WAIT, asking).await {
            Ok(Ok(answer)) => health_of(answer.status()),
            Ok(Err(error)) => Err(error.message),
            Err(_) => Err(format!("did not answer within {} s", HEALTH_WAIT.as_secs())),
        };
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), health.clone()));
        health
    }
}

/// What a status of `sys/health` means.
fn health_of(status: u16) -> Result<(), String> {
    match status {
        200 => Ok(()),
        501 => Err("is not initialised".to_owned()),
        503 => Err("is sealed".to_owned()),
        other => Err(format!("answers {other} to sys/health")),
    }
}

fn health_request() -> UpstreamRequest {
    UpstreamRequest {
        operation: Operation::Read,
        path: "sys/health".to_owned(),
        query: ["standbyok", "perfstandbyok"].map(|name| (name.to_owned(), "true".to_owned())).to_vec(),
        token: None,
        namespace: None,
        wrap_ttl: None,
        content_type: None,
        headers: Vec::new(),
        body: Secret::new(Vec::new()),
        client: IpAddr::from([127, 0, 0, 1]),
    }
}

fn metrics(text: String) -> Response {
    let mut response = Response::text(200, text);
    let form =
        vouchsafe_net::http::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers.insert(vouchsafe_net::http::header::CONTENT_TYPE, form);
    response
}

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Most bytes of a key file that count.
const KEY_FILE_BYTES: u64 = 4096;
/// How often the upstream is asked for its health at most.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// How long that may take.
const HEALTH_WAIT: Duration = Duration::from_secs(2);
/// The listener's bounds. A handler may take a long poll and an upstream's slowest answer.
const LIMITS: Limits = Limits {
    body_bytes: BODY_BYTES,
    header_bytes: 32 << 10,
    header_timeout: Duration::from_secs(10),
    body_timeout: Duration::from_secs(20),
    idle_timeout: Duration::from_secs(120),
    handler_timeout: Duration::from_secs(90),
    connections: CONNECTIONS,
};
