//! OpenBao's audit log: what was asked on behalf of a service account, as the server itself recorded it.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Answered requests of a service account, as `OPERATION PATH`, in their order; refused ones left out.
pub(crate) fn asked(log: &Path, namespace: &str, account: &str) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|record| record["type"] == "response" && record["error"].is_null())
        .filter(|record| {
            let metadata = &record["auth"]["metadata"];
            metadata["service_account_name"] == account && metadata["service_account_namespace"] == namespace
        })
        .filter_map(|record| {
            let request = &record["request"];
            Some(format!("{} {}", request["operation"].as_str()?, request["path"].as_str()?))
        })
        .collect()
}

/// How many of them are this one.
pub(crate) fn count(asked: &[String], request: &str) -> usize {
    asked.iter().filter(|one| *one == request).count()
}

/// A login.
pub(crate) const LOGIN: &str = "update auth/kubernetes/login";
/// A token that ends itself, or is ended by the broker after its pod's goodbye.
pub(crate) const REVOKE: &str = "update auth/token/revoke-self";
/// A lease that goes on.
pub(crate) const RENEW_LEASE: &str = "update sys/leases/renew";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_requests_of_one_account_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit");
        let line = |kind: &str, account: &str, error: &str| {
            format!(
                r#"{{"type":"{kind}","auth":{{"metadata":{{"service_account_name":"{account}","service_account_namespace":"n"}}}},"request":{{"operation":"read","path":"a/b"}}{error}}}"#
            ) + "\n"
        };
        let lines = [line("request", "x", ""), line("response", "x", ""), line("response", "y", "")];
        fs::write(&file, lines.concat() + &line("response", "x", r#","error":"denied""#)).unwrap();
        let asked = asked(&file, "n", "x");
        assert_eq!(asked, ["read a/b"]);
        assert_eq!(count(&asked, "read a/b"), 1);
    }
}
