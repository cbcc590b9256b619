//! What the pod gets, one entry per file and container: the Grants' `deliver`, changed by the annotations.

use std::collections::BTreeSet;

use vouchsafe_model::name::{ContainerName, GrantName};
use vouchsafe_model::path::MountPath;
use vouchsafe_model::plan::{FILES, PlanVolume};
use vouchsafe_model::text::{nearest, quoted};

use super::Delivered;
use super::login::{Used, inject_fault};
use crate::ask::{ANNOTATION_PREFIX, Ask};
use crate::fault::Fault;
use crate::fields::Faults;
use crate::grant::{DEFAULT_MOUNT_PATH, FileEntry, Grant};
use crate::pod::{ContainerFacts, ContainerKind, PodFacts};

/// One file for one container.
pub(super) struct Wanted<'a> {
    /// The Grant whose `deliver` asks for it; `None`: the pod's annotation does.
    pub(super) grant: Option<&'a Grant>,
    pub(super) entry: &'a FileEntry,
    pub(super) container: &'a ContainerFacts,
    pub(super) mount_path: MountPath,
}

impl Wanted<'_> {
    /// A fault of this entry, with the Grant's name where it comes from one.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.entry.at.clone(), self.field(), message)
    }

    /// `Grant monitoring/grafana-sso spec.deliver.files[0]` or `vouchsafe.dev/files[0]`.
    pub(super) fn field(&self) -> String {
        field(self.grant, &self.entry.field)
    }

    /// Absolute path in the container.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.mount_path, self.entry.name)
    }

    pub(super) fn is_in(&self, volume: &PlanVolume) -> bool {
        volume.container == self.container.name && volume.mount_path == self.mount_path
    }

    pub(super) fn delivered(&self, secrets: Vec<String>, reaction: String) -> Delivered {
        let origin = match self.grant {
            Some(grant) => format!("Grant {}", grant.label()),
            None => format!("annotation {ANNOTATION_PREFIX}files"),
        };
        Delivered { container: self.container.name.clone(), path: self.path(), secrets, origin, reaction }
    }
}

/// All files, ordered by the container's place in the pod, mount path and name.
pub(super) fn files<'a>(ask: &'a Ask, pod: &'a PodFacts, used: &Used<'a>, faults: &mut Faults) -> Vec<Wanted<'a>> {
    check_named_containers(ask, pod, used, faults);
    let mut wanted = Vec::new();
    for entry in &ask.files {
        expand(None, entry, common(used, |grant| &grant.deliver.containers), ask, pod, used, faults, &mut wanted);
    }
    let replaced: BTreeSet<(String, String)> = wanted.iter().map(identity).collect();
    for grant in &used.grants {
        let mut more = Vec::new();
        for entry in &grant.deliver.files {
            expand(Some(grant), entry, &grant.deliver.containers, ask, pod, used, faults, &mut more);
        }
        wanted.extend(more.into_iter().filter(|file| !replaced.contains(&identity(file))));
    }
    if wanted.len() > FILES {
        faults.push(inject_fault(format!(
            "the pod would get {} files, the limit is {FILES}; put several values into one file by a template, or name fewer containers",
            wanted.len()
        )));
        wanted.truncate(FILES);
    }
    let has_env = !ask.env.is_empty() || used.grants.iter().any(|grant| !grant.deliver.env.is_empty());
    if wanted.is_empty() && !has_env && faults.is_empty() && used.complete {
        faults.push(nothing(ask, used));
    }
    let place = |file: &Wanted<'_>| pod.containers.iter().position(|container| container.name == file.container.name);
    wanted.sort_by(|left, right| {
        (place(left), &left.mount_path, &left.entry.name).cmp(&(place(right), &right.mount_path, &right.entry.name))
    });
    wanted
}

/// How a fault names an entry.
pub(super) fn field(grant: Option<&Grant>, field: &str) -> String {
    match grant {
        Some(grant) => format!("Grant {} {field}", grant.label()),
        None => field.to_owned(),
    }
}

/// What makes an annotation's entry and a Grant's the same: name and container.
fn identity(file: &Wanted<'_>) -> (String, String) {
    (file.container.name.to_string(), file.entry.name.to_string())
}

#[expect(clippy::too_many_arguments, reason = "the sources of one decision; a struct would only rename them")]
fn expand<'a>(
    grant: Option<&'a Grant>,
    entry: &'a FileEntry,
    inherited: &'a [ContainerName],
    ask: &'a Ask,
    pod: &'a PodFacts,
    used: &Used<'a>,
    faults: &mut Faults,
    wanted: &mut Vec<Wanted<'a>>,
) {
    let containers = match reached(&entry.containers, inherited, ask, pod) {
        Ok(containers) => containers,
        Err(problem) => {
            faults.push(Fault::new(entry.at.clone(), field(grant, &entry.field), problem));
            return;
        }
    };
    let mount_path = entry.mount_path.clone().or_else(|| match grant {
        Some(grant) => grant.deliver.mount_path.clone(),
        None => used.grants.iter().find_map(|grant| grant.deliver.mount_path.clone()),
    });
    let Some(mount_path) = mount_path.or_else(|| DEFAULT_MOUNT_PATH.parse().ok()) else { return };
    for container in containers {
        wanted.push(Wanted { grant, entry, container, mount_path: mount_path.clone() });
    }
}

/// The containers that an entry goes to: its own, else the annotation's, else those of its Grant, else the default one.
pub(super) fn reached<'a>(
    own: &'a [ContainerName],
    inherited: &'a [ContainerName],
    ask: &'a Ask,
    pod: &'a PodFacts,
) -> Result<Vec<&'a ContainerFacts>, String> {
    match [own, &ask.containers, inherited].into_iter().find(|names| !names.is_empty()) {
        Some(names) => Ok(names.iter().filter_map(|name| pod.container(name.as_str())).collect()),
        None => default_container(pod).map(|container| vec![container]),
    }
}

/// What all used Grants say alike, else nothing.
pub(super) fn common<'a, T>(used: &Used<'a>, part: impl Fn(&'a Grant) -> &'a Vec<T>) -> &'a [T]
where
    T: PartialEq,
{
    let mut parts = used.grants.iter().map(|grant| part(grant));
    match parts.next() {
        Some(first) if parts.all(|other| other == first) => first,
        _ => &[],
    }
}

/// The only app container, or the one that kubectl takes.
fn default_container(pod: &PodFacts) -> Result<&ContainerFacts, String> {
    let apps: Vec<&ContainerFacts> =
        pod.containers.iter().filter(|container| container.kind == ContainerKind::App).collect();
    if let [only] = apps.as_slice() {
        return Ok(only);
    }
    let names: Vec<&str> = apps.iter().map(|container| container.name.as_str()).collect();
    match &pod.default_container {
        None => Err(format!(
            "the pod has several containers ({}) and none is the default; name those that get this in containers, or set the annotation kubectl.kubernetes.io/default-container",
            names.join(", ")
        )),
        Some(name) => apps.iter().find(|container| container.name.as_str() == name).copied().ok_or_else(|| {
            format!(
                "the annotation kubectl.kubernetes.io/default-container names {}, which the pod does not have, only {}; correct it, or name containers",
                quoted(name),
                names.join(", ")
            )
        }),
    }
}

/// That every container that anybody names is in the pod.
fn check_named_containers(ask: &Ask, pod: &PodFacts, used: &Used<'_>, faults: &mut Faults) {
    let mut check = |at: Option<&crate::fault::At>, field: String, name: &ContainerName| {
        if pod.container(name.as_str()).is_none() {
            faults.push(Fault::new(at.cloned(), field, unknown_container(name, pod)));
        }
    };
    for name in &ask.containers {
        check(None, format!("{ANNOTATION_PREFIX}containers"), name);
    }
    for name in ask.command.keys() {
        check(None, format!("{ANNOTATION_PREFIX}command"), name);
    }
    for entry in &ask.files {
        entry.containers.iter().for_each(|name| check(entry.at.as_ref(), entry.field.clone(), name));
    }
    for entry in &ask.env {
        entry.containers.iter().for_each(|name| check(entry.at.as_ref(), entry.field.clone(), name));
    }
    for grant in &used.grants {
        let at = grant.at.as_ref();
        for name in &grant.deliver.containers {
            check(at, field(Some(grant), "spec.deliver.containers"), name);
        }
        for name in grant.deliver.command.keys() {
            check(at, field(Some(grant), "spec.deliver.command"), name);
        }
        for entry in &grant.deliver.files {
            entry.containers.iter().for_each(|name| check(entry.at.as_ref(), field(Some(grant), &entry.field), name));
        }
        for entry in &grant.deliver.env {
            entry.containers.iter().for_each(|name| check(entry.at.as_ref(), field(Some(grant), &entry.field), name));
        }
    }
}

fn unknown_container(name: &ContainerName, pod: &PodFacts) -> String {
    let names: Vec<&str> = pod.containers.iter().map(|container| container.name.as_str()).collect();
    let hint = nearest(name.as_str(), names.iter().copied()).map(|near| format!("; did you mean {near}?"));
    format!("the pod has no container {name}, only {}{}", names.join(", "), hint.unwrap_or_default())
}

fn nothing(ask: &Ask, used: &Used<'_>) -> Fault {
    let names: Vec<&str> = ask.grants.iter().map(GrantName::as_str).collect();
    let secret = used.grants.first().and_then(|grant| grant.secrets.first());
    let (name, key) = match secret {
        Some(secret) => (secret.name.as_str(), secret.keys.first().map_or("KEY", |key| key.as_str())),
        None => ("SECRET", "KEY"),
    };
    inject_fault(format!(
        "nothing would be delivered: {} has no deliver.files and no deliver.env, and the pod no {ANNOTATION_PREFIX}files; add one, as in {{name: {key}, secret: {name}, key: {key}}}",
        names.join(", ")
    ))
}
