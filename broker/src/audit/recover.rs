//! Recovery, pure: what the last file of a log holds after a crash, and what of it may be cut.
//!
//! A kill leaves a torn last line, a power cut leaves anything behind the last synced record. Neither was ever answered.
//! Everything else is somebody's doing: it stays where it is, and the log goes on in a new file.

use super::chain::{Tip, check};

/// What to do with the last file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// End of the chain in the part that stays.
    pub(crate) tip: Tip,
    /// Bytes that stay.
    pub(crate) keep: u64,
    /// What is done with the rest.
    pub(crate) rest: Rest,
}

/// What stands behind the last good record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing.
    Clean,
    /// Something unfinished of this many bytes, to be cut.
    Torn(u64),
    /// Lines that do not belong there from this line (from 1) on: evidence, not to be touched.
    Damaged(usize),
}

/// Reads the content of the last file. `before` is the end of the chain in the file before it; `synced` the number of the
/// last record that was remembered as durable.
pub(crate) fn recover(before: &Tip, content: &[u8], synced: u64) -> Recovery {
    let (mut tip, mut keep, mut number) = (before.clone(), 0, 0);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        number += 1;
        let Some(text) = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok()) else { break };
        let (record, faults, next) = check(&tip, text);
        if record.is_none() || !faults.is_empty() {
            break;
        }
        tip = next;
        keep += line.len();
    }
    let rest = content.get(keep..).unwrap_or_default();
    let rest = if rest.is_empty() {
        Rest::Clean
    } else if tip.sequence >= synced && !holds_a_record(rest) {
        Rest::Torn(length(rest))
    } else {
        Rest::Damaged(number)
    };
    Recovery { tip, keep: length(content.get(..keep).unwrap_or_default()), rest }
}

/// Whether any whole line of `rest` is a record in itself: a crash never leaves one behind a broken line.
fn holds_a_record(rest: &[u8]) -> bool {
    rest.split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line.strip_suffix(b"\n")?).ok())
        .any(|line| check(&Tip::start(), line).0.is_some())
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use vouchsafe_model::record::{Entry, Phase};

    use super::*;
    use crate::audit::chain::link;

    fn log(records: usize) -> (String, Tip) {
        let (mut text, mut tip) = (String::new(), Tip::start());
        for _ in 0..records {
            let (line, next) = link(&tip, Entry::new(Phase::Outcome), "t").unwrap();
            text.push_str(&line);
            text.push('\n');
            tip = next;
        }
        (text, tip)
    }

    #[test]
    fn a_cut_at_any_byte_keeps_all_whole_records_and_nothing_else() {
        let (text, _) = log(3);
        for cut in 0..=text.len() {
            let content = &text.as_bytes()[..cut];
            let whole = content.split(|byte| *byte == b'\n').count() - 1;
            let recovery = recover(&Tip::start(), content, whole as u64);
            assert_eq!(recovery.tip.sequence, whole as u64, "cut at {cut}");
            let torn = cut as u64 - recovery.keep;
            assert_eq!(recovery.rest, if torn == 0 { Rest::Clean } else { Rest::Torn(torn) }, "cut at {cut}");
        }
    }

    #[test]
    fn what_a_power_cut_leaves_behind_the_synced_records_is_cut() {
        let (text, tip) = log(3);
        let content = [text.as_bytes(), &[0; 512], b"\n{\"v\":1,\"sequ\0\0\n"].concat();
        let recovery = recover(&Tip::start(), &content, 3);
        assert_eq!((recovery.tip, recovery.keep), (tip, text.len() as u64));
        assert!(matches!(recovery.rest, Rest::Torn(_)));
    }

    #[test]
    fn edited_synced_or_foreign_lines_are_never_cut() {
        let (text, _) = log(3);
        let edited = text.replacen("\"sequence\":2", "\"sequence\":7", 1);
        assert_eq!(recover(&Tip::start(), edited.as_bytes(), 0).rest, Rest::Damaged(2));
        let replayed = format!("{text}{text}");
        assert_eq!(recover(&Tip::start(), replayed.as_bytes(), 3).rest, Rest::Damaged(4));
        let torn_but_synced = &text.as_bytes()[..text.len() - 5];
        assert_eq!(recover(&Tip::start(), torn_but_synced, 3).rest, Rest::Damaged(3));
    }
}
