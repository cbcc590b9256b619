//! The same requests to the store, to a real OpenBao and to a real Vault: status, headers, error texts, and names and types
//! of all fields must agree, or the difference stands in [`reasons`] with its reason.
//!
//! Runs where `VOUCHSAFE_BAO` names a `bao` (2.4) and `VOUCHSAFE_VAULT` a `vault` (1.21); with both it writes
//! `docs/conformance.md`, the same bytes from the same answers. Values that differ by nature (times, ids, accessors) are
//! compared by their type only. A reason that no difference needs any more fails the run too.

mod kubernetes;
mod kv1;
mod kv2;
mod policies;
mod reasons;
mod report;
mod server;
mod shape;
mod sys;
mod token;
mod wrap;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use self::reasons::{Asked, REASONS, Side};
use self::server::{OPENBAO, ROOT, Server, ServerKind, VAULT};
use super::{Fixture, request};
use crate::upstream::{Operation, Upstream as _};

/// Fewest requests that the suite is worth its name with.
const REQUESTS: usize = 200;

/// One request: who (`root`, a name under which a token was kept, or nobody), what, where (`#TTL` at the end asks for a
/// wrapped answer), the body, and under which name to keep the token that comes back.
type Step = (&'static str, Operation, &'static str, Value, &'static str);

/// An answer: status, headers that matter, body.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    status: u16,
    headers: BTreeMap<&'static str, String>,
    body: Value,
}

/// What one request came to.
struct Row {
    who: &'static str,
    operation: Operation,
    path: &'static str,
    body: Value,
    status: u16,
    /// For each server that ran: its status, and the numbers of the reasons that its differences need.
    verdicts: BTreeMap<&'static str, (u16, BTreeSet<usize>)>,
}

/// A difference that no reason covers.
struct Unexplained {
    row: String,
    server: &'static str,
    lines: Vec<String>,
}

fn steps() -> Vec<Step> {
    [
        kv2::kv2(),
        kv2::kv2_more(),
        kv1::kv1(),
        kv1::cubbyhole(),
        token::tokens(),
        token::tokens_more(),
        token::token_roles(),
        wrap::wrapping(),
        sys::policies(),
        sys::capabilities(),
        kubernetes::kubernetes(),
        sys::sys(),
        sys::leases(),
        sys::sys_more(),
    ]
    .concat()
}

#[tokio::test]
async fn answers_agree_with_real_servers() {
    let servers: Vec<Server> = [&OPENBAO, &VAULT].into_iter().filter_map(Server::start).collect();
    if servers.is_empty() {
        return;
    }
    let f = Fixture::new();
    // A development server makes its root token by `create` with a chosen value; so do we, for equal look-ups.
    f.token(json!({"id": ROOT, "policies": ["root"], "no_parent": true})).await;
    let root = BTreeMap::from([("root".to_owned(), ROOT.to_owned())]);
    let mut ours = root.clone();
    let mut theirs: Vec<_> = servers.iter().map(|_| root.clone()).collect();
    let (mut rows, mut unexplained) = (Vec::new(), Vec::new());
    let steps = steps();
    for (index, (who, operation, path, body, keep)) in steps.iter().enumerate() {
        let mine = ask_ours(&f, ours.get(*who), *operation, path, &fill(body, &ours)).await;
        keep_token(&mut ours, keep, &mine.body);
        let mut row = Row {
            who,
            operation: *operation,
            path,
            body: body.clone(),
            status: mine.status,
            verdicts: BTreeMap::new(),
        };
        for (server, kept) in servers.iter().zip(&mut theirs) {
            let token = kept.get(*who).map(String::as_str);
            let real = server.call(token, *operation, path, &fill(body, kept));
            keep_token(kept, keep, &real.body);
            let lines = shape::differences(&mine, &real);
            let (used, bare) = explain(server.kind(), (who, *operation, path), &lines);
            if !bare.is_empty() {
                let row = format!("{}: {operation:?} {path} as {who}, {body}", index + 1);
                unexplained.push(Unexplained { row, server: server.kind().name, lines: bare });
            }
            row.verdicts.insert(server.kind().name, (real.status, used));
        }
        rows.push(row);
    }
    let names: Vec<&str> = servers.iter().map(|server| server.kind().name).collect();
    println!("{} requests compared with {}", rows.len(), names.join(" and "));
    let texts: Vec<String> = unexplained
        .iter()
        .map(|one| format!("{} ({})\n    {}", one.row, one.server, one.lines.join("\n    ")))
        .collect();
    assert!(texts.is_empty(), "{} differences without a reason:\n{}", texts.len(), texts.join("\n"));
    assert!(rows.len() >= REQUESTS, "only {} requests", rows.len());
    if servers.len() == 2 {
        let used: BTreeSet<usize> =
            rows.iter().flat_map(|row| row.verdicts.values().flat_map(|(_, used)| used.iter().copied())).collect();
        let idle: Vec<&str> =
            (0..REASONS.len()).filter(|index| !used.contains(index)).map(|index| REASONS[index].why).collect();
        assert!(idle.is_empty(), "reasons that no difference needs: {idle:#?}");
        report::write(&rows, &servers);
    }
}

async fn ask_ours(f: &Fixture, token: Option<&String>, operation: Operation, path: &str, body: &Value) -> Seen {
    let (path, wrap) = path.split_once('#').unwrap_or((path, ""));
    let mut request = request(token.map(String::as_str), operation, path, body);
    request.wrap_ttl = Some(wrap.to_owned()).filter(|ttl| !ttl.is_empty());
    let response = f.store.call(request).await.unwrap();
    let text = response.body.expose();
    let headers = shape::HEADERS
        .iter()
        .filter_map(|name| response.header(*name).map(|value| (*name, value.to_owned())))
        .collect();
    Seen { status: response.status, headers, body: serde_json::from_slice(text).unwrap_or(Value::Null) }
}

/// Keeps the token of an answer, and its accessor.
fn keep_token(kept: &mut BTreeMap<String, String>, name: &str, body: &Value) {
    let auth = ["auth", "wrap_info"].iter().map(|field| &body[field]).find(|block| block.is_object());
    let Some(block) = auth.filter(|_| !name.is_empty()) else { return };
    let token = block["client_token"].as_str().or(block["token"].as_str()).unwrap_or_default();
    kept.insert(name.to_owned(), token.to_owned());
    kept.insert(format!("{name}.accessor"), block["accessor"].as_str().unwrap_or_default().to_owned());
}

/// Numbers of the reasons that cover these differences, and the differences that none covers.
fn explain(kind: &ServerKind, asked: Asked<'_>, lines: &[(Side, String)]) -> (BTreeSet<usize>, Vec<String>) {
    let (mut used, mut bare) = (BTreeSet::new(), Vec::new());
    for (side, line) in lines {
        let found = REASONS.iter().position(|reason| reason.covers(kind, asked, line));
        match found {
            Some(index) => drop(used.insert(index)),
            None => bare.push(format!("{side:?}: {line}")),
        }
    }
    (used, bare)
}

/// Replaces texts `$NAME` by what was kept under the name.
fn fill(body: &Value, kept: &BTreeMap<String, String>) -> Value {
    match body {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => json!(kept.get(name).cloned().unwrap_or_default()),
            None => body.clone(),
        },
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), fill(value, kept))).collect(),
        other => other.clone(),
    }
}
