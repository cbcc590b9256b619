//! `vouchsafe doctor`: whether an installation is well. Each check says ok, warn or fail, one cause and one command.
//!
//! Works with the caller's own rights: what they do not cover is said. Nothing is changed; one pod is tried as a server-side
//! dry run. Out of scope: mending anything, and one pod's trouble (`vouchsafe why`).

mod certificates;
mod checks;
mod facts;
mod gather;
mod probe;
mod vault;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use self::facts::{Check, Status};
use crate::arguments::{Doctor, Format};
use crate::live;
use crate::output::{Style, line, note};

/// Runs the verb.
pub(crate) async fn run(arguments: Doctor, style: Style) -> Result<ExitCode> {
    let vault = live::vault(&arguments.server)?;
    let cluster = live::cluster(arguments.cluster.context.as_deref()).await?;
    if let Err(error) = cluster.client.apiserver_version().await {
        note(format!("vouchsafe: the cluster does not answer: {}", live::problem(&error)));
        return Ok(ExitCode::from(vouchsafe_model::Kind::Unavailable.exit_code()));
    }
    let facts = gather::facts(&cluster.client, vault.as_ref(), &arguments).await;
    let checks = checks::all(&facts);
    match arguments.cluster.output {
        Format::Json => line(as_json(&checks).to_string()),
        Format::Text => checks.iter().flat_map(|check| as_text(check, style)).for_each(line),
    }
    Ok(ExitCode::from(exit_code(&checks)))
}

fn as_text(check: &Check, style: Style) -> Vec<String> {
    let word = format!("{:<5}", if check.status == Status::Skipped { "-" } else { check.status.word() });
    let word = match check.status {
        Status::Ok => style.good(&word),
        Status::Skipped => style.dim(&word),
        Status::Warn => style.warn(&word),
        Status::Fail => style.bad(&word),
    };
    let skipped = if check.status == Status::Skipped { "not checked: " } else { "" };
    let mut lines = vec![format!("{word} {}: {skipped}{}", check.name, check.said)];
    if !check.command.is_empty() {
        lines.push(format!("      run: {}", check.command));
    }
    lines
}

fn as_json(checks: &[Check]) -> serde_json::Value {
    let shown: Vec<serde_json::Value> = checks
        .iter()
        .map(|check| json!({"check": check.name, "status": check.status.word(), "said": check.said, "command": check.command}))
        .collect();
    let worst = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
    json!({"worst": worst.word(), "checks": shown})
}

fn exit_code(checks: &[Check]) -> u8 {
    match checks.iter().map(|check| check.status).max() {
        Some(Status::Fail) => 1,
        Some(Status::Warn) => 2,
        Some(Status::Ok | Status::Skipped) | None => 0,
    }
}
