//! `vouchsafe why POD`: one cause and one command, out of the pod's status, our container's last words, events, Grants and,
//! where the caller names it, Vault.
//!
//! Everything is read with the caller's own rights. Out of scope: mending anything, and secrets, which it never reads.

mod explain;
mod facts;
mod gather;
mod judge;
mod pick;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;

use self::facts::{Facts, Verdict};
use self::gather::Gather;
pub(crate) use self::judge::shown;
use crate::arguments::{Format, Why};
use crate::live;
use crate::output::{Style, line};

/// Runs the verb.
pub(crate) async fn run(arguments: Why, style: Style) -> Result<ExitCode> {
    let vault = live::vault(&arguments.server)?;
    let cluster = live::cluster(arguments.cluster.context.as_deref()).await?;
    let namespace = arguments.namespace.as_deref().unwrap_or(&cluster.default_namespace);
    let gather = Gather { client: &cluster.client, namespace, name: &arguments.pod };
    let facts = match gather.facts(vault.as_ref(), &arguments.cluster.audience).await {
        Ok(facts) => facts,
        Err(kube::Error::Api(status)) => {
            return Err(kube::Error::Api(status)).with_context(|| format!("read {namespace}/{}", arguments.pod));
        }
        Err(error) => {
            crate::output::note(format!("vouchsafe: the cluster does not answer: {error}"));
            return Ok(ExitCode::from(vouchsafe_model::Kind::Unavailable.exit_code()));
        }
    };
    let verdict = judge::judge(&facts);
    match arguments.cluster.output {
        Format::Json => line(as_json(&facts, &verdict).to_string()),
        Format::Text => as_text(&facts, &verdict, style).into_iter().for_each(line),
    }
    Ok(exit_code(&facts, &verdict))
}

fn as_text(facts: &Facts, verdict: &Verdict, style: Style) -> Vec<String> {
    let code = verdict.code.as_ref().map(|code| format!("  ({code})")).unwrap_or_default();
    let cause = format!("{}/{}: {}{code}", facts.namespace, facts.name, verdict.cause);
    let mut lines = vec![if verdict.is_fine { style.good(&cause) } else { style.bad(&cause) }];
    lines.push(format!("{} {}", style.bold(if verdict.is_fine { "look:" } else { "run: " }), verdict.command));
    lines.push(style.dim(&format!("seen in: {}", verdict.seen)));
    lines.extend(facts.unknown.iter().map(|unknown| style.dim(&format!("not known: {unknown}"))));
    lines
}

fn as_json(facts: &Facts, verdict: &Verdict) -> serde_json::Value {
    json!({
        "namespace": facts.namespace, "name": facts.name, "fine": verdict.is_fine, "code": verdict.code,
        "cause": verdict.cause, "command": verdict.command, "seen": verdict.seen, "unknown": facts.unknown,
        "vault": facts.vault.as_ref().map(|vault| json!({"address": vault.address, "sealed": vault.sealed})),
    })
}

fn exit_code(facts: &Facts, verdict: &Verdict) -> ExitCode {
    if facts.pod.is_none() && facts.owners.is_empty() {
        return ExitCode::from(vouchsafe_model::Kind::Missing.exit_code());
    }
    if verdict.is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
