//! `vouchsafe check --drop-in FILE…`: what would become of workloads with the annotations of vault-k8s.
//!
//! Reads what `kubectl get deploy,sts,ds,job,cronjob -A -o yaml` prints. Out of scope: judging (webhook).

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use vouchsafe_policies::dropin::{Compat, Defaults, GrantPolicy};
use vouchsafe_policies::manifest;
use vouchsafe_webhook::config::DropInSettings;
use vouchsafe_webhook::preflight::{Fate, Preflight, preflight, summary};

use crate::arguments::{Check, Format};
use crate::grants::{self, collect};
use crate::offline;
use crate::output::{Style, line, note};

/// Runs the preflight; fails where pods would be refused.
pub(crate) fn check(arguments: &Check, style: Style) -> Result<ExitCode> {
    let mut sources = Vec::new();
    for file in &arguments.files {
        collect(file, &mut sources)?;
    }
    let grants = grants::read(&arguments.offline.policies)?;
    let mut config = offline::config(&arguments.offline)?;
    let mut settings = settings()?;
    settings.compat = if arguments.strict { Compat::Strict } else { Compat::Warn };
    if grants.is_empty() {
        // Nobody has written any yet: that each path lacks one is no news.
        settings.grants = GrantPolicy::Off;
    }
    config.drop_in = Some(settings);
    let mut found: Vec<Preflight> = Vec::new();
    for (name, text) in &sources {
        match manifest::read(name, text) {
            Ok(manifests) => {
                found.extend(manifests.iter().filter_map(|manifest| preflight(manifest, &grants, &config)));
            }
            Err(faults) => {
                for fault in &faults {
                    note(fault.to_string());
                }
                bail!("{} in {name}", offline::count(faults.len(), "fault"));
            }
        }
    }
    print(&found, arguments.output, style);
    let refused = found.iter().any(|one| one.fate == Fate::Refused);
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(found: &[Preflight], output: Format, style: Style) {
    if output == Format::Json {
        let all: Vec<Value> = found
            .iter()
            .map(|one| json!({"workload": one.workload, "fate": one.fate.as_str(), "messages": one.messages}))
            .collect();
        return line(json!({"workloads": all, "summary": summary(found)}).to_string());
    }
    for one in found {
        let word = one.fate.as_str();
        let word = match one.fate {
            Fate::Fine => continue,
            Fate::Warned => style.warn(word),
            Fate::Refused => style.bad(word),
        };
        let more = match one.messages.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more: vouchsafe explain shows all)", count - 1),
        };
        line(format!("{word}  {}: {}{more}", one.workload, one.messages.first().map_or("", String::as_str)));
    }
    line(summary(found));
}

/// The settings of an injector, as its operator has them: AGENT_INJECT_* of this program's own environment.
pub(crate) fn settings() -> Result<DropInSettings> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match Defaults::read(&environment, &BTreeMap::new()) {
        Ok(defaults) => Ok(DropInSettings { defaults, ..DropInSettings::default() }),
        Err(faults) => {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            bail!("{}", lines.join("; "))
        }
    }
}
