//! Scenarios: kubelet and sidecar are killed.

use std::time::Duration;

use super::cluster::sidecar_of;
use super::objects;
use super::outcome::{Outcome, because, ensure};
use super::process::{signal, until, uptime};
use super::starts::START;
use super::world::World;

/// The kubelet is killed while start hooks hold apps back, and forgets the hooks: no app starts without its files.
///
/// Five pods at once, each at another moment of its hook when the kubelet dies. The broker is down, so that hooks hold.
pub(crate) fn no_app_starts_bare_when_the_kubelet_is_killed(world: &mut World) -> Outcome<String> {
    let names: Vec<String> = (1..6).map(|number| format!("gate-{number}")).collect();
    world.kill_broker();
    let kubelet: u32 = world.cluster.script(&["pid", "kubelet"])?.trim().parse().unwrap_or_default();
    ensure(kubelet > 1, || "the kubelet does not run".to_owned())?;
    let strict = objects::pod("strict", "gate-init", "called", &objects::restricted_spec("called", &["/app", "sleep"]));
    world.cluster.apply(&[strict])?;
    for wave in WAVES {
        let (first, end) = (wave.start - 1, wave.end - 1);
        let pods = wave
            .clone()
            .map(|number| objects::pod("apps", &format!("gate-{number}"), "gate", &objects::spec("gate", &["watch"])));
        world.cluster.apply(&pods.collect::<Vec<_>>())?;
        for name in names.iter().take(end).skip(first) {
            until(&format!("the sidecar of {name} starts"), START, || sidecar_of(name))?;
        }
    }
    std::thread::sleep(YOUNGEST);
    signal("KILL", kubelet)?;
    let killed = uptime();
    let ages: Vec<f64> =
        names.iter().map(|name| sidecar_of(name).map_or(f64::NAN, |running| killed - running.started)).collect();
    // The script waits until the process is gone before it says that it does not run.
    until("the kubelet is gone", START, || {
        ensure(!std::path::Path::new(&format!("/proc/{kubelet}")).exists(), || "it is still there".to_owned())
    })?;
    world.cluster.script(&["kubelet-start"])?;
    std::thread::sleep(BARE_START);
    for name in &names {
        let pod = world.cluster.pod("apps", name)?;
        let started = !pod.container("app")["state"]["running"].is_null() || pod.restarts("app") > 0;
        ensure(!started, || format!("the app of {name} runs though the broker is down: {}", pod.state()))?;
    }
    let strict = world.cluster.pod("strict", "gate-init")?;
    let started = !strict.container("app")["state"]["running"].is_null();
    ensure(!started, || format!("the app behind the strict gate runs though the broker is down: {}", strict.state()))?;
    world.start_broker()?;
    let back = uptime();
    let mut waited: f64 = 0.0;
    world.cluster.await_ready("strict", "gate-init", RECOVERY)?;
    let strict = world.started_with_files("strict", "gate-init", "secret/strict/called")? - back;
    for name in &names {
        world.cluster.await_ready("apps", name, RECOVERY)?;
        waited = waited.max(world.started_with_files("apps", name, "secret/apps/gate")? - back);
        let pod = world.cluster.pod("apps", name)?;
        ensure(pod.restarts("app") == 0, || format!("the app of {name} was restarted: {}", pod.state()))?;
    }
    Ok(format!(
        "killed {ages:.1?} s after the sidecars' starts; after the broker's return all apps started within {waited:.0} s, the one behind the strict gate after {strict:.0} s"
    ))
}

/// The sidecar is killed: it is ready again without a login, the files stay, the app notices nothing.
pub(crate) fn a_killed_sidecar_comes_back_without_a_login(world: &mut World) -> Outcome<String> {
    let path = "secret/apps/killed";
    world.cluster.apply(&[objects::pod("apps", "killed", "killed", &objects::spec("killed", &["watch"]))])?;
    world.cluster.await_ready("apps", "killed", START)?;
    world.started_with_files("apps", "killed", path)?;
    let before = world.logins("killed")?;
    ensure(before == 1, || format!("the audit log knows {before} logins of the pod before the kill"))?;
    let first = sidecar_of("killed")?.process;
    signal("KILL", first)?;
    let killed = uptime();
    until("another sidecar runs", START, || match sidecar_of("killed")?.process {
        same if same == first => because("it is the same one"),
        _ => Ok(()),
    })?;
    until("the restarted sidecar is started and the pod ready", START, || {
        let pod = world.cluster.pod("apps", "killed")?;
        let sidecar = pod.container("vouchsafe-sidecar");
        let again = pod.restarts("vouchsafe-sidecar") >= 1 && sidecar["started"] == true && sidecar["ready"] == true;
        ensure(again && pod.is_ready(), || pod.state())
    })?;
    let back = uptime() - killed;
    let restarts = world.cluster.pod("apps", "killed")?.restarts("vouchsafe-sidecar");
    ensure(restarts == 1, || format!("the sidecar was restarted {restarts} times"))?;
    let after = world.logins("killed")?;
    ensure(after == before, || format!("{} logins more after the kill", after - before))?;
    let files = world.files_now("apps", "killed")?;
    ensure(files == world.expected(path)?, || format!("files afterwards: {files:?}"))?;
    let pod = world.cluster.pod("apps", "killed")?;
    let said = world.cluster.said("apps", "killed")?;
    ensure(pod.restarts("app") == 0 && said.len() == 1, || format!("the app noticed: {said:?}; {}", pod.state()))?;
    world.change(path)?;
    world.seen_change("apps", "killed", path, RECOVERY)?;
    Ok(format!("ready again after {back:.1} s, no login more, and the next change arrived"))
}

/// Numbers of the pods that are made together: one after the other, so that their sidecars differ in age.
const WAVES: [std::ops::Range<usize>; 3] = [1..2, 2..3, 3..6];
/// Age of the youngest sidecar when the kubelet is killed: its hook has hardly begun.
const YOUNGEST: Duration = Duration::from_millis(100);
/// A kubelet that starts an app bare does it within a second of its own start.
const BARE_START: Duration = Duration::from_secs(4);
/// One try of the gate (8 s) and the kubelet's pauses between tries (10 s, 20 s).
const RECOVERY: Duration = Duration::from_secs(60);
