//! The verbs that need no server: admit, explain, check, lint, compile.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use vouchsafe_model::name::Namespace;
use vouchsafe_model::plan::{Gate, Server, ServerKind};
use vouchsafe_policies::manifest::{self, Manifest};
use vouchsafe_policies::{Fault, GrantSet, Installation};
use vouchsafe_webhook::{Config, Verdict};

use crate::arguments::{Check, Compile, CompileFormat, Explain, Format, Lint, Offline};
use crate::grants::{self, collect};
use crate::output::{Style, line, note};
use crate::preflight;

/// `vouchsafe admit < review.json`: the AdmissionReview answer, as the webhook would send it.
pub(crate) fn admit(arguments: &Offline) -> Result<ExitCode> {
    let grants = grants::read(&arguments.policies)?;
    let mut body = Vec::new();
    std::io::stdin()
        .take(REVIEW_BYTES)
        .read_to_end(&mut body)
        .context("read the AdmissionReview from standard input")?;
    let answer = vouchsafe_webhook::admit(&body, &grants, &config(arguments)?);
    line(serde_json::to_string_pretty(&answer.body)?);
    Ok(if answer.status == 200 { ExitCode::SUCCESS } else { ExitCode::from(65) })
}

/// `vouchsafe explain FILE`.
pub(crate) fn explain(arguments: &Explain, style: Style) -> Result<ExitCode> {
    let grants = grants::read(&arguments.offline.policies)?;
    let config = config(&arguments.offline)?;
    let manifests = manifests(std::slice::from_ref(&arguments.file))?;
    let workloads: Vec<&Manifest> = manifests.iter().filter(|manifest| manifest.pod_template.is_some()).collect();
    if workloads.is_empty() {
        bail!(
            "{}: no Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob in it",
            arguments.file.display()
        );
    }
    let mut refused = false;
    let mut documents = Vec::new();
    for manifest in workloads {
        let explanation = vouchsafe_webhook::explain(manifest, &grants, &config);
        refused |= explanation.verdict == Verdict::Refused;
        if arguments.output == Format::Json {
            let name = format!("{} {}", manifest.kind, label(manifest));
            documents.push(json!({"workload": name, "verdict": word(explanation.verdict), "lines": explanation.lines}));
        } else {
            let mut lines = explanation.lines.iter();
            line(style.bold(lines.next().map_or("", String::as_str)));
            lines.for_each(line);
        }
    }
    if arguments.output == Format::Json {
        line(Value::Array(documents).to_string());
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `vouchsafe check FILE…`: Grants by themselves, workloads against Grants.
pub(crate) fn check(arguments: &Check, style: Style) -> Result<ExitCode> {
    if arguments.drop_in {
        return preflight::check(arguments, style);
    }
    let mut sources = Vec::new();
    for file in &arguments.files {
        collect(file, &mut sources)?;
    }
    let mut faults = Vec::new();
    let mut manifests = Vec::new();
    for (name, text) in &sources {
        match manifest::read(name, text) {
            Ok(found) => manifests.extend(found),
            Err(found) => faults.extend(found),
        }
    }
    let (grants, checked_grants) = grants_to_check(arguments, &sources, &manifests, &mut faults)?;
    let config = config(&arguments.offline)?;
    let mut warnings = Vec::new();
    let mut workloads = 0;
    for manifest in manifests.iter().filter(|manifest| manifest.pod_template.is_some()) {
        workloads += 1;
        match check_workload(manifest, &grants, &config) {
            Ok(found) => warnings
                .extend(found.into_iter().map(|warning| format!("{} {}: {warning}", manifest.kind, label(manifest)))),
            Err(found) => faults.extend(found),
        }
    }
    if arguments.output == Format::Json {
        let faults: Vec<Value> = faults.iter().map(fault_json).collect();
        line(
            json!({"grants": checked_grants, "workloads": workloads, "faults": faults, "warnings": warnings})
                .to_string(),
        );
    } else {
        for fault in &faults {
            note(format!("{} {fault}", style.bad("fault")));
        }
        for warning in &warnings {
            note(format!("{} {warning}", style.warn("warning")));
        }
        line(format!(
            "{}, {} checked: {}, {}",
            count(checked_grants, "Grant"),
            count(workloads, "workload"),
            count(faults.len(), "fault"),
            count(warnings.len(), "warning")
        ));
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Warnings about one workload, or everything that would make its pods refused.
fn check_workload(manifest: &Manifest, grants: &GrantSet, config: &Config) -> Result<Vec<String>, Vec<Fault>> {
    let mut faults = manifest::check_workload(manifest);
    let namespace = manifest.namespace.as_ref().map_or(DEFAULT_NAMESPACE, Namespace::as_str);
    let template = manifest.pod_template.as_ref().unwrap_or(&Value::Null);
    let outcome = match namespace.parse() {
        Ok(namespace) => vouchsafe_webhook::inject(template, &namespace, grants, config),
        Err(_) => Ok(None),
    };
    match outcome {
        Ok(injection) if faults.is_empty() => Ok(injection.map(|injection| injection.warnings).unwrap_or_default()),
        Ok(_) => Err(faults),
        Err(found) => {
            faults.extend(found);
            Err(faults)
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Injected => "injected",
        Verdict::NotAsked => "not-asked",
        Verdict::Refused => "refused",
        Verdict::NoPods => "no-pods",
    }
}

/// Grants among the checked files, together with those of `--policies` where workloads need them and none were given.
fn grants_to_check(
    arguments: &Check,
    sources: &[(String, String)],
    manifests: &[Manifest],
    faults: &mut Vec<Fault>,
) -> Result<(GrantSet, usize)> {
    let holds_grant =
        |name: &str| manifests.iter().any(|manifest| manifest.kind == "Grant" && manifest.at.file == name);
    let own: Vec<(String, String)> = sources.iter().filter(|(name, _)| holds_grant(name)).cloned().collect();
    if own.is_empty() {
        return Ok((grants::read(&arguments.offline.policies)?, 0));
    }
    match GrantSet::read(&own) {
        Ok(grants) => {
            let checked = grants.len();
            Ok((grants, checked))
        }
        Err(found) => {
            faults.extend(found);
            Ok((GrantSet::default(), own.len()))
        }
    }
}

/// `vouchsafe lint`.
pub(crate) fn lint(arguments: &Lint) -> Result<ExitCode> {
    let grants = grants::read(&arguments.policies)?;
    let findings = vouchsafe_policies::lint(&grants);
    match arguments.output {
        Format::Json => line(
            Value::Array(
                findings.iter().map(|finding| json!({"grant": finding.grant, "message": finding.message})).collect(),
            )
            .to_string(),
        ),
        Format::Text => {
            for finding in &findings {
                line(finding.to_string());
            }
            line(format!("{} looked at: {}", count(grants.len(), "Grant"), count(findings.len(), "remark")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `vouchsafe compile`.
pub(crate) fn compile(arguments: &Compile) -> Result<ExitCode> {
    let grants = grants::read(&arguments.policies)?;
    let compiled = vouchsafe_policies::compile(&grants);
    match arguments.output {
        CompileFormat::Json => {
            let shown = compiled.iter().map(
                |one| json!({"name": one.name, "policy": one.policy, "authPath": one.auth_path, "role": one.role}),
            );
            line(serde_json::to_string_pretty(&shown.collect::<Vec<_>>())?);
        }
        CompileFormat::Hcl => {
            for one in &compiled {
                line(format!("# policy {}", one.name));
                if let Some(role) = &one.role {
                    line(format!("# role   vault write {}/role/{} - <<< '{role}'", one.auth_path, one.name));
                }
                line(one.to_hcl());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The installation that offline verbs assume.
pub(crate) fn config(arguments: &Offline) -> Result<Config> {
    let server = Server {
        kind: ServerKind::Broker,
        address: arguments.server_address.parse()?,
        namespace: None,
        trust: String::new(),
    };
    let installation =
        Installation { server, audience: arguments.audience.parse()?, gate: Gate::Hook, wait_seconds: WAIT_SECONDS };
    let mut config = Config::new(installation, arguments.image.clone());
    config.drop_in = Some(preflight::settings()?);
    Ok(config)
}

fn manifests(files: &[std::path::PathBuf]) -> Result<Vec<Manifest>> {
    let mut sources = Vec::new();
    for file in files {
        collect(file, &mut sources)?;
    }
    let mut manifests = Vec::new();
    for (name, text) in &sources {
        match manifest::read(name, text) {
            Ok(found) => manifests.extend(found),
            Err(faults) => {
                for fault in &faults {
                    note(fault.to_string());
                }
                bail!("{} in {name}", count(faults.len(), "fault"));
            }
        }
    }
    Ok(manifests)
}

fn label(manifest: &Manifest) -> String {
    match &manifest.namespace {
        Some(namespace) => format!("{namespace}/{}", manifest.name),
        None => manifest.name.clone(),
    }
}

fn fault_json(fault: &Fault) -> Value {
    let at = fault.at.as_ref().map(|at| json!({"file": at.file, "line": at.line, "column": at.column}));
    json!({"at": at, "field": fault.field, "message": fault.message})
}

/// `1 fault`, `2 faults`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// How long an app is held back before the wait gives up, in seconds; the webhook's default.
pub(crate) const WAIT_SECONDS: u32 = 20;
/// Where objects without a namespace land.
const DEFAULT_NAMESPACE: &str = "default";
/// Largest AdmissionReview read from standard input: that of the webhook's server.
const REVIEW_BYTES: u64 = 3 * 1024 * 1024 + 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_like_words() {
        assert_eq!(count(1, "fault"), "1 fault");
        assert_eq!(count(0, "fault"), "0 faults");
        assert_eq!(count(3, "policy"), "3 policies");
    }
}
