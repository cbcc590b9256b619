//! What a pod's containers hold of references, seen as the kubelet will leave them.

use std::collections::BTreeMap;

use serde_json::Value;
use vouchsafe_model::name::EnvName;
use vouchsafe_model::text::quoted;
use vouchsafe_template::reference::kubelet::{Given, GivenValue, Role, look};
use vouchsafe_template::reference::{Environment, Fetch, How, Suspicion};

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Its name.
    pub container: String,
    /// Whether any of its variables refers to something, so that it needs the wrapper.
    pub needs_wrapper: bool,
    /// Variables that are resolved in the container, in the order of the list.
    pub resolved: Vec<String>,
    /// Variables made of those, with the text that is put together in the container: `$(NAME)` for what is resolved there.
    pub dependent: Vec<(String, String)>,
    /// Variables that only the kubelet knows: they may hold references, which is seen in the container.
    pub unknown: Vec<String>,
    /// Reads and writes in words: `read secret/data/app`.
    pub requests: Vec<String>,
    /// Whether the pod says what the container runs.
    pub has_command: bool,
    /// Exec probes and hooks: those of [`Probe`] can be wrapped.
    pub probes: Vec<Probe>,
    /// What is wrong or odd.
    pub findings: Vec<Finding>,
}

/// Answers for ConfigMaps and Secrets by kind and name.
pub type Objects<'o> = dyn Fn(&str, &str) -> Option<BTreeMap<String, String>> + 'o;

/// An exec probe or lifecycle hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `livenessProbe`, `readinessProbe`, `startupProbe`, `lifecycle.postStart` or `lifecycle.preStop`.
    pub name: &'static str,
    /// What it runs.
    pub command: Vec<String>,
}

/// Something about one variable or argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The pod must be refused.
    Refused(String),
    /// An argument would show a value in /proc: refused unless that is allowed.
    Argv(String),
    /// Allowed, and probably not meant.
    Odd(String),
}

/// Looks at every container and init container. `object` answers for ConfigMaps and Secrets by kind and name; `None` where it
/// cannot be read, and then its values count as unknown.
pub fn survey(pod: &Value, object: &Objects<'_>) -> Vec<Survey> {
    ["initContainers", "containers"]
        .into_iter()
        .filter_map(|list| pod.pointer("/spec").and_then(|spec| spec.get(list)).and_then(Value::as_array))
        .flatten()
        .map(|container| one(container, object))
        .collect()
}

/// Whether another injector was here: its volume is the mark.
pub fn is_marked(pod: &Value) -> bool {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let mut names = volumes.into_iter().flatten().filter_map(|volume| volume.get("name").and_then(Value::as_str));
    names.any(|name| MARKS.contains(&name))
}

/// A variable before the kubelet, owned.
struct Variable {
    name: String,
    /// `None`: only the kubelet knows it.
    text: Option<String>,
    /// From an object: the kubelet does not expand it.
    is_raw: bool,
}

fn one(container: &Value, object: &Objects<'_>) -> Survey {
    let mut survey = Survey {
        container: text_at(container, "name"),
        has_command: !texts(container.get("command")).is_empty(),
        probes: probes(container),
        ..Survey::default()
    };
    let variables = variables(container, object, &mut survey);
    // A raw text is one that no `$` may be read in.
    let doubled: Vec<Option<String>> = variables
        .iter()
        .map(|variable| match (&variable.text, variable.is_raw) {
            (Some(text), true) => Some(text.replace('$', "$$")),
            (text, _) => text.clone(),
        })
        .collect();
    let given: Vec<Given<'_>> = variables
        .iter()
        .zip(&doubled)
        .map(|(variable, text)| Given {
            name: &variable.name,
            value: text.as_deref().map_or(GivenValue::Elsewhere, GivenValue::Text),
        })
        .collect();
    let outlook = look(&given, &texts(container.get("command")), &texts(container.get("args")));
    survey.findings.extend(outlook.faults.iter().map(|fault| Finding::Refused(fault.to_string())));
    for variable in &outlook.variables {
        match variable.role {
            Role::Reference => {
                let text = variable.text(&given).replace("$$", "$");
                survey.resolved.push(variable.name.clone());
                survey.requested(&variable.name, &text);
            }
            Role::Dependent => survey.dependent.push((variable.name.clone(), variable.text(&given))),
            Role::Elsewhere => survey.unknown.push(variable.name.clone()),
            Role::Plain | Role::Late => {
                let text = variable.text(&given).replace("$$", "$");
                survey.odd(&variable.name, &text);
            }
        }
    }
    for argument in outlook.arguments.iter().filter(|argument| argument.shows_values()) {
        let what = match (argument.literal, argument.late.as_slice()) {
            (true, _) => "a reference, which nothing resolves there".to_owned(),
            (false, names) => format!("the value of {}, which everybody may read in /proc", names.join(", ")),
        };
        survey.findings.push(Finding::Argv(format!(
            "{} holds {what}; use a variable or a file, or allow argv for container {}",
            argument.place, survey.container
        )));
    }
    survey.needs_wrapper = !survey.resolved.is_empty() || !survey.dependent.is_empty();
    survey
}

impl Survey {
    /// Notes what a reference asks for, or why it is none.
    fn requested(&mut self, name: &str, text: &str) {
        match Environment::plain(&[(name, text.as_bytes())]) {
            Ok(environment) => {
                let needs = environment.needs();
                for request in needs.fetches.iter().map(words) {
                    if !self.requests.contains(&request) {
                        self.requests.push(request);
                    }
                }
            }
            // What only the kubelet knows completes it: seen in the container.
            Err(_) if text.contains("$(") => {}
            Err(errors) => self.findings.extend(errors.iter().map(|error| Finding::Refused(error.to_string()))),
        }
    }

    /// Notes text that looks like a reference, and references with faults, which are no references to the kubelet's eye.
    fn odd(&mut self, name: &str, text: &str) {
        match Environment::plain(&[(name, text.as_bytes())]) {
            Err(errors) => self.findings.extend(errors.iter().map(|error| Finding::Refused(error.to_string()))),
            Ok(environment) => {
                let suspicion = environment.variables().find_map(|(_, value)| value.suspicion());
                let problem = match suspicion {
                    Some(Suspicion::Unclosed) => "holds ${vault: that is not closed on its line, so it stays as it is",
                    Some(Suspicion::NotAtStart) => {
                        "holds vault: behind other text, so it stays as it is; write ${vault:…}"
                    }
                    None => return,
                };
                self.findings.push(Finding::Odd(format!("variable {} {problem}", quoted(name))));
            }
        }
    }
}

fn words(fetch: &Fetch<'_>) -> String {
    match fetch.how {
        How::Read { version: None } => format!("read {}", fetch.path),
        How::Read { version: Some(version) } => format!("read {} version {version}", fetch.path),
        How::Write { .. } => format!("write {}", fetch.path),
    }
}

/// `envFrom` first, then `env`, as the kubelet takes them.
fn variables(container: &Value, object: &Objects<'_>, survey: &mut Survey) -> Vec<Variable> {
    let mut variables = Vec::new();
    for source in list(container.get("envFrom")) {
        let prefix = text_at(source, "prefix");
        for (field, kind) in [("configMapRef", "ConfigMap"), ("secretRef", "Secret")] {
            let Some(name) = source.pointer(&format!("/{field}/name")).and_then(Value::as_str) else { continue };
            match object(kind, name) {
                Some(entries) => variables.extend(entries.into_iter().map(|(key, value)| Variable {
                    name: format!("{prefix}{key}"),
                    text: Some(value),
                    is_raw: true,
                })),
                None => survey.unknown.push(format!("{prefix}* of {kind} {name}")),
            }
        }
    }
    for entry in list(container.get("env")) {
        let name = text_at(entry, "name");
        let from = |field: &str, kind: &str| {
            let reference = entry.pointer(&format!("/valueFrom/{field}"))?;
            let object = object(kind, reference.get("name")?.as_str()?)?;
            object.get(reference.get("key")?.as_str()?).cloned()
        };
        let plain = entry.get("value").and_then(Value::as_str).filter(|value| !value.is_empty());
        let is_from = entry.get("valueFrom").is_some_and(|from| !from.is_null());
        let (text, is_raw) = match (plain, is_from) {
            (Some(value), _) => (Some(value.to_owned()), false),
            (None, true) => (from("configMapKeyRef", "ConfigMap").or_else(|| from("secretKeyRef", "Secret")), true),
            (None, false) => (Some(String::new()), false),
        };
        if text.as_deref().is_some_and(|text| text.contains("vault:")) && name.parse::<EnvName>().is_err() {
            survey
                .findings
                .push(Finding::Odd(format!("variable {} has a name that shells do not take", quoted(&name))));
        }
        variables.push(Variable { name, text, is_raw });
    }
    variables
}

fn probes(container: &Value) -> Vec<Probe> {
    [
        ("livenessProbe", "/livenessProbe/exec/command"),
        ("readinessProbe", "/readinessProbe/exec/command"),
        ("startupProbe", "/startupProbe/exec/command"),
        ("lifecycle.postStart", "/lifecycle/postStart/exec/command"),
        ("lifecycle.preStop", "/lifecycle/preStop/exec/command"),
    ]
    .into_iter()
    .map(|(name, pointer)| Probe { name, command: texts(container.pointer(pointer)) })
    .filter(|probe| !probe.command.is_empty())
    .collect()
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    list(value).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text_at(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Volumes that Bank-Vaults' webhooks add.
const MARKS: [&str; 2] = ["vault-env", "secret-init"];
