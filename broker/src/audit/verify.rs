//! Verification: reads a log from its first record to its last and names every place where the chain is broken.
//!
//! Pure over readers; [`verify_folder`] only opens files. Faults are what an honest broker never leaves; remarks are what
//! it may leave (a torn line at the very end while it runs, a clock that was set back, an outage).

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use vouchsafe_model::record::{NoteEvent, Record};

use super::chain::{Tip, check};
use super::head::Head;
use super::{file_names, file_number};

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines that are records.
    pub records: u64,
    /// Files read.
    pub files: usize,
    /// Time of the first record.
    pub first_time: Option<String>,
    /// Time of the last record.
    pub last_time: Option<String>,
    /// Number and hash of the last record: what to remember for the next verification.
    pub last: Option<(u64, String)>,
    /// What is wrong, in order, at most [`FAULTS`].
    pub faults: Vec<Fault>,
    /// Faults beyond those kept.
    pub more_faults: u64,
    /// What is worth knowing and no fault, at most [`FAULTS`].
    pub remarks: Vec<Fault>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Something wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name of the file.
    pub file: String,
    /// Line in it, from 1; 0 for the file as a whole.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.file, self.what),
            line => write!(formatter, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// Faults and remarks kept in a report; whoever has more needs no list.
pub const FAULTS: usize = 100;

/// Verifies the log in a folder against the `head.json` beside it, or against `remembered`, a copy kept elsewhere.
pub fn verify_folder(folder: &Path, remembered: Option<Head>) -> io::Result<Report> {
    let (head, problem) = match remembered {
        Some(head) => (Some(head), None),
        None => match Head::read(folder) {
            Ok(head) => (head, None),
            Err(error) => (None, Some(error.to_string())),
        },
    };
    let names = file_names(folder)?;
    let mut verifier = Verifier::new(head);
    for name in &names {
        verifier.file(name, BufReader::new(std::fs::File::open(folder.join(name))?))?;
    }
    if let Some(problem) = problem {
        verifier.fault("head.json", 0, problem);
    }
    Ok(verifier.finish())
}

/// Verifies files given in order.
pub fn verify<R: BufRead>(files: impl IntoIterator<Item = (String, R)>, head: Option<Head>) -> io::Result<Report> {
    let mut verifier = Verifier::new(head);
    for (name, reader) in files {
        verifier.file(&name, reader)?;
    }
    Ok(verifier.finish())
}

/// State of a verification.
struct Verifier {
    report: Report,
    tip: Tip,
    head: Option<Head>,
    /// Whether the head's record was found with the head's hash.
    is_head_found: bool,
    /// Number of the file before.
    number: Option<u64>,
    /// A torn line at the end of the newest file: a running or killed broker leaves one.
    torn: Option<(String, u64)>,
}

impl Verifier {
    fn new(head: Option<Head>) -> Self {
        let report = Report::default();
        Self { report, tip: Tip::start(), head, is_head_found: false, number: None, torn: None }
    }

    fn file(&mut self, name: &str, mut reader: impl BufRead) -> io::Result<()> {
        if let Some((file, line)) = self.torn.take() {
            self.fault(&file, line, "the line is torn, and more files follow");
        }
        let number = file_number(name);
        if let (Some(before), Some(number)) = (self.number, number) {
            if number != before + 1 {
                self.fault(name, 0, format!("files {} to {} are missing", before + 1, number.saturating_sub(1)));
            }
        } else if number.is_some_and(|number| number != 1) {
            self.fault(name, 0, "the log does not begin with file 1; earlier files are missing");
        }
        self.number = number;
        self.report.files += 1;
        let (mut line, mut buffer) = (0, Vec::new());
        loop {
            buffer.clear();
            if reader.read_until(b'\n', &mut buffer)? == 0 {
                return Ok(());
            }
            line += 1;
            match buffer.strip_suffix(b"\n") {
                None => self.torn = Some((name.to_owned(), line)),
                Some(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => self.line(name, line, text),
                    Err(_) => self.fault(name, line, "the line is not UTF-8; it was edited"),
                },
            }
        }
    }

    fn line(&mut self, file: &str, line: u64, text: &str) {
        let (record, faults, tip) = check(&self.tip, text);
        for fault in faults {
            self.fault(file, line, fault.to_string());
        }
        self.tip = tip;
        if let Some(record) = record {
            self.record(file, line, &record);
        }
    }

    fn record(&mut self, file: &str, line: u64, record: &Record) {
        self.report.records += 1;
        if self.report.last_time.as_ref().is_some_and(|last| *last > record.time) {
            self.remark(file, line, "the clock was set back");
        }
        self.report.first_time.get_or_insert_with(|| record.time.clone());
        self.report.last_time = Some(record.time.clone());
        if let Some(head) = self.head.clone().filter(|head| head.sequence == record.sequence) {
            self.is_head_found |= head.hash == self.tip.hash;
            if head.hash != self.tip.hash {
                self.fault(file, line, "the remembered head has another hash for this record; the log was rewritten");
            }
        }
        match &record.entry.note {
            Some(note) if note.event == NoteEvent::Damaged => {
                self.fault(file, line, format!("the broker found damage: {}", note.text));
            }
            Some(note) if matches!(note.event, NoteEvent::Recovered | NoteEvent::Outage) => {
                self.remark(file, line, note.text.clone());
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Report {
        if let Some((file, line)) = self.torn.take() {
            if self.head.as_ref().is_some_and(|head| head.closed) {
                self.fault(&file, line, "the line is torn, although the log was closed in good order");
            } else {
                self.remark(&file, line, "the last line is torn: it is being written, or the broker was killed");
            }
        }
        if let Some(head) = self.head.clone() {
            let end = self.tip.sequence;
            let file = if head.file.is_empty() { "head.json".to_owned() } else { head.file.clone() };
            if !self.is_head_found && end < head.sequence {
                let missing = head.sequence;
                self.fault(
                    &file,
                    0,
                    format!("the log ends at record {end}, the remembered head is {missing}: its end is missing"),
                );
            } else if !self.is_head_found {
                self.fault(&file, 0, format!("record {} of the remembered head is not in the log", head.sequence));
            } else if head.closed && end > head.sequence {
                self.fault(&file, 0, format!("the log was closed at record {}, yet {end} follows", head.sequence));
            }
        }
        self.report.last = (self.tip.sequence > 0).then_some((self.tip.sequence, self.tip.hash));
        self.report
    }

    fn fault(&mut self, file: &str, line: u64, what: impl Into<String>) {
        if self.report.faults.len() < FAULTS {
            self.report.faults.push(Fault { file: file.to_owned(), line, what: what.into() });
        } else {
            self.report.more_faults += 1;
        }
    }

    fn remark(&mut self, file: &str, line: u64, what: impl Into<String>) {
        if self.report.remarks.len() < FAULTS {
            self.report.remarks.push(Fault { file: file.to_owned(), line, what: what.into() });
        }
    }
}

#[cfg(test)]
mod tests;
