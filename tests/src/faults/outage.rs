//! Scenarios: OpenBao is sealed, killed, stepped down, slow or busy while pods run and others wait to start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::field::Field;
use super::mode::Mode;
use crate::smoke::objects;
use crate::smoke::outcome::{Outcome, ensure};
use crate::smoke::process::uptime;
use crate::smoke::starts::START;

/// All servers run and are sealed; then they are unsealed.
pub(crate) fn sealed(field: &mut Field) -> Outcome<String> {
    outage(field, "sealed", |field| field.raft.seal_all(&field.world), None)
}

/// All servers are killed; then they start again and are unsealed.
pub(crate) fn killed(field: &mut Field) -> Outcome<String> {
    let kill = |field: &mut Field| {
        field.raft.kill_all();
        Ok(())
    };
    outage(field, "killed", kill, None)
}

/// The active server gives its role away, again and again, and at last is killed: another one takes over.
pub(crate) fn stepped_down(field: &mut Field) -> Outcome<String> {
    field.raft.await_votes(&field.world)?;
    let step = |field: &mut Field| {
        field.raft.await_active(&field.world)?;
        field.raft.step_down(&field.world)
    };
    let kill = |field: &mut Field| {
        field.raft.await_active(&field.world)?;
        field.raft.kill_active(&field.world)
    };
    outage(field, "stepped-down", step, Some(kill))
}

/// Everything that a client says arrives seconds late.
pub(crate) fn slow(field: &mut Field) -> Outcome<String> {
    outage(field, "slow", |field| field.fault(Mode::Delay(4000)), None)
}

/// Every request is answered with 429, and a `Retry-After` of two seconds.
pub(crate) fn busy(field: &mut Field) -> Outcome<String> {
    outage(field, "busy", |field| field.fault(Mode::Answer(429)), None)
}

/// A network that drops, resets, drips and delays as the dice fall.
pub(crate) fn mixed(field: &mut Field) -> Outcome<String> {
    outage(field, "mixed", |field| field.fault(Mode::Mixed), None)
}

/// One outage: `begin`, some seconds, `middle` if there is one, some seconds, recovery. Running pods keep their files and become current,
/// a pod that was made meanwhile starts, and nobody logs in more often than needed.
fn outage(
    field: &mut Field,
    name: &str,
    begin: impl Fn(&mut Field) -> Outcome,
    middle: Option<fn(&mut Field) -> Outcome>,
) -> Outcome<String> {
    let path = "secret/hook/steady";
    let pods = steady_pods(field)?;
    let before = field.world.expected(path)?;
    let (logins, calls, began) = (field.raft.logins().0, field.calls(), Instant::now());
    begin(field)?;
    let late = format!("late-{name}");
    let spec = objects::spec("late", &["sleep"]);
    field.world.cluster.apply(&[objects::pod("init", &late, "late", &spec)])?;
    std::thread::sleep(HALF);
    middle.map_or(Ok(()), |middle| middle(field))?;
    std::thread::sleep(HALF);
    let during = files_of(field, &pods)?;
    field.recover()?;
    let (recovered, lasted) = (uptime(), began.elapsed());
    for (pod, files) in &during {
        ensure(*files == before, || format!("during the outage, pod {pod} has {files:?}"))?;
    }
    let written = field.write(path)?;
    let mut last: f64 = 0.0;
    for pod in &pods {
        last = last.max(field.world.seen_change("hook", pod, path, RECOVERY)?);
        let state = field.world.cluster.pod("hook", pod)?;
        let restarts = state.restarts("vouchsafe-sidecar") + state.restarts("app");
        ensure(restarts == 0 && state.is_ready(), || format!("the outage was felt by {pod}: {}", state.state()))?;
    }
    field.world.cluster.await_ready("init", &late, RECOVERY)?;
    let started = field.world.started_with_files("init", &late, "secret/init/late")? - recovered;
    ensure(last - recovered <= RECOVERY.as_secs_f64(), || format!("current after {:.0} s", last - recovered))?;
    ensure(started <= RECOVERY.as_secs_f64(), || format!("the waiting pod started after {started:.0} s"))?;
    let logins = field.raft.logins().0 - logins;
    let minutes = (began.elapsed().as_secs_f64() / 60.0).max(1.0);
    // Whole numbers below a thousand.
    let most = minutes * LOGINS_PER_MINUTE * f64::from(u32::try_from(pods.len() + 1).unwrap_or(u32::MAX));
    let all = f64::from(u32::try_from(logins).unwrap_or(u32::MAX));
    ensure(all <= most, || format!("{logins} logins of {} pods in {minutes:.1} minutes", pods.len() + 1))?;
    field.world.cluster.kubectl(&["-n", "init", "delete", "pod", &late, "--wait=false"])?;
    Ok(format!(
        "{:.0} s; {} pods current {:.1} s after the write that followed, the waiting one started {started:.1} s after \
         recovery; {logins} logins, {} connections",
        lasted.as_secs_f64(),
        pods.len(),
        last - written,
        field.calls() - calls,
    ))
}

/// The pods that run through all outages.
fn steady_pods(field: &mut Field) -> Outcome<Vec<String>> {
    let names: Vec<String> = (0..STEADY).map(|number| format!("steady-{number}")).collect();
    let spec = objects::spec("steady", &["watch"]);
    let pods: Vec<_> = names.iter().map(|name| objects::pod("hook", name, "steady", &spec)).collect();
    field.world.cluster.apply(&pods)?;
    for name in &names {
        field.world.cluster.await_ready("hook", name, START)?;
    }
    Ok(names)
}

/// What the apps of these pods find now.
fn files_of(field: &Field, pods: &[String]) -> Outcome<BTreeMap<String, BTreeMap<String, String>>> {
    pods.iter().map(|pod| Ok((pod.clone(), field.world.files_now("hook", pod)?))).collect()
}

/// How many pods run through the outages.
const STEADY: usize = 5;
/// Half of an outage: several back-offs of a sidecar.
const HALF: Duration = Duration::from_secs(7);
/// What is promised for the time after a recovery.
const RECOVERY: Duration = Duration::from_secs(60);
/// A waiting pod needs one; a pod that lost its token in the outage needs one more.
const LOGINS_PER_MINUTE: f64 = 3.0;
