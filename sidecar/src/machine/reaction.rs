//! Telling the app: once for each change of its files, tried again by itself, never by reading secrets anew.

use std::time::Duration;

use super::access::Attempt;
use crate::cause::{Cause, NOT_STARTED};
use crate::moment::{Dice, Moment};

/// How far one reaction of the Plan has come.
#[derive(Debug, Default)]
pub(super) struct ReactionState {
    pub(super) attempt: Attempt,
    /// Sum of the revisions of its files that the app was told about.
    pub(super) told: u64,
    /// The sum that the attempt under way is about.
    telling: u64,
    pub(super) trouble: Option<Cause>,
    tries: u32,
}

/// What came of telling the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It took it.
    Taken,
    /// It did not; there will be another try.
    Refused,
    /// It did not, and another try would do harm: the next change is the next try.
    Failed,
}

impl ReactionState {
    /// Compares with what is in the files now.
    pub(super) fn notice(&mut self, revision: u64, now: Moment) {
        if revision != self.told && self.attempt.started.is_none() {
            self.tries = 0;
            self.attempt.want(now);
        }
    }

    pub(super) fn begin(&mut self, revision: u64, now: Moment) {
        self.telling = revision;
        self.attempt.begin(now);
    }

    pub(super) fn done(&mut self, trouble: Option<Cause>, revision: u64, now: Moment, dice: &mut Dice) -> Told {
        self.trouble = trouble;
        let failed = self.trouble.as_ref().is_some_and(|cause| cause.code == NOT_STARTED);
        if self.trouble.is_none() || failed {
            self.attempt.succeed(now);
            self.told = self.telling;
            self.notice(revision, now);
            return if failed { Told::Failed } else { Told::Taken };
        }
        self.tries = self.tries.saturating_add(1);
        let floor = if self.tries < TRIES { Duration::ZERO } else { SLOW };
        self.attempt.fail(now, dice, None, floor);
        Told::Refused
    }
}

/// Tries in quick succession: an app that is just starting takes a signal or call seconds later.
const TRIES: u32 = 8;
/// Wait between later tries.
const SLOW: Duration = Duration::from_secs(300);
