//! What a request is, pure: its class decides how it is recorded and whether it makes a Change.
//!
//! Every path and operation has a class; what is not known is [`Class::Other`], passed through one to one and recorded
//! twice, because it may make a lease. KV v2 is known by its API's own words (`MOUNT/data/…`), not by asking the upstream:
//! a wrong guess costs a record or a push, never an access. Out of scope: who may do it (the upstream decides).

use vouchsafe_model::wire::extension::{ACK_PATH, GOODBYE_PATH, TRUST_PATH, WATCH_PATH};

use crate::upstream::Operation;

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Makes a token out of proof of identity: `auth/…/login`.
    Login,
    /// A token about itself: `auth/token/{lookup,renew,revoke}-self`.
    TokenSelf,
    /// Reads a secret of a KV v2 engine: GET `MOUNT/data/…`.
    KvRead,
    /// Changes something in a KV v2 engine.
    KvWrite,
    /// Reads or lists what a KV v2 engine says about secrets, without values.
    KvMetadata,
    /// Health and seal state: neither secret nor recorded, as in Vault.
    Unaudited,
    /// Ours: `vouchsafe/…`.
    Extension(Extension),
    /// Everything else.
    Other,
}

/// A request of our extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    /// The long poll.
    Watch,
    /// "These versions are in the pod's files now."
    Ack,
    /// "This pod ends."
    Goodbye,
    /// The broker's own trust roots.
    Trust,
    /// A path below `vouchsafe/` that this broker does not know.
    Unknown,
}

/// How a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recording {
    /// Not at all.
    None,
    /// One record before the answer leaves.
    Once,
    /// The intent before the upstream is asked, the outcome before the answer leaves.
    Twice,
}

/// A path of a KV v2 engine in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvPath<'a> {
    /// The engine's mount.
    pub mount: &'a str,
    /// The API's word after the mount: `data`, `metadata`, `delete`, …
    pub area: &'a str,
    /// Path of the secret inside the mount.
    pub secret: &'a str,
}

impl Class {
    /// A word for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::TokenSelf => "token-self",
            Self::KvRead => "kv-read",
            Self::KvWrite => "kv-write",
            Self::KvMetadata => "kv-metadata",
            Self::Unaudited => "health",
            Self::Extension(Extension::Watch) => "watch",
            Self::Extension(Extension::Ack) => "ack",
            Self::Extension(Extension::Goodbye) => "goodbye",
            Self::Extension(Extension::Trust) => "trust",
            Self::Extension(Extension::Unknown) => "extension",
            Self::Other => "other",
        }
    }

    /// How a request of this class is recorded. `wrapped` says that the answer shall be wrapped, which makes a token.
    pub fn recording(self, operation: Operation, path: &str, wrapped: bool) -> Recording {
        if self == Self::Unaudited {
            return Recording::None;
        }
        let asks = matches!(operation, Operation::Read | Operation::Head | Operation::List | Operation::Scan);
        let is_leaseless = match self {
            Self::TokenSelf | Self::KvRead | Self::KvMetadata => true,
            Self::Other => path.starts_with("sys/") || matches!(operation, Operation::List | Operation::Scan),
            _ => false,
        };
        if asks && is_leaseless && !wrapped { Recording::Once } else { Recording::Twice }
    }
}

/// The class of a canonical request.
pub fn classify(operation: Operation, path: &str) -> Class {
    use Operation::{Head, List, Read, Scan, Write};
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match first {
        "vouchsafe" => Class::Extension(extension(operation, path)),
        "sys" if matches!(operation, Read | Head) && UNAUDITED.contains(&rest) => Class::Unaudited,
        "auth" if operation == Write && is_login(rest) => Class::Login,
        "auth" if TOKEN_SELF.contains(&rest) => Class::TokenSelf,
        "auth" | "sys" | "cubbyhole" | "identity" => Class::Other,
        _ => match kv_path(path) {
            None => Class::Other,
            Some(kv) => match (kv.area, operation) {
                ("data", Read) if !kv.secret.ends_with('/') => Class::KvRead,
                ("metadata" | "detailed-metadata" | "subkeys", Read | List | Scan) => Class::KvMetadata,
                (_, Read | Head | List | Scan) => Class::Other,
                _ => Class::KvWrite,
            },
        },
    }
}

/// Splits a path of a KV v2 engine at the first word of its API. A mount may have several segments.
pub fn kv_path(path: &str) -> Option<KvPath<'_>> {
    let mut from = path.find('/')?;
    loop {
        let (mount, rest) = (path.get(..from)?, path.get(from + 1..)?);
        let (word, secret) = rest.split_once('/')?;
        if AREAS.contains(&word) && !secret.is_empty() {
            return Some(KvPath { mount, area: word, secret });
        }
        from += 1 + word.len();
    }
}

/// Path of the secret whose content a successful change of `path` may have changed.
pub fn changed_path(operation: Operation, path: &str) -> Option<String> {
    let kv = kv_path(path)?;
    let changes = match kv.area {
        "data" | "delete" | "undelete" | "destroy" => true,
        "metadata" => operation == Operation::Delete,
        _ => false,
    };
    changes.then(|| format!("{}/data/{}", kv.mount, kv.secret))
}

/// The path as it may stand in a record: segments that look like tokens are hidden, and so is whatever follows the
/// old endpoints that take a token in the URL.
pub fn audited_path(path: &str) -> String {
    let takes_token = TOKEN_IN_URL.iter().any(|prefix| path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()));
    let keep = if takes_token { TOKEN_URL_SEGMENTS } else { usize::MAX };
    let shown = |(index, segment)| if index < keep && !looks_like_token(segment) { segment } else { HIDDEN };
    path.split('/').enumerate().map(shown).collect::<Vec<_>>().join("/")
}

fn extension(operation: Operation, path: &str) -> Extension {
    match (operation, path) {
        (Operation::Write, WATCH_PATH) => Extension::Watch,
        (Operation::Write, ACK_PATH) => Extension::Ack,
        (Operation::Write, GOODBYE_PATH) => Extension::Goodbye,
        (Operation::Read, TRUST_PATH) => Extension::Trust,
        _ => Extension::Unknown,
    }
}

/// `kubernetes/login`, `userpass/login/NAME`; the path after `auth/`.
fn is_login(rest: &str) -> bool {
    let mut words = rest.split('/').skip(1);
    words.any(|word| word == "login") && !rest.starts_with("token/")
}

fn looks_like_token(segment: &str) -> bool {
    ["hvs.", "hvb.", "hvr.", "s.", "b.", "r.", "eyJ"].iter().any(|prefix| segment.starts_with(prefix))
        && segment.len() >= TOKEN_CHARS
}

/// Words of the KV v2 API after a mount.
const AREAS: [&str; 7] = ["data", "metadata", "detailed-metadata", "subkeys", "delete", "undelete", "destroy"];
/// Below `sys/`, asked with GET or HEAD: what Vault does not audit either. Initialising and unsealing is recorded.
const UNAUDITED: [&str; 4] = ["health", "seal-status", "leader", "init"];
/// Below `auth/`.
const TOKEN_SELF: [&str; 3] = ["token/lookup-self", "token/renew-self", "token/revoke-self"];
/// Old endpoints that take a token as last part of the URL.
const TOKEN_IN_URL: [&str; 4] =
    ["auth/token/lookup/", "auth/token/renew/", "auth/token/revoke/", "auth/token/revoke-orphan/"];
/// Segments of those before the token.
const TOKEN_URL_SEGMENTS: usize = 3;
/// Shortest segment that can be a token; shorter ones with the same beginning are names.
const TOKEN_CHARS: usize = 20;
/// Stands in a record for what could be a token.
const HIDDEN: &str = "<hidden>";

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATIONS: [Operation; 7] = [
        Operation::Read,
        Operation::Head,
        Operation::Write,
        Operation::Patch,
        Operation::Delete,
        Operation::List,
        Operation::Scan,
    ];

    #[test]
    fn each_path_and_operation_has_the_class_of_the_table() {
        use Class::{KvMetadata, KvRead, KvWrite, Login, Other, TokenSelf, Unaudited};
        // One column per operation, in the order of OPERATIONS: GET HEAD POST PATCH DELETE LIST SCAN.
        let table: &[(&str, [Class; 7])] = &[
            ("auth/kubernetes/login", [Other, Other, Login, Other, Other, Other, Other]),
            ("auth/a/b/login", [Other, Other, Login, Other, Other, Other, Other]),
            ("auth/userpass/login/bob", [Other, Other, Login, Other, Other, Other, Other]),
            ("auth/login", [Other; 7]),
            ("auth/token/lookup-self", [TokenSelf; 7]),
            ("auth/token/renew-self", [TokenSelf; 7]),
            ("auth/token/revoke-self", [TokenSelf; 7]),
            ("auth/token/create", [Other; 7]),
            ("auth/token/roles/login", [Other; 7]),
            ("auth/kubernetes/role/a", [Other; 7]),
            ("secret/data/a", [KvRead, Other, KvWrite, KvWrite, KvWrite, Other, Other]),
            ("team/kv/data/a/b", [KvRead, Other, KvWrite, KvWrite, KvWrite, Other, Other]),
            ("secret/data/a/", [Other, Other, KvWrite, KvWrite, KvWrite, Other, Other]),
            ("secret/metadata/a", [KvMetadata, Other, KvWrite, KvWrite, KvWrite, KvMetadata, KvMetadata]),
            ("secret/subkeys/a", [KvMetadata, Other, KvWrite, KvWrite, KvWrite, KvMetadata, KvMetadata]),
            ("secret/destroy/a", [Other, Other, KvWrite, KvWrite, KvWrite, Other, Other]),
            ("secret/undelete/a", [Other, Other, KvWrite, KvWrite, KvWrite, Other, Other]),
            ("secret/data", [Other; 7]),
            ("data/a", [Other; 7]),
            ("cubbyhole/data/a", [Other; 7]),
            ("identity/data/a", [Other; 7]),
            ("database/creds/app", [Other; 7]),
            ("secret/a", [Other; 7]),
            ("sys/health", [Unaudited, Unaudited, Other, Other, Other, Other, Other]),
            ("sys/seal-status", [Unaudited, Unaudited, Other, Other, Other, Other, Other]),
            ("sys/leader", [Unaudited, Unaudited, Other, Other, Other, Other, Other]),
            ("sys/init", [Unaudited, Unaudited, Other, Other, Other, Other, Other]),
            ("sys/unseal", [Other; 7]),
            ("sys/health/x", [Other; 7]),
            ("sys/mounts", [Other; 7]),
            ("sys", [Other; 7]),
        ];
        for (path, classes) in table {
            for (operation, class) in OPERATIONS.iter().zip(classes) {
                assert_eq!(classify(*operation, path), *class, "{operation:?} {path}");
            }
        }
    }

    #[test]
    fn our_own_paths_never_reach_an_upstream() {
        assert_eq!(classify(Operation::Write, "vouchsafe/watch"), Class::Extension(Extension::Watch));
        assert_eq!(classify(Operation::Read, "vouchsafe/trust"), Class::Extension(Extension::Trust));
        for path in ["vouchsafe", "vouchsafe/", "vouchsafe/x", "vouchsafe/data/x"] {
            for operation in OPERATIONS {
                assert_eq!(classify(operation, path), Class::Extension(Extension::Unknown), "{path}");
            }
        }
    }

    #[test]
    fn whatever_may_make_a_lease_or_a_token_is_recorded_before_and_after() {
        let recording = |operation, path: &str, wrapped| classify(operation, path).recording(operation, path, wrapped);
        assert_eq!(recording(Operation::Read, "secret/data/a", false), Recording::Once);
        assert_eq!(recording(Operation::Read, "secret/data/a", true), Recording::Twice);
        assert_eq!(recording(Operation::Read, "database/creds/a", false), Recording::Twice);
        assert_eq!(recording(Operation::Read, "auth/token/lookup-self", false), Recording::Once);
        assert_eq!(recording(Operation::Write, "auth/token/renew-self", false), Recording::Twice);
        assert_eq!(recording(Operation::Write, "auth/kubernetes/login", false), Recording::Twice);
        assert_eq!(recording(Operation::Read, "sys/mounts", false), Recording::Once);
        assert_eq!(recording(Operation::Write, "sys/init", false), Recording::Twice);
        assert_eq!(recording(Operation::Read, "sys/health", false), Recording::None);
        assert_eq!(recording(Operation::List, "anything/", false), Recording::Once);
    }

    #[test]
    fn a_change_names_the_path_as_it_is_read() {
        let changed = |operation, path| changed_path(operation, path);
        let expected = Some("secret/data/a/b".to_owned());
        for path in ["secret/data/a/b", "secret/delete/a/b", "secret/undelete/a/b", "secret/destroy/a/b"] {
            assert_eq!(changed(Operation::Write, path), expected, "{path}");
        }
        assert_eq!(changed(Operation::Delete, "secret/metadata/a/b"), expected);
        assert_eq!(changed(Operation::Write, "secret/metadata/a/b"), None);
        assert_eq!(changed(Operation::Write, "transit/encrypt/a"), None);
    }

    #[test]
    fn tokens_in_urls_do_not_reach_a_record() {
        let token = "hvs.CAESIJ1234567890abcdef";
        for (path, expected) in [
            (format!("auth/token/lookup/{token}"), "auth/token/lookup/<hidden>"),
            ("auth/token/revoke/plain-old-id".to_owned(), "auth/token/revoke/<hidden>"),
            ("auth/token/renew/a/b".to_owned(), "auth/token/renew/<hidden>/<hidden>"),
            (format!("secret/data/{token}/x"), "secret/data/<hidden>/x"),
            ("secret/data/s.x".to_owned(), "secret/data/s.x"),
            ("auth/token/lookup".to_owned(), "auth/token/lookup"),
        ] {
            assert_eq!(audited_path(&path), expected, "{path}");
        }
    }
}
