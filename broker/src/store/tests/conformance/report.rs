//! Writes `docs/conformance.md`: what was asked, who answered the same, and why the others did not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::reasons::{Of, REASONS};
use super::server::Server;
use super::{Operation, Row};

/// Writes the report, the same bytes for the same answers.
pub(super) fn write(rows: &[Row], servers: &[Server]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let text = text(rows, servers).unwrap();
    if std::fs::read_to_string(&path).unwrap_or_default() != text {
        std::fs::write(&path, text).unwrap();
        println!("docs/conformance.md is rewritten");
    }
}

fn text(rows: &[Row], servers: &[Server]) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let versions: Vec<String> =
        servers.iter().map(|server| format!("{} {}", server.kind().name, server.kind().version)).collect();
    writeln!(out, "# Conformance of the embedded store\n")?;
    writeln!(
        out,
        "Written by a run of `cargo test -p vouchsafe-broker store::tests::conformance` against {}. {} requests went to all \
         of them and to the store; compared are status, headers, texts of errors and warnings, names and types of all \
         fields, and values where they do not differ by nature. A difference without a reason below fails the run.\n",
        versions.join(" and "),
        rows.len()
    )?;
    writeln!(out, "| server | same | same but for one field more (reason 1) | differ otherwise |\n|---|---|---|---|")?;
    for server in servers {
        let name = server.kind().name;
        let count =
            |wanted: fn(&BTreeSet<usize>) -> bool| rows.iter().filter(|row| wanted(&row.verdicts[name].1)).count();
        let same = count(BTreeSet::is_empty);
        let nearly = count(|used| used.len() == 1 && used.contains(&0));
        writeln!(out, "| {name} {} | {same} | {nearly} | {} |", server.kind().version, rows.len() - same - nearly)?;
    }
    writeln!(out, "\n## Differences and their reasons\n")?;
    writeln!(out, "| | who differs from the store | requests | reason |\n|---|---|---|---|")?;
    for (index, reason) in REASONS.iter().enumerate() {
        let of = match reason.of {
            Of::Both => "OpenBao, Vault",
            Of::Vault => "Vault",
        };
        let count = rows.iter().filter(|row| row.verdicts.values().any(|(_, used)| used.contains(&index))).count();
        writeln!(out, "| {} | {of} | {count} | {} |", index + 1, reason.why)?;
    }
    writeln!(out, "\n## Requests\n")?;
    writeln!(out, "A number names the reason of a difference; a status stands with it where that differs too.\n")?;
    let names: Vec<&str> = servers.iter().map(|server| server.kind().name).collect();
    writeln!(out, "| | as | request | store | {} |", names.join(" | "))?;
    writeln!(out, "|---|---|---|---|{}", "---|".repeat(names.len()))?;
    for (index, row) in rows.iter().enumerate() {
        let (path, wrap) = row.path.split_once('#').unwrap_or((row.path, ""));
        let wrap = if wrap.is_empty() { String::new() } else { format!(" wrapped for {wrap}") };
        let verdicts: Vec<String> = names.iter().map(|name| verdict(row, name)).collect();
        writeln!(
            out,
            "| {} | {} | {} `{path}`{}{wrap} | {} | {} |",
            index + 1,
            row.who,
            method(row.operation),
            shown_body(&row.body),
            row.status,
            verdicts.join(" | ")
        )?;
    }
    Ok(out)
}

/// A body as the report shows it: long texts (certificates, tokens, policies) differ from run to run and are left out.
fn shown_body(body: &Value) -> String {
    if body.is_null() { String::new() } else { format!(" `{}`", shortened(body).to_string().replace('|', "\\|")) }
}

fn shortened(body: &Value) -> Value {
    match body {
        Value::String(text) if text.len() > TEXT_BYTES => Value::from("…"),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), shortened(value))).collect(),
        Value::Array(items) => items.iter().map(shortened).collect(),
        other => other.clone(),
    }
}

/// Longest text of a body in the report.
const TEXT_BYTES: usize = 60;

fn verdict(row: &Row, name: &str) -> String {
    let (status, used) = &row.verdicts[name];
    if used.is_empty() {
        return "same".to_owned();
    }
    let numbers: Vec<String> = used.iter().map(|index| (index + 1).to_string()).collect();
    let status = if *status == row.status { String::new() } else { format!("{status}, ") };
    format!("{status}reason {}", numbers.join(", "))
}

fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "GET",
        Operation::Head => "HEAD",
        Operation::Write => "POST",
        Operation::Patch => "PATCH",
        Operation::Delete => "DELETE",
        Operation::List => "LIST",
        Operation::Scan => "SCAN",
    }
}
