//! The audit log: an append-only chain of records in files, durable before any answer leaves.
//!
//! ```text
//! FOLDER/audit-00000001.jsonl   records 1…n, one JSON line each (vouchsafe_model::record), mode 0600
//! FOLDER/audit-00000002.jsonl   records n+1…; its first record names the hash of record n
//! FOLDER/head.json              the last record known durable, rewritten about once a second and at the end
//! FOLDER/lock                   held while a broker writes
//! ```
//! What this finds: every edit, removal, insertion and reordering inside the log, and a missing end down to what head.json
//! remembers. What it cannot find: a log rewritten from some record on by somebody who also rewrites head.json, and the
//! loss of the last second after a crash. Copy head.json to where the broker cannot write, and verify against the copy.

mod chain;
mod files;
mod head;
mod log;
pub mod query;
mod recover;
pub mod verify;

pub use self::files::{FILE_BYTES, LogError};
pub use self::head::Head;
pub use self::log::{AuditError, Log, LogOptions, LogState, QUEUE, Receipt, WAIT};

/// Names of the log's files, in order, in a folder.
pub(crate) fn file_names(folder: &std::path::Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        if let Some(name) = entry?.file_name().to_str().filter(|name| file_number(name).is_some()) {
            names.push(name.to_owned());
        }
    }
    names.sort_by_key(|name| file_number(name));
    Ok(names)
}

/// Name of the file with this number, from 1.
pub(crate) fn file_name(number: u64) -> String {
    format!("{FILE_PREFIX}{number:08}{FILE_SUFFIX}")
}

/// Number of a log file by its name.
pub(crate) fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(FILE_PREFIX)?.strip_suffix(FILE_SUFFIX)?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

const FILE_PREFIX: &str = "audit-";
const FILE_SUFFIX: &str = ".jsonl";
