//! `GrantSet`: all Grants that are known, by namespace and name.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vouchsafe_model::name::{GrantName, Namespace, ServiceAccount};
use vouchsafe_model::text::quoted;

use super::{Grant, read};
use crate::fault::Fault;
use crate::yaml::{self, Content, Node};

/// Grants that do not contradict each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantSet {
    grants: BTreeMap<(Namespace, GrantName), Grant>,
}

impl GrantSet {
    /// Reads files, given as name and text. Several documents and `kind: List` are welcome; anything but Grants is a
    /// fault.
    pub fn read(sources: &[(String, String)]) -> Result<Self, Vec<Fault>> {
        let mut set = Self::default();
        let mut faults = Vec::new();
        for (name, text) in sources {
            match yaml::documents(name, text) {
                Ok(documents) => documents.iter().for_each(|document| set.take(document, &mut faults)),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(set) } else { Err(faults) }
    }

    /// Reads every `*.yaml`, `*.yml` and `*.json` below `folder`. Names that begin with a dot are passed over, as in a
    /// mounted ConfigMap.
    pub fn read_folder(folder: &Path) -> Result<Self, Vec<Fault>> {
        let mut files = Vec::new();
        let mut faults = Vec::new();
        collect(folder, 0, &mut files, &mut faults);
        files.sort();
        let mut sources = Vec::new();
        for file in files {
            match read_file(&file) {
                Ok(text) => sources.push((file.display().to_string(), text)),
                Err(message) => faults.push(Fault::new(None, file.display().to_string(), message)),
            }
        }
        match Self::read(&sources) {
            Ok(set) if faults.is_empty() => Ok(set),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }

    /// Takes objects as the Kubernetes API hands them out: good ones are kept, bad ones are reported by namespace and
    /// name.
    pub fn from_objects(values: impl IntoIterator<Item = Value>) -> (Self, Vec<Fault>) {
        let mut set = Self::default();
        let mut faults = Vec::new();
        for value in values {
            let mut found = Vec::new();
            set.take(&Node::from_json(&value), &mut found);
            let part = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
            let label = format!("{}/{}", part("/metadata/namespace"), part("/metadata/name"));
            faults.extend(found.into_iter().map(|mut fault| {
                fault.message = format!("{} (Grant {})", fault.message, quoted(&label).trim_matches('"'));
                fault
            }));
        }
        (set, faults)
    }

    /// The Grant of that name in that namespace.
    pub fn get(&self, namespace: &Namespace, name: &GrantName) -> Option<&Grant> {
        self.grants.get(&(namespace.clone(), name.clone()))
    }

    /// All Grants, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.grants.values()
    }

    /// The Grants that list `service_account` of `namespace`.
    pub fn allowing<'a>(
        &'a self,
        namespace: &'a Namespace,
        service_account: &'a ServiceAccount,
    ) -> impl Iterator<Item = &'a Grant> {
        self.grants.values().filter(move |grant| grant.namespace == *namespace && grant.allows(service_account))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// Adds the Grants of one document.
    fn take(&mut self, document: &Node, faults: &mut Vec<Fault>) {
        let is_list =
            document.get("kind").and_then(Node::as_text).is_some_and(|kind| matches!(kind, "List" | "GrantList"));
        match document.get("items").map(|items| &items.content) {
            Some(Content::List(items)) if is_list => {
                for item in items {
                    self.take_one(item, faults);
                }
            }
            _ => self.take_one(document, faults),
        }
    }

    fn take_one(&mut self, document: &Node, faults: &mut Vec<Fault>) {
        let Some(grant) = read::grant(document, faults) else { return };
        if let Some(fault) = self.contradiction(&grant) {
            faults.push(fault);
            return;
        }
        match self.grants.entry((grant.namespace.clone(), grant.name.clone())) {
            btree_map::Entry::Vacant(place) => {
                place.insert(grant);
            }
            btree_map::Entry::Occupied(first) => {
                let message = format!(
                    "Grant {} stands twice{}; remove one",
                    grant.label(),
                    first.get().at.as_ref().map(|at| format!(", first at {at}")).unwrap_or_default()
                );
                faults.push(Fault::new(grant.at, "metadata.name", message));
            }
        }
    }

    /// One role has one audience: Grants of the same service account and auth mount must agree on it.
    fn contradiction(&self, grant: &Grant) -> Option<Fault> {
        let is_managed = |grant: &Grant| grant.vault.role.is_none();
        let other = self.grants.values().find(|other| {
            is_managed(other)
                && is_managed(grant)
                && other.namespace == grant.namespace
                && other.vault.auth_path == grant.vault.auth_path
                && other.vault.audience != grant.vault.audience
                && other.service_accounts.iter().any(|account| grant.allows(account))
        })?;
        let shown =
            |grant: &Grant| grant.vault.audience.as_ref().map_or("the installation's".to_owned(), ToString::to_string);
        let message = format!(
            "audience is {} here and {} in Grant {}{}, but both make the role of the same service account; make them equal",
            shown(grant),
            shown(other),
            other.label(),
            other.place()
        );
        Some(Fault::new(grant.at.clone(), "spec.vault.audience", message))
    }
}

/// Finds files, depth first; follows links to files but not to folders, so that no circle exists.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, faults: &mut Vec<Fault>) {
    let mut fail = |message: String| faults.push(Fault::new(None, folder.display().to_string(), message));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return fail(format!("cannot read this folder: {error}")),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return fail(format!("cannot read this folder: {error}")),
        };
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(path);
        } else if path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending)) {
            files.push(path);
        }
        if files.len() > FILES {
            return fail(format!("holds more than {FILES} files; split it"));
        }
    }
    if depth >= FOLDER_DEPTH && !folders.is_empty() {
        return fail(format!("has folders more than {FOLDER_DEPTH} deep; flatten it"));
    }
    for path in folders {
        collect(&path, depth + 1, files, faults);
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err("is no regular file; remove or rename it".to_owned());
    }
    if metadata.len() > FILE_BYTES {
        return Err(format!("is {} bytes long, the limit is {FILE_BYTES}; split it", metadata.len()));
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes)
        .map_err(|error| format!("is not UTF-8 (byte {}); save it as UTF-8 text", error.utf8_error().valid_up_to() + 1))
}

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Largest file that is opened at all; the YAML reader has the finer limit.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Most files of one folder tree.
const FILES: usize = 10_000;
/// Deepest folder tree.
const FOLDER_DEPTH: usize = 8;
