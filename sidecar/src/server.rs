//! The server's side of each action: one request, one event.
//!
//! Out of scope: what an answer means (machine), HTTP and TLS (net).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use vouchsafe_model::plan::{AgentRead, AgentSecret, Engine, Plan, PlanSecret};
use vouchsafe_model::text::quoted;
use vouchsafe_model::wire::{Auth, Document, Envelope, KvRead, Lease, WireError};
use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::client::HttpError;
use vouchsafe_net::vault::{Vault, VaultError};

use crate::agent::{self, encoded};
use crate::cause::{Failure, Fault};
use crate::credentials::Shown;
use crate::machine::{Event, Reading};

/// Logs in with what is shown.
pub(crate) async fn login(vault: Vault, plan: &Plan, shown: std::io::Result<Shown>) -> Event {
    let shown = match shown {
        Ok(shown) => shown,
        Err(error) => {
            return Event::LoginFailed(Failure {
                fault: Fault::TokenFile,
                kind: Kind::Unavailable,
                retry_after: None,
                detail: error.to_string(),
            });
        }
    };
    let namespace = plan.agent.as_ref().and_then(|agent| agent.login_namespace.clone());
    let vault = match namespace {
        Some(namespace) => Vault::new(vault.client().clone(), Some(namespace)),
        None => vault,
    };
    let path = &plan.login.auth_path;
    let answer = match shown {
        Shown::Token(jwt) => vault.login_kubernetes(path, &plan.login.role, &jwt).await,
        Shown::AppRole { role_id, secret_id } => vault.login_with(path, &app_role(&role_id, secret_id.as_ref())).await,
        Shown::Certificate(name) => vault.login_with(path, &certificate_role(name)).await,
        Shown::Vault(token) => return own_token(vault, token).await,
    };
    match answer {
        Ok(auth) => Event::LoggedIn(auth),
        Err(error) => Event::LoginFailed(failure(&error)),
    }
}

fn app_role(role_id: &Secret, secret_id: Option<&Secret>) -> Secret {
    // EXPOSE: both ids are what the server asks for.
    let text = |secret: &Secret| Json::String(secret.expose_str().unwrap_or_default().to_owned());
    let mut body = Map::from_iter([("role_id".to_owned(), text(role_id))]);
    if let Some(secret_id) = secret_id {
        body.insert("secret_id".to_owned(), text(secret_id));
    }
    Secret::from(Json::Object(body).to_string())
}

fn certificate_role(name: Option<String>) -> Secret {
    let name = name.map(|name| ("name".to_owned(), Json::String(name)));
    Secret::from(Json::Object(Map::from_iter(name)).to_string())
}

/// A token that something else put there: the server says how long it lasts.
async fn own_token(vault: Vault, token: Secret) -> Event {
    let envelope = match vault.lookup_self(&token).await {
        Ok(envelope) => envelope,
        Err(error) => return Event::LoginFailed(failure(&error)),
    };
    // EXPOSE: facts about the token, which are no secret.
    let fact = |name: &str| envelope.data.as_ref().and_then(|data| data.expose().get(name).cloned());
    let text = |name: &str| fact(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    Event::LoggedIn(Auth {
        client_token: token,
        accessor: text("accessor"),
        policies: Vec::new(),
        metadata: BTreeMap::new(),
        lease: Duration::from_secs(fact("ttl").and_then(|ttl| ttl.as_u64()).unwrap_or_default()),
        renewable: fact("renewable").and_then(|value| value.as_bool()).unwrap_or(false),
        num_uses: fact("num_uses").and_then(|uses| uses.as_u64()).unwrap_or_default(),
    })
}

/// Asks where the path of source `index` leads.
pub(crate) async fn locate(vault: Vault, token: Secret, index: usize, secret: PlanSecret) -> Event {
    let path = secret.api_path();
    let plain = path.split_once('?').map_or(path.as_str(), |(plain, _)| plain);
    match vault.read(&token, &format!("{MOUNTS_PATH}/{}", encoded(plain))).await {
        Ok(envelope) => Event::Located(index, envelope.data.unwrap_or_else(|| Document::new(Map::new()))),
        Err(error) => Event::LocateFailed(index, failure(&error)),
    }
}

/// Reads what an agent's template names.
async fn fetch_agent(
    vault: &Vault,
    token: &Secret,
    secret: &PlanSecret,
    agent: &AgentSecret,
) -> Result<Reading, Failure> {
    let path = agent.path.as_str();
    if agent.read == AgentRead::List {
        let names = vault.list(token, path).await.map_err(|error| failure(&error))?;
        return Ok(Reading::Value { document: agent::names(names), version: 0, lease: None });
    }
    let envelope = match agent::body(secret) {
        None => vault.read(token, path).await.map_err(|error| failure(&error))?,
        Some(body) => {
            let answer = vault.write(token, path, &body).await.map_err(|error| failure(&error))?;
            answer.ok_or_else(|| malformed("the answer is empty"))?
        }
    };
    agent::reading(secret.engine, envelope, life, wall_clock()).map_err(|error| malformed(&error.to_string()))
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
    if let Some(agent) = &secret.agent {
        return fetch_agent(vault, token, secret, agent).await;
    }
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
    reading(secret.engine, envelope, wall_clock()).map_err(|error| malformed(&error.to_string()))
}

/// What an answer to a read holds, at `now` on the wall clock (time since 1970).
fn reading(engine: Engine, envelope: Envelope, now: Duration) -> Result<Reading, WireError> {
    let data = envelope.data.ok_or(WireError::Absent("data"))?;
    if engine != Engine::KvV2 {
        let lease = match (engine, envelope.lease) {
            (Engine::Generic, None) => life(&data, now),
            (_, lease) => lease,
        };
        return Ok(Reading::Value { document: data, version: 0, lease });
    }
    let read = KvRead::from_data(data)?;
    Ok(match read.data {
        Some(document) if !read.destroyed => Reading::Value { document, version: read.version, lease: None },
        _ => Reading::Deleted { version: read.version },
    })
}

/// How long a certificate lasts for which the server keeps no lease (a pki role without `generate_lease`): the answer names
/// its end, in seconds since 1970. One that has ended already, as under a clock that is wrong, has no life to go by.
fn life(data: &Document, now: Duration) -> Option<Lease> {
    // EXPOSE: a time and the presence of a certificate, no value.
    let fields = data.expose();
    let end = fields.get("expiration").filter(|_| fields.contains_key("certificate"))?.as_u64()?;
    let duration = Duration::from_secs(end).saturating_sub(now);
    Some(Lease { id: String::new(), duration, renewable: false })
}

/// Time since 1970 as the node has it.
fn wall_clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
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

/// Where servers say what is mounted at a path.
const MOUNTS_PATH: &str = "sys/internal/ui/mounts";
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
        assert!(matches!(
            reading(Engine::KvV2, envelope(deleted), Duration::ZERO),
            Ok(Reading::Deleted { version: 3 })
        ));
        let value = r#"{"data":{"data":{"a":"b"},"metadata":{"version":4,"destroyed":false}}}"#;
        assert!(matches!(
            reading(Engine::KvV2, envelope(value), Duration::ZERO),
            Ok(Reading::Value { version: 4, .. })
        ));
    }

    #[test]
    fn answers_of_a_wrong_shape_are_errors() {
        for text in [r#"{"data":null}"#, r#"{"data":{}}"#, r#"{"data":{"data":{},"metadata":{}}}"#] {
            assert!(reading(Engine::KvV2, envelope(text), Duration::ZERO).is_err(), "{text}");
        }
    }

    #[test]
    fn a_certificate_without_a_lease_lasts_until_it_ends() {
        let lease =
            |engine: Engine, text: &str, now: u64| match reading(engine, envelope(text), Duration::from_secs(now)) {
                Ok(Reading::Value { lease, .. }) => lease,
                other => panic!("{other:?}"),
            };
        let issued = r#"{"data":{"certificate":"c","private_key":"k","expiration":1020}}"#;
        let life = lease(Engine::Generic, issued, 1000).unwrap();
        assert_eq!((life.id.as_str(), life.duration, life.renewable), ("", Duration::from_secs(20), false));
        assert_eq!(lease(Engine::Generic, issued, 5000).unwrap().duration, Duration::ZERO, "a clock that is wrong");
        assert_eq!(lease(Engine::KvV1, issued, 1000), None, "a stored certificate is not issued anew");
        assert_eq!(lease(Engine::Generic, r#"{"data":{"expiration":1020}}"#, 1000), None);
        let leased = r#"{"lease_id":"pki/issue/x/1","lease_duration":30,"data":{"certificate":"c","expiration":1020}}"#;
        assert_eq!(lease(Engine::Generic, leased, 1000).unwrap().duration, Duration::from_secs(30));
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
