//! The house keeps its shape: dependencies point one way, and what a crate may not link, it does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end")]

use std::collections::BTreeMap;
use std::fs;

use vouchsafe_tests::workspace;

/// Crate folder and the crates of ours that it may depend on, outside of tests.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("crates/model", &[]),
    ("crates/template", &["model"]),
    ("crates/net", &["model", "template"]),
    ("policies", &["model", "template"]),
    ("webhook", &["model", "template", "net", "policies"]),
    ("sidecar", &["model", "template", "net"]),
    ("broker", &["model", "template", "net", "policies"]),
    ("controller", &["model", "template", "net", "policies"]),
    ("cli", &["model", "template", "net", "policies", "webhook", "sidecar", "broker", "controller"]),
    ("tests", &["model", "template", "net", "policies", "webhook", "sidecar", "broker", "controller"]),
];

/// Names in the `[dependencies]` table of a crate (not dev- or build-dependencies).
fn dependencies(folder: &str) -> Vec<String> {
    let text = fs::read_to_string(workspace().join(folder).join("Cargo.toml")).unwrap();
    let table = text.split("\n[").find_map(|part| part.strip_prefix("dependencies]")).unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn dependencies_point_one_way_and_roles_never_depend_on_each_other() {
    for (folder, allowed) in ALLOWED {
        for name in dependencies(folder) {
            if let Some(ours) = name.strip_prefix("vouchsafe-") {
                assert!(allowed.contains(&ours), "{folder} may not depend on vouchsafe-{ours}");
            }
        }
    }
}

#[test]
fn every_crate_of_the_workspace_is_in_the_table() {
    let root = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let members = root.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let mut members: Vec<&str> = members.split(',').map(|member| member.trim().trim_matches('"')).collect();
    let mut table: Vec<&str> = ALLOWED.iter().map(|(folder, _)| *folder).collect();
    members.sort_unstable();
    table.sort_unstable();
    assert_eq!(members, table);
}

#[test]
fn versions_stand_at_the_root_only() {
    for (folder, _) in ALLOWED {
        let text = fs::read_to_string(workspace().join(folder).join("Cargo.toml")).unwrap();
        let offending: Vec<&str> = text
            .split("\n[")
            .filter(|table| table.split(']').next().is_some_and(|name| name.ends_with("dependencies")))
            .flat_map(str::lines)
            .filter(|line| {
                line.contains("version = \"") || line.split('=').nth(1).is_some_and(|v| v.trim().starts_with('"'))
            })
            .collect();
        assert!(offending.is_empty(), "{folder}: {offending:?}");
    }
}

#[test]
fn pure_crates_do_no_io() {
    for (folder, forbidden) in BTreeMap::from([
        ("crates/model", ["tokio", "hyper", "rustix", "kube"].as_slice()),
        ("crates/template", &["tokio", "hyper", "rustix", "kube"]),
        ("policies", &["tokio", "hyper", "kube"]),
        ("sidecar", &["kube", "clap", "regex", "reqwest", "vaultrs"]),
    ]) {
        for name in dependencies(folder) {
            assert!(!forbidden.contains(&name.as_str()), "{folder} may not depend on {name}");
        }
    }
}

#[test]
fn source_files_stay_readable() {
    let mut long = Vec::new();
    for (folder, _) in ALLOWED {
        let mut folders = vec![workspace().join(folder).join("src")];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("tests.rs")) {
                    // Nothing but tests.
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
                    if lines > 600 {
                        long.push(format!("{}: {lines} lines", path.display()));
                    }
                }
            }
        }
    }
    assert!(long.is_empty(), "split by noun: {long:#?}");
}
