//! `Facts`: what an upstream's answer says about itself, without values: for the record, the session and the Change.
//!
//! Answers that are no JSON envelope (certificates, metrics) have no facts. Out of scope: judging them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use vouchsafe_model::wire::{Document, Envelope};
use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::http::Response;

/// What an answer says about itself.
#[derive(Debug, Default)]
pub struct Facts {
    /// The upstream's id of the request.
    pub upstream_request: Option<String>,
    /// KV version read or written.
    pub version: Option<u64>,
    /// Whether a KV answer carried data or metadata of a version at all; a deleted version has metadata only.
    pub is_deleted: bool,
    /// The token it made or renewed.
    pub auth: Option<AuthFacts>,
    /// Accessor of the asking token, where the answer is that token's own description.
    pub accessor: Option<String>,
}

/// A token that an answer made or renewed.
#[derive(Debug)]
pub struct AuthFacts {
    /// The token.
    pub token: Secret,
    /// Its accessor; empty for batch tokens.
    pub accessor: String,
    /// How long it lasts; zero means for ever.
    pub lease: Duration,
    /// Facts about who logged in.
    pub metadata: BTreeMap<String, String>,
}

impl Facts {
    /// Reads the facts of an answer.
    pub fn of(response: &Response) -> Self {
        let has_envelope = (200..300).contains(&response.status) || response.status == Kind::Missing.status();
        if !has_envelope || response.body.is_empty() {
            return Self::default();
        }
        let Ok(envelope) = Envelope::parse(&response.body) else { return Self::default() };
        let data = envelope.data.as_ref();
        Self {
            version: data.and_then(version),
            is_deleted: response.status == Kind::Missing.status(),
            accessor: data.and_then(|data| short_text(data, "accessor")),
            upstream_request: Some(envelope.request_id).filter(|id| !id.is_empty() && id.len() <= ID_BYTES),
            auth: envelope.auth.map(|auth| AuthFacts {
                token: auth.client_token,
                accessor: auth.accessor,
                lease: auth.lease,
                metadata: auth.metadata,
            }),
        }
    }
}

/// `data.metadata.version` of a read, `data.version` of a write.
fn version(data: &Document) -> Option<u64> {
    // EXPOSE: only the version number and the accessor are looked at.
    let data = data.expose();
    data.get("metadata").and_then(|metadata| metadata.get("version")).or_else(|| data.get("version"))?.as_u64()
}

fn short_text(data: &Document, field: &str) -> Option<String> {
    // EXPOSE: as above.
    match data.expose().get(field)? {
        Value::String(text) if !text.is_empty() && text.len() <= ID_BYTES => Some(text.clone()),
        _ => None,
    }
}

/// Longest id or accessor that is kept; Vault's have 36 bytes and fewer.
const ID_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(status: u16, body: &str) -> Facts {
        let mut response = Response::empty(status);
        response.body = Secret::from(body.to_owned());
        Facts::of(&response)
    }

    #[test]
    fn versions_of_reads_and_writes_are_found() {
        let read = facts(200, r#"{"request_id":"r","data":{"data":{"version":9},"metadata":{"version":3}}}"#);
        assert_eq!((read.version, read.upstream_request.as_deref(), read.is_deleted), (Some(3), Some("r"), false));
        assert_eq!(facts(200, r#"{"data":{"version":4}}"#).version, Some(4));
        let deleted = facts(404, r#"{"data":{"data":null,"metadata":{"version":3}}}"#);
        assert_eq!((deleted.version, deleted.is_deleted), (Some(3), true));
        assert_eq!(facts(404, r#"{"errors":[]}"#).version, None);
    }

    #[test]
    fn garbage_and_errors_have_no_facts() {
        for (status, body) in [(200, "<html>"), (200, ""), (200, "[]"), (200, "null"), (403, r#"{"request_id":"r"}"#)] {
            let facts = facts(status, body);
            assert!(facts.version.is_none() && facts.auth.is_none() && facts.upstream_request.is_none(), "{body}");
        }
    }

    #[test]
    fn no_debug_text_holds_a_token_or_a_value() {
        let facts = facts(200, r#"{"data":{"data":{"k":"hunter2"}},"auth":{"client_token":"hunter2"}}"#);
        assert!(facts.auth.is_some());
        assert!(!format!("{facts:?}").contains("hunter2"));
    }
}
