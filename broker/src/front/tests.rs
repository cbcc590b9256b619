use std::net::SocketAddr;

use serde_json::{Value, json};
use vouchsafe_model::Secret;
use vouchsafe_model::record::{Decision, Phase, Record, parse, unseal};
use vouchsafe_net::http::{HeaderValue, Method, Response};

use super::*;
use crate::audit::LogOptions;
use crate::audit::verify::verify_folder;
use crate::goodbye::GOODBYE_DELAY;
use crate::testing::{Fake, Fault, jwt_body};

const CANARY: &str = "canary-hunter2-value";
const PATH: &str = "secret/data/argocd/github";
/// The token that the fake gives to whoever logs in.
const TOKEN: &str = "hvs.argocd.dex";

struct Bench {
    folder: tempfile::TempDir,
    front: Arc<Front<Fake>>,
    lifecycle: Lifecycle,
}

impl Bench {
    fn new() -> Self {
        Self::with_auth_ttl(Duration::from_secs(5))
    }

    fn with_auth_ttl(auth_ttl: Duration) -> Self {
        let (folder, lifecycle) = (tempfile::tempdir().unwrap(), Lifecycle::new());
        let log = Log::open(&LogOptions::new(folder.path()), &lifecycle).unwrap();
        let sessions = Sessions::new(Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
        let upstream = Arc::new(Fake::default());
        upstream.put(PATH, CANARY);
        let front = Arc::new(Front::new(upstream, log, sessions, lifecycle.clone(), auth_ttl, None));
        Self { folder, front, lifecycle }
    }

    fn upstream(&self) -> &Fake {
        &self.front.upstream
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: &str) -> Response {
        ask(Arc::clone(&self.front), method, path.to_owned(), token.to_owned(), Secret::from(body.to_owned())).await
    }

    async fn read(&self, token: &str) -> u16 {
        self.ask(Method::GET, &format!("/v1/{PATH}"), token, "").await.status
    }

    async fn login(&self) -> u16 {
        let body = jwt_body("argocd", "dex", "dex-1", "uid-1");
        let path = "/v1/auth/kubernetes/login".to_owned();
        ask(Arc::clone(&self.front), Method::POST, path, String::new(), body).await.status
    }

    /// A watch in a task of its own.
    fn watch(&self, token: &str, version: u64) -> tokio::task::JoinHandle<Response> {
        let front = Arc::clone(&self.front);
        let body = json!({"paths": [{"path": PATH, "version": version}], "waitSeconds": 30}).to_string();
        let token = token.to_owned();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        tokio::spawn(ask(front, Method::POST, "/v1/vouchsafe/watch".to_owned(), token, Secret::from(body)))
    }

    /// Ends everything and gives the records, of a log that is intact.
    async fn records(self) -> Vec<Record> {
        let Self { folder, front, lifecycle } = self;
        drop(front);
        lifecycle.stop("the test is over");
        lifecycle.drain(Duration::from_secs(10)).await.unwrap();
        let report = verify_folder(folder.path(), None).unwrap();
        assert_eq!(report.faults, []);
        let text = std::fs::read_to_string(folder.path().join("audit-00000001.jsonl")).unwrap();
        assert!(!text.contains(CANARY) && !text.contains("hvs."), "a value or token in the log");
        text.lines()
            .map(|line| parse(&unseal(line).unwrap().0).unwrap())
            .filter(|record| record.entry.phase != Phase::Note)
            .collect()
    }
}

async fn ask(front: Arc<Front<Fake>>, method: Method, path: String, token: String, body: Secret) -> Response {
    let mut request = Request::new(method, &path);
    if !token.is_empty() {
        request.headers.insert("x-vault-token", HeaderValue::from_str(&token).unwrap());
    }
    request.body = body;
    let peer = Peer { address: SocketAddr::from(([10, 0, 0, 9], 1234)) };
    front.answer(request, peer).await.into_response()
}

fn value(response: &Response) -> Value {
    serde_json::from_slice(response.body.expose()).unwrap()
}

type Brief<'a> = (Phase, &'a str, &'a str, Option<Decision>, Option<u16>);

fn brief(records: &[Record]) -> Vec<Brief<'_>> {
    let brief = |entry: &'_ Entry| (entry.phase, entry.decision, entry.status);
    records
        .iter()
        .map(|Record { entry, .. }| {
            let (phase, decision, status) = brief(entry);
            (phase, entry.operation.as_str(), entry.path.as_str(), decision, status)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_login_and_a_read_leave_records_that_name_the_pod() {
    let bench = Bench::new();
    assert_eq!(bench.login().await, 200);
    let answer = bench.ask(Method::GET, &format!("/v1/{PATH}"), TOKEN, "").await;
    assert_eq!((answer.status, value(&answer)["data"]["data"]["k"].as_str()), (200, Some(CANARY)));
    let records = bench.records().await;
    let login = "auth/kubernetes/login";
    assert_eq!(
        brief(&records),
        [
            (Phase::Intent, "login", login, None, None),
            (Phase::Outcome, "login", login, Some(Decision::Allowed), Some(200)),
            (Phase::Outcome, "read", PATH, Some(Decision::Allowed), Some(200)),
        ]
    );
    assert!(!records[0].entry.verified && records[0].entry.workload.is_none());
    for record in &records[1..] {
        assert!(record.entry.verified);
        assert_eq!(record.entry.workload.as_ref().unwrap().pod_uid.as_ref().unwrap().as_str(), "uid-1");
        assert_eq!(record.entry.accessor, records[1].entry.accessor);
        assert_eq!(record.entry.role.as_deref(), Some("r"));
        assert_eq!(record.entry.client.unwrap().to_string(), "10.0.0.9");
    }
    assert_eq!(records[0].entry.request, records[1].entry.request);
    assert_eq!(records[2].entry.version, Some(1));
    assert_eq!(records[2].entry.upstream_request.as_deref(), Some("up"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_passes_and_is_recorded_as_not_verified() {
    let bench = Bench::new();
    assert_eq!(bench.read("s.other-replica").await, 200);
    assert_eq!(bench.ask(Method::GET, "/v1/auth/token/lookup-self", "s.other-replica", "").await.status, 200);
    assert_eq!(bench.read("s.other-replica").await, 200);
    assert_eq!(bench.read("").await, 403);
    let records = bench.records().await;
    assert!(records.iter().all(|record| !record.entry.verified && record.entry.workload.is_none()));
    assert!(records[0].entry.accessor.is_none() && records[2].entry.accessor.is_some());
    assert_eq!(records[3].entry.decision, Some(Decision::Denied));
}

#[tokio::test(start_paused = true)]
async fn health_is_answered_and_not_recorded() {
    let bench = Bench::new();
    assert_eq!(bench.ask(Method::GET, "/v1/sys/health", "", "").await.status, 200);
    assert!(bench.records().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_but_done_write_is_recorded_as_unknown_and_said_so() {
    let bench = Bench::new();
    bench.upstream().misbehave(Fault::FailedButDone);
    let answer = bench.ask(Method::POST, &format!("/v1/{PATH}"), "t", "{}").await;
    assert_eq!(answer.status, 503);
    let text = value(&answer)["errors"][0].as_str().unwrap().to_owned();
    assert!(text.contains("https://vault:8200") && text.contains("may have taken effect"), "{text}");
    bench.upstream().misbehave(Fault::Refuse);
    assert_eq!(bench.ask(Method::POST, &format!("/v1/{PATH}"), "t", "{}").await.status, 503);
    assert_eq!(bench.read("t").await, 503);
    let records = bench.records().await;
    let decisions: Vec<_> = records.iter().map(|record| (record.entry.phase, record.entry.decision)).collect();
    assert_eq!(
        decisions,
        [
            (Phase::Intent, None),
            (Phase::Outcome, Some(Decision::Unknown)),
            (Phase::Intent, None),
            (Phase::Outcome, Some(Decision::Failed)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_holds_up_nobody_else() {
    let bench = Bench::new();
    bench.upstream().misbehave(Fault::Hang);
    let path = format!("/v1/{PATH}");
    let asking = bench.ask(Method::GET, &path, "t", "");
    assert!(tokio::time::timeout(Duration::from_secs(60), asking).await.is_err());
    bench.upstream().misbehave(Fault::None);
    assert_eq!(bench.read("t").await, 200);
}

#[tokio::test(start_paused = true)]
async fn garbage_of_the_upstream_is_recorded_and_passed_on_as_it_is() {
    let bench = Bench::new();
    bench.upstream().misbehave(Fault::Garbage);
    let answer = bench.ask(Method::GET, &format!("/v1/{PATH}"), "t", "").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let records = bench.records().await;
    assert_eq!((records.len(), records[0].entry.version), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_does_not_undo_the_record_of_its_write() {
    let bench = Bench::new();
    bench.upstream().misbehave(Fault::Slow(Duration::from_secs(3)));
    let path = format!("/v1/{PATH}");
    let asking = bench.ask(Method::POST, &path, "t", "{}");
    assert!(tokio::time::timeout(Duration::from_secs(1), asking).await.is_err());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let records = bench.records().await;
    assert_eq!(records.len(), 2);
    assert_eq!((records[1].entry.phase, records[1].entry.version), (Phase::Outcome, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn an_own_write_is_told_to_a_watcher_at_once() {
    let bench = Bench::new();
    let watching = bench.watch("t", 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let written = tokio::time::Instant::now();
    assert_eq!(bench.ask(Method::POST, &format!("/v1/{PATH}"), "w", "{}").await.status, 200);
    let answer = watching.await.unwrap();
    assert!(written.elapsed() < Duration::from_millis(100), "{:?}", written.elapsed());
    assert_eq!(value(&answer), json!({"changes": [{"path": PATH, "version": 2}]}));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_hears_at_once_of_what_it_does_not_hold_and_of_deletions() {
    let bench = Bench::new();
    assert_eq!(value(&bench.watch("t", 0).await.unwrap())["changes"][0]["version"], 1);
    let watching = bench.watch("t", 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.ask(Method::DELETE, &format!("/v1/{PATH}"), "w", "").await;
    assert_eq!(value(&watching.await.unwrap())["changes"][0]["version"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_write_is_found_by_the_next_check() {
    let bench = Bench::new();
    let watching = bench.watch("t", 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.upstream().put(PATH, "x");
    let started = tokio::time::Instant::now();
    assert_eq!(value(&watching.await.unwrap())["changes"][0]["version"], 2);
    assert!(started.elapsed() <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_may_not_watch_and_who_loses_the_right_hears_nothing_more() {
    for auth_ttl in [Duration::from_secs(5), Duration::ZERO] {
        let bench = Bench::with_auth_ttl(auth_ttl);
        bench.upstream().refuse("bad");
        assert_eq!(bench.watch("bad", 1).await.unwrap().status, 403);
        assert_eq!(bench.watch("", 1).await.unwrap().status, 403);
        let watching = bench.watch("t", 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        bench.upstream().refuse("t");
        tokio::time::sleep(auth_ttl + Duration::from_millis(100)).await;
        bench.ask(Method::POST, &format!("/v1/{PATH}"), "w", "{}").await;
        let answer = watching.await.unwrap();
        assert_eq!(answer.status, 403);
        assert!(!value(&answer).to_string().contains("version"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_a_change_ends_empty_and_survives_an_outage() {
    let bench = Bench::new();
    let watching = bench.watch("t", 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.upstream().misbehave(Fault::Refuse);
    let answer = watching.await.unwrap();
    assert_eq!((answer.status, value(&answer)), (200, json!({"changes": []})));
    assert_eq!(bench.watch("t", 1).await.unwrap().status, 503);
}

#[tokio::test(start_paused = true)]
async fn watchers_over_the_bound_are_sent_to_polling_and_places_come_back() {
    let bench = Bench::new();
    let all = bench.front.watchers.acquire_many(u32::try_from(WATCHERS).unwrap()).await.unwrap();
    let answer = bench.watch("t", 1).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (429, true));
    drop(all);
    assert_eq!(bench.watch("t", 0).await.unwrap().status, 200);
    assert_eq!(bench.front.watchers.available_permits(), WATCHERS);
}

#[tokio::test(start_paused = true)]
async fn an_ack_is_recorded_for_each_path() {
    let bench = Bench::new();
    bench.login().await;
    let body = json!({"held": [{"path": PATH, "version": 7}], "applied": "told"}).to_string();
    assert_eq!(bench.ask(Method::POST, "/v1/vouchsafe/ack", TOKEN, &body).await.status, 204);
    bench.upstream().refuse("forged");
    assert_eq!(bench.ask(Method::POST, "/v1/vouchsafe/ack", "forged", &body).await.status, 403);
    assert_eq!(bench.ask(Method::POST, "/v1/vouchsafe/ack", TOKEN, r#"{"x":"hunter2"}"#).await.status, 400);
    let records = bench.records().await;
    let ack = records.last().unwrap();
    assert_eq!((ack.entry.operation.as_str(), ack.entry.version), ("ack-told", Some(7)));
    assert!(ack.entry.verified);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_revokes_the_token_after_a_minute() {
    let bench = Bench::new();
    bench.lifecycle.spawn("goodbyes", Arc::clone(&bench.front).revoke_departed());
    bench.login().await;
    assert_eq!(bench.ask(Method::POST, "/v1/vouchsafe/goodbye", TOKEN, "").await.status, 204);
    tokio::time::sleep(GOODBYE_DELAY.saturating_sub(Duration::from_secs(2))).await;
    assert!(!bench.upstream().calls().iter().any(|call| call.contains("revoke-self")));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(bench.upstream().calls().iter().any(|call| call.contains("revoke-self")));
    let records = bench.records().await;
    let last: Vec<_> = records.iter().rev().take(3).map(|r| (r.entry.phase, r.entry.operation.as_str())).collect();
    assert_eq!(last, [(Phase::Outcome, "revoke"), (Phase::Intent, "revoke"), (Phase::Outcome, "goodbye")]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_back_keeps_its_token_and_so_does_one_at_our_own_end() {
    for comes_back in ["reads", "logs in", "the broker ends"] {
        let bench = Bench::new();
        bench.lifecycle.spawn("goodbyes", Arc::clone(&bench.front).revoke_departed());
        bench.login().await;
        bench.ask(Method::POST, "/v1/vouchsafe/goodbye", TOKEN, "").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        match comes_back {
            "reads" => assert_eq!(bench.read(TOKEN).await, 200),
            "logs in" => assert_eq!(bench.login().await, 200),
            _ => bench.lifecycle.stop("SIGTERM"),
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!bench.upstream().calls().iter().any(|call| call.contains("revoke-self")), "{comes_back}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_leaves_while_the_log_cannot_be_written() {
    let bench = Bench::new();
    // A folder in the place of the next file: the current one is gone, and no new one can be made.
    std::fs::remove_file(bench.folder.path().join("audit-00000001.jsonl")).unwrap();
    std::fs::create_dir(bench.folder.path().join("audit-00000002.jsonl")).unwrap();
    let answer = bench.ask(Method::GET, &format!("/v1/{PATH}"), "t", "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(value(&answer)["errors"][0].as_str().unwrap().starts_with("audit log: "));
    let before = bench.upstream().calls().len();
    assert_eq!(bench.ask(Method::POST, &format!("/v1/{PATH}"), "t", "{}").await.status, 503);
    assert_eq!(bench.upstream().calls().len(), before, "a write without an intent does not reach the upstream");
    assert!(!bench.front.log.state().is_writable());
    std::fs::remove_dir(bench.folder.path().join("audit-00000002.jsonl")).unwrap();
    assert_eq!(bench.read("t").await, 200);
    assert!(bench.front.log.state().is_writable());
}

#[tokio::test(start_paused = true)]
async fn unknown_paths_of_the_extension_and_a_missing_bundle_are_not_found() {
    let bench = Bench::new();
    assert_eq!(bench.ask(Method::GET, "/v1/vouchsafe/x", "t", "").await.status, 404);
    assert_eq!(bench.ask(Method::GET, "/v1/vouchsafe/trust", "", "").await.status, 404);
    assert_eq!(bench.ask(Method::GET, "/v1/vouchsafe/watch", "t", "").await.status, 404);
    assert!(bench.upstream().calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn metrics_count_by_class_and_name_nobody() {
    let bench = Bench::new();
    bench.login().await;
    bench.read(TOKEN).await;
    let text = bench.front.metrics_text();
    assert!(text.contains(r#"vouchsafe_broker_requests_total{class="kv-read",status="2xx"} 1"#), "{text}");
    assert!(
        text.contains("vouchsafe_broker_sessions 1") && text.contains("vouchsafe_broker_audit_records 3"),
        "{text}"
    );
    for name in [PATH, "argocd", TOKEN, CANARY] {
        assert!(!text.contains(name), "{name}");
    }
}
