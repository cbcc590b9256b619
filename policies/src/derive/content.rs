//! From names in entries to secrets of Grants.

use std::collections::BTreeMap;

use vouchsafe_model::name::{GrantName, KeyName, SecretName};
use vouchsafe_model::plan::{Content, PlanSecret, PlanTemplate};
use vouchsafe_model::text::{nearest, quoted};

use super::SecretKey;
use super::login::Used;
use super::wanted::Wanted;
use crate::fault::Fault;
use crate::fields::Faults;
use crate::grant::{FileContent, Grant, GrantSecret, SecretRef, allowed_key};
use crate::template;

/// A file's content whose secrets have been found.
pub(super) enum Resolved<'a> {
    Key { secret: Found<'a>, key: KeyName },
    Template { text: String, delimiters: Option<(String, String)>, roots: BTreeMap<SecretName, Found<'a>> },
}

/// A secret and its Grant.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) grant: &'a Grant,
    pub(super) secret: &'a GrantSecret,
}

impl<'a> Resolved<'a> {
    /// The secrets behind it, sorted, each once.
    pub(super) fn secrets(&self) -> Vec<Found<'a>> {
        let mut found: Vec<Found<'a>> = match self {
            Self::Key { secret, .. } => vec![*secret],
            Self::Template { roots, .. } => roots.values().copied().collect(),
        };
        found.sort_by_key(Found::key);
        found
    }

    /// How messages name them.
    pub(super) fn labels(&self) -> Vec<String> {
        self.secrets().iter().map(|found| format!("{}/{}", found.grant.name, found.secret.name)).collect()
    }
}

impl Found<'_> {
    pub(super) fn key(&self) -> SecretKey {
        (self.grant.name.clone(), self.secret.name.clone())
    }
}

/// The Plan's secrets.
pub(super) struct Secrets {
    pub(super) list: Vec<PlanSecret>,
    places: BTreeMap<SecretKey, usize>,
}

impl Secrets {
    /// Every secret of `contents` once, ordered by Grant and name.
    pub(super) fn collect(contents: &[Resolved<'_>]) -> Self {
        let found: BTreeMap<SecretKey, Found<'_>> =
            contents.iter().flat_map(Resolved::secrets).map(|found| (found.key(), found)).collect();
        let places = found.keys().cloned().enumerate().map(|(index, key)| (key, index)).collect();
        let list = found.values().map(|found| plan_secret(*found)).collect();
        Self { list, places }
    }

    /// The same content by index. `None` for a secret that was not collected, which cannot happen.
    pub(super) fn index(&self, content: &Resolved<'_>) -> Option<Content> {
        let place = |found: &Found<'_>| self.places.get(&found.key()).copied();
        match content {
            Resolved::Key { secret, key } => Some(Content::Key { secret: place(secret)?, key: key.clone() }),
            Resolved::Template { text, delimiters, roots } => {
                let roots = roots
                    .iter()
                    .map(|(name, found)| Some((name.clone(), place(found)?)))
                    .collect::<Option<BTreeMap<_, _>>>()?;
                Some(Content::Template(PlanTemplate { text: text.clone(), delimiters: delimiters.clone(), roots }))
            }
        }
    }
}

fn plan_secret(found: Found<'_>) -> PlanSecret {
    let Found { grant, secret } = found;
    PlanSecret {
        grant: grant.name.clone(),
        name: secret.name.clone(),
        engine: secret.engine,
        mount: secret.mount.clone(),
        path: secret.path.clone(),
        keys: secret.keys.clone(),
        version: secret.version,
        parameters: secret.parameters.clone(),
        agent: None,
    }
}

/// One result per wanted file; `None` where a fault was reported.
pub(super) fn resolve<'a>(wanted: &[Wanted<'a>], used: &Used<'a>, faults: &mut Faults) -> Vec<Option<Resolved<'a>>> {
    wanted.iter().map(|file| resolve_one(file, used, faults)).collect()
}

fn resolve_one<'a>(file: &Wanted<'a>, used: &Used<'a>, faults: &mut Faults) -> Option<Resolved<'a>> {
    match &file.entry.content {
        FileContent::Key { secret: name, key } => {
            let result = find(name, file.grant, used).and_then(|found| {
                allowed_key(found.grant, found.secret.name.as_str(), key.as_str())?;
                Ok(found)
            });
            match result {
                Ok(secret) => Some(Resolved::Key { secret, key: key.clone() }),
                Err(message) => {
                    // A secret may be missing only because its Grant is: that has been said already.
                    if used.complete {
                        faults.push(file.fault(message));
                    }
                    None
                }
            }
        }
        FileContent::Template { at, text, delimiters } => {
            let name = file.entry.name.as_str();
            let reads = match template::reads(name, text, delimiters.as_ref()) {
                Ok(reads) => reads,
                Err(message) => {
                    let field = format!("{}.template", file.field());
                    faults.push(Fault::new(at.clone().or_else(|| file.entry.at.clone()), field, message));
                    return None;
                }
            };
            let mut roots = BTreeMap::new();
            let mut is_sound = true;
            for read in reads {
                match root(&read, file.grant, used) {
                    Ok((name, found)) => {
                        roots.insert(name, found);
                    }
                    Err(message) => {
                        is_sound = false;
                        if used.complete {
                            let field = format!("{}.template", file.field());
                            faults.push(Fault::new(at.clone().or_else(|| file.entry.at.clone()), field, message));
                        }
                    }
                }
            }
            is_sound.then(|| Resolved::Template { text: text.clone(), delimiters: delimiters.clone(), roots })
        }
    }
}

/// The secret that a template's `.name.key` means.
fn root<'a>(
    read: &template::Read,
    origin: Option<&'a Grant>,
    used: &Used<'a>,
) -> Result<(SecretName, Found<'a>), String> {
    let name: SecretName = read.secret.parse().map_err(|error| format!("{error}"))?;
    let found = find(&SecretRef { grant: None, name: name.clone() }, origin, used)?;
    if let Some(key) = &read.key {
        allowed_key(found.grant, name.as_str(), key)?;
    }
    Ok((name, found))
}

/// Finds a secret: in `origin`'s own Grant, or for an annotation among all that the pod uses.
pub(super) fn find<'a>(name: &SecretRef, origin: Option<&'a Grant>, used: &Used<'a>) -> Result<Found<'a>, String> {
    let scope: Vec<&'a Grant> = match (origin, &name.grant) {
        (Some(grant), _) => vec![grant],
        (None, None) => used.grants.clone(),
        (None, Some(wanted)) => {
            if let Some(grant) = used.grants.iter().find(|grant| grant.name == *wanted) {
                vec![*grant]
            } else {
                let names: Vec<&str> = used.grants.iter().map(|grant| grant.name.as_str()).collect();
                return Err(format!(
                    "secret {name} belongs to a Grant that the pod does not use, only {}; add {wanted} to vouchsafe.dev/inject",
                    names.join(", ")
                ));
            }
        }
    };
    let matching: Vec<Found<'a>> = scope
        .iter()
        .filter_map(|grant| grant.secret(name.name.as_str()).map(|secret| Found { grant, secret }))
        .collect();
    match matching.as_slice() {
        [found] => Ok(*found),
        [] => Err(unknown(name, &scope)),
        [first, second, ..] => Err(format!(
            "secret {0} is in Grants {1} and {2}; write {1}/{0}, or in a template give one of them another name",
            name.name, first.grant.name, second.grant.name
        )),
    }
}

fn unknown(name: &SecretRef, scope: &[&Grant]) -> String {
    let grants: Vec<String> = scope.iter().map(|grant| format!("{}{}", grant.label(), grant.place())).collect();
    let names: Vec<&str> =
        scope.iter().flat_map(|grant| grant.secrets.iter().map(|secret| secret.name.as_str())).collect();
    let hint = match nearest(name.name.as_str(), names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names.join(", ")),
    };
    format!("Grant {} has no secret {}; {hint}", grants.join(", "), quoted(name.name.as_str()))
}

/// Names of the Grants behind a content, sorted, each once.
pub(super) fn origins(content: &Resolved<'_>) -> Vec<GrantName> {
    let mut names: Vec<GrantName> = content.secrets().iter().map(|found| found.grant.name.clone()).collect();
    names.dedup();
    names
}
