//! Scenarios: broker and store are down, sealed or killed.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{ADDRESS, sidecar_of};
use super::listener;
use super::objects;
use super::outcome::{Failure, Outcome, because, ensure};
use super::process::{Daemon, QUICK, run, until, uptime};
use super::programs::Programs;
use super::starts::START;
use super::world::{BROKER_PORT, World};

/// The broker is down when a pod is made: it waits, says why, and starts by itself after the broker's return.
pub(crate) fn a_waiting_pod_says_why_and_starts_after_recovery(world: &mut World) -> Outcome<String> {
    world.kill_broker();
    world.cluster.apply(&[objects::pod("apps", "late", "late", &objects::spec("late", &["sleep"]))])?;
    let message = until("a termination message", START, || {
        let pod = world.cluster.pod("apps", "late")?;
        let status = pod.container("vouchsafe-sidecar");
        let found = ["lastState", "state"].iter().find_map(|state| status[state]["terminated"]["message"].as_str());
        found.map(str::to_owned).ok_or_else(|| Failure(pod.state()))
    });
    world.start_broker()?;
    let back = uptime();
    let message = message?;
    for wanted in ["apps/late", "(E-NET-002)", "cannot be reached", "10.244.0.1:8200", "check"] {
        ensure(message.contains(wanted), || format!("the termination message lacks '{wanted}': {message}"))?;
    }
    world.cluster.await_ready("apps", "late", RECOVERY)?;
    let started = world.started_with_files("apps", "late", "secret/apps/late")?;
    Ok(format!("started {:.0} s after the broker's return; it had said: {}", started - back, message.trim()))
}

/// Broker and store go while pods run: files stay, attempts are few, and everything goes on afterwards.
pub(crate) fn running_pods_keep_their_files_while_the_broker_is_down(world: &mut World) -> Outcome<String> {
    let path = "secret/apps/steady";
    world.cluster.apply(&[objects::pod("apps", "steady", "steady", &objects::spec("steady", &["watch"]))])?;
    let pod = world.cluster.await_ready("apps", "steady", START)?;
    let address = pod.0["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    world.kill_broker();
    // Somebody who hangs up on each caller, and notes who called.
    let calls = world.path("calls");
    let listen = format!("{ADDRESS}:{BROKER_PORT}");
    let this = std::env::current_exe()?;
    let mut command = world.cluster.place.command(this);
    command.args([listener::VERB, &listen]).arg(&calls);
    let mut deaf = Daemon::start("listener", &mut command, &world.path("log/listener"))?;
    std::thread::sleep(OUTAGE);
    deaf.kill();
    let files = world.files_now("apps", "steady");
    let calls = listener::calls(&calls)?;
    world.start_broker()?;
    let expected = world.expected(path)?;
    let files = files?;
    ensure(files == expected, || format!("files during the outage: {files:?}"))?;
    let count = calls.get(&address).copied().unwrap_or_default();
    ensure((1..=MOST_CALLS).contains(&count), || {
        format!("the pod called {count} times in {OUTAGE:?}; all: {calls:?}")
    })?;
    let pod = world.cluster.pod("apps", "steady")?;
    let restarts = pod.restarts("vouchsafe-sidecar") + pod.restarts("app");
    ensure(restarts == 0 && pod.is_ready(), || format!("the outage was felt: {}", pod.state()))?;
    let (_, written) = world.change(path)?;
    let seen = world.seen_change("apps", "steady", path, RECOVERY)?;
    Ok(format!("{count} calls in {OUTAGE:?}; the next change arrived after {:.1} s", seen - written))
}

/// The store is sealed while pods run: files stay, and the store's restart mends it.
pub(crate) fn running_pods_keep_their_files_while_the_store_is_sealed(world: &mut World) -> Outcome<String> {
    let path = "secret/apps/steady";
    let sidecar = sidecar_of("steady")?.process;
    world.api.good("POST", "/v1/sys/seal", None)?;
    let health = world.api.request("GET", "/v1/sys/health", None)?;
    let read = world.api.request("GET", "/v1/secret/data/apps/steady", None)?;
    std::thread::sleep(SEALED);
    let files = world.files_now("apps", "steady");
    world.kill_broker();
    world.start_broker()?;
    ensure(health.status == 503 && read.status == 503, || {
        format!("sealed, it answers {} and {}", health.status, read.status)
    })?;
    let (files, expected) = (files?, world.expected(path)?);
    ensure(files == expected, || format!("files while sealed: {files:?}"))?;
    ensure(sidecar_of("steady")?.process == sidecar, || "the sidecar was restarted".to_owned())?;
    world.change(path)?;
    world.seen_change("apps", "steady", path, RECOVERY)?;
    Ok(format!("sealed for {SEALED:?}; the next change arrived"))
}

/// Broker and store are killed between writes: every answered write is there, and the audit log stays whole.
pub(crate) fn every_answered_write_survives_a_kill(world: &mut World) -> Outcome<String> {
    let mut total = 0;
    let mut all = Vec::new();
    for round in 0..KILLS {
        let path = format!("secret/durable/{round}");
        let answered = writes_until_killed(world, &path)?;
        world.start_broker()?;
        total += answered.len();
        all.extend(answered.keys().map(|version| (path.replacen("secret/", "secret/data/", 1), *version)));
        for (version, value) in answered.iter().rev().take(KEPT_VERSIONS) {
            let rest = path.trim_start_matches("secret/");
            let read = format!("/v1/secret/data/{rest}?version={version}");
            let body = world.api.good("GET", &read, None)?;
            ensure(body["data"]["data"]["value"] == value.as_str(), || {
                format!("version {version} of {path} is not what was answered")
            })?;
        }
    }
    let records = world.records()?;
    for (path, version) in &all {
        let has_record = records.iter().any(|record| {
            let is_outcome = record["phase"] == "outcome" && record["decision"] == "allowed";
            is_outcome
                && record["operation"] == "write"
                && record["path"] == path.as_str()
                && record["version"] == *version
        });
        ensure(has_record, || {
            format!("version {version} of {path} was answered, and the audit log knows nothing of it")
        })?;
    }
    ensure(total >= LEAST_WRITES, || format!("only {total} writes were answered"))?;
    let mut verify = Command::new(&world.programs.cli);
    verify.args(["audit", "verify"]).arg(Programs::audit_folder(&world.path("broker")));
    let verdict = run(&mut verify, "", QUICK)?;
    ensure(verdict.ok, || format!("vouchsafe audit verify: {}{}", verdict.out, verdict.err))?;
    Ok(format!("{total} answered writes in {KILLS} kills; {}", verdict.out.trim()))
}

/// Writes one version after the other while the broker is killed at some moment; gives what was answered.
fn writes_until_killed(world: &mut World, path: &str) -> Outcome<BTreeMap<u64, String>> {
    let victim = world.broker.take().ok_or_else(|| Failure("no broker runs".to_owned()))?;
    let ended = Instant::now() + WRITING;
    let mut answered = BTreeMap::new();
    std::thread::scope(|scope| {
        let killer = scope.spawn(move || {
            std::thread::sleep(WRITING);
            drop(victim);
        });
        loop {
            let value = world.canaries.next()?;
            match world.api.write(path, &json!({"value": value})) {
                Ok((version, _)) => {
                    answered.insert(version, value);
                }
                Err(_) if Instant::now() >= ended => break,
                Err(error) => return because(format!("a write before the kill failed: {error}")),
            }
        }
        let _ = killer.join();
        Ok(answered)
    })
}

impl World {
    /// Waits until an app that watches has seen the newest files of `path`; when it did.
    pub(crate) fn seen_change(&self, namespace: &str, pod: &str, path: &str, limit: Duration) -> Outcome<f64> {
        let expected = self.expected(path)?;
        until(&format!("the app of {namespace}/{pod} sees the new files"), limit, || {
            let said = self.cluster.said(namespace, pod)?;
            let seen = said.iter().find(|block| block.ended && block.files == expected);
            seen.map(|block| block.at).ok_or_else(|| Failure(format!("it has seen {} states", said.len())))
        })
    }

    /// Name of the only pod with the label `app: NAME`.
    pub(crate) fn pod_of(&self, namespace: &str, app: &str) -> Outcome<String> {
        let label = format!("app={app}");
        let list: Value = serde_json::from_str(
            &self.cluster.kubectl(&["-n", namespace, "get", "pods", "-l", &label, "-o", "json"])?,
        )?;
        let name = list["items"][0]["metadata"]["name"].as_str().map(str::to_owned);
        name.ok_or_else(|| Failure(format!("no pod has the label {label}")))
    }
}

/// How long the broker is away: several back-offs.
const OUTAGE: Duration = Duration::from_secs(10);
/// Waits double from 0.5 s with full jitter: 40 calls of two kinds of loop in 10 s would be far too many.
const MOST_CALLS: usize = 40;
/// How long the store stays sealed.
const SEALED: Duration = Duration::from_secs(5);
/// The sidecar's longest pause is 30 s, and the gate's tries at the kubelet are up to 20 s apart.
const RECOVERY: Duration = Duration::from_secs(60);
/// How long writes go on until the kill.
const WRITING: Duration = Duration::from_millis(1500);
/// How often broker and store are killed.
const KILLS: usize = 3;
/// Fewer writes prove nothing.
const LEAST_WRITES: usize = 6;
/// Versions that can still be read for sure: KV v2 keeps ten, and the last may be one that was written and not answered.
const KEPT_VERSIONS: usize = 9;
