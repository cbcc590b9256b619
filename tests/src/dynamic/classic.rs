//! Scenarios: clusters without native sidecars.

use std::time::Duration;

use serde_json::json;

use super::audit::{LOGIN, count};
use super::ground::{Ground, START};
use crate::smoke::objects;
use crate::smoke::outcome::{Failure, Outcome, ensure};
use crate::smoke::process::{until, uptime};
use crate::smoke::world::digest;

/// The init container makes token, credential and files; the sidecar takes them over and follows changes.
pub(crate) fn the_sidecar_goes_on_without_a_login(ground: &mut Ground) -> Outcome<String> {
    ground.start("classic", "leased")?;
    let (cluster, made) = (&ground.world.cluster, ground.made());
    let first = cluster.said("classic", "leased")?.into_iter().next();
    let first = first.ok_or_else(|| Failure("the app has said nothing".to_owned()))?;
    ensure(first.ended && first.files.get("f0") == Some(&digest("first-0")?), || format!("{first:?}"))?;
    ensure(first.files.contains_key("username"), || format!("{first:?}"))?;
    let pod = cluster.pod("classic", "leased")?;
    let init = pod.container("vouchsafe-init")["state"]["terminated"]["exitCode"].clone();
    ensure(init == 0 && pod.container("vouchsafe-sidecar")["ready"] == true, || pod.state())?;
    let asked = |ground: &Ground| ground.asked("classic", "leased");
    let written = uptime();
    ground.world.bao.write("secret/many/s0", &json!({"value": "changed-0"}))?;
    until("the file follows", FOLLOWED, || {
        let found = ground.in_app(("classic", "leased"), "cat f0")?;
        ensure(found == "changed-0", || format!("it holds {} bytes of something else", found.len()))
    })?;
    let delay = uptime() - written;
    let logins = count(&asked(ground), LOGIN);
    ensure(logins == 1, || format!("{logins} logins: {:?}", asked(ground)))?;
    let minted = count(&asked(ground), "read rabbitmq-long/creds/app");
    ensure(minted == 1 && ground.made() == made, || format!("{minted} credentials"))?;
    ground.world.cluster.kubectl(&["-n", "classic", "delete", "pod", "leased", "--wait=false"])?;
    Ok(format!("one login and one credential for both containers; a change arrived after {delay:.1} s"))
}

/// An ordinary sidecar would keep it from ending.
pub(crate) fn a_job_ends(ground: &mut Ground) -> Outcome<String> {
    let cluster = &ground.world.cluster;
    let mut pod = objects::pod("classic", "warned", "once", &objects::spec("once", &["exit", "0"]));
    pod["spec"]["restartPolicy"] = json!("Never");
    let dry = cluster.try_kubectl(&["create", "--dry-run=server", "-f", "-"], &pod.to_string())?;
    ensure(dry.err.contains("made once"), || format!("no warning: {}", dry.err))?;
    cluster.apply(&[objects::job("classic", "once")])?;
    until("the Job is complete", START, || {
        let status = cluster.object("job", "classic", "once")?["status"].clone();
        ensure(status["succeeded"] == 1 && status["completionTime"].is_string(), || format!("its status is {status}"))
    })?;
    let pod = ground.world.pod_of("classic", "once")?;
    let first = cluster.said("classic", &pod)?.into_iter().next();
    let first = first.ok_or_else(|| Failure("the app has said nothing".to_owned()))?;
    ensure(first.files.len() == 1, || format!("{first:?}"))?;
    Ok("complete, with its file".to_owned())
}

/// See the polls of changes.
const FOLLOWED: Duration = Duration::from_secs(45);
