//! Pods as an API server would send them to the webhook, made from manifests of any workload. Pure but for reading files.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use vouchsafe_model::Workload;
use vouchsafe_model::name::{Namespace, ServiceAccount};
use vouchsafe_net::random;
use vouchsafe_policies::manifest::{self, Manifest};

use super::container::{PodIdentity, text};
use super::issuer::{NODE, stable_uid};
use crate::grants::collect;
use crate::offline::count;
use crate::output::note;

/// A pod before admission, and where it came from.
pub(crate) struct Pod {
    /// `Deployment argocd/argocd-dex-server`.
    pub(crate) owner: String,
    /// The manifest, for `explain`.
    pub(crate) manifest: Manifest,
    /// The Pod object as the API server sends it at CREATE.
    pub(crate) object: Value,
    /// Who it will be.
    pub(crate) identity: PodIdentity,
    /// The same, typed.
    pub(crate) workload: Workload,
}

/// Reads every workload of the given files and folders.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Pod>> {
    let mut sources = Vec::new();
    for path in paths {
        collect(path, &mut sources)?;
    }
    let mut pods = Vec::new();
    let mut faults = 0;
    for (name, content) in &sources {
        match manifest::read(name, content) {
            Ok(manifests) => {
                for manifest in manifests {
                    if manifest.pod_template.is_some() {
                        pods.push(from_manifest(manifest)?);
                    }
                }
            }
            Err(found) => {
                faults += found.len();
                for fault in &found {
                    note(fault.to_string());
                }
            }
        }
    }
    if faults > 0 {
        bail!("{} in the manifests; nothing was started", count(faults, "fault"));
    }
    if pods.is_empty() {
        let files: Vec<&str> = sources.iter().map(|(name, _)| name.as_str()).collect();
        bail!("no Pod, Deployment, StatefulSet, DaemonSet, Job or CronJob in {}", files.join(", "));
    }
    Ok(pods)
}

fn from_manifest(manifest: Manifest) -> Result<Pod> {
    let template = manifest.pod_template.clone().unwrap_or(Value::Null);
    let namespace: Namespace = match &manifest.namespace {
        Some(namespace) => namespace.clone(),
        None => "default".parse()?,
    };
    let owner_name = manifest.name.clone();
    let name = match manifest.kind.as_str() {
        // A generateName, as the API server completes it.
        "Pod" if owner_name.ends_with('-') => format!("{owner_name}{}", suffix(&owner_name)),
        "Pod" => owner_name.clone(),
        "StatefulSet" => format!("{owner_name}-0"),
        _ => format!("{owner_name}-{}", suffix(&owner_name)),
    };
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template.get("metadata").cloned().unwrap_or_else(|| json!({})),
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
    });
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), json!(name));
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    let account = text(object.get("spec").unwrap_or(&Value::Null), "serviceAccountName");
    let account = if account.is_empty() { "default".to_owned() } else { account };
    let service_account: ServiceAccount = account.parse()?;
    let uid = random_uid();
    let workload = Workload {
        namespace: namespace.clone(),
        service_account,
        pod: Some(name.parse()?),
        pod_uid: Some(uid.parse()?),
    };
    let identity =
        PodIdentity { namespace: namespace.to_string(), name, uid, service_account: account, node: NODE.to_owned() };
    Ok(Pod { owner: format!("{} {namespace}/{owner_name}", manifest.kind), manifest, object, identity, workload })
}

/// The AdmissionReview that an API server posts for this pod.
pub(crate) fn review(pod: &Pod) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": random_uid(),
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "name": pod.identity.name,
            "namespace": pod.identity.namespace,
            "operation": "CREATE",
            "userInfo": {"username": "vouchsafe-dev", "groups": ["system:authenticated"]},
            "object": pod.object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

/// Five characters, always the same for the same owner, so that paths stay the same from run to run.
fn suffix(owner: &str) -> String {
    stable_uid(owner).chars().take(5).collect()
}

fn random_uid() -> String {
    stable_uid(&random::identifier())
}
