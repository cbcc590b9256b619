//! What survives a restart of the process: token, leases with issue times, versions, trust, last good values.
//!
//! ```text
//! {"format":1,"logins":1,"token":{"value":"…","issued":MS,"lease":S,"firstLease":S,"renewable":true},
//!  "values":[{"key":"secret/data/argocd/github","version":3,"document":{…},"lease":null}],
//!  "retired":[{"lease":"…","key":"database/creds/app","login":1,"ends":MS,"since":MS}],
//!  "revisions":[2,1],"told":[3],"bundle":"-----BEGIN…"}
//! ```
//! `told` is there once a first generation was complete. The bytes are secret as a whole and lie in the private memory
//! volume only. Out of scope: writing them (state).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use vouchsafe_model::Secret;
use vouchsafe_model::wire::Document;

use super::access::Token;
use super::retired::{Hold, Retired};
use super::source::{HeldLease, Source, Value};
use super::{Action, Machine};
use crate::moment::Moment;

/// A decoded state file.
#[derive(Debug)]
pub struct Saved {
    token: Option<Token>,
    values: BTreeMap<String, Value>,
    revisions: Vec<u64>,
    told: Option<Vec<u64>>,
    bundle: Option<String>,
    logins: u64,
    retired: Vec<SavedRetired>,
}

/// Something replaced, as an earlier process left it.
#[derive(Debug)]
struct SavedRetired {
    lease: Option<String>,
    token: Option<Secret>,
    key: String,
    undelivered: bool,
    login: u64,
    ends: Moment,
    since: Option<Moment>,
}

impl Saved {
    /// Decodes a state file; `None` where it is none of ours, so that the sidecar starts afresh.
    pub fn parse(bytes: &Secret) -> Option<Self> {
        // EXPOSE: decoding is what the bytes were kept for; the pieces go into `Document` and `Secret` again.
        let raw: Raw = serde_json::from_slice(bytes.expose()).ok()?;
        if raw.format != FORMAT {
            return None;
        }
        let token = raw.token.map(|token| Token {
            value: Secret::from(token.value),
            issued: token.issued,
            lease: Duration::from_secs(token.lease),
            first_lease: Duration::from_secs(token.first_lease),
            renewable: token.renewable,
        });
        let value = |value: RawValue<Document>| {
            let lease = value.lease.map(|lease| HeldLease {
                id: lease.id,
                issued: lease.issued,
                duration: Duration::from_secs(lease.duration),
                renewable: lease.renewable,
                first: Duration::from_secs(lease.first.unwrap_or(lease.duration)),
                login: lease.login,
            });
            (value.key, Value { document: value.document, version: value.version, lease })
        };
        let values = raw.values.into_iter().map(value).collect();
        let (logins, retired) = (raw.logins, raw.retired.into_iter().map(RawRetired::into_saved).collect());
        Some(Self { token, values, revisions: raw.revisions, told: raw.told, bundle: raw.bundle, logins, retired })
    }

    /// The bundle kept beside the Plan's.
    pub fn bundle(&self) -> Option<&str> {
        self.bundle.as_deref()
    }
}

impl Machine {
    /// The state to keep, as the bytes of a file.
    pub fn snapshot(&self) -> Secret {
        let token = self.access.token.as_ref().map(|token| RawTokenOut {
            // EXPOSE: the state volume is where the token is kept; only this container mounts it.
            value: token.value.expose_str().unwrap_or_default(),
            issued: token.issued,
            lease: token.lease.as_secs(),
            first_lease: token.first_lease.as_secs(),
            renewable: token.renewable,
        });
        // A value that has not become files yet is kept where there is no other: a lease hangs on it.
        let held = self.sources.iter().filter_map(|source| {
            let value = source.adopted.as_ref().or(source.candidate.as_ref())?;
            Some((Source::key(&source.secret), value))
        });
        let held: Vec<(String, &Value, Option<RawLease>)> =
            held.map(|(key, value)| (key, value, value.lease.as_ref().map(RawLease::of))).collect();
        let values = held
            .iter()
            .map(|(key, value, lease)| RawValueOut {
                key,
                version: value.version,
                // EXPOSE: last good values are kept for the case of a restart without network.
                document: value.document.expose(),
                lease: lease.as_ref(),
            })
            .collect();
        let told = self.delivery.ready.then(|| self.reactions.iter().map(|reaction| reaction.told).collect());
        let raw = RawOut {
            format: FORMAT,
            logins: self.access.number,
            token,
            values,
            retired: self.retired.iter().filter_map(|retired| self.raw_retired(retired)).collect(),
            revisions: self.delivery.revisions(),
            told,
            bundle: self.bundle.as_deref(),
        };
        // Maps with text keys, numbers and texts: nothing here can fail to become JSON.
        Secret::new(serde_json::to_vec(&raw).unwrap_or_default())
    }

    fn raw_retired<'a>(&self, retired: &'a Retired) -> Option<RawRetiredOut<'a>> {
        let (lease, token, key, undelivered) = match &retired.hold {
            Hold::Lease { id, source, delivered } => {
                (Some(id.as_str()), None, Source::key(&self.sources.get(*source)?.secret), !delivered)
            }
            // EXPOSE: a replaced token is given up by itself, also after a restart.
            Hold::Token(token) => (None, token.expose_str(), String::new(), false),
        };
        let (login, ends, since) = (retired.login, retired.ends, retired.since);
        Some(RawRetiredOut { lease, token, key, undelivered, login, ends, since })
    }

    fn restore_retired(&mut self, saved: SavedRetired) {
        let of = |source: &Source| Source::key(&source.secret) == saved.key;
        let hold = match (saved.lease, saved.token) {
            (Some(id), _) => {
                self.sources.iter().position(of).map(|source| Hold::Lease { id, source, delivered: !saved.undelivered })
            }
            (None, token) => token.map(Hold::Token),
        };
        if let Some(hold) = hold {
            self.retire(hold, saved.login, saved.ends, saved.since);
        }
    }

    /// Takes over what an earlier process left.
    pub(super) fn restore(&mut self, mut saved: Saved, now: Moment, actions: &mut Vec<Action>) {
        self.access.number = saved.logins;
        for retired in std::mem::take(&mut saved.retired) {
            self.restore_retired(retired);
        }
        if let Some(token) = saved.token {
            self.access.restore(token, now, &mut self.dice);
        }
        for (index, source) in self.sources.iter_mut().enumerate() {
            let Some(value) = saved.values.remove(&Source::key(&source.secret)) else { continue };
            source.floor = value.version;
            source.announced = value.version;
            source.candidate = Some(value);
            self.delivery.stale(index);
        }
        // What templates asked for while they were rendered is asked for again.
        self.unclaimed = saved
            .values
            .into_iter()
            .filter(|(key, _)| {
                key.starts_with("Secret:") || key.starts_with("List:") || key.starts_with("Certificate:")
            })
            .collect();
        if let Some(told) = saved.told.filter(|told| told.len() == self.reactions.len()) {
            self.delivery.restored = true;
            self.delivery.restore_revisions(&saved.revisions);
            self.reactions.iter_mut().zip(told).for_each(|(reaction, told)| reaction.told = told);
        }
        if let Some(bundle) = saved.bundle {
            self.bundle = Some(bundle.clone());
            actions.push(Action::UseTrust(bundle));
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    format: u32,
    token: Option<RawToken>,
    values: Vec<RawValue<Document>>,
    revisions: Vec<u64>,
    told: Option<Vec<u64>>,
    bundle: Option<String>,
    #[serde(default)]
    logins: u64,
    #[serde(default)]
    retired: Vec<RawRetired>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRetired {
    lease: Option<String>,
    token: Option<String>,
    key: String,
    undelivered: bool,
    login: u64,
    ends: Moment,
    since: Option<Moment>,
}

impl RawRetired {
    fn into_saved(self) -> SavedRetired {
        SavedRetired {
            lease: self.lease,
            token: self.token.map(Secret::from),
            key: self.key,
            undelivered: self.undelivered,
            login: self.login,
            ends: self.ends,
            since: self.since,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawToken {
    value: String,
    issued: Moment,
    lease: u64,
    first_lease: u64,
    renewable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawValue<D> {
    key: String,
    version: u64,
    document: D,
    lease: Option<RawLease>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLease {
    id: String,
    issued: Moment,
    duration: u64,
    renewable: bool,
    /// Absent in what a sidecar of version 0.1 left.
    #[serde(default)]
    first: Option<u64>,
    #[serde(default)]
    login: u64,
}

impl RawLease {
    fn of(lease: &HeldLease) -> Self {
        Self {
            id: lease.id.clone(),
            issued: lease.issued,
            duration: lease.duration.as_secs(),
            renewable: lease.renewable,
            first: Some(lease.first.as_secs()),
            login: lease.login,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawOut<'a> {
    format: u32,
    logins: u64,
    token: Option<RawTokenOut<'a>>,
    values: Vec<RawValueOut<'a>>,
    retired: Vec<RawRetiredOut<'a>>,
    revisions: Vec<u64>,
    told: Option<Vec<u64>>,
    bundle: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawRetiredOut<'a> {
    lease: Option<&'a str>,
    token: Option<&'a str>,
    key: String,
    undelivered: bool,
    login: u64,
    ends: Moment,
    since: Option<Moment>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawTokenOut<'a> {
    value: &'a str,
    issued: Moment,
    lease: u64,
    first_lease: u64,
    renewable: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawValueOut<'a> {
    key: &'a str,
    version: u64,
    document: &'a Map<String, Json>,
    lease: Option<&'a RawLease>,
}

/// Version of the state file's form. A file of another form is left aside: the sidecar then starts afresh.
const FORMAT: u32 = 1;
