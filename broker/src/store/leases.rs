//! `sys/leases…`: nothing here has a lease, so every lease is unknown, in the words of OpenBao.
//!
//! The id stands in the body or at the end of the path, as old clients send it. Out of scope: the life of tokens, which
//! have none here ([`super::token`]).

use super::envelope::{Answer, Refusal};
use super::fields::Fields;
use crate::upstream::Operation;

/// Whether `sys/REST` is about leases.
pub(crate) fn is_path(rest: &str) -> bool {
    verb(rest).is_some()
}

/// Whether `sudo` is needed on top.
pub(crate) fn needs_sudo(rest: &str) -> bool {
    matches!(verb(rest), Some(("revoke-prefix" | "revoke-force", _)))
        || rest.strip_prefix("leases/lookup/").is_some()
        || rest == "leases/lookup/"
}

/// Answers `sys/REST`.
pub(crate) fn handle(rest: &str, operation: Operation, fields: &Fields) -> Result<Answer, Refusal> {
    let Some((verb, in_path)) = verb(rest) else { return Err(Refusal::no_such_path()) };
    let id = if in_path.is_empty() { fields.text("lease_id")?.unwrap_or_default() } else { in_path.to_owned() };
    match (verb, operation) {
        ("lookup", Operation::List) => Err(Refusal::nothing()),
        ("lookup" | "renew" | "revoke", Operation::Write) if id.is_empty() => {
            Err(Refusal::bad("lease_id must be specified"))
        }
        ("lookup", Operation::Write) => Err(Refusal::bad("invalid lease")),
        ("renew", Operation::Write) => Err(Refusal::bad("lease not found")),
        ("revoke" | "revoke-prefix" | "revoke-force", Operation::Write) => Ok(Answer::done()),
        _ => Err(Refusal::unsupported()),
    }
}

/// The verb of a path and what follows it; the old paths stand directly below `sys/`.
fn verb(rest: &str) -> Option<(&str, &str)> {
    let is_new = rest.starts_with("leases/");
    let (verb, id) = rest
        .strip_prefix("leases/")
        .unwrap_or(rest)
        .split_once('/')
        .unwrap_or((rest.strip_prefix("leases/").unwrap_or(rest), ""));
    let is_verb = matches!(verb, "renew" | "revoke" | "revoke-prefix" | "revoke-force") || is_new && verb == "lookup";
    is_verb.then_some((verb, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_named_in_the_body_or_at_the_end_of_old_and_new_paths() {
        for (rest, expected) in [
            ("leases/renew", Some(("renew", ""))),
            ("leases/renew/a/b/c", Some(("renew", "a/b/c"))),
            ("renew/a", Some(("renew", "a"))),
            ("revoke", Some(("revoke", ""))),
            ("leases/revoke-prefix/a/", Some(("revoke-prefix", "a/"))),
            ("leases/lookup/a", Some(("lookup", "a"))),
            ("lookup", None),
            ("leases", None),
            ("leases/count", None),
            ("renewal", None),
        ] {
            assert_eq!(verb(rest), expected, "{rest}");
        }
    }

    #[test]
    fn what_lists_or_ends_many_needs_sudo() {
        for rest in ["leases/lookup/", "leases/lookup/a/", "leases/revoke-prefix/a", "revoke-force/a"] {
            assert!(needs_sudo(rest), "{rest}");
        }
        for rest in ["leases/lookup", "leases/renew", "leases/revoke", "revoke/a"] {
            assert!(!needs_sudo(rest), "{rest}");
        }
    }
}
