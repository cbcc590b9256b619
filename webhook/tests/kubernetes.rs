//! Grants from a Kubernetes API, which a server over TLS plays: list, watch, a place that is forgotten, an error.

#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Config;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use vouchsafe_model::Secret;
use vouchsafe_net::http::{Request, Response};
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::server::{Handler, Limits, Peer, serve};
use vouchsafe_net::tls::{Identity, server_config};
use vouchsafe_webhook::grants::kubernetes::{Access, WatchError, follow};
use vouchsafe_webhook::grants::mirror::Mirror;

/// Answers what a script says, one entry per request that has events; further watches are empty.
#[derive(Default)]
struct Api {
    requests: Mutex<Vec<String>>,
}

impl Handler for Api {
    async fn handle(&self, request: Request, _peer: Peer) -> Response {
        let query = request.query.unwrap_or_default();
        let mut requests = self.requests.lock().unwrap();
        requests.push(format!("{} {}", request.method, request.path));
        let lists = requests.iter().filter(|seen| seen.ends_with("#list")).count();
        let version = query.split('&').find_map(|part| part.strip_prefix("resourceVersion=")).unwrap_or_default();
        if !query.contains("watch=true") {
            requests.push("#list".to_owned());
            return match lists {
                0 => Response::json(
                    403,
                    &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                    "reason": "Forbidden", "message": "grants.vouchsafe.dev is forbidden"}),
                ),
                1 => Response::json(200, &list("10", &[grant("a", "one", "9")])),
                _ => Response::json(200, &list("20", &[grant("b", "two", "11")])),
            };
        }
        let events = match version {
            "10" => vec![
                event("ADDED", grant("b", "one", "11")),
                event("MODIFIED", grant("b", "two", "12")),
                event("MODIFIED", grant("a", "Not A Name", "13")),
            ],
            "13" => vec![event(
                "ERROR",
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                "reason": "Expired", "message": "too old"}),
            )],
            "20" => vec![
                event(
                    "BOOKMARK",
                    json!({"apiVersion": "vouchsafe.dev/v1alpha1", "kind": "Grant",
                "metadata": {"resourceVersion": "21"}}),
                ),
                event("DELETED", grant("b", "two", "22")),
            ],
            _ => Vec::new(),
        };
        let lines: String = events.iter().map(|event| event.to_string() + "\n").collect::<Vec<_>>().concat();
        let mut response = Response::text(200, lines);
        response.headers.insert("content-type", "application/json".parse().unwrap());
        response
    }
}

fn grant(name: &str, account: &str, version: &str) -> Value {
    json!({"apiVersion": "vouchsafe.dev/v1alpha1", "kind": "Grant",
        "metadata": {"name": name, "namespace": "ns", "resourceVersion": version, "generation": 3, "uid": "u"},
        "spec": {"serviceAccounts": [account], "secrets": [{"name": "s", "path": "secret/a/b", "keys": ["k"]}]}})
}

fn list(version: &str, items: &[Value]) -> Value {
    json!({"apiVersion": "vouchsafe.dev/v1alpha1", "kind": "GrantList", "metadata": {"resourceVersion": version}, "items": items})
}

/// An event with its type first, as API servers send it.
fn event(kind: &str, object: Value) -> Value {
    let mut event = serde_json::Map::new();
    event.insert("type".to_owned(), json!(kind));
    event.insert("object".to_owned(), object);
    Value::Object(event)
}

#[tokio::test]
async fn the_cluster_s_grants_are_followed_over_errors_and_lost_places() {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&key).unwrap().der().to_vec();
    let issuer = Issuer::new(authority, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let identity = Identity::from_pem(&leaf.pem(), &Secret::from(leaf_key.serialize_pem())).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config =
        Config::new(format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port()).parse().unwrap());
    config.root_cert = Some(vec![root]);
    let lifecycle = Lifecycle::new();
    let api = Arc::new(Api::default());
    let tls = Some(server_config(&identity));
    lifecycle.spawn("api", serve(listener, tls, Limits::default(), Arc::clone(&api), lifecycle.clone()));

    let seen = Arc::new(Mutex::new(Vec::new()));
    let news = Arc::clone(&seen);
    let changed = move |state: Result<&Mirror, WatchError>| {
        let words = match state {
            Ok(mirror) => {
                let (set, faults) = mirror.grants();
                let names: Vec<String> =
                    set.iter().map(|one| format!("{}:{:?}", one.name, one.service_accounts)).collect();
                format!("{} faults={}", names.join(" "), faults.len())
            }
            Err(error) => error.to_string(),
        };
        news.lock().unwrap().push(words);
    };
    lifecycle.spawn("watch", follow(Access::Given(Box::new(config)), lifecycle.clone(), changed));

    let expected = [
        "a:[\"one\"] faults=0",
        "a:[\"one\"] b:[\"one\"] faults=0",
        "a:[\"one\"] b:[\"two\"] faults=0",
        "a:[\"one\"] b:[\"two\"] faults=1",
        "b:[\"two\"] faults=0",
        " faults=0",
    ];
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while seen.lock().unwrap().len() <= expected.len() {
        assert!(tokio::time::Instant::now() < until, "{:#?}", seen.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = seen.lock().unwrap().clone();
    let (first, rest) = seen.split_first().unwrap();
    assert!(first.starts_with("list grants.vouchsafe.dev: ") && first.contains("forbidden"), "{first}");
    assert_eq!(rest, expected);
    let requests = api.requests.lock().unwrap().clone();
    assert!(
        requests.iter().filter(|one| !one.starts_with('#')).all(|one| one == "GET /apis/vouchsafe.dev/v1alpha1/grants"),
        "{requests:?}"
    );
    lifecycle.stop("test over");
    lifecycle.drain(Duration::from_secs(5)).await.unwrap();
}
