//! Scenarios: pods start with their files, end, and see changes.

use std::time::Duration;

use super::objects;
use super::outcome::{Failure, Outcome, because, ensure};
use super::process::until;
use super::world::World;

/// An annotated Deployment: the app's first instruction finds exactly what the store holds.
pub(crate) fn finds_its_files(world: &mut World) -> Outcome<String> {
    world.cluster.apply(&[objects::deployment("apps", "web", &["sleep"])])?;
    let pod = until("the Deployment's pod", START, || world.pod_of("apps", "web"))?;
    let ready = world.cluster.await_ready("apps", &pod, START)?;
    world.started_with_files("apps", &pod, "secret/apps/web")?;
    let said = world.cluster.said("apps", &pod)?;
    let modes = said.first().map(|first| first.modes.clone()).unwrap_or_default();
    ensure(modes.values().all(|mode| mode == "444"), || format!("modes of the files: {modes:?}"))?;
    let restarts = ready.restarts("vouchsafe-sidecar") + ready.restarts("app");
    ensure(restarts == 0, || format!("something was restarted: {}", ready.state()))?;
    Ok(format!("{} files", modes.len()))
}

/// A Job with a sidecar ends.
pub(crate) fn a_job_ends(world: &mut World) -> Outcome<String> {
    world.cluster.apply(&[objects::job("apps", "once")])?;
    until("the Job is complete", START, || {
        let status = world.cluster.object("job", "apps", "once")?["status"].clone();
        ensure(status["succeeded"] == 1 && status["completionTime"].is_string(), || format!("its status is {status}"))
    })?;
    let pod = world.pod_of("apps", "once")?;
    world.started_with_files("apps", &pod, "secret/apps/once")?;
    let goodbye =
        world.records()?.iter().any(|one| one["operation"] == "goodbye" && one["workload"]["pod"] == pod.as_str());
    ensure(goodbye, || format!("the audit log knows no goodbye of pod {pod}"))?;
    Ok("complete, and its sidecar said goodbye".to_owned())
}

/// What is written to the store reaches the file soon.
pub(crate) fn a_write_reaches_the_file(world: &mut World) -> Outcome<String> {
    let path = "secret/apps/changing";
    world.cluster.apply(&[objects::pod("apps", "changing", "changing", &objects::spec("changing", &["watch"]))])?;
    world.cluster.await_ready("apps", "changing", START)?;
    world.started_with_files("apps", "changing", path)?;
    let mut delays = Vec::new();
    for _ in 0..WRITES {
        // A sidecar asks for changes at most once a second: what is measured is one write, not the pause after another.
        std::thread::sleep(PACE);
        let (_, written) = world.change(path)?;
        delays.push(world.seen_change("apps", "changing", path, PUSH)? - written);
    }
    delays.sort_by(f64::total_cmp);
    let median = delays.get(WRITES / 2).copied().unwrap_or(f64::MAX);
    ensure(median < PUSHED_SECONDS, || format!("delays in seconds: {delays:.2?}"))?;
    Ok(format!("seconds from the write's beginning to the app: {delays:.2?}"))
}

/// In a namespace that enforces Pod Security restricted, with the strict gate: the app is told of a change by signal.
pub(crate) fn a_restricted_app_is_signalled(world: &mut World) -> Outcome<String> {
    let script = "trap 'echo told' HUP; /app exit 0; while :; do sleep 0.1; done";
    told(world, "signalled", &["/bin/sh", "-c", script])
}

/// The same, told by a request over HTTP.
pub(crate) fn a_restricted_app_is_called(world: &mut World) -> Outcome<String> {
    // The first line of the request goes to the log; the answer is as small as HTTP allows.
    let serve = "read -r method path rest; [ \"$method $path\" = 'POST /reload' ] && echo told >/proc/1/fd/1; \
                 printf 'HTTP/1.1 204 No Content\\r\\nConnection: close\\r\\n\\r\\n'";
    let script = "/app exit 0; while :; do nc -l -p 8080 -e /bin/sh -c \"$SERVE\"; done";
    let script = script.replace("\"$SERVE\"", &format!("'{}'", serve.replace('\'', "'\\''")));
    told(world, "called", &["/bin/sh", "-c", &script])
}

fn told(world: &mut World, name: &str, command: &[&str]) -> Outcome<String> {
    let path = format!("secret/strict/{name}");
    world.cluster.apply(&[objects::pod("strict", name, name, &objects::restricted_spec(name, command))])?;
    let pod = world.cluster.await_ready("strict", name, START)?;
    world.started_with_files("strict", name, &path)?;
    let waited = pod.container("vouchsafe-wait")["state"]["terminated"]["exitCode"] == 0;
    ensure(waited, || format!("the strict gate: {}", pod.container("vouchsafe-wait")))?;
    let told = |world: &World| -> Outcome<usize> {
        Ok(world.cluster.log("strict", name, "app")?.lines().filter(|line| *line == "told").count())
    };
    let before = told(world)?;
    world.change(&path)?;
    until("the app is told of the change", PUSH, || match told(world)? {
        count if count > before => Ok(()),
        _ => because("it was not"),
    })?;
    let (files, expected) = (world.files_now("strict", name)?, world.expected(&path)?);
    ensure(files == expected, || "it was told before its files were there".to_owned())?;
    Ok("told after the files were replaced".to_owned())
}

/// A webhook that reads Grants from the cluster, with the right to read Grants and no other.
pub(crate) fn grants_of_the_cluster_are_watched(world: &mut World) -> Outcome<String> {
    let account = "system:serviceaccount:vouchsafe:webhook";
    let may = |verb: &str, what: &str| -> Outcome<bool> {
        Ok(world.cluster.try_kubectl(&["auth", "can-i", verb, what, "-A", "--as", account], "")?.out.trim() == "yes")
    };
    ensure(
        may("watch", "grants.vouchsafe.dev")? && !may("get", "secrets")? && !may("create", "grants.vouchsafe.dev")?,
        || "the webhook's service account has not exactly the right to read Grants".to_owned(),
    )?;
    let pod = objects::pod("watched", "watched", "watched", &objects::spec("watched", &["sleep"]));
    let refused = world.cluster.try_apply(std::slice::from_ref(&pod))?;
    ensure(!refused.ok, || "a pod was admitted without its Grant".to_owned())?;
    let file = world.path("grants-watched/watched-watched.yaml").display().to_string();
    world.cluster.kubectl(&["apply", "-f", &file])?;
    let began = std::time::Instant::now();
    until("the new Grant is known", WATCHED, || {
        let answer = world.cluster.try_apply(std::slice::from_ref(&pod))?;
        if answer.ok { Ok(()) } else { Err(Failure(answer.err)) }
    })?;
    let known = began.elapsed();
    world.cluster.await_ready("watched", "watched", START)?;
    world.started_with_files("watched", "watched", "secret/watched/watched")?;
    world.cluster.kubectl(&["delete", "-f", &file])?;
    let other = objects::pod("watched", "other", "watched", &objects::spec("watched", &["sleep"]));
    until("the deleted Grant is forgotten", WATCHED, || {
        let answer = world.cluster.try_kubectl(&["create", "--dry-run=server", "-f", "-"], &other.to_string())?;
        ensure(!answer.ok, || "a pod is still admitted".to_owned())
    })?;
    Ok(format!("a new Grant was known after {known:.1?}"))
}

/// From a pod's creation to its readiness on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(60);
/// Bound of the wait for a pushed change; what is demanded is [`PUSHED_SECONDS`].
const PUSH: Duration = Duration::from_secs(20);
/// From the beginning of a write to the app's notice, which takes the app up to 0.1 s by itself.
const PUSHED_SECONDS: f64 = 1.0;
/// Longer than the least time between two watches of one sidecar.
const PACE: Duration = Duration::from_millis(1200);
/// How often it is measured; the middle one counts.
const WRITES: usize = 3;
/// How soon a change of Grants must count.
const WATCHED: Duration = Duration::from_secs(5);
