//! The long poll: one at a time, never twice a second, given up where the server has none.

use std::time::Duration;

use vouchsafe_model::plan::ServerKind;
use vouchsafe_model::refresh::{RENEW_MIN, poll_after};

use super::access::Attempt;
use super::source::Pace;
use crate::cause::{Failure, Fault};
use crate::moment::{Dice, Moment};

/// The watch.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) attempt: Attempt,
    server: ServerKind,
    supported: bool,
    /// A login was asked for because the watch was denied.
    relogin_spent: bool,
}

impl Watch {
    pub(super) fn new(server: ServerKind) -> Self {
        let supported = server == ServerKind::Broker;
        let due = supported.then(Moment::default);
        Self { attempt: Attempt { due, ..Attempt::default() }, server, supported, relogin_spent: false }
    }

    /// Whether changes are pushed, or have to be polled for.
    pub(super) fn pace(&self) -> Pace {
        if self.supported { Pace::Watched } else { Pace::Polled }
    }

    /// Takes an answer: the next watch begins at once, yet never sooner than a second after this one began, so that a
    /// server that always answers does not make a storm.
    pub(super) fn answered(&mut self, now: Moment) -> bool {
        let began = self.attempt.succeed(now);
        self.relogin_spent = false;
        self.attempt.due = Some(began.after(RENEW_MIN).max(now));
        !std::mem::replace(&mut self.supported, true)
    }

    /// Takes a failure. Says whether it ended the support for watches, so that polls are planned anew.
    pub(super) fn failed(&mut self, failure: &Failure, now: Moment, dice: &mut Dice) -> bool {
        if matches!(failure.fault, Fault::Status(404 | 405)) {
            self.attempt.succeed(now);
            self.attempt.due = Some(now.after(poll_after(ASK_AGAIN, dice.share())));
            return std::mem::replace(&mut self.supported, false);
        }
        let floor = if failure.kind.is_transient() { Duration::ZERO } else { REFUSED };
        self.attempt.fail(now, dice, failure.retry_after, floor);
        false
    }

    /// Whether a denied watch should lead to a login: once, until a watch is answered again.
    pub(super) fn spend_relogin(&mut self) -> bool {
        !std::mem::replace(&mut self.relogin_spent, true)
    }

    /// When the next one may begin.
    pub(super) fn next(&self) -> Option<Moment> {
        if self.server == ServerKind::Broker { self.attempt.next() } else { None }
    }
}

/// When a broker without watches is asked again: it may have been updated.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// Wait after a watch that was refused; polls go on meanwhile.
const REFUSED: Duration = Duration::from_secs(30);
