//! The server's side of each action: one request, one event.
//!
//! Out of scope: what an answer means (machine), HTTP and TLS (net).

use serde_json::Value as Json;
use vouchsafe_model::plan::{Engine, Plan, PlanSecret};
use vouchsafe_model::text::quoted;
use vouchsafe_model::wire::{Document, Envelope, KvRead, WireError};
use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::client::HttpError;
use vouchsafe_net::vault::{Vault, VaultError};

use crate::cause::{Failure, Fault};
use crate::machine::{Event, Reading};

/// Logs in with the token that `jwt` brings.
pub(crate) async fn login(vault: Vault, plan: &Plan, jwt: std::io::Result<Secret>) -> Event {
    let jwt = match jwt {
        Ok(jwt) => jwt,
        Err(error) => {
            return Event::LoginFailed(Failure {
                fault: Fault::TokenFile,
                kind: Kind::Unavailable,
                retry_after: None,
                detail: error.to_string(),
            });
        }
    };
    match vault.login_kubernetes(&plan.login.auth_path, &plan.login.role, &jwt).await {
        Ok(auth) => Event::LoggedIn(auth),
        Err(error) => Event::LoginFailed(failure(&error)),
    }
}

/// Reads source `index`, which is `secret`.
pub(crate) async fn read(vault: Vault, token: Secret, index: usize, secret: PlanSecret) -> Event {
    match fetch(&vault, &token, &secret).await {
        Ok(reading) => Event::ReadDone(index, reading),
        Err(failure) => Event::ReadFailed(index, failure),
    }
}

/// Asks for the newest version of source `index`, which is a KV v2 `secret`.
pub(crate) async fn poll(vault: Vault, token: Secret, index: usize, secret: PlanSecret) -> Event {
    let path = format!("{}/metadata/{}", secret.mount, secret.path);
    let envelope = match vault.read(&token, &path).await {
        Ok(envelope) => envelope,
        Err(error) => return Event::PollFailed(index, failure(&error)),
    };
    match newest(envelope) {
        Some((version, false)) => Event::Polled(index, version),
        // The deletion may lie ahead (`delete_version_after`): only a read tells.
        Some((version, true)) => match fetch(&vault, &token, &secret).await {
            Ok(Reading::Deleted { .. }) => Event::Polled(index, 0),
            Ok(Reading::Value { .. }) => Event::Polled(index, version),
            Err(failure) => Event::PollFailed(index, failure),
        },
        None => Event::PollFailed(index, malformed("the metadata has no current_version")),
    }
}

async fn fetch(vault: &Vault, token: &Secret, secret: &PlanSecret) -> Result<Reading, Failure> {
    let mut path = secret.api_path();
    if let Some(version) = secret.version {
        path = format!("{path}?version={version}");
    }
    let envelope = match &secret.parameters {
        None => vault.read(token, &path).await.map_err(|error| failure(&error))?,
        Some(parameters) => {
            let body = Secret::from(Json::Object(parameters.clone()).to_string());
            let answer = vault.write(token, &path, &body).await.map_err(|error| failure(&error))?;
            answer.ok_or_else(|| malformed("the answer is empty"))?
        }
    };
    reading(secret.engine, envelope).map_err(|error| malformed(&error.to_string()))
}

/// What an answer to a read holds.
fn reading(engine: Engine, envelope: Envelope) -> Result<Reading, WireError> {
    let data = envelope.data.ok_or(WireError::Absent("data"))?;
    if engine != Engine::KvV2 {
        return Ok(Reading::Value { document: data, version: 0, lease: envelope.lease });
    }
    let read = KvRead::from_data(data)?;
    Ok(match read.data {
        Some(document) if !read.destroyed => Reading::Value { document, version: read.version, lease: None },
        _ => Reading::Deleted { version: read.version },
    })
}

/// The newest version in KV v2 metadata, and whether it is or will be deleted.
fn newest(envelope: Envelope) -> Option<(u64, bool)> {
    let data: Document = envelope.data?;
    // EXPOSE: metadata holds versions and times, no value.
    let metadata = data.expose();
    let version = metadata.get("current_version")?.as_u64()?;
    let facts = metadata.get("versions").and_then(|versions| versions.get(version.to_string()));
    let destroyed = facts.and_then(|facts| facts.get("destroyed")).and_then(Json::as_bool).unwrap_or(false);
    let deletion = facts.and_then(|facts| facts.get("deletion_time")).and_then(Json::as_str).unwrap_or_default();
    Some((version, destroyed || !deletion.is_empty()))
}

/// What decisions need to know of an error.
pub(crate) fn failure(error: &VaultError) -> Failure {
    let fault = match (error.http(), error.status()) {
        (Some(HttpError::Resolve { .. }), _) => Fault::Resolve,
        (Some(HttpError::Connect { .. }), _) => Fault::Connect,
        (Some(HttpError::Tls { .. }), _) => Fault::Tls,
        (Some(HttpError::Timeout { .. }), _) => Fault::Timeout,
        (Some(HttpError::TooLarge { .. }), _) => Fault::TooLarge,
        (Some(_), _) => Fault::Protocol,
        (None, Some(_)) if error.is_sealed() => Fault::Sealed,
        (None, Some(status)) if status >= 300 => Fault::Status(status),
        (None, _) => Fault::Malformed,
    };
    let detail = match error.errors().first() {
        Some(text) => quoted(text.trim()),
        None => error.to_string().chars().filter(|character| !character.is_control()).take(DETAIL_CHARS).collect(),
    };
    Failure { fault, kind: error.kind(), retry_after: error.retry_after(), detail }
}

fn malformed(detail: &str) -> Failure {
    Failure { fault: Fault::Malformed, kind: Kind::Unavailable, retry_after: None, detail: detail.to_owned() }
}

/// Longest detail repeated in a message.
const DETAIL_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(text: &str) -> Envelope {
        Envelope::parse(&Secret::from(text.to_owned())).unwrap()
    }

    #[test]
    fn a_deleted_version_is_no_value() {
        let deleted = r#"{"data":{"data":null,"metadata":{"version":3,"destroyed":false,"deletion_time":"t"}}}"#;
        assert!(matches!(reading(Engine::KvV2, envelope(deleted)), Ok(Reading::Deleted { version: 3 })));
        let value = r#"{"data":{"data":{"a":"b"},"metadata":{"version":4,"destroyed":false}}}"#;
        assert!(matches!(reading(Engine::KvV2, envelope(value)), Ok(Reading::Value { version: 4, .. })));
    }

    #[test]
    fn answers_of_a_wrong_shape_are_errors() {
        for text in [r#"{"data":null}"#, r#"{"data":{}}"#, r#"{"data":{"data":{},"metadata":{}}}"#] {
            assert!(reading(Engine::KvV2, envelope(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn metadata_tells_the_newest_version_and_whether_it_may_be_deleted() {
        let metadata = |deletion: &str| {
            envelope(&format!(
                r#"{{"data":{{"current_version":2,"versions":{{"2":{{"deletion_time":"{deletion}","destroyed":false}}}}}}}}"#
            ))
        };
        assert_eq!(newest(metadata("")), Some((2, false)));
        assert_eq!(newest(metadata("2026-01-01T00:00:00Z")), Some((2, true)));
        assert_eq!(newest(envelope(r#"{"data":{}}"#)), None);
    }
}
