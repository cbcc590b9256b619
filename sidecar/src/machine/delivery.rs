//! From values to a generation of files: which values count, which files are new, when they are written.
//!
//! A value is adopted only when every file that it goes into can be made of it; otherwise the last good one stays and the
//! refusal says why. All new values are tried together first, since a template may need two of them at once; then each by
//! itself, so that one bad value holds no other back. Nothing is written before every file is known.

use std::time::Duration;

use vouchsafe_model::Secret;
use vouchsafe_model::plan::{Content, Plan, PlanFile, PlanSecret, SECRETS};
use vouchsafe_model::wire::extension::Applied;

use super::access::Attempt;
use super::retired::Hold;
use super::source::{HeldLease, Source};
use super::{Action, Machine};
use crate::agent::{Extra, Notes, Want};
use crate::cause::{Cause, FILES_TOO_LARGE, SECRET_TOO_LARGE, VALUES_TOO_LARGE, WRITE};
use crate::content::{Contents, FILES_BYTES, Look, Rendering, SECRET_BYTES, VALUES_BYTES, size_bytes};
use crate::moment::{Dice, Moment};

/// The files as they should be.
pub(super) struct Delivery {
    contents: Contents,
    slots: Vec<Slot>,
    /// For each file, the secrets (indices into the Plan) that it is made of.
    inputs: Vec<Vec<usize>>,
    /// For each secret of the Plan, its source.
    source_of: Vec<usize>,
    /// Sources whose files have to be looked at again.
    stale: Vec<usize>,
    dirty: bool,
    commit: Attempt,
    committing: Vec<u64>,
    committed: Vec<u64>,
    /// Whether the first generation is complete and written.
    pub(super) ready: bool,
    /// Whether reactions were settled by an earlier process.
    pub(super) restored: bool,
    pub(super) trouble: Option<Cause>,
}

/// One file as it should be.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: SlotState,
    /// Further files that its template asked for.
    extras: Vec<Extra>,
    /// Counts changes of its bytes.
    pub(super) revision: u64,
}

/// See [`Slot`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    Unknown,
    Absent,
    Bytes(Secret),
}

impl Delivery {
    pub(super) fn new(plan: &Plan) -> Self {
        let inputs = |file: &PlanFile| match &file.content {
            Content::Key { secret, .. } => vec![*secret],
            Content::Template(template) => template.roots.values().copied().collect(),
            Content::Agent(template) => template.reads.clone(),
            Content::Token => Vec::new(),
        };
        Self {
            contents: Contents::compile(plan),
            slots: plan
                .files
                .iter()
                .map(|_| Slot { state: SlotState::Unknown, extras: Vec::new(), revision: 0 })
                .collect(),
            inputs: plan.files.iter().map(inputs).collect(),
            source_of: sources_of(plan),
            stale: Vec::new(),
            dirty: true,
            commit: Attempt { due: Some(Moment::default()), ..Attempt::default() },
            committing: Vec::new(),
            committed: plan.files.iter().map(|_| 0).collect(),
            ready: false,
            restored: false,
            trouble: None,
        }
    }

    /// Notes that what is known of a source has changed.
    pub(super) fn stale(&mut self, source: usize) {
        if !self.stale.contains(&source) {
            self.stale.push(source);
        }
    }

    /// Indices of the files that a source goes into.
    pub(super) fn files_of(&self, source: usize) -> impl Iterator<Item = usize> + '_ {
        let uses = move |inputs: &Vec<usize>| inputs.iter().any(|secret| self.source_of.get(*secret) == Some(&source));
        self.inputs.iter().enumerate().filter(move |(_, inputs)| uses(inputs)).map(|(file, _)| file)
    }

    pub(super) fn revisions(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.revision).collect()
    }

    pub(super) fn restore_revisions(&mut self, revisions: &[u64]) {
        self.slots.iter_mut().zip(revisions).for_each(|(slot, revision)| slot.revision = *revision);
    }

    /// Whether the volumes hold what the slots hold.
    fn is_current(&self) -> bool {
        !self.dirty && self.committed == self.revisions()
    }

    fn is_complete(&self) -> bool {
        self.slots.iter().all(|slot| slot.state != SlotState::Unknown)
    }

    /// When the next write may begin.
    pub(super) fn due(&self) -> Option<Moment> {
        if self.dirty && self.is_complete() { self.commit.next() } else { None }
    }

    pub(super) fn begin(&mut self, now: Moment) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.commit.begin(now);
            self.dirty = false;
            self.committing = self.revisions();
        }
        due
    }

    pub(super) fn fail(&mut self, problem: String, now: Moment, dice: &mut Dice) {
        self.dirty = true;
        self.commit.fail(now, dice, None, WRITE_AGAIN);
        self.trouble = Some(Cause::new(
            WRITE,
            "write files",
            problem,
            "the files from before stay; raise the volumes' size limit or the memory limit",
        ));
    }

    /// Puts `renderings` into their slots.
    fn apply(&mut self, renderings: Vec<(usize, Rendering)>, mut notes: Notes, restoring: bool) {
        for (file, used) in std::mem::take(&mut notes.used) {
            if let Some(inputs) = self.inputs.get_mut(file) {
                inputs.extend(used);
                inputs.sort_unstable();
                inputs.dedup();
            }
        }
        for (file, rendering) in renderings {
            let Some(slot) = self.slots.get_mut(file) else { continue };
            let state = match rendering {
                Rendering::Bytes(bytes) => SlotState::Bytes(bytes),
                Rendering::Absent => SlotState::Absent,
                Rendering::Waiting | Rendering::Fault(_) => continue,
            };
            let at = notes.extras.iter().position(|(of, _)| *of == file);
            let extras = at.map(|at| notes.extras.swap_remove(at).1).unwrap_or_default();
            if slot.state != state || slot.extras != extras {
                // After a restart the first look only finds again what was there.
                slot.revision += u64::from(!(restoring && slot.state == SlotState::Unknown));
                slot.state = state;
                slot.extras = extras;
                self.dirty = true;
                self.commit.due.get_or_insert_with(Moment::default);
            }
        }
    }

    /// Sum of all files' bytes if `renderings` came in.
    fn total_bytes(&self, renderings: &[(usize, Rendering)]) -> usize {
        let sizes = self.slots.iter().enumerate().map(|(file, slot)| {
            match (renderings.iter().find(|(index, _)| *index == file), &slot.state) {
                (Some((_, Rendering::Absent)), _) => 0,
                (Some((_, Rendering::Bytes(bytes))), _) | (_, SlotState::Bytes(bytes)) => bytes.len(),
                _ => 0,
            }
        });
        sizes.sum()
    }
}

impl Machine {
    /// The files of the generation to write: volume, file, bytes.
    pub fn files(&self) -> impl Iterator<Item = (usize, &PlanFile, &Secret)> {
        let main = self.plan.files.iter().zip(&self.delivery.slots).filter_map(|(file, slot)| match &slot.state {
            SlotState::Bytes(bytes) => Some((file.volume, file, bytes)),
            SlotState::Absent | SlotState::Unknown => None,
        });
        let extras = self.delivery.slots.iter().flat_map(|slot| &slot.extras);
        main.chain(extras.map(|extra| (extra.file.volume, &extra.file, &extra.bytes)))
    }

    /// Makes files of what has been read since.
    pub(super) fn adopt(&mut self) {
        self.refuse_large();
        let pending = |machine: &Self| -> Vec<usize> {
            let is_pending = |source: &Source| source.candidate.is_some() && source.refusal.is_none();
            machine
                .sources
                .iter()
                .enumerate()
                .filter(|(_, source)| is_pending(source))
                .map(|(index, _)| index)
                .collect()
        };
        let stale = std::mem::take(&mut self.delivery.stale);
        // A value refused earlier may fit the others now.
        for source in &mut self.sources {
            if source.refusal.as_ref().is_some_and(|cause| !is_size(cause)) && !stale.is_empty() {
                source.refusal = None;
            }
        }
        let all = pending(self);
        if !all.is_empty() && self.try_adopt(&all).is_err() {
            for index in all {
                if let Err(cause) = self.try_adopt(&[index])
                    && let Some(source) = self.sources.get_mut(index)
                {
                    source.refusal = Some(cause);
                }
            }
        }
        let mut files: Vec<usize> = stale.iter().flat_map(|source| self.delivery.files_of(*source)).collect();
        files.extend(
            (0..self.plan.files.len()).filter(|file| self.delivery.inputs.get(*file).is_some_and(Vec::is_empty)),
        );
        files.sort_unstable();
        files.dedup();
        let (renderings, mut notes) = self.render(&files, &[]);
        if let Some(cause) = first_fault(&renderings) {
            self.delivery.trouble = Some(cause);
        }
        let wants = std::mem::take(&mut notes.wants);
        self.delivery.apply(renderings, notes, self.delivery.restored && !self.delivery.ready);
        if self.want(wants) {
            // A value that an earlier process held: at most once for each secret of the pod.
            self.adopt();
        }
    }

    /// Adopts the candidates of `sources` if every file that they go into can be made.
    fn try_adopt(&mut self, sources: &[usize]) -> Result<(), Cause> {
        let mut files: Vec<usize> = sources.iter().flat_map(|source| self.delivery.files_of(*source)).collect();
        files.sort_unstable();
        files.dedup();
        let (renderings, mut notes) = self.render(&files, sources);
        // A path that is computed from a new value is read whether that value is adopted or not.
        self.want(std::mem::take(&mut notes.wants));
        if let Some(cause) = first_fault(&renderings) {
            return Err(cause);
        }
        let total = self.delivery.total_bytes(&renderings);
        if total > FILES_BYTES {
            return Err(Cause::new(
                FILES_TOO_LARGE,
                "make files",
                format!("they have {total} bytes in sum, the limit is {FILES_BYTES}"),
                "deliver less to this pod",
            ));
        }
        for index in sources {
            let Some(source) = self.sources.get_mut(*index) else { continue };
            let Some(value) = source.candidate.take() else { continue };
            let same = |lease: &HeldLease| value.lease.as_ref().is_some_and(|new| new.id == lease.id);
            let replaced = source.adopted.take().and_then(|old| old.lease).filter(|lease| !same(lease));
            source.adopted = Some(value);
            source.refusal = None;
            if let Some(lease) = replaced.filter(HeldLease::is_on_server) {
                let (login, ends) = (lease.login, lease.ends());
                self.retire(Hold::Lease { id: lease.id, source: *index, delivered: true }, login, ends, None);
            }
        }
        self.delivery.apply(renderings, notes, self.delivery.restored && !self.delivery.ready);
        Ok(())
    }

    /// Renders `files`, taking the candidates of the sources in `fresh`.
    fn render(&self, files: &[usize], fresh: &[usize]) -> (Vec<(usize, Rendering)>, Notes) {
        let look = |secret: usize| {
            let Some((index, source)) =
                self.source_of.get(secret).and_then(|index| self.sources.get(*index).map(|source| (index, source)))
            else {
                return Look::Waiting;
            };
            let value = if fresh.contains(index) { source.newest() } else { source.adopted.as_ref() };
            match value {
                Some(value) => Look::Value(&value.document),
                None if source.gone => Look::Nothing,
                None => Look::Waiting,
            }
        };
        let mut notes = Notes::default();
        let renderings = files.iter().map(|file| {
            let is_token = self.plan.files.get(*file).is_some_and(|file| file.content == Content::Token);
            let rendering = match (is_token, self.token()) {
                (false, _) => self.delivery.contents.render(&self.plan, *file, look, &mut notes),
                (true, Some(token)) => Rendering::Bytes(token.duplicate()),
                (true, None) => Rendering::Waiting,
            };
            (*file, rendering)
        });
        (renderings.collect(), notes)
    }

    /// Makes sources of reads that templates asked for. Says whether one of them has a value already.
    fn want(&mut self, wants: Vec<(usize, Want)>) -> bool {
        let mut held = false;
        for (file, Want { secret, parameters }) in wants {
            let number = self.plan.secrets.len();
            let same = |one: &PlanSecret| one.agent.as_ref() == Some(&secret) && one.parameters == parameters;
            let known = self.plan.secrets.iter().position(same);
            if known.is_none() && number >= SECRETS {
                continue;
            }
            if let Some(inputs) = self.delivery.inputs.get_mut(file) {
                inputs.push(known.unwrap_or(number));
            }
            if known.is_some() {
                continue;
            }
            let Ok(wanted) = PlanSecret::of_agent(number, secret, parameters) else { continue };
            let index = self.sources.len();
            let mut source = Source::new(wanted.clone());
            source.follow(&self.plan);
            if let Some(kept) = self.unclaimed.remove(&Source::key(&wanted)) {
                source.take_over(kept);
                held = true;
                self.delivery.stale(index);
            }
            source.begin_at(Moment::default());
            self.asks_login = true;
            self.plan.secrets.push(wanted);
            self.sources.push(source);
            self.source_of.push(index);
            self.delivery.source_of.push(index);
        }
        held
    }

    /// Refuses candidates that are too large by themselves or in sum.
    fn refuse_large(&mut self) {
        let held = |source: &Source| source.adopted.as_ref().map_or(0, |value| size_bytes(&value.document));
        let mut total: usize = self.sources.iter().map(held).sum();
        for source in &mut self.sources {
            let Some(candidate) = &source.candidate else { continue };
            let size = size_bytes(&candidate.document);
            let replaced = source.adopted.as_ref().map_or(0, |value| size_bytes(&value.document));
            let (code, bytes, limit, what) = if size > SECRET_BYTES {
                (SECRET_TOO_LARGE, size, SECRET_BYTES, "it has")
            } else if total - replaced + size > VALUES_BYTES {
                (VALUES_TOO_LARGE, total - replaced + size, VALUES_BYTES, "with it the pod's secrets have")
            } else {
                total = total - replaced + size;
                if source.refusal.as_ref().is_some_and(is_size) {
                    source.refusal = None;
                }
                continue;
            };
            source.refusal = Some(Cause::new(
                code,
                format!("read {}", source.secret.label()),
                format!("{what} {bytes} bytes, the limit is {limit}"),
                "secrets are no files: store less in it",
            ));
        }
    }

    /// The volumes hold the generation.
    pub(super) fn written(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.delivery.commit.succeed(now);
        self.delivery.commit.due = Some(now);
        self.delivery.committed = std::mem::take(&mut self.delivery.committing);
        self.delivery.trouble = None;
        let first = !std::mem::replace(&mut self.delivery.ready, true);
        for index in 0..self.reactions.len() {
            let revision = self.reaction_revision(index);
            let Some(reaction) = self.reactions.get_mut(index) else { continue };
            if first && !self.delivery.restored {
                // The app has not started: it starts with these files.
                reaction.told = revision;
            } else {
                reaction.notice(revision, now);
            }
        }
        if first {
            self.unsaved = true;
            actions.push(Action::Ready);
        }
        if self.delivery.is_current() {
            self.successors_written(now);
        }
        self.acknowledge(Applied::Written, now);
    }

    /// Sum of the revisions that the reaction's files have in the volumes.
    pub(super) fn reaction_revision(&self, index: usize) -> u64 {
        let files = self.plan.reactions.get(index).map(|reaction| reaction.files.as_slice()).unwrap_or_default();
        files.iter().filter_map(|file| self.delivery.committed.get(*file)).sum()
    }
}

fn first_fault(renderings: &[(usize, Rendering)]) -> Option<Cause> {
    renderings.iter().find_map(|(_, rendering)| match rendering {
        Rendering::Fault(cause) => Some(cause.clone()),
        _ => None,
    })
}

fn is_size(cause: &Cause) -> bool {
    [SECRET_TOO_LARGE, VALUES_TOO_LARGE].contains(&cause.code)
}

fn sources_of(plan: &Plan) -> Vec<usize> {
    let keys: Vec<String> = plan.secrets.iter().map(Source::key).collect();
    let mut distinct: Vec<&String> = Vec::new();
    keys.iter()
        .map(|key| {
            distinct.iter().position(|known| *known == key).unwrap_or_else(|| {
                distinct.push(key);
                distinct.len() - 1
            })
        })
        .collect()
}

/// Shortest wait after files could not be written: a full volume does not empty itself.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
