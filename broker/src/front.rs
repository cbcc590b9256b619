//! The front: takes a canonical request through audit, upstream and audit again. I/O only; the decisions are made in
//! exchange, watch and goodbye.
//!
//! Whatever changes something runs in a task of its own: a client that goes away cannot keep an outcome from being recorded
//! or a Change from being told. Out of scope: connections and limits (server), the long poll (poll).

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Semaphore, broadcast, oneshot};
use vouchsafe_model::record::Entry;
use vouchsafe_net::http::Request;
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::random;
use vouchsafe_net::server::{Counters, Peer};

use crate::answer::{Answer, Withheld};
use crate::audit::{AuditError, Log, Receipt};
use crate::exchange::{Effects, Exchange, no_answer};
use crate::goodbye::Goodbyes;
use crate::metrics::{Metrics, Moment};
use crate::refusal::Refusal;
use crate::request::canonical;
use crate::route::{Class, Recording, classify};
use crate::session::{Sessions, TokenKey};
use crate::upstream::{Upstream, UpstreamRequest};
use crate::watch::{HINTS, Hint, WATCHERS};

/// Everything that answers requests.
pub(crate) struct Front<U> {
    pub(crate) upstream: Arc<U>,
    pub(crate) log: Log,
    pub(crate) auth_ttl: Duration,
    pub(crate) trust_bundle: Option<PathBuf>,
    pub(crate) metrics: Metrics,
    pub(crate) connections: Counters,
    pub(crate) hints: broadcast::Sender<Hint>,
    pub(crate) watchers: Arc<Semaphore>,
    pub(crate) lifecycle: Lifecycle,
    sessions: Mutex<Sessions>,
    goodbyes: Mutex<Goodbyes>,
}

impl<U: Upstream> Front<U> {
    /// A front without sessions.
    pub(crate) fn new(
        upstream: Arc<U>,
        log: Log,
        sessions: Sessions,
        lifecycle: Lifecycle,
        auth_ttl: Duration,
        trust_bundle: Option<PathBuf>,
    ) -> Self {
        Self {
            upstream,
            log,
            auth_ttl,
            trust_bundle,
            metrics: Metrics::new(),
            connections: Counters::default(),
            hints: broadcast::Sender::new(HINTS),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            lifecycle,
            sessions: Mutex::new(sessions),
            goodbyes: Mutex::default(),
        }
    }

    /// Answers one request of the API.
    pub(crate) async fn answer(self: &Arc<Self>, request: Request, peer: Peer) -> Answer {
        let started = Instant::now();
        let (class, answer) = match canonical(request, peer.address.ip()) {
            Err(refusal) => (Class::Other, Answer::refusal(&refusal)),
            Ok(request) => {
                let class = classify(request.operation, &request.path);
                self.heard_from(&request, class);
                (class, self.dispatch(class, request).await)
            }
        };
        let (status, took) = (answer.status(), started.elapsed());
        self.metrics.answered(class, status, took);
        tracing::debug!(class = class.name(), status, ms = took.as_millis(), "answered");
        answer
    }

    async fn dispatch(self: &Arc<Self>, class: Class, request: UpstreamRequest) -> Answer {
        if let Class::Extension(extension) = class {
            return self.extension(extension, request).await;
        }
        match class.recording(request.operation, &request.path, request.wrap_ttl.is_some()) {
            Recording::None => self.unaudited(request).await,
            Recording::Once => self.once(class, request).await,
            Recording::Twice => {
                let front = Arc::clone(self);
                self.detached("exchange", async move { front.twice(class, request).await }).await
            }
        }
    }

    async fn unaudited(&self, request: UpstreamRequest) -> Answer {
        match Withheld::ask(&*self.upstream, "", request).await {
            Ok(withheld) => withheld.release_unaudited(),
            Err(error) => Answer::refusal(&no_answer(&error)),
        }
    }

    async fn once(&self, class: Class, request: UpstreamRequest) -> Answer {
        let exchange = self.begin(class, &request);
        match Withheld::ask(&*self.upstream, &exchange.id, request).await {
            Ok(withheld) => self.finish(exchange, withheld).await,
            Err(error) => Answer::refusal(&no_answer(&error)),
        }
    }

    async fn twice(&self, class: Class, request: UpstreamRequest) -> Answer {
        let exchange = self.begin(class, &request);
        if let Err(error) = self.record(exchange.intent()).await {
            return Answer::refusal(&unrecorded(error, false));
        }
        match Withheld::ask(&*self.upstream, &exchange.id, request).await {
            Ok(withheld) => self.finish(exchange, withheld).await,
            Err(error) => {
                // The client hears of the failure even if its record is late; no content is in it.
                let _ = self.record(exchange.failed(&error)).await;
                Answer::refusal(&no_answer(&error))
            }
        }
    }

    fn begin(&self, class: Class, request: &UpstreamRequest) -> Exchange {
        Exchange::begin(random::identifier(), class, request, &self.sessions(), SystemTime::now())
    }

    async fn finish(&self, mut exchange: Exchange, withheld: Withheld) -> Answer {
        let (entry, effects) = exchange.settle(&withheld, &mut self.sessions(), SystemTime::now());
        self.apply(exchange.key, effects);
        match self.record(entry).await {
            Ok(receipt) => withheld.release(receipt),
            Err(error) => Answer::refusal(&unrecorded(error, true)),
        }
    }

    /// What an exchange means for watchers and goodbyes.
    fn apply(&self, key: Option<TokenKey>, effects: Effects) {
        if let Some(hint) = effects.changed {
            // Fails where nobody watches.
            let _ = self.hints.send(hint);
        }
        let pod = effects.logged_in.and_then(|session| session.workload).and_then(|workload| workload.pod_uid);
        if let Some(uid) = pod {
            self.goodbyes().cancel_pod(&uid);
        }
        if let (true, Some(key)) = (effects.is_revoked, key) {
            self.goodbyes().cancel_token(key);
        }
    }

    /// A token that is used again did not end. Its goodbye itself is no use.
    fn heard_from(&self, request: &UpstreamRequest, class: Class) {
        let is_goodbye = class == Class::Extension(crate::route::Extension::Goodbye);
        if let Some(token) = request.token.as_ref().filter(|_| !is_goodbye) {
            let key = self.sessions().key(token);
            self.goodbyes().cancel_token(key);
        }
    }

    /// Makes a record durable.
    pub(crate) async fn record(&self, entry: Entry) -> Result<Receipt, AuditError> {
        let started = Instant::now();
        let result = self.log.record(entry).await;
        self.metrics.recorded(started.elapsed());
        result
    }

    /// Runs what must not be left half done, whether or not the client waits for it.
    pub(crate) async fn detached<F>(&self, name: &'static str, work: F) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        self.lifecycle.spawn(name, async move {
            // Fails where the client went away.
            let _ = done.send(work.await);
        });
        answer.await.unwrap_or_else(|_| Answer::refusal(&Refusal::new(503, "the broker is being stopped")))
    }

    /// The text of `/metrics`.
    pub(crate) fn metrics_text(&self) -> String {
        let (sessions, goodbyes) = (self.sessions().len(), self.goodbyes().len());
        let log = self.log.state();
        self.metrics.text(&Moment { sessions, goodbyes, log: &log, connections: &self.connections })
    }

    /// The sessions. Nothing that panics runs under this lock, so a poisoned one is as good as ever.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The goodbyes, likewise.
    pub(crate) fn goodbyes(&self) -> MutexGuard<'_, Goodbyes> {
        self.goodbyes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client is told when a record could not be made durable.
pub(crate) fn unrecorded(error: AuditError, was_asked: bool) -> Refusal {
    let after = if was_asked { "; the upstream has carried the request out" } else { "; nothing was done" };
    Refusal::new(503, format!("{error}{after}")).retry_after(RETRY_AFTER)
}

/// What a client waits after an audit failure: the log looks after itself with every new record.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
