//! The chain, pure: how a record is linked to the one before it, and how a line is checked against that.

use vouchsafe_model::record::{Entry, NO_PREVIOUS, RECORD_VERSION, Record, parse, seal, unseal};
use vouchsafe_net::hash::{SHA256_BYTES, hex, sha256_of};

/// The end of a chain: number and hash of its last record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) sequence: u64,
    /// 64 hex digits.
    pub(crate) hash: String,
}

impl Tip {
    /// Before the first record.
    pub(crate) fn start() -> Self {
        Self { sequence: 0, hash: NO_PREVIOUS.to_owned() }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineFault {
    #[error("the line does not end in a hash; it was cut or is no audit record")]
    NoHash,
    #[error("the content does not match its hash; the line was edited")]
    Edited,
    #[error("the line is no audit record (column {column})")]
    Malformed { column: usize },
    #[error("the record has form {found}, this program knows {RECORD_VERSION}; verify with a newer one")]
    Version { found: u32 },
    #[error("sequence {found} follows where {expected} was expected; {}", gap(*.expected, *.found))]
    Sequence { expected: u64, found: u64 },
    #[error("the record does not name the hash of the record before it; something was removed, inserted or moved")]
    Unlinked,
}

fn gap(expected: u64, found: u64) -> &'static str {
    if found > expected { "records are missing" } else { "records were repeated or moved" }
}

/// Links an entry to the tip: the sealed line without a newline, and the new tip.
pub(crate) fn link(tip: &Tip, entry: Entry, time: &str) -> Result<(String, Tip), serde_json::Error> {
    let sequence = tip.sequence + 1;
    let record = Record { v: RECORD_VERSION, sequence, time: time.to_owned(), entry, previous: tip.hash.clone() };
    let unsealed = record.unsealed()?;
    let hash = hash(&tip.hash, &unsealed);
    Ok((seal(&unsealed, &hash), Tip { sequence, hash }))
}

/// Checks a line against the tip before it. The new tip is what the line claims, so that one fault is told once.
pub(crate) fn check(tip: &Tip, line: &str) -> (Option<Record>, Vec<LineFault>, Tip) {
    let Some((unsealed, claimed)) = unseal(line) else {
        return (None, vec![LineFault::NoHash], tip.clone());
    };
    let record = match parse(&unsealed) {
        Ok(record) => record,
        Err(vouchsafe_model::wire::WireError::Malformed { column, .. }) => {
            return (None, vec![LineFault::Malformed { column }], tip.clone());
        }
        Err(_) => return (None, vec![LineFault::Malformed { column: 0 }], tip.clone()),
    };
    let mut faults = Vec::new();
    if record.v != RECORD_VERSION {
        faults.push(LineFault::Version { found: record.v });
    }
    let is_canonical = record.unsealed().is_ok_and(|text| text == unsealed);
    if hash(&record.previous, &unsealed) != claimed || !is_canonical {
        faults.push(LineFault::Edited);
    }
    if record.sequence != tip.sequence + 1 {
        faults.push(LineFault::Sequence { expected: tip.sequence + 1, found: record.sequence });
    } else if record.previous != tip.hash {
        faults.push(LineFault::Unlinked);
    }
    let next = Tip { sequence: record.sequence, hash: claimed.to_owned() };
    (Some(record), faults, next)
}

/// SHA-256 over the 32 bytes of the previous hash and the line without its own hash.
fn hash(previous: &str, unsealed: &str) -> String {
    hex(&sha256_of(&[&bytes_of(previous), unsealed.as_bytes()]))
}

/// The bytes of 64 hex digits; anything else becomes bytes that no honest chain has, so that its hash cannot match.
fn bytes_of(hash: &str) -> Vec<u8> {
    let digits: Option<Vec<u8>> = hash.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    match digits {
        Some(digits) if digits.len() == SHA256_BYTES * 2 => {
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit)).collect()
        }
        _ => hash.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_model::record::Phase;

    use super::*;

    #[test]
    fn the_hash_is_the_documented_one() {
        let (line, tip) = link(&Tip::start(), Entry::new(Phase::Outcome), "t").unwrap();
        let unsealed = line.replace(&format!(",\"hash\":\"{}\"", tip.hash), "");
        let mut input = vec![0; 32];
        input.extend_from_slice(unsealed.as_bytes());
        assert_eq!(hex(&vouchsafe_net::hash::sha256(&input)), tip.hash);
        let (next, _) = link(&tip, Entry::new(Phase::Outcome), "t").unwrap();
        assert!(next.contains(&format!("\"previous\":\"{}\"", tip.hash)));
    }

    #[test]
    fn a_linked_line_checks_and_a_line_out_of_place_does_not() {
        let start = Tip::start();
        let (first, one) = link(&start, Entry::new(Phase::Outcome), "t").unwrap();
        let (second, two) = link(&one, Entry::new(Phase::Outcome), "t").unwrap();
        assert_eq!(check(&start, &first).1, []);
        assert_eq!(check(&one, &second), (check(&one, &second).0, vec![], two));
        assert_eq!(check(&start, &second).1, [LineFault::Sequence { expected: 1, found: 2 }]);
        let other = Tip { sequence: 1, hash: NO_PREVIOUS.replace('0', "1") };
        assert_eq!(check(&other, &second).1, [LineFault::Unlinked]);
    }
}
