//! The token: one login, renewals at 60 to 70 % of its life, a new login near its end.
//!
//! Single flight: at most one login and one renewal are under way. Every wait comes from `model::refresh`.

use std::time::Duration;

use vouchsafe_model::refresh::{Backoff, RENEW_MIN, is_near_maximum, renew_after};
use vouchsafe_model::wire::Auth;
use vouchsafe_model::{Kind, Secret};

use crate::cause::{Cause, Failure};
use crate::moment::{Dice, Moment};

/// Something that is tried again until it works.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// When it began, while it is under way.
    pub(super) started: Option<Moment>,
    /// When it begins next.
    pub(super) due: Option<Moment>,
    pub(super) backoff: Backoff,
}

impl Attempt {
    /// When it may begin; `None` while it is under way or not wanted.
    pub(super) fn next(&self) -> Option<Moment> {
        if self.started.is_some() { None } else { self.due }
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.next().is_some_and(|due| due <= now)
    }

    /// Whether it is neither under way nor planned.
    pub(super) fn is_idle(&self) -> bool {
        self.started.is_none() && self.due.is_none()
    }

    pub(super) fn begin(&mut self, now: Moment) {
        self.started = Some(now);
        self.due = None;
    }

    /// Ends it well; gives back when it began.
    pub(super) fn succeed(&mut self, now: Moment) -> Moment {
        self.backoff.reset();
        self.started.take().unwrap_or(now)
    }

    /// Ends it badly; tried again after back-off, not before `floor` has passed.
    pub(super) fn fail(&mut self, now: Moment, dice: &mut Dice, retry_after: Option<Duration>, floor: Duration) {
        self.started = None;
        let wait = self.backoff.after_failure(dice.share(), retry_after);
        self.due = Some(now.after(wait.max(floor)));
    }

    /// Makes it due at `when`, or leaves an earlier date.
    pub(super) fn want(&mut self, when: Moment) {
        self.due = Some(self.due.map_or(when, |due| due.min(when)));
    }
}

/// A token, with the times that its server granted.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) value: Secret,
    /// When the request that granted the current lease was sent: the lease is at least that old.
    pub(crate) issued: Moment,
    /// What the server granted last; zero means for ever.
    pub(crate) lease: Duration,
    /// What the login granted.
    pub(crate) first_lease: Duration,
    pub(crate) renewable: bool,
}

impl Token {
    pub(super) fn ends(&self) -> Option<Moment> {
        (!self.lease.is_zero()).then(|| self.issued.after(self.lease))
    }
}

/// Access to the server.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) token: Option<Token>,
    pub(super) login: Attempt,
    pub(super) renewal: Attempt,
    /// Counts logins: a lease ends with the token of the login that it was made with.
    pub(super) number: u64,
    /// When the last login succeeded.
    pub(super) logged_in: Option<Moment>,
    pub(super) trouble: Option<Cause>,
}

impl Access {
    /// Takes over a token from before a restart, unless its time is over or its times cannot be right.
    pub(super) fn restore(&mut self, token: Token, now: Moment, dice: &mut Dice) {
        let believable = token.issued <= now && token.ends().is_none_or(|end| end > now);
        if believable {
            self.schedule_renewal(&token, now, dice);
            self.token = Some(token);
        }
    }

    /// Whether requests can be sent.
    pub(super) fn is_usable(&self, now: Moment) -> bool {
        self.token.as_ref().is_some_and(|token| token.ends().is_none_or(|end| end > now))
    }

    /// When the token ends, which needs a login at the latest.
    pub(super) fn ends(&self) -> Option<Moment> {
        if self.login.started.is_some() || self.login.due.is_some() {
            return None;
        }
        self.token.as_ref().and_then(Token::ends)
    }

    /// Asks for a new login; logins that the server itself forces are at least [`RELOGIN_MIN`] apart. One that failed is tried
    /// again at its time, however urgent: a token that ended while the server was away must not make a storm.
    pub(super) fn want_login(&mut self, now: Moment) {
        let waits = self.login.due.is_some() && self.login.backoff.failures() > 0;
        if self.login.started.is_none() && !waits {
            let earliest = self.logged_in.map_or(now, |last| last.after(RELOGIN_MIN).max(now));
            self.login.want(earliest);
        }
    }

    /// Whether a new login may follow a denial at once, rather than after [`RELOGIN_MIN`].
    pub(super) fn may_relogin(&self, now: Moment) -> bool {
        self.logged_in.is_none_or(|last| now.since(last) >= RELOGIN_MIN)
    }

    pub(super) fn take_login(&mut self, auth: Auth, now: Moment, dice: &mut Dice) {
        let issued = self.login.succeed(now);
        self.number += 1;
        self.renewal = Attempt::default();
        let token = Token {
            value: auth.client_token,
            issued,
            lease: auth.lease,
            first_lease: auth.lease,
            renewable: auth.renewable,
        };
        self.schedule_renewal(&token, now, dice);
        self.token = Some(token);
        self.logged_in = Some(now);
        self.trouble = None;
    }

    pub(super) fn fail_login(&mut self, failure: &Failure, cause: Cause, now: Moment, dice: &mut Dice, ready: bool) {
        let floor = match (failure.kind.is_transient(), ready) {
            (true, _) => Duration::ZERO,
            (false, false) => REFUSED_WAITING,
            (false, true) => REFUSED_RUNNING,
        };
        self.login.fail(now, dice, failure.retry_after, floor);
        self.trouble = Some(cause);
    }

    /// Whether a renewal is due for a token that can be renewed; one that cannot needs a login instead.
    pub(super) fn renewal_due(&mut self, now: Moment) -> bool {
        if !self.renewal.is_due(now) {
            return false;
        }
        let renewable = self.token.as_ref().is_some_and(|token| token.renewable) && self.is_usable(now);
        if !renewable {
            self.renewal.due = None;
            self.want_login(now);
        }
        renewable
    }

    pub(super) fn take_renewal(&mut self, auth: &Auth, now: Moment, dice: &mut Dice) {
        let issued = self.renewal.succeed(now);
        let Some(mut token) = self.token.take() else { return };
        if token.issued > issued {
            // A login overtook this renewal: its answer is about the token before.
            self.token = Some(token);
            return;
        }
        token.issued = issued;
        let ended = auth.lease.is_zero() && !token.lease.is_zero();
        if ended || is_near_maximum(token.first_lease, auth.lease) {
            self.want_login(now);
        }
        if !ended {
            token.lease = auth.lease;
            token.renewable = auth.renewable;
        }
        self.schedule_renewal(&token, now, dice);
        self.token = Some(token);
    }

    /// A renewal that failed: a denial means that the token is dead or may not renew itself, so a login follows; anything
    /// else is tried again with back-off bounded by the time left.
    pub(super) fn fail_renewal(&mut self, failure: &Failure, now: Moment, dice: &mut Dice) {
        if matches!(failure.kind, Kind::Denied | Kind::Invalid | Kind::Missing) {
            self.renewal = Attempt::default();
            self.want_login(now);
            return;
        }
        self.renewal.fail(now, dice, failure.retry_after, Duration::ZERO);
        if let Some(end) = self.token.as_ref().and_then(Token::ends) {
            let bound = (end.since(now) / 3).max(RENEW_MIN);
            self.renewal.want(now.after(bound));
        }
    }

    fn schedule_renewal(&mut self, token: &Token, now: Moment, dice: &mut Dice) {
        if !token.lease.is_zero() {
            let due = token.issued.after(renew_after(token.lease, dice.share()));
            self.renewal.due = Some(due.max(now.after(RENEW_MIN)));
        }
    }
}

/// Shortest time between two logins that denials or a short-lived token ask for: a server that takes every login and denies
/// every read must not be hammered.
pub(super) const RELOGIN_MIN: Duration = Duration::from_secs(10);
/// Wait after a login that the server refuses while the pod is held back: somebody may be applying the Grant right now.
const REFUSED_WAITING: Duration = Duration::from_secs(2);
/// The same while the pod runs with its files.
const REFUSED_RUNNING: Duration = Duration::from_secs(60);
