//! Holds the Lease while it can. Decisions are made in [`crate::election`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vouchsafe_net::lifecycle::Lifecycle;

use super::Complaint;
use super::cluster::{Cluster, ClusterError};
use crate::election::{DEADLINE, Election, LOOK_AT_LEASE_EVERY, Move};
use crate::metrics::Metrics;
use crate::server::Health;

/// What the task of the Lease works with.
pub(super) struct Candidate {
    pub(super) cluster: Cluster,
    pub(super) lease: String,
    pub(super) identity: String,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    /// Until when this replica may work; in the past: not.
    pub(super) until: watch::Sender<Option<Instant>>,
}

impl Candidate {
    /// Takes part in the election until the lifecycle stops, then gives the Lease back.
    pub(super) async fn run(self, lifecycle: Lifecycle) {
        let (mut election, start) = (Election::new(self.identity.clone()), Instant::now());
        let mut complaint = Complaint::new("hold the Lease");
        let mut led = false;
        while !lifecycle.is_stopping() {
            let outcome = self.look(&mut election, start).await;
            if outcome.is_ok() {
                self.health.contact(election.leads(start.elapsed()), Instant::now());
            }
            complaint.tell(outcome.err().map(|error| error.to_string()));
            let leads = election.leads(start.elapsed());
            if leads != led {
                tracing::info!(leads, identity = %self.identity, "the Lease {}", if leads { "is ours" } else { "is not ours" });
                led = leads;
            }
            self.metrics.leader.set(i64::from(leads));
            tokio::select! {
                () = lifecycle.stopping() => {}
                () = tokio::time::sleep(LOOK_AT_LEASE_EVERY) => {}
            }
        }
        self.until.send_replace(None);
        self.release(led).await;
    }

    async fn look(&self, election: &mut Election, start: Instant) -> Result<(), ClusterError> {
        let seen = self.cluster.lease(&self.lease).await?;
        if election.observe(&seen, start.elapsed()) == Move::Wait {
            self.until.send_replace(None);
            return Ok(());
        }
        let begun = Instant::now();
        let written = self.cluster.write_lease(&self.lease, &seen, &self.identity, jiff::Timestamp::now()).await;
        match written {
            Ok(()) => {
                election.wrote(begun.duration_since(start));
                self.until.send_replace(begun.checked_add(DEADLINE));
                Ok(())
            }
            Err(ClusterError::Conflict(_)) => {
                election.lost();
                self.until.send_replace(None);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A holder that ends in order leaves the Lease free, so that nobody waits for it.
    async fn release(&self, led: bool) {
        if !led {
            return;
        }
        let give_back = async {
            let seen = self.cluster.lease(&self.lease).await?;
            if seen.holder == self.identity {
                self.cluster.write_lease(&self.lease, &seen, "", jiff::Timestamp::now()).await?;
            }
            Ok::<(), ClusterError>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(RELEASE, give_back).await {
            tracing::warn!(%error, "give the Lease back");
        }
    }
}

/// Longest wait for the Lease to be given back; others take it over later anyway.
const RELEASE: Duration = Duration::from_secs(3);
