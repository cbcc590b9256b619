//! `vouchsafe audit`: read the broker's log, and prove that nobody edited it.

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use vouchsafe_broker::audit::query::{Filter, query_folder};
use vouchsafe_broker::audit::verify::verify_folder;
use vouchsafe_model::record::{Decision, Record};

use crate::arguments::{AuditVerb, Format};
use crate::offline::count;
use crate::output::{Style, line, note};

/// Runs the verb.
pub(crate) fn run(verb: &AuditVerb, style: Style) -> Result<ExitCode> {
    match verb {
        AuditVerb::Verify { folder, output } => verify(folder, *output, style),
        AuditVerb::Query { folder, path, since, until, namespace, pod, last, output } => {
            let filter = Filter {
                path: path.clone(),
                pod: pod.clone(),
                namespace: namespace.clone(),
                since: since.clone(),
                until: until.clone(),
            };
            query(folder, filter, *last, *output)
        }
    }
}

/// What a verification found, in a sentence.
pub(crate) struct Verdict {
    pub(crate) whole: bool,
    pub(crate) records: u64,
    pub(crate) sentence: String,
}

/// Verifies a log for a report.
pub(crate) fn verdict(folder: &Path) -> Result<Verdict> {
    let report =
        verify_folder(exists(folder)?, None).with_context(|| format!("read the audit log {}", folder.display()))?;
    let span = match (&report.first_time, &report.last_time) {
        (Some(first), Some(last)) => format!(", {first} to {last}"),
        _ => String::new(),
    };
    let records = count(usize::try_from(report.records).unwrap_or(usize::MAX), "record");
    let sentence = match report.faults.first() {
        None => format!("{records} in {}{span}; the chain is whole", count(report.files, "file")),
        Some(fault) => format!("{records}; {}, the first: {fault}", count(report.faults.len(), "fault")),
    };
    Ok(Verdict { whole: report.is_intact(), records: report.records, sentence })
}

fn verify(folder: &Path, output: Format, style: Style) -> Result<ExitCode> {
    let report =
        verify_folder(exists(folder)?, None).with_context(|| format!("read the audit log {}", folder.display()))?;
    let whole = report.is_intact();
    if output == Format::Json {
        let shown = |faults: &[vouchsafe_broker::audit::verify::Fault]| -> Vec<Value> {
            faults.iter().map(|fault| json!({"file": fault.file, "line": fault.line, "what": fault.what})).collect()
        };
        line(json!({"whole": whole, "records": report.records, "files": report.files, "first": report.first_time, "last": report.last_time,
            "faults": shown(&report.faults), "remarks": shown(&report.remarks)}).to_string());
    } else {
        report.faults.iter().for_each(|fault| note(format!("{} {fault}", style.bad("fault"))));
        if report.more_faults > 0 {
            note(format!("and {} more", report.more_faults));
        }
        report.remarks.iter().for_each(|remark| note(format!("{} {remark}", style.warn("remark"))));
        let told = if whole { style.good("whole") } else { style.bad("not whole") };
        line(format!("{}: {told}; {}", folder.display(), verdict(folder)?.sentence));
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn query(folder: &Path, filter: Filter, last: usize, output: Format) -> Result<ExitCode> {
    let filter = filter.normalised().map_err(anyhow::Error::msg)?;
    for record in newest_records(folder, &filter, last)? {
        match output {
            Format::Json => line(serde_json::to_string(&record)?),
            Format::Text => line(sentence(&record)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest records as lines for people.
pub(crate) fn newest(folder: &Path, last: usize) -> Result<Vec<String>> {
    Ok(newest_records(folder, &Filter::default(), last)?.iter().map(sentence).collect())
}

fn newest_records(folder: &Path, filter: &Filter, last: usize) -> Result<Vec<Record>> {
    let mut kept = VecDeque::new();
    query_folder(exists(folder)?, filter, |record| {
        if kept.len() == last {
            kept.pop_front();
        }
        kept.push_back(record);
        true
    })
    .with_context(|| format!("read the audit log {}", folder.display()))?;
    Ok(kept.into())
}

/// `2026-11-25T03:04:05Z argocd/argocd-dex-server-0 read secret/data/argocd/github-oauth version 2: allowed (200)`.
fn sentence(record: &Record) -> String {
    let entry = &record.entry;
    let who = match (&entry.workload, &entry.client) {
        (Some(workload), _) => workload.to_string(),
        (None, Some(client)) => client.to_string(),
        (None, None) => "the broker".to_owned(),
    };
    if let Some(noted) = &entry.note {
        return format!("{} {who} {}", record.time, noted.text);
    }
    let version = entry.version.map(|version| format!(" version {version}")).unwrap_or_default();
    let status = entry.status.map(|status| format!(" ({status})")).unwrap_or_default();
    let decision = entry.decision.map_or("intended", word);
    format!("{} {who} {} {}{version}: {decision}{status}", record.time, entry.operation, entry.path)
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allowed => "allowed",
        Decision::Denied => "denied",
        Decision::Failed => "failed",
        Decision::Unknown => "without an answer",
    }
}

fn exists(folder: &Path) -> Result<&Path> {
    if !folder.is_dir() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(anyhow::Error::new(missing).context(format!(
            "there is no audit log in {}; name its folder, or run `vouchsafe dev` first",
            folder.display()
        )));
    }
    Ok(folder)
}
