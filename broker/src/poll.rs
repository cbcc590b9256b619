//! The extension's requests: watch, ack, goodbye and trust. I/O only; what they mean is decided in watch and goodbye.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::de::DeserializeOwned;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use vouchsafe_model::Secret;
use vouchsafe_model::record::{Decision, Entry, Phase};
use vouchsafe_model::wire::extension::{Ack, Applied, Change, Trust, WATCH_PATHS, WatchAnswer, WatchRequest};
use vouchsafe_net::http::Response;
use vouchsafe_net::random;
use vouchsafe_net::tls::TrustRoots;

use crate::answer::{Answer, Withheld};
use crate::exchange::{REVOKE_SELF, name_session, no_answer};
use crate::front::{Front, unrecorded};
use crate::goodbye::{GOODBYE_DELAY, Pending};
use crate::refusal::Refusal;
use crate::request::check_path;
use crate::route::{Extension, audited_path};
use crate::session::{Session, TokenKey};
use crate::upstream::{Operation, Upstream, UpstreamRequest};
use crate::watch::{Heard, Hint, Standing, Watched, standing, wait};

/// Who asks, and what is needed to ask the upstream as he.
struct Asker {
    token: Secret,
    request: UpstreamRequest,
}

impl<U: Upstream> Front<U> {
    /// Answers a request of the extension.
    pub(crate) async fn extension(self: &Arc<Self>, extension: Extension, request: UpstreamRequest) -> Answer {
        let front = Arc::clone(self);
        let result = match extension {
            Extension::Watch => self.watch(request).await,
            Extension::Ack => return self.detached("ack", async move { settled(front.ack(request).await) }).await,
            Extension::Goodbye => {
                return self.detached("goodbye", async move { settled(front.goodbye(request).await) }).await;
            }
            Extension::Trust => self.trust().await,
            Extension::Unknown => Err(Refusal::new(404, "this broker has no such path below vouchsafe/")),
        };
        settled(result)
    }

    async fn watch(&self, request: UpstreamRequest) -> Result<Response, Refusal> {
        let body: WatchRequest = parse(&request.body)?;
        let deadline = tokio::time::Instant::now() + wait(body.wait_seconds);
        let mut watched = Watched::new(body, request.namespace.clone())?;
        let asker = Asker::new(request)?;
        let too_many = || Refusal::new(429, "too many watchers; poll instead").retry_after(GOODBYE_DELAY);
        let _place = self.watchers.try_acquire().map_err(|_| too_many())?;
        let waiting = Waiting::start(&self.metrics.watchers);
        // Listen first, read then: a write in between is heard.
        let mut hints = self.hints.subscribe();
        let mut changes = self.read_all(&asker, &mut watched, true).await?;
        if changes.is_empty() {
            changes = self.wait_for_change(&asker, &mut watched, &mut hints, deadline).await?;
        }
        drop(waiting);
        self.metrics.changes.inc_by(u64::try_from(changes.len()).unwrap_or(0));
        json(200, &WatchAnswer { changes })
    }

    async fn wait_for_change(
        &self,
        asker: &Asker,
        watched: &mut Watched,
        hints: &mut broadcast::Receiver<Hint>,
        deadline: tokio::time::Instant,
    ) -> Result<Vec<Change>, Refusal> {
        let mut recheck = tokio::time::Instant::now() + self.recheck_every();
        loop {
            let changes = tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
                () = self.lifecycle.stopping() => return Ok(Vec::new()),
                () = tokio::time::sleep_until(recheck) => {
                    let changes = self.read_all(asker, watched, false).await?;
                    recheck = tokio::time::Instant::now() + self.recheck_every();
                    changes
                }
                heard = hints.recv() => match heard {
                    Ok(hint) => self.hear(asker, watched, &hint).await?,
                    Err(RecvError::Lagged(_)) => self.read_all(asker, watched, false).await?,
                    Err(RecvError::Closed) => return Ok(Vec::new()),
                },
            };
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    async fn hear(&self, asker: &Asker, watched: &mut Watched, hint: &Hint) -> Result<Vec<Change>, Refusal> {
        match watched.hear(hint, self.auth_ttl, now()) {
            Heard::Nothing => Ok(Vec::new()),
            Heard::Change(change) => Ok(vec![change]),
            Heard::Read(index) => Ok(self.read_one(asker, watched, index, false).await?.into_iter().collect()),
        }
    }

    async fn read_all(&self, asker: &Asker, watched: &mut Watched, must: bool) -> Result<Vec<Change>, Refusal> {
        let mut changes = Vec::new();
        for index in watched.all() {
            changes.extend(self.read_one(asker, watched, index, must).await?);
        }
        Ok(changes)
    }

    /// Reads a path with the watcher's own token. Where it `must` be known, an upstream that cannot say is an error.
    async fn read_one(
        &self,
        asker: &Asker,
        watched: &mut Watched,
        index: usize,
        must: bool,
    ) -> Result<Option<Change>, Refusal> {
        let Some(path) = watched.path(index) else { return Ok(None) };
        let request = asker.request(Operation::Read, path, watched.namespace());
        // The value is dropped with the answer, here: only its version is looked at.
        let standing = match Withheld::ask(&*self.upstream, "", request).await {
            Ok(answer) => standing(answer.status(), answer.facts()),
            Err(error) if must => return Err(no_answer(&error)),
            Err(_) => Standing::Unknown,
        };
        if must && standing == Standing::Unknown {
            return Err(Refusal::new(503, "the upstream does not say whether this may be watched; try again"));
        }
        watched.learn(index, standing, now())
    }

    /// With an `auth_ttl` of zero every Change is checked when it is told, and nothing needs to be checked before.
    fn recheck_every(&self) -> Duration {
        if self.auth_ttl.is_zero() { NEVER } else { self.auth_ttl }
    }

    async fn ack(&self, request: UpstreamRequest) -> Result<Response, Refusal> {
        let ack: Ack = parse(&request.body)?;
        if ack.held.len() > WATCH_PATHS {
            return Err(Refusal::new(400, format!("an ack names at most {WATCH_PATHS} paths")));
        }
        ack.held.iter().try_for_each(|held| check_path(&held.path)).map_err(|problem| Refusal::new(400, problem))?;
        let asker = Asker::new(request)?;
        let (_, session) = self.session_of(&asker).await?;
        let operation = match ack.applied {
            Applied::Written => "ack-written",
            Applied::Told => "ack-told",
            Applied::Refused => "ack-refused",
        };
        for held in ack.held {
            let mut entry = asker.entry(operation, &held.path, &session);
            entry.version = Some(held.version);
            let _receipt = self.record(entry).await.map_err(|error| unrecorded(error, false))?;
        }
        Ok(Response::empty(204))
    }

    async fn goodbye(&self, request: UpstreamRequest) -> Result<Response, Refusal> {
        let asker = Asker::new(request)?;
        let (key, session) = self.session_of(&asker).await?;
        let entry = asker.entry("goodbye", REVOKE_SELF, &session);
        let _receipt = self.record(entry).await.map_err(|error| unrecorded(error, false))?;
        let due = now() + GOODBYE_DELAY;
        let (namespace, client) = (asker.request.namespace.clone(), asker.request.client);
        let pending = Pending { token: asker.token, namespace, client, session, due, failures: 0 };
        if !self.goodbyes().plan(key, pending) {
            tracing::warn!("too many goodbyes wait; this token ends by itself");
        }
        Ok(Response::empty(204))
    }

    /// The asker's session. A token that was never seen here must show itself valid first.
    async fn session_of(&self, asker: &Asker) -> Result<(TokenKey, Session), Refusal> {
        let key = self.sessions().key(&asker.token);
        let known = self.sessions().find(key, SystemTime::now()).cloned();
        if let Some(session) = known {
            return Ok((key, session));
        }
        let request = asker.request(Operation::Read, LOOKUP_SELF, asker.request.namespace.as_deref());
        let answer = Withheld::ask(&*self.upstream, "", request).await.map_err(|error| no_answer(&error))?;
        if answer.status() != 200 {
            return Err(Refusal::new(403, "permission denied: the upstream does not know this token"));
        }
        let accessor = answer.facts().accessor.as_deref().and_then(|accessor| self.sessions().accessor(accessor));
        Ok((key, Session { accessor, ..Session::default() }))
    }

    async fn trust(&self) -> Result<Response, Refusal> {
        let Some(file) = self.trust_bundle.clone() else {
            return Err(Refusal::new(404, "this broker hands out no trust bundle"));
        };
        let read = tokio::task::spawn_blocking(move || {
            std::fs::read_to_string(file).ok().filter(|bundle| TrustRoots::from_pem(bundle).is_ok())
        });
        match read.await {
            Ok(Some(bundle)) => json(200, &Trust { bundle }),
            _ => Err(Refusal::new(503, "the trust bundle cannot be read; look at the broker's --trust-bundle file")),
        }
    }

    /// Revokes tokens whose goodbye is due, until the program ends; what waits then is dropped.
    pub(crate) async fn revoke_departed(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.lifecycle.stopping() => return,
                () = tokio::time::sleep(REVOKE_EVERY) => {}
            }
            let due = self.goodbyes().due(now());
            for (key, pending) in due {
                self.revoke(key, pending).await;
            }
        }
    }

    async fn revoke(&self, key: TokenKey, pending: Pending) {
        let mut request = Asker::blank(pending.client);
        request.operation = Operation::Write;
        REVOKE_SELF.clone_into(&mut request.path);
        request.namespace.clone_from(&pending.namespace);
        request.token = Some(pending.token.duplicate());
        let mut entry = entry_of("revoke", REVOKE_SELF, &request, &pending.session);
        entry.phase = Phase::Intent;
        entry.decision = None;
        let id = entry.request.clone();
        if self.record(entry.clone()).await.is_err() {
            self.goodbyes().retry(key, pending, now());
            return;
        }
        let answer = Withheld::ask(&*self.upstream, &id, request).await;
        let status = answer.as_ref().ok().map(Withheld::status);
        // 403 means that the token is no more, which is what was wanted.
        let is_done = status.is_some_and(|status| (200..300).contains(&status) || status == 403);
        entry.phase = Phase::Outcome;
        entry.status = status;
        entry.decision = Some(if is_done { Decision::Allowed } else { Decision::Failed });
        // Nobody waits for this record; the log tells of its own failure.
        let _ = self.record(entry).await;
        if is_done {
            self.sessions().forget(key);
            self.metrics.revocations.inc();
        } else if !self.goodbyes().retry(key, pending, now()) {
            tracing::warn!("a token could not be revoked after its pod's goodbye; it ends by itself");
        }
    }
}

impl Asker {
    fn new(mut request: UpstreamRequest) -> Result<Self, Refusal> {
        let token = request.token.take().ok_or_else(|| Refusal::new(403, "permission denied: no token was sent"))?;
        Ok(Self { token, request })
    }

    fn blank(client: std::net::IpAddr) -> UpstreamRequest {
        UpstreamRequest {
            operation: Operation::Read,
            path: String::new(),
            query: Vec::new(),
            token: None,
            namespace: None,
            wrap_ttl: None,
            content_type: None,
            headers: Vec::new(),
            body: Secret::new(Vec::new()),
            client,
        }
    }

    /// A request to the upstream with the asker's own token.
    fn request(&self, operation: Operation, path: &str, namespace: Option<&str>) -> UpstreamRequest {
        UpstreamRequest {
            operation,
            path: path.to_owned(),
            token: Some(self.token.duplicate()),
            namespace: namespace.map(str::to_owned),
            ..Self::blank(self.request.client)
        }
    }

    fn entry(&self, operation: &str, path: &str, session: &Session) -> Entry {
        entry_of(operation, path, &self.request, session)
    }
}

fn entry_of(operation: &str, path: &str, request: &UpstreamRequest, session: &Session) -> Entry {
    let mut entry = Entry::new(Phase::Outcome);
    entry.request = random::identifier();
    operation.clone_into(&mut entry.operation);
    entry.path = audited_path(path);
    entry.vault_namespace.clone_from(&request.namespace);
    entry.client = Some(request.client);
    entry.decision = Some(Decision::Allowed);
    name_session(&mut entry, session);
    entry
}

/// Counts a watcher as long as it lives, also where the client goes away.
struct Waiting<'a>(&'a prometheus_client::metrics::gauge::Gauge);

impl<'a> Waiting<'a> {
    fn start(gauge: &'a prometheus_client::metrics::gauge::Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn settled(result: Result<Response, Refusal>) -> Answer {
    result.map_or_else(|refusal| Answer::refusal(&refusal), Answer::own)
}

fn json(status: u16, value: &impl serde::Serialize) -> Result<Response, Refusal> {
    let value = serde_json::to_value(value).map_err(|_| Refusal::new(500, "the answer could not be written"))?;
    Ok(Response::json(status, &value))
}

/// Decodes a body of the extension; the refusal names a position and never content.
fn parse<T: DeserializeOwned>(body: &Secret) -> Result<T, Refusal> {
    // EXPOSE: paths and versions only; nothing of it is secret.
    serde_json::from_slice(body.expose()).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::new(400, format!("the body is not of the form that vouchsafe/ knows (line {line}, column {column})"))
    })
}

/// The time as the runtime's timers see it, so that both agree in tests too.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Describes the asking token.
const LOOKUP_SELF: &str = "auth/token/lookup-self";
/// How often goodbyes are looked through.
const REVOKE_EVERY: Duration = Duration::from_secs(1);
/// Longer than any wait.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
