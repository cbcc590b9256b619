//! `Mounts`: which engine answers which paths, and the endpoints below `sys/mounts` and `sys/auth`.
//!
//! Secrets engines here are KV version 2 only; auth methods are `kubernetes`, and `token`, which is always there.
//! Out of scope: the engines themselves, and moving a mount.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::barrier::hex;
use super::envelope::{Answer, Object, Refusal, object};
use super::fault::Fault;
use super::fields::Fields;
use super::kv2;
use super::table::{Listed, Session};
use crate::upstream::Operation;

/// What a mount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MountKind {
    /// The system's own paths.
    System,
    /// KV version 2.
    Kv,
    /// Tokens.
    Token,
    /// Logins of Kubernetes service accounts.
    Kubernetes,
}

impl MountKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Kv => "kv",
            Self::Token => "token",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// One mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// Full path with trailing slash: `secret/`, `auth/kubernetes/`.
    pub(crate) path: String,
    /// What it is.
    pub(crate) kind: MountKind,
    /// Name of its records; new whenever it is mounted again.
    pub(crate) uuid: String,
    accessor: String,
    description: String,
    options: Option<BTreeMap<String, String>>,
    /// Seconds; 0 means the system's own.
    default_lease_ttl: i64,
    /// Seconds; 0 means the system's own.
    pub(crate) max_lease_ttl: i64,
}

/// All mounts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mounts(Vec<Mount>);

impl Mounts {
    /// What a new store has: `sys/`, `auth/token/`, and `secret/` as KV version 2.
    pub(crate) fn initial(session: &Session<'_>) -> Result<Self, Fault> {
        let mut mounts = Self::default();
        let versioned = Some(BTreeMap::from([("version".to_owned(), "2".to_owned())]));
        for (path, kind, description, options) in [
            ("sys/", MountKind::System, "system endpoints", None),
            ("auth/token/", MountKind::Token, "tokens", None),
            ("secret/", MountKind::Kv, "key/value secrets", versioned),
        ] {
            mounts.0.push(Mount::new(session, path, kind, description.to_owned(), options)?);
        }
        Ok(mounts)
    }

    /// The mounts as stored.
    pub(crate) fn load(session: &Session<'_>) -> Result<Self, Fault> {
        session.read(RECORD, RECORD)?.ok_or(Fault::Shape(RECORD))
    }

    /// Stores them.
    pub(crate) fn save(&self, session: &mut Session<'_>) -> Result<(), Fault> {
        session.write(RECORD, RECORD, self, Listed::No)
    }

    /// The mount that answers `path`, and the rest of the path. `secret` finds `secret/`, with an empty rest.
    pub(crate) fn find<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Mount, &'p str)> {
        self.0.iter().find_map(|mount| {
            let rest = path.strip_prefix(mount.path.as_str());
            let bare = mount.path.strip_suffix('/').filter(|bare| *bare == path).map(|_| "");
            rest.or(bare).map(|rest| (mount, rest))
        })
    }

    /// Mounts of secrets engines (`auth` false) or auth methods (`auth` true).
    pub(crate) fn of(&self, auth: bool) -> impl Iterator<Item = &Mount> {
        self.0.iter().filter(move |mount| mount.is_auth() == auth)
    }

    fn position(&self, path: &str) -> Option<usize> {
        self.0.iter().position(|mount| mount.path == path)
    }
}

impl Mount {
    fn new(
        session: &Session<'_>,
        path: &str,
        kind: MountKind,
        description: String,
        options: Option<BTreeMap<String, String>>,
    ) -> Result<Self, Fault> {
        let name = if path.starts_with(AUTH) { format!("auth_{}", kind.as_str()) } else { kind.as_str().to_owned() };
        Ok(Self {
            path: path.to_owned(),
            kind,
            uuid: uuid_of(session.barrier.random()?),
            accessor: format!("{name}_{}", hex(&session.barrier.random::<4>()?)),
            description,
            options,
            default_lease_ttl: 0,
            max_lease_ttl: 0,
        })
    }

    /// Whether it is an auth method.
    pub(crate) fn is_auth(&self) -> bool {
        self.path.starts_with(AUTH)
    }

    /// Path within its table: an auth method without `auth/`.
    pub(crate) fn short_path(&self) -> &str {
        self.path.strip_prefix(AUTH).unwrap_or(&self.path)
    }

    /// What `sys/mounts` says about it.
    pub(crate) fn info(&self) -> Object {
        let mut config = object(json!({
            "default_lease_ttl": self.default_lease_ttl, "max_lease_ttl": self.max_lease_ttl, "force_no_cache": false,
        }));
        if self.is_auth() {
            config.insert("token_type".to_owned(), Value::from("default-service"));
        }
        object(json!({
            "type": self.kind.as_str(), "description": self.description, "accessor": self.accessor, "uuid": self.uuid,
            "options": self.options, "local": false, "seal_wrap": false, "external_entropy_access": false,
            "plugin_version": "", "running_plugin_version": "", "running_sha256": "", "config": config,
        }))
    }

    fn tune(&mut self, fields: &Fields) -> Result<(), Refusal> {
        if let Some(seconds) = fields.seconds("default_lease_ttl")? {
            self.default_lease_ttl = seconds;
        }
        if let Some(seconds) = fields.seconds("max_lease_ttl")? {
            self.max_lease_ttl = seconds;
        }
        if let Some(description) = fields.text("description")? {
            self.description = description;
        }
        Ok(())
    }
}

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
    let (path, tune) = match rest.strip_suffix("/tune") {
        Some(path) => (full_path(auth, path), true),
        None => (full_path(auth, rest), false),
    };
    match (operation, tune) {
        (Operation::Write, false) => {
            mount(session, &mut mounts, auth, &path, fields)?;
            Ok(Answer::done())
        }
        (Operation::Delete, false) => unmount(session, &mut mounts, &path),
        (Operation::Read, false) => {
            let found = mounts.position(&path).and_then(|at| mounts.0.get(at));
            let none = if auth { "No auth engine at" } else { "No secret engine mount at" };
            let mount = found.ok_or_else(|| Refusal::bad(format!("{none} {}", short(auth, &path))))?;
            Ok(Answer::data(mount.info()))
        }
        (Operation::Read, true) => {
            let found = mounts.position(&path).and_then(|at| mounts.0.get(at));
            let mount = found.ok_or_else(|| Refusal::bad(format!("cannot fetch sysview for path {path:?}")))?;
            let mut tuning = mount.info().remove("config").map(object).unwrap_or_default();
            tuning.insert("description".to_owned(), Value::from(mount.description.as_str()));
            tuning.insert("options".to_owned(), json!(mount.options));
            Ok(Answer::repeated(tuning))
        }
        (Operation::Write, true) => {
            let at = mounts.position(&path);
            let mount = at.and_then(|at| mounts.0.get_mut(at));
            let mount = mount.ok_or_else(|| Refusal::bad(format!("no mount entry found for path {path:?}")))?;
            mount.tune(fields)?;
            mounts.save(session)?;
            Ok(Answer::done())
        }
        _ => Err(Refusal::unsupported()),
    }
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
    let kind = fields.text("type")?.unwrap_or_default();
    let mut options = fields.text_map("options")?;
    let kind = match (auth, kind.as_str()) {
        (_, "") => return Err(Refusal::bad("backend type must be specified as a string")),
        (true, "kubernetes") => MountKind::Kubernetes,
        (false, "kv" | "kv-v2") => {
            let version = options.as_ref().and_then(|options| options.get("version")).map(String::as_str);
            if version != Some("2") && kind != "kv-v2" {
                return Err(Refusal::bad(
                    "the embedded store has KV version 2 only: send options={\"version\":\"2\"} or type=kv-v2",
                ));
            }
            options.get_or_insert_default().insert("version".to_owned(), "2".to_owned());
            MountKind::Kv
        }
        (true, other) => {
            return Err(Refusal::bad(format!(
                "plugin not found in the catalog: {other}: the embedded store has the auth method kubernetes only"
            )));
        }
        (false, other) => {
            return Err(Refusal::bad(format!(
                "plugin not found in the catalog: {other}: the embedded store has the secrets engine kv-v2 only"
            )));
        }
    };
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
        new.tune(&Fields::from(config.clone()))?;
    }
    mounts.0.push(new);
    mounts.0.sort_by(|one, other| one.path.cmp(&other.path));
    mounts.save(session)?;
    Ok(())
}

fn unmount(session: &mut Session<'_>, mounts: &mut Mounts, path: &str) -> Result<Answer, Refusal> {
    let Some(at) = mounts.position(path) else { return Ok(Answer::done()) };
    let mount = mounts.0.remove(at);
    match mount.kind {
        MountKind::System | MountKind::Token => {
            return Err(Refusal::bad(format!("cannot unmount {:?}", mount.short_path())));
        }
        MountKind::Kv => kv2::remove_all(session, &mount)?,
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

/// A UUID, version 4, of random bytes.
pub(crate) fn uuid_of(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let mut rest = random.as_slice();
    let parts: Vec<String> = [4, 2, 2, 2, 6].into_iter().filter_map(|bytes| rest.split_off(..bytes)).map(hex).collect();
    parts.join("-")
}

/// What auth methods' paths begin with.
const AUTH: &str = "auth/";
/// Paths that are no mount here but must never become one.
const RESERVED: [&str; 5] = ["auth/", "sys/", "cubbyhole/", "identity/", "vouchsafe/"];
/// Name of the record.
const RECORD: &str = "mounts";

#[cfg(test)]
impl Mount {
    /// An auth method at `auth/kubernetes/`.
    pub(crate) fn example() -> Self {
        Self {
            path: "auth/kubernetes/".to_owned(),
            kind: MountKind::Kubernetes,
            uuid: "u".to_owned(),
            accessor: String::new(),
            description: String::new(),
            options: None,
            default_lease_ttl: 0,
            max_lease_ttl: 0,
        }
    }
}
