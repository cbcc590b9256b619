//! `Client`: an HTTP/1.1 client pinned to one `https` origin.
//!
//! What it sends can carry a token, so it goes to that origin or nowhere: no redirects, no proxies, no second authority.
//! Every attempt has one absolute deadline and an answer of bounded size. Idle connections are kept, and one that died
//! meanwhile is replaced unseen as long as nothing was sent on it. Nothing is spawned: a connection is driven by the
//! request that uses it. Out of scope: retries and what an answer means (vault, the roles).

mod connection;
mod dial;
mod error;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::{Instant, timeout};
use vouchsafe_model::path::ServerAddress;

pub(crate) use self::connection::SecretBytes;
use self::connection::{Connection, Failure, Outgoing};
use self::error::Progress;
pub use self::error::{HttpError, Phase};
use crate::http::{Request, Response};
use crate::tls::{TrustRoots, client_config};

/// Bounds of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of an answer, in bytes.
    pub body_bytes: usize,
    /// Longest wait for one TCP connection; then the next address of the host is tried.
    pub connect_timeout: Duration,
    /// Connections kept idle; each costs about 40 KiB.
    pub idle_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: BODY_BYTES, connect_timeout: CONNECT_TIMEOUT, idle_connections: IDLE_CONNECTIONS }
    }
}

/// An HTTP client pinned to one origin. Clones share connections and trust.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// A client of `address` that trusts `roots`, with the default [`Limits`].
    pub fn new(address: ServerAddress, roots: &TrustRoots) -> Self {
        Self::with_limits(address, roots, Limits::default())
    }

    /// A client with other limits.
    pub fn with_limits(address: ServerAddress, roots: &TrustRoots, limits: Limits) -> Self {
        let state = State { trust: client_config(roots), idle: Vec::new() };
        Self { shared: Arc::new(Shared { address, name: None, limits, state: Mutex::new(state) }) }
    }

    /// A client of its own to the same origin, whose certificate must bear `name` instead of the origin's host.
    #[must_use]
    pub fn with_server_name(&self, name: &str) -> Self {
        let shared = &*self.shared;
        let state = State { trust: Arc::clone(&shared.lock().trust), idle: Vec::new() };
        let (address, name, limits) = (shared.address.clone(), Some(name.to_owned()), shared.limits);
        Self { shared: Arc::new(Shared { address, name, limits, state: Mutex::new(state) }) }
    }

    /// Sends one request and reads its whole answer, whatever its status; all within `deadline`.
    ///
    /// Dropping the future closes the connection; the server may have carried the request out.
    pub async fn send(&self, request: Request, deadline: Duration) -> Result<Response, HttpError> {
        let address = &self.shared.address;
        let outgoing = connection::outgoing(request, address)?;
        let progress = Progress::new();
        match timeout(deadline, self.attempt(outgoing, &progress)).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Timeout { address: address.clone(), phase: progress.phase() }),
        }
    }

    /// The one origin that this client talks to.
    pub fn address(&self) -> &ServerAddress {
        &self.shared.address
    }

    /// Trusts `roots` from now on. Idle connections are closed; requests under way finish on theirs.
    pub fn replace_roots(&self, roots: &TrustRoots) {
        let mut state = self.shared.lock();
        state.trust = client_config(roots);
        state.idle.clear();
    }

    /// Tries idle connections first, then a fresh one.
    async fn attempt(&self, mut outgoing: Outgoing, progress: &Progress) -> Result<Response, HttpError> {
        let shared = &*self.shared;
        while let Some(Idle { mut connection, trust, .. }) = shared.take_idle() {
            if !connection.is_alive().await {
                continue;
            }
            match connection.exchange(outgoing, shared.limits.body_bytes, progress).await {
                Ok(response) => return Ok(shared.finish(response, connection, trust)),
                // Nothing was sent: the connection had died in the pool.
                Err(Failure { unsent: Some(returned), .. }) => outgoing = *returned,
                Err(failure) => return Err(failure.cause.at(&shared.address)),
            }
        }
        let trust = Arc::clone(&shared.lock().trust);
        let mut connection =
            dial::dial(&shared.address, shared.name.as_deref(), Arc::clone(&trust), &shared.limits, progress).await?;
        match connection.exchange(outgoing, shared.limits.body_bytes, progress).await {
            Ok(response) => Ok(shared.finish(response, connection, trust)),
            Err(failure) => Err(failure.cause.at(&shared.address)),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "<client of {}>", self.shared.address)
    }
}

struct Shared {
    address: ServerAddress,
    /// Name in the server's certificate, if it is not the address's host.
    name: Option<String>,
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    trust: Arc<ClientConfig>,
    /// Newest last.
    idle: Vec<Idle>,
}

/// A connection between two requests.
struct Idle {
    connection: Connection,
    /// What the connection was verified against.
    trust: Arc<ClientConfig>,
    since: Instant,
}

impl Shared {
    /// The connection used last, if it has not been idle for too long.
    fn take_idle(&self) -> Option<Idle> {
        let now = Instant::now();
        let mut state = self.lock();
        state.idle.retain(|idle| now.duration_since(idle.since) < IDLE_TIMEOUT);
        state.idle.pop()
    }

    /// Keeps the connection for the next request, if it can carry one and trust has not changed meanwhile.
    fn finish(&self, response: Response, connection: Connection, trust: Arc<ClientConfig>) -> Response {
        if connection.is_reusable() {
            let mut state = self.lock();
            if state.idle.len() < self.limits.idle_connections && Arc::ptr_eq(&state.trust, &trust) {
                state.idle.push(Idle { connection, trust, since: Instant::now() });
            }
        }
        response
    }

    /// No code panics while it holds this lock, so poison is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Largest answer: a secret is at most 1 MiB, a list of many keys a few times that.
const BODY_BYTES: usize = 4 << 20;
/// Two lost SYN packets (1 s each) inside a cluster mean that nobody is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A sidecar reads its distinct paths in parallel and then holds one long poll: four cover a usual pod.
const IDLE_CONNECTIONS: usize = 4;
/// Shorter than the idle time-outs of usual servers and proxies, so that mostly we close first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
