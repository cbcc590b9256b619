//! Grants of the verbs that work offline: read from folders, and asked which keys they name.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use vouchsafe_model::name::KeyName;
use vouchsafe_model::path::{MountName, VaultPath};
use vouchsafe_policies::{FileContent, Grant, GrantSecret, GrantSet};

use crate::arguments::Policies;
use crate::output::note;

/// Reads every folder; prints all faults and fails when there is one.
pub(crate) fn read(policies: &Policies) -> Result<GrantSet> {
    let mut sources = Vec::new();
    for folder in &policies.policies {
        collect(folder, &mut sources)?;
    }
    GrantSet::read(&sources).or_else(|faults| {
        for fault in &faults {
            note(fault.to_string());
        }
        bail!("{} in the Grants; nothing was done", crate::offline::count(faults.len(), "fault"))
    })
}

/// Adds a file, or every `*.yaml`, `*.yml` and `*.json` of a folder (sorted), as name and text.
pub(crate) fn collect(path: &Path, sources: &mut Vec<(String, String)>) -> Result<()> {
    if path == Path::new("-") {
        let text = std::io::read_to_string(std::io::stdin()).context("read standard input")?;
        sources.push(("standard input".to_owned(), text));
        return Ok(());
    }
    if path.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(path)
            .with_context(|| format!("read the folder {}", path.display()))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<_>>()
            .with_context(|| format!("read the folder {}", path.display()))?;
        entries.sort();
        for entry in entries.iter().filter(|entry| is_manifest(entry)) {
            collect(entry, sources)?;
        }
        return Ok(());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    sources.push((path.display().to_string(), text));
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.is_file()
        && path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

/// Keys that Grants name for a path, sorted: those they allow, and those that their files and variables take.
pub(crate) fn keys_of(grants: &GrantSet, mount: &MountName, path: &VaultPath) -> Vec<KeyName> {
    let mut keys = BTreeSet::new();
    for grant in grants.iter() {
        for secret in grant.secrets.iter().filter(|secret| secret.mount == *mount && secret.path == *path) {
            keys.extend(needed_keys(grant, secret));
        }
    }
    keys.into_iter().collect()
}

/// Keys of one secret that its Grant allows or delivers.
pub(crate) fn needed_keys(grant: &Grant, secret: &GrantSecret) -> BTreeSet<KeyName> {
    let mut keys: BTreeSet<KeyName> = secret.keys.iter().cloned().collect();
    let named = |reference: &vouchsafe_policies::SecretRef| reference.name == secret.name;
    for file in &grant.deliver.files {
        match &file.content {
            FileContent::Key { secret: reference, key } if named(reference) => {
                keys.insert(key.clone());
            }
            FileContent::Template { text, delimiters, .. } => {
                keys.extend(template_keys(text, delimiters.as_ref(), secret));
            }
            FileContent::Key { .. } => {}
        }
    }
    keys.extend(grant.deliver.env.iter().filter(|entry| named(&entry.secret)).map(|entry| entry.key.clone()));
    keys
}

/// Keys that a template takes from the secret by name; what it computes cannot be known.
fn template_keys(text: &str, delimiters: Option<&(String, String)>, secret: &GrantSecret) -> Vec<KeyName> {
    let mut options = vouchsafe_template::Options::own();
    if let Some((left, right)) = delimiters {
        options = options.with_delimiters(left, right);
    }
    let Ok(template) = vouchsafe_template::Template::compile("template", text, &options) else { return Vec::new() };
    template
        .roots()
        .into_iter()
        .filter(|root| root.secret == secret.name.as_str())
        .filter_map(|root| root.key.and_then(|key| key.parse().ok()))
        .collect()
}
