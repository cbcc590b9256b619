//! The machine: every decision of the sidecar, as a pure function of events and time.
//!
//! [`Machine::on`] takes one event and gives back what to do. Events change the state; afterwards `advance` begins whatever
//! is due and not blocked, so the same rules hold however events are ordered, and nothing begins twice.
//!
//! ```text
//! Started ─ Login ─ Read(i)… ─ Save, Commit ─ Ready ─┬─ Watch ─ Read(i) ─ Save, Commit ─ React ─ Ack ─┐
//!                                                    └────────── Renew, Poll(i), Login ───────────────┘
//! ```
//! Out of scope: sockets, files, clocks (the driver).

mod access;
mod delivery;
mod exchange;
mod gate;
mod message;
mod reaction;
mod retired;
mod snapshot;
mod source;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use std::collections::BTreeMap;

use vouchsafe_model::plan::{Content, Injection, Plan, PlanSecret, ServerKind};
use vouchsafe_model::refresh::poll_after;
use vouchsafe_model::wire::extension::{Ack, Applied};
use vouchsafe_model::{Kind, Secret, Workload};

use self::access::{Access, Attempt};
use self::delivery::Delivery;
use self::gate::{Gate, Verdict};
pub use self::message::{Action, Event, Reading};
use self::reaction::ReactionState;
pub use self::retired::Discard;
use self::retired::Retired;
pub use self::snapshot::Saved;
use self::source::{Source, Step, Value};
use self::watch::Watch;
use crate::agent;
use crate::cause::{Cause, DESERTED, STARTING, STATE, UNATTENDED};
use crate::moment::{Dice, Moment};

/// The sidecar's state and rules.
pub struct Machine {
    plan: Plan,
    workload: Workload,
    role: Role,
    dice: Dice,
    access: Access,
    sources: Vec<Source>,
    /// For each secret of the Plan, its source.
    source_of: Vec<usize>,
    delivery: Delivery,
    watch: Watch,
    gate: Gate,
    reactions: Vec<ReactionState>,
    acknowledgement: Attempt,
    applied: Option<Applied>,
    trust: Attempt,
    bundle: Option<String>,
    /// What was replaced and still lives on the server.
    retired: Vec<Retired>,
    retirements: u64,
    /// Values of an earlier process whose reads no template has asked for yet.
    unclaimed: BTreeMap<String, Value>,
    /// A template has just asked for its first read.
    asks_login: bool,
    unsaved: bool,
    save_trouble: Option<Cause>,
    reported: Vec<Cause>,
    course: Course,
}

/// What this process is in the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The sidecar: keeps the files fresh until the pod ends.
    #[default]
    Keeper,
    /// The classic form's init container: ends with the first complete generation.
    First,
}

/// Where the process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Fresh,
    Running,
    Parting,
    Ended,
}

impl Machine {
    /// A machine that is the pod's sidecar. `seed` spreads its waits.
    pub fn new(plan: Plan, workload: Workload, seed: u64, now: Moment) -> Self {
        Self::of(Role::Keeper, plan, workload, seed, now)
    }

    /// A machine for `plan` in this role, started `now`. `seed` spreads its waits.
    pub fn of(role: Role, plan: Plan, workload: Workload, seed: u64, now: Moment) -> Self {
        let mut sources: Vec<Source> = Vec::new();
        let mut keys: Vec<String> = Vec::new();
        let mut source_of = Vec::with_capacity(plan.secrets.len());
        for secret in &plan.secrets {
            let key = Source::key(secret);
            let index = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                let mut source = Source::new(secret.clone());
                source.follow(&plan);
                sources.push(source);
                sources.len() - 1
            });
            source_of.push(index);
        }
        Self {
            dice: Dice::new(seed),
            access: Access::default(),
            delivery: Delivery::new(&plan),
            watch: Watch::new(plan.server.kind),
            gate: Gate::new(&plan, role, now),
            role,
            reactions: plan.reactions.iter().map(|_| ReactionState::default()).collect(),
            acknowledgement: Attempt::default(),
            applied: None,
            trust: Attempt::default(),
            bundle: None,
            retired: Vec::new(),
            retirements: 0,
            unclaimed: BTreeMap::new(),
            asks_login: false,
            unsaved: false,
            save_trouble: None,
            reported: Vec::new(),
            course: Course::Fresh,
            sources,
            source_of,
            plan,
            workload,
        }
    }

    /// Takes one event; says what to do, in this order.
    pub fn on(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.course {
            Course::Ended => return actions,
            Course::Parting => {
                if matches!(event, Event::Parted) {
                    self.end(0, None, &mut actions);
                }
                return actions;
            }
            Course::Fresh | Course::Running => self.take(event, now, &mut actions),
        }
        match self.course {
            Course::Running if self.role == Role::First && self.delivery.ready => self.hand_over(now, &mut actions),
            Course::Running => self.advance(now, &mut actions),
            Course::Fresh | Course::Parting | Course::Ended => {}
        }
        actions
    }

    /// When [`Event::Tick`] is wanted at the latest: always after `now`, since whatever was due has begun.
    pub fn next_wake(&self, now: Moment) -> Option<Moment> {
        if self.course != Course::Running {
            return None;
        }
        let gate = if self.delivery.ready { None } else { self.gate.deadline().map(|(when, _)| when) };
        let access = [self.access.login.next(), self.access.renewal.next(), self.access.ends()];
        let alone = [gate, self.delivery.due(), self.retired_ends()];
        let reactions = self.reactions.iter().map(|reaction| reaction.attempt.next());
        let exchanges = [self.watch_due(), self.acknowledgement_due(), self.trust.next(), self.retired_due()];
        let sources = self.sources.iter().map(Source::due);
        // Without a token these wait for the login, not for a time.
        let exchanges = exchanges.into_iter().chain(sources).filter(|_| self.access.is_usable(now));
        alone.into_iter().chain(access).chain(reactions).chain(exchanges).flatten().min()
    }

    /// Whether the first generation is complete.
    pub fn is_ready(&self) -> bool {
        self.delivery.ready
    }

    /// The Plan being carried out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Who the pod is.
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The token to send, if there is one.
    pub fn token(&self) -> Option<&Secret> {
        self.access.token.as_ref().map(|token| &token.value)
    }

    /// What source `index` is read as.
    pub fn source(&self, index: usize) -> Option<&PlanSecret> {
        self.sources.get(index).map(|source| &source.secret)
    }

    /// The request that source `index` stands for.
    pub fn request(&self, index: usize) -> Option<PlanSecret> {
        self.sources.get(index).map(|source| agent::request(&source.secret, source.located.as_ref()))
    }

    /// Whether anything needs a login.
    fn needs_token(&self) -> bool {
        !self.sources.is_empty() || self.has_token_file()
    }

    fn has_token_file(&self) -> bool {
        self.plan.files.iter().any(|file| file.content == Content::Token)
    }

    /// The lease that source `index` holds.
    pub fn lease_id(&self, index: usize) -> Option<&str> {
        let lease = self.sources.get(index)?.newest()?.lease.as_ref()?;
        lease.is_on_server().then_some(lease.id.as_str())
    }

    /// Everything that is wrong now, the most important first.
    pub fn causes(&self) -> Vec<Cause> {
        let access = self.access.trouble.iter();
        let sources = self.sources.iter().flat_map(|source| source.trouble.iter().chain(&source.refusal));
        let reactions = self.reactions.iter().filter_map(|reaction| reaction.trouble.as_ref());
        let mut causes: Vec<Cause> = access
            .chain(&self.delivery.trouble)
            .chain(sources)
            .chain(reactions)
            .chain(&self.save_trouble)
            .cloned()
            .collect();
        causes.dedup();
        causes
    }

    /// Why there are no files yet.
    pub fn reason(&self) -> Cause {
        self.causes().into_iter().next().unwrap_or_else(|| {
            Cause::new(
                STARTING,
                "start",
                "the first secrets are being read",
                "wait a moment, then look at the pod's events again",
            )
        })
    }

    fn take(&mut self, event: Event, now: Moment, actions: &mut Vec<Action>) {
        match event {
            Event::Started(saved) => self.start(saved, now, actions),
            Event::Tick | Event::Parted => {}
            Event::LoggedIn(auth) => self.logged_in(auth, now),
            Event::LoginFailed(failure) => self.login_failed(&failure, now),
            Event::Renewed(auth) => {
                self.access.take_renewal(&auth, now, &mut self.dice);
                self.unsaved = true;
            }
            Event::RenewFailed(failure) => self.access.fail_renewal(&failure, now, &mut self.dice),
            Event::ReadDone(index, reading) => self.read_done(index, reading, now),
            Event::ReadFailed(index, failure) => self.read_failed(index, &failure, now),
            Event::Located(index, mount) => self.located(index, Some(&mount), actions),
            Event::LocateFailed(index, failure) => match failure.kind {
                // Asking is a right of its own, which a policy may not give; and some servers do not know the question.
                Kind::Denied | Kind::Missing | Kind::Invalid => self.located(index, None, actions),
                _ => self.read_failed(index, &failure, now),
            },
            Event::Polled(index, version) => self.polled(index, version, now),
            Event::PollFailed(index, failure) => self.poll_failed(index, &failure, now),
            Event::LeaseRenewed(index, lease) => self.lease_renewed(index, &lease, now),
            Event::LeaseFailed(index, failure) => self.lease_failed(index, &failure, now),
            Event::Discarded(number, failure) => self.discard_done(number, failure.as_ref(), now),
            Event::WatchAnswered(answer) => self.watch_answered(&answer, now),
            Event::WatchFailed(failure) => self.watch_failed(&failure, now),
            Event::SaveFailed(problem) => {
                self.save_trouble = Some(Cause::new(
                    STATE,
                    "keep state",
                    problem,
                    "raise the size limit of the volume vouchsafe-state; delivery goes on",
                ));
            }
            Event::Written => self.written(now, actions),
            Event::WriteFailed(problem) => self.delivery.fail(problem, now, &mut self.dice),
            Event::Reacted(index, trouble) => self.reacted(index, trouble, now),
            Event::Acknowledged => {
                self.acknowledgement.succeed(now);
            }
            Event::AcknowledgeFailed(failure) => self.acknowledge_failed(&failure, now),
            Event::TrustFetched(bundle) => self.trust_fetched(bundle, now, actions),
            Event::TrustFailed(failure) => self.trust_failed(&failure, now),
            Event::WaitConnected => self.gate.connected(),
            Event::WaitLost => self.wait_lost(actions),
            Event::WaitGaveUp => self.gate.gave_up(now),
            Event::Terminate => self.terminate(now, actions),
        }
    }

    fn start(&mut self, saved: Option<Saved>, now: Moment, actions: &mut Vec<Action>) {
        self.course = Course::Running;
        if let Some(saved) = saved {
            self.restore(saved, now, actions);
        }
        // An init container that runs again over a complete state writes it once more and needs no server.
        let writes_only = self.role == Role::First && self.delivery.restored;
        if self.needs_token() && !self.access.is_usable(now) && !writes_only {
            self.access.login.want(now);
        }
        for index in 0..self.sources.len() {
            self.plan_first_look(index, now);
        }
        self.adopt();
    }

    /// Begins whatever is due and not blocked.
    fn advance(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if let Some((when, verdict)) = self.gate.deadline()
            && !self.delivery.ready
            && when <= now
        {
            return self.leave(verdict, actions);
        }
        self.advance_access(now, actions);
        self.forget_ended(now);
        if self.access.is_usable(now) {
            self.advance_retired(now, actions);
            self.advance_sources(now, actions);
            self.advance_watch(now, actions);
            self.advance_extension(now, actions);
        }
        let commit = self.delivery.begin(now);
        if self.unsaved || commit {
            self.unsaved = false;
            self.save_trouble = None;
            actions.push(Action::Save);
        }
        if commit {
            actions.push(Action::Commit);
        }
        for index in 0..self.reactions.len() {
            let revision = self.reaction_revision(index);
            if let Some(reaction) = self.reactions.get_mut(index)
                && reaction.attempt.is_due(now)
            {
                reaction.begin(revision, now);
                actions.push(Action::React(index));
            }
        }
        self.report(actions);
    }

    fn advance_access(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let first = std::mem::take(&mut self.asks_login) && self.access.token.is_none() && self.access.login.is_idle();
        if self.needs_token() && !self.access.is_usable(now) && (self.access.token.is_some() || first) {
            self.access.want_login(now);
        }
        if self.access.renewal_due(now) {
            self.access.renewal.begin(now);
            actions.push(Action::Renew);
        }
        if self.access.login.is_due(now) {
            self.access.login.begin(now);
            actions.push(Action::Login);
        }
    }

    fn advance_sources(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for (index, source) in self.sources.iter_mut().enumerate() {
            match source.begin(now, self.access.number) {
                Some(Step::Read) if source.needs_place() => actions.push(Action::Locate(index)),
                Some(Step::Read) => actions.push(Action::Read(index)),
                Some(Step::Poll) => actions.push(Action::Poll(index)),
                Some(Step::RenewLease) => actions.push(Action::RenewLease(index)),
                None => {}
            }
        }
    }

    fn advance_watch(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if self.watch_due().is_some_and(|due| due <= now) {
            self.watch.attempt.begin(now);
            actions.push(Action::Watch(self.watch_request()));
        }
    }

    fn advance_extension(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if self.acknowledgement_due().is_some_and(|due| due <= now)
            && let Some(applied) = self.applied.take()
        {
            self.acknowledgement.begin(now);
            actions.push(Action::Acknowledge(Ack { held: self.delivered(), applied }));
        }
        if self.trust.is_due(now) {
            self.trust.begin(now);
            actions.push(Action::FetchTrust);
        }
    }

    fn report(&mut self, actions: &mut Vec<Action>) {
        let causes = self.causes();
        actions.extend(self.reported.iter().filter(|old| !causes.contains(old)).cloned().map(Action::Resolve));
        actions.extend(causes.iter().filter(|new| !self.reported.contains(new)).cloned().map(Action::Report));
        self.reported = causes;
    }

    fn wait_lost(&mut self, actions: &mut Vec<Action>) {
        let verdict = self.gate.lost();
        if let Some(verdict) = verdict
            && !self.delivery.ready
        {
            self.leave(verdict, actions);
        }
    }

    /// Ends without files: the kubelet starts us, and the hook, again.
    fn leave(&mut self, verdict: Verdict, actions: &mut Vec<Action>) {
        let again = "the kubelet restarts this container and its hook; nothing is to be done";
        let cause = match verdict {
            Verdict::GivenUp => self.reason(),
            Verdict::Unattended => {
                Cause::new(UNATTENDED, "hold the app back", "no postStart hook connected after the start", again)
            }
            Verdict::Deserted => Cause::new(
                DESERTED,
                "hold the app back",
                "the postStart hook vanished, as when the kubelet restarts",
                again,
            ),
        };
        self.end(Kind::Unavailable.exit_code(), Some(cause), actions);
    }

    /// The init container's work is done. What it holds is kept for the container that goes on; where none does, nobody
    /// needs the token any more, unless something leased hangs on it.
    fn hand_over(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.unsaved = false;
        actions.push(Action::Save);
        match self.plan.injection {
            Injection::Once if !self.holds_leases() => self.part(now, actions),
            _ => self.end(0, None, actions),
        }
    }

    fn terminate(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if !self.delivery.ready || self.gate.has_given_up() {
            let cause = self.reason();
            return self.end(Kind::Unavailable.exit_code(), Some(cause), actions);
        }
        self.part(now, actions);
    }

    fn part(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.course = Course::Parting;
        match self.plan.server.kind {
            ServerKind::Broker if self.access.is_usable(now) => actions.push(Action::Goodbye),
            ServerKind::Direct if self.access.is_usable(now) && !self.holds_leases() => {
                // Forgotten before it is revoked: a restart must not try a dead token.
                if let Some(token) = self.access.token.take() {
                    actions.extend([Action::Save, Action::Revoke(token.value)]);
                }
            }
            _ => self.end(0, None, actions),
        }
    }

    fn holds_leases(&self) -> bool {
        let is_leased = |source: &Source| {
            let lease = source.newest().and_then(|value| value.lease.as_ref());
            lease.is_some_and(source::HeldLease::is_on_server)
        };
        self.sources.iter().any(is_leased)
    }

    fn end(&mut self, code: u8, cause: Option<Cause>, actions: &mut Vec<Action>) {
        self.course = Course::Ended;
        actions.push(Action::Exit { code, cause });
    }

    fn schedule_trust(&mut self, now: Moment) {
        self.trust.due = Some(now.after(poll_after(TRUST_INTERVAL, self.dice.share())));
    }
}

/// How often the trust bundle is fetched. Successors are announced weeks ahead.
const TRUST_INTERVAL: std::time::Duration = std::time::Duration::from_secs(3600);
