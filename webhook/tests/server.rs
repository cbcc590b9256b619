//! The running webhook, over real TLS on the loopback address.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite fails by panicking")]

mod common;

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::{config, fixture, grants};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tokio::net::TcpListener;
use vouchsafe_model::Secret;
use vouchsafe_net::client::Client;
use vouchsafe_net::http::{HeaderValue, Method, Request, Response, header};
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::tls::{Identity, TrustRoots};
use vouchsafe_webhook::grants::Source;
use vouchsafe_webhook::server::BODY_BYTES;
use vouchsafe_webhook::{Setup, run};

/// A webhook that serves, and a client that trusts it.
struct Served {
    client: Client,
    lifecycle: Lifecycle,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Served {
    async fn start(source: Source, trust_file: Option<&Path>, ends: i32) -> Self {
        let (identity, roots) = certificate(ends);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let lifecycle = Lifecycle::new();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let setup = Setup {
            config: config(),
            source,
            identity,
            trust_file: trust_file.map(Path::to_owned),
            decisions: Box::new(move |line| sink.lock().unwrap().push(line.to_owned())),
        };
        lifecycle.spawn("server", run(setup, listener, lifecycle.clone()));
        Self { client: Client::new(address, &roots), lifecycle, lines }
    }

    async fn send(&self, method: Method, target: &str, kind: Option<&str>, body: &str) -> Response {
        let mut request = Request::new(method, target);
        if let Some(kind) = kind {
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        }
        request.body = Secret::from(body.to_owned());
        self.client.send(request, Duration::from_secs(20)).await.unwrap()
    }

    async fn get(&self, target: &str) -> (u16, String) {
        let response = self.send(Method::GET, target, None, "").await;
        (response.status, text(&response))
    }

    async fn mutate(&self, body: &str) -> Value {
        let response = self.send(Method::POST, "/mutate?timeout=10s", Some("application/json"), body).await;
        serde_json::from_str(&text(&response)).unwrap()
    }

    async fn end(self) {
        self.lifecycle.stop("test over");
        self.lifecycle.drain(Duration::from_secs(5)).await.unwrap();
    }
}

fn text(response: &Response) -> String {
    response.body.expose_str().unwrap().to_owned()
}

fn certificate(ends: i32) -> (Identity, TrustRoots) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let roots = TrustRoots::from_pem(&authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(ends, 1, 1);
    let key = KeyPair::generate().unwrap();
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    (Identity::from_pem(&chain, &Secret::from(key.serialize_pem())).unwrap(), roots)
}

#[tokio::test]
async fn a_review_over_tls_is_answered_and_leaves_exactly_one_line() {
    let served = Served::start(Source::Fixed(grants()), None, 2060).await;
    let answer = served.mutate(&fixture("review.json")).await;
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    assert!(answer["response"]["patch"].is_string());
    let lines = served.lines.lock().unwrap().clone();
    assert_eq!(lines.len(), 1);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&line["decision"], &line["pod"], &line["grants"][0]),
        (&"injected".into(), &"web-66f7d-".into(), &"web".into())
    );
    served.end().await;
}

#[tokio::test]
async fn routes_methods_and_content_types_are_strict() {
    let served = Served::start(Source::Fixed(grants()), None, 2060).await;
    let review = fixture("review.json");
    let json = Some("application/json");
    for (method, path, kind, status) in [
        (Method::GET, "/mutate", None, 405),
        (Method::PUT, "/mutate", json, 405),
        (Method::POST, "/healthz", json, 405),
        (Method::POST, "/", json, 404),
        (Method::POST, "//mutate", json, 404),
        (Method::POST, "/mutate/..", json, 404),
        (Method::POST, "/mutate/", json, 404),
        (Method::POST, "/Mutate", json, 404),
        (Method::POST, "/mutate", None, 415),
        (Method::POST, "/mutate", Some("text/plain"), 415),
        (Method::POST, "/mutate", Some("application/jsonx"), 415),
        (Method::POST, "/mutate", json, 200),
        (Method::POST, "/mutate", Some("Application/JSON; charset=utf-8"), 200),
        (Method::POST, "/warn", json, 200),
    ] {
        let body = if method == Method::POST || method == Method::PUT { review.as_str() } else { "" };
        let response = served.send(method.clone(), path, kind, body).await;
        assert_eq!(response.status, status, "{method} {path} {kind:?}: {}", text(&response));
    }
    let refused = served.send(Method::GET, "/mutate", None, "").await;
    assert_eq!(refused.header("allow"), Some("POST"));
    served.end().await;
}

#[tokio::test]
async fn a_body_above_the_cap_gets_413_and_one_below_is_read() {
    let served = Served::start(Source::Fixed(grants()), None, 2060).await;
    let response = served.send(Method::POST, "/mutate", Some("application/json"), &"x".repeat(BODY_BYTES + 1)).await;
    assert_eq!(response.status, 413);
    let response = served.send(Method::POST, "/mutate", Some("application/json"), &"x".repeat(BODY_BYTES)).await;
    assert_eq!(response.status, 400);
    assert!(text(&response).contains("byte 0: expected a JSON value"));
    served.end().await;
}

#[tokio::test]
async fn many_reviews_at_once_get_equal_answers() {
    let served = Arc::new(Served::start(Source::Fixed(grants()), None, 2060).await);
    let expected = served.mutate(&fixture("review.json")).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let served = Arc::clone(&served);
        tasks.spawn(async move { served.mutate(&fixture("review.json")).await });
    }
    for answer in tasks.join_all().await {
        assert_eq!(answer, expected);
    }
    assert_eq!(served.lines.lock().unwrap().len(), 33);
}

#[tokio::test]
async fn readiness_tells_the_truth_about_grants() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grants");
    let served = Served::start(Source::Folder(path.clone()), None, 2060).await;
    assert_eq!(served.get("/healthz").await.0, 200);
    let (status, words) = served.get("/readyz").await;
    assert_eq!(status, 503, "{words}");
    assert!(words.contains("Grants were not read yet") && words.contains("read folder"), "{words}");
    let unready = served.send(Method::POST, "/mutate", Some("application/json"), &fixture("review.json")).await;
    assert_eq!(unready.status, 503, "an API server is told to ask again");
    let ignored = fixture("review.json").replace("vouchsafe.dev/inject", "other");
    assert_eq!(
        served.mutate(&ignored).await["response"]["allowed"],
        true,
        "pods that do not ask do not wait for Grants"
    );
    served.end().await;
}

#[tokio::test]
async fn an_expired_certificate_is_not_ready() {
    // The client of this suite refuses an expired certificate, as it should, so the handler is asked itself.
    let (identity, _) = certificate(2021);
    assert!(identity.not_after().is_some_and(|ends| ends < SystemTime::now()));
    let metrics = Arc::new(vouchsafe_webhook::metrics::Metrics::new());
    let grants_in_use = vouchsafe_webhook::grants::Grants::new();
    grants_in_use.replace(grants(), Vec::new());
    let webhook = vouchsafe_webhook::server::Webhook {
        config: Arc::new(arc_swap::ArcSwap::from_pointee(config())),
        grants: grants_in_use,
        identity: Some(identity),
        metrics,
        decisions: Box::new(|_| ()),
    };
    let peer = vouchsafe_net::server::Peer { address: "127.0.0.1:1".parse().unwrap() };
    let response = vouchsafe_net::server::Handler::handle(&webhook, Request::new(Method::GET, "/readyz"), peer).await;
    assert_eq!(response.status, 503);
    assert!(text(&response).contains("the certificate has expired"));
}

#[tokio::test]
async fn grants_and_trust_bundle_are_hot() {
    let folder = tempfile::tempdir().unwrap();
    let grants_folder = folder.path().join("grants");
    std::fs::create_dir(&grants_folder).unwrap();
    std::fs::write(grants_folder.join("web.yaml"), fixture("grants.yaml").replace("name: web,", "name: later,"))
        .unwrap();
    let trust = folder.path().join("ca.crt");
    std::fs::write(&trust, "").unwrap();
    let served = Served::start(Source::Folder(grants_folder.clone()), Some(&trust), 2060).await;
    assert_eq!(served.mutate(&fixture("review.json")).await["response"]["allowed"], false);

    std::fs::write(grants_folder.join("web.yaml"), fixture("grants.yaml")).unwrap();
    eventually(async || served.mutate(&fixture("review.json")).await["response"]["allowed"] == true).await;

    let before = served.mutate(&fixture("review.json")).await;
    let (_, roots) = certificate(2060);
    std::fs::File::create(&trust).unwrap().write_all(roots.pem().as_bytes()).unwrap();
    eventually(async || {
        served.mutate(&fixture("review.json")).await["response"]["patch"] != before["response"]["patch"]
    })
    .await;

    std::fs::write(grants_folder.join("web.yaml"), "kind: [").unwrap();
    eventually(async || served.get("/metrics").await.1.contains("vouchsafe_webhook_grant_faults 1")).await;
    assert_eq!(served.mutate(&fixture("review.json")).await["response"]["allowed"], true, "the last good Grants stay");
    assert_eq!(served.get("/readyz").await.0, 200);
    served.end().await;
}

#[tokio::test]
async fn metrics_count_decisions_with_bounded_labels() {
    let served = Served::start(Source::Fixed(grants()), None, 2060).await;
    served.mutate(&fixture("review.json")).await;
    served.send(Method::POST, "/mutate", Some("application/json"), "nonsense").await;
    for n in 0..20 {
        served.send(Method::GET, &format!("/nowhere-{n}"), None, "").await;
    }
    let (status, metrics) = served.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "vouchsafe_webhook_reviews_total{decision=\"injected\"} 1",
        "vouchsafe_webhook_reviews_total{decision=\"refused\"} 0",
        "vouchsafe_webhook_reviews_total{decision=\"malformed\"} 1",
        "vouchsafe_webhook_refused_requests_total{status=\"404\"} 20",
        "vouchsafe_webhook_grants 4",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(!metrics.contains("nowhere") && !metrics.contains("apps"), "{metrics}");
    served.end().await;
}

/// Waits until `condition` holds; fails after a while.
async fn eventually(condition: impl AsyncFn() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(tokio::time::Instant::now() < until, "the condition never came true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
