//! Scenarios: the other two modes become ready, and deliver.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vouchsafe_policies::{GrantSet, compile};

use super::pods::{finds_its_files, pod};
use super::world::{Installation, START};
use crate::smoke::api::Api;
use crate::smoke::outcome::{Failure, Outcome, ensure};
use crate::smoke::process::{Daemon, until};

/// Without a broker: sidecars read from OpenBao itself.
pub(crate) fn direct(installation: &mut Installation) -> Outcome<String> {
    installation.install("direct")?;
    let brokers = installation.cluster.kubectl(&["-n", "vouchsafe", "get", "statefulsets", "-o", "name"])?;
    ensure(brokers.trim().is_empty(), || format!("there is still {brokers}"))?;
    let (started, _) = installation.start(&pod("straight"))?;
    finds_its_files(installation, &started)?;
    let said =
        installation.helm.run(&installation.cluster, &["test", "vouchsafe", "-n", "vouchsafe", "--timeout", "90s"])?;
    ensure(said.contains("Succeeded"), || said.clone())?;
    // No StatefulSet is there now, whose volumes no overlay could change.
    for overlay in ["store", "upstream", "direct"] {
        let folder = installation.repository.join("deploy/kustomize/overlays").join(overlay).display().to_string();
        let apply = ["apply", "--dry-run=server", "--server-side", "--force-conflicts", "-k", &folder];
        installation.cluster.kubectl(&apply)?;
    }
    Ok("a pod got its files from OpenBao itself; the API server takes every overlay of kustomize".to_owned())
}

/// With the embedded store, set up by the commands that the chart's notes name.
pub(crate) fn store(installation: &mut Installation) -> Outcome<String> {
    // Another mode's StatefulSet may be there, whose volumes cannot be changed.
    installation.uninstall()?;
    installation.install("store")?;
    let exec = ["-n", "vouchsafe", "exec", "vouchsafe-broker-0", "--", "/vouchsafe-broker", "root-token"];
    let token = installation.cluster.kubectl(&exec)?;
    let again = installation.cluster.try_kubectl(&exec, "")?;
    ensure(!again.ok, || "the root token was printed a second time".to_owned())?;
    let trust = installation.cluster.object("configmap", "vouchsafe", "vouchsafe-trust")?["data"]["ca.crt"].clone();
    let ca = installation.path("trust.crt");
    fs::write(&ca, trust.as_str().unwrap_or_default())?;
    let _forward = forward(installation, &ca)?;
    let api = Api::new(&installation.cluster.place, ADDRESS, &ca, token.trim());
    let folder = installation.repository.join("tests/install/grants");
    let grants = GrantSet::read_folder(&folder).map_err(|faults| Failure(format!("{} faults", faults.len())))?;
    api.apply(&compile(&grants))?;
    api.write("secret/odd/login", &json!(installation.put("secret/odd/login")?))?;
    let (started, _) = installation.start(&pod("stored"))?;
    finds_its_files(installation, &started)?;
    Ok("a pod got its files from the embedded store, whose root token was printed once".to_owned())
}

/// `kubectl port-forward` to the broker.
fn forward(installation: &Installation, ca: &Path) -> Outcome<Daemon> {
    let mut command = installation.cluster.place.command(installation.kubectl()?);
    command.env("KUBECONFIG", installation.cluster.work.join("pki/admin.kubeconfig"));
    command.args(["-n", "vouchsafe", "port-forward", "service/vouchsafe-broker", "18200:8200"]);
    let mut daemon = Daemon::start("port-forward", &mut command, &installation.path("port-forward.log"))?;
    let probe = Api::new(&installation.cluster.place, ADDRESS, ca, "");
    daemon.await_ready(START, || probe.good("GET", "/v1/sys/health", None).map(drop))?;
    until("the store is unsealed", Duration::from_secs(5), || {
        probe.good("GET", "/v1/sys/seal-status", None).map(drop)
    })?;
    Ok(daemon)
}

/// The forwarded port; `localhost` is among the names of the broker's certificate.
const ADDRESS: &str = "https://localhost:18200";
