//! The endpoints below `sys/`: health, seal state, mounts, policies, capabilities, leases.
//!
//! There are no leased secrets here, so every lease is unknown. Out of scope: what is not in the tables below; it answers
//! 404 as an unknown path does.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::acl::Acl;
use super::core::Caller;
use super::envelope::{Answer, FORBIDDEN, Object, Refusal, UNAVAILABLE, object};
use super::fields::Fields;
use super::mount::{self, Mounts};
use super::policies;
use super::table::Session;
use crate::upstream::{Operation, UpstreamRequest};

/// Lists mounts for clients and user interfaces.
pub(crate) const UI_MOUNTS: &str = "sys/internal/ui/mounts";
/// Seals the store.
pub(crate) const SEAL: &str = "sys/seal";

/// What health and seal state say.
pub(crate) struct Facts {
    /// Whether the keys are away.
    pub(crate) sealed: bool,
    /// Identifies the store.
    pub(crate) cluster_id: String,
    /// The time.
    pub(crate) now: Timestamp,
}

/// Answers the paths that need no token and work sealed.
pub(crate) fn open_path(request: &UpstreamRequest, facts: &Facts) -> Option<Result<Answer, Refusal>> {
    use Operation::{Head, Read, Write};
    let answer = match (request.path.as_str(), request.operation) {
        ("sys/health", Read | Head) => health(request, facts),
        ("sys/seal-status", Read) => Answer::plain(200, seal_status(facts)),
        ("sys/leader", Read) => Answer::plain(
            200,
            json!({
                "ha_enabled": false, "is_self": false, "active_time": "0001-01-01T00:00:00Z", "leader_address": "",
                "leader_cluster_address": "", "performance_standby": false,
                "performance_standby_last_remote_wal": 0,
            }),
        ),
        ("sys/init", Read) => Answer::plain(200, json!({ "initialized": true })),
        ("sys/init", Write) => return Some(Err(Refusal::bad("Vault is already initialized"))),
        ("sys/unseal", Write) if !facts.sealed => Answer::plain(200, seal_status(facts)),
        ("sys/unseal", Write) => {
            let text = "the embedded store unseals itself from its key file when its program starts: restart it";
            return Some(Err(Refusal::bad(text)));
        }
        _ => return None,
    };
    Some(Ok(answer))
}

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
        return mount::handle(session, false, path, operation, fields);
    }
    if let Some(path) = below(rest, "auth") {
        return mount::handle(session, true, path, operation, fields);
    }
    if let Some(name) = below(rest, "policies/acl") {
        return policies::handle(session, false, name, operation, fields);
    }
    if let Some(name) = below(rest, "policy") {
        return policies::handle(session, true, name, operation, fields);
    }
    match (rest, operation) {
        ("internal/ui/mounts" | "internal/ui/mounts/", Read) => Ok(ui_mounts(mounts, Some(&caller.acl))),
        ("capabilities-self", Write) => capabilities(&caller.acl, fields),
        ("capabilities", Write) => {
            let value = fields.secret("token")?.ok_or_else(|| Refusal::bad("no token found"))?;
            let (_, token) = super::token::find(session, &value)?.ok_or_else(|| Refusal::bad("invalid token"))?;
            capabilities(&policies::acl_of(session, &token)?, fields)
        }
        ("leases/lookup" | "leases/renew" | "renew" | "leases/revoke" | "revoke", Write) => lease(rest, fields),
        ("capabilities-self" | "capabilities" | "leases/lookup" | "leases/renew" | "seal", _) => {
            Err(Refusal::unsupported())
        }
        _ => match below(rest, "internal/ui/mounts") {
            Some(path) if operation == Read => ui_mount(mounts, &caller.acl, path),
            _ => Err(Refusal::no_such_path()),
        },
    }
}

/// Whether `sudo` is needed on top.
pub(crate) fn needs_sudo(rest: &str) -> bool {
    rest == "seal" || rest.strip_prefix("auth/").is_some_and(|path| !path.is_empty())
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

fn capabilities(acl: &Acl, fields: &Fields) -> Result<Answer, Refusal> {
    let mut paths = fields.texts("paths")?.unwrap_or_default();
    paths.extend(fields.text("path")?.filter(|path| !path.is_empty()));
    if paths.is_empty() {
        return Err(Refusal::bad("paths must be supplied"));
    }
    let mut data = Object::new();
    for path in &paths {
        let held = super::core::texts(acl.capabilities(path.trim_start_matches('/')));
        if paths.len() == 1 {
            data.insert("capabilities".to_owned(), held.clone());
        }
        data.insert(path.clone(), held);
    }
    Ok(Answer::repeated(data))
}

/// Nothing here has a lease.
fn lease(rest: &str, fields: &Fields) -> Result<Answer, Refusal> {
    let id = fields.text("lease_id")?.unwrap_or_default();
    match (id.as_str(), rest) {
        ("", _) => Err(Refusal::bad("lease_id must be specified")),
        (_, "leases/lookup") => Err(Refusal::bad("invalid lease")),
        (_, "leases/revoke" | "revoke") => Ok(Answer::done()),
        _ => Err(Refusal::bad("lease not found")),
    }
}

fn health(request: &UpstreamRequest, facts: &Facts) -> Answer {
    let code = |name: &str, default: u16| {
        let asked = request.query.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok());
        asked.filter(|code| (100..600).contains(code)).unwrap_or(default)
    };
    let status = if facts.sealed { code("sealedcode", UNAVAILABLE) } else { code("activecode", 200) };
    let mut body = object(json!({
        "initialized": true, "sealed": facts.sealed, "standby": facts.sealed, "performance_standby": false,
        "replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
        "server_time_utc": facts.now.as_second(), "version": VERSION,
    }));
    if !facts.sealed {
        body.insert("cluster_name".to_owned(), Value::from(CLUSTER));
        body.insert("cluster_id".to_owned(), Value::from(facts.cluster_id.as_str()));
    }
    Answer::plain(status, Value::Object(body))
}

fn seal_status(facts: &Facts) -> Value {
    let mut body = object(json!({
        "type": "static", "initialized": true, "sealed": facts.sealed, "t": 1, "n": 1, "progress": 0, "nonce": "",
        "version": VERSION, "build_date": "", "migration": false, "recovery_seal": false, "storage_type": "redb",
    }));
    if !facts.sealed {
        body.insert("cluster_name".to_owned(), Value::from(CLUSTER));
        body.insert("cluster_id".to_owned(), Value::from(facts.cluster_id.as_str()));
    }
    Value::Object(body)
}

/// The rest of `path` below `folder`; empty where it is the folder itself.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Version that the API shows: ours, said so that nobody takes it for Vault's.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+vouchsafe");
/// Name of every embedded store.
const CLUSTER: &str = "vouchsafe-embedded";
