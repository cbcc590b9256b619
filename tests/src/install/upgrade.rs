//! Scenario: the webhook is rolled while pods are being created.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::admission::no_pod_is_bare;
use super::helm::CHART;
use super::pods::pod;
use super::world::Installation;
use crate::smoke::outcome::{Failure, Outcome, ensure};

/// Twenty pods a second through a `helm upgrade` that replaces every webhook: none is admitted bare, and pods that were
/// injected before go on undisturbed.
pub(crate) fn rolling(installation: &mut Installation) -> Outcome<String> {
    installation.start(&pod("before"))?;
    let before = installation.cluster.pod("odd", "before")?;
    let old = replicas(installation)?;
    let values = installation.values("upstream")?.display().to_string();
    let mut arguments = vec!["upgrade", "vouchsafe", CHART, "-n", "vouchsafe", "-f", &values];
    arguments.extend([
        "--set",
        "sidecar.waitSeconds=21,webhook.podAnnotations.rolled=yes",
        "--wait",
        "--timeout",
        "180s",
    ]);
    let done = AtomicBool::new(false);
    let (upgraded, storm) = std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| {
            let outcome = installation.helm.run(&installation.cluster, &arguments);
            done.store(true, Ordering::Relaxed);
            outcome
        });
        let storm = storm(installation, &done);
        (upgrade.join(), storm)
    });
    upgraded.map_err(|_| Failure("the thread of helm upgrade ended badly".to_owned()))??;
    let storm = storm?;
    let new = replicas(installation)?;
    ensure(old.is_disjoint(&new) && !new.is_empty(), || format!("not every webhook was replaced: {old:?}, {new:?}"))?;
    let whole = no_pod_is_bare(installation)?;
    ensure(storm.created > 0, || format!("no pod was admitted at all: {}", storm.refusal))?;
    // API servers ask twice about a pod. Where the second answer comes from the next release, the pod is refused and made again
    // by its workload: rare, and never bare.
    let few = storm.between * RARE <= storm.created;
    ensure(storm.refused == storm.between && few, || {
        format!("{} refused of {} pods: {}", storm.refused, storm.created + storm.refused, storm.refusal)
    })?;
    let after = installation.cluster.pod("odd", "before")?;
    let restarts = after.restarts("vouchsafe-sidecar") + after.restarts("app");
    ensure(after.is_ready() && restarts == 0 && after.0["metadata"]["uid"] == before.0["metadata"]["uid"], || {
        after.state()
    })?;
    // One request instead of one for each.
    let all = "/api/v1/namespaces/odd/pods?labelSelector=storm%3Dyes";
    installation.cluster.kubectl(&["delete", "--raw", all])?;
    let rate = f64::from(storm.created) / storm.seconds;
    Ok(format!(
        "{} pods at {rate:.0} a second, {} refused between two releases; {whole} injected pods, none bare",
        storm.created, storm.between,
    ))
}

#[derive(Default)]
struct Storm {
    created: u32,
    refused: u32,
    seconds: f64,
    /// Of the refused those that two releases of the webhook looked at, and which the second found to differ from what it would make.
    between: u32,
    /// One of the other refusals.
    refusal: String,
}

/// Creates pods that no scheduler takes, since only their admission is of interest, until some time after `done`.
fn storm(installation: &Installation, done: &AtomicBool) -> Outcome<Storm> {
    let mut storm = Storm::default();
    let began = Instant::now();
    let mut last_rounds = AFTER;
    for round in 0.. {
        let due = began + PACE * (round + 1);
        let items: Vec<Value> = (0..A_ROUND).map(|number| unscheduled(round, number)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let answer = installation.cluster.try_kubectl(&["create", "-f", "-"], &list)?;
        storm.created += u32::try_from(answer.out.matches(" created").count()).unwrap_or(u32::MAX);
        storm.refused += u32::try_from(answer.err.matches("Error from server").count()).unwrap_or(u32::MAX);
        let between = answer.err.matches(BETWEEN).count();
        storm.between += u32::try_from(between).unwrap_or(u32::MAX);
        if between == 0 && storm.refusal.is_empty() {
            let first = answer.err.lines().find(|line| line.contains("Error"));
            first.unwrap_or_default().clone_into(&mut storm.refusal);
        }
        if done.load(Ordering::Relaxed) {
            last_rounds -= 1;
        }
        if last_rounds == 0 {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    storm.seconds = began.elapsed().as_secs_f64();
    Ok(storm)
}

fn unscheduled(round: u32, number: u32) -> Value {
    let mut pod = pod(&format!("storm-{round}-{number}"));
    pod["metadata"]["labels"] = json!({"storm": "yes"});
    pod["spec"]["schedulerName"] = json!("nobody");
    pod
}

/// Names of the webhook's pods.
fn replicas(installation: &Installation) -> Outcome<BTreeSet<String>> {
    let arguments = [
        "-n",
        "vouchsafe",
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/component=webhook",
        "-o",
        "name",
        "--field-selector=status.phase=Running",
    ];
    Ok(installation.cluster.kubectl(&arguments)?.lines().map(str::to_owned).collect())
}

/// What the webhook says of a pod that another release, or another state of the Grants, has injected.
const BETWEEN: &str = "is not the Plan that Grants and annotations give now";
/// At most one in so many pods may be refused between two releases.
const RARE: u32 = 20;
/// Pods of one call of kubectl.
const A_ROUND: u32 = 20;
/// One round a second is twenty pods a second.
const PACE: Duration = Duration::from_secs(1);
/// Rounds after the upgrade, when the last old replica is on its way out.
const AFTER: u32 = 8;
