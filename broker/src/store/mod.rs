//! The embedded store: an [`Upstream`] that answers the Vault API from one encrypted file.
//!
//! It behaves like OpenBao for what a laptop and a small cluster need: KV versions 1 and 2, policies, tokens and their
//! roles, cubbyholes, response wrapping, the auth method `kubernetes`, and what clients ask below `sys/`. It is the default of `dev` and of the tests, and says so
//! when it is asked for something that it lacks.
//!
//! ```text
//! Store (async) -> engine (transactions, one writer) -> core (token, policy, route, wrapping) -> kv1, kv2, cubbyhole,
//!                                                            token_api, kubernetes, sys
//!                                                       records: table (names, lists) -> barrier (encryption) -> redb
//! ```
//! Out of scope: several replicas, namespaces, other engines. With this store the broker *is* the
//! store: it can read every secret, which it cannot in front of Vault.

mod acl;
pub mod backup;
mod barrier;
mod capabilities;
mod clock;
mod core;
mod cubbyhole;
mod engine;
mod envelope;
mod fault;
mod fields;
mod hcl;
mod jwt;
mod key;
mod known;
mod kubernetes;
mod kubernetes_role;
mod kv1;
mod kv2;
mod kv2_key;
mod kv2_metadata;
mod leases;
mod mount;
mod mount_api;
mod open;
mod policies;
mod policy;
mod review;
mod snapshot;
mod status;
mod sys;
mod table;
mod token;
mod token_api;
mod token_create;
mod token_role;
mod tree;
mod walk;
mod wrapping;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{broadcast, mpsc};
use vouchsafe_model::wire::extension::Change;
use vouchsafe_net::http::Response;

use self::engine::{Done, Engine, Job, Read, Task};
use self::envelope::Refusal;
use self::fault::Fault;
use crate::upstream::{Upstream, UpstreamError, UpstreamRequest};

pub use self::clock::Clock;
pub use self::open::{RootToken, StoreError, StoreOptions};

/// Requests that may wait for the writer; more wait at their own end.
const QUEUE: usize = 256;
/// Changes that a slow subscriber may lag behind before it misses some and must read again.
const CHANGES: usize = 1024;

/// The embedded store. One process at a time has it open; dropping it ends its writer after the work that it has taken.
pub struct Store {
    engine: Arc<Engine>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store, or makes it where `options` allow that; then the root token comes out, this once.
    ///
    /// Reads and writes files: call it where blocking is allowed.
    pub fn open(options: &StoreOptions, clock: Clock) -> Result<(Self, Option<RootToken>), StoreError> {
        Self::start(options, open::open(options, &clock, None)?, clock)
    }

    /// The same in a pod: a store that is made now also has `auth/kubernetes/`, which asks the API server `api_server`
    /// (`https://HOST:PORT`) with the pod's own roots and token. A store that is there already is left as it is.
    pub fn open_in_cluster(
        options: &StoreOptions,
        clock: Clock,
        api_server: &str,
    ) -> Result<(Self, Option<RootToken>), StoreError> {
        kubernetes::check_host(api_server)
            .map_err(|problem| StoreError::File { file: options.file.clone(), problem })?;
        Self::start(options, open::open(options, &clock, Some(api_server))?, clock)
    }

    fn start(
        options: &StoreOptions,
        opened: open::Opened,
        clock: Clock,
    ) -> Result<(Self, Option<RootToken>), StoreError> {
        let (changes, _) = broadcast::channel(CHANGES);
        let engine = Arc::new(Engine::new(opened.database, opened.barrier, opened.cluster_id, clock, changes));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let of_writer = Arc::clone(&engine);
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || of_writer.write_until_closed(queue))
            .map_err(|error| StoreError::File { file: options.file.clone(), problem: error.to_string() })?;
        Ok((Self { engine, jobs: Some(jobs), writer: Some(writer) }, opened.root))
    }

    /// Each committed write and delete of a KV secret, from now on. Who lags behind gets an error and should read again.
    pub fn subscribe_changes(&self) -> broadcast::Receiver<Change> {
        self.engine.subscribe()
    }

    /// Puts the keys away. Only health and seal state answer from now on; a restart opens the store again.
    pub fn seal(&self) {
        self.engine.seal();
    }

    async fn submit(&self, task: Task) -> Result<Done, UpstreamError> {
        let closed = |may_have_happened| move || Fault::Closed.into_error(may_have_happened);
        let (job, result) = Job::new(task);
        let jobs = self.jobs.as_ref().ok_or_else(closed(false))?;
        jobs.send(job).await.map_err(|_| closed(false)())?;
        result.await.map_err(|_| closed(true)())?
    }

    async fn read(&self, request: Box<UpstreamRequest>) -> Result<Read, UpstreamError> {
        let engine = Arc::clone(&self.engine);
        let read = tokio::task::spawn_blocking(move || engine.read(request)).await;
        read.map_err(|_| Fault::Closed.into_error(false))
    }
}

impl Upstream for Store {
    async fn call(&self, request: UpstreamRequest) -> Result<Response, UpstreamError> {
        if let Some(answer) = self.engine.answer_open(&request) {
            return answer;
        }
        let mut request = Box::new(request);
        if !core::may_write(request.operation) {
            match self.read(request).await? {
                Read::Response(response) => return response,
                Read::ForWriter(back) => request = back,
            }
        }
        match self.submit(Task::Request(request)).await? {
            Done::Response(response) => Ok(response),
            Done::Failed(error) => Err(error),
            Done::Review(review) => {
                if !review::confirms(&review).await {
                    return Refusal::unknown_token().into_response().map_err(|fault| fault.into_error(false));
                }
                match self.submit(Task::Finish(review)).await? {
                    Done::Response(response) => Ok(response),
                    Done::Failed(error) => Err(error),
                    Done::Review(_) => Err(Fault::Closed.into_error(false)),
                }
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Store")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // It ends once the queue is empty; a panic of it was reported where it happened.
            let _ = writer.join();
        }
    }
}
