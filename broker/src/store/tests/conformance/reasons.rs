//! Differences that stay, each with its reason. The run fails on any other.

use super::server::ServerKind;
use crate::upstream::Operation;

/// Which of the two answers has a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Only the store's.
    Ours,
    /// Only the real server's.
    Theirs,
}

/// Which servers answer otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Both.
    Both,
    /// Vault alone; OpenBao answers as the store does.
    Vault,
}

/// A reason for some lines of some requests.
pub(super) struct Reason {
    /// Whose answers.
    pub(super) of: Of,
    /// Who asks, where it matters.
    pub(super) who: Option<&'static str>,
    /// Operation, where it matters.
    pub(super) operation: Option<Operation>,
    /// Paths; a `*` stands for anything.
    pub(super) paths: &'static [&'static str],
    /// Lines; a `*` stands for anything.
    pub(super) lines: &'static [&'static str],
    /// Why it stays so.
    pub(super) why: &'static str,
}

impl Reason {
    /// Whether it is the reason for this line.
    pub(super) fn covers(&self, kind: &ServerKind, (who, operation, path): Asked<'_>, line: &str) -> bool {
        let is_of = match self.of {
            Of::Both => true,
            Of::Vault => kind.name == "Vault",
        };
        is_of
            && self.who.is_none_or(|wanted| wanted == who)
            && self.operation.is_none_or(|wanted| wanted == operation)
            && self.paths.iter().any(|pattern| matches(pattern, path))
            && self.lines.iter().any(|pattern| matches(pattern, line))
    }
}

/// Who asks for what, where.
pub(super) type Asked<'a> = (&'a str, Operation, &'a str);

/// Whether `text` is like `pattern`, in which a `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(end)
}

const ALL: Reason = Reason { of: Of::Both, who: None, operation: None, paths: &["*"], lines: &["*"], why: "" };

/// All reasons, in the order of the report. The first that covers a line counts.
pub(super) static REASONS: &[Reason] = &[
    Reason {
        of: Of::Vault,
        lines: &["/mount_type:text"],
        why: "Vault 1.21 names the engine's type beside every answer. OpenBao does not, and no client needs it.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["secret/*", "k1/*"],
        lines: &["/data*/last_updated_by*", "/data*/created_by*", "/data*/deleted_by*"],
        why: "Vault 1.21 notes in KV v2 metadata who wrote a version. Here that is the audit log's task, which proves it.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["secret/*", "k1/*"],
        lines: &["/data*/current_metadata_version*", "/data*/metadata_cas_required*"],
        why: "Check-and-set for metadata is OpenBao's; the store has it too.",
        ..ALL
    },
    Reason { of: Of::Vault, operation: Some(Operation::Scan), why: "SCAN is OpenBao's; the store has it too.", ..ALL },
    Reason {
        of: Of::Vault,
        paths: &["secret/detailed-metadata/*"],
        why: "`detailed-metadata` is OpenBao's; the store has it too.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["secret/*", "k1/*"],
        lines: &["/warnings=[\"Invalid path for a versioned K/V*"],
        why: "The hint names the server's own command line; the store's is OpenBao's text.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        lines: &["/errors=[\"permission denied\"]", "/errors=[\"2 errors occurred:*permission denied*invalid token*"],
        why: "Vault adds `invalid token` for a token that is missing or has ended; the status is 403 alike.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["sys/internal/ui/mounts/*"],
        lines: &["/data/config/default_lease_ttl=*", "/data/config/max_lease_ttl=*"],
        why: "Vault shows the system's default where a mount has none of its own, OpenBao and the store show 0.",
        ..ALL
    },
    Reason {
        paths: &["sys/health*", "sys/seal-status", "sys/unseal"],
        lines: &["/version=*", "/type=*"],
        why: "The store says its own version, so that nobody takes it for Vault's, and its own kind of seal.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["sys/health*"],
        lines: &["/clock_skew_ms*", "/echo_duration_ms*", "/enterprise*", "/replication_primary_canary_age_ms*"],
        why: "Facts about Vault's own replication and edition.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["sys/leader"],
        lines: &["/performance_standby*"],
        why: "Performance standbys are Vault Enterprise's.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["sys/policies/acl/*", "sys/policy/*"],
        lines: &["/data/cas_required*", "/cas_required*", "/version*", "/data/version*"],
        why: "Versions of policies are OpenBao's; the store has them too.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["auth/kubernetes/role/*", "auth/kubernetes/config"],
        lines: &["/data/token_strictly_bind_ip*", "/data/use_annotations_as_alias_metadata*"],
        why: "Settings that one of the two servers has; the store shows OpenBao's.",
        ..ALL
    },
    Reason {
        lines: &["*error converting input for field*", "/errors=[\"time: invalid duration*"],
        why: "The store's message for a parameter of the wrong type names the field and never repeats the value, which could be \
              a secret.",
        ..ALL
    },
    Reason {
        lines: &["/errors=[\"error parsing JSON*"],
        why: "The store says where the JSON breaks, and nothing of its content.",
        ..ALL
    },
    Reason {
        paths: &["auth/token/create"],
        lines: &["/warnings=[\"A token of a chosen value*", "/warnings=[\"Supplying a custom ID*"],
        why: "The warning about a chosen token speaks of each server's own hashing; the store keeps an HMAC of it as of any.",
        ..ALL
    },
    Reason {
        paths: &["auth/token/roles/x"],
        lines: &["/errors=[\"error parsing role fields: error parsing address*"],
        why: "The store's message says how a network is written.",
        ..ALL
    },
    Reason {
        operation: Some(Operation::List),
        paths: &["secret/metadata/none#60"],
        lines: &["/errors=*"],
        why: "An empty LIST that shall be wrapped is the empty 404 of any LIST here; the servers call the path unsupported.",
        ..ALL
    },
    Reason {
        who: Some("w7"),
        paths: &["sys/wrapping/unwrap"],
        why: "A wrapping token sent both as the caller's and in the body is burnt by the servers with a 500. Here it is \
              unwrapped, once as ever.",
        ..ALL
    },
    Reason {
        paths: &["sys/policies/acl/p2"],
        lines: &["/errors=[\"failed to parse policy*"],
        why: "Where a policy breaks is told in the store's own words; the status is the same.",
        ..ALL
    },
    Reason {
        paths: &["auth/kubernetes/login"],
        lines: &["/errors=[\"malformed jwt*", "/errors=[\"permission denied\"]"],
        why: "What is no JWT at all is called so; the status is 403 alike.",
        ..ALL
    },
    Reason {
        operation: Some(Operation::List),
        paths: &["sys/leases/lookup*"],
        why: "Tokens have no lease of their own here, so there are no leases to list; `auth/token/accessors` lists tokens.",
        ..ALL
    },
    Reason {
        paths: &["sys/mounts/k3"],
        lines: &["/errors=[\"plugin not found in the catalog*"],
        why: "The store's message says which engines there are.",
        ..ALL
    },
    Reason {
        operation: Some(Operation::Write),
        paths: &["cubbyhole"],
        why: "A write to no path fails in the servers before rights are looked at, as an internal error. Here the policy, \
              which does not cover it, is asked first.",
        ..ALL
    },
    Reason {
        paths: &["sys/internal/ui/mounts/sys/"],
        lines: &["/data/config/passthrough_request_headers*"],
        why: "No request header is handed to an engine here.",
        ..ALL
    },
    Reason {
        of: Of::Vault,
        paths: &["secret/data/"],
        why: "At the root of a KV v2 mount Vault answers with a warning what OpenBao and the store refuse or ignore.",
        ..ALL
    },
];
