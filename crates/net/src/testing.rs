//! For tests: a certificate authority, servers that misbehave, and a server that answers as told.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, IsCa, Issuer, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use vouchsafe_model::Secret;

use crate::client::{Client, Limits};
use crate::lifecycle::Lifecycle;
use crate::tls::{Identity, TrustRoots, server_config};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A PEM chain and its key.
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Pair {
    pub(crate) fn secret_key(&self) -> Secret {
        Secret::from(self.key.clone())
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.chain, &self.secret_key()).unwrap()
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("a root")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn roots(&self) -> TrustRoots {
        TrustRoots::from_pem(&self.pem).unwrap()
    }

    /// A pair for the loopback address.
    pub(crate) fn pair(&self) -> Pair {
        self.pair_with(&["127.0.0.1", "localhost"], (2020, 2060))
    }

    /// A pair for `names`, valid from the first day of one year to that of another.
    pub(crate) fn pair_with(&self, names: &[&str], years: (i32, i32)) -> Pair {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { chain, key: key.serialize_pem() }
    }
}

/// DER of a pair's certificate.
pub(crate) fn der(pair: &Pair) -> Vec<u8> {
    rustls_pki_types::CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap().to_vec()
}

/// A listener on the loopback address.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A TCP server that does `script` with each connection.
pub(crate) async fn raw_server<F, Fut>(lifecycle: &Lifecycle, script: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = listen().await;
    let tasks = lifecycle.clone();
    lifecycle.spawn("raw server", async move {
        while let Ok((stream, _)) = listener.accept().await {
            tasks.spawn("raw connection", script(stream));
        }
    });
    address
}

/// A TLS server that reads a request's head on each connection and then does `script`.
pub(crate) async fn tls_server<F, Fut>(lifecycle: &Lifecycle, identity: &Identity, script: F) -> SocketAddr
where
    F: Fn(TlsStream<TcpStream>, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(server_config(identity));
    raw_server(lifecycle, move |stream| {
        let (acceptor, script) = (acceptor.clone(), script.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let head = read_head(&mut stream).await;
            script(stream, head).await;
        }
    })
    .await
}

/// A TLS server that gives the same bytes to every request and keeps the connection.
pub(crate) async fn answering(lifecycle: &Lifecycle, identity: &Identity, answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer: Arc<[u8]> = answer.into().into();
    tls_server(lifecycle, identity, move |mut stream, mut head| {
        let answer = Arc::clone(&answer);
        async move {
            while !head.is_empty() {
                let _ = stream.write_all(&answer).await;
                head = read_head(&mut stream).await;
            }
        }
    })
    .await
}

/// Bytes up to the empty line that ends a head; empty where the connection ends before.
pub(crate) async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// A client of a loopback server with small limits.
pub(crate) fn client(server: SocketAddr, roots: &TrustRoots) -> Client {
    let address = format!("https://{server}").parse().unwrap();
    let limits = Limits { body_bytes: 10_000, ..Limits::default() };
    Client::with_limits(address, roots, limits)
}

/// Enough for everything that works, on a busy machine too.
pub(crate) const AMPLE: Duration = Duration::from_secs(8);
/// Enough for nothing that hangs.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
