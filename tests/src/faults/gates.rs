//! Scenarios: nothing starts an app without its files, whoever stands beside it and whenever the kubelet dies.

use std::time::Duration;

use serde_json::{Value, json};

use super::dice::Dice;
use super::field::Field;
use super::mode::Mode;
use crate::smoke::app::{Block, blocks_on_node};
use crate::smoke::cluster::sidecar_of;
use crate::smoke::objects;
use crate::smoke::outcome::{Failure, Outcome, ensure};
use crate::smoke::process::{until, uptime};
use crate::smoke::starts::START;

/// A mesh's sidecar stands ahead of ours, another sidecar behind it: the app finds its files, and the order holds.
///
/// The one behind is put there after admission, as another webhook would; the pod is admitted again as it is.
pub(crate) fn between_mesh_sidecars(field: &mut Field) -> Outcome<String> {
    for namespace in GATES {
        let mut spec = objects::spec("web", &["sleep"]);
        spec["initContainers"] = json!([sidecar("kuma-sidecar")]);
        let pod = objects::pod(namespace, "meshed", "web", &spec);
        let admitted = field
            .world
            .cluster
            .try_kubectl(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &pod.to_string())?;
        let admitted: Value = serde_json::from_str(&admitted.good("kubectl create --dry-run")?)?;
        let mut inits = admitted["spec"]["initContainers"].as_array().cloned().unwrap_or_default();
        inits.push(sidecar("log-shipper"));
        let mut pod = pod;
        pod["metadata"]["annotations"] = admitted["metadata"]["annotations"].clone();
        pod["spec"] = admitted["spec"].clone();
        pod["spec"]["initContainers"] = json!(inits);
        field.world.cluster.apply(&[pod])?;
    }
    let mut orders = Vec::new();
    for namespace in GATES {
        let pod = field.world.cluster.await_ready(namespace, "meshed", START)?;
        field.world.started_with_files(namespace, "meshed", &format!("secret/{namespace}/web"))?;
        let inits = pod.0["spec"]["initContainers"].as_array().into_iter().flatten();
        let names: Vec<&str> = inits.filter_map(|init| init["name"].as_str()).collect();
        let is_between = names.first() == Some(&"kuma-sidecar") && names.last() == Some(&"log-shipper");
        ensure(is_between && names.contains(&"vouchsafe-sidecar"), || format!("init containers: {names:?}"))?;
        orders.push(names.join(" "));
    }
    Ok(orders.join("; "))
}

/// A native sidecar with a probe, as meshes have.
fn sidecar(name: &str) -> Value {
    json!({
        "name": name, "image": "localhost/vouchsafe-app:dev", "imagePullPolicy": "Never", "args": ["sleep"],
        "restartPolicy": "Always",
        "startupProbe": {"exec": {"command": ["/bin/true"]}, "periodSeconds": 1, "failureThreshold": 60},
    })
}

/// Behind the start hook, the kubelet is killed at random instants of pods' starts: no app starts without its files.
pub(crate) fn kubelet_dies_behind_the_hook(field: &mut Field) -> Outcome<String> {
    kubelet_dies_at_random_instants(field, "hook")
}

/// The same behind the strict gate, which has no window.
pub(crate) fn kubelet_dies_behind_the_strict_gate(field: &mut Field) -> Outcome<String> {
    kubelet_dies_at_random_instants(field, "init")
}

/// By SIGKILL and by SIGTERM in turn. OpenBao answers slowly, so that gates hold for some time and many instants fall
/// into it; and pods that still wait meet the next kills, too.
fn kubelet_dies_at_random_instants(field: &mut Field, namespace: &'static str) -> Outcome<String> {
    let mut dice = Dice::new(field.seed);
    field.fault(Mode::Delay(HELD_MILLISECONDS))?;
    let result = kills(field, namespace, &mut dice);
    field.fault(Mode::Pass)?;
    let (mut seen, pods) = result?;
    let last = uptime();
    let found = bare(field, namespace, &pods);
    field.world.cluster.kubectl(&["-n", namespace, "delete", "pod", "-l", "app=random", "--wait=false"])?;
    let (bare, took) = (found?, uptime() - last);
    ensure(bare.is_empty(), || {
        format!("{} of {KILLS} apps started without their files: {}", bare.len(), bare.join(", "))
    })?;
    seen.sort_unstable();
    let count = |moment: Moment| seen.iter().filter(|other| **other == moment).count();
    ensure(count(Moment::Held) >= LEAST_HELD, || format!("too few of {KILLS} kills met a gate that held: {seen:?}"))?;
    Ok(format!(
        "{KILLS} kills: {} before the sidecar's start, {} while the gate held, {} after the app's; all had their files, the \
         last {:.0} s after the last kill",
        count(Moment::Before),
        count(Moment::Held),
        count(Moment::After),
        took,
    ))
}

/// Waits until all are ready; those whose app did not find its files at its first instruction.
fn bare(field: &Field, namespace: &str, pods: &[String]) -> Outcome<Vec<String>> {
    let mut bare = Vec::new();
    for name in pods {
        field.world.cluster.await_ready(namespace, name, RECOVERY)?;
        let (said, expected) =
            (said(field, namespace, name), field.world.expected(&format!("secret/{namespace}/web"))?);
        let first = said.first().ok_or_else(|| Failure(format!("the app of {name} has said nothing")))?;
        if first.files != expected {
            bare.push(format!("{name} ({} files)", first.files.len()));
        }
    }
    Ok(bare)
}

/// Where a pod's start was when the kubelet died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Before,
    Held,
    After,
}

fn kills(field: &mut Field, namespace: &str, dice: &mut Dice) -> Outcome<(Vec<Moment>, Vec<String>)> {
    let (mut seen, mut pods) = (Vec::new(), Vec::new());
    for number in 0..KILLS {
        let signal = if number % 2 == 0 { "KILL" } else { "TERM" };
        let name = format!("random-{number}");
        let mut pod = objects::pod(namespace, &name, "web", &objects::spec("web", &["sleep"]));
        pod["metadata"]["labels"] = json!({"app": "random"});
        field.world.cluster.apply(&[pod])?;
        std::thread::sleep(Duration::from_millis(dice.below(LONGEST_MILLISECONDS)));
        field.world.cluster.script(&["kubelet-kill", signal])?;
        let has_started = !said(field, namespace, &name).is_empty();
        seen.push(match (sidecar_of(&name).is_ok(), has_started) {
            (_, true) => Moment::After,
            (true, false) => Moment::Held,
            (false, false) => Moment::Before,
        });
        field.world.cluster.script(&["kubelet-start"])?;
        pods.push(name);
    }
    until("the node is ready", START, || {
        let node = field.world.cluster.kubectl(&["get", "nodes"])?;
        ensure(node.contains(" Ready"), || node)
    })?;
    Ok((seen, pods))
}

/// What an app said since its first start, by its log on the node: a kubelet that has just started knows no pod yet.
fn said(field: &Field, namespace: &str, pod: &str) -> Vec<Block> {
    let found = blocks_on_node(&field.world.cluster.work.join("pods"), &format!("{namespace}_{pod}_"));
    found.into_iter().flat_map(|(_, said)| said).collect()
}

/// Namespaces, by gate: start hook and strict gate.
const GATES: [&str; 2] = ["hook", "init"];
/// How often the kubelet dies.
const KILLS: usize = 20;
/// A start takes a second or two until the sidecar runs, and its gate then holds for some seconds.
const LONGEST_MILLISECONDS: u64 = 4000;
/// What OpenBao's answers are late: a login and a read, each over a new connection or an old one.
const HELD_MILLISECONDS: u64 = 900;
/// Fewer kills within a hold would prove little.
const LEAST_HELD: usize = 4;
/// The kubelet's pauses between tries grow up to 80 s while it is killed again and again.
const RECOVERY: Duration = Duration::from_secs(100);
