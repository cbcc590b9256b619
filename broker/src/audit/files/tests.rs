use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vouchsafe_model::record::Phase;

use super::*;
use crate::audit::verify::{Report, verify_folder};

const TIME: &str = "2026-08-01T10:00:00.000000Z";

/// A disk that fails in the ways disks do.
#[derive(Clone, Default)]
struct Faulty {
    /// 0 works, 1 refuses (ENOSPC), 2 writes half and fails, 3 writes all and fails to sync.
    mode: Arc<AtomicUsize>,
}

impl Medium for Faulty {
    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        match self.mode.load(Ordering::Relaxed) {
            1 => Err(io::ErrorKind::StorageFull.into()),
            2 => {
                file.write_all(&bytes[..bytes.len() / 2])?;
                Err(io::Error::other("short write"))
            }
            _ => file.write_all(bytes),
        }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        match self.mode.load(Ordering::Relaxed) {
            3 => Err(io::Error::other("EIO")),
            _ => file.sync_data(),
        }
    }
}

fn entry(path: &str) -> Entry {
    let mut entry = Entry::new(Phase::Outcome);
    path.clone_into(&mut entry.path);
    entry
}

fn open(folder: &Path) -> Files<Disk> {
    Files::open(folder, FILE_BYTES, Disk, TIME).unwrap()
}

fn report(folder: &Path) -> Report {
    verify_folder(folder, None).unwrap()
}

fn content(folder: &Path, number: u64) -> Vec<u8> {
    std::fs::read(folder.join(file_name(number))).unwrap()
}

#[test]
fn a_log_goes_on_where_it_ended_across_files_and_starts() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let mut files = Files::open(folder.path(), 1500, Disk, TIME).unwrap();
        for number in 0..20 {
            files.append(vec![entry(&format!("secret/data/{start}/{number}"))], TIME).unwrap();
        }
        files.remember(true).unwrap();
    }
    let report = report(folder.path());
    assert_eq!(report.faults, []);
    assert!(report.files > 5, "{report:?}");
    assert!(report.records >= 63);
}

#[test]
fn a_torn_last_line_is_cut_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).append(vec![entry("a")], TIME).unwrap();
    let whole = content(folder.path(), 1);
    std::fs::write(folder.path().join(file_name(1)), [&whole[..], b"{\"v\":1,\"seq"].concat()).unwrap();
    drop(open(folder.path()));
    let report = report(folder.path());
    assert_eq!(report.faults, []);
    assert!(report.remarks.iter().any(|remark| remark.what.contains("torn last line of 11 bytes")), "{report:?}");
}

#[test]
fn what_was_tampered_with_while_the_broker_was_away_stays_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = open(folder.path());
    files.append((0..5).map(|number| entry(&number.to_string())).collect(), TIME).unwrap();
    files.remember(true).unwrap();
    drop(files);
    let edited = String::from_utf8(content(folder.path(), 1)).unwrap().replace("\"path\":\"3\"", "\"path\":\"x\"");
    std::fs::write(folder.path().join(file_name(1)), &edited).unwrap();
    open(folder.path()).append(vec![entry("after")], TIME).unwrap();
    assert_eq!(String::from_utf8(content(folder.path(), 1)).unwrap(), edited, "evidence is left alone");
    let report = report(folder.path());
    assert!(report.faults.iter().any(|fault| fault.what.contains("edited")), "{report:?}");
}

#[test]
fn a_missing_end_or_a_missing_log_is_told_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = open(folder.path());
    files.append((0..5).map(|number| entry(&number.to_string())).collect(), TIME).unwrap();
    files.remember(true).unwrap();
    drop(files);
    let text = String::from_utf8(content(folder.path(), 1)).unwrap();
    let shorter: String = text.split_inclusive('\n').take(3).collect();
    std::fs::write(folder.path().join(file_name(1)), shorter).unwrap();
    drop(open(folder.path()));
    assert!(report(folder.path()).faults.iter().any(|fault| fault.what.contains("its end is missing")));
    std::fs::remove_file(folder.path().join(file_name(1))).unwrap();
    drop(open(folder.path()));
    assert!(report(folder.path()).faults.iter().any(|fault| fault.what.contains("there is none")));
}

#[test]
fn a_failed_write_counts_as_nothing_and_the_log_resumes_by_itself() {
    for mode in [1, 2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let medium = Faulty::default();
        let mut files = Files::open(folder.path(), FILE_BYTES, medium.clone(), TIME).unwrap();
        files.append(vec![entry("before")], TIME).unwrap();
        medium.mode.store(mode, Ordering::Relaxed);
        for _ in 0..3 {
            files.append(vec![entry("lost")], TIME).unwrap_err();
        }
        medium.mode.store(0, Ordering::Relaxed);
        files.append(vec![entry("after")], TIME).unwrap();
        files.remember(true).unwrap();
        let report = report(folder.path());
        assert_eq!(report.faults, [], "mode {mode}");
        assert_eq!(report.files, 2, "mode {mode}");
        assert!(
            report.remarks.iter().any(|remark| remark.what.starts_with("3 writes to the log failed")),
            "{report:?}"
        );
        let all = [content(folder.path(), 1), content(folder.path(), 2)].concat();
        let text = String::from_utf8(all).unwrap();
        assert!(text.contains("before") && text.contains("after") && !text.contains("lost"), "mode {mode}");
    }
}

#[test]
fn a_file_that_somebody_cuts_replaces_or_removes_is_noticed_at_the_next_append() {
    let acts: [fn(&Path); 3] = [
        |path| OpenOptions::new().write(true).open(path).unwrap().set_len(10).unwrap(),
        |path| {
            let copy = std::fs::read(path).unwrap();
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, copy).unwrap();
        },
        |path| std::fs::remove_file(path).unwrap(),
    ];
    for act in acts {
        let folder = tempfile::tempdir().unwrap();
        let mut files = open(folder.path());
        files.append(vec![entry("a")], TIME).unwrap();
        act(&folder.path().join(file_name(1)));
        files.append(vec![entry("b")], TIME).unwrap();
        let report = report(folder.path());
        assert!(report.faults.iter().any(|fault| fault.what.contains("the broker found damage")), "{report:?}");
        assert!(String::from_utf8(content(folder.path(), 2)).unwrap().contains("\"path\":\"b\""));
    }
}

#[test]
fn two_brokers_never_write_to_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let second = Files::open(folder.path(), FILE_BYTES, Disk, TIME);
    assert!(matches!(second, Err(LogError::Held { .. })));
    drop(first);
    open(folder.path());
}
