//! One distinct path: what is held of it, what was seen of it, and what is done about it next.
//!
//! Each has its own back-off and its own trouble, so one bad secret disturbs no other. Versions never go back. Whatever
//! fails, the last good value stays.

use std::time::Duration;

use vouchsafe_model::Kind;
use vouchsafe_model::plan::{Engine, Plan, PlanSecret};
use vouchsafe_model::refresh::{Backoff, RENEW_MIN, poll_after, renew_after};
use vouchsafe_model::wire::Document;

use crate::agent::Located;
use crate::cause::{Cause, Failure};
use crate::moment::{Dice, Moment};

/// A value, with what the server said about it.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) document: Document,
    /// KV v2 version; 0 for engines without versions.
    pub(crate) version: u64,
    /// The lease of a dynamic secret.
    pub(crate) lease: Option<HeldLease>,
}

/// How long a value lasts, since when, and the lease behind it if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldLease {
    /// Empty where the server keeps no lease and the value ends by itself, as a certificate does.
    pub(crate) id: String,
    /// When the request that granted the present duration was sent: it is at least that old.
    pub(crate) issued: Moment,
    /// What was granted last.
    pub(crate) duration: Duration,
    pub(crate) renewable: bool,
    /// What was granted with the value.
    pub(crate) first: Duration,
    /// The login that it was made with.
    pub(crate) login: u64,
}

impl HeldLease {
    /// Whether the server keeps it, so that it can be renewed, revoked, and hangs on a token.
    pub(crate) fn is_on_server(&self) -> bool {
        !self.id.is_empty()
    }

    pub(crate) fn ends(&self) -> Moment {
        self.issued.after(self.duration)
    }

    /// Whether it ends with another token than that of `login`.
    fn is_of_another(&self, login: u64) -> bool {
        self.is_on_server() && self.login != login
    }

    /// When a successor is fetched where no renewal helps: a third of the first life is left for the overlap, a little more
    /// by chance, so that pods that started together do not come together again.
    fn replaced_at(&self, dice: &mut Dice) -> Moment {
        let overlap = self.first.mul_f64(OVERLAP_SHARE + REPLACE_JITTER * dice.share());
        self.issued.after(self.duration.saturating_sub(overlap))
    }
}

/// What is done next about a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the value.
    Read,
    /// Ask for the newest version only.
    Poll,
    /// Renew the lease.
    RenewLease,
}

/// How the server is asked about changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// A watch reports changes; polls are the belt.
    Watched,
    /// Polls are all there is.
    Polled,
}

/// One distinct path.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) secret: PlanSecret,
    /// The value that the files are made of.
    pub(super) adopted: Option<Value>,
    /// A newer value that has not become files: just read, or refused because of `refusal`.
    pub(super) candidate: Option<Value>,
    pub(super) refusal: Option<Cause>,
    /// Newest version ever read since the path existed.
    pub(super) floor: u64,
    /// Newest version announced by watch or poll.
    pub(super) announced: u64,
    /// The server says that there is no value now.
    pub(super) gone: bool,
    /// Why the last exchange failed or surprised.
    pub(super) trouble: Option<Cause>,
    pub(super) denial: Denial,
    pub(super) in_flight: Option<(Step, Moment)>,
    pub(super) next: Option<(Moment, Step)>,
    /// The login that the step under way was begun with.
    pub(super) asked_with: u64,
    again: bool,
    backoff: Backoff,
    metadata_denied: bool,
    /// Where the path of an agent's template leads, once the server has said it.
    pub(super) located: Option<Located>,
    /// How often it is read again where the Plan says so.
    interval: Option<Duration>,
}

/// How a denied path stands.
#[derive(Debug, Default)]
pub(super) struct Denial {
    /// Denied although a login was tried, or cannot be tried yet: slow probes only.
    pub(super) stands: bool,
    /// A login was asked for because of it.
    relogin_spent: bool,
    /// That login is not through yet.
    awaits_login: bool,
    /// Probes so far.
    probes: u32,
}

impl Source {
    pub(super) fn new(secret: PlanSecret) -> Self {
        Self {
            secret,
            adopted: None,
            candidate: None,
            refusal: None,
            floor: 0,
            announced: 0,
            gone: false,
            trouble: None,
            denial: Denial::default(),
            in_flight: None,
            next: None,
            asked_with: 0,
            again: false,
            backoff: Backoff::default(),
            metadata_denied: false,
            located: None,
            interval: None,
        }
    }

    /// Takes the pace that the Plan sets for paths without push.
    pub(super) fn follow(&mut self, plan: &Plan) {
        self.interval = plan.agent.as_ref().and_then(|agent| agent.refresh_seconds).map(Duration::from_secs);
    }

    /// Plans the first read.
    pub(super) fn begin_at(&mut self, when: Moment) {
        self.next = Some((when, Step::Read));
    }

    /// Takes over what an earlier process held.
    pub(super) fn take_over(&mut self, value: Value) {
        self.floor = value.version;
        self.announced = value.version;
        self.candidate = Some(value);
    }

    /// Whether the server has to be asked first where the path leads.
    pub(super) fn needs_place(&self) -> bool {
        self.secret.agent.is_some() && self.located.is_none()
    }

    /// What makes two secrets of a Plan the same read.
    pub(super) fn key(secret: &PlanSecret) -> String {
        let agent = secret.agent.as_ref().map(|agent| format!("{:?}:", agent.read)).unwrap_or_default();
        let version = secret.version.map(|version| format!("?version={version}")).unwrap_or_default();
        let parameters = secret
            .parameters
            .as_ref()
            .and_then(|parameters| serde_json::to_string(parameters).ok())
            .unwrap_or_default();
        format!("{agent}{}{version}{parameters}", secret.api_path())
    }

    /// Path as users write it in `put`.
    pub(super) fn user_path(&self) -> String {
        match &self.secret.agent {
            Some(agent) => agent.path.to_string(),
            None => format!("{}/{}", self.secret.mount, self.secret.path),
        }
    }

    /// When the next step may begin.
    pub(super) fn due(&self) -> Option<Moment> {
        if self.in_flight.is_some() { None } else { self.next.map(|(when, _)| when) }
    }

    pub(super) fn begin(&mut self, now: Moment, login: u64) -> Option<Step> {
        if self.in_flight.is_some() {
            return None;
        }
        let (_, step) = self.next.take_if(|(when, _)| *when <= now)?;
        self.in_flight = Some((step, now));
        self.asked_with = login;
        Some(step)
    }

    /// Whether a watch may ask about it. A leased or pinned one has no newer version, a denied one would fail the watch.
    pub(super) fn is_watched(&self) -> bool {
        self.secret.engine == Engine::KvV2 && self.secret.version.is_none() && !self.denial.stands
    }

    /// The version to name in a watch: the newest one known of, so that the answer is always news.
    pub(super) fn held(&self) -> u64 {
        if self.gone { 0 } else { self.floor.max(self.announced) }
    }

    /// The newest value at hand.
    pub(super) fn newest(&self) -> Option<&Value> {
        self.candidate.as_ref().or(self.adopted.as_ref())
    }

    /// News from watch or poll: read, now or when the step under way has ended.
    pub(super) fn announce(&mut self, version: u64, now: Moment) {
        self.announced = version;
        if self.in_flight.is_some() {
            self.again = true;
        } else {
            self.next = Some((now, Step::Read));
        }
    }

    /// Reads now, whatever was planned.
    pub(super) fn read_now(&mut self, now: Moment) {
        if self.in_flight.is_none() {
            self.next = Some((now, Step::Read));
        }
    }

    /// Ends the step under way well; plans the next one.
    pub(super) fn succeed(&mut self, now: Moment, pace: Pace, dice: &mut Dice) {
        self.in_flight = None;
        self.backoff.reset();
        self.denial = Denial::default();
        self.schedule(now, pace, dice);
        if std::mem::take(&mut self.again) {
            self.next = Some((now, Step::Read));
        }
    }

    /// Plans the next look at the path when all is well.
    pub(super) fn schedule(&mut self, now: Moment, pace: Pace, dice: &mut Dice) {
        if let Some(lease) = self.newest().and_then(|value| value.lease.as_ref()) {
            let step = if lease.renewable && lease.is_on_server() { Step::RenewLease } else { Step::Read };
            let when = match step {
                // A server that names no time must not be asked all the time.
                _ if lease.duration.is_zero() => now.after(poll_after(BELT, dice.share())),
                Step::RenewLease => lease.issued.after(renew_after(lease.duration, dice.share())),
                Step::Read | Step::Poll => lease.replaced_at(dice),
            };
            self.next = Some((when.max(now.after(RENEW_MIN)), step));
            return;
        }
        self.next = match self.secret.engine {
            _ if self.secret.version.is_some() && self.newest().is_some() => None,
            Engine::KvV2 => {
                let interval = if pace == Pace::Polled { POLL } else { BELT };
                let step = if self.metadata_denied { Step::Read } else { Step::Poll };
                Some((now.after(poll_after(interval, dice.share())), step))
            }
            Engine::Agent => {
                let interval = self.interval.unwrap_or(BELT);
                Some((now.after(poll_after(interval, dice.share())), Step::Read))
            }
            Engine::KvV1 => Some((now.after(poll_after(POLL, dice.share())), Step::Read)),
            // Reading may make a new credential: never more often than the belt.
            Engine::Generic => Some((now.after(poll_after(BELT, dice.share())), Step::Read)),
        };
    }

    /// Ends the step under way badly.
    pub(super) fn retry(&mut self, failure: &Failure, now: Moment, dice: &mut Dice) {
        self.in_flight = None;
        self.again = false;
        let wait = self.backoff.after_failure(dice.share(), failure.retry_after);
        // A credential that is about to end cannot wait for a long back-off.
        let left = self.newest().and_then(|value| value.lease.as_ref()).map(|lease| lease.ends().since(now));
        let bound = left.filter(|left| !left.is_zero()).map_or(wait, |left| (left / 3).max(RENEW_MIN));
        let wait = if failure.retry_after.is_some() { wait } else { wait.min(bound) };
        self.next = Some((now.after(wait), Step::Read));
    }

    /// A version below what is known: tried again soon, then left to the next poll.
    pub(super) fn retry_stale(&mut self, now: Moment, dice: &mut Dice) -> bool {
        self.in_flight = None;
        if self.backoff.failures() >= STALE_TRIES {
            return false;
        }
        let wait = self.backoff.after_failure(dice.share(), None);
        self.next = Some((now.after(wait), Step::Read));
        true
    }

    /// A denied read. Says whether a login should be tried: once per denial.
    pub(super) fn deny(&mut self, now: Moment, ready: bool, may_relogin: bool, dice: &mut Dice) -> bool {
        self.in_flight = None;
        self.again = false;
        if !self.denial.relogin_spent && may_relogin {
            self.denial.relogin_spent = true;
            self.denial.awaits_login = true;
            // Read again when the login is through; should that fail, the probe comes at its time.
            self.next = Some((now.after(poll_after(PROBE_FIRST, dice.share())), Step::Read));
            return true;
        }
        self.denial.stands = true;
        let ceiling = if ready { PROBE_MAX } else { PROBE_MAX_WAITING };
        let first = if ready { PROBE_FIRST } else { PROBE_FIRST_WAITING };
        let wait = first.saturating_mul(1 << self.denial.probes.min(8)).min(ceiling);
        self.denial.probes = self.denial.probes.saturating_add(1);
        // Roles change, not only policies: a slow probe may try a login again.
        self.denial.relogin_spent &= !self.denial.probes.is_multiple_of(PROBES_PER_LOGIN);
        self.next = Some((now.after(poll_after(wait, dice.share())), Step::Read));
        false
    }

    /// A new token is there: a denial may be over, and what was leased with another token ends with that one.
    pub(super) fn new_token(&mut self, login: u64, now: Moment) {
        let awaits = std::mem::take(&mut self.denial.awaits_login);
        let of_another = |value: &Value| value.lease.as_ref().is_some_and(|lease| lease.is_of_another(login));
        if self.newest().is_some_and(of_another) {
            self.announce(self.announced, now);
        } else if awaits {
            self.read_now(now);
        }
    }

    /// Takes out a successor that cannot become files while the one before it still can be used: the server would otherwise
    /// be left with a credential that nobody has. Looked for again later.
    pub(super) fn drop_refused(&mut self, now: Moment) -> Option<HeldLease> {
        let leased = |value: &Option<Value>| value.as_ref().is_some_and(|value| value.lease.is_some());
        if self.refusal.is_none() || !leased(&self.adopted) || !leased(&self.candidate) {
            return None;
        }
        self.trouble = self.refusal.take();
        let again = now.after(REFUSED_AGAIN);
        if self.next.is_none_or(|(when, step)| step == Step::Read && when < again) {
            self.next = Some((again, Step::Read));
        }
        self.candidate.take()?.lease
    }

    /// The server said that there is no value. Looked at again soon while the pod waits for it.
    pub(super) fn lose(&mut self, now: Moment, pace: Pace, ready: bool, dice: &mut Dice) {
        self.gone = true;
        self.succeed(now, pace, dice);
        if !ready || self.newest().is_none() {
            let wait = if pace == Pace::Watched { POLL } else { ABSENT };
            let next = (now.after(poll_after(wait, dice.share())), Step::Read);
            self.next = Some(self.next.map_or(next, |planned| if planned.0 < next.0 { planned } else { next }));
        }
    }

    /// Metadata may not be read: ends the poll under way; from now on the value itself is read.
    pub(super) fn deny_metadata(&mut self, now: Moment) {
        self.in_flight = None;
        self.metadata_denied = true;
        self.next = Some((now, Step::Read));
    }

    /// A lease that could not be renewed: tried again while time is left, replaced when too little is.
    pub(super) fn fail_lease(&mut self, failure: &Failure, now: Moment, dice: &mut Dice) {
        self.in_flight = None;
        let wait = self.backoff.after_failure(dice.share(), failure.retry_after);
        self.next = Some((now.after(wait), Step::Read));
        let value = if self.candidate.is_some() { self.candidate.as_mut() } else { self.adopted.as_mut() };
        let Some(lease) = value.and_then(|value| value.lease.as_mut()) else { return };
        let left = lease.ends().since(now);
        match failure.kind {
            // Not ours to renew; it lasts as long as it lasts.
            Kind::Denied => {
                lease.renewable = false;
                self.next = Some((lease.replaced_at(dice).max(now.after(RENEW_MIN)), Step::Read));
            }
            // The server does not know it any more: nothing is left to be renewed or revoked.
            Kind::Invalid | Kind::Missing => {
                lease.id.clear();
                lease.renewable = false;
                lease.duration = now.since(lease.issued);
            }
            // Worth trying to its end, since a server that comes back renews it.
            _ if !left.is_zero() => {
                let wait = wait.min((left / 3).max(RENEW_MIN));
                self.next = Some((now.after(wait), Step::RenewLease));
            }
            _ => {}
        }
        // News that came meanwhile, such as a new token, do not wait.
        if std::mem::take(&mut self.again) {
            self.next = Some((now, Step::Read));
        }
    }
}

/// How often a path is looked at without a watch.
pub(super) const POLL: Duration = Duration::from_secs(30);
/// How often with one: a watch that lies must not go unnoticed.
pub(super) const BELT: Duration = Duration::from_secs(300);
/// How often a path without a value is looked at while the pod is held back and nothing pushes.
const ABSENT: Duration = Duration::from_secs(3);
/// Share of a value's first life that is left when a successor is fetched: both are good for so long.
const OVERLAP_SHARE: f64 = 1.0 / 3.0;
/// What is added to that share by chance, at most.
const REPLACE_JITTER: f64 = 1.0 / 15.0;
/// When a successor that could not become files is looked for again: each try makes a credential and throws it away.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// Reads in a row that may offer an older version before the next poll is awaited: a standby catches up within seconds.
const STALE_TRIES: u32 = 6;
/// First probe of a denied path; each later one waits twice as long.
const PROBE_FIRST: Duration = Duration::from_secs(60);
/// Longest wait between probes of a denied path.
const PROBE_MAX: Duration = Duration::from_secs(900);
/// The same two while the pod is held back: somebody may be applying the Grant right now.
const PROBE_FIRST_WAITING: Duration = Duration::from_secs(3);
/// See [`PROBE_FIRST_WAITING`].
const PROBE_MAX_WAITING: Duration = Duration::from_secs(60);
/// Every so many probes a login is tried too.
const PROBES_PER_LOGIN: u32 = 3;
