//! `explain`: what would be injected into a manifest's pods, in words for people, or why not and what to add.
//!
//! The text is made from the same [`inject`] that the webhook answers with. Out of scope: live pods (`vouchsafe why`).

use std::fmt;

use serde_json::Value;

use vouchsafe_model::name::Namespace;
use vouchsafe_model::plan::{Action, Content, Engine, Gate, Injection as Form, PlanSecret, ServerKind};
use vouchsafe_model::text::quoted;
use vouchsafe_policies::dropin::table;
use vouchsafe_policies::manifest::{self, Manifest};
use vouchsafe_policies::{Fault, Grant, GrantSet, PodFacts};

use crate::bare::{Bare, entries};
use crate::config::Config;
use crate::inject::{Injection, inject};
use crate::judge;

/// What injection makes of one manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The short answer.
    pub verdict: Verdict,
    /// The long one: lines of text, the first names the object.
    pub lines: Vec<String>,
}

/// The short answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pods are injected.
    Injected,
    /// Pods do not ask.
    NotAsked,
    /// Pods are refused.
    Refused,
    /// The object makes no pods.
    NoPods,
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(formatter, "{line}"))
    }
}

/// Explains one object of a manifest.
pub fn explain(manifest: &Manifest, grants: &GrantSet, config: &Config) -> Explanation {
    let mut text = Text::default();
    let name = manifest.namespace.as_ref().map_or(DEFAULT_NAMESPACE, Namespace::as_str);
    text.line(0, format!("{} {name}/{} ({})", manifest.kind, manifest.name, manifest.at));
    let Some(template) = &manifest.pod_template else {
        text.line(1, "makes no pods; nothing to inject");
        return text.finish(Verdict::NoPods);
    };
    if manifest.namespace.is_none() {
        text.line(1, "the manifest names no namespace; explained as if it were 'default'");
    }
    let mut faults = manifest::check_workload(manifest);
    let namespace: Namespace = match name.parse() {
        Ok(namespace) => namespace,
        Err(error) => {
            faults.push(Fault::new(Some(manifest.at.clone()), "metadata.namespace", error.to_string()));
            return refused(text, &faults);
        }
    };
    let verdict = match inject(template, &namespace, grants, config) {
        Ok(Some(injection)) if faults.is_empty() => {
            injected(&mut text, template, &namespace, &injection, grants);
            if injection.derivation.drop_in.is_some() {
                annotations(&mut text, template);
            }
            Verdict::Injected
        }
        Ok(None) if faults.is_empty() => {
            not_asked(&mut text, template, &namespace, grants);
            Verdict::NotAsked
        }
        Ok(_) => return refused(text, &faults),
        Err(more) => {
            faults.extend(more);
            return refused(text, &faults);
        }
    };
    text.finish(verdict)
}

/// What each annotation of vault-k8s means here, by the table that its parser is made of.
fn annotations(text: &mut Text, pod: &Value) {
    text.line(1, "annotations of vault-k8s");
    let all = pod.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
    for (full, _) in all {
        let short = table::PREFIXES.iter().find_map(|prefix| full.strip_prefix(prefix));
        let Some((entry, _)) = short.and_then(table::find) else { continue };
        let difference =
            if entry.difference.is_empty() { String::new() } else { format!(". Here: {}", entry.difference) };
        text.line(2, format!("{full} ({}): {}{difference}", entry.verdict.words(), entry.meaning));
    }
}

fn refused(mut text: Text, faults: &[Fault]) -> Explanation {
    text.line(1, "its pods are refused, because:");
    for fault in faults {
        text.line(2, format!("- {fault}"));
    }
    text.finish(Verdict::Refused)
}

fn injected(text: &mut Text, pod: &Value, namespace: &Namespace, injection: &Injection, grants: &GrantSet) {
    let plan = &injection.derivation.plan;
    text.line(
        1,
        format!("its pods get {} from {}", plural(plan.files.len(), "file"), plural(plan.secrets.len(), "secret")),
    );
    text.line(1, "from where");
    let server = match plan.server.kind {
        ServerKind::Broker => "the broker",
        ServerKind::Direct => "Vault or OpenBao directly (no push of changes, no audit of ours)",
    };
    text.line(2, format!("{} ({server})", plan.server.address));
    text.line(
        2,
        format!(
            "login: {} as role {}, with an own token of service account {} for {}",
            plan.login.auth_path,
            plan.login.role,
            plan.workload.service_account,
            match &injection.derivation.audience {
                Some(audience) => format!("audience {audience}"),
                None => "the API server's own audience".to_owned(),
            }
        ),
    );
    text.line(1, "secrets");
    for secret in &plan.secrets {
        text.line(2, secret_line(secret, namespace, grants));
    }
    files(text, injection);
    start(text, pod, injection);
    changes(text, injection);
    cost(text, injection);
    if !injection.warnings.is_empty() {
        text.line(1, "worth a look");
        for warning in &injection.warnings {
            text.line(2, format!("- {warning}"));
        }
    }
}

fn secret_line(secret: &PlanSecret, namespace: &Namespace, grants: &GrantSet) -> String {
    let what = match (secret.engine, secret.version, &secret.parameters) {
        (_, _, Some(_)) => "written with parameters, anew before what it gives ends".to_owned(),
        (_, Some(version), None) => format!("version {version} only, never a newer one"),
        (Engine::KvV2 | Engine::KvV1, None, None) => "newest version".to_owned(),
        (Engine::Agent, None, None) => "as an agent reads it".to_owned(),
        (Engine::Generic, None, None) => {
            "as the engine answers; leases are renewed, or replaced before they end".to_owned()
        }
    };
    let grant = grants.get(namespace, &secret.grant);
    let place = grant.and_then(|grant| grant.secret(secret.name.as_str())?.at.clone().or_else(|| grant.at.clone()));
    let place = place.map(|at| format!(" ({at})")).unwrap_or_default();
    if secret.agent.is_some() {
        return format!("{}, as an agent's template reads it", secret.label());
    }
    format!("{}: {}, {what}; allowed by Grant {namespace}/{}{place}", secret.label(), secret.api_path(), secret.grant)
}

fn files(text: &mut Text, injection: &Injection) {
    text.line(1, "files");
    let plan = &injection.derivation.plan;
    for (file, delivered) in plan.files.iter().zip(&injection.derivation.delivered) {
        let content = match &file.content {
            Content::Key { key, .. } => format!("key {} of {}", quoted(key.as_str()), delivered.secrets.join(", ")),
            Content::Template(_) | Content::Agent(_) => format!("a template over {}", delivered.secrets.join(", ")),
            Content::Token => "the token of the login itself".to_owned(),
        };
        let optional = if file.optional { ", left out while the secret or key is missing" } else { "" };
        let mode = if plan.environment_of(file).is_some() { String::new() } else { format!(" (mode {})", file.mode) };
        text.line(
            2,
            format!(
                "container {}: {}{mode}: {content}{optional}; asked for by {}",
                delivered.container, delivered.path, delivered.origin
            ),
        );
    }
    for (container, name, path) in &injection.derivation.path_env {
        text.line(2, format!("container {container}: variable {name} is set to {path}"));
    }
}

/// Who is held back, until when, and who is not.
fn start(text: &mut Text, pod: &Value, injection: &Injection) {
    let plan = &injection.derivation.plan;
    text.line(1, "start");
    let how = match (plan.injection, plan.gate) {
        (Form::Native, Gate::Hook) => format!(
            "by the sidecar's start hook (gate: hook); each try lasts at most {} s, then the kubelet tries again",
            plan.wait_seconds
        ),
        (Form::Native, Gate::Init) => "by an init container that waits as long as it takes (gate: init)".to_owned(),
        (Form::Classic | Form::Once, Gate::Hook) => format!(
            "by an init container that makes them (injection: classic); each try lasts at most {} s, then the kubelet tries again",
            plan.wait_seconds
        ),
        (_, Gate::Open) => "not at all: it starts at once and its files follow".to_owned(),
        (Form::Classic | Form::Once, Gate::Init) => {
            "by an init container that makes them, however long it takes (injection: classic)".to_owned()
        }
    };
    let bare = Bare::of(pod);
    let inits = entries(&bare.pod, "initContainers");
    let name = |init: &Value| init.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let held: Vec<String> =
        inits.iter().skip(injection.before).chain(entries(&bare.pod, "containers")).map(name).collect();
    let free: Vec<String> = inits.iter().take(injection.before).map(name).collect();
    text.line(2, format!("held back until every file is there: {}, {how}", held.join(", ")));
    if !free.is_empty() {
        text.line(2, format!("not held back, they start earlier: {}", free.join(", ")));
    }
    for supervised in &injection.derivation.supervised {
        let stays = plan
            .reactions
            .iter()
            .any(|reaction| reaction.container == supervised.container && !matches!(reaction.action, Action::Http(_)));
        let how = if stays {
            "runs under the wrapper, which passes signals on"
        } else {
            "is started by the wrapper, which becomes it"
        };
        text.line(2, format!("container {} {how}: {}", supervised.container, quoted(&supervised.command.join(" "))));
    }
}

fn changes(text: &mut Text, injection: &Injection) {
    text.line(1, "when a secret changes");
    let plan = &injection.derivation.plan;
    if plan.injection == Form::Once {
        return text.line(2, "nothing: the files are made once, and no sidecar runs beside a pod that is to end");
    }
    let delay = match plan.server.kind {
        ServerKind::Broker => "the broker pushes the change",
        ServerKind::Direct => "the sidecar sees the change at its next poll",
    };
    text.line(2, format!("the files are replaced as one set; {delay}"));
    for delivered in &injection.derivation.delivered {
        let reaction = match delivered.reaction.as_str() {
            "" => "the app is not told: what it has read stays stale until it reads the file again",
            reaction => reaction,
        };
        text.line(2, format!("{}: {reaction}", delivered.path));
    }
    if !injection.derivation.path_env.is_empty() {
        text.line(2, "variables hold paths, not values, so they never become stale");
    }
}

fn cost(text: &mut Text, injection: &Injection) {
    let sizes = &injection.sizes;
    text.line(1, "cost for each pod");
    text.line(
        2,
        format!(
            "{} with a memory limit of {} MiB: what process ({} MiB with its values), state ({} MiB), files ({} MiB) \
             and wrappers ({} MiB) may take at most; about 4 MiB are usual",
            match injection.derivation.plan.injection {
                Form::Native => "a sidecar",
                Form::Classic => "an init container and a sidecar, each",
                Form::Once => "an init container",
            },
            sizes.limit,
            sizes.process,
            sizes.state,
            sizes.files,
            sizes.run * sizes.runs,
        ),
    );
}

fn not_asked(text: &mut Text, pod: &Value, namespace: &Namespace, grants: &GrantSet) {
    if judge::is_mirror(pod) {
        return text.line(1, "is the mirror of a static pod, which its kubelet runs without asking; never injected");
    }
    text.line(1, "its pods do not ask for secrets; nothing is injected");
    let Ok(facts) = PodFacts::read(pod, namespace) else { return };
    let account = &facts.service_account;
    let allowed: Vec<&Grant> = grants.allowing(namespace, account).collect();
    if !allowed.is_empty() {
        let names: Vec<&str> = allowed.iter().map(|grant| grant.name.as_str()).collect();
        text.line(1, "to change that, add to the pod template's metadata.annotations:");
        text.line(2, format!("vouchsafe.dev/inject: {}", quoted(&names.join(", "))));
        text.line(1, format!("Grants that name its service account {account}:"));
        for grant in allowed {
            text.line(2, grant_line(grant));
        }
        return;
    }
    text.line(1, format!("to change that, two things are needed, because no Grant in namespace {namespace} names its service account {account}:"));
    text.line(2, format!("1. a Grant in namespace {namespace} with spec.serviceAccounts: [{account}]"));
    text.line(2, "2. in the pod template's metadata.annotations: vouchsafe.dev/inject: NAME-OF-THE-GRANT");
    let others: Vec<&Grant> = grants.iter().filter(|grant| grant.namespace == *namespace).collect();
    if !others.is_empty() {
        text.line(1, format!("Grants in namespace {namespace}:"));
        for grant in others {
            let accounts: Vec<&str> =
                grant.service_accounts.iter().map(vouchsafe_model::name::ServiceAccount::as_str).collect();
            text.line(2, format!("{}, for service accounts {}", grant_line(grant), accounts.join(", ")));
        }
    }
}

fn grant_line(grant: &Grant) -> String {
    let place = grant.at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
    let secrets: Vec<&str> = grant.secrets.iter().map(|secret| secret.name.as_str()).collect();
    format!("{}{place}: secrets {}", grant.label(), secrets.join(", "))
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Lines with their indentation.
#[derive(Default)]
struct Text {
    lines: Vec<String>,
}

impl Text {
    fn line(&mut self, level: usize, line: impl AsRef<str>) {
        self.lines.push(format!("{}{}", "  ".repeat(level), line.as_ref()));
    }

    fn finish(self, verdict: Verdict) -> Explanation {
        Explanation { verdict, lines: self.lines }
    }
}

/// Namespace of a manifest that names none, as kubectl has it.
const DEFAULT_NAMESPACE: &str = "default";
