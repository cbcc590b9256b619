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
mod snapshot;
mod source;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use vouchsafe_model::plan::{Plan, PlanSecret, ServerKind};
use vouchsafe_model::refresh::poll_after;
use vouchsafe_model::wire::extension::{Ack, Applied};
use vouchsafe_model::{Kind, Secret, Workload};

use self::access::{Access, Attempt};
use self::delivery::Delivery;
use self::gate::{Gate, Verdict};
pub use self::message::{Action, Event, Reading};
use self::reaction::ReactionState;
pub use self::snapshot::Saved;
use self::source::{Source, Step};
use self::watch::Watch;
use crate::cause::{Cause, DESERTED, STARTING, STATE, UNATTENDED};
use crate::moment::{Dice, Moment};

/// The sidecar's state and rules.
pub struct Machine {
    plan: Plan,
    workload: Workload,
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
    unsaved: bool,
    save_trouble: Option<Cause>,
    reported: Vec<Cause>,
    course: Course,
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
    /// A machine for `plan`, started `now`. `seed` spreads its waits.
    pub fn new(plan: Plan, workload: Workload, seed: u64, now: Moment) -> Self {
        let mut sources: Vec<Source> = Vec::new();
        let mut keys: Vec<String> = Vec::new();
        let mut source_of = Vec::with_capacity(plan.secrets.len());
        for secret in &plan.secrets {
            let key = Source::key(secret);
            let index = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                sources.push(Source::new(secret.clone()));
                sources.len() - 1
            });
            source_of.push(index);
        }
        Self {
            dice: Dice::new(seed),
            access: Access::default(),
            delivery: Delivery::new(&plan),
            watch: Watch::new(plan.server.kind),
            gate: Gate::new(plan.gate, now),
            reactions: plan.reactions.iter().map(|_| ReactionState::default()).collect(),
            acknowledgement: Attempt::default(),
            applied: None,
            trust: Attempt::default(),
            bundle: None,
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
        if self.course == Course::Running {
            self.advance(now, &mut actions);
        }
        actions
    }

    /// When [`Event::Tick`] is wanted at the latest: always after `now`, since whatever was due has begun.
    pub fn next_wake(&self, now: Moment) -> Option<Moment> {
        if self.course != Course::Running {
            return None;
        }
        let gate = if self.delivery.ready { None } else { self.gate.deadline().map(|(when, _)| when) };
        let alone =
            [gate, self.access.login.next(), self.access.renewal.next(), self.access.ends(), self.delivery.due()];
        let reactions = self.reactions.iter().map(|reaction| reaction.attempt.next());
        let exchanges = [self.watch_due(), self.acknowledgement_due(), self.trust.next()];
        let sources = self.sources.iter().map(Source::due);
        // Without a token these wait for the login, not for a time.
        let exchanges = exchanges.into_iter().chain(sources).filter(|_| self.access.is_usable(now));
        alone.into_iter().chain(reactions).chain(exchanges).flatten().min()
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

    /// The lease that source `index` holds.
    pub fn lease_id(&self, index: usize) -> Option<&str> {
        self.sources.get(index)?.newest()?.lease.as_ref().map(|lease| lease.id.as_str())
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
            Event::Polled(index, version) => self.polled(index, version, now),
            Event::PollFailed(index, failure) => self.poll_failed(index, &failure, now),
            Event::LeaseRenewed(index, lease) => self.lease_renewed(index, lease, now),
            Event::LeaseFailed(index, failure) => {
                if let Some(source) = self.sources.get_mut(index) {
                    source.fail_lease(&failure, now, &mut self.dice);
                }
            }
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
        if !self.sources.is_empty() && !self.access.is_usable(now) {
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
        if self.access.is_usable(now) {
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
        if self.access.token.is_some() && !self.access.is_usable(now) && !self.sources.is_empty() {
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
            match source.begin(now) {
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

    fn terminate(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if !self.delivery.ready || self.gate.has_given_up() {
            let cause = self.reason();
            return self.end(Kind::Unavailable.exit_code(), Some(cause), actions);
        }
        self.course = Course::Parting;
        let leased = self.sources.iter().any(|source| source.newest().is_some_and(|value| value.lease.is_some()));
        match self.plan.server.kind {
            ServerKind::Broker if self.access.is_usable(now) => actions.push(Action::Goodbye),
            ServerKind::Direct if self.access.is_usable(now) && !leased => {
                // Forgotten before it is revoked: a restart must not try a dead token.
                if let Some(token) = self.access.token.take() {
                    actions.extend([Action::Save, Action::Revoke(token.value)]);
                }
            }
            _ => self.end(0, None, actions),
        }
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
