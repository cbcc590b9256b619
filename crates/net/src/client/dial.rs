//! Opening a connection: each address of the host in turn, TCP then TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use vouchsafe_model::path::ServerAddress;

use super::Limits;
use super::connection::Connection;
use super::error::{HttpError, Phase, Progress};
use crate::tls::explain;

/// A fresh connection to the first address that accepts one; else the last address's failure.
pub(super) async fn dial(
    address: &ServerAddress,
    name: Option<&str>,
    trust: Arc<ClientConfig>,
    limits: &Limits,
    progress: &Progress,
) -> Result<Connection, HttpError> {
    let peers = resolve(address, progress).await?;
    first_of(address, name, peers, trust, limits, progress).await
}

/// A connection to the first of `peers` that accepts one.
pub(super) async fn first_of(
    address: &ServerAddress,
    name: Option<&str>,
    peers: Vec<SocketAddr>,
    trust: Arc<ClientConfig>,
    limits: &Limits,
    progress: &Progress,
) -> Result<Connection, HttpError> {
    let name = ServerName::try_from(name.unwrap_or(address.host()).to_owned()).map_err(|_| HttpError::Request {
        address: address.clone(),
        problem: "the host is no valid TLS server name",
    })?;
    let connector = TlsConnector::from(trust);
    let mut failure = None;
    for peer in peers {
        match open(address, peer, name.clone(), &connector, limits, progress).await {
            Ok(connection) => return Ok(connection),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| HttpError::Resolve {
        address: address.clone(),
        source: io::Error::new(io::ErrorKind::NotFound, "the host has no address"),
    }))
}

/// Addresses of the host, at most [`ADDRESSES`]; a literal address is not looked up.
async fn resolve(address: &ServerAddress, progress: &Progress) -> Result<Vec<SocketAddr>, HttpError> {
    progress.reach(Phase::Resolve);
    let found = lookup_host((address.host(), address.port()))
        .await
        .map_err(|source| HttpError::Resolve { address: address.clone(), source })?;
    Ok(found.take(ADDRESSES).collect())
}

async fn open(
    address: &ServerAddress,
    peer: SocketAddr,
    name: ServerName<'static>,
    connector: &TlsConnector,
    limits: &Limits,
    progress: &Progress,
) -> Result<Connection, HttpError> {
    progress.reach(Phase::Connect);
    let refused = |source| HttpError::Connect { address: address.clone(), peer, source };
    let tcp = timeout(limits.connect_timeout, TcpStream::connect(peer))
        .await
        .map_err(|_| refused(no_answer(limits.connect_timeout)))?
        .map_err(refused)?;
    // Requests are one small write each; waiting to fill a packet only adds latency. A failure costs just that.
    let _ = tcp.set_nodelay(true);

    progress.reach(Phase::Handshake);
    let distrusted =
        |error: io::Error| HttpError::Tls { address: address.clone(), peer, problem: explain(&error, address.host()) };
    let tls = timeout(HANDSHAKE_TIMEOUT, connector.connect(name, tcp))
        .await
        .map_err(|_| distrusted(no_answer(HANDSHAKE_TIMEOUT)))?
        .map_err(distrusted)?;

    progress.reach(Phase::Send);
    Connection::start(tls).await.map_err(|cause| cause.at(address))
}

fn no_answer(after: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", after.as_secs_f32()))
}

/// Addresses tried of one host: a headless Service rarely has more, and the deadline ends it anyway.
const ADDRESSES: usize = 8;
/// A server that accepts and then says nothing; far above the milliseconds of a handshake under load.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
