//! `Key`: what is kept about a key of KV version 2, and where its records lie.
//!
//! ```text
//! kv/UUID/config         settings of the mount
//! kv/UUID/meta/PATH      Key: versions and settings (listed)
//! kv/UUID/data/N/PATH    the object of version N, as it was sent: numbers keep their digits
//! ```
//! Out of scope: requests ([`super::kv2`], [`super::kv2_metadata`]).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vouchsafe_model::wire::extension::Change;

use super::envelope::{Object, object};
use super::fault::Fault;
use super::mount::Mount;
use super::table::{Listed, Session};

/// Versions kept where neither mount nor key says how many, as in Vault.
const DEFAULT_VERSIONS: u64 = 10;
/// Mount setting "never delete by age".
const NEVER: i64 = -1;

/// Settings of a mount.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Config {
    /// 0 for the default.
    pub(crate) max_versions: u64,
    /// Whether every write must check-and-set.
    pub(crate) cas_required: bool,
    /// The same for metadata.
    pub(crate) metadata_cas_required: bool,
    /// Seconds; 0 for none, -1 to forbid it to keys as well.
    pub(crate) delete_version_after: i64,
}

/// What is kept about a key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Versions that are kept, by number.
    pub(crate) versions: BTreeMap<u64, Version>,
    /// Number of the newest version; 0 before the first.
    pub(crate) current: u64,
    /// Number of the oldest version kept; 0 before the first was dropped.
    pub(crate) oldest: u64,
    /// When the key was made.
    pub(crate) created: Timestamp,
    /// When it was last written.
    pub(crate) updated: Timestamp,
    /// 0 for the mount's.
    pub(crate) max_versions: u64,
    /// Whether writes must check-and-set.
    pub(crate) cas_required: bool,
    /// The same for metadata.
    pub(crate) metadata_cas_required: bool,
    /// Counts writes of the metadata.
    pub(crate) metadata_version: u64,
    /// Seconds; 0 for the mount's.
    pub(crate) delete_version_after: i64,
    /// Free texts; empty for none.
    pub(crate) custom: BTreeMap<String, String>,
}

/// One version of a key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Version {
    /// When it was written.
    pub(crate) created: Timestamp,
    /// When it is or was deleted.
    pub(crate) deleted: Option<Timestamp>,
    /// Whether its data is gone for good.
    pub(crate) destroyed: bool,
}

impl Version {
    /// Whether a read finds no data.
    pub(crate) fn is_gone(&self, now: Timestamp) -> bool {
        self.destroyed || self.deleted.is_some_and(|at| at <= now)
    }
}

impl Key {
    /// A key without versions.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            versions: BTreeMap::new(),
            current: 0,
            oldest: 0,
            created: now,
            updated: now,
            max_versions: 0,
            cas_required: false,
            metadata_cas_required: false,
            metadata_version: 0,
            delete_version_after: 0,
            custom: BTreeMap::new(),
        }
    }

    /// `custom_metadata` as answers show it.
    pub(crate) fn custom_value(&self) -> Value {
        if self.custom.is_empty() { Value::Null } else { json!(self.custom) }
    }

    /// Adds a version; the numbers of those that are no longer kept.
    pub(crate) fn add(&mut self, now: Timestamp, deleted: Option<Timestamp>, config: &Config) -> Vec<u64> {
        self.current += 1;
        self.updated = now;
        self.versions.insert(self.current, Version { created: now, deleted, destroyed: false });
        let limit = match config.max_versions.max(self.max_versions) {
            0 => DEFAULT_VERSIONS,
            limit => limit,
        };
        let mut dropped = Vec::new();
        while u64::try_from(self.versions.len()).unwrap_or(u64::MAX) > limit {
            let Some((number, _)) = self.versions.pop_first() else { break };
            dropped.push(number);
            self.oldest = number + 1;
        }
        dropped
    }

    /// When a version written or restored now is deleted by age.
    pub(crate) fn deletion(&self, now: Timestamp, config: &Config) -> Option<Timestamp> {
        if config.delete_version_after == NEVER {
            return None;
        }
        let after = [config.delete_version_after, self.delete_version_after].into_iter().filter(|s| *s > 0).min()?;
        Some(now.saturating_add(SignedDuration::from_secs(after)).unwrap_or(Timestamp::MAX))
    }
}

/// A key of a mount, and where its records lie.
pub(crate) struct Place<'a> {
    /// The mount.
    pub(crate) mount: &'a Mount,
    /// Path of the key in it.
    pub(crate) path: &'a str,
}

impl Place<'_> {
    /// The key, if there is one.
    pub(crate) fn load(&self, session: &Session<'_>) -> Result<Option<Key>, Fault> {
        session.read("kv key", &self.key_record())
    }

    /// Stores the key.
    pub(crate) fn save(&self, session: &mut Session<'_>, key: &Key) -> Result<(), Fault> {
        session.write("kv key", &self.key_record(), key, Listed::Yes)
    }

    /// Removes the key with everything.
    pub(crate) fn remove(&self, session: &mut Session<'_>, key: &Key) -> Result<(), Fault> {
        for number in key.versions.keys() {
            session.remove(&self.data_record(*number), Listed::No)?;
        }
        session.remove(&self.key_record(), Listed::Yes)
    }

    /// Announces what a read of the newest version gives now.
    pub(crate) fn announce(&self, session: &mut Session<'_>, key: Option<&Key>) {
        let live = |key: &Key| key.versions.get(&key.current).is_some_and(|version| !version.is_gone(session.now));
        let version = key.filter(|key| live(key)).map_or(0, |key| key.current);
        session.announce(Change { path: format!("{}data/{}", self.mount.path, self.path), version });
    }

    pub(crate) fn key_record(&self) -> String {
        format!("{}{}", key_folder(self.mount), self.path)
    }

    pub(crate) fn data_record(&self, number: u64) -> String {
        format!("kv/{}/data/{number}/{}", self.mount.uuid, self.path)
    }
}

/// Folder of the keys of a mount.
pub(crate) fn key_folder(mount: &Mount) -> String {
    format!("kv/{}/meta/", mount.uuid)
}

/// The metadata of one version, as reads and writes show it.
pub(crate) fn version_data(key: &Key, number: u64, version: &Version) -> Object {
    object(json!({
        "version": number, "created_time": version.created.to_string(),
        "deletion_time": version.deleted.map(|at| at.to_string()).unwrap_or_default(),
        "destroyed": version.destroyed, "custom_metadata": key.custom_value(),
    }))
}
