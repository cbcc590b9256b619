//! Variables: one entry per variable and container, what they clash with, and which of the pod's own variables are made of
//! them. Their values are set by the wrapper in the container, so the kubelet never sees them.

use std::collections::BTreeSet;

use vouchsafe_model::path::FileName;
use vouchsafe_model::plan::{Dependent, PlanEnvironment, RUN_FOLDER};
use vouchsafe_model::text::quoted;
use vouchsafe_template::reference::kubelet::{Given, GivenValue, Outlook, Piece, Role, Token, look, tokens};

use super::Delivered;
use super::content::{Resolved, find};
use super::login::Used;
use super::wanted::{Wanted, common, field, reached};
use crate::ask::{ANNOTATION_PREFIX, Ask};
use crate::fault::Fault;
use crate::fields::Faults;
use crate::grant::{EnvEntry, Grant, allowed_key};
use crate::pod::{ContainerFacts, ContainerKind, PodFacts};

/// One variable for one container.
pub(super) struct Variable<'a> {
    /// The Grant whose `deliver` asks for it; `None`: the pod's annotation does.
    pub(super) grant: Option<&'a Grant>,
    pub(super) entry: &'a EnvEntry,
    pub(super) container: &'a ContainerFacts,
    /// Its name as the Plan lists it.
    pub(super) name: FileName,
}

impl Variable<'_> {
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.entry.at.clone(), field(self.grant, &self.entry.field), message)
    }

    fn identity(&self) -> (&str, &str) {
        (self.container.name.as_str(), self.entry.name.as_str())
    }

    pub(super) fn delivered(&self, secrets: Vec<String>, reaction: String) -> Delivered {
        let origin = match self.grant {
            Some(grant) => format!("Grant {}", grant.label()),
            None => format!("annotation {ANNOTATION_PREFIX}env"),
        };
        let path = format!("variable {}", self.entry.name);
        Delivered { container: self.container.name.clone(), path, secrets, origin, reaction }
    }
}

/// All variables, ordered by the container's place in the pod and name.
pub(super) fn variables<'a>(
    ask: &'a Ask,
    pod: &'a PodFacts,
    used: &Used<'a>,
    faults: &mut Faults,
) -> Vec<Variable<'a>> {
    let inherited = common(used, |grant| &grant.deliver.containers);
    let asked = ask.env.iter().map(|entry| (None, entry, inherited));
    let granted = used.grants.iter().flat_map(|grant| {
        grant.deliver.env.iter().map(move |entry| (Some(*grant), entry, grant.deliver.containers.as_slice()))
    });
    let mut all: Vec<Variable<'a>> = Vec::new();
    for (grant, entry, inherited) in asked.chain(granted) {
        let name = match entry.name.as_str().parse() {
            Ok(name) => name,
            Err(error) => {
                faults.push(Fault::new(entry.at.clone(), field(grant, &entry.field), format!("{error}")));
                continue;
            }
        };
        match reached(&entry.containers, inherited, ask, pod) {
            Ok(containers) => {
                for container in containers {
                    let name: &FileName = &name;
                    add(&mut all, Variable { grant, entry, container, name: name.clone() }, faults);
                }
            }
            Err(problem) => faults.push(Fault::new(entry.at.clone(), field(grant, &entry.field), problem)),
        }
    }
    let place =
        |variable: &Variable<'_>| pod.containers.iter().position(|container| container.name == variable.container.name);
    all.sort_by(|left, right| (place(left), &left.entry.name).cmp(&(place(right), &right.entry.name)));
    all
}

/// An annotation's entry, which comes first, takes the place of a Grant's.
fn add<'a>(all: &mut Vec<Variable<'a>>, variable: Variable<'a>, faults: &mut Faults) {
    let Some(other) = all.iter().find(|other| other.identity() == variable.identity()) else {
        return all.push(variable);
    };
    if other.grant.is_some() || variable.grant.is_none() {
        let (container, name) = variable.identity();
        let message = format!(
            "the variable {name} of container {container} is also set by {}; remove one",
            field(other.grant, &other.entry.field)
        );
        faults.push(variable.fault(message));
    }
}

/// One result per variable; `None` where a fault was reported.
pub(super) fn resolve<'a>(
    variables: &[Variable<'a>],
    used: &Used<'a>,
    faults: &mut Faults,
) -> Vec<Option<Resolved<'a>>> {
    let one = |variable: &Variable<'a>| {
        let found = find(&variable.entry.secret, variable.grant, used)?;
        allowed_key(found.grant, found.secret.name.as_str(), variable.entry.key.as_str())?;
        Ok(Resolved::Key { secret: found, key: variable.entry.key.clone() })
    };
    let mut resolved = Vec::with_capacity(variables.len());
    for variable in variables {
        let result: Result<Resolved<'a>, String> = one(variable);
        if let (Err(message), true) = (&result, used.complete) {
            faults.push(variable.fault(message.clone()));
        }
        resolved.push(result.ok());
    }
    resolved
}

/// What clashes: with variables that the container has, and with those that hold paths of files.
pub(super) fn clashes(variables: &[Variable<'_>], files: &[Wanted<'_>], faults: &mut Faults) {
    for variable in variables {
        let (container, name) = variable.identity();
        if variable.container.env.iter().any(|known| known == name) && !variable.entry.overrides {
            let message = format!(
                "container {container} already has the variable {name}; remove it there, or set override: true"
            );
            faults.push(variable.fault(message));
        }
        let holds_path = |file: &&Wanted<'_>| {
            file.container.name.as_str() == container
                && file.entry.path_env.as_ref().is_some_and(|path| path.as_str() == name)
        };
        if let Some(file) = files.iter().find(holds_path) {
            let message = format!(
                "the variable {name} of container {container} also holds the path of {}; rename one",
                file.path()
            );
            faults.push(variable.fault(message));
        }
    }
}

/// The environments of the Plan, in the order of `variables`: each container once, with what is made of its variables.
pub(super) fn environments(
    variables: &[Variable<'_>],
    faults: &mut Faults,
    warnings: &mut Vec<String>,
) -> Vec<PlanEnvironment> {
    let mut environments: Vec<PlanEnvironment> = Vec::new();
    for variable in variables {
        let container = variable.container;
        if environments.iter().any(|environment| environment.container == container.name) {
            continue;
        }
        let names: Vec<&str> = variables
            .iter()
            .filter(|other| other.container.name == container.name)
            .map(|other| other.entry.name.as_str())
            .collect();
        let dependents = dependents(container, &names, faults);
        if !container.probes.is_empty() {
            warnings.push(format!(
                "{} of container {} runs beside the app and does not see {}; start its command by {RUN_FOLDER}/vouchsafe-sidecar exec --env --become --",
                container.probes.join(" and "),
                container.name,
                names.join(", ")
            ));
        }
        environments.push(PlanEnvironment { container: container.name.clone(), dependents });
    }
    environments
}

/// Variables of the container that are made of those called `names`, and faults for arguments that are.
fn dependents(container: &ContainerFacts, names: &[&str], faults: &mut Faults) -> Vec<Dependent> {
    let texts = || container.variables.iter().filter_map(|(_, text)| text.as_deref());
    let is_defined = |name: &str| names.contains(&name) || container.env.iter().any(|known| known == name);
    // What nobody defines here may come from envFrom or a Service: the container's own environment tells.
    let unknown: BTreeSet<&str> = texts()
        .flat_map(tokens)
        .filter_map(|token| match token {
            Token::Name(name, _) if !is_defined(name) => Some(name),
            _ => None,
        })
        .collect();
    let late = names.iter().map(|name| Given { name, value: GivenValue::Late });
    let unknown = unknown.into_iter().map(|name| Given { name, value: GivenValue::Elsewhere });
    let own = container.variables.iter().map(|(name, text)| {
        let value = match text {
            _ if names.contains(&name.as_str()) => GivenValue::Late,
            Some(text) => GivenValue::Text(text),
            None => GivenValue::Elsewhere,
        };
        Given { name, value }
    });
    let given: Vec<Given<'_>> = late.chain(unknown).chain(own).collect();
    let command = container.command.clone().unwrap_or_default();
    let Outlook { variables, arguments, .. } = look(&given, &command, &container.args);
    let mut made: BTreeSet<&str> = names.iter().copied().collect();
    let mut dependents: Vec<Dependent> = Vec::new();
    for variable in variables.iter().filter(|variable| variable.role == Role::Dependent) {
        let uses = |piece: &Piece| match piece {
            Piece::Late(index) => given.get(*index).is_some_and(|given| made.contains(given.name)),
            _ => false,
        };
        if variable.pieces.iter().any(uses) {
            made.insert(&variable.name);
            dependents.retain(|known| known.name != variable.name);
            dependents.push(Dependent { name: variable.name.clone(), text: variable.text(&given) });
        }
    }
    for argument in &arguments {
        let shown: Vec<&str> = argument.late.iter().map(String::as_str).filter(|name| made.contains(name)).collect();
        if !shown.is_empty() {
            faults.push(Fault::new(
                None,
                format!("container {} {}", container.name, argument.place),
                format!(
                    "would show the value of {} to everybody who may list processes; let the app read the variable itself, or a file",
                    shown.join(", ")
                ),
            ));
        }
    }
    dependents
}

/// What a change means for a variable whose container is not started again.
pub(super) fn stale_words(variable: &Variable<'_>) -> String {
    if variable.container.kind == ContainerKind::Init {
        return "nothing: an init container has ended before anything changes".to_owned();
    }
    format!(
        "{} keeps its value until the container starts again; action: Restart does that",
        quoted(variable.entry.name.as_str()).trim_matches('"')
    )
}
