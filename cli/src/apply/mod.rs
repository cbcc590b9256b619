//! `vouchsafe apply`: Grants to policies and roles on a live Vault or OpenBao.
//!
//! Touches only what carries our name prefix, writes only what differs, deletes nothing. Whoever may run it decides who
//! reads what: give its token to the GitOps pipeline alone.
//! Out of scope: removing what no Grant names any more, enabling auth methods and mounts.

mod change;
mod failure;

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Map, Value, json};
use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::vault::Vault;
use vouchsafe_policies::Compiled;

use self::change::{Change, Step, Unmanaged, Wanted, unmanaged, wanted};
use self::failure::Failure;
use crate::arguments::{Apply, Format};
use crate::grants;
use crate::offline::count;
use crate::output::{Style, line};
use crate::server::Connection;

/// Runs the verb.
pub(crate) async fn run(arguments: Apply, style: Style) -> Result<ExitCode> {
    let set = grants::read(&arguments.policies)?;
    let connection = Connection::open(&arguments.server)?;
    let compiled = vouchsafe_policies::compile_for(&set, &arguments.audience.parse()?);
    let steps = apply(&connection.vault, &connection.token, &compiled, arguments.dry_run).await?;
    let foreign = unmanaged(&set);
    match arguments.output {
        Format::Json => line(as_json(&steps, &foreign, &connection.address.to_string(), arguments.dry_run).to_string()),
        Format::Text => {
            as_text(&steps, &foreign, style).into_iter().for_each(line);
            let what = format!("{} to {}", count(set.len(), "Grant"), connection.address);
            line(format!("{what}: {}", summary(&steps, arguments.dry_run)));
        }
    }
    let is_pending = arguments.dry_run && steps.iter().any(|step| step.change != Change::Keep);
    Ok(if arguments.detailed_exitcode && is_pending { ExitCode::from(PENDING) } else { ExitCode::SUCCESS })
}

/// Makes the server's policies and roles those of `compiled`; a policy before the roles that name it.
///
/// Everything is read before anything is written, so that a server which cannot take a role gets no policy either.
pub(crate) async fn apply(vault: &Vault, token: &Secret, compiled: &[Compiled], dry_run: bool) -> Result<Vec<Step>> {
    let server = vault.client().address().to_string();
    let mut looked = Vec::new();
    for one in wanted(compiled)? {
        let present = present(vault, token, &one, &server).await?;
        let step = one.compare(present.as_ref());
        looked.push((one, present, step));
    }
    for (one, present, step) in &looked {
        if step.change != Change::Keep && !dry_run {
            let body = Secret::from(one.body(present.as_ref()).to_string());
            vault.write(token, &one.path, &body).await.map_err(|error| Failure::of(one, &server, error))?;
        }
    }
    Ok(looked.into_iter().map(|(_, _, step)| step).collect())
}

async fn present(
    vault: &Vault,
    token: &Secret,
    wanted: &Wanted,
    server: &str,
) -> Result<Option<Map<String, Value>>, Failure> {
    match vault.read(token, &wanted.path).await {
        Ok(envelope) => Ok(envelope.data.map(vouchsafe_model::wire::Document::into_inner)),
        // Nothing there has no text; a path that nobody serves has one.
        Err(error) if error.kind() == Kind::Missing && (error.errors().is_empty() || wanted.is_policy()) => Ok(None),
        Err(error) => Err(Failure::of(wanted, server, error)),
    }
}

fn as_json(steps: &[Step], foreign: &[Unmanaged], server: &str, dry_run: bool) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| json!({"path": step.path, "change": step.change.word(), "differences": step.differences}))
        .collect();
    let foreign: Vec<Value> =
        foreign.iter().map(|one| json!({"grant": one.grant, "role": one.role, "policies": one.policies})).collect();
    json!({"server": server, "dryRun": dry_run, "steps": steps, "unmanaged": foreign})
}

fn as_text(steps: &[Step], foreign: &[Unmanaged], style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    for step in steps {
        lines.push(match step.change {
            Change::Create => style.good(&format!("+ {}", step.path)),
            Change::Update => style.warn(&format!("~ {}", step.path)),
            Change::Keep => style.dim(&format!("= {}", step.path)),
        });
        lines.extend(step.differences.iter().map(|difference| format!("    {difference}")));
    }
    lines.extend(foreign.iter().map(|one| {
        format!(
            "! {}: Grant {} names this role, so it is not managed; attach {} to it yourself",
            one.role,
            one.grant,
            one.policies.join(", ")
        )
    }));
    lines
}

fn summary(steps: &[Step], dry_run: bool) -> String {
    let number = |wanted: Change| steps.iter().filter(|step| step.change == wanted).count();
    let told = if dry_run { "would be" } else { "were" };
    format!(
        "{} {told} created, {} updated, {} are as they should be",
        number(Change::Create),
        number(Change::Update),
        number(Change::Keep)
    )
}

/// Exit code of a dry run with changes, where it is asked for; Terraform's convention.
const PENDING: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::ColorChoice;

    fn steps() -> Vec<Step> {
        vec![
            Step { path: "a".to_owned(), change: Change::Create, differences: Vec::new() },
            Step { path: "b".to_owned(), change: Change::Update, differences: vec!["x: 1 -> 2".to_owned()] },
            Step { path: "c".to_owned(), change: Change::Keep, differences: Vec::new() },
        ]
    }

    #[test]
    fn people_see_signs_and_what_differs() {
        let foreign = [Unmanaged {
            grant: "ci/a".to_owned(),
            role: "auth/k8s/role/legacy".to_owned(),
            policies: vec!["vouchsafe.ci.one".to_owned()],
        }];
        let lines = as_text(&steps(), &foreign, Style::new(ColorChoice::Never));
        assert_eq!(lines[..4], ["+ a", "~ b", "    x: 1 -> 2", "= c"]);
        assert!(lines[4].contains("Grant ci/a") && lines[4].contains("attach vouchsafe.ci.one"), "{}", lines[4]);
        assert_eq!(summary(&steps(), true), "1 would be created, 1 updated, 1 are as they should be");
    }

    #[test]
    fn machines_see_the_same_as_one_document() {
        let shown = as_json(&steps(), &[], "https://bao:8200", true);
        assert_eq!(shown["steps"][1], json!({"path": "b", "change": "update", "differences": ["x: 1 -> 2"]}));
        assert_eq!((&shown["dryRun"], &shown["server"]), (&json!(true), &json!("https://bao:8200")));
    }
}
