//! `Vault`: a typed client of the Vault API, as OpenBao, Vault and our broker serve it.
//!
//! One method, one request: no retries, no token kept. A status decides first; `errors` is only for people. Every request
//! carries `X-Vault-Request: true`, the guard that a forged cross-site request cannot set. Out of scope: when to renew and
//! what to do about an error (sidecar, broker).

mod error;

use std::time::Duration;

use serde::Serialize;
use vouchsafe_model::Secret;
use vouchsafe_model::name::RoleName;
use vouchsafe_model::path::{AuthPath, VaultNamespace};
use vouchsafe_model::wire::extension::{
    ACK_PATH, Ack, GOODBYE_PATH, TRUST_PATH, Trust, WATCH_PATH, WatchAnswer, WatchRequest,
};
use vouchsafe_model::wire::{Auth, Envelope, Lease, WireError};

pub use self::error::VaultError;
use self::error::{Cause, Operation};
use crate::client::Client;
use crate::http::{HeaderName, HeaderValue, Method, Request, Response, header};

/// A typed client of the Vault API. Clones share connections.
#[derive(Clone, Debug)]
pub struct Vault {
    client: Client,
    namespace: Option<VaultNamespace>,
}

impl Vault {
    /// A client that works in `namespace`, or in the root namespace.
    pub fn new(client: Client, namespace: Option<VaultNamespace>) -> Self {
        Self { client, namespace }
    }

    /// The HTTP client below.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Logs in with a service account's token: `POST AUTH_PATH/login`.
    pub async fn login_kubernetes(&self, path: &AuthPath, role: &RoleName, jwt: &Secret) -> Result<Auth, VaultError> {
        let operation = Operation::new("log in at", path.as_str());
        // EXPOSE: the token is what the server asks for.
        let Some(jwt) = jwt.expose_str() else {
            return Err(operation.failed(&self.client, Cause::Input("the service account token is no text")));
        };
        let body = json(&Login { role: role.as_str(), jwt: jwt.trim_ascii() });
        let target = format!("{path}/login");
        let response = self.call(&operation, Method::POST, &target, None, body, ATTEMPT).await?;
        self.auth(&operation, &response)
    }

    /// Logs in with the JSON object `body`: `POST AUTH_PATH/login`.
    pub async fn login_with(&self, path: &AuthPath, body: &Secret) -> Result<Auth, VaultError> {
        let operation = Operation::new("log in at", path.as_str());
        let target = format!("{path}/login");
        let response = self.call(&operation, Method::POST, &target, None, body.duplicate(), ATTEMPT).await?;
        self.auth(&operation, &response)
    }

    /// Reads `api_path`, a path without `/v1/`; a `?` begins its query: `secret/data/argocd/sso?version=3`.
    ///
    /// A deleted or destroyed KV v2 version is a 404 with content, which is returned: its `data.data` is null.
    pub async fn read(&self, token: &Secret, api_path: &str) -> Result<Envelope, VaultError> {
        let operation = Operation::new("read", api_path);
        let result = self.call(&operation, Method::GET, api_path, Some(token), empty(), ATTEMPT).await;
        match result {
            Ok(response) => self.envelope(&operation, &response),
            Err(error) => error.into_deleted_version(),
        }
    }

    /// Writes the JSON object `body` to `api_path`; `None` where the server answers without content.
    pub async fn write(&self, token: &Secret, api_path: &str, body: &Secret) -> Result<Option<Envelope>, VaultError> {
        let operation = Operation::new("write", api_path);
        let body = body.duplicate();
        let response = self.call(&operation, Method::POST, api_path, Some(token), body, ATTEMPT).await?;
        if response.body.is_empty() { Ok(None) } else { self.envelope(&operation, &response).map(Some) }
    }

    /// Names below `api_path`, sorted by the server; folders end in a slash. Nothing there is an empty list.
    pub async fn list(&self, token: &Secret, api_path: &str) -> Result<Vec<String>, VaultError> {
        let operation = Operation::new("list", api_path);
        let result = self.call(&operation, list_method(), api_path, Some(token), empty(), ATTEMPT).await;
        match result {
            Ok(response) => {
                let envelope = self.envelope(&operation, &response)?;
                names(envelope).ok_or_else(|| operation.failed(&self.client, WireError::Absent("data.keys").into()))
            }
            Err(error) if error.is_empty_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Renews the token itself; the answer's lease can be shorter than the first near the token's maximum.
    pub async fn renew_self(&self, token: &Secret) -> Result<Auth, VaultError> {
        let operation = Operation::new("renew the token at", "auth/token/renew-self");
        let response = self.post(&operation, operation.path(), token, object()).await?;
        self.auth(&operation, &response)
    }

    /// What the server knows of the token.
    pub async fn lookup_self(&self, token: &Secret) -> Result<Envelope, VaultError> {
        self.read(token, "auth/token/lookup-self").await
    }

    /// Revokes the token and every lease made with it.
    pub async fn revoke_self(&self, token: &Secret) -> Result<(), VaultError> {
        let operation = Operation::new("revoke the token at", "auth/token/revoke-self");
        self.post(&operation, operation.path(), token, object()).await.map(drop)
    }

    /// Renews a lease.
    pub async fn renew_lease(&self, token: &Secret, lease_id: &str) -> Result<Lease, VaultError> {
        let operation = Operation::new("renew a lease at", "sys/leases/renew");
        let response = self.post(&operation, operation.path(), token, json(&Renewal { lease_id })).await?;
        let envelope = self.envelope(&operation, &response)?;
        envelope.lease.ok_or_else(|| operation.failed(&self.client, WireError::Absent("lease_id").into()))
    }

    /// Ends a lease before its time. Needs `update` on `sys/leases/revoke`, which Vault's default policy does not give.
    pub async fn revoke_lease(&self, token: &Secret, lease_id: &str) -> Result<(), VaultError> {
        let operation = Operation::new("revoke a lease at", "sys/leases/revoke");
        self.post(&operation, operation.path(), token, json(&Renewal { lease_id })).await.map(drop)
    }

    /// Waits for a change, as long as the request says. [`vouchsafe_model::Kind::Missing`]: no extension here, so poll.
    pub async fn watch(&self, token: &Secret, request: &WatchRequest) -> Result<WatchAnswer, VaultError> {
        let operation = Operation::extension("watch at", WATCH_PATH);
        let deadline = Duration::from_secs(request.wait_seconds.into()) + ATTEMPT;
        let response = self.call(&operation, Method::POST, WATCH_PATH, Some(token), json(request), deadline).await?;
        self.plain(&operation, &response)
    }

    /// Tells which versions the pod holds.
    pub async fn ack(&self, token: &Secret, ack: &Ack) -> Result<(), VaultError> {
        let operation = Operation::extension("acknowledge at", ACK_PATH);
        self.post(&operation, ACK_PATH, token, json(ack)).await.map(drop)
    }

    /// Says that the pod's container ends; the token is revoked later unless the pod comes back.
    pub async fn goodbye(&self, token: &Secret) -> Result<(), VaultError> {
        let operation = Operation::extension("say goodbye at", GOODBYE_PATH);
        self.post(&operation, GOODBYE_PATH, token, empty()).await.map(drop)
    }

    /// The broker's trust bundle, over a connection that is already trusted.
    pub async fn trust(&self, token: &Secret) -> Result<Trust, VaultError> {
        let operation = Operation::extension("read", TRUST_PATH);
        let response = self.call(&operation, Method::GET, TRUST_PATH, Some(token), empty(), ATTEMPT).await?;
        self.plain(&operation, &response)
    }

    async fn post(
        &self,
        operation: &Operation,
        path: &str,
        token: &Secret,
        body: Secret,
    ) -> Result<Response, VaultError> {
        self.call(operation, Method::POST, path, Some(token), body, ATTEMPT).await
    }

    /// Sends one request; any status but 2xx is an error.
    async fn call(
        &self,
        operation: &Operation,
        method: Method,
        target: &str,
        token: Option<&Secret>,
        body: Secret,
        deadline: Duration,
    ) -> Result<Response, VaultError> {
        let request = self
            .request(method, target, token, body)
            .map_err(|problem| operation.failed(&self.client, Cause::Input(problem)))?;
        let response = self
            .client
            .send(request, deadline)
            .await
            .map_err(|error| operation.failed(&self.client, Cause::Http(error)))?;
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        Err(operation.failed(&self.client, Cause::refused(response)))
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        token: Option<&Secret>,
        body: Secret,
    ) -> Result<Request, &'static str> {
        let mut request = Request::new(method, &format!("/v1/{target}"));
        let headers = &mut request.headers;
        headers.insert(REQUEST_HEADER, HeaderValue::from_static("true"));
        if let Some(token) = token {
            // EXPOSE: the token authenticates the request.
            let mut value =
                HeaderValue::from_bytes(token.expose()).map_err(|_| "the token holds control characters")?;
            value.set_sensitive(true);
            headers.insert(TOKEN_HEADER, value);
        }
        if let Some(namespace) = &self.namespace {
            let value = HeaderValue::from_str(namespace.as_str()).map_err(|_| "the namespace is no header value")?;
            headers.insert(NAMESPACE_HEADER, value);
        }
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.body = body;
        Ok(request)
    }

    fn envelope(&self, operation: &Operation, response: &Response) -> Result<Envelope, VaultError> {
        if response.body.is_empty() {
            return Err(operation.failed(&self.client, Cause::Empty(response.status)));
        }
        Envelope::parse(&response.body).map_err(|error| operation.failed(&self.client, error.into()))
    }

    fn auth(&self, operation: &Operation, response: &Response) -> Result<Auth, VaultError> {
        let envelope = self.envelope(operation, response)?;
        envelope.auth.ok_or_else(|| operation.failed(&self.client, WireError::Absent("auth").into()))
    }

    /// Decodes an answer of our extension, which has no envelope.
    fn plain<T: serde::de::DeserializeOwned>(
        &self,
        operation: &Operation,
        response: &Response,
    ) -> Result<T, VaultError> {
        // EXPOSE: decoding; the extension's answers hold no secret.
        serde_json::from_slice(response.body.expose())
            .map_err(|error| operation.failed(&self.client, WireError::from(error).into()))
    }
}

#[derive(Serialize)]
struct Login<'a> {
    role: &'a str,
    jwt: &'a str,
}

#[derive(Serialize)]
struct Renewal<'a> {
    lease_id: &'a str,
}

fn names(envelope: Envelope) -> Option<Vec<String>> {
    let keys = envelope.data?.into_inner().remove("keys")?;
    serde_json::from_value(keys).ok()
}

/// A body of ours as JSON. Our types hold text and numbers only, so writing them cannot fail.
fn json(value: &impl Serialize) -> Secret {
    Secret::new(serde_json::to_vec(value).unwrap_or_default())
}

fn object() -> Secret {
    Secret::new(b"{}".to_vec())
}

fn empty() -> Secret {
    Secret::new(Vec::new())
}

/// Vault's own method; `GET` with `list=true` would be read as a plain read by some proxies.
fn list_method() -> Method {
    Method::from_bytes(b"LIST").unwrap_or(Method::GET)
}

/// Longest time for one attempt, resolving and connecting included.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Carries the token.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-vault-token");
/// Names the namespace.
const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("x-vault-namespace");
/// The guard against forged requests.
const REQUEST_HEADER: HeaderName = HeaderName::from_static("x-vault-request");

#[cfg(test)]
mod tests;
