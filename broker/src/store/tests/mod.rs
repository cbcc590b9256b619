//! The store through its one door, `Upstream::call`: what a client sees.

mod auth;
mod backup;
mod conformance;
mod durable;
mod files;
mod kv;
mod review;
mod wrapping;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use vouchsafe_model::Secret;

use super::{Clock, Store, StoreOptions};
use crate::upstream::{Operation, Upstream, UpstreamRequest};

/// Second at which each test begins.
const START: i64 = 1_700_000_000;

/// A store in a folder of its own, with a clock that the test sets.
struct Fixture {
    store: Store,
    root: String,
    clock: Arc<AtomicI64>,
    folder: TempDir,
}

/// A status and a body.
type Seen = (u16, Value);

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(START));
        let (store, root) = Store::open(&options(&folder, true), clock_of(&clock)).unwrap();
        let root = root.unwrap().0.expose_str().unwrap().to_owned();
        Self { store, root, clock, folder }
    }

    fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Closes the store and opens it again.
    fn reopen(self) -> Self {
        let Self { store, root, clock, folder } = self;
        drop(store);
        let (store, again) = Store::open(&options(&folder, false), clock_of(&clock)).unwrap();
        assert!(again.is_none());
        Self { store, root, clock, folder }
    }

    async fn as_root(&self, operation: Operation, path: &str, body: Value) -> Seen {
        self.call(Some(&self.root), operation, path, body).await
    }

    async fn call(&self, token: Option<&str>, operation: Operation, path: &str, body: Value) -> Seen {
        call(&self.store, request(token, operation, path, &body)).await
    }

    async fn write_policy(&self, name: &str, text: &str) {
        let body = json!({ "policy": text });
        assert_eq!(self.as_root(Operation::Write, &format!("sys/policies/acl/{name}"), body).await.0, 204);
    }

    /// A token with these policies.
    async fn token(&self, body: Value) -> String {
        let (status, body) = self.as_root(Operation::Write, "auth/token/create", body).await;
        assert_eq!(status, 200, "{body}");
        body["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

fn options(folder: &TempDir, create: bool) -> StoreOptions {
    StoreOptions { file: folder.path().join("store"), key_file: folder.path().join("key"), create }
}

fn clock_of(seconds: &Arc<AtomicI64>) -> Clock {
    let seconds = Arc::clone(seconds);
    Clock::new(move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap())
}

/// A request; a `?` in `path` begins the query.
fn request(token: Option<&str>, operation: Operation, path: &str, body: &Value) -> UpstreamRequest {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    UpstreamRequest {
        operation,
        path: path.to_owned(),
        query: query.split('&').filter_map(pair).collect(),
        token: token.map(|token| Secret::from(token.to_owned())),
        namespace: None,
        wrap_ttl: None,
        content_type: (operation == Operation::Patch).then(|| "application/merge-patch+json".to_owned()),
        headers: Vec::new(),
        body: if body.is_null() { Secret::new(Vec::new()) } else { Secret::from(body.to_string()) },
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

async fn call(store: &Store, request: UpstreamRequest) -> Seen {
    let response = store.call(request).await.unwrap();
    let body = response.body.expose();
    (response.status, if body.is_empty() { Value::Null } else { serde_json::from_slice(body).unwrap() })
}

fn errors(body: &Value) -> Vec<&str> {
    body["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
