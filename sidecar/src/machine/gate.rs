//! The gate: when the app may start, and when the sidecar must end so that it cannot start bare.
//!
//! The kubelet holds the app back while the sidecar's `postStart` hook (`wait`) runs, but a kubelet that restarts meanwhile
//! forgets the hook and would start the app. So without files the sidecar does not live on unattended: it ends when no
//! `wait` connects soon after its start, or when the one that waits vanishes. Its restart runs the hook anew.
//!
//! In the classic form an init container is the gate by itself: it ends when the files are there, or after its bound, so
//! that the pod's status shows the reason. The ordinary container beside the app holds nothing back.

use std::time::Duration;

use vouchsafe_model::plan::{Gate as GateKind, Injection, Plan};

use super::Role;
use crate::moment::Moment;

/// Who waits for the files.
#[derive(Debug)]
pub(super) struct Gate {
    form: Form,
    waiting: u32,
    connected_once: bool,
    gave_up: Option<Moment>,
    started: Moment,
}

/// What holds the app back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A `postStart` hook, which must be seen.
    Hook,
    /// This very process, for so long.
    Bounded(Duration),
    /// Somebody who waits as long as it takes, or nobody: the app runs already.
    Patient,
}

/// Why the gate wants the sidecar to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody waited in time.
    Unattended,
    /// The one who waited is gone.
    Deserted,
    /// `wait` gave up and the expected SIGTERM never came, or our own time as an init container is up.
    GivenUp,
}

impl Gate {
    pub(super) fn new(plan: &Plan, role: Role, started: Moment) -> Self {
        let form = match (plan.injection, role, plan.gate) {
            (Injection::Native, Role::Keeper, GateKind::Hook) => Form::Hook,
            (_, Role::First, GateKind::Hook) => Form::Bounded(Duration::from_secs(plan.wait_seconds.into())),
            _ => Form::Patient,
        };
        Self { form, waiting: 0, connected_once: false, gave_up: None, started }
    }

    pub(super) fn connected(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
        self.connected_once = true;
    }

    /// Whether the last one who waited is gone without having given up.
    pub(super) fn lost(&mut self) -> Option<Verdict> {
        self.waiting = self.waiting.saturating_sub(1);
        let deserted = self.form == Form::Hook && self.waiting == 0 && self.gave_up.is_none();
        deserted.then_some(Verdict::Deserted)
    }

    pub(super) fn gave_up(&mut self, now: Moment) {
        self.gave_up.get_or_insert(now);
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.gave_up.is_some()
    }

    /// When patience ends while there are no files, and why.
    pub(super) fn deadline(&self) -> Option<(Moment, Verdict)> {
        match (self.form, self.gave_up) {
            (Form::Hook, Some(when)) => Some((when.after(SIGTERM_EXPECTED), Verdict::GivenUp)),
            (Form::Hook, None) if !self.connected_once => Some((self.started.after(ATTENDANCE), Verdict::Unattended)),
            (Form::Bounded(bound), _) => Some((self.started.after(bound), Verdict::GivenUp)),
            (Form::Hook | Form::Patient, _) => None,
        }
    }
}

/// How long after the start a `wait` must have connected. The kubelet starts the hook within milliseconds; under a storm of
/// pod starts it takes seconds.
pub(super) const ATTENDANCE: Duration = Duration::from_secs(5);
/// How long after giving up the kubelet's SIGTERM is awaited; it came within a second on a real node.
const SIGTERM_EXPECTED: Duration = Duration::from_secs(10);
