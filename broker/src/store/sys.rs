//! The endpoints below `sys/` that need a token: where each leads.
//!
//! Out of scope: what needs none ([`super::status`]), wrapping ([`super::core`] does it for all paths), and what is not in
//! the tables below; it answers 404 as an unknown path does.

use serde_json::{Value, json};

use super::acl::Acl;
use super::core::Caller;
use super::envelope::{Answer, FORBIDDEN, Object, Refusal, object};
use super::fields::Fields;
use super::mount::Mounts;
use super::table::Session;
use super::{capabilities, leases, mount_api, policies};
use crate::upstream::Operation;

/// Lists mounts for clients and user interfaces.
pub(crate) const UI_MOUNTS: &str = "sys/internal/ui/mounts";
/// Seals the store.
pub(crate) const SEAL: &str = "sys/seal";
/// Hands the whole store out, for a backup.
pub(crate) const SNAPSHOT: &str = "sys/storage/snapshot";

/// Answers `sys/REST`.
pub(crate) fn handle(
    session: &mut Session<'_>,
    caller: &Caller,
    mounts: &Mounts,
    rest: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    use Operation::{Read, Write};
    if let Some(path) = below(rest, "mounts") {
        return mount_api::handle(session, false, path, operation, fields);
    }
    if let Some(path) = below(rest, "auth") {
        return mount_api::handle(session, true, path, operation, fields);
    }
    if let Some(name) = below(rest, "policies/acl") {
        return policies::handle(session, false, name, operation, fields);
    }
    if let Some(name) = below(rest, "policy") {
        return policies::handle(session, true, name, operation, fields);
    }
    match (rest, operation) {
        ("internal/ui/mounts" | "internal/ui/mounts/", Read) => Ok(ui_mounts(mounts, Some(&caller.acl))),
        ("capabilities-self" | "capabilities" | "capabilities-accessor", Write) => {
            capabilities::handle(session, caller, rest, fields)
        }
        _ if leases::is_path(rest) => leases::handle(rest, operation, fields),
        (rest, _) if KNOWN.contains(&rest) => Err(Refusal::unsupported()),
        _ => match below(rest, "internal/ui/mounts") {
            Some(path) if operation == Read => ui_mount(mounts, &caller.acl, path),
            _ => Err(Refusal::no_such_path()),
        },
    }
}

/// Whether `sudo` is needed on top.
pub(crate) fn needs_sudo(rest: &str) -> bool {
    matches!(rest, "seal" | "storage/snapshot")
        || leases::needs_sudo(rest)
        || rest.strip_prefix("auth/").is_some_and(|path| !path.is_empty())
}

/// Whether any valid token may ask.
pub(crate) fn is_open_to_all(rest: &str) -> bool {
    below(rest, "internal/ui/mounts").is_some()
}

/// `sys/internal/ui/mounts`: what `acl` reaches into; nothing without a token.
pub(crate) fn ui_mounts(mounts: &Mounts, acl: Option<&Acl>) -> Answer {
    let table = |auth: bool| -> Object {
        let reached = mounts.of(auth).filter(|mount| acl.is_some_and(|acl| acl.reaches_into(&mount.path)));
        reached.map(|mount| (mount.short_path().to_owned(), Value::Object(mount.info()))).collect()
    };
    Answer::data(object(json!({ "secret": table(false), "auth": table(true) })))
}

fn ui_mount(mounts: &Mounts, acl: &Acl, path: &str) -> Result<Answer, Refusal> {
    let path = path.trim_start_matches('/');
    let with_slash = if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
    let found = mounts.find(&with_slash).filter(|(mount, _)| acl.reaches_into(&mount.path));
    let Some((mount, _)) = found else {
        return Err(Refusal::said(
            FORBIDDEN,
            format!(
                "preflight capability check returned 403, please ensure client's policies grant access to path \
                 {with_slash:?}"
            ),
        ));
    };
    let mut info = mount.info();
    info.insert("path".to_owned(), Value::from(mount.short_path()));
    Ok(Answer::data(info))
}

/// The rest of `path` below `folder`; empty where it is the folder itself.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}
/// Paths that exist, for telling "no such path" from "no such operation".
const KNOWN: [&str; 9] = [
    "capabilities-self",
    "capabilities",
    "capabilities-accessor",
    "seal",
    "storage/snapshot",
    "wrapping/wrap",
    "wrapping/unwrap",
    "wrapping/rewrap",
    "wrapping/lookup",
];
