//! `Record`: one audit line, and its canonical text.
//!
//! ```text
//! {"v":1,"sequence":7,"time":"2026-08-01T10:00:00.123456Z","phase":"outcome",…,"previous":"<64 hex>","hash":"<64 hex>"}
//! ```
//! One record is one line of JSON: fixed order of fields, absent fields left out, no blanks. `hash` is SHA-256 over the
//! bytes of the previous record's hash followed by the line without its own hash, so every line vouches for all lines
//! before it. A record says who, what, when and how it ended, and never a value: there is no field for one.
//! Out of scope: hashing and files (the broker does them), proofs for outsiders.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::workload::Workload;

/// Form of the line; a reader refuses what it does not know.
pub const RECORD_VERSION: u32 = 1;
/// What the first record of a log names as its predecessor: 32 zero bytes in hex.
pub const NO_PREVIOUS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One audit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Form of the line: [`RECORD_VERSION`].
    pub v: u32,
    /// Number of the record in its log, from 1, without gaps, across files.
    pub sequence: u64,
    /// When it was written: RFC 3339, UTC, microseconds.
    pub time: String,
    /// What was recorded.
    #[serde(flatten)]
    pub entry: Entry,
    /// Hash of the record before it, 64 hex digits; [`NO_PREVIOUS`] for the first.
    pub previous: String,
}

/// What is recorded, before it has a place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Which part of the event this is.
    pub phase: Phase,
    /// The broker's id of the request; intent and outcome share it. Empty in notes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// What was done: `read`, `write`, `list`, `login`, `ack`, `goodbye`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// Canonical API path without `/v1/`; segments that look like tokens are replaced by `<hidden>`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Vault namespace, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_namespace: Option<String>,
    /// Who asked, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Whether the upstream vouched for `workload` by accepting exactly the token that says so.
    #[serde(default)]
    pub verified: bool,
    /// Vault role of the login, as the upstream named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// HMAC of the token's accessor under the cluster's key, 64 hex digits: joins records of all replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessor: Option<String>,
    /// Address of the client's connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// How it ended; absent in an intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// HTTP status of the upstream's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// KV version read, written or held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Grant that allowed it, where known: `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The upstream's id of the request: joins its own audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_request: Option<String>,
    /// What the log says of itself; only in notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// Which part of an event a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Somebody is about to change something; an outcome follows unless the broker died.
    Intent,
    /// How it ended. For plain reads the only record.
    Outcome,
    /// The log speaks of itself.
    Note,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The upstream answered it.
    Allowed,
    /// The upstream refused it (403), or the broker did.
    Denied,
    /// It failed without effect.
    Failed,
    /// No answer came; it may have taken effect.
    Unknown,
}

/// What a log says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Note {
    /// What happened.
    pub event: NoteEvent,
    /// In words.
    pub text: String,
}

/// What happened to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteEvent {
    /// A broker began to write.
    Opened,
    /// The log goes on in this file.
    Continued,
    /// Something unfinished and never answered was cut off.
    Recovered,
    /// The log could not be written for a while; nothing was answered meanwhile.
    Outage,
    /// Somebody else changed the log.
    Damaged,
    /// The broker ended in good order.
    Closed,
}

impl Entry {
    /// An entry of `phase` with everything else absent.
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            request: String::new(),
            operation: String::new(),
            path: String::new(),
            vault_namespace: None,
            workload: None,
            verified: false,
            role: None,
            accessor: None,
            client: None,
            decision: None,
            status: None,
            version: None,
            grant: None,
            upstream_request: None,
            note: None,
        }
    }

    /// A note of the log about itself.
    pub fn note(event: NoteEvent, text: impl Into<String>) -> Self {
        let mut entry = Self::new(Phase::Note);
        entry.note = Some(Note { event, text: text.into() });
        entry
    }
}

impl Record {
    /// The canonical line without its own hash and without a newline: what is hashed.
    pub fn unsealed(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// The line with `hash` (64 hex digits) as its last field; no newline. `unsealed` is what [`Record::unsealed`] gave.
pub fn seal(unsealed: &str, hash: &str) -> String {
    let open = unsealed.strip_suffix('}').unwrap_or(unsealed);
    format!("{open}{HASH_FIELD}{hash}{LINE_END}")
}

/// Splits a line into what is hashed and the hash it claims; `None` where it does not end in a hash.
pub fn unseal(line: &str) -> Option<(String, &str)> {
    let body = line.strip_suffix(LINE_END)?;
    let at = body.len().checked_sub(HASH_HEX)?;
    let (head, hash) = body.split_at_checked(at)?;
    let open = head.strip_suffix(HASH_FIELD)?;
    let is_hash = hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_hash.then(|| (format!("{open}}}"), hash))
}

/// Parses what [`unseal`] gave. The error names a position and never content.
pub fn parse(unsealed: &str) -> Result<Record, crate::wire::WireError> {
    Ok(serde_json::from_str(unsealed)?)
}

/// How the hash is joined to the line.
const HASH_FIELD: &str = ",\"hash\":\"";
/// End of a sealed line.
const LINE_END: &str = "\"}";
/// Hex digits of SHA-256.
const HASH_HEX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(path: &str) -> Record {
        let mut entry = Entry::new(Phase::Outcome);
        path.clone_into(&mut entry.path);
        entry.operation = "read".to_owned();
        entry.version = Some(3);
        entry.decision = Some(Decision::Allowed);
        Record {
            v: RECORD_VERSION,
            sequence: 7,
            time: "2026-08-01T10:00:00.000000Z".to_owned(),
            entry,
            previous: NO_PREVIOUS.to_owned(),
        }
    }

    #[test]
    fn a_line_is_canonical_json_with_a_fixed_order() {
        assert_eq!(
            record("secret/data/a").unsealed().unwrap(),
            format!(
                r#"{{"v":1,"sequence":7,"time":"2026-08-01T10:00:00.000000Z","phase":"outcome","operation":"read","path":"secret/data/a","verified":false,"decision":"allowed","version":3,"previous":"{NO_PREVIOUS}"}}"#
            )
        );
    }

    #[test]
    fn a_line_without_a_hash_at_its_end_is_no_line() {
        for bad in ["", "{}", "\"}", r#"{"a":1,"hash":"xyz"}"#, &"x".repeat(200), &"ä".repeat(90)] {
            assert!(unseal(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn sealing_and_parsing_give_the_record_back_in_one_line(path in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
            let record = record(&path);
            let sealed = seal(&record.unsealed().unwrap(), NO_PREVIOUS);
            prop_assert!(!sealed.contains('\n'));
            let (unsealed, hash) = unseal(&sealed).unwrap();
            prop_assert_eq!(hash, NO_PREVIOUS);
            prop_assert_eq!(parse(&unsealed).unwrap(), record);
        }

        #[test]
        fn no_line_makes_the_reader_panic(line in "\\PC{0,200}") {
            if let Some((unsealed, _)) = unseal(&line) {
                let _ = parse(&unsealed);
            }
        }
    }
}
