//! Our extension of the Vault API: `/v1/vouchsafe/*`, between sidecar and broker.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST vouchsafe/watch` | [`WatchRequest`] | 200 [`WatchAnswer`], after a change or `waitSeconds` |
//! | `POST vouchsafe/ack` | [`Ack`] | 204 |
//! | `POST vouchsafe/goodbye` | none | 204; the broker revokes the token later unless the pod comes back |
//! | `GET vouchsafe/trust` | | 200 [`Trust`] |
//!
//! A server without the extension (Vault itself, an older broker) answers 404 or 405: the sidecar then polls.

use serde::{Deserialize, Serialize};

/// Path of the long poll, without `/v1/`.
pub const WATCH_PATH: &str = "vouchsafe/watch";
/// Path of acknowledgements, without `/v1/`.
pub const ACK_PATH: &str = "vouchsafe/ack";
/// Path of the goodbye, without `/v1/`.
pub const GOODBYE_PATH: &str = "vouchsafe/goodbye";
/// Path of the trust bundle, without `/v1/`.
pub const TRUST_PATH: &str = "vouchsafe/trust";

/// "Tell me when one of these is no longer at this version."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchRequest {
    /// API paths as read, with the version that the asker holds: at most 64.
    pub paths: Vec<Held>,
    /// How long to wait for a change, in seconds, 0 to 60.
    pub wait_seconds: u32,
}

/// A path and the version that somebody holds of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Held {
    /// API path as read, without `/v1/`: `secret/data/argocd/github-oauth`.
    pub path: String,
    /// KV v2 version held; 0 for none.
    pub version: u64,
}

/// What changed. Empty when the wait ended without a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchAnswer {
    /// Changes, each a hint to read that path again.
    pub changes: Vec<Change>,
}

/// "Path P is now version N", never a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// API path as read.
    pub path: String,
    /// Version now; 0 where the newest version was deleted.
    pub version: u64,
}

/// "These versions are in the pod's files now."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ack {
    /// Paths and versions delivered.
    pub held: Vec<Held>,
    /// How the app took the change.
    pub applied: Applied,
}

/// How an app took a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Applied {
    /// Files were replaced; nothing else was asked for.
    Written,
    /// The app was told (signal or HTTP) and did not refuse.
    Told,
    /// The app was told and refused, or could not be reached.
    Refused,
}

/// Trust roots for the broker's own certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trust {
    /// PEM certificates: the root in use and its successor.
    pub bundle: String,
}

/// Most paths in one watch: as many as a Plan may hold secrets.
pub const WATCH_PATHS: usize = crate::plan::SECRETS;
/// Longest wait of one long poll, in seconds: below the idle time-outs of usual proxies.
pub const WATCH_SECONDS: u32 = 55;
