use vouchsafe_model::record::{Entry, Phase};

use super::*;
use crate::audit::chain::link;
use crate::audit::file_name;

const FILES: usize = 3;
/// Few: each of ten thousand cases reads them all.
const RECORDS: usize = 5;

/// A log of [`FILES`] files with [`RECORDS`] lines each, and its head.
fn log() -> (Vec<(String, Vec<u8>)>, Head) {
    let (mut tip, mut files) = (Tip::start(), Vec::new());
    for number in 1..=FILES {
        let mut content = Vec::new();
        for record in 0..RECORDS {
            let mut entry = Entry::new(Phase::Outcome);
            entry.path = format!("secret/data/team-{record}/app");
            entry.version = Some(record as u64);
            let (line, next) = link(&tip, entry, &format!("2026-08-01T10:{number:02}:{record:02}.000000Z")).unwrap();
            content.extend_from_slice(line.as_bytes());
            content.push(b'\n');
            tip = next;
        }
        files.push((file_name(number as u64), content));
    }
    let head = Head { sequence: tip.sequence, hash: tip.hash, file: file_name(FILES as u64), closed: true };
    (files, head)
}

fn report(files: &[(String, Vec<u8>)], head: &Head) -> Report {
    verify(files.iter().map(|(name, content)| (name.clone(), content.as_slice())), Some(head.clone())).unwrap()
}

fn lines(content: &[u8]) -> Vec<Vec<u8>> {
    content.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// A small generator: the cases are the same on every machine.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// What was done, and the files after it.
type Tampered = (&'static str, Vec<(String, Vec<u8>)>);

/// One act of tampering; `None` where it happened to change nothing.
fn tamper(files: &[(String, Vec<u8>)], random: &mut Seeded) -> Option<Tampered> {
    let mut files = files.to_vec();
    let before = files.clone();
    let file = random.below(FILES);
    let mut rows = lines(&files[file].1);
    let (one, other) = (random.below(rows.len()), random.below(rows.len()));
    let what = match random.below(9) {
        0 => {
            let at = random.below(files[file].1.len());
            files[file].1[at] ^= 1 << random.below(8);
            return Some(("a bit was flipped", files));
        }
        1 => {
            rows.remove(one);
            "a line was removed"
        }
        2 => {
            rows.swap(one, other);
            "lines were swapped"
        }
        3 => {
            rows.truncate(one);
            "the file was cut"
        }
        4 => {
            let copy = rows[other].clone();
            rows.insert(one, copy);
            "a line was repeated"
        }
        5 => {
            rows.push(b"{\"v\":1}\n".to_vec());
            "a line was appended"
        }
        6 => {
            files.remove(file);
            return Some(("a file was removed", files));
        }
        7 => {
            let old = files[random.below(FILES)].1.clone();
            files[file].1 = old;
            return (files != before).then_some(("an old file was played again", files));
        }
        _ => {
            let bytes: Vec<u8> = rows.concat();
            files[file].1 = bytes[..random.below(bytes.len())].to_vec();
            return Some(("the file was cut inside a line", files));
        }
    };
    files[file].1 = rows.concat();
    (files != before).then_some((what, files))
}

#[test]
fn an_untouched_log_is_intact() {
    let (files, head) = log();
    let report = report(&files, &head);
    assert_eq!(report.faults, []);
    assert_eq!((report.records, report.files), ((FILES * RECORDS) as u64, FILES));
    assert_eq!(report.first_time.as_deref(), Some("2026-08-01T10:01:00.000000Z"));
    assert_eq!(report.last_time.as_deref(), Some("2026-08-01T10:03:04.000000Z"));
    assert_eq!(report.last, Some((head.sequence, head.hash)));
}

#[test]
fn each_of_ten_thousand_acts_of_tampering_is_found() {
    let (files, head) = log();
    let (mut random, mut cases) = (Seeded(42), 0);
    while cases < 10_000 {
        let Some((what, tampered)) = tamper(&files, &mut random) else { continue };
        cases += 1;
        assert!(!report(&tampered, &head).is_intact(), "case {cases}: {what} and was not found");
    }
}

#[test]
fn a_fault_is_named_with_its_file_and_line() {
    let (mut files, head) = log();
    let text = String::from_utf8(files[1].1.clone()).unwrap().replace("team-3/app", "team-3/ppa");
    files[1].1 = text.into_bytes();
    let report = report(&files, &head);
    assert_eq!(report.faults.len(), 1);
    assert_eq!(
        report.faults[0].to_string(),
        "audit-00000002.jsonl:4: the content does not match its hash; the line was edited"
    );
}

#[test]
fn an_edited_line_with_a_recomputed_hash_is_found_at_the_next_line() {
    let (mut files, head) = log();
    let mut rows = lines(&files[0].1);
    let before = {
        let text = String::from_utf8(rows[2].clone()).unwrap();
        check(&Tip { sequence: 2, hash: String::new() }, text.trim_end()).2
    };
    let (forged, _) = link(&before, Entry::new(Phase::Outcome), "2026-08-01T10:01:03.000000Z").unwrap();
    rows[3] = format!("{forged}\n").into_bytes();
    files[0].1 = rows.concat();
    let report = report(&files, &head);
    assert_eq!((report.faults[0].line, report.faults.len()), (5, 1), "{:?}", report.faults);
}

#[test]
fn a_missing_end_is_found_only_against_a_remembered_head() {
    let (mut files, head) = log();
    let mut rows = lines(&files[2].1);
    rows.truncate(3);
    files[2].1 = rows.concat();
    assert!(report(&files, &head).faults[0].what.contains("its end is missing"));
    // The documented limit: without a head nothing can tell.
    let unaware = verify(files.iter().map(|(name, content)| (name.clone(), content.as_slice())), None).unwrap();
    assert!(unaware.is_intact());
}

#[test]
fn records_behind_a_closed_head_are_a_fault_and_behind_an_open_one_are_none() {
    let (files, head) = log();
    let early = |closed| {
        let row = String::from_utf8(lines(&files[2].1)[2].clone()).unwrap();
        let tip = check(&Tip::start(), row.trim_end()).2;
        Head { sequence: tip.sequence, hash: tip.hash, file: head.file.clone(), closed }
    };
    assert!(!report(&files, &early(true)).is_intact());
    assert!(report(&files, &early(false)).is_intact());
}

#[test]
fn a_torn_end_is_a_remark_while_the_broker_runs_and_a_fault_after_a_good_end() {
    let (mut files, head) = log();
    files[2].1.extend_from_slice(b"{\"v\":1,\"sequ");
    assert!(!report(&files, &head).is_intact());
    let report = report(&files, &Head { closed: false, ..head });
    assert!(report.is_intact());
    assert_eq!((report.remarks[0].file.as_str(), report.remarks[0].line), ("audit-00000003.jsonl", 6));
}
