//! Scenario: no value is anywhere but where it was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cluster::sidecar_of;
use super::outcome::{Outcome, ensure};
use super::process::{QUICK, run};
use super::world::World;

/// Searches everything that the run has left for the canaries: logs at trace level, the API server's audit log with
/// bodies, objects and events, the store's file, the broker's audit log, command lines and environments.
pub(crate) fn no_value_is_anywhere_else(world: &mut World) -> Outcome<String> {
    // The search itself: it must find the values where they belong.
    let sidecar = sidecar_of("steady")?.process;
    let volume = PathBuf::from(format!("/proc/{sidecar}/root/vouchsafe/internal/volumes"));
    let found = world.canaries.files_with(&[&volume])?;
    ensure(!found.is_empty(), || format!("the search finds nothing even in the memory volume {}", volume.display()))?;
    for (namespace, pod) in
        [("apps", "killed"), ("apps", "changing"), ("apps", "late"), ("apps", "steady"), ("strict", "signalled")]
    {
        let log = world.cluster.log(namespace, pod, "vouchsafe-sidecar")?;
        ensure(!log.is_empty(), || format!("the sidecar of {pod} has logged nothing"))?;
    }
    let environment = fs::read(format!("/proc/{sidecar}/environ"))?;
    let is_loud = environment.split(|byte| *byte == 0).any(|entry| entry == b"VOUCHSAFE_LOG=trace");
    ensure(is_loud && world.program_log("broker").contains("\"level\":\"debug\""), || {
        "the logs are not at trace level".to_owned()
    })?;
    let kinds = "pods,events,deployments,replicasets,jobs,configmaps,secrets,serviceaccounts,mutatingwebhookconfigurations,grants";
    let objects = world.cluster.kubectl(&["get", kinds, "-A", "-o", "yaml"])?;
    fs::write(world.path("log/objects.yaml"), objects)?;
    let metrics = world.api.request("GET", "/metrics", None)?;
    fs::write(world.path("log/metrics"), metrics.body.to_string())?;
    let audit = fs::read(world.cluster.work.join("log/audit.log"))?;
    let has_bodies = String::from_utf8_lossy(&audit).contains("requestObject");
    ensure(has_bodies, || "the API server's audit log holds no bodies".to_owned())?;
    let folders =
        [world.path("log"), world.path("broker"), world.path("grants"), world.cluster.work.clone(), world.bao_folder()];
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let found = world.canaries.files_with(&folders)?;
    ensure(found.is_empty(), || format!("values stand in {found:#?}"))?;
    let (seen, found) = world.canaries.processes_with()?;
    ensure(found.is_empty(), || format!("values stand in {found:#?}"))?;
    let bytes: u64 = folders.iter().map(|folder| size(folder)).sum();
    Ok(format!("{} MB of logs, objects and files and {seen} processes searched", bytes >> 20))
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return fs::symlink_metadata(path).map_or(0, |found| found.len()) };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |found| found.len()),
            _ => 0,
        })
        .sum()
}

impl World {
    /// Copies all logs to the folder that `VOUCHSAFE_SMOKE_LOGS` names, if it does.
    pub(crate) fn keep_logs_if_wanted(&self) -> Outcome {
        std::env::var_os("VOUCHSAFE_SMOKE_LOGS").map_or(Ok(()), |folder| self.keep_logs(Path::new(&folder)))
    }

    /// Copies all logs, for the person who looks into a run.
    pub(crate) fn keep_logs(&self, folder: &Path) -> Outcome {
        fs::create_dir_all(folder)?;
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(self.path("log"));
        copy.args([self.path("broker/audit")].iter().filter(|folder| folder.exists()));
        copy.args([self.cluster.work.join("log"), self.cluster.work.join("pods")].map(|from| from.join(".")));
        run(copy.arg(folder), "", QUICK)?.good("cp").map(drop)
    }

    /// Keeps a sidecar's log whose pod is about to go.
    pub(crate) fn keep_log(&self, namespace: &str, pod: &str) -> Outcome {
        let log = self.cluster.log(namespace, pod, "vouchsafe-sidecar")?;
        ensure(!log.is_empty(), || format!("the sidecar of {pod} has logged nothing"))?;
        Ok(fs::write(self.path(&format!("log/sidecar-{pod}")), log)?)
    }
}
