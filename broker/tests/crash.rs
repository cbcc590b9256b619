//! Promise P3 against kill -9: every answer that a client saw has its record.
//!
//! A real `vouchsafe-broker` process in front of a Vault that counts its answers in them, over TLS on both sides; clients
//! read and write while the process is killed at random instants and started again on the same audit folder. Each answer is
//! matched with its record by the upstream's id of the request.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of a test fail the test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use vouchsafe_broker::audit::query::{Filter, query_folder};
use vouchsafe_broker::audit::verify::verify_folder;
use vouchsafe_model::Secret;
use vouchsafe_net::client::Client;
use vouchsafe_net::http::{HeaderValue, Method, Request, Response};
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::server::{Handler, Limits, Peer, serve};
use vouchsafe_net::tls::{Identity, TrustRoots, server_config};

const CANARY: &str = "canary-crash-hunter2";
const TOKEN: &str = "hvs.canary-token-hunter2-0123456789";
const KILLS: usize = 12;
const CLIENTS: usize = 4;

/// A Vault that says "yes" and numbers its answers.
#[derive(Default)]
struct Numbering(AtomicU64);

impl Handler for Numbering {
    async fn handle(&self, request: Request, _peer: Peer) -> Response {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        if request.path.contains("sys/") {
            return Response::json(200, &json!({"sealed": false}));
        }
        Response::json(
            200,
            &json!({"request_id": format!("up-{number}"), "data": {"data": {"k": CANARY}, "metadata": {"version": 1}}}),
        )
    }
}

/// A root and a pair for the loopback address, in files.
fn certificates(folder: &Path) -> (TrustRoots, Identity) {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let chain = leaf.signed_by(&leaf_key, &Issuer::new(root, root_key)).unwrap().pem();
    std::fs::write(folder.join("ca.pem"), &root_pem).unwrap();
    std::fs::write(folder.join("tls.crt"), &chain).unwrap();
    std::fs::write(folder.join("tls.key"), leaf_key.serialize_pem()).unwrap();
    let identity = Identity::from_pem(&chain, &Secret::from(leaf_key.serialize_pem())).unwrap();
    (TrustRoots::from_pem(&root_pem).unwrap(), identity)
}

fn start(folder: &Path, listen: SocketAddr, upstream: SocketAddr) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("broker.log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_vouchsafe-broker"))
        .env("VOUCHSAFE_LOG", "trace")
        .args(["--listen", &listen.to_string(), "--upstream", &format!("https://{upstream}")])
        .arg("--upstream-ca")
        .arg(folder.join("ca.pem"))
        .arg("--tls-folder")
        .arg(folder)
        .arg("--audit-folder")
        .arg(folder.join("audit"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Reads and writes until told to stop; remembers the id in each answer that arrived.
async fn drive(client: Client, number: usize, seen: Arc<Mutex<BTreeSet<String>>>, lifecycle: Lifecycle) {
    let mut round = 0;
    while !lifecycle.is_stopping() {
        round += 1;
        let method = if round % 5 == 0 { Method::POST } else { Method::GET };
        let mut request = Request::new(method.clone(), &format!("/v1/secret/data/client-{number}"));
        request.headers.insert("x-vault-token", HeaderValue::from_static(TOKEN));
        if method == Method::POST {
            request.body = Secret::from(json!({"data": {"k": CANARY}}).to_string());
        }
        match client.send(request, Duration::from_secs(5)).await {
            Ok(response) if response.status == 200 => {
                let body: Value = serde_json::from_slice(response.body.expose()).unwrap();
                seen.lock().unwrap().insert(body["request_id"].as_str().unwrap().to_owned());
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn is_up(client: &Client) -> bool {
    let answer = client.send(Request::new(Method::GET, "/readyz"), Duration::from_secs(2)).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_that_a_client_saw_has_its_record_however_the_broker_dies() {
    let folder = tempfile::tempdir().unwrap();
    let (roots, identity) = certificates(folder.path());
    let lifecycle = Lifecycle::new();
    let vault = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = vault.local_addr().unwrap();
    let handler = Arc::new(Numbering::default());
    let tls = Some(server_config(&identity));
    lifecycle.spawn("vault", serve(vault, tls, Limits::default(), handler, lifecycle.clone()));
    // A port that is free now; the broker takes the same one after each kill.
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(format!("https://{listen}").parse().unwrap(), &roots);
    let (clients, seen) = (Lifecycle::new(), Arc::new(Mutex::new(BTreeSet::new())));
    for number in 0..CLIENTS {
        clients.spawn("client", drive(client.clone(), number, Arc::clone(&seen), clients.clone()));
    }
    for kill in 0..=KILLS {
        let mut broker = start(folder.path(), listen, upstream);
        let mut tries = 0;
        while !is_up(&client).await {
            tries += 1;
            assert!(tries < 200, "{}", std::fs::read_to_string(folder.path().join("broker.log")).unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let random = u64::from(vouchsafe_net::random::bytes::<1>()[0]);
        tokio::time::sleep(Duration::from_millis(50 + random)).await;
        if kill < KILLS {
            broker.kill().unwrap();
        } else {
            clients.stop("enough");
            clients.drain(Duration::from_secs(20)).await.unwrap();
            let terminated = Command::new("kill").arg(broker.id().to_string()).status().unwrap();
            assert!(terminated.success());
        }
        let status = broker.wait().unwrap();
        assert_eq!(status.success(), kill == KILLS, "{status}");
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let audit = folder.path().join("audit");
    let report = verify_folder(&audit, None).unwrap();
    assert_eq!(report.faults, []);
    let mut recorded = BTreeSet::new();
    query_folder(&audit, &Filter::default(), |record| {
        recorded.extend(record.entry.upstream_request);
        true
    })
    .unwrap();
    let missing: Vec<_> = seen.difference(&recorded).collect();
    assert!(missing.is_empty(), "{} of {} answers have no record: {missing:?}", missing.len(), seen.len());
    assert!(seen.len() > KILLS * 5, "only {} answers were seen", seen.len());
    eprintln!("{} answers seen, {} records, {} kills, {:?}", seen.len(), report.records, KILLS, report.remarks);
    for entry in std::fs::read_dir(&audit).unwrap() {
        let text = String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned();
        assert!(!text.contains(CANARY) && !text.contains("canary-token"), "a value or token in the audit folder");
    }
    let log = std::fs::read_to_string(folder.path().join("broker.log")).unwrap();
    assert!(log.contains("answered"), "the log holds what trace level shows");
    assert!(!log.contains(CANARY) && !log.contains("canary-token"), "a value or token in the log");
    lifecycle.stop("the test is over");
    lifecycle.drain(Duration::from_secs(10)).await.unwrap();
}
