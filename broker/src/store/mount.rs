//! `Mounts`: which engine answers which paths.
//!
//! Secrets engines here are KV, versions 1 and 2, and the cubbyhole; auth methods are `kubernetes`, and `token`, which is always there.
//! Out of scope: the endpoints ([`super::mount_api`]), the engines themselves, and moving a mount.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::barrier::hex;
use super::envelope::{Object, object};
use super::fault::Fault;
use super::table::{Listed, Session};

/// What a mount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MountKind {
    /// The system's own paths.
    System,
    /// KV version 2.
    Kv,
    /// KV version 1.
    Kv1,
    /// A place of each token's own.
    Cubbyhole,
    /// Tokens.
    Token,
    /// Logins of Kubernetes service accounts.
    Kubernetes,
}

impl MountKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Kv | Self::Kv1 => "kv",
            Self::Cubbyhole => "cubbyhole",
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
    /// A text for people.
    pub(super) description: String,
    /// `version` of KV.
    pub(super) options: Option<BTreeMap<String, String>>,
    /// Seconds; 0 means the system's own.
    pub(crate) default_lease_ttl: i64,
    /// Seconds; 0 means the system's own.
    pub(super) max_lease_ttl: i64,
}

/// All mounts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mounts(pub(super) Vec<Mount>);

impl Mounts {
    /// What a new store has: `sys/`, `auth/token/`, `cubbyhole/`, and `secret/` as KV version 2.
    pub(crate) fn initial(session: &Session<'_>) -> Result<Self, Fault> {
        let mut mounts = Self::default();
        let versioned = Some(BTreeMap::from([("version".to_owned(), "2".to_owned())]));
        for (path, kind, description, options) in [
            ("sys/", MountKind::System, "system endpoints used for control, policy and debugging", None),
            ("auth/token/", MountKind::Token, "token based credentials", None),
            ("secret/", MountKind::Kv, "key/value secret storage", versioned),
        ] {
            mounts.0.push(Mount::new(session, path, kind, description.to_owned(), options)?);
        }
        mounts.add_cubbyhole(session)?;
        Ok(mounts)
    }

    /// Adds `cubbyhole/` where it is missing; whether it was.
    pub(crate) fn add_cubbyhole(&mut self, session: &Session<'_>) -> Result<bool, Fault> {
        if self.0.iter().any(|mount| mount.kind == MountKind::Cubbyhole) {
            return Ok(false);
        }
        let text = "per-token private secret storage".to_owned();
        self.0.push(Mount::new(session, "cubbyhole/", MountKind::Cubbyhole, text, None)?);
        self.0.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(true)
    }

    /// Adds `auth/kubernetes/` to the mounts of a store that is being made.
    pub(crate) fn add_kubernetes(&mut self, session: &Session<'_>) -> Result<Mount, Fault> {
        let text = "service accounts of this cluster".to_owned();
        let mount = Mount::new(session, "auth/kubernetes/", MountKind::Kubernetes, text, Some(BTreeMap::new()))?;
        self.0.push(mount.clone());
        self.0.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(mount)
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

    /// Place of the mount at `path`.
    pub(super) fn position(&self, path: &str) -> Option<usize> {
        self.0.iter().position(|mount| mount.path == path)
    }
}

impl Mount {
    /// A new mount; its uuid and accessor are its own for ever.
    pub(super) fn new(
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
            "options": self.options, "local": self.kind == MountKind::Cubbyhole, "seal_wrap": false, "external_entropy_access": false,
            "plugin_version": "", "running_plugin_version": "", "running_sha256": "", "config": config,
        }))
    }
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
pub(super) const AUTH: &str = "auth/";
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
