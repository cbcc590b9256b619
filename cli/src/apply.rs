//! `vouchsafe apply`: Grants to policies and roles on a live Vault or OpenBao.
//!
//! Touches only what carries our name prefix, writes only what differs, deletes nothing. Whoever may run it decides who
//! reads what: give its token to the GitOps pipeline alone.
//! Out of scope so far: removing what no Grant names any more, enabling auth methods and mounts.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::vault::Vault;
use vouchsafe_policies::Compiled;

use crate::arguments::{Apply, Format};
use crate::grants;
use crate::offline::count;
use crate::output::{Style, line};
use crate::server::Connection;

/// What was done, or would be done, about one policy or role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// API path: `sys/policies/acl/vouchsafe.argocd.argocd-dex-server`.
    pub(crate) path: String,
    /// What happens to it.
    pub(crate) change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Create,
    Update,
    Keep,
}

/// Runs the verb.
pub(crate) async fn run(arguments: Apply, style: Style) -> Result<ExitCode> {
    let set = grants::read(&arguments.policies)?;
    let connection = Connection::open(&arguments.server)?;
    let compiled = vouchsafe_policies::compile_for(&set, &arguments.audience.parse()?);
    let steps = apply(&connection.vault, &connection.token, &compiled, arguments.dry_run).await?;
    let number = |wanted: Change| steps.iter().filter(|step| step.change == wanted).count();
    if arguments.output == Format::Json {
        let shown: Vec<Value> =
            steps.iter().map(|step| json!({"path": step.path, "change": step.change.word()})).collect();
        line(json!({"dryRun": arguments.dry_run, "steps": shown}).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    for step in &steps {
        line(match step.change {
            Change::Create => style.good(&format!("+ {}", step.path)),
            Change::Update => style.warn(&format!("~ {}", step.path)),
            Change::Keep => style.dim(&format!("= {}", step.path)),
        });
    }
    let told = if arguments.dry_run { "would be" } else { "were" };
    line(format!(
        "{} to {}: {} {told} created, {} updated, {} are as they should be",
        count(set.len(), "Grant"),
        connection.address,
        number(Change::Create),
        number(Change::Update),
        number(Change::Keep)
    ));
    Ok(ExitCode::SUCCESS)
}

/// Makes the server's policies and roles those of `compiled`; a policy before the role that names it.
pub(crate) async fn apply(vault: &Vault, token: &Secret, compiled: &[Compiled], dry_run: bool) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for one in compiled {
        let path = format!("sys/policies/acl/{}", one.name);
        let present = present(vault, token, &path).await?;
        let change = policy_change(present.as_ref(), &one.policy);
        write(vault, token, &path, &json!({"policy": one.policy.to_string()}), change, dry_run).await?;
        steps.push(Step { path, change });
        let Some(role) = &one.role else { continue };
        let path = format!("{}/role/{}", one.auth_path, one.name);
        let change = role_change(self::present(vault, token, &path).await?.as_ref(), role);
        write(vault, token, &path, role, change, dry_run).await.with_context(|| {
            format!("the Kubernetes auth method must be enabled and configured at {} first", one.auth_path)
        })?;
        steps.push(Step { path, change });
    }
    Ok(steps)
}

async fn present(vault: &Vault, token: &Secret, path: &str) -> Result<Option<Map<String, Value>>> {
    match vault.read(token, path).await {
        Ok(envelope) => Ok(envelope.data.map(vouchsafe_model::wire::Document::into_inner)),
        Err(error) if error.kind() == Kind::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn write(vault: &Vault, token: &Secret, path: &str, body: &Value, change: Change, dry_run: bool) -> Result<()> {
    if change != Change::Keep && !dry_run {
        vault.write(token, path, &Secret::from(body.to_string())).await?;
    }
    Ok(())
}

/// The server keeps a policy's text as it was given; what counts is its meaning.
fn policy_change(present: Option<&Map<String, Value>>, wanted: &Value) -> Change {
    let Some(present) = present else { return Change::Create };
    let text = present.get("policy").and_then(Value::as_str).unwrap_or_default();
    match serde_json::from_str::<Value>(text) {
        Ok(same) if same == *wanted => Change::Keep,
        _ => Change::Update,
    }
}

/// A role is as it should be when every field that we set has our value; the server adds others.
fn role_change(present: Option<&Map<String, Value>>, wanted: &Value) -> Change {
    let Some(present) = present else { return Change::Create };
    let fields = wanted.as_object().into_iter().flatten();
    if fields.into_iter().all(|(name, value)| present.get(name) == Some(value)) { Change::Keep } else { Change::Update }
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Keep => "keep",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_policy_is_compared_by_meaning_not_by_text() {
        let wanted = json!({"path": {"secret/data/a": {"capabilities": ["read"]}}});
        let spaced = object(&json!({"policy": "{ \"path\": {\"secret/data/a\": {\"capabilities\": [ \"read\" ]}} }"}));
        assert_eq!(policy_change(None, &wanted), Change::Create);
        assert_eq!(policy_change(Some(&spaced), &wanted), Change::Keep);
        assert_eq!(policy_change(Some(&object(&json!({"policy": "path \"x\" {}"}))), &wanted), Change::Update);
    }

    #[test]
    fn fields_that_the_server_adds_to_a_role_do_not_count() {
        let wanted = json!({"audience": "vouchsafe", "token_ttl": 3600});
        assert_eq!(
            role_change(Some(&object(&json!({"audience": "vouchsafe", "token_ttl": 3600, "alias": 1}))), &wanted),
            Change::Keep
        );
        assert_eq!(
            role_change(Some(&object(&json!({"audience": "other", "token_ttl": 3600}))), &wanted),
            Change::Update
        );
    }
}
