//! `Engine`: transactions over the file. Reads run side by side; one thread writes, and commits what is waiting in one go.
//!
//! A write is answered only after its commit has reached the disk. Requests that arrive while a commit runs share the
//! next one, so many writers do not wait for one `fsync` each. A refused request writes nothing, but for the count of a
//! limited token's uses. Out of scope: what requests mean ([`super::core`]).

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::sync::{broadcast, mpsc, oneshot};
use vouchsafe_model::wire::extension::Change;
use vouchsafe_net::http::Response;

use super::barrier::Barrier;
use super::clock::Clock;
use super::core::{self, Outcome};
use super::envelope::{Answer, Refusal};
use super::fault::Fault;
use super::kubernetes::ReviewOf;
use super::mount;
use super::snapshot::{self, SnapshotError};
use super::status::Facts;
use super::table::{EXPIRY, NAMES, RECORDS, Session, Shelves};
use crate::upstream::{UpstreamError, UpstreamRequest};

/// Most requests that share one commit: bounds how long the first of them waits.
const BATCH: usize = 128;
/// Largest backup over the network: it is held in memory once, and a broker's pod has some hundred MiB.
pub const SNAPSHOT_BYTES: usize = 128 << 20;

/// The open file and its keys.
pub(crate) struct Engine {
    database: Database,
    barrier: RwLock<Option<Arc<Barrier>>>,
    cluster_id: String,
    clock: Clock,
    changes: broadcast::Sender<Change>,
}

/// Work for the writer.
pub(crate) struct Job {
    task: Task,
    reply: oneshot::Sender<Result<Done, UpstreamError>>,
}

/// What the writer is to do.
pub(crate) enum Task {
    /// Answer a request.
    Request(Box<UpstreamRequest>),
    /// Finish a login that the API server confirmed.
    Finish(Box<ReviewOf>),
}

/// What came of it.
pub(crate) enum Done {
    /// An answer.
    Response(Response),
    /// A login that waits for the API server.
    Review(Box<ReviewOf>),
    /// The store failed at this request, and at no other of the batch.
    Failed(UpstreamError),
}

/// What a read came to.
pub(crate) enum Read {
    /// An answer.
    Response(Result<Response, UpstreamError>),
    /// It changes something after all (a use is counted): the writer must do it.
    ForWriter(Box<UpstreamRequest>),
}

impl Job {
    /// A job and the place where its result will appear.
    pub(crate) fn new(task: Task) -> (Self, oneshot::Receiver<Result<Done, UpstreamError>>) {
        let (reply, result) = oneshot::channel();
        (Self { task, reply }, result)
    }
}

impl Engine {
    /// Over an open file.
    pub(crate) fn new(
        database: Database,
        barrier: Barrier,
        cluster_id: String,
        clock: Clock,
        changes: broadcast::Sender<Change>,
    ) -> Self {
        Self { database, barrier: RwLock::new(Some(Arc::new(barrier))), cluster_id, clock, changes }
    }

    /// Puts the keys away: nothing is answered any more but health and seal state.
    pub(crate) fn seal(&self) {
        *self.barrier.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Changes from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Answers what needs no token; `None` for everything else.
    pub(crate) fn answer_open(&self, request: &UpstreamRequest) -> Option<Result<Response, UpstreamError>> {
        let facts = Facts { sealed: self.keys().is_none(), cluster_id: self.cluster_id.clone(), now: self.clock.now() };
        core::open_answer(request, &facts).map(|answer| respond(answer).map_err(|f| f.into_error(false)))
    }

    /// Answers a read.
    pub(crate) fn read(&self, request: Box<UpstreamRequest>) -> Read {
        match self.try_read(&request) {
            Ok(Some(response)) => Read::Response(Ok(response)),
            Ok(None) => Read::ForWriter(request),
            Err(fault) => Read::Response(Err(fault.into_error(false))),
        }
    }

    /// Works until all senders are gone.
    pub(crate) fn write_until_closed(&self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                let Ok(next) = jobs.try_recv() else { break };
                batch.push(next);
            }
            self.write(batch);
        }
    }

    fn keys(&self) -> Option<Arc<Barrier>> {
        self.barrier.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn try_read(&self, request: &UpstreamRequest) -> Result<Option<Response>, Fault> {
        let Some(barrier) = self.keys() else { return respond(Err(sealed())).map(Some) };
        let shelves = read_shelves(&self.database.begin_read()?)?;
        let mut session = Session::new(&shelves, &barrier, self.clock.now());
        let outcome = core::handle(&mut session, request);
        if session.is_dirty() {
            return Ok(None);
        }
        match outcome {
            Ok(Outcome::Answer(answer)) => respond(Ok(answer)).map(Some),
            Ok(Outcome::Review(_) | Outcome::Seal) => Ok(None),
            Ok(Outcome::Snapshot) => self.snapshot(&barrier).map(Some),
            Err(refusal) => respond(Err(refusal)).map(Some),
        }
    }

    /// A backup of what is committed, as an answer.
    fn snapshot(&self, barrier: &Barrier) -> Result<Response, Fault> {
        let mut bytes = Bounded(Vec::new());
        match snapshot::write(&self.database.begin_read()?, barrier, &mut bytes) {
            Ok(_) => Ok(Answer::bytes(bytes.0).into_response("")),
            Err(SnapshotError::Store(fault)) => Err(fault),
            Err(_) => respond(Err(Refusal::said(
                super::envelope::INTERNAL,
                "the store is too large for a backup over the network; stop the broker and run \
                 `vouchsafe-broker store backup --store FILE --store-key FILE --out FILE`",
            ))),
        }
    }

    /// Does the batch in one transaction and answers it once that is on disk.
    fn write(&self, batch: Vec<Job>) {
        let (tasks, replies): (Vec<Task>, Vec<_>) = batch.into_iter().map(|job| (job.task, job.reply)).unzip();
        match self.try_write(tasks) {
            Ok(results) => {
                for (result, reply) in results.into_iter().zip(replies) {
                    // Who asked may have gone; its write is done all the same.
                    let _ = reply.send(Ok(result));
                }
            }
            Err((fault, may_have_happened)) => {
                let text = fault.to_string();
                let first = fault.into_error(may_have_happened);
                let kind = first.kind;
                for reply in replies {
                    let message = format!("embedded store: {text}");
                    let _ = reply.send(Err(UpstreamError { kind, message, may_have_happened }));
                }
            }
        }
    }

    /// The results of all tasks, committed. The flag of an error: whether a commit was under way.
    fn try_write(&self, tasks: Vec<Task>) -> Result<Vec<Done>, (Fault, bool)> {
        let before = |fault: Fault| (fault, false);
        let Some(barrier) = self.keys() else {
            let refuse = |_| respond(Err(sealed())).map(Done::Response).map_err(before);
            return tasks.into_iter().map(refuse).collect();
        };
        let mut transaction = self.database.begin_write().map_err(|error| before(error.into()))?;
        transaction.set_durability(Durability::Immediate).map_err(|error| before(error.into()))?;
        let (results, changes, dirty) = self.work(&transaction, &barrier, tasks).map_err(before)?;
        if dirty {
            transaction.commit().map_err(|error| (error.into(), true))?;
        } else {
            transaction.abort().map_err(|error| before(error.into()))?;
        }
        for change in changes {
            // Nobody listening is no error.
            let _ = self.changes.send(change);
        }
        Ok(results)
    }

    fn work(
        &self,
        transaction: &WriteTransaction,
        barrier: &Barrier,
        tasks: Vec<Task>,
    ) -> Result<(Vec<Done>, Vec<Change>, bool), Fault> {
        let mut shelves = write_shelves(transaction)?;
        let (mut results, mut changes, mut dirty) = (Vec::new(), Vec::new(), false);
        for task in tasks {
            let mut session = Session::new(&shelves, barrier, self.clock.now());
            let outcome = match &task {
                Task::Request(request) => core::handle(&mut session, request),
                Task::Finish(review) => core::finish(&mut session, review),
            };
            let done = match outcome {
                Ok(Outcome::Answer(answer)) => Done::Response(respond(Ok(answer))?),
                Ok(Outcome::Review(review)) => Done::Review(review),
                Ok(Outcome::Snapshot) => Done::Response(self.snapshot(barrier)?),
                Ok(Outcome::Seal) => {
                    self.seal();
                    Done::Response(respond(Ok(Answer::done()))?)
                }
                Err(refusal) => {
                    session.roll_back();
                    respond(Err(refusal)).map_or_else(|fault| Done::Failed(fault.into_error(false)), Done::Response)
                }
            };
            let (writes, announced) = session.into_writes();
            dirty |= !writes.is_empty();
            shelves.apply(writes)?;
            changes.extend(announced);
            results.push(done);
        }
        Ok((results, changes, dirty))
    }
}

/// Takes as much as an answer may hold.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > SNAPSHOT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The HTTP answer, with an id of its own.
fn respond(answer: Result<Answer, Refusal>) -> Result<Response, Fault> {
    match answer {
        Ok(answer) => Ok(answer.into_response(&mount::uuid_of(vouchsafe_net::random::bytes()))),
        Err(refusal) => refusal.into_response(),
    }
}

fn sealed() -> Refusal {
    Refusal::said(super::envelope::UNAVAILABLE, "Vault is sealed")
}

type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
/// A table of a write transaction.
pub(crate) type WriteTable<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;

fn read_shelves(transaction: &ReadTransaction) -> Result<Shelves<ReadTable>, Fault> {
    Ok(Shelves {
        records: transaction.open_table(RECORDS)?,
        names: transaction.open_table(NAMES)?,
        expiry: transaction.open_table(EXPIRY)?,
    })
}

/// The tables of a write transaction; made where they are missing.
pub(crate) fn write_shelves(transaction: &WriteTransaction) -> Result<Shelves<WriteTable<'_>>, Fault> {
    Ok(Shelves {
        records: transaction.open_table(RECORDS)?,
        names: transaction.open_table(NAMES)?,
        expiry: transaction.open_table(EXPIRY)?,
    })
}
