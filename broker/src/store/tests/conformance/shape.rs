//! What of two answers must be equal, as lines that can be compared.

use serde_json::Value;

use super::Seen;
use super::reasons::Side;

/// Headers that must be equal.
pub(super) const HEADERS: [&str; 5] = ["content-type", "cache-control", "retry-after", "location", "warning"];

/// Lines that only one of the two has.
pub(super) fn differences(ours: &Seen, theirs: &Seen) -> Vec<(Side, String)> {
    let (ours, theirs) = (lines(ours), lines(theirs));
    let only = |side, one: &[String], other: &[String]| {
        one.iter().filter(|line| !other.contains(line)).map(|line| (side, line.clone())).collect::<Vec<_>>()
    };
    let mut found = only(Side::Ours, &ours, &theirs);
    found.extend(only(Side::Theirs, &theirs, &ours));
    found.dedup();
    found
}

fn lines(seen: &Seen) -> Vec<String> {
    let mut out = vec![format!("status {}", seen.status)];
    out.extend(seen.headers.iter().map(|(name, value)| format!("header {name}: {value}")));
    shape("", &seen.body, &mut out);
    out
}

/// Names and types of all fields, with the texts of errors and warnings and the values that must be equal.
fn shape(at: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            out.push(format!("{at}{{}}"));
            for (name, value) in map {
                let at = format!("{at}/{name}");
                if IGNORED.iter().any(|end| at.ends_with(end)) {
                    continue;
                }
                if EXACT.contains(&name.as_str()) {
                    out.push(format!("{at}={value}"));
                } else {
                    shape(&at, value, out);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| shape(&format!("{at}[]"), item, out)),
        Value::String(_) => out.push(format!("{at}:text")),
        Value::Number(_) => out.push(format!("{at}:number")),
        Value::Bool(_) => out.push(format!("{at}:flag")),
        Value::Null => out.push(format!("{at}:null")),
    }
}

/// Fields whose values must be equal.
const EXACT: [&str; 44] = [
    "errors",
    "warnings",
    "keys",
    "version",
    "destroyed",
    "custom_metadata",
    "subkeys",
    "current_version",
    "oldest_version",
    "max_versions",
    "cas_required",
    "delete_version_after",
    "current_metadata_version",
    "policies",
    "token_policies",
    "capabilities",
    "renewable",
    "lease_duration",
    "orphan",
    "num_uses",
    "token_type",
    "display_name",
    "path",
    "explicit_max_ttl",
    "meta",
    "creation_path",
    "creation_ttl",
    "period",
    "role",
    "type",
    "options",
    "default_lease_ttl",
    "max_lease_ttl",
    "allowed_policies",
    "allowed_policies_glob",
    "disallowed_policies",
    "token_bound_cidrs",
    "bound_cidrs",
    "token_explicit_max_ttl",
    "token_period",
    "token_num_uses",
    "path_suffix",
    "description",
    "metadata_cas_required",
];
/// Fields that differ by nature: versions of plugins and builds, and texts that each server words for itself.
const IGNORED: [&str; 4] = ["/deprecation_status", "/data/version", "/build_date", "/modified"];
