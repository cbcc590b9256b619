//! What answers and failures of the server mean.

use vouchsafe_model::Kind;
use vouchsafe_model::plan::ServerKind;
use vouchsafe_model::refresh::poll_after;
use vouchsafe_model::wire::extension::{Applied, Held, WATCH_SECONDS, WatchAnswer, WatchRequest};
use vouchsafe_model::wire::{Auth, Document, Lease};

use super::reaction::Told;
use super::retired::Hold;
use super::source::{HeldLease, Source, Step, Value};
use super::{Action, Machine, Reading};
use crate::agent;
use crate::cause::{Cause, DELETED, Failure, Fault, WENT_BACK};
use crate::moment::Moment;

impl Machine {
    pub(super) fn logged_in(&mut self, auth: Auth, now: Moment) {
        let before = self.access.number;
        let replaced = self.access.token.take().filter(|token| token.ends().is_some_and(|end| end > now));
        self.access.take_login(auth, now, &mut self.dice);
        if let Some(token) = replaced
            && self.holds_leases()
            && let Some(ends) = token.ends()
        {
            self.retire(Hold::Token(token.value), before, ends, None);
        }
        let number = self.access.number;
        self.sources.iter_mut().for_each(|source| source.new_token(number, now));
        if self.plan.server.kind == ServerKind::Broker && self.trust.started.is_none() {
            self.trust.want(now);
        }
        self.unsaved = true;
        if self.has_token_file() {
            self.adopt();
        }
    }

    pub(super) fn login_failed(&mut self, failure: &Failure, now: Moment) {
        let cause = Cause::login(&self.plan, failure);
        self.access.fail_login(failure, cause, now, &mut self.dice, self.delivery.ready);
    }

    pub(super) fn read_done(&mut self, index: usize, reading: Reading, now: Moment) {
        let (pace, ready) = (self.watch.pace(), self.delivery.ready);
        let Some(source) = self.sources.get_mut(index) else { return };
        let began = source.in_flight.map_or(now, |(_, began)| began);
        match reading {
            Reading::Deleted { version } => {
                source.floor = source.floor.max(version);
                source.trouble = Some(deleted(source));
                source.lose(now, pace, ready, &mut self.dice);
                self.delivery.stale(index);
            }
            Reading::Value { version, .. } if source.secret.version.is_none() && version < source.floor => {
                source.gone = false;
                if !source.retry_stale(now, &mut self.dice) {
                    source.trouble = Some(went_back(source, version));
                    source.announced = source.floor;
                    source.succeed(now, pace, &mut self.dice);
                }
            }
            Reading::Value { document, version, lease } => {
                source.gone = false;
                source.trouble = None;
                source.floor = version;
                let lease = lease.map(|lease| HeldLease {
                    id: lease.id,
                    issued: began,
                    duration: lease.duration,
                    renewable: lease.renewable,
                    first: lease.duration,
                    login: source.asked_with,
                });
                let undelivered = source.candidate.as_ref().filter(|value| value.document != document);
                let undelivered = undelivered.and_then(|value| value.lease.clone());
                self.unsaved |= take_value(source, Value { document, version, lease });
                let behind = version < source.announced;
                if !behind || !source.retry_stale(now, &mut self.dice) {
                    source.announced = version;
                    source.succeed(now, pace, &mut self.dice);
                }
                self.delivery.stale(index);
                if let Some(lease) = undelivered {
                    self.throw_away(lease, index);
                }
            }
        }
        self.adopt();
        if let Some(lease) = self.sources.get_mut(index).and_then(|source| source.drop_refused(now)) {
            self.throw_away(lease, index);
        }
    }

    /// Gives up a lease whose value never became files.
    fn throw_away(&mut self, lease: HeldLease, source: usize) {
        if lease.is_on_server() {
            let (login, ends) = (lease.login, lease.ends());
            self.retire(Hold::Lease { id: lease.id, source, delivered: false }, login, ends, None);
        }
    }

    /// The server has said where a path leads, or does not say: then the path is taken as it is written.
    pub(super) fn located(&mut self, index: usize, mount: Option<&Document>, actions: &mut Vec<Action>) {
        let Some(source) = self.sources.get_mut(index) else { return };
        let Some(secret) = &source.secret.agent else { return };
        source.located = Some(agent::locate(secret, mount));
        actions.push(Action::Read(index));
    }

    pub(super) fn read_failed(&mut self, index: usize, failure: &Failure, now: Moment) {
        let (pace, ready) = (self.watch.pace(), self.delivery.ready);
        let may_relogin = self.access.may_relogin(now) && self.access.login.started.is_none();
        let login_under_way = self.access.login.next().is_some() || self.access.login.started.is_some();
        let Some(source) = self.sources.get_mut(index) else { return };
        if matches!(failure.kind, Kind::Denied | Kind::Missing) {
            // A place that was only guessed is asked for again.
            source.located.take_if(|located| located.guessed);
        }
        let label = source.secret.label();
        let cause = match failure.kind {
            Kind::Missing if source.newest().is_some() => deleted(source),
            _ => Cause::read(&self.plan, &label, &source.user_path(), failure),
        };
        match failure.kind {
            Kind::Denied => {
                if source.deny(now, ready, may_relogin || login_under_way, &mut self.dice) {
                    self.access.want_login(now);
                    return;
                }
            }
            Kind::Missing => {
                source.floor = 0;
                source.announced = 0;
                source.lose(now, pace, ready, &mut self.dice);
                self.delivery.stale(index);
            }
            _ => source.retry(failure, now, &mut self.dice),
        }
        let expected = source.gone && source.newest().is_none() && self.is_only_optional(index);
        if let Some(source) = self.sources.get_mut(index) {
            source.trouble = (!expected).then_some(cause);
        }
        self.adopt();
    }

    pub(super) fn polled(&mut self, index: usize, version: u64, now: Moment) {
        let (pace, ready) = (self.watch.pace(), self.delivery.ready);
        let Some(source) = self.sources.get_mut(index) else { return };
        if version == 0 {
            source.trouble = Some(deleted(source));
            source.lose(now, pace, ready, &mut self.dice);
        } else if version == source.floor && !source.gone {
            source.trouble = None;
            source.succeed(now, pace, &mut self.dice);
        } else {
            source.succeed(now, pace, &mut self.dice);
            source.announce(version.max(source.floor), now);
        }
    }

    pub(super) fn poll_failed(&mut self, index: usize, failure: &Failure, now: Moment) {
        let Some(source) = self.sources.get_mut(index) else { return };
        match failure.fault {
            // Reading metadata is a right of its own, which a policy may not give.
            Fault::Status(403 | 405) => source.deny_metadata(now),
            _ => self.read_failed(index, failure, now),
        }
    }

    pub(super) fn lease_renewed(&mut self, index: usize, lease: &Lease, now: Moment) {
        let pace = self.watch.pace();
        let Some(source) = self.sources.get_mut(index) else { return };
        let began = source.in_flight.map_or(now, |(_, began)| began);
        let current = if source.candidate.is_some() { &mut source.candidate } else { &mut source.adopted };
        if let Some(held) = current.as_mut().and_then(|value| value.lease.as_mut()) {
            // Near its maximum the server grants less than at first: then it is left to end, and replaced before.
            let is_full = lease.duration >= held.first.mul_f64(FULL_SHARE);
            held.renewable = lease.renewable && is_full;
            // Nothing granted changes nothing: it ends when it was to end.
            if !lease.duration.is_zero() {
                held.issued = began;
                held.duration = lease.duration;
            }
        }
        source.trouble = None;
        source.succeed(now, pace, &mut self.dice);
        self.unsaved = true;
    }

    pub(super) fn lease_failed(&mut self, index: usize, failure: &Failure, now: Moment) {
        let Some(source) = self.sources.get_mut(index) else { return };
        source.trouble = Some(Cause::lease(&self.plan, &source.secret.label(), failure));
        source.fail_lease(failure, now, &mut self.dice);
        self.unsaved = true;
    }

    /// When a watch may begin: not while a read is under way, since its version would be news at once.
    pub(super) fn watch_due(&self) -> Option<Moment> {
        let quiet = self.sources.iter().all(|source| source.in_flight.is_none());
        let anything = self.sources.iter().any(Source::is_watched);
        if quiet && anything && self.access.token.is_some() { self.watch.next() } else { None }
    }

    pub(super) fn watch_request(&self) -> WatchRequest {
        let held = |source: &Source| Held { path: source.secret.api_path(), version: source.held() };
        let paths = self.sources.iter().filter(|source| source.is_watched()).map(held).collect();
        WatchRequest { paths, wait_seconds: WATCH_SECONDS }
    }

    pub(super) fn watch_answered(&mut self, answer: &WatchAnswer, now: Moment) {
        let returned = self.watch.answered(now);
        let pace = self.watch.pace();
        for source in self.sources.iter_mut().filter(|source| source.is_watched()) {
            let path = source.secret.api_path();
            match answer.changes.iter().find(|change| change.path == path) {
                Some(change) if change.version == 0 && !source.gone => {
                    source.announce(source.floor, now);
                }
                Some(change) if change.version > source.floor || (source.gone && change.version > 0) => {
                    source.announce(change.version, now);
                }
                _ if returned && source.in_flight.is_none() => source.schedule(now, pace, &mut self.dice),
                _ => {}
            }
        }
    }

    pub(super) fn watch_failed(&mut self, failure: &Failure, now: Moment) {
        let ended = self.watch.failed(failure, now, &mut self.dice);
        if failure.kind == Kind::Denied && self.access.may_relogin(now) && self.watch.spend_relogin() {
            self.access.want_login(now);
        }
        if ended {
            let pace = self.watch.pace();
            for source in self.sources.iter_mut().filter(|source| source.in_flight.is_none() && source.is_watched()) {
                let planned = source.next;
                source.schedule(now, pace, &mut self.dice);
                if let (Some(old), Some(new)) = (planned, source.next)
                    && old.0 < new.0
                {
                    source.next = Some(old);
                }
            }
        }
    }

    pub(super) fn reacted(&mut self, index: usize, trouble: Option<Cause>, now: Moment) {
        let revision = self.reaction_revision(index);
        let Some(reaction) = self.reactions.get_mut(index) else { return };
        let told = reaction.done(trouble, revision, now, &mut self.dice);
        self.unsaved |= told != Told::Refused;
        let applied = if told == Told::Taken { Applied::Told } else { Applied::Refused };
        if self.applied != Some(Applied::Refused) {
            self.acknowledge(applied, now);
        }
    }

    /// Plans to tell the broker what is delivered.
    pub(super) fn acknowledge(&mut self, applied: Applied, now: Moment) {
        if self.plan.server.kind == ServerKind::Broker && self.sources.iter().any(|source| source.adopted.is_some()) {
            self.applied = Some(applied);
            if self.acknowledgement.started.is_none() {
                self.acknowledgement.want(now);
            }
        }
    }

    pub(super) fn acknowledgement_due(&self) -> Option<Moment> {
        self.applied?;
        self.acknowledgement.started.is_none().then(|| self.acknowledgement.due.unwrap_or_default())
    }

    pub(super) fn acknowledge_failed(&mut self, failure: &Failure, now: Moment) {
        self.acknowledgement.fail(now, &mut self.dice, failure.retry_after, std::time::Duration::ZERO);
        // A newer one waits already, or the broker cannot take any: then this one is void. Else it is due again.
        if failure.kind.is_transient() && self.applied.is_none() {
            self.applied = Some(Applied::Written);
        }
    }

    /// KV v2 paths with the versions that the files hold.
    pub(super) fn delivered(&self) -> Vec<Held> {
        let held = |source: &Source| {
            let value = source.adopted.as_ref()?;
            (value.version > 0).then(|| Held { path: source.secret.api_path(), version: value.version })
        };
        self.sources.iter().filter_map(held).collect()
    }

    pub(super) fn trust_fetched(&mut self, bundle: String, now: Moment, actions: &mut Vec<Action>) {
        self.trust.succeed(now);
        self.schedule_trust(now);
        if self.bundle.as_ref() != Some(&bundle) {
            self.bundle = Some(bundle.clone());
            self.unsaved = true;
            actions.push(Action::UseTrust(bundle));
        }
    }

    pub(super) fn trust_failed(&mut self, failure: &Failure, now: Moment) {
        if failure.kind.is_transient() {
            self.trust.fail(now, &mut self.dice, failure.retry_after, std::time::Duration::ZERO);
        } else {
            self.trust.succeed(now);
            self.schedule_trust(now);
        }
    }

    /// Whether every file that needs this source is optional.
    fn is_only_optional(&self, index: usize) -> bool {
        let mut files = self.delivery.files_of(index).peekable();
        files.peek().is_some() && files.all(|file| self.plan.files.get(file).is_some_and(|file| file.optional))
    }

    /// Plans the first look at a source after the start: at once without a value; soon with one, since changes may have
    /// been missed.
    pub(super) fn plan_first_look(&mut self, index: usize, now: Moment) {
        let pace = self.watch.pace();
        let Some(source) = self.sources.get_mut(index) else { return };
        if source.newest().is_none() {
            source.next = Some((now, Step::Read));
            return;
        }
        source.schedule(now, pace, &mut self.dice);
        let unleased = source.newest().is_some_and(|value| value.lease.is_none());
        if let Some((when, step)) = source.next
            && unleased
        {
            let soon = now.after(poll_after(FIRST_LOOK, self.dice.share()));
            source.next = Some((when.min(soon), step));
        }
    }
}

/// Stores a value unless it is the one already held; says whether there is something new to keep.
fn take_value(source: &mut Source, value: Value) -> bool {
    if let Some(newest) = if source.candidate.is_some() { &mut source.candidate } else { &mut source.adopted }
        && newest.document == value.document
    {
        let news = newest.version != value.version || newest.lease != value.lease;
        newest.version = value.version;
        newest.lease = value.lease;
        return news;
    }
    source.candidate = Some(value);
    source.refusal = None;
    true
}

fn deleted(source: &Source) -> Cause {
    let path = source.user_path();
    let kept = if source.newest().is_some() { "; the last good value stays" } else { "" };
    Cause::new(
        DELETED,
        format!("read {}", source.secret.label()),
        format!("the secret at \"{path}\" was deleted{kept}"),
        format!("undelete it, or run 'vouchsafe put {path}'"),
    )
}

fn went_back(source: &Source, found: u64) -> Cause {
    let path = source.user_path();
    Cause::new(
        WENT_BACK,
        format!("read {}", source.secret.label()),
        format!("\"{path}\" is at version {found} now, version {} was read before and stays", source.floor),
        format!("was Vault restored from a backup? run 'vouchsafe put {path}', or restart the pod to accept it"),
    )
}

/// Share of the first grant below which a renewal is taken for capped by the lease's maximum; answers are whole seconds.
const FULL_SHARE: f64 = 0.9;
/// When a restarted sidecar looks for changes that it may have missed.
const FIRST_LOOK: std::time::Duration = std::time::Duration::from_secs(3);
