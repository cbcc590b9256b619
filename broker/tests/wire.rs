//! The broker over real connections: TLS on both sides, redirects of a standby, a dead upstream, health, and what a client
//! cannot smuggle through.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of a test fail the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use vouchsafe_broker::audit::LogOptions;
use vouchsafe_broker::upstream::remote::Remote;
use vouchsafe_broker::{Broker, BrokerOptions};
use vouchsafe_model::Secret;
use vouchsafe_model::path::ServerAddress;
use vouchsafe_net::client::Client;
use vouchsafe_net::http::{HeaderValue, Method, Request, Response};
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::server::{Handler, Limits, Peer, serve};
use vouchsafe_net::tls::{Identity, TrustRoots, server_config};

/// A Vault that redirects or answers, and notes the requests that it got: method, target and header names.
struct Echo {
    redirect: Option<String>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Handler for Echo {
    async fn handle(&self, request: Request, _peer: Peer) -> Response {
        let query = request.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{}{query}", request.path);
        let mut names: Vec<&str> = request.headers.keys().map(vouchsafe_net::http::HeaderName::as_str).collect();
        names.sort_unstable();
        self.seen.lock().unwrap().push(format!("{} {target} {}", request.method, names.join(",")));
        let Some(to) = &self.redirect else {
            return Response::json(
                200,
                &json!({"request_id": "up", "data": {"data": {"k": "v"}, "metadata": {"version": 1}}}),
            );
        };
        let mut response = Response::empty(307);
        response.headers.insert("location", HeaderValue::from_str(&format!("{to}{target}")).unwrap());
        response
    }
}

struct Bench {
    lifecycle: Lifecycle,
    roots: TrustRoots,
    identity: Identity,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (root_key, leaf_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let roots = TrustRoots::from_pem(&root.self_signed(&root_key).unwrap().pem()).unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let chain = leaf.signed_by(&leaf_key, &Issuer::new(root, root_key)).unwrap().pem();
        let identity = Identity::from_pem(&chain, &Secret::from(leaf_key.serialize_pem())).unwrap();
        Self { lifecycle: Lifecycle::new(), roots, identity, folder: tempfile::tempdir().unwrap() }
    }

    async fn vault(&self, redirect: Option<String>) -> (ServerAddress, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let handler = Arc::new(Echo { redirect, seen: Arc::clone(&seen) });
        let tls = Some(server_config(&self.identity));
        self.lifecycle.spawn("vault", serve(listener, tls, Limits::default(), handler, self.lifecycle.clone()));
        (address, seen)
    }

    async fn broker(&self, upstream: ServerAddress, redirects: Vec<ServerAddress>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = Remote::new(upstream, &self.roots, redirects);
        let audit = LogOptions::new(self.folder.path().join(vouchsafe_net::random::identifier()));
        let key = Secret::new(vec![7; 32]);
        let options = BrokerOptions::new(listener, self.identity.clone(), audit, key, remote);
        let running = Broker::start(options, &self.lifecycle).unwrap();
        Client::new(format!("https://{}", running.address).parse().unwrap(), &self.roots)
    }

    async fn end(self) {
        self.lifecycle.stop("the test is over");
        self.lifecycle.drain(Duration::from_secs(10)).await.unwrap();
    }
}

async fn get(client: &Client, target: &str) -> Response {
    let mut request = Request::new(Method::GET, target);
    for (name, value) in
        [("x-vault-token", "t"), ("cookie", "c"), ("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=x")]
    {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    client.send(request, Duration::from_secs(10)).await.unwrap()
}

fn error(response: &Response) -> String {
    let body: Value = serde_json::from_slice(response.body.expose()).unwrap();
    body["errors"][0].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_reaches_the_upstream_rebuilt_and_with_the_clients_address() {
    let bench = Bench::new();
    let (vault, seen) = bench.vault(None).await;
    let client = bench.broker(vault, Vec::new()).await;
    assert_eq!(get(&client, "/v1/secret/data/a%20b?version=2&x=%26").await.status, 200);
    assert_eq!(get(&client, "/v1/secret/metadata/a?list=true").await.status, 200);
    for refused in ["/v1/secret/data/../x", "/v1/secret//data/x", "/v1/secret/data/%2e%2e/x", "/v1/secret%2fdata/x"] {
        assert_eq!(get(&client, refused).await.status, 400, "{refused}");
    }
    let headers = "host,x-forwarded-for,x-vault-request,x-vault-token";
    assert_eq!(
        *seen.lock().unwrap(),
        [
            format!("GET /v1/secret/data/a%20b?version=2&x=%26 {headers}"),
            format!("GET /v1/secret/metadata/a/?list=true {headers}")
        ]
    );
    bench.end().await;
}

#[tokio::test]
async fn one_redirect_is_followed_to_an_allowed_server_only() {
    let bench = Bench::new();
    let (active, seen) = bench.vault(None).await;
    let (standby, _) = bench.vault(Some(active.to_string())).await;
    let (loops, _) = bench.vault(Some(standby.to_string())).await;
    let allowed = bench.broker(standby.clone(), vec![active.clone()]).await;
    assert_eq!(get(&allowed, "/v1/secret/data/a?version=1").await.status, 200);
    assert_eq!(seen.lock().unwrap().len(), 1);
    let strict = bench.broker(standby.clone(), Vec::new()).await;
    let refused = get(&strict, "/v1/secret/data/a").await;
    assert_eq!(refused.status, 502);
    assert!(error(&refused).contains(&active.to_string()), "{}", error(&refused));
    let twice = bench.broker(loops, vec![standby, active]).await;
    assert_eq!(get(&twice, "/v1/secret/data/a").await.status, 502);
    assert_eq!(seen.lock().unwrap().len(), 1, "only the allowed redirect arrived");
    bench.end().await;
}

#[tokio::test]
async fn a_dead_upstream_is_named_and_readiness_tells_the_truth() {
    let bench = Bench::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = bench.broker(format!("https://{nobody}").parse().unwrap(), Vec::new()).await;
    let answer = get(&client, "/v1/secret/data/a").await;
    assert_eq!(answer.status, 503);
    assert!(error(&answer).contains(&nobody.to_string()), "{}", error(&answer));
    assert_eq!(get(&client, "/healthz").await.status, 200);
    assert_eq!(get(&client, "/readyz").await.status, 503);
    let (vault, _) = bench.vault(None).await;
    let client = bench.broker(vault, Vec::new()).await;
    assert_eq!(get(&client, "/readyz").await.status, 200);
    assert_eq!(get(&client, "/metrics").await.status, 200);
    bench.end().await;
}
