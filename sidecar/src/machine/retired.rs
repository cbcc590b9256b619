//! What was replaced and still lives on the server: leases of earlier credentials, and tokens that such leases hang on.
//!
//! A credential is given up only when its successor stands in the files and whoever reads them was told; then it is left
//! alone for a while longer, since connections outlive the moment they were opened in. Where the Plan tells nobody, nobody
//! knows when the app has read the new one: the old one runs to its own end. At most [`KEPT`] replaced leases of one secret
//! live at a time. Out of scope: when a value is replaced (source).

use vouchsafe_model::Secret;

use super::access::Attempt;
use super::{Action, Machine};
use crate::cause::Failure;
use crate::moment::Moment;

/// Something replaced.
#[derive(Debug)]
pub(super) struct Retired {
    /// Names it in [`Action::Discard`].
    number: u64,
    pub(super) hold: Hold,
    /// The login that it came with or hangs on.
    pub(super) login: u64,
    /// When it ends by itself.
    pub(super) ends: Moment,
    /// Since when its successor stands in the files.
    pub(super) since: Option<Moment>,
    attempt: Attempt,
}

/// See [`Retired`].
#[derive(Debug)]
pub(super) enum Hold {
    /// A lease of source `source`.
    Lease { id: String, source: usize, delivered: bool },
    /// A token.
    Token(Secret),
}

/// What the driver has to give up.
#[derive(Debug)]
pub enum Discard<'a> {
    /// A lease, by its id.
    Lease(&'a str),
    /// A token, with itself.
    Token(&'a Secret),
}

impl Machine {
    /// What [`Action::Discard`] `number` is about.
    pub fn discarded(&self, number: u64) -> Option<Discard<'_>> {
        let retired = self.retired.iter().find(|retired| retired.number == number)?;
        Some(match &retired.hold {
            Hold::Lease { id, .. } => Discard::Lease(id),
            Hold::Token(token) => Discard::Token(token),
        })
    }

    /// Leases that live on the server as far as is known: those in use and those replaced.
    #[cfg(test)]
    pub(super) fn retired_leases(&self) -> Vec<String> {
        let id = |retired: &Retired| match &retired.hold {
            Hold::Lease { id, .. } => Some(id.clone()),
            Hold::Token(_) => None,
        };
        self.retired.iter().filter_map(id).collect()
    }

    pub(super) fn retire(&mut self, hold: Hold, login: u64, ends: Moment, since: Option<Moment>) {
        self.retirements += 1;
        self.retired.push(Retired { number: self.retirements, hold, login, ends, since, attempt: Attempt::default() });
        self.unsaved = true;
    }

    /// The files hold every successor now.
    pub(super) fn successors_written(&mut self, now: Moment) {
        for retired in self.retired.iter_mut().filter(|retired| retired.since.is_none()) {
            retired.since = Some(now);
            self.unsaved = true;
        }
    }

    /// When something about replaced leases and tokens is to be done.
    pub(super) fn retired_due(&self) -> Option<Moment> {
        self.retired.iter().filter_map(|retired| self.due_of(retired)).min()
    }

    /// When the next one ends by itself.
    pub(super) fn retired_ends(&self) -> Option<Moment> {
        self.retired.iter().map(|retired| retired.ends).min()
    }

    pub(super) fn forget_ended(&mut self, now: Moment) {
        let before = self.retired.len();
        self.retired.retain(|retired| retired.ends > now);
        self.unsaved |= self.retired.len() != before;
    }

    pub(super) fn advance_retired(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let due: Vec<u64> = self
            .retired
            .iter()
            .filter(|retired| self.due_of(retired).is_some_and(|due| due <= now))
            .map(|retired| retired.number)
            .collect();
        for retired in self.retired.iter_mut().filter(|retired| due.contains(&retired.number)) {
            retired.attempt.begin(now);
            actions.push(Action::Discard(retired.number));
        }
    }

    pub(super) fn discard_done(&mut self, number: u64, failure: Option<&Failure>, now: Moment) {
        let Some(index) = self.retired.iter().position(|retired| retired.number == number) else { return };
        match failure {
            // Whatever else the server says, asking again would not change it; it ends by itself.
            Some(failure) if failure.kind.is_transient() => {
                if let Some(retired) = self.retired.get_mut(index) {
                    retired.attempt.fail(now, &mut self.dice, failure.retry_after, std::time::Duration::ZERO);
                }
            }
            _ => {
                self.retired.remove(index);
                self.unsaved = true;
            }
        }
    }

    fn due_of(&self, retired: &Retired) -> Option<Moment> {
        if retired.attempt.started.is_some() {
            return None;
        }
        let earliest = match &retired.hold {
            Hold::Lease { delivered: false, .. } => Some(Moment::default()),
            Hold::Lease { source, .. } => {
                let since = retired.since?;
                let told = self.is_told(*source).then(|| since.after(OVERLAP));
                if self.is_surplus(retired, *source) { Some(Moment::default()) } else { told }
            }
            Hold::Token(_) => self.is_bare(retired).then(|| retired.since.map(|since| since.after(OVERLAP))).flatten(),
        };
        earliest.map(|earliest| retired.attempt.due.map_or(earliest, |again| again.max(earliest)))
    }

    /// Whether more leases of this source were replaced later than may be kept.
    fn is_surplus(&self, retired: &Retired, source: usize) -> bool {
        let later = self.retired.iter().filter(|other| {
            other.number > retired.number
                && matches!(other.hold, Hold::Lease { source: of, delivered: true, .. } if of == source)
        });
        later.count() >= KEPT
    }

    /// Whether everybody who reads files of this source was told of the present ones; not where the Plan tells nobody.
    fn is_told(&self, source: usize) -> bool {
        let files: Vec<usize> = self.delivery.files_of(source).collect();
        let mut silent = files.clone();
        for (index, reaction) in self.plan.reactions.iter().enumerate() {
            if !reaction.files.iter().any(|file| files.contains(file)) {
                continue;
            }
            silent.retain(|file| !reaction.files.contains(file));
            if self.reactions.get(index).is_none_or(|state| state.told != self.reaction_revision(index)) {
                return false;
            }
        }
        silent.is_empty()
    }

    /// Whether no lease hangs on a retired token any more: neither one in use nor a replaced one.
    fn is_bare(&self, token: &Retired) -> bool {
        let used = self.sources.iter().flat_map(|source| source.adopted.iter().chain(&source.candidate));
        let mut used = used.filter_map(|value| value.lease.as_ref()).filter(|lease| lease.is_on_server());
        let replaced = |other: &Retired| matches!(other.hold, Hold::Lease { .. }) && other.login <= token.login;
        used.all(|lease| lease.login > token.login) && !self.retired.iter().any(replaced)
    }
}

/// How long a replaced credential is left alone after its successor was taken: connections made with it, and an exchange
/// under way with a replaced token (a long poll takes 55 s), have ended by then.
pub(super) const OVERLAP: std::time::Duration = std::time::Duration::from_secs(60);
/// Most replaced leases of one secret that live at a time: the one before, and one that an app which was not told may hold.
pub(super) const KEPT: usize = 2;
