//! What happens when files change: who is told, and whose app needs the wrapper for it.

use std::collections::BTreeMap;

use vouchsafe_model::name::ContainerName;
use vouchsafe_model::plan::{Action, HttpMethod, Reaction};

use super::Supervised;
use super::content::{Resolved, origins};
use super::login::Used;
use super::wanted::Wanted;
use crate::ask::{ANNOTATION_PREFIX, Ask};
use crate::fault::Fault;
use crate::fields::Faults;
use crate::grant::OnChange;
use crate::pod::{ContainerFacts, ContainerKind, PodFacts};

/// Decided reactions.
pub(super) struct Reactions {
    /// For the Plan: by container in the pod's order, equal actions of one container joined.
    pub(super) list: Vec<Reaction>,
    /// Containers that are sent signals.
    pub(super) supervised: Vec<Supervised>,
    /// One text per wanted file.
    pub(super) words: Vec<String>,
}

/// Decides the reactions. `contents` belongs to `wanted`, entry by entry.
pub(super) fn decide(
    ask: &Ask,
    wanted: &[Wanted<'_>],
    contents: &[Option<Resolved<'_>>],
    used: &Used<'_>,
    pod: &PodFacts,
    faults: &mut Faults,
    warnings: &mut Vec<String>,
) -> Reactions {
    refuse_restart(ask, used, faults);
    let mut list: Vec<Reaction> = Vec::new();
    let mut words = Vec::with_capacity(wanted.len());
    for (index, (file, content)) in wanted.iter().zip(contents).enumerate() {
        let on_change = on_change(ask, file, content.as_ref(), used, faults);
        let (action, text) = act(on_change, file.container);
        words.push(text);
        let Some(action) = action else { continue };
        match list.iter_mut().find(|known| known.container == file.container.name && known.action == *action) {
            Some(known) => known.files.push(index),
            None => list.push(Reaction {
                container: file.container.name.clone(),
                files: vec![index],
                action: action.clone(),
            }),
        }
    }
    let supervised = supervised(ask, &list, used, pod, faults, warnings);
    Reactions { list, supervised, words }
}

/// Refuses `Restart`: it does not exist yet.
fn refuse_restart(ask: &Ask, used: &Used<'_>, faults: &mut Faults) {
    let message = "action: Restart is not available yet; use None, Signal or HTTP";
    match &ask.on_change {
        Some(OnChange::Restart(_)) => faults.push(Fault::new(None, format!("{ANNOTATION_PREFIX}on-change"), message)),
        // What the annotation says replaces what the Grants say.
        Some(_) => {}
        None => {
            for grant in
                used.grants.iter().filter(|grant| matches!(grant.deliver.on_change, Some(OnChange::Restart(_))))
            {
                let field = format!("Grant {} spec.deliver.onChange", grant.label());
                faults.push(Fault::new(grant.at.clone(), field, message));
            }
        }
    }
}

/// What is to happen for one file: the annotation's word, else its Grant's, else that of the Grants behind it.
fn on_change<'a>(
    ask: &'a Ask,
    file: &Wanted<'a>,
    content: Option<&Resolved<'_>>,
    used: &Used<'a>,
    faults: &mut Faults,
) -> Option<&'a OnChange> {
    if let Some(said) = &ask.on_change {
        return Some(said);
    }
    if let Some(grant) = file.grant {
        return grant.deliver.on_change.as_ref();
    }
    let names = origins(content?);
    let mut said =
        used.grants.iter().filter(|grant| names.contains(&grant.name)).map(|grant| grant.deliver.on_change.as_ref());
    let first = said.next().flatten();
    if said.any(|other| other != first) {
        let names: Vec<&str> = names.iter().map(vouchsafe_model::name::GrantName::as_str).collect();
        let message = format!(
            "its secrets come from Grants {}, whose onChange differ; set {ANNOTATION_PREFIX}on-change",
            names.join(", ")
        );
        faults.push(file.fault(message));
    }
    first
}

/// The action for a container, and what it means in words.
fn act<'a>(on_change: Option<&'a OnChange>, container: &ContainerFacts) -> (Option<&'a Action>, String) {
    if container.kind == ContainerKind::Init {
        return (None, "nothing: an init container has ended before anything changes".to_owned());
    }
    match on_change {
        None | Some(OnChange::Nothing | OnChange::Restart(_)) => (
            None,
            "the file is replaced; the app is not told and keeps what it has read until it reads again".to_owned(),
        ),
        Some(OnChange::Act(action)) => (Some(action), words(action)),
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Signal(signal) => format!("the file is replaced and the app is sent {}", signal.as_str()),
        Action::Http(call) => {
            let method = match call.method {
                HttpMethod::Post => "POST",
                HttpMethod::Put => "PUT",
                HttpMethod::Get => "GET",
            };
            format!("the file is replaced and {method} http://127.0.0.1:{}{} is called", call.port, call.path)
        }
    }
}

/// The containers that are sent signals, each with the command that the wrapper starts.
fn supervised(
    ask: &Ask,
    reactions: &[Reaction],
    used: &Used<'_>,
    pod: &PodFacts,
    faults: &mut Faults,
    warnings: &mut Vec<String>,
) -> Vec<Supervised> {
    let declared = declared(ask, used, faults);
    let mut supervised = Vec::new();
    for container in &pod.containers {
        let signal = reactions.iter().find_map(|reaction| match &reaction.action {
            Action::Signal(signal) if reaction.container == container.name => Some(*signal),
            _ => None,
        });
        let said = declared.get(&container.name);
        if let (Some(own), Some(said)) = (&container.command, said)
            && own != *said
        {
            warnings.push(format!(
                "container {} has a command of its own, which counts; the one declared for it is passed over",
                container.name
            ));
        }
        let Some(signal) = signal else { continue };
        match container.command.as_ref().or(said.copied()) {
            Some(command) => {
                let command = command.iter().chain(&container.args).cloned().collect();
                supervised.push(Supervised { container: container.name.clone(), command });
            }
            None => faults.push(no_command(container, signal.as_str())),
        }
    }
    supervised
}

/// Commands by container: the annotation's before the Grants', which must not contradict each other.
fn declared<'a>(ask: &'a Ask, used: &Used<'a>, faults: &mut Faults) -> BTreeMap<&'a ContainerName, &'a Vec<String>> {
    let mut declared: BTreeMap<&ContainerName, &Vec<String>> = ask.command.iter().collect();
    for grant in &used.grants {
        for (name, command) in grant.deliver.command.iter().filter(|(name, _)| !ask.command.contains_key(*name)) {
            match declared.get(name) {
                Some(other) if *other != command => {
                    let message = format!(
                        "another Grant of this pod declares a different command for container {name}; make them equal, or set {ANNOTATION_PREFIX}command"
                    );
                    let field = format!("Grant {} spec.deliver.command", grant.label());
                    faults.push(Fault::new(grant.at.clone(), field, message));
                }
                _ => {
                    declared.insert(name, command);
                }
            }
        }
    }
    declared
}

fn no_command(container: &ContainerFacts, signal: &str) -> Fault {
    let name = &container.name;
    let message = format!(
        "container {name} has no command, so it is not known what {signal} should be sent to; declare what its image runs, as in '{{{name}: [/program]}}', here or as deliver.command of the Grant"
    );
    Fault::new(None, format!("{ANNOTATION_PREFIX}command"), message)
}
