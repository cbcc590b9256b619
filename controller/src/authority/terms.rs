//! `Terms`: for whom certificates are made, and for how long. Pure.

use std::time::{Duration, SystemTime};

use super::name::ServerName;

/// Names and lifetimes, checked to fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    names: Vec<ServerName>,
    ca_lifetime: Duration,
    overlap: Duration,
    leaf_lifetime: Duration,
}

/// Why lifetimes cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// A root would end before its successor may sign.
    #[error(
        "--ca-lifetime must be at least --leaf-lifetime and three times --ca-overlap together ({least}s): a root signs for \
         half of its life, and its successor must be known for the overlap before that"
    )]
    TooShort {
        /// The least lifetime of a root, in seconds.
        least: u64,
    },
    /// A leaf would be renewed all the time.
    #[error("--leaf-lifetime must be at least 3 s and --ca-overlap at least 1 s")]
    NoTime,
    /// Nobody to vouch for.
    #[error("--serving names no server; give at least one SECRET=DNS, or --ca-file for an authority of your own")]
    NoNames,
}

impl Terms {
    /// Terms for `names`, all servers' together.
    pub fn new(
        names: Vec<ServerName>,
        ca_lifetime: Duration,
        overlap: Duration,
        leaf_lifetime: Duration,
    ) -> Result<Self, TermsError> {
        if names.is_empty() {
            return Err(TermsError::NoNames);
        }
        if leaf_lifetime < LEAST_LEAF || overlap < LEAST_OVERLAP {
            return Err(TermsError::NoTime);
        }
        let least = leaf_lifetime.saturating_add(overlap.saturating_mul(3));
        if ca_lifetime < least {
            return Err(TermsError::TooShort { least: least.as_secs() });
        }
        Ok(Self { names, ca_lifetime, overlap, leaf_lifetime })
    }

    /// Every name that the roots vouch for.
    pub fn names(&self) -> &[ServerName] {
        &self.names
    }

    /// How long a successor is published before it signs.
    pub fn overlap(&self) -> Duration {
        self.overlap
    }

    /// Life of a server's certificate.
    pub fn leaf_lifetime(&self) -> Duration {
        self.leaf_lifetime
    }

    /// Life of a root: it waits as successor for one half, and signs for the other.
    pub fn ca_lifetime(&self) -> Duration {
        self.ca_lifetime
    }

    /// How long a root signs. What is left of its life then covers its last leaf and an overlap, so nothing ends early.
    pub fn signing_period(&self) -> Duration {
        self.ca_lifetime.saturating_sub(self.leaf_lifetime).saturating_sub(self.overlap) / 2
    }

    /// When a root that signs no more may leave the bundle: the last leaf that it signed has expired.
    pub fn forgotten_at(&self, retired: SystemTime) -> SystemTime {
        super::later(retired, self.leaf_lifetime)
    }
}

/// Below this "two thirds of its life" cannot be told in whole seconds.
const LEAST_LEAF: Duration = Duration::from_secs(3);
/// Certificates count in seconds.
const LEAST_OVERLAP: Duration = Duration::from_secs(1);
