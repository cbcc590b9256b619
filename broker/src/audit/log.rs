//! `Log`: hands entries to the one writer and gives back a [`Receipt`] once they are durable.
//!
//! Group commit: while one batch is being synced the next one gathers. Fail closed and bounded: a full queue, a failed
//! write or a wait of more than [`WAIT`] is an error, and the caller answers 503. Records that nobody waits for any more
//! are written all the same. Out of scope: what is recorded.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};
use vouchsafe_model::record::{Entry, NoteEvent};
use vouchsafe_net::lifecycle::Lifecycle;

use super::files::{Disk, FILE_BYTES, Files, LogError, Medium};

/// Longest wait for a record to become durable; after it the client gets 503 instead of an answer.
pub const WAIT: Duration = Duration::from_secs(2);
/// Records that may wait for the disk: two seconds of a busy broker, at under 1 KiB each.
pub const QUEUE: usize = 4096;

/// Where and how a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Folder of the log; created if absent.
    pub folder: PathBuf,
    /// Length at which a new file begins, in bytes.
    pub file_bytes: u64,
}

impl LogOptions {
    /// A log in `folder`, with files of [`FILE_BYTES`].
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), file_bytes: FILE_BYTES }
    }
}

/// Proof that the record of one request is durable. It cannot be made up, copied or used for another request.
#[derive(Debug)]
#[must_use]
pub struct Receipt {
    request: String,
    sequence: u64,
}

impl Receipt {
    /// The broker's id of the request.
    pub fn request(&self) -> &str {
        &self.request
    }

    /// The record's number.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// Why there is no receipt. The request must not be answered with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Too many records wait for the disk.
    #[error("audit log: too many records wait for the disk; try again")]
    Full,
    /// The disk took too long.
    #[error("audit log: the disk did not confirm the record within {} s; look at the broker's audit volume", WAIT.as_secs())]
    Slow,
    /// The disk refused.
    #[error("audit log: the record could not be written; look at the broker's audit volume and its log")]
    Failed,
}

/// The open log. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub struct Log {
    queue: mpsc::Sender<Job>,
    state: Arc<LogState>,
}

/// How the log does; for health and metrics.
#[derive(Debug, Default)]
pub struct LogState {
    is_failing: AtomicBool,
    records: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
}

impl LogState {
    /// Whether the last attempt to write succeeded.
    pub fn is_writable(&self) -> bool {
        !self.is_failing.load(Ordering::Relaxed)
    }

    /// Records made durable since the start.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Syncs since the start.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Requests that got no receipt since the start.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

struct Job {
    entry: Entry,
    done: oneshot::Sender<Option<u64>>,
}

impl Log {
    /// Opens a log, recovering what a crash left, and starts its writer.
    pub fn open(options: &LogOptions, lifecycle: &Lifecycle) -> Result<Self, LogError> {
        Self::open_on(options, Disk, lifecycle)
    }

    fn open_on<M: Medium>(options: &LogOptions, medium: M, lifecycle: &Lifecycle) -> Result<Self, LogError> {
        let files = Files::open(&options.folder, options.file_bytes, medium, &timestamp(SystemTime::now()))?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let state = Arc::new(LogState::default());
        lifecycle.spawn("audit log", write_batches(files, jobs, Arc::clone(&state)));
        Ok(Self { queue, state })
    }

    /// Makes one entry durable.
    pub async fn record(&self, entry: Entry) -> Result<Receipt, AuditError> {
        let request = entry.request.clone();
        let sequence = self.durable(entry).await.inspect_err(|_| {
            self.state.failures.fetch_add(1, Ordering::Relaxed);
        })?;
        Ok(Receipt { request, sequence })
    }

    /// How the log does.
    pub fn state(&self) -> Arc<LogState> {
        Arc::clone(&self.state)
    }

    async fn durable(&self, entry: Entry) -> Result<u64, AuditError> {
        let (done, waits) = oneshot::channel();
        self.queue.try_send(Job { entry, done }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AuditError::Full,
            mpsc::error::TrySendError::Closed(_) => AuditError::Failed,
        })?;
        match tokio::time::timeout(WAIT, waits).await {
            Ok(Ok(Some(sequence))) => Ok(sequence),
            Ok(_) => Err(AuditError::Failed),
            Err(_) => Err(AuditError::Slow),
        }
    }
}

/// Writes batch after batch until the last [`Log`] is dropped.
async fn write_batches<M: Medium>(files: Files<M>, mut jobs: mpsc::Receiver<Job>, state: Arc<LogState>) {
    let mut files = Some(files);
    let mut remembered = Instant::now();
    let mut is_dirty = false;
    loop {
        let mut batch = Vec::new();
        let wait = if is_dirty { REMEMBER_EVERY } else { IDLE };
        if let Ok(0) = tokio::time::timeout(wait, jobs.recv_many(&mut batch, BATCH)).await {
            break;
        }
        let remember = is_dirty && remembered.elapsed() >= REMEMBER_EVERY;
        if batch.is_empty() && !remember {
            continue;
        }
        let Some(mut held) = files.take() else { break };
        let is_empty = batch.is_empty();
        let (entries, waiting): (Vec<Entry>, Vec<_>) = batch.into_iter().map(|job| (job.entry, job.done)).unzip();
        let written = tokio::task::spawn_blocking(move || {
            let result =
                if entries.is_empty() { Ok(Vec::new()) } else { held.append(entries, &timestamp(SystemTime::now())) };
            // A head that cannot be written is an older memory, no loss of records.
            let is_remembered = remember && result.is_ok() && held.remember(false).is_ok();
            (held, result, is_remembered)
        });
        let Ok((held, result, is_remembered)) = written.await else { break };
        files = Some(held);
        if is_remembered {
            (remembered, is_dirty) = (Instant::now(), false);
        }
        if !is_empty {
            is_dirty |= result.is_ok();
            answer(result, waiting, &state);
        }
    }
    close(files, &state).await;
}

/// Tells everybody of a batch how it went.
fn answer(result: std::io::Result<Vec<u64>>, waiting: Vec<oneshot::Sender<Option<u64>>>, state: &LogState) {
    let was_failing = state.is_failing.swap(result.is_err(), Ordering::Relaxed);
    match result {
        Ok(sequences) => {
            if was_failing {
                tracing::info!("the audit log can be written again");
            }
            state.batches.fetch_add(1, Ordering::Relaxed);
            state.records.fetch_add(u64::try_from(sequences.len()).unwrap_or(0), Ordering::Relaxed);
            // Whoever is gone waited too long and has its error already.
            for (done, sequence) in waiting.into_iter().zip(sequences) {
                let _ = done.send(Some(sequence));
            }
        }
        Err(error) => {
            if !was_failing {
                tracing::error!(%error, "the audit log cannot be written; requests are refused until it can");
            }
            for done in waiting {
                let _ = done.send(None);
            }
        }
    }
}

/// The last note and head of a log that ends in good order.
async fn close<M: Medium>(files: Option<Files<M>>, state: &Arc<LogState>) {
    let Some(mut files) = files else {
        state.is_failing.store(true, Ordering::Relaxed);
        tracing::error!("the audit writer broke; requests are refused until the broker is restarted");
        return;
    };
    let closing = tokio::task::spawn_blocking(move || {
        let note = Entry::note(NoteEvent::Closed, "the broker ended in good order");
        files.append(vec![note], &timestamp(SystemTime::now()))?;
        files.remember(true)
    });
    if !matches!(closing.await, Ok(Ok(()))) {
        tracing::warn!("the audit log could not be closed in good order; its records are safe");
    }
}

/// RFC 3339, UTC, microseconds.
fn timestamp(now: SystemTime) -> String {
    let now = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{now:.6}")
}

/// Records in one sync: a bound for the buffer (about 1 MiB), far above what gathers during one.
const BATCH: usize = 1024;
/// How often the head is rewritten while there is something new.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);
/// Wake-up of an idle writer; it has nothing to do then.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
