//! An HTTP/1.1 server, with or without TLS, that no client can hold up.
//!
//! Everything is bounded: connections, heads, bodies, and how long each of them, a handler or an idle connection may take.
//! A connection above the limit is closed at once and counted. Out of scope: routes, identities and what is answered.

mod connection;
mod exchange;
mod pace;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::http::{Request, Response};
use crate::lifecycle::Lifecycle;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Address of the other end of the connection; a proxy's where one stands between.
    pub address: SocketAddr,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Dropped where the client goes away or the handler takes too long.
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send;
}

/// Bounds of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of a request, in bytes; above it the answer is 413 and the connection ends.
    pub body_bytes: usize,
    /// Largest head of a request, in bytes; above it the answer is 431.
    pub header_bytes: usize,
    /// Longest time for the TLS handshake, and for a head from its first byte on; then 408.
    pub header_timeout: Duration,
    /// Longest time for a request's body (then 408), and for the client to take an answer.
    pub body_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// Longest time for a handler; then 503.
    pub handler_timeout: Duration,
    /// Connections open at a time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES,
            header_bytes: HEADER_BYTES,
            header_timeout: HEADER_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            handler_timeout: HANDLER_TIMEOUT,
            connections: CONNECTIONS,
        }
    }
}

/// What a server counts. Clones show the same numbers, so keep one for metrics.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    accepted: AtomicU64,
    rejected: AtomicU64,
}

impl Counters {
    /// Connections open now.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Connections accepted since the start, without those rejected.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Connections closed at once since the start, because the limit was reached.
    pub fn rejected(&self) -> u64 {
        self.0.rejected.load(Ordering::Relaxed)
    }

    /// Counts a new connection, unless there are `limit` already.
    fn open_one(&self, limit: usize) -> Option<Open> {
        // Only the accept loop adds, so the number cannot grow between look and add.
        if self.open() >= limit {
            self.0.rejected.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Open(self.clone()))
    }
}

/// A counted connection; dropping it counts it out.
struct Open(Counters);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves until the lifecycle stops; then requests in flight are finished, with `Connection: close`.
///
/// Returns as soon as nothing new is accepted: [`Lifecycle::drain`] waits for the connections.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: Limits,
    handler: Arc<H>,
    lifecycle: Lifecycle,
) {
    serve_counted(listener, tls, limits, handler, lifecycle, Counters::default()).await;
}

/// Like [`serve`], with counters that somebody else reads.
pub async fn serve_counted<H: Handler>(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: Limits,
    handler: Arc<H>,
    lifecycle: Lifecycle,
    counters: Counters,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            () = lifecycle.stopping() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                rest_after(&error).await;
                continue;
            }
        };
        let Some(open) = counters.open_one(limits.connections) else { continue };
        let site = connection::Site { limits, handler: Arc::clone(&handler), peer: Peer { address } };
        let (acceptor, stop) = (acceptor.clone(), lifecycle.clone());
        lifecycle.spawn("connection", async move {
            let _open = open;
            welcome(stream, acceptor, site, &stop).await;
        });
    }
}

/// Agrees on TLS where asked to, then serves the connection.
async fn welcome<H: Handler>(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    site: connection::Site<H>,
    lifecycle: &Lifecycle,
) {
    // Answers are one small write; waiting to fill a packet only adds latency. A failure costs just that.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return connection::serve(stream, site, lifecycle).await };
    let agreed = tokio::select! {
        () = lifecycle.stopping() => return,
        agreed = tokio::time::timeout(site.limits.header_timeout, acceptor.accept(stream)) => agreed,
    };
    match agreed {
        Ok(Ok(stream)) => connection::serve(stream, site, lifecycle).await,
        Ok(Err(error)) => tracing::debug!(peer = %site.peer.address, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(peer = %site.peer.address, "TLS handshake took too long"),
    }
}

/// A pause after a failed accept: without it a lack of file descriptors would spin.
async fn rest_after(error: &io::Error) {
    let of_the_peer = matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if !of_the_peer {
        tracing::error!(%error, "connections cannot be accepted; check the limit of open files");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// The largest AdmissionReview: an object of 3 MiB (the API server's own limit is near it) and its frame.
const BODY_BYTES: usize = (3 << 20) + (64 << 10);
/// A JWT of some KiB and what proxies add.
const HEADER_BYTES: usize = 32 << 10;
/// A head is one packet; five seconds survive several retransmissions.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// 3 MiB in ten seconds is 2.5 Mbit/s, far below any cluster network.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than our clients keep idle connections (60 s), so that mostly they close first and no request is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(65);
/// The API server waits at most 30 s for a webhook; who holds long polls sets more.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
/// A node's worth of sidecars several times over, and about 40 MiB in the worst case.
const CONNECTIONS: usize = 1024;
/// Long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
