//! The checks of Vault or OpenBao: health, clock, roles, the reviewer. Pure.

use serde_json::Value;
use vouchsafe_model::text::quoted;

use super::checks::{check, clock, skipped, text};
use super::facts::{Check, Facts, Probe, Seen, Status, VaultSeen};
use crate::why::shown;

/// All of them.
pub(super) fn all(facts: &Facts) -> Vec<Check> {
    let mut checks = match &facts.vault {
        Some(vault) => vec![health(vault), clock("clock of Vault", &vault.clock), audience(facts, vault)],
        None => {
            vec![skipped("Vault", "it was not asked: set VAULT_ADDR (VAULT_CACERT, VAULT_TOKEN) as reached from here")]
        }
    };
    checks.push(reviewer(facts));
    checks
}

fn health(vault: &VaultSeen) -> Check {
    let name = "Vault";
    let (status, body) = match &vault.health {
        Ok(found) => found,
        Err(problem) => {
            let said = format!("does not answer: {}", shown(problem));
            return check(name, Status::Fail, said, format!("curl -sv {}/v1/sys/health", vault.address));
        }
    };
    let is = |field: &str| body.get(field).and_then(Value::as_bool);
    let version = text(body, "/version");
    match (is("initialized"), is("sealed"), is("standby")) {
        (Some(false), _, _) => {
            check(name, Status::Fail, "is not initialised", "bao operator init   # or vault operator init")
        }
        (_, Some(true), _) => check(
            name,
            Status::Fail,
            "is sealed: running pods keep their files, new ones wait",
            "bao operator unseal   # or vault operator unseal",
        ),
        (_, Some(false), Some(true)) => check(
            name,
            Status::Warn,
            format!(
                "this address is a standby ({version}); sidecars and broker want one that leads to the active node"
            ),
            "bao operator raft list-peers   # or vault operator raft list-peers",
        ),
        (_, Some(false), _) => check(name, Status::Ok, format!("answers, unsealed and active ({version})"), ""),
        _ => check(
            name,
            Status::Fail,
            format!("what answers (status {status}) is no Vault or OpenBao"),
            format!("curl -sv {}/v1/sys/health", vault.address),
        ),
    }
}

/// Roles accept what sidecars carry.
fn audience(facts: &Facts, vault: &VaultSeen) -> Check {
    let name = "roles and their audience";
    let (audience, seen) = match injected_audience(facts) {
        Some(audience) => (audience, "the injected pod's token"),
        None => (facts.audience.clone(), "--audience"),
    };
    let mut checked = 0;
    let mut unknown = None;
    for (path, role) in &vault.roles {
        match role {
            Seen::Found(role) => {
                let found = role.get("audience").and_then(Value::as_str).unwrap_or_default();
                let wanted = wanted_audience(facts, path).unwrap_or_else(|| audience.clone());
                if found != wanted {
                    let said = format!("{path} has audience {}, {seen} has {}", quoted(found), quoted(&wanted));
                    return check(
                        name,
                        Status::Fail,
                        said,
                        format!("vouchsafe apply --policies GRANTS --audience {audience}"),
                    );
                }
                checked += 1;
            }
            Seen::Absent => {
                let said = format!("{path} does not exist: its Grant was never applied");
                return check(name, Status::Fail, said, "vouchsafe apply --policies GRANTS");
            }
            Seen::Unknown(why) => unknown = Some(why.clone()),
        }
    }
    match unknown {
        Some(why) => skipped(name, why),
        None if checked == 0 => skipped(name, "there are no Grants whose roles could be looked at"),
        None => check(name, Status::Ok, format!("{checked} roles, audience {audience}"), ""),
    }
}

/// Audience of a Grant that sets its own, by the role that it makes.
fn wanted_audience(facts: &Facts, path: &str) -> Option<String> {
    let Seen::Found(grants) = &facts.grants else { return None };
    let role = path.rsplit('/').next()?;
    grants.iter().find_map(|grant| {
        let audience = text(grant, "/spec/vault/audience");
        let namespace = text(grant, "/metadata/namespace");
        let accounts = grant.pointer("/spec/serviceAccounts").and_then(Value::as_array)?;
        let is_its =
            accounts.iter().filter_map(Value::as_str).any(|account| role == format!("vouchsafe.{namespace}.{account}"));
        (is_its && !audience.is_empty()).then(|| audience.to_owned())
    })
}

/// Audience of the token that injection mounts.
fn injected_audience(facts: &Facts) -> Option<String> {
    let Probe::Admitted(pod) = &facts.probe else { return None };
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array)?;
    let sources = volumes
        .iter()
        .filter(|volume| text(volume, "/name") == "vouchsafe-token")
        .filter_map(|volume| volume.pointer("/projected/sources").and_then(Value::as_array))
        .flatten();
    sources
        .map(|source| text(source, "/serviceAccountToken/audience"))
        .find(|audience| !audience.is_empty())
        .map(str::to_owned)
}

fn reviewer(facts: &Facts) -> Check {
    let name = "reviewer of tokens";
    match &facts.reviewer {
        None => skipped(name, "name the service account by which Vault asks the API server: --reviewer NAMESPACE/NAME"),
        Some((account, Seen::Found(true))) => check(name, Status::Ok, format!("{account} may create tokenreviews"), ""),
        Some((account, Seen::Found(false) | Seen::Absent)) => check(
            name,
            Status::Fail,
            format!("{account} may not create tokenreviews, so Vault refuses every login"),
            format!(
                "kubectl create clusterrolebinding vault-reviewer --clusterrole system:auth-delegator --serviceaccount {}",
                account.replace('/', ":")
            ),
        ),
        Some((_, Seen::Unknown(why))) => skipped(name, why),
    }
}
