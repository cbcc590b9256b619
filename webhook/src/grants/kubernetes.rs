//! Grants from the Kubernetes API: one list and one watch, read-only, for as long as the program runs.
//!
//! The webhook's only right in a cluster: `get`, `list` and `watch` of `grants.vouchsafe.dev`. After an error everything
//! is listed again, after a pause that grows and has jitter. Out of scope: what objects mean ([`super::mirror`]).

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde_json::Value;

use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::random;

use super::mirror::{GROUP, KIND, Mirror, VERSION};

/// Why the cluster's Grants cannot be read now.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No usable address or credentials.
    #[error("find the Kubernetes API: {0}; run inside a cluster or with a KUBECONFIG, or use --grants FOLDER")]
    Configuration(String),
    /// A request failed.
    #[error(
        "{action} grants.vouchsafe.dev: {cause}; is the CRD installed, and may this service account get, list and watch it?"
    )]
    Request {
        /// What was tried.
        action: &'static str,
        /// What came of it.
        cause: String,
    },
}

/// How the Kubernetes API is reached.
#[derive(Clone, Debug)]
pub enum Access {
    /// By `KUBECONFIG`, else as a pod of the cluster; found out anew after each error.
    Inferred,
    /// In this way.
    Given(Box<Config>),
}

/// Follows the cluster's Grants until the lifecycle stops. `changed` is called after each change and each error.
pub async fn follow(access: Access, lifecycle: Lifecycle, mut changed: impl FnMut(Result<&Mirror, WatchError>) + Send) {
    let mut mirror = Mirror::default();
    let mut failures = 0;
    loop {
        let round = round(&access, &mut mirror, &mut failures, &mut changed);
        let ended = tokio::select! {
            () = lifecycle.stopping() => return,
            ended = round => ended,
        };
        if let Err(error) = ended {
            failures += 1;
            changed(Err(error));
        }
        tokio::select! {
            () = lifecycle.stopping() => return,
            () = tokio::time::sleep(pause(failures, random::share())) => {}
        }
    }
}

/// One list and the watches that continue it, until an error or until the server forgot our place.
async fn round(
    access: &Access,
    mirror: &mut Mirror,
    failures: &mut u32,
    changed: &mut (impl FnMut(Result<&Mirror, WatchError>) + Send),
) -> Result<(), WatchError> {
    let config = match access {
        Access::Inferred => Config::infer().await.map_err(|error| WatchError::Configuration(error.to_string()))?,
        Access::Given(config) => Config::clone(config),
    };
    let client = Client::try_from(config).map_err(|error| WatchError::Configuration(error.to_string()))?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, KIND));
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let list = api.list(&ListParams::default()).await.map_err(|error| failed("list", &error))?;
    let mut version = list.metadata.resource_version.clone().unwrap_or_default();
    mirror.list(list.items.iter().map(to_value));
    *failures = 0;
    changed(Ok(mirror));
    loop {
        let watch = WatchParams::default().timeout(WATCH_SECONDS);
        let mut events = pin!(api.watch(&watch, &version).await.map_err(|error| failed("watch", &error))?);
        while let Some(event) = tokio::time::timeout(WATCH_SILENCE, events.next()).await.unwrap_or_default() {
            let event = event.map_err(|error| failed("watch", &error))?;
            match apply(mirror, &event) {
                Step::Changed(next) => {
                    version = next;
                    changed(Ok(mirror));
                }
                Step::Advanced(next) => version = next,
                Step::Lost => return Ok(()),
            }
        }
        // A server that ends its watches at once is not asked in a busy loop.
        tokio::time::sleep(PAUSE_LEAST).await;
    }
}

/// What an event did.
enum Step {
    Changed(String),
    Advanced(String),
    Lost,
}

fn apply(mirror: &mut Mirror, event: &WatchEvent<DynamicObject>) -> Step {
    let version = |object: &DynamicObject| object.metadata.resource_version.clone().unwrap_or_default();
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            mirror.put(&to_value(object));
            Step::Changed(version(object))
        }
        WatchEvent::Deleted(object) => {
            mirror.remove(&to_value(object));
            Step::Changed(version(object))
        }
        WatchEvent::Bookmark(bookmark) => Step::Advanced(bookmark.metadata.resource_version.clone()),
        WatchEvent::Error(_) => Step::Lost,
    }
}

fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn failed(action: &'static str, error: &kube::Error) -> WatchError {
    WatchError::Request { action, cause: error.to_string() }
}

/// Full jitter over a bound that doubles.
fn pause(failures: u32, share: f64) -> Duration {
    if failures == 0 {
        return PAUSE_LEAST;
    }
    let bound = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(failures.min(16) - 1)).min(PAUSE_LAST);
    PAUSE_LEAST + bound.mul_f64(share.clamp(0.0, 1.0))
}

/// How long one watch lasts; API servers accept up to 295 s from this client.
const WATCH_SECONDS: u32 = 290;
/// A watch that says nothing for longer than it should last is dead, whatever TCP believes.
const WATCH_SILENCE: Duration = Duration::from_secs(310);
/// First bound of the pause after an error.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Least pause: an error never becomes a busy loop.
const PAUSE_LEAST: Duration = Duration::from_millis(200);
/// Last bound: a Grant that was just merged is wanted within half a minute of the API's recovery.
const PAUSE_LAST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_never_vanish() {
        assert_eq!(pause(0, 1.0), PAUSE_LEAST);
        assert_eq!(pause(1, 0.0), PAUSE_LEAST);
        assert_eq!(pause(1, 1.0), PAUSE_LEAST + PAUSE_FIRST);
        assert_eq!(pause(50, 1.0), PAUSE_LEAST + PAUSE_LAST);
    }

    #[test]
    fn events_as_servers_send_them_become_grants() {
        let event = serde_json::from_str(
            r#"{"type":"MODIFIED","object":{"apiVersion":"vouchsafe.dev/v1alpha1","kind":"Grant",
                "metadata":{"name":"a","namespace":"ns","generation":3,"resourceVersion":"17"},
                "spec":{"serviceAccounts":["one"],"secrets":[{"name":"s","path":"secret/a/b","keys":["k"],"version":4}]}}}"#,
        );
        let mut mirror = Mirror::default();
        assert!(matches!(apply(&mut mirror, &event.unwrap()), Step::Changed(version) if version == "17"));
        let (set, faults) = mirror.grants();
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(set.iter().next().unwrap().secrets[0].version, Some(4));
    }

    #[test]
    fn a_server_that_forgot_our_place_makes_us_list_again() {
        let event = serde_json::from_value(serde_json::json!(
            {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired"}}));
        assert!(matches!(apply(&mut Mirror::default(), &event.unwrap()), Step::Lost));
    }
}
