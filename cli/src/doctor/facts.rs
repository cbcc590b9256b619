//! What was seen of an installation. Pure; gathered in [`super::gather`].

use std::time::SystemTime;

use serde_json::{Map, Value};

/// The result of looking at one thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen<T> {
    Found(T),
    Absent,
    /// It could not be looked at, and why.
    Unknown(String),
}

/// What came of an annotated pod that was tried as a dry run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Probe {
    /// The API server's answer: the pod as it would have been created.
    Admitted(Box<Value>),
    /// Its refusal.
    Refused(String),
    /// It was not tried, and why.
    Untried(String),
}

/// Everything that the checks look at.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) now: SystemTime,
    pub(crate) installation: String,
    pub(crate) release: String,
    /// Audience of the installation as the caller says it; the probe shows the real one.
    pub(crate) audience: String,
    pub(crate) pods_configuration: Seen<Value>,
    pub(crate) warnings_configuration: Seen<Value>,
    /// Ready addresses behind the webhook's Service.
    pub(crate) endpoints: Seen<usize>,
    pub(crate) probe: Probe,
    /// Grant that the probe named; `None` where there is none in the cluster.
    pub(crate) probed: Option<String>,
    /// Server certificates by the name of their Secret, PEM.
    pub(crate) certificates: Vec<(String, Seen<String>)>,
    /// The trust bundle, PEM.
    pub(crate) trust: Seen<String>,
    pub(crate) policies: Seen<Vec<Value>>,
    pub(crate) bindings: Seen<Vec<Value>>,
    pub(crate) lease: Seen<Value>,
    pub(crate) refusals: Seen<Vec<Refusal>>,
    pub(crate) grants: Seen<Vec<Value>>,
    /// The account that reviews tokens for Vault, and whether it may.
    pub(crate) reviewer: Option<(String, Seen<bool>)>,
    /// How far the API server's clock is ahead of ours, in seconds.
    pub(crate) cluster_clock: Seen<i64>,
    pub(crate) vault: Option<VaultSeen>,
}

/// A workload whose pods were refused because the webhook could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) namespace: String,
    /// `ReplicaSet web-5d4f`.
    pub(crate) owner: String,
    /// Last time, as seconds before now.
    pub(crate) age_seconds: u64,
}

/// Vault or OpenBao as it answered.
#[derive(Clone, Debug)]
pub(crate) struct VaultSeen {
    pub(crate) address: String,
    /// Status and body of its health.
    pub(crate) health: Result<(u16, Value), String>,
    /// How far its clock is ahead of ours, in seconds.
    pub(crate) clock: Seen<i64>,
    /// Roles that the Grants make, by API path.
    pub(crate) roles: Vec<(String, Seen<Map<String, Value>>)>,
}

/// Outcome of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Ok,
    /// Not checked, and why.
    Skipped,
    Warn,
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    /// One cause, or what is well.
    pub(crate) said: String,
    /// One command; empty where nothing is to do.
    pub(crate) command: String,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}
