//! What is allowed and still deserves a look before it is merged.
//!
//! Nothing here is an error: a shared path may be meant, a world-readable file may be needed. `check` reports faults,
//! `lint` asks questions. Out of scope: what pods ask for by annotation.

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_model::plan::Engine;

use crate::fault::At;
use crate::grant::{FileContent, Grant, GrantSecret, GrantSet};
use crate::template;

/// One remark about a Grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it stands.
    pub at: Option<At>,
    /// The Grant concerned: `monitoring/grafana-sso`.
    pub grant: String,
    /// What was found and what to do if it is not meant.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(at) = &self.at {
            write!(formatter, "{at}: ")?;
        }
        write!(formatter, "Grant {}: {}", self.grant, self.message)
    }
}

/// Looks over all Grants; findings are sorted and each stands once.
pub fn lint(grants: &GrantSet) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    let mut readers: BTreeMap<(&str, &str), Vec<(&Grant, &GrantSecret)>> = BTreeMap::new();
    for grant in grants.iter() {
        for secret in &grant.secrets {
            readers.entry((secret.mount.as_str(), secret.path.as_str())).or_default().push((grant, secret));
        }
        unused_secrets(grant, &mut findings);
        open_files(grant, &mut findings);
        pinned_versions(grant, &mut findings);
    }
    for ((mount, path), readers) in &readers {
        shared_path(&format!("{mount}/{path}"), readers, &mut findings);
    }
    findings.into_iter().collect()
}

/// A path that several Grants name: who else reads it, and that `keys` does not separate them.
fn shared_path(path: &str, readers: &[(&Grant, &GrantSecret)], findings: &mut BTreeSet<Finding>) {
    for (grant, secret) in readers {
        let others: Vec<&(&Grant, &GrantSecret)> =
            readers.iter().filter(|(other, _)| other.label() != grant.label()).collect();
        if others.is_empty() {
            continue;
        }
        let names: BTreeSet<String> = others
            .iter()
            .map(|(other, _)| {
                let accounts: Vec<&str> =
                    other.service_accounts.iter().map(vouchsafe_model::name::ServiceAccount::as_str).collect();
                format!("Grant {} ({})", other.label(), accounts.join(", "))
            })
            .collect();
        let names = names.into_iter().collect::<Vec<_>>().join("; ");
        findings.insert(finding(grant, secret.at.as_ref(), format!("{path} is also read by {names}")));
        let keys = |secret: &GrantSecret| secret.keys.iter().cloned().collect::<BTreeSet<_>>();
        if others.iter().any(|(_, other)| keys(other) != keys(secret)) {
            let message = format!(
                "keys limits what is delivered, not what may be read: every reader of {path} may read all its keys; split the secret if they should not"
            );
            findings.insert(finding(grant, secret.at.as_ref(), message));
        }
    }
}

/// Secrets that the Grant allows and does not deliver, where it delivers anything.
fn unused_secrets(grant: &Grant, findings: &mut BTreeSet<Finding>) {
    if grant.deliver.files.is_empty() && grant.deliver.env.is_empty() {
        return;
    }
    let mut used: BTreeSet<String> = grant.deliver.env.iter().map(|entry| entry.secret.name.to_string()).collect();
    for file in &grant.deliver.files {
        match &file.content {
            FileContent::Key { secret, .. } => {
                used.insert(secret.name.to_string());
            }
            FileContent::Template { text, delimiters, .. } => {
                let reads = template::reads(file.name.as_str(), text, delimiters.as_ref());
                used.extend(reads.into_iter().flatten().map(|read| read.secret));
            }
        }
    }
    for secret in grant.secrets.iter().filter(|secret| !used.contains(secret.name.as_str())) {
        let message =
            format!("secret {} is allowed but not delivered; remove it unless a pod's annotation uses it", secret.name);
        findings.insert(finding(grant, secret.at.as_ref(), message));
    }
}

/// Files whose Grant opens them to every process of the container.
fn open_files(grant: &Grant, findings: &mut BTreeSet<Finding>) {
    for file in &grant.deliver.files {
        if let Some(mode) = file.mode.filter(|mode| mode.bits() & 0o004 != 0) {
            let message = format!(
                "file {} has mode {mode}: every process in the container can read it; where the pod has an fsGroup, 0440 is enough",
                file.name
            );
            findings.insert(finding(grant, file.at.as_ref(), message));
        }
    }
}

/// Versions that a rotation does not reach.
fn pinned_versions(grant: &Grant, findings: &mut BTreeSet<Finding>) {
    for secret in grant.secrets.iter().filter(|secret| secret.engine == Engine::KvV2) {
        if let Some(version) = secret.version {
            let message =
                format!("secret {} is pinned to version {version}: no rotation reaches its readers", secret.name);
            findings.insert(finding(grant, secret.at.as_ref(), message));
        }
    }
}

fn finding(grant: &Grant, at: Option<&At>, message: String) -> Finding {
    Finding { at: at.or(grant.at.as_ref()).cloned(), grant: grant.label(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_paths_unused_secrets_open_files_and_pins_are_found() {
        let text = "
apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {name: a, namespace: one}
spec:
  serviceAccounts: [app]
  secrets:
  - {name: x, path: secret/shared, keys: [left]}
  - {name: idle, path: secret/idle, version: 3}
  deliver:
    files:
    - {name: left, secret: x, key: left, mode: \"0444\"}
---
apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {name: b, namespace: two}
spec:
  serviceAccounts: [job, other]
  secrets:
  - {name: y, path: secret/shared, keys: [right]}
";
        let set = GrantSet::read(&[("f.yaml".to_owned(), text.to_owned())]).unwrap();
        let shown: Vec<String> = lint(&set).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "f.yaml:8:5: Grant one/a: keys limits what is delivered, not what may be read: every reader of secret/shared may read all its keys; split the secret if they should not",
                "f.yaml:8:5: Grant one/a: secret/shared is also read by Grant two/b (job, other)",
                "f.yaml:9:5: Grant one/a: secret idle is allowed but not delivered; remove it unless a pod's annotation uses it",
                "f.yaml:9:5: Grant one/a: secret idle is pinned to version 3: no rotation reaches its readers",
                "f.yaml:12:7: Grant one/a: file left has mode 0444: every process in the container can read it; where the pod has an fsGroup, 0440 is enough",
                "f.yaml:20:5: Grant two/b: keys limits what is delivered, not what may be read: every reader of secret/shared may read all its keys; split the secret if they should not",
                "f.yaml:20:5: Grant two/b: secret/shared is also read by Grant one/a (app)",
            ]
        );
    }

    #[test]
    fn grants_that_share_nothing_are_left_in_peace() {
        let text = "apiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {name: a, namespace: one}\nspec: {serviceAccounts: [app], secrets: [{name: x, path: secret/x}]}";
        let set = GrantSet::read(&[("f.yaml".to_owned(), text.to_owned())]).unwrap();
        assert_eq!(lint(&set), []);
    }
}
