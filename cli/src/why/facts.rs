//! What is known about a pod that does not get its secrets: objects as the API server shows them, and what could not be
//! asked. Pure; gathered in [`super::gather`].

use serde_json::{Map, Value};

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) namespace: String,
    /// As the user typed it.
    pub(crate) name: String,
    pub(crate) pod: Option<Value>,
    /// What should have made the pod, from the nearest to the farthest: ReplicaSet, Deployment.
    pub(crate) owners: Vec<Value>,
    /// Events of the pod and its owners, newest first.
    pub(crate) events: Vec<Event>,
    /// Grants of the namespace; or why they could not be read.
    pub(crate) grants: Option<Vec<Value>>,
    /// Whether a NetworkPolicy of the namespace selects egress; `None` where that could not be read.
    pub(crate) egress_is_limited: Option<bool>,
    /// What Vault says, if it was asked.
    pub(crate) vault: Option<VaultFacts>,
    /// Audience of the installation.
    pub(crate) audience: String,
    /// What could not be asked, and why; shown to the user.
    pub(crate) unknown: Vec<String>,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Kind of the object that it is about.
    pub(crate) kind: String,
    /// RFC 3339.
    pub(crate) last: String,
}

/// What Vault or OpenBao says.
#[derive(Clone, Debug, Default)]
pub(crate) struct VaultFacts {
    pub(crate) address: String,
    /// Whether it is sealed; or why it did not answer.
    pub(crate) sealed: Option<bool>,
    /// The role of the pod, read with the caller's token.
    pub(crate) role: Look,
    /// Its policy.
    pub(crate) policy: Look,
}

/// The result of looking at one thing.
#[derive(Clone, Debug, Default)]
pub(crate) enum Look {
    /// It was not looked at, or the caller may not.
    #[default]
    Unknown,
    Absent,
    Found(Map<String, Value>),
}

/// One cause and one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the pod has its secrets.
    pub(crate) is_fine: bool,
    /// Heading in docs/errors.md, where there is one.
    pub(crate) code: Option<String>,
    pub(crate) cause: String,
    pub(crate) command: String,
    /// Where this was seen: `pod status`, `events of the ReplicaSet`.
    pub(crate) seen: String,
}

impl Facts {
    /// The Grants that the pod, or the template that should make it, asks for.
    pub(crate) fn wanted(&self) -> Vec<String> {
        let template = self.owners.first().and_then(|owner| template(owner));
        let text = self.pod.as_ref().or(template).and_then(|object| annotation(object, INJECT)).unwrap_or_default();
        text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    }

    /// The service account of the pod, or of the template that should make it.
    pub(crate) fn service_account(&self) -> String {
        let template = self.owners.first().and_then(|owner| template(owner));
        let object = self.pod.as_ref().or(template);
        object.map_or_else(
            || DEFAULT.to_owned(),
            |object| {
                let name = text(object, "/spec/serviceAccountName");
                if name.is_empty() { DEFAULT.to_owned() } else { name.to_owned() }
            },
        )
    }

    /// The Grant of that name; `None` if there is none or Grants could not be read.
    pub(crate) fn grant(&self, name: &str) -> Option<&Value> {
        self.grants.as_ref()?.iter().find(|grant| text(grant, "/metadata/name") == name)
    }
}

/// The pod template of a workload; a CronJob's lies deeper.
pub(crate) fn template(owner: &Value) -> Option<&Value> {
    owner.pointer("/spec/template").or_else(|| owner.pointer("/spec/jobTemplate/spec/template"))
}

/// A text of an object; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// An annotation of an object or template.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// Whether an object's annotations ask for secrets, in our dialect or one that we take over.
pub(crate) fn asks(object: &Value) -> bool {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations
        .into_iter()
        .flatten()
        .any(|(name, value)| name == INJECT || DROP_IN.contains(&name.as_str()) && value.as_str() == Some("true"))
}

/// Names the Grants.
pub(crate) const INJECT: &str = "vouchsafe.dev/inject";
/// The same question in other dialects.
const DROP_IN: [&str; 2] = ["vault.hashicorp.com/agent-inject", "openbao.org/agent-inject"];
/// Service account of a pod that names none.
const DEFAULT: &str = "default";
