//! What the stand-in app says, see `tests/real/images/app.sh`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One block of its log: what it saw at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    /// `start` or `change`.
    pub(crate) kind: String,
    /// Seconds of uptime.
    pub(crate) at: f64,
    /// SHA-256 by file name below the app's folder.
    pub(crate) files: BTreeMap<String, String>,
    /// Permission bits by file name.
    pub(crate) modes: BTreeMap<String, String>,
    /// Whether its end was written.
    pub(crate) ended: bool,
}

/// Blocks in the log files of a pod's container `app` below the node's folder of logs. Asking the API server takes a hundred
/// times as long, and does not work while the kubelet is away. `prefix` is `NAMESPACE_POD_`, or its beginning.
pub(crate) fn blocks_on_node(logs: &Path, prefix: &str) -> Vec<(String, Vec<Block>)> {
    let entries = fs::read_dir(logs).into_iter().flatten().filter_map(Result::ok);
    let pods = entries.filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path())));
    let said = |folder: &Path| blocks(&plain(&starts(folder)));
    pods.filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, folder)| (name, said(&folder.join("app"))))
        .filter(|(_, said)| !said.is_empty())
        .collect()
}

/// The logs `0.log`, `1.log`, … of a container's starts, as far as they are still there, one behind the other: one that was
/// killed before it ran has left an empty log.
fn starts(folder: &Path) -> String {
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let number = |file: &PathBuf| file.file_stem()?.to_str()?.parse::<u32>().ok();
    let files: BTreeMap<u32, PathBuf> = files.filter_map(|file| Some((number(&file)?, file))).collect();
    files.values().filter_map(|file| fs::read_to_string(file).ok()).collect()
}

/// Text of a log as container runtimes write it: `2026-01-01T00:00:00.000000000Z stdout F TEXT`.
fn plain(log: &str) -> String {
    log.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect::<Vec<_>>().join("\n")
}

/// Splits a log into blocks; other lines are passed over.
pub(crate) fn blocks(log: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words.as_slice(), blocks.last_mut()) {
            ([kind @ ("start" | "change"), at], _) => blocks.push(Block {
                kind: (*kind).to_owned(),
                at: at.parse().unwrap_or_default(),
                files: BTreeMap::new(),
                modes: BTreeMap::new(),
                ended: false,
            }),
            (["file", digest, mode, _, path], Some(block)) => {
                let name = path.trim_start_matches("/vouchsafe/secrets/");
                block.files.insert(name.to_owned(), (*digest).to_owned());
                block.modes.insert(name.to_owned(), (*mode).to_owned());
            }
            (["end", ..], Some(block)) => block.ended = true,
            _ => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_on_the_node_is_read_without_its_times() {
        let folder = tempfile::tempdir().unwrap();
        let app = folder.path().join("hook_web_1234/app");
        fs::create_dir_all(&app).unwrap();
        fs::write(app.join("0.log"), "T1 stdout F start 10.50\nT2 stdout F file aa 444 0:0 /vouchsafe/secrets/a\n")
            .unwrap();
        let found = blocks_on_node(folder.path(), "hook_web_");
        assert_eq!((found.len(), found[0].0.as_str()), (1, "hook_web_1234"));
        assert_eq!(found[0].1[0].files["a"], "aa");
        assert!(blocks_on_node(folder.path(), "hook_other_").is_empty());
    }

    #[test]
    fn a_log_of_two_blocks_is_read() {
        let log = "start 10.50\nfile aa 444 0:0 /vouchsafe/secrets/a\nend 1 10.52\nnoise\nchange 12.00\nend 0 12.10\n";
        let found = blocks(log);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind.as_str(), found[0].at, found[0].files["a"].as_str()), ("start", 10.5, "aa"));
        assert!(found[0].ended && found[1].files.is_empty());
    }
}
