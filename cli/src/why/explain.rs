//! From the code that our container ended with to the cause behind it: what git and Vault say decides between several.
//! Pure.

use serde_json::{Map, Value};
use vouchsafe_model::text::quoted;

use super::facts::{Facts, Look, VaultFacts, Verdict, text};
use super::judge::shown;

/// Explains one code; `message` is what the container said.
pub(super) fn explain(facts: &Facts, code: &str, message: &str, seen: String) -> Verdict {
    let message = &bare(facts, code, message);
    let (cause, command) = match code {
        "E-NET-001" | "E-NET-002" | "E-NET-003" => unreachable(facts, code, message),
        "E-VLT-001" => (
            format!("the server is sealed: {}", shown(message)),
            "bao operator unseal   # or vault operator unseal".to_owned(),
        ),
        "E-VLT-010" => no_role(facts, message),
        "E-VLT-011" => login_denied(facts, message),
        "E-VLT-012" => (
            format!("nothing is mounted where the pod logs in: {}", shown(message)),
            format!("bao auth enable -path={} kubernetes", auth_path(facts).trim_start_matches("auth/")),
        ),
        "E-VLT-020" => read_denied(facts, message),
        "E-SEC-001" | "E-SEC-002" => {
            (shown(message), typed_command(message).unwrap_or_else(|| "vouchsafe put PATH KEY".to_owned()))
        }
        _ => (shown(message), typed_command(message).unwrap_or_else(|| logs(facts))),
    };
    Verdict { is_fine: false, code: Some(code.to_owned()), cause, command, seen }
}

/// The message without what the verdict says anyway: our container's name, the pod's, and the code.
fn bare(facts: &Facts, code: &str, message: &str) -> String {
    let text = message.replace(&format!("({code})"), "").replace(code, "");
    let text = text.trim().trim_start_matches("vouchsafe-sidecar:").trim_start();
    let text = text.trim_start_matches(&format!("{}/{}:", facts.namespace, facts.name));
    text.trim_start_matches([':', ' ']).trim_end().to_owned()
}

fn unreachable(facts: &Facts, code: &str, message: &str) -> (String, String) {
    if facts.vault.as_ref().is_some_and(|vault| vault.sealed == Some(true)) {
        return (
            format!("the server is sealed, and the pod cannot reach it: {}", shown(message)),
            "bao operator unseal   # or vault operator unseal".to_owned(),
        );
    }
    let namespace = &facts.namespace;
    let port = if code == "E-NET-001" { "DNS (port 53)" } else { "the server's port (8200)" };
    match facts.egress_is_limited {
        Some(true) => (
            format!(
                "the pod cannot reach the server, and a NetworkPolicy of namespace {namespace} limits egress: allow egress to {port}: \
                 {}",
                shown(message)
            ),
            format!("kubectl -n {namespace} get networkpolicy -o yaml   # add the egress rule of docs/install.md"),
        ),
        Some(false) => (
            format!(
                "the pod cannot reach the server, and no NetworkPolicy of its namespace limits egress: {}",
                shown(message)
            ),
            "vouchsafe doctor".to_owned(),
        ),
        None => (
            format!(
                "the pod cannot reach the server: it is away, or a NetworkPolicy lacks egress to {port}: {}",
                shown(message)
            ),
            format!("kubectl -n {namespace} get networkpolicy   # then 'vouchsafe doctor'"),
        ),
    }
}

/// No role: git does not have the Grant, refuses it, or nobody applied it.
fn no_role(facts: &Facts, message: &str) -> (String, String) {
    if let Some(found) = grant_problem(facts) {
        return found;
    }
    let role = role_name(facts);
    let problem = match facts.vault.as_ref().map(|vault| &vault.role) {
        Some(Look::Found(_)) => {
            return (
                format!("role {role} exists by now at the server that was asked; the pod tries again by itself"),
                format!("kubectl -n {} delete pod {}   # or wait", facts.namespace, facts.name),
            );
        }
        Some(Look::Absent) => format!("the Grant is there, but role {role} is not: it was never applied"),
        _ => format!("the Grant was never applied: {}", shown(message)),
    };
    (problem, "vouchsafe apply --policies GRANTS".to_owned())
}

/// A role that does not fit the pod: told by field where Vault was asked.
fn login_denied(facts: &Facts, message: &str) -> (String, String) {
    if let Some(found) = grant_problem(facts) {
        return found;
    }
    if let Some(VaultFacts { role: Look::Found(role), .. }) = &facts.vault {
        if let Some(problem) = misfit(facts, role) {
            return (problem, "vouchsafe apply --policies GRANTS --dry-run".to_owned());
        }
        return (
            format!(
                "role {} fits the pod, so the server itself could not check the token: its reviewer may not, or it cannot reach the API \
                 server ({})",
                role_name(facts),
                shown(message)
            ),
            "vouchsafe doctor --reviewer NAMESPACE/SERVICEACCOUNT".to_owned(),
        );
    }
    (shown(message), "vouchsafe apply --policies GRANTS --dry-run".to_owned())
}

fn misfit(facts: &Facts, role: &Map<String, Value>) -> Option<String> {
    let has = |field: &str, wanted: &str| {
        let list = role.get(field).and_then(Value::as_array);
        list.is_none_or(|list| list.iter().any(|one| one.as_str().is_some_and(|one| one == wanted || one == "*")))
    };
    let account = facts.service_account();
    let name = role_name(facts);
    if !has("bound_service_account_names", &account) {
        return Some(format!("role {name} is not for service account {account}"));
    }
    if !has("bound_service_account_namespaces", &facts.namespace) {
        return Some(format!("role {name} is not for namespace {}", facts.namespace));
    }
    let audience = role.get("audience").and_then(Value::as_str).unwrap_or_default();
    let wanted = audience_of(facts);
    (!audience.is_empty() && audience != wanted)
        .then(|| format!("role {name} wants audience {}, the pod's token has {}", quoted(audience), quoted(&wanted)))
}

/// A denied read: the policy is older than the Grant, or the Grant names another path.
fn read_denied(facts: &Facts, message: &str) -> (String, String) {
    if let Some(found) = grant_problem(facts) {
        return found;
    }
    let name = role_name(facts);
    let cause = match facts.vault.as_ref().map(|vault| &vault.policy) {
        Some(Look::Absent) => format!("policy {name} does not exist on the server, so every read is denied"),
        Some(Look::Found(_)) => format!("policy {name} on the server is older than the Grant: {}", shown(message)),
        _ => shown(message),
    };
    (cause, "vouchsafe apply --policies GRANTS".to_owned())
}

/// What is wrong with the Grants that the pod names.
fn grant_problem(facts: &Facts) -> Option<(String, String)> {
    facts.grants.as_ref()?;
    let namespace = &facts.namespace;
    for name in facts.wanted() {
        let Some(grant) = facts.grant(&name) else {
            return Some((
                format!("Grant {namespace}/{name}, which the pod names, does not exist (any more)"),
                format!("kubectl -n {namespace} get grants"),
            ));
        };
        let refused = grant
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|condition| text(condition, "/type") == "Compiled" && text(condition, "/status") == "False");
        if let Some(condition) = refused {
            return Some((
                format!("Grant {namespace}/{name} is refused: {}", shown(text(condition, "/message"))),
                format!("kubectl -n {namespace} edit grant {name}   # better: in git"),
            ));
        }
        let account = facts.service_account();
        let accounts = grant.pointer("/spec/serviceAccounts").and_then(Value::as_array);
        if accounts.is_some_and(|accounts| !accounts.iter().any(|one| one.as_str() == Some(&account))) {
            return Some((
                format!("Grant {namespace}/{name} does not name service account {account}, which the pod runs as"),
                format!("kubectl -n {namespace} edit grant {name}   # better: in git"),
            ));
        }
    }
    None
}

/// The role that the pod logs in with.
pub(super) fn role_name(facts: &Facts) -> String {
    let named = facts.wanted().iter().filter_map(|name| facts.grant(name)).find_map(|grant| {
        let role = text(grant, "/spec/vault/role");
        (!role.is_empty()).then(|| role.to_owned())
    });
    named.unwrap_or_else(|| format!("vouchsafe.{}.{}", facts.namespace, facts.service_account()))
}

/// Where the pod logs in.
pub(super) fn auth_path(facts: &Facts) -> String {
    setting(facts, "authPath").unwrap_or_else(|| "auth/kubernetes".to_owned())
}

fn audience_of(facts: &Facts) -> String {
    setting(facts, "audience").unwrap_or_else(|| facts.audience.clone())
}

fn setting(facts: &Facts, field: &str) -> Option<String> {
    facts.wanted().iter().filter_map(|name| facts.grant(name)).find_map(|grant| {
        let value = text(grant, &format!("/spec/vault/{field}"));
        (!value.is_empty()).then(|| value.to_owned())
    })
}

/// The command that the message itself names: `run 'vouchsafe put secret/x key'`.
fn typed_command(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("run '")?;
    let (command, _) = rest.split_once('\'')?;
    command.starts_with("vouchsafe ").then(|| shown(command))
}

fn logs(facts: &Facts) -> String {
    format!("kubectl -n {} logs {} -c vouchsafe-sidecar", facts.namespace, facts.name)
}
