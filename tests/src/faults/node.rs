//! Scenario: a node restarts while OpenBao is away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::field::Field;
use super::mode::Mode;
use crate::smoke::objects;
use crate::smoke::outcome::{Failure, Outcome, ensure};
use crate::smoke::process::{signal, until, uptime};
use crate::smoke::starts::START;

/// Kubelet, containerd and every container die while OpenBao cannot be reached, and one pod's memory volumes are lost.
/// The pod that kept its state comes back by itself with its files; the other waits, says why, and starts after recovery.
pub(crate) fn restarted_during_an_outage(field: &mut Field) -> Outcome<String> {
    let path = "secret/hook/web";
    let spec = objects::spec("web", &["watch"]);
    field.world.cluster.apply(&["keeps", "loses"].map(|name| objects::pod("hook", name, "web", &spec)))?;
    let keeps = field.world.cluster.await_ready("hook", "keeps", START)?.restarts("vouchsafe-sidecar");
    let loses = field.world.cluster.await_ready("hook", "loses", START)?;
    let logins = field.raft.logins().0;
    field.fault(Mode::Refuse)?;
    for component in ["kubelet", "containerd"] {
        field.world.cluster.script(&["kill", component])?;
    }
    let ended = end_containers(field)?;
    let uid = loses.0["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let lost = forget_volumes(field, &uid)?;
    field.world.cluster.script(&["start", "containerd"])?;
    field.world.cluster.script(&["kubelet-start"])?;
    let back = uptime();
    until("the pod that kept its state is back", RECOVERY, || {
        let pod = field.world.cluster.pod("hook", "keeps")?;
        ensure(pod.is_ready() && pod.restarts("app") > 0, || pod.state())
    })?;
    let kept = field.world.started_with_files("hook", "keeps", path)? - back;
    let restarts = field.world.cluster.pod("hook", "keeps")?.restarts("vouchsafe-sidecar");
    ensure(restarts > keeps, || "the node's restart did not reach the sidecar".to_owned())?;
    let message = until("the pod that lost its state says why it waits", RECOVERY, || {
        let pod = field.world.cluster.pod("hook", "loses")?;
        let status = pod.container("vouchsafe-sidecar").clone();
        let states = ["lastState", "state"].iter();
        let mut messages = states.filter_map(|state| status[state]["terminated"]["message"].as_str());
        let found = messages.find(|message| message.contains("E-VLT-") || message.contains("E-NET-"));
        found.map(str::to_owned).ok_or_else(|| Failure(pod.state()))
    })?;
    let pod = field.world.cluster.pod("hook", "loses")?;
    ensure(pod.container("app")["state"]["running"].is_null(), || format!("it runs bare: {}", pod.state()))?;
    let more = field.raft.logins().0 - logins;
    ensure(more == 0, || format!("{more} logins during the outage"))?;
    field.fault(Mode::Pass)?;
    let recovered = uptime();
    field.world.cluster.await_ready("hook", "loses", RECOVERY)?;
    let started = field.world.started_with_files("hook", "loses", path)? - recovered;
    field.world.cluster.kubectl(&["-n", "hook", "delete", "pod", "keeps", "loses", "--wait=false"])?;
    Ok(format!(
        "{ended} processes ended; with its state a pod was back {kept:.0} s after the kubelet's start, without ({lost} volumes \
         lost) {started:.0} s after recovery; it had said: {}",
        message.trim()
    ))
}

/// SIGKILL for the processes of all containers, and for the shims that hold them: all that a reboot ends.
fn end_containers(field: &Field) -> Outcome<usize> {
    let network = fs::read_link(format!("/proc/{}/ns/pid", component(field, "kube-apiserver")?))?;
    let mut ended = 0;
    for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let is_shim = is_shim_of(&entry.path(), &network);
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let is_contained = groups.contains(&format!("/vouchsafe-{}/kubepods", crate::smoke::cluster::name()));
        if is_shim || is_contained {
            // It may have ended with the one before it.
            let _ = signal("KILL", process);
            ended += 1;
        }
    }
    ensure(ended > 3, || format!("only {ended} processes of containers were found"))?;
    Ok(ended)
}

fn component(field: &Field, name: &str) -> Outcome<u32> {
    let text = field.world.cluster.script(&["pid", name])?;
    text.trim().parse().map_err(|_| Failure(format!("{name} does not run")))
}

/// Whether it is containerd's shim in the process namespace of our node.
fn is_shim_of(process: &Path, namespace: &Path) -> bool {
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_shim = program.ends_with(b"/containerd-shim-runc-v2") || program == b"containerd-shim-runc-v2";
    is_shim && fs::read_link(process.join("ns/pid")).is_ok_and(|own| own == namespace)
}

/// Unmounts a pod's memory volumes, as a reboot does.
fn forget_volumes(field: &Field, uid: &str) -> Outcome<usize> {
    let mounts = field.world.cluster.script(&["node", "cat", "/proc/self/mounts"])?;
    let ours = |path: &&str| path.contains(uid) && path.contains("/kubernetes.io~empty-dir/");
    let volumes: Vec<PathBuf> =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(ours).map(PathBuf::from).collect();
    for volume in &volumes {
        field.world.cluster.script(&["node", "umount", &volume.display().to_string()])?;
    }
    ensure(!volumes.is_empty(), || format!("pod {uid} has no memory volume among {} mounts", mounts.lines().count()))?;
    Ok(volumes.len())
}

/// The kubelet starts, notices that sandboxes are gone, and starts pods anew; a waiting one is tried again after up to 40 s.
const RECOVERY: Duration = Duration::from_secs(90);
