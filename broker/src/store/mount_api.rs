//! The endpoints below `sys/mounts` and `sys/auth`: list, mount, tune, unmount.
//!
//! Out of scope: moving a mount.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::envelope::{Answer, Object, Refusal, object};
use super::fields::Fields;
use super::mount::{AUTH, Mount, MountKind, Mounts};
use super::table::Session;
use super::token::MAX_TTL;
use super::{kv1, kv2};
use crate::upstream::Operation;

/// `sys/mounts…` (`auth` false) and `sys/auth…` (`auth` true); `rest` is the mount's path, or empty.
pub(crate) fn handle(
    session: &mut Session<'_>,
    auth: bool,
    rest: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let mut mounts = Mounts::load(session)?;
    if rest.is_empty() {
        return match operation {
            Operation::Read | Operation::List => Ok(Answer::repeated(table(&mounts, auth))),
            _ => Err(Refusal::unsupported()),
        };
    }
    let (path, is_tuning) = match rest.strip_suffix("/tune") {
        Some(path) => (full_path(auth, path), true),
        None => (full_path(auth, rest), false),
    };
    match (operation, is_tuning) {
        (Operation::Write, false) => {
            mount(session, &mut mounts, auth, &path, fields)?;
            Ok(Answer::done())
        }
        (Operation::Delete, false) => unmount(session, &mut mounts, &path),
        (Operation::Read, false) => {
            let found = mounts.position(&path).and_then(|at| mounts.0.get(at));
            let none = if auth { "No auth engine at" } else { "No secret engine mount at" };
            let mount = found.ok_or_else(|| Refusal::bad(format!("{none} {}", short(auth, &path))))?;
            Ok(Answer::repeated(mount.info()))
        }
        (Operation::Read, true) => {
            let found = mounts.position(&path).and_then(|at| mounts.0.get(at));
            let mount = found.ok_or_else(|| Refusal::bad(format!("cannot fetch sysview for path {path:?}")))?;
            Ok(Answer::repeated(tuning(mount)))
        }
        (Operation::Write, true) => tune(session, &mut mounts, &path, fields),
        _ => Err(Refusal::unsupported()),
    }
}

/// What `…/tune` says: the limits as they hold, the system's own where the mount has none.
fn tuning(mount: &Mount) -> Object {
    let or_system = |seconds: i64| if seconds > 0 { seconds } else { MAX_TTL };
    let mut tuning = mount.info().remove("config").map(object).unwrap_or_default();
    tuning.insert("default_lease_ttl".to_owned(), Value::from(or_system(mount.default_lease_ttl)));
    tuning.insert("max_lease_ttl".to_owned(), Value::from(or_system(mount.max_lease_ttl)));
    tuning.insert("description".to_owned(), Value::from(mount.description.as_str()));
    if let Some(options) = mount.options.as_ref().filter(|options| !options.is_empty()) {
        tuning.insert("options".to_owned(), json!(options));
    }
    tuning
}

fn tune(session: &mut Session<'_>, mounts: &mut Mounts, path: &str, fields: &Fields) -> Result<Answer, Refusal> {
    let at = mounts.position(path);
    let mount = at.and_then(|at| mounts.0.get_mut(at));
    let mount = mount.ok_or_else(|| Refusal::bad(format!("tune of path {path:?} failed: no mount entry found")))?;
    set_limits(mount, fields)?;
    if let Some(description) = fields.text("description")? {
        mount.description = description;
    }
    let mut warnings = Vec::new();
    let version = fields.text_map("options")?.and_then(|mut options| options.remove("version"));
    match (mount.kind, version.as_deref()) {
        (_, None) | (MountKind::Kv, Some("2")) | (MountKind::Kv1, Some("1")) => {}
        (MountKind::Kv1, Some("2")) => {
            kv1::upgrade(session, mount)?;
            mount.kind = MountKind::Kv;
            mount.options.get_or_insert_default().insert("version".to_owned(), "2".to_owned());
            warnings.push(UPGRADED.to_owned());
        }
        (MountKind::Kv, Some("1")) => return Err(Refusal::bad("cannot downgrade mount from version 2")),
        (_, Some(other)) => {
            return Err(Refusal::bad(format!("options: version {other:?}: a KV mount has version 1 or 2")));
        }
    }
    mounts.save(session)?;
    Ok(Answer::done().warn(warnings))
}

fn set_limits(mount: &mut Mount, fields: &Fields) -> Result<(), Refusal> {
    let default = fields.seconds("default_lease_ttl")?.unwrap_or(mount.default_lease_ttl);
    let max = fields.seconds("max_lease_ttl")?.unwrap_or(mount.max_lease_ttl);
    if max > 0 && default > max {
        return Err(Refusal::bad(format!(
            "backend max lease TTL of {max} would be less than backend default lease TTL of {default}"
        )));
    }
    (mount.default_lease_ttl, mount.max_lease_ttl) = (default.max(0), max.max(0));
    Ok(())
}

/// What `sys/mounts` or `sys/auth` lists.
fn table(mounts: &Mounts, auth: bool) -> Object {
    mounts.of(auth).map(|mount| (mount.short_path().to_owned(), Value::Object(mount.info()))).collect()
}

fn mount(
    session: &mut Session<'_>,
    mounts: &mut Mounts,
    auth: bool,
    path: &str,
    fields: &Fields,
) -> Result<(), Refusal> {
    let asked = fields.text("type")?.unwrap_or_default();
    let (kind, options) = kind_of(auth, &asked, fields.text_map("options")?)?;
    let bare = short(auth, path);
    if !auth && PROTECTED.contains(&bare) {
        return Err(Refusal::bad(format!("cannot mount {bare:?}")));
    }
    let taken = |other: &Mount| other.path.starts_with(path) || path.starts_with(&other.path);
    let reserved = !auth && RESERVED.iter().any(|reserved| path.starts_with(reserved));
    if mounts.0.iter().any(taken) || reserved {
        return Err(Refusal::bad(format!("path is already in use at {}", short(auth, path))));
    }
    if path.contains("//") || path.contains(['*', '+', '{', '}']) {
        return Err(Refusal::bad(format!("invalid mount path {:?}", short(auth, path))));
    }
    let mut new = Mount::new(session, path, kind, fields.text("description")?.unwrap_or_default(), options)?;
    if let Some(config) = fields.object("config")? {
        set_limits(&mut new, &Fields::from(config.clone()))?;
    }
    mounts.0.push(new);
    mounts.0.sort_by(|one, other| one.path.cmp(&other.path));
    mounts.save(session)?;
    Ok(())
}

/// What a mount of type `asked` is, with its options as they are kept.
fn kind_of(
    auth: bool,
    asked: &str,
    options: Option<BTreeMap<String, String>>,
) -> Result<(MountKind, Option<BTreeMap<String, String>>), Refusal> {
    let version = options.as_ref().and_then(|options| options.get("version")).cloned();
    let unknown = |has: &str| {
        Refusal::bad(format!("plugin not found in the catalog: {asked}: the embedded store has {has} only"))
    };
    let (kind, version) = match (auth, asked, version.as_deref()) {
        (_, "", _) => return Err(Refusal::bad("backend type must be specified as a string")),
        (true, "kubernetes", _) => return Ok((MountKind::Kubernetes, Some(options.unwrap_or_default()))),
        (true, ..) => return Err(unknown("the auth method kubernetes")),
        (false, "kv-v2", _) | (false, "kv", Some("2")) => (MountKind::Kv, Some("2")),
        (false, "kv-v1", _) | (false, "kv", Some("1")) => (MountKind::Kv1, Some("1")),
        (false, "kv", None) => (MountKind::Kv1, None),
        (false, "kv", Some(_)) => return Err(Refusal::bad("nil backend of type \"kv\" returned from factory")),
        (false, ..) => return Err(unknown("the secrets engines kv-v1 and kv-v2")),
    };
    let mut options = options.unwrap_or_default();
    if let Some(version) = version {
        options.insert("version".to_owned(), version.to_owned());
    }
    Ok((kind, Some(options)))
}

fn unmount(session: &mut Session<'_>, mounts: &mut Mounts, path: &str) -> Result<Answer, Refusal> {
    let Some(at) = mounts.position(path) else { return Ok(Answer::done()) };
    let mount = mounts.0.remove(at);
    match mount.kind {
        MountKind::System | MountKind::Token | MountKind::Cubbyhole => {
            return Err(Refusal::bad(format!("cannot unmount {:?}", mount.short_path())));
        }
        MountKind::Kv => kv2::remove_all(session, &mount)?,
        MountKind::Kv1 => kv1::remove_all(session, &mount)?,
        MountKind::Kubernetes => super::kubernetes::remove_all(session, &mount)?,
    }
    mounts.save(session)?;
    Ok(Answer::done())
}

fn full_path(auth: bool, path: &str) -> String {
    format!("{}{}/", if auth { AUTH } else { "" }, path.trim_end_matches('/'))
}

fn short(auth: bool, path: &str) -> &str {
    if auth { path.strip_prefix(AUTH).unwrap_or(path) } else { path }
}

/// Paths that are no mount here but must never become one.
const RESERVED: [&str; 5] = ["auth/", "sys/", "cubbyhole/", "identity/", "vouchsafe/"];
/// Paths that Vault refuses to mount at.
const PROTECTED: [&str; 4] = ["auth/", "sys/", "cubbyhole/", "identity/"];
/// What tuning a KV mount to version 2 says; here it is done with the answer.
const UPGRADED: &str = "Upgrading mount from version 1 to version 2. This mount will be unavailable for a brief period and \
                        will resume service shortly.";
