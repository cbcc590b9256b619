//! What happens when files change: who is told, and whose app needs the wrapper for it.

use std::collections::BTreeMap;

use vouchsafe_model::name::ContainerName;
use vouchsafe_model::plan::{Action, HttpMethod, PlanEnvironment, Reaction, Restart};

use super::Supervised;
use super::content::{Resolved, origins};
use super::login::Used;
use super::variables::{Variable, stale_words};
use super::wanted::Wanted;
use crate::ask::{ANNOTATION_PREFIX, Ask};
use crate::fault::Fault;
use crate::fields::Faults;
use crate::grant::{Grant, OnChange};
use crate::pod::{ContainerFacts, ContainerKind, PodFacts};

/// Decided reactions.
pub(super) struct Reactions {
    /// For the Plan: by container in the pod's order, equal actions of one container joined.
    pub(super) list: Vec<Reaction>,
    /// Containers that the wrapper starts.
    pub(super) supervised: Vec<Supervised>,
    /// One text per wanted file, then one per variable.
    pub(super) words: Vec<String>,
}

/// What reactions are decided about: files and variables with what they are made of, entry by entry.
pub(super) struct Subject<'a, 'b> {
    pub(super) files: &'b [Wanted<'a>],
    pub(super) contents: &'b [Option<Resolved<'a>>],
    pub(super) variables: &'b [Variable<'a>],
    pub(super) values: &'b [Option<Resolved<'a>>],
    pub(super) environments: &'b [PlanEnvironment],
}

/// Decides the reactions.
pub(super) fn decide(
    ask: &Ask,
    subject: &Subject<'_, '_>,
    used: &Used<'_>,
    pod: &PodFacts,
    faults: &mut Faults,
    warnings: &mut Vec<String>,
) -> Reactions {
    refuse_windows(ask, used, faults);
    let mut list: Vec<Reaction> = Vec::new();
    let mut words = Vec::with_capacity(subject.files.len() + subject.variables.len());
    let mut react = |index: usize, container: &ContainerName, action: Action| match list
        .iter_mut()
        .find(|known| known.container == *container && known.action == action)
    {
        Some(known) => known.files.push(index),
        None => list.push(Reaction { container: container.clone(), files: vec![index], action }),
    };
    for (index, (file, content)) in subject.files.iter().zip(subject.contents).enumerate() {
        let fault = |message: String| file.fault(message);
        let on_change = on_change(ask, file.grant, content.as_ref(), used, fault, faults);
        let (action, text) = act(on_change, file.container);
        words.push(text);
        if let Some(action) = action {
            react(index, &file.container.name, action);
        }
    }
    for (index, (variable, value)) in subject.variables.iter().zip(subject.values).enumerate() {
        let fault = |message: String| variable.fault(message);
        let on_change = on_change(ask, variable.grant, value.as_ref(), used, fault, faults);
        match act(on_change, variable.container) {
            (Some(action @ Action::Restart(_)), _) => {
                words.push("the app is ended and started again with the new value".to_owned());
                react(subject.files.len() + index, &variable.container.name, action);
            }
            // No signal and no call changes the environment of a running process.
            _ => words.push(stale_words(variable)),
        }
    }
    let supervised = supervised(ask, &list, subject.environments, used, pod, faults, warnings);
    Reactions { list, supervised, words }
}

/// Refuses `Restart` in a window: nobody computes openings yet.
fn refuse_windows(ask: &Ask, used: &Used<'_>, faults: &mut Faults) {
    let message = "a window is not available yet; leave it out, and the app is started again as soon as a value changes, or use None";
    let has_window = |on_change: Option<&OnChange>| matches!(on_change, Some(OnChange::Restart(Some(_))));
    if has_window(ask.on_change.as_ref()) {
        faults.push(Fault::new(None, format!("{ANNOTATION_PREFIX}on-change.window"), message));
    }
    // What the annotation says replaces what the Grants say.
    let grants =
        used.grants.iter().filter(|grant| ask.on_change.is_none() && has_window(grant.deliver.on_change.as_ref()));
    for grant in grants {
        let field = format!("Grant {} spec.deliver.onChange.window", grant.label());
        faults.push(Fault::new(grant.at.clone(), field, message));
    }
}

/// What is to happen for one entry: the annotation's word, else its Grant's, else that of the Grants behind it.
fn on_change<'a>(
    ask: &'a Ask,
    grant: Option<&'a Grant>,
    content: Option<&Resolved<'_>>,
    used: &Used<'a>,
    fault: impl Fn(String) -> Fault,
    faults: &mut Faults,
) -> Option<&'a OnChange> {
    if let Some(said) = &ask.on_change {
        return Some(said);
    }
    if let Some(grant) = grant {
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
        faults.push(fault(message));
    }
    first
}

/// The action for a container, and what it means in words.
fn act(on_change: Option<&OnChange>, container: &ContainerFacts) -> (Option<Action>, String) {
    if container.kind == ContainerKind::Init {
        return (None, "nothing: an init container has ended before anything changes".to_owned());
    }
    match on_change {
        None | Some(OnChange::Nothing) => (
            None,
            "the file is replaced; the app is not told and keeps what it has read until it reads again".to_owned(),
        ),
        Some(OnChange::Act(action)) => (Some(action.clone()), words(action)),
        Some(OnChange::Restart(_)) => {
            let action = Action::Restart(Restart { grace_seconds: GRACE_SECONDS });
            let text = words(&action);
            (Some(action), text)
        }
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
        Action::Restart(_) => "the file is replaced and the app is ended and started again".to_owned(),
    }
}

/// The containers that are sent signals, started again or given variables, each with the command that the wrapper starts.
fn supervised(
    ask: &Ask,
    reactions: &[Reaction],
    environments: &[PlanEnvironment],
    used: &Used<'_>,
    pod: &PodFacts,
    faults: &mut Faults,
    warnings: &mut Vec<String>,
) -> Vec<Supervised> {
    let declared = declared(ask, used, faults);
    let mut supervised = Vec::new();
    for container in &pod.containers {
        let reason = reactions.iter().find_map(|reaction| match &reaction.action {
            _ if reaction.container != container.name => None,
            Action::Signal(signal) => Some(format!("what {} should be sent to", signal.as_str())),
            Action::Restart(_) => Some("what should be started again".to_owned()),
            Action::Http(_) => None,
        });
        let has_variables = environments.iter().any(|environment| environment.container == container.name);
        let reason = reason.or_else(|| has_variables.then(|| "what should be started with its variables".to_owned()));
        let said = declared.get(&container.name);
        if let (Some(own), Some(said)) = (&container.command, said)
            && own != *said
        {
            warnings.push(format!(
                "container {} has a command of its own, which counts; the one declared for it is passed over",
                container.name
            ));
        }
        let Some(reason) = reason else { continue };
        match container.command.as_ref().or(said.copied()) {
            Some(command) => {
                let command = command.iter().chain(&container.args).cloned().collect();
                supervised.push(Supervised { container: container.name.clone(), command });
            }
            None => faults.push(no_command(container, &reason)),
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

fn no_command(container: &ContainerFacts, reason: &str) -> Fault {
    let name = &container.name;
    let message = format!(
        "container {name} has no command, so it is not known {reason}; declare what its image runs, as in '{{{name}: [/program]}}', here or as deliver.command of the Grant"
    );
    Fault::new(None, format!("{ANNOTATION_PREFIX}command"), message)
}

/// Seconds between SIGTERM and SIGKILL of an app that is started again: Kubernetes' own default for a pod's end.
const GRACE_SECONDS: u32 = 30;
