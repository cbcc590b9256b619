//! Scenario: many pods start at the same time on one small node.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::field::Field;
use crate::smoke::app::{Block, blocks_on_node};
use crate::smoke::objects;
use crate::smoke::outcome::{Outcome, ensure};
use crate::smoke::process::until;

/// All pods of a Deployment start together: each finds its files, and no gate ends its own sidecar.
pub(crate) fn started_together(field: &mut Field) -> Outcome<String> {
    let pods: usize = std::env::var("VOUCHSAFE_STORM_PODS").ok().and_then(|text| text.parse().ok()).unwrap_or(PODS);
    let mut deployment = objects::deployment("hook", "storm", &["sleep"]);
    deployment["spec"]["replicas"] = pods.into();
    let logins = field.raft.logins().0;
    let began = Instant::now();
    let mut halfway = None;
    field.world.cluster.apply(&[deployment])?;
    let ready = until("all pods are ready", LIMIT, || {
        let ready = field.world.cluster.object("deployment", "hook", "storm")?["status"]["readyReplicas"].as_u64();
        if ready.is_some_and(|ready| usize::try_from(ready).is_ok_and(|ready| ready * 2 >= pods)) {
            halfway.get_or_insert_with(|| began.elapsed());
        }
        ensure(ready == u64::try_from(pods).ok(), || format!("{} of {pods} are", ready.unwrap_or_default()))
    });
    let took = began.elapsed();
    let list = field.world.cluster.kubectl(&["-n", "hook", "get", "pods", "-l", "app=storm", "-o", "json"])?;
    let list: Value = serde_json::from_str(&list)?;
    let found = restarts(&list);
    let bare = bare(field)?;
    let logins = field.raft.logins().0 - logins;
    field.world.cluster.kubectl(&["-n", "hook", "delete", "deployment", "storm", "--wait=false"])?;
    ensure(found.is_empty(), || format!("{} of {pods} sidecars were restarted: {}", found.len(), found.join("; ")))?;
    ensure(bare.is_empty(), || format!("apps without their files: {bare:?}"))?;
    ready?;
    ensure(logins == pods, || format!("{logins} logins of {pods} pods"))?;
    let half = halfway.unwrap_or(took).as_secs_f64();
    Ok(format!("half of {pods} pods ready after {half:.0} s, all after {:.0} s; {logins} logins", took.as_secs_f64()))
}

/// Sidecars that were started more than once, and what they said when they ended.
fn restarts(list: &Value) -> Vec<String> {
    let pods = list["items"].as_array().into_iter().flatten();
    let statuses = pods.filter_map(|pod| pod["status"]["initContainerStatuses"].as_array()).flatten();
    let restarted = statuses.filter(|status| status["restartCount"].as_u64().unwrap_or_default() > 0);
    restarted.map(|status| status["lastState"]["terminated"]["message"].to_string()).collect()
}

/// Pods whose app did not find its files at its first instruction.
fn bare(field: &Field) -> Outcome<Vec<String>> {
    let expected = field.world.expected("secret/hook/storm")?;
    let found = blocks_on_node(&field.world.cluster.work.join("pods"), "hook_storm-");
    let is_bare = |said: &[Block]| said.first().is_some_and(|first| first.files != expected);
    Ok(found.into_iter().filter(|(_, said)| is_bare(said)).map(|(name, _)| name).collect())
}

/// How many, unless `VOUCHSAFE_STORM_PODS` says otherwise. Two hundred fit by requests and memory; on two cores that do
/// other things, too, they took more than five minutes.
const PODS: usize = 100;
/// From the Deployment's creation until the last of its pods is ready, on two cores.
const LIMIT: Duration = Duration::from_secs(300);
