//! Changing every secret once, and measuring how long until each pod's files are new.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use vouchsafe_model::plan::{Content, Engine, PLAN_VARIABLE, Plan};

use super::container::list;
use super::node::RunningPod;
use super::servers::Servers;
use super::setup;

/// One changed secret and the files that followed.
#[derive(Debug)]
pub(crate) struct Changed {
    /// `secret/argocd/github-oauth`.
    pub(crate) path: String,
    /// The new version.
    pub(crate) version: u64,
    /// Files replaced: (pod, container and path, delay; `None` where it did not happen in time).
    pub(crate) files: Vec<(String, String, Option<Duration>)>,
}

/// The Plan that the webhook put into a patched pod.
pub(crate) fn plan_of(pod: &Value) -> Result<Plan> {
    let text = list(pod.get("spec").unwrap_or(&Value::Null), "initContainers")
        .chain(list(pod.get("spec").unwrap_or(&Value::Null), "containers"))
        .flat_map(|container| list(container, "env"))
        .find(|variable| variable.get("name").and_then(Value::as_str) == Some(PLAN_VARIABLE))
        .and_then(|variable| variable.get("value").and_then(Value::as_str))
        .context("the patched pod carries no Plan")?;
    Ok(Plan::from_json(text)?)
}

/// Writes a new version of every KV v2 secret that a running pod has, one after the other.
pub(crate) async fn change_each_once(
    servers: &Servers,
    plans: &[(usize, Plan)],
    running: &[RunningPod],
) -> Result<Vec<Changed>> {
    let paths: BTreeSet<String> = plans
        .iter()
        .flat_map(|(_, plan)| &plan.secrets)
        .filter(|secret| secret.engine == Engine::KvV2 && secret.version.is_none())
        .map(vouchsafe_model::plan::PlanSecret::api_path)
        .collect();
    let mut changes = Vec::new();
    for path in paths {
        let watched = watched_files(&path, plans, running);
        let before: Vec<Option<PathBuf>> = watched.iter().map(|file| generation(&file.folder)).collect();
        let version = setup::change(&servers.vault, &servers.root_token, &path).await?;
        let written = Instant::now();
        let mut files = Vec::new();
        for (file, before) in watched.into_iter().zip(before) {
            let delay = until_replaced(&file.folder, before.as_deref(), written).await;
            files.push((file.pod, file.shown, delay));
        }
        changes.push(Changed { path: path.replacen("/data/", "/", 1), version, files });
    }
    Ok(changes)
}

/// A delivered file that depends on the changed path.
struct Watched {
    pod: String,
    shown: String,
    folder: PathBuf,
}

fn watched_files(path: &str, plans: &[(usize, Plan)], running: &[RunningPod]) -> Vec<Watched> {
    let mut watched = Vec::new();
    for (index, plan) in plans {
        let Some(pod) = running.get(*index) else { continue };
        let depends = |secret: &usize| plan.secrets.get(*secret).is_some_and(|secret| secret.api_path() == path);
        for file in &plan.files {
            let concerned = match &file.content {
                Content::Key { secret, .. } => depends(secret),
                Content::Template(template) => template.roots.values().any(depends),
                Content::Agent(template) => template.reads.iter().any(depends),
                Content::Token => false,
            };
            let Some(volume) = plan.volumes.get(file.volume).filter(|_| concerned) else { continue };
            let found = pod.volumes.iter().find(|(container, mount, _)| {
                *container == volume.container.as_str() && *mount == volume.mount_path.as_str()
            });
            if let Some((container, mount, folder)) = found {
                watched.push(Watched {
                    pod: format!("{}/{}", pod.identity.namespace, pod.identity.name),
                    shown: format!("{container}:{mount}/{}", file.name),
                    folder: folder.clone(),
                });
            }
        }
    }
    watched
}

/// The generation that a volume shows now.
fn generation(folder: &Path) -> Option<PathBuf> {
    std::fs::read_link(folder.join("..data")).ok()
}

async fn until_replaced(folder: &Path, before: Option<&Path>, since: Instant) -> Option<Duration> {
    while since.elapsed() < PATIENCE {
        if generation(folder).as_deref() != before {
            return Some(since.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

/// How long a change may take before it counts as not arrived.
const PATIENCE: Duration = Duration::from_secs(10);
