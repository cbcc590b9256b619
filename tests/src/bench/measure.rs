//! Measuring: from a pod's creation to its app's first instruction, what stays resident, and what OpenBao was asked.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::page::{Figures, Versions};
use super::pods::{AGENT_IMAGE, KINDS, Kind, SECRETS, agent_config, grant};
use crate::faults::field::Field;
use crate::smoke::app::blocks_on_node;
use crate::smoke::cluster::ADDRESS;
use crate::smoke::memory::resident;
use crate::smoke::objects;
use crate::smoke::outcome::{Failure, Outcome, because, ensure};
use crate::smoke::process::{QUICK, run, until, uptime};
use crate::smoke::world::{BAO_PORT, Webhook};

/// The webhook of pods that go straight to OpenBao.
const DIRECT: [Webhook; 1] = [Webhook { namespace: "direct", port: 8446, flags: &["--server-kind", "direct"] }];

/// Image of the agent, secrets, Grants and roles; gives the versions of what is compared.
pub(crate) fn prepare(field: &mut Field) -> Outcome<Versions> {
    let world = &mut field.world;
    let bao = field.raft.binary().display().to_string();
    let tar = world.path("openbao.tar").display().to_string();
    let mut image = Command::new(world.repository().join("tests/real/image.py"));
    image.args([&tar, AGENT_IMAGE, "--user", "65532:65532", "--file", &format!("/bao={bao}:555"), "--", "/bao"]);
    run(&mut image, "", IMPORT)?.good("image.py")?;
    world.cluster.script(&["import", &tar])?;
    let api = field.raft.api(world)?;
    for number in 0..SECRETS {
        api.write(&format!("secret/bench/s{number}"), &json!({"value": world.canaries.next()?}))?;
    }
    let mut objects = vec![objects::namespace("direct", &json!({}))];
    for kind in KINDS.iter().filter(|kind| **kind != Kind::Bare) {
        let (namespace, account) = (kind.namespace(), kind.account());
        objects.push(objects::service_account(namespace, account));
        fs::write(world.path("grants").join(format!("{account}.yaml")), grant(namespace, account))?;
    }
    let ca = fs::read_to_string(world.path("pki/ca.crt"))?;
    objects.push(agent_config(&format!("https://{ADDRESS}:{BAO_PORT}"), &ca));
    world.cluster.apply(&objects)?;
    api.apply(&world.compiled("grants")?)?;
    world.start_webhook_for(&DIRECT[0], BAO_PORT, &world.path("pki/ca.crt"))?;
    world.configure_webhooks(&DIRECT)?;
    let openbao = run(Command::new(bao).arg("version"), "", QUICK)?.good("bao version")?;
    let node = world.cluster.object("node", "", "node-1")?;
    let kubelet = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default().to_owned();
    Ok(Versions { openbao: openbao.lines().next().unwrap_or_default().trim().to_owned(), kubernetes: kubelet })
}

/// All figures, in the order of [`KINDS`].
pub(crate) fn measure(field: &mut Field) -> Outcome<Vec<Figures>> {
    let mut all = Vec::new();
    for kind in KINDS {
        all.push(rest(field, kind)?);
    }
    for round in 0..=ROUNDS {
        for offset in 0..KINDS.len() {
            // Each kind comes after each other one, so that none always meets what another left behind.
            let index = (round + offset) % KINDS.len();
            let kind = KINDS[index];
            let seconds = start(field, kind, &format!("round-{round}"))?;
            end(field, kind, &format!("round-{round}"))?;
            // The first round pays for what is read from disk once.
            if round > 0 {
                all[index].seconds.push(seconds);
            }
        }
    }
    Ok(all)
}

/// One pod that stays for a while: resident memory, and what it asked OpenBao.
fn rest(field: &Field, kind: Kind) -> Outcome<Figures> {
    start(field, kind, "rest")?;
    std::thread::sleep(SETTLED);
    let resident = match kind.sidecar() {
        None => None,
        Some(container) => {
            let process = field.world.cluster.script(&["pid", kind.namespace(), "rest", container])?;
            let process = process.trim().parse().map_err(|_| Failure(format!("{container} does not run")))?;
            Some(resident(process)?)
        }
    };
    let role = format!("vouchsafe.{}.{}", kind.namespace(), kind.account());
    let records = field.raft.responses();
    let asked = records.iter().filter(|record| record["auth"]["metadata"]["role"] == role.as_str());
    let paths: Vec<&str> = asked.filter_map(|record| record["request"]["path"].as_str()).collect();
    let count = |prefix: &str| paths.iter().filter(|path| path.starts_with(prefix)).count();
    end(field, kind, "rest")?;
    let (logins, reads) = (count("auth/kubernetes/login"), count("secret/data/"));
    if kind != Kind::Bare {
        ensure(logins > 0 && reads >= SECRETS, || format!("{kind:?}: OpenBao knows {paths:?}"))?;
    }
    Ok(Figures { kind, seconds: Vec::new(), resident_kib: resident, requests: paths.len(), logins, reads })
}

/// Seconds from the creation of a pod until its app's first instruction.
fn start(field: &Field, kind: Kind, name: &str) -> Outcome<f64> {
    let namespace = kind.namespace();
    let at = uptime();
    create(field, namespace, &kind.pod(name))?;
    let logs: PathBuf = field.world.cluster.work.join("pods");
    let first = until(&format!("the app of {kind:?} starts"), START, || {
        let found = blocks_on_node(&logs, &format!("{namespace}_{name}_"));
        let first = found.iter().find_map(|(_, said)| said.first().filter(|first| first.ended).cloned());
        first.ok_or_else(|| Failure("it has not said so".to_owned()))
    })?;
    let wanted = if kind == Kind::Bare { 0 } else { SECRETS };
    ensure(first.files.len() == wanted, || format!("{kind:?}: the app found {} files", first.files.len()))?;
    Ok(first.at - at)
}

/// By curl: kubectl takes a tenth of a second to start.
fn create(field: &Field, namespace: &str, pod: &Value) -> Outcome {
    let pki = field.world.cluster.work.join("pki");
    let mut curl = field.world.cluster.place.command("curl");
    curl.args(["-sS", "--fail-with-body", "-H", "Content-Type: application/json", "--data-binary", "@-"]);
    for (flag, file) in [("--cacert", "ca.crt"), ("--cert", "admin.crt"), ("--key", "admin.key")] {
        curl.arg(flag).arg(pki.join(file));
    }
    curl.arg(format!("https://127.0.0.1:6443/api/v1/namespaces/{namespace}/pods"));
    run(&mut curl, &pod.to_string(), QUICK)?.good("create a pod").map(drop)
}

/// Deletes a pod and waits until nothing is left of it, its log included.
fn end(field: &Field, kind: Kind, name: &str) -> Outcome {
    let namespace = kind.namespace();
    field.world.cluster.kubectl(&["-n", namespace, "delete", "pod", name])?;
    until("the log of the last pod is gone", START, || {
        match blocks_on_node(&field.world.cluster.work.join("pods"), &format!("{namespace}_{name}_")).len() {
            0 => Ok(()),
            _ => because("it is still there"),
        }
    })?;
    std::thread::sleep(PAUSE);
    Ok(())
}

/// How often each kind is started; the medians count.
pub(crate) const ROUNDS: usize = 9;
/// For a start on a busy machine.
const START: Duration = Duration::from_secs(60);
/// By then a sidecar does nothing but wait.
const SETTLED: Duration = Duration::from_secs(10);
/// What the kubelet still does after a pod is gone.
const PAUSE: Duration = Duration::from_millis(300);
/// An image of 120 MB.
const IMPORT: Duration = Duration::from_secs(60);
