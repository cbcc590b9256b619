//! What the stand-in app says, see `tests/real/images/app.sh`.

use std::collections::BTreeMap;

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
    fn a_log_of_two_blocks_is_read() {
        let log = "start 10.50\nfile aa 444 0:0 /vouchsafe/secrets/a\nend 1 10.52\nnoise\nchange 12.00\nend 0 12.10\n";
        let found = blocks(log);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind.as_str(), found[0].at, found[0].files["a"].as_str()), ("start", 10.5, "aa"));
        assert!(found[0].ended && found[1].files.is_empty());
    }
}
