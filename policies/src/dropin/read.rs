//! From a pod's annotations to named, known values; and the one place that decides what a wrong one leads to.
//!
//! Three grades: *refused* (vault-k8s refuses it, too, or it would harm others), *hopeless* (vault-k8s admits the pod and its
//! agent then fails: with `compat: warn` the pod is admitted and waits with the message), *odd* (it is surely a mistake, and
//! there is a sound reading). `compat: strict` refuses all three. Out of scope: what the values mean together.

use std::collections::BTreeMap;

use vouchsafe_model::text::{nearest, quoted};

use super::table::{self, ANNOTATIONS, Annotation, Form, Kind, PREFIXES};
use super::value;
use crate::fault::Fault;

/// What becomes of annotations that vault-k8s accepts though they cannot work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// The pod is admitted with a warning, so that what started yesterday starts tonight.
    #[default]
    Warn,
    /// The pod is refused.
    Strict,
}

/// One annotation of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given<'a> {
    /// Its name as the pod writes it.
    pub(super) full: &'a str,
    /// Its value.
    pub(super) value: &'a str,
}

/// All annotations of a pod under our prefixes that the table knows, and what was found wrong so far.
pub(super) struct Reading<'a> {
    singles: BTreeMap<&'static str, Given<'a>>,
    families: BTreeMap<(&'static str, &'a str), Given<'a>>,
    compat: Compat,
    /// Why the pod is refused.
    pub(super) faults: Vec<Fault>,
    /// Why the pod is admitted but cannot start.
    pub(super) hopeless: Vec<String>,
    /// What its owner should know.
    pub(super) warnings: Vec<String>,
}

impl<'a> Reading<'a> {
    /// Sorts the annotations by the table. A name under both prefixes with different values is a fault.
    pub(super) fn of(annotations: &'a BTreeMap<String, String>, compat: Compat) -> Self {
        let mut reading = Self {
            singles: BTreeMap::new(),
            families: BTreeMap::new(),
            compat,
            faults: Vec::new(),
            hopeless: Vec::new(),
            warnings: Vec::new(),
        };
        for (full, value) in annotations {
            let Some((prefix, short)) = PREFIXES.iter().find_map(|prefix| Some((*prefix, full.strip_prefix(prefix)?)))
            else {
                continue;
            };
            let given = Given { full, value };
            match table::find(short) {
                Some((entry, suffix)) => reading.insert(entry, suffix, given),
                None => reading.unknown(prefix, short, full),
            }
        }
        reading
    }

    fn insert(&mut self, entry: &'static Annotation, suffix: &'a str, given: Given<'a>) {
        let before = match entry.form {
            Form::Single => self.singles.insert(entry.name, given),
            Form::Family => self.families.insert((entry.name, suffix), given),
        };
        if let Some(before) = before.filter(|before| before.value != given.value) {
            let message = format!(
                "is {}, but {} is {}; they are two spellings of one setting: remove one, or make them equal",
                quoted(given.value),
                before.full,
                quoted(before.value)
            );
            self.faults.push(Fault::new(None, given.full, message));
        }
    }

    fn unknown(&mut self, prefix: &str, short: &str, full: &str) {
        let families = || ANNOTATIONS.iter().filter(|entry| entry.form == Form::Family).map(|entry| entry.name);
        let family = FAMILY_PARTS.iter().find_map(|parts| {
            // `agent-inject-secert-db`: compare as many parts as a family has, keep the rest as its suffix.
            let (end, _) = short.match_indices('-').nth(*parts - 1)?;
            let (head, tail) = short.split_at_checked(end + 1)?;
            let alike = families().filter(|name| name.matches('-').count() == *parts);
            nearest(head, alike).filter(|_| !tail.is_empty()).map(|name| format!("{name}{tail}"))
        });
        let single = nearest(short, ANNOTATIONS.iter().filter(|e| e.form == Form::Single).map(|e| e.name));
        let hint = match (family.or(single.map(str::to_owned)), short.strip_suffix('-')) {
            (Some(name), _) => format!("did you mean {prefix}{name}?"),
            (None, Some(_)) => "a name must follow the last dash".to_owned(),
            (None, None) => "docs/vault-k8s.md lists the known ones".to_owned(),
        };
        self.odd(full, format!("is no annotation of vault-k8s and has no effect; {hint}"));
    }

    /// What the pod says, if it says it.
    pub(super) fn single(&self, name: &'static str) -> Option<Given<'a>> {
        debug_assert!(ANNOTATIONS.iter().any(|entry| entry.name == name && entry.form == Form::Single), "{name}");
        self.singles.get(name).copied()
    }

    /// The member of a family with that suffix.
    pub(super) fn member(&self, family: &'static str, suffix: &str) -> Option<Given<'a>> {
        self.families.iter().find(|((name, known), _)| *name == family && *known == suffix).map(|(_, given)| *given)
    }

    /// Suffixes of a family and what the pod says for them, sorted.
    pub(super) fn members(&self, family: &'static str) -> Vec<(&'a str, Given<'a>)> {
        debug_assert!(ANNOTATIONS.iter().any(|entry| entry.name == family && entry.form == Form::Family), "{family}");
        let of_family = self.families.iter().filter(|((name, _), _)| *name == family);
        of_family.map(|((_, suffix), given)| (*suffix, *given)).collect()
    }

    /// All families' members, for finding those that belong to no secret.
    pub(super) fn all_members(&self) -> Vec<(&'static str, &'a str, Given<'a>)> {
        self.families.iter().map(|((name, suffix), given)| (*name, *suffix, *given)).collect()
    }

    /// Not empty, or the default where the pod says nothing. `None` where it says the empty text.
    pub(super) fn text_or(&self, name: &'static str, default: &str) -> Option<String> {
        match self.single(name) {
            Some(given) if given.value.is_empty() => None,
            Some(given) => Some(given.value.to_owned()),
            None => Some(default.to_owned()).filter(|text| !text.is_empty()),
        }
    }

    /// A text that is there and not empty.
    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        self.text_or(name, "")
    }

    /// A truth value; a wrong one was reported by [`Self::check_kinds`].
    pub(super) fn boolean(&self, name: &'static str, default: bool) -> bool {
        self.single(name).map_or(default, |given| value::boolean(given.value).unwrap_or(false))
    }

    /// Refuses the pod: vault-k8s does, too, or admitting it would harm others.
    pub(super) fn refuse(&mut self, full: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(None, full, message));
    }

    /// What vault-k8s admits and its agent then fails at.
    pub(super) fn hopeless(&mut self, full: &str, message: impl Into<String>) {
        let message = message.into();
        match self.compat {
            Compat::Strict => self.refuse(full, message),
            Compat::Warn => {
                self.hopeless.push(format!("{full}: {message}"));
                self.warnings.push(format!("{full}: {message}; the pod will wait with this message"));
            }
        }
    }

    /// A sure mistake that has a sound reading.
    pub(super) fn odd(&mut self, full: &str, message: impl Into<String>) {
        match self.compat {
            Compat::Strict => self.refuse(full, message),
            Compat::Warn => self.warn(full, &message.into()),
        }
    }

    /// Something that is sound but deserves a look.
    pub(super) fn warn(&mut self, full: &str, message: &str) {
        self.warnings.push(format!("{full}: {message}"));
    }

    /// Refuses every single annotation whose value is not of its kind, as vault-k8s does.
    pub(super) fn check_kinds(&mut self) {
        let known = ANNOTATIONS.iter().filter_map(|entry| Some((entry, *self.singles.get(entry.name)?)));
        let checked: Vec<_> =
            known.filter_map(|(entry, given)| Some((given, check(entry.kind, given.value)?))).collect();
        for (given, problem) in checked {
            self.refuse(given.full, format!("{} {problem}", quoted(given.value)));
        }
    }
}

/// How many dashes names of families have, the most first.
const FAMILY_PARTS: [usize; 3] = [4, 3, 2];

/// What is wrong with a value of that kind, where vault-k8s checks it itself.
pub(super) fn check(kind: Kind, text: &str) -> Option<String> {
    match kind {
        Kind::Bool => value::boolean(text).err(),
        Kind::Present => text.is_empty().then(|| "is empty; write a value or remove the annotation".to_owned()),
        Kind::Integer => value::integer(text).err(),
        Kind::Unsigned => value::unsigned(text).err(),
        Kind::Float => value::float(text).err(),
        Kind::Duration | Kind::Quantity if text.is_empty() => None,
        Kind::Duration => value::duration(text).err(),
        Kind::Quantity => value::quantity(text).err(),
        Kind::DefaultTemplate => {
            super::settings::DefaultTemplate::read(text).is_none().then(|| "is no form; write map or json".to_owned())
        }
        // Patches are read where they are used, the rest is passed on unchecked there.
        Kind::JsonPatch | Kind::Text | Kind::LenientBool | Kind::LenientDuration => None,
    }
}
