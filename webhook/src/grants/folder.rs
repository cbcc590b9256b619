//! Grants from a folder: each file keeps its last good text.
//!
//! A file that is broken for a moment (an editor, a half-copied checkout) must not take the Grants of the other files, nor
//! its own, away. A file that is gone takes its Grants with it. Out of scope: noticing changes (`vouchsafe_net::watch`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use vouchsafe_policies::GrantSet;

/// A folder and what was last good in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    good: BTreeMap<String, String>,
    whole: Option<GrantSet>,
}

/// The result of a reading.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    /// The Grants to use; `None` if the folder was never readable.
    pub set: Option<GrantSet>,
    /// What is wrong, one line each.
    pub faults: Vec<String>,
}

impl Folder {
    /// A folder that was not read yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), good: BTreeMap::new(), whole: None }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the folder and merges it with what was good before.
    pub fn read(&mut self) -> Reading {
        let mut files = Vec::new();
        match collect(&self.path, 0, &mut files) {
            Ok(()) => self.merge(files),
            Err(problem) => Reading { set: self.whole.clone(), faults: vec![problem] },
        }
    }

    /// Merges the present files (name, and text or problem) with what was good before.
    fn merge(&mut self, files: Vec<(String, Result<String, String>)>) -> Reading {
        let mut faults = Vec::new();
        let mut next = BTreeMap::new();
        for (name, text) in files {
            let kept = self.good.get(&name).cloned();
            let judged = text.map_err(|problem| vec![problem]).and_then(|text| {
                let source = [(name.clone(), text)];
                let read = GrantSet::read(&source).map_err(|faults| faults.iter().map(ToString::to_string).collect());
                let [(_, text)] = source;
                read.map(|_| text)
            });
            match judged {
                Ok(text) => {
                    next.insert(name, text);
                }
                Err(problems) => {
                    let consequence =
                        if kept.is_some() { "its last good state stays in use" } else { "it is left out" };
                    faults.extend(problems.into_iter().map(|problem| format!("{problem} ({consequence})")));
                    if let Some(text) = kept {
                        next.insert(name, text);
                    }
                }
            }
        }
        let sources: Vec<(String, String)> = next.iter().map(|(name, text)| (name.clone(), text.clone())).collect();
        match GrantSet::read(&sources) {
            Ok(set) => {
                self.good = next;
                self.whole = Some(set);
            }
            Err(between) => faults.extend(
                between
                    .iter()
                    .map(|fault| format!("{fault} (files contradict each other; the last good state stays in use)")),
            ),
        }
        Reading { set: self.whole.clone(), faults }
    }
}

/// Collects `*.yaml`, `*.yml` and `*.json` below `folder`, sorted by name; names that begin with a dot are passed over, as
/// in a mounted ConfigMap.
fn collect(folder: &Path, depth: usize, files: &mut Vec<(String, Result<String, String>)>) -> Result<(), String> {
    let fail =
        |error: std::io::Error| format!("{}: read folder: {error}; check its path and permissions", folder.display());
    if depth > FOLDER_DEPTH {
        return Err(format!("{}: folders nest deeper than {FOLDER_DEPTH}; flatten them", folder.display()));
    }
    let mut entries = fs::read_dir(folder).map_err(fail)?.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let known = path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
        // `metadata` follows links: a mounted ConfigMap consists of them.
        match fs::metadata(&path) {
            _ if hidden => {}
            Ok(metadata) if metadata.is_dir() => collect(&path, depth + 1, files)?,
            Ok(_) if known => {
                if files.len() >= FILES {
                    return Err(format!("{}: more than {FILES} files of Grants; join some", folder.display()));
                }
                files.push((path.display().to_string(), text(&path)));
            }
            Err(error) if known => {
                files.push((path.display().to_string(), Err(format!("{}: {error}", path.display()))));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, String> {
    let fail = |error: std::io::Error| format!("{}: read file: {error}", path.display());
    let mut text = String::new();
    let file = fs::File::open(path).map_err(fail)?;
    file.take(FILE_BYTES + 1).read_to_string(&mut text).map_err(fail)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_BYTES {
        return Err(format!("{}: larger than {FILE_BYTES} bytes; split it", path.display()));
    }
    Ok(text)
}

/// Deepest nesting of folders: `platform/argocd/sso` and some reserve; a loop of links ends here.
const FOLDER_DEPTH: usize = 8;
/// Most files: a ConfigMap holds 1 MiB, a large platform a few hundred Grants.
const FILES: usize = 4096;
/// Largest file of Grants, as a ConfigMap's.
const FILE_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, account: &str) -> String {
        format!(
            "apiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {{name: {name}, namespace: ns}}\nspec:\n  \
             serviceAccounts: [{account}]\n  secrets:\n  - {{name: s, path: secret/a/b, keys: [k]}}\n"
        )
    }

    fn accounts(reading: &Reading) -> Vec<String> {
        let set = reading.set.as_ref().unwrap();
        set.iter().map(|grant| format!("{}:{}", grant.name, grant.service_accounts[0])).collect()
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_grants_and_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), grant("a", "one")).unwrap();
        fs::write(folder.path().join("b.yaml"), grant("b", "one")).unwrap();
        let mut source = Folder::new(folder.path());
        assert_eq!(accounts(&source.read()), ["a:one", "b:one"]);
        fs::write(folder.path().join("a.yaml"), "kind: [").unwrap();
        fs::write(folder.path().join("b.yaml"), grant("b", "two")).unwrap();
        let reading = source.read();
        assert_eq!(accounts(&reading), ["a:one", "b:two"]);
        assert!(reading.faults[0].contains("a.yaml"), "{:?}", reading.faults);
        assert!(reading.faults[0].ends_with("(its last good state stays in use)"), "{:?}", reading.faults);
    }

    #[test]
    fn a_file_that_is_gone_takes_its_grants_with_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), grant("a", "one")).unwrap();
        let mut source = Folder::new(folder.path());
        assert_eq!(accounts(&source.read()), ["a:one"]);
        fs::remove_file(folder.path().join("a.yaml")).unwrap();
        assert_eq!(source.read(), Reading { set: Some(GrantSet::default()), faults: Vec::new() });
    }

    #[test]
    fn files_that_contradict_each_other_leave_the_last_good_state() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), grant("a", "one")).unwrap();
        let mut source = Folder::new(folder.path());
        source.read();
        fs::write(folder.path().join("b.yaml"), grant("a", "two")).unwrap();
        let reading = source.read();
        assert_eq!(accounts(&reading), ["a:one"]);
        assert_eq!(reading.faults.len(), 1, "{:?}", reading.faults);
    }

    #[test]
    fn a_folder_that_cannot_be_read_was_never_loaded() {
        let reading = Folder::new(Path::new("/nowhere/at/all")).read();
        assert_eq!(reading.set, None);
        assert!(reading.faults[0].contains("/nowhere/at/all"));
    }

    #[test]
    fn hidden_files_and_other_endings_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".a.yaml"), "[").unwrap();
        fs::write(folder.path().join("README.md"), "[").unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/c.yml"), grant("c", "one")).unwrap();
        let reading = Folder::new(folder.path()).read();
        assert_eq!(accounts(&reading), ["c:one"]);
        assert!(reading.faults.is_empty());
    }
}
