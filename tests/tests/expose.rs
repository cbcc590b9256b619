//! Every place that looks at a secret's bytes says why, and is listed in expose.txt: a new one is seen in review.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vouchsafe_tests::workspace;

/// Lines before a use in which its `// EXPOSE:` comment may stand.
const COMMENT_DISTANCE: usize = 8;

/// Source files of the crates, without tests.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let crates = [
        "crates/model",
        "crates/template",
        "crates/net",
        "policies",
        "webhook",
        "sidecar",
        "broker",
        "controller",
        "cli",
    ];
    let mut folders: Vec<PathBuf> = crates.iter().map(|name| workspace().join(name).join("src")).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() && name != "tests" {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs")
                && !name.ends_with("tests.rs")
                && name != "testing.rs"
            {
                found.push(entry);
            }
        }
    }
    found.sort();
    found
}

/// Lines of a file up to its unit tests.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).map(str::to_owned).collect()
}

fn is_use(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    // `Document::expose` is for documents; `Secret`'s two are what this counts. Both read alike, so both count.
    code.contains(".expose()") || code.contains(".expose_str()")
}

#[test]
fn every_use_of_expose_is_explained_and_listed() {
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    for path in sources() {
        let name = path.strip_prefix(workspace()).unwrap().display().to_string();
        let lines = code(&path);
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| is_use(line)) {
            *counted.entry(name.clone()).or_default() += 1;
            let before = &lines[number.saturating_sub(COMMENT_DISTANCE)..=number];
            if !before.iter().any(|line| line.contains("EXPOSE:")) {
                unexplained.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(unexplained.is_empty(), "say why with a comment `// EXPOSE: …`:\n{}", unexplained.join("\n"));
    let listed: BTreeMap<String, usize> = fs::read_to_string(workspace().join("expose.txt"))
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(' ').map(|(count, name)| (name.to_owned(), count.parse().unwrap())).unwrap())
        .collect();
    assert_eq!(counted, listed, "expose.txt lists other uses than the code has");
}
