//! The log's files: append and sync, rotate, repair, recover. Blocking; the writer task calls it off the async threads.
//!
//! After any failed write or sync the file is cut back to its last durable length and left for a new one: a kernel may
//! have thrown the failed pages away, so a second sync of the same file would prove nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use vouchsafe_model::record::{Entry, NoteEvent};

use super::chain::{Tip, check, link};
use super::head::Head;
use super::recover::{Recovery, Rest, recover};
use super::{file_name, file_names, file_number};

/// Length at which the log goes on in a new file: small enough to copy, verify and read at a start in a second.
pub const FILE_BYTES: u64 = 64 << 20;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process writes to it.
    #[error("audit folder {}: another broker writes to it; give each broker its own folder", .folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system said no.
    #[error("audit folder {}: {step}: {source}; it must be a writable folder on a disk with room", .folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// How bytes reach the disk; the tests have one that fails.
pub(super) trait Medium: Send + 'static {
    /// Appends all of `bytes`.
    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Makes what was appended durable.
    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The real disk.
pub(super) struct Disk;

impl Medium for Disk {}

/// The open log.
pub(super) struct Files<M> {
    folder: PathBuf,
    medium: M,
    file_bytes: u64,
    current: Current,
    tip: Tip,
    /// Why the last append failed, and how often since.
    outage: Option<(String, u64)>,
    /// Held as long as the log is open.
    _lock: File,
}

/// The file that is appended to.
struct Current {
    file: File,
    number: u64,
    /// Durable length in bytes.
    length: u64,
}

impl<M: Medium> Files<M> {
    /// Opens a log, recovering what a crash left. `time` is the time of the notes written now.
    pub(super) fn open(folder: &Path, file_bytes: u64, medium: M, time: &str) -> Result<Self, LogError> {
        let failed = |step| move |source| LogError::Io { folder: folder.to_owned(), step, source };
        std::fs::create_dir_all(folder).map_err(failed("creating it"))?;
        let lock = private().create(true).truncate(false).open(folder.join(LOCK_FILE)).map_err(failed("locking it"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(LogError::Held { folder: folder.to_owned() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(failed("locking it")(source)),
        }
        let found = Found::read(folder).map_err(failed("reading the log"))?;
        let (current, tip, notes) = found.settle(folder).map_err(failed("recovering the log"))?;
        let mut files = Self { folder: folder.to_owned(), medium, file_bytes, current, tip, outage: None, _lock: lock };
        files.append(notes, time).map_err(failed("writing to it"))?;
        files.remember(false).map_err(failed("writing head.json"))?;
        Ok(files)
    }

    /// Appends entries and makes them durable: their sequence numbers. On an error nothing of it counts as written.
    pub(super) fn append(&mut self, entries: Vec<Entry>, time: &str) -> io::Result<Vec<u64>> {
        match self.try_append(entries, time) {
            Ok(sequences) => Ok(sequences),
            Err(error) => {
                let (_, times) = self.outage.take().unwrap_or_default();
                self.outage = Some((error.to_string(), times + 1));
                Err(error)
            }
        }
    }

    /// Rewrites the head.
    pub(super) fn remember(&self, closed: bool) -> io::Result<()> {
        let head = Head {
            sequence: self.tip.sequence,
            hash: self.tip.hash.clone(),
            file: file_name(self.current.number),
            closed,
        };
        head.write(&self.folder)
    }

    fn try_append(&mut self, entries: Vec<Entry>, time: &str) -> io::Result<Vec<u64>> {
        let mut notes = Vec::new();
        if let Some((reason, times)) = self.outage.clone() {
            self.cut_back()?;
            let text = format!("{times} writes to the log failed, nothing was answered meanwhile; the last: {reason}");
            notes.push(Entry::note(NoteEvent::Outage, text));
        }
        let foreign = self.foreign_change();
        let is_foreign = foreign.is_some();
        if let Some(damage) = foreign {
            notes.push(Entry::note(NoteEvent::Damaged, damage));
        } else if self.current.length >= self.file_bytes {
            let text = format!("continues {}", file_name(self.current.number));
            notes.push(Entry::note(NoteEvent::Continued, text));
        }
        if !notes.is_empty() && (self.current.length > 0 || is_foreign) {
            self.current = Current::create(&self.folder, self.current.number + 1)?;
        }
        let noted = notes.len();
        let sequences = self.write(notes.into_iter().chain(entries).collect(), time)?;
        self.outage = None;
        Ok(sequences.into_iter().skip(noted).collect())
    }

    fn write(&mut self, entries: Vec<Entry>, time: &str) -> io::Result<Vec<u64>> {
        let (mut buffer, mut tip, mut sequences) = (String::new(), self.tip.clone(), Vec::new());
        for entry in entries {
            let (line, next) = link(&tip, entry, time)?;
            buffer.push_str(&line);
            buffer.push('\n');
            sequences.push(next.sequence);
            tip = next;
        }
        self.medium.append(&mut self.current.file, buffer.as_bytes())?;
        self.medium.sync(&self.current.file)?;
        self.current.length += u64::try_from(buffer.len()).unwrap_or(0);
        self.tip = tip;
        Ok(sequences)
    }

    /// Cuts what a failed append left behind the last durable record.
    fn cut_back(&self) -> io::Result<()> {
        let length = self.current.file.metadata()?.len();
        if length > self.current.length {
            self.current.file.set_len(self.current.length)?;
            self.current.file.sync_all()?;
        }
        Ok(())
    }

    /// What somebody else did to the current file, in words.
    fn foreign_change(&self) -> Option<String> {
        let name = file_name(self.current.number);
        let (ours, there) = (self.current.file.metadata(), std::fs::metadata(self.folder.join(&name)));
        match (ours, there) {
            (Ok(ours), Ok(there)) if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) => {
                let (found, expected) = (ours.len(), self.current.length);
                (found != expected)
                    .then(|| format!("{name} is {found} bytes long, {expected} were written; somebody else changed it"))
            }
            (Ok(_), Ok(_)) => Some(format!("{name} was replaced by another file while the broker wrote to it")),
            _ => Some(format!("{name} was removed while the broker wrote to it")),
        }
    }
}

impl Current {
    /// A new file with the first free number from `number` on. An empty one was left by an attempt that failed right
    /// after creating it and is taken over; one with content is somebody's, and stays as it is.
    fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let mut number = number;
        let file = loop {
            let path = folder.join(file_name(number));
            match private().create_new(true).append(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let file = private().append(true).open(&path)?;
                    if file.metadata()?.len() == 0 {
                        break file;
                    }
                    number += 1;
                }
                other => break other?,
            }
        };
        File::open(folder)?.sync_all()?;
        Ok(Self { file, number, length: 0 })
    }
}

/// What lies in the folder at the start.
struct Found {
    last: Option<(u64, Recovery)>,
    head: Option<Head>,
    /// Whether `head.json` is there and cannot be read.
    head_problem: Option<String>,
}

impl Found {
    fn read(folder: &Path) -> io::Result<Self> {
        let (head, head_problem) = match Head::read(folder) {
            Ok(head) => (head, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let synced = head.as_ref().map_or(0, |head| head.sequence);
        let names = file_names(folder)?;
        let Some((name, earlier)) = names.split_last() else { return Ok(Self { last: None, head, head_problem }) };
        let before = match earlier.iter().rev().find_map(|name| last_tip(&folder.join(name)).transpose()) {
            Some(tip) => tip?,
            None => Tip::start(),
        };
        let recovery = recover(&before, &std::fs::read(folder.join(name))?, synced);
        Ok(Self { last: Some((file_number(name).unwrap_or(1), recovery)), head, head_problem })
    }

    /// Cuts what may be cut and says where to go on, from which tip, with which notes.
    fn settle(self, folder: &Path) -> io::Result<(Current, Tip, Vec<Entry>)> {
        let mut notes = vec![Entry::note(NoteEvent::Opened, "a broker began to write")];
        if let Some(problem) = self.head_problem {
            notes.push(Entry::note(NoteEvent::Damaged, problem));
        }
        let Some((number, recovery)) = self.last else {
            if self.head.is_some() {
                notes.push(Entry::note(NoteEvent::Damaged, "head.json remembers a log, but there is none"));
            }
            return Ok((Current::create(folder, 1)?, Tip::start(), notes));
        };
        if let Some(head) = self.head.filter(|head| head.sequence > recovery.tip.sequence) {
            let text = format!(
                "the log ended at record {}, head.json remembers {}: its end is missing",
                recovery.tip.sequence, head.sequence
            );
            notes.push(Entry::note(NoteEvent::Damaged, text));
        }
        let name = file_name(number);
        if let Rest::Damaged(line) = recovery.rest {
            let text = format!("{name}: line {line} and what follows does not belong to the chain; it was left alone");
            notes.push(Entry::note(NoteEvent::Damaged, text));
            return Ok((Current::create(folder, number + 1)?, recovery.tip, notes));
        }
        let file = private().append(true).open(folder.join(&name))?;
        if let Rest::Torn(bytes) = recovery.rest {
            file.set_len(recovery.keep)?;
            file.sync_all()?;
            let text = format!("{name}: a torn last line of {bytes} bytes was cut; it was never answered");
            notes.push(Entry::note(NoteEvent::Recovered, text));
        }
        Ok((Current { file, number, length: recovery.keep }, recovery.tip, notes))
    }
}

/// The tip that the last readable line of a file claims; `None` for a file without one.
fn last_tip(path: &Path) -> io::Result<Option<Tip>> {
    let content = std::fs::read(path)?;
    let lines = content.split(|byte| *byte == b'\n').rev();
    let mut tips = lines.filter_map(|line| {
        let (record, _, tip) = check(&Tip::start(), std::str::from_utf8(line).ok()?);
        record.map(|_| tip)
    });
    Ok(tips.next())
}

/// Files of the log are for the broker alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

const LOCK_FILE: &str = "lock";

#[cfg(test)]
mod tests;
