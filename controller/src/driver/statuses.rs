//! Follows the cluster's Grants and writes their status. What stands in it is decided in [`crate::grants`].

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::sync::watch;
use vouchsafe_net::lifecycle::Lifecycle;

use super::cluster::{Cluster, ClusterError, failed, request};
use super::{Complaint, leads};
use crate::grants::{Objects, judge};
use crate::metrics::Metrics;

/// What the task of the Grants works with.
pub(super) struct Statuses {
    pub(super) cluster: Cluster,
    pub(super) metrics: Arc<Metrics>,
    pub(super) until: watch::Receiver<Option<Instant>>,
}

impl Statuses {
    /// Works until the lifecycle stops.
    pub(super) async fn run(self, lifecycle: Lifecycle) {
        let mut complaint = Complaint::new("look after the status of Grants");
        loop {
            let ended = tokio::select! {
                () = lifecycle.stopping() => return,
                ended = self.round(&mut complaint) => ended,
            };
            if let Err(error) = ended {
                self.metrics.failed("grants");
                complaint.tell(Some(error.to_string()));
            }
            tokio::select! {
                () = lifecycle.stopping() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// One list and the watches that continue it, until an error or until the server forgot our place.
    async fn round(&self, complaint: &mut Complaint) -> Result<(), ClusterError> {
        let api = self.cluster.grants();
        let list = request("list", WHAT.to_owned(), api.list(&ListParams::default())).await?;
        let mut version = list.metadata.resource_version.clone().unwrap_or_default();
        let mut objects: Objects = list.items.iter().filter_map(entry).collect();
        complaint.tell(None);
        let mut is_due = true;
        loop {
            let parameters = WatchParams::default().timeout(WATCH_SECONDS);
            let events = api.watch(&parameters, &version).await;
            let mut events = pin!(events.map_err(|error| failed("watch", WHAT.to_owned(), &error))?);
            let mut heard = Instant::now();
            while heard.elapsed() < SILENCE {
                match next(&mut events).await {
                    Step::Quiet if is_due => is_due = !self.write(&objects).await?,
                    Step::Quiet => {}
                    Step::Event(event) => {
                        let Some(next) = take(&mut objects, *event) else { return Ok(()) };
                        (version, is_due, heard) = (next, true, Instant::now());
                    }
                    Step::Failed(error) => return Err(failed("watch", WHAT.to_owned(), &error)),
                    Step::Ended => break,
                }
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// Writes the statuses that differ, if this replica works; says whether it does.
    async fn write(&self, objects: &Objects) -> Result<bool, ClusterError> {
        if !leads(&self.until) {
            return Ok(false);
        }
        let judged = judge(objects, &super::now_text());
        self.metrics.compiled.set(i64::try_from(judged.compiled).unwrap_or(i64::MAX));
        self.metrics.refused.set(i64::try_from(judged.refused).unwrap_or(i64::MAX));
        for patch in &judged.patches {
            match self.cluster.write_status(patch).await {
                Ok(()) => tracing::info!(ns = %patch.namespace, grant = %patch.name, "wrote the status"),
                // The object is newer, or gone: its own event follows.
                Err(ClusterError::Conflict(_) | ClusterError::Absent(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// What a moment brought.
enum Step {
    Quiet,
    Event(Box<WatchEvent<DynamicObject>>),
    Failed(kube::Error),
    Ended,
}

/// The next event, or a moment without one.
async fn next(events: &mut (impl Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Unpin)) -> Step {
    match tokio::time::timeout(SETTLE, events.next()).await {
        Ok(Some(Ok(event))) => Step::Event(Box::new(event)),
        Ok(Some(Err(error))) => Step::Failed(error),
        Ok(None) => Step::Ended,
        Err(_) => Step::Quiet,
    }
}

/// Takes an event into the mirror; gives the place to go on from, or nothing if the server forgot it.
fn take(objects: &mut Objects, event: WatchEvent<DynamicObject>) -> Option<String> {
    let (object, is_gone) = match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
        WatchEvent::Deleted(object) => (object, true),
        WatchEvent::Bookmark(bookmark) => return Some(bookmark.metadata.resource_version),
        WatchEvent::Error(_) => return None,
    };
    let version = object.metadata.resource_version.clone().unwrap_or_default();
    if let Some((key, value)) = entry(&object) {
        if is_gone {
            objects.remove(&key);
        } else {
            objects.insert(key, value);
        }
    }
    Some(version)
}

fn entry(object: &DynamicObject) -> Option<((String, String), Value)> {
    let key = (object.metadata.namespace.clone()?, object.metadata.name.clone()?);
    Some((key, serde_json::to_value(object).ok()?))
}

/// What messages call the list.
const WHAT: &str = "grants.vouchsafe.dev";
/// Length of one watch; the API server's own limit is higher.
const WATCH_SECONDS: u32 = 240;
/// A watch that is silent for longer has died unnoticed.
const SILENCE: Duration = Duration::from_secs(270);
/// Quiet time after which statuses are written: one apply changes many Grants at once.
const SETTLE: Duration = Duration::from_millis(300);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);
