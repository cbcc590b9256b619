//! `Remote`: Vault or OpenBao over the network.
//!
//! The request is built anew from its canonical form. One redirect is followed, to an allow-listed address and the same
//! path only (a standby names the active server); a read that certainly did not reach the server is tried once more.
//! Out of scope: which answers mean what; they pass as they are.

use std::time::Duration;

use vouchsafe_model::Kind;
use vouchsafe_model::path::ServerAddress;
use vouchsafe_net::client::{Client, HttpError};
use vouchsafe_net::http::{HeaderName, HeaderValue, Method, Request, Response, header};
use vouchsafe_net::tls::TrustRoots;

use super::{Operation, Upstream, UpstreamError, UpstreamRequest};
use crate::request::{API_PREFIX, encode_path, encode_query};

/// Longest time for one request at the upstream: Vault's own default for a request is 90 s, a plugin may need a while,
/// and a client gives up sooner.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Vault or OpenBao over the network.
pub struct Remote {
    client: Client,
    /// Further servers of the same cluster, to which a redirect may lead.
    others: Vec<Client>,
    deadline: Duration,
}

impl Remote {
    /// A server and the roots that vouch for it; `redirects` are the addresses to which it may redirect.
    pub fn new(address: ServerAddress, roots: &TrustRoots, redirects: Vec<ServerAddress>) -> Self {
        let others = redirects.into_iter().map(|address| Client::new(address, roots)).collect();
        Self { client: Client::new(address, roots), others, deadline: DEADLINE }
    }

    /// The same with another deadline for each attempt.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The server's address.
    pub fn address(&self) -> &ServerAddress {
        self.client.address()
    }

    /// Replaces the roots, for this server and for redirects.
    pub fn replace_roots(&self, roots: &TrustRoots) {
        self.client.replace_roots(roots);
        self.others.iter().for_each(|client| client.replace_roots(roots));
    }

    async fn send(&self, client: &Client, request: &UpstreamRequest) -> Result<Response, UpstreamError> {
        match client.send(wire(request)?, self.deadline).await {
            Err(error) if error.before_sent() && is_read(request.operation) => {
                client.send(wire(request)?, self.deadline).await.map_err(|error| no_answer(request.operation, &error))
            }
            other => other.map_err(|error| no_answer(request.operation, &error)),
        }
    }
}

impl Upstream for Remote {
    async fn call(&self, request: UpstreamRequest) -> Result<Response, UpstreamError> {
        let response = self.send(&self.client, &request).await?;
        let Some(target) = redirect_target(&request, &response)? else { return Ok(response) };
        let allowed = std::iter::once(&self.client).chain(&self.others).find(|client| *client.address() == target);
        let Some(client) = allowed else {
            let text = format!(
                "{} redirects to {target}, which is not among the allowed redirects; add it there or use the active server's address",
                self.client.address()
            );
            return Err(refused(text));
        };
        let response = self.send(client, &request).await?;
        match redirect_target(&request, &response)? {
            Some(second) => Err(refused(format!("{target} redirects again, to {second}; one redirect is followed"))),
            None => Ok(response),
        }
    }
}

/// Where a redirect leads, if the answer is one. It must name the same path: only the server may change.
fn redirect_target(request: &UpstreamRequest, response: &Response) -> Result<Option<ServerAddress>, UpstreamError> {
    if !(300..400).contains(&response.status) || response.status == NOT_MODIFIED {
        return Ok(None);
    }
    let status = response.status;
    if status != TEMPORARY_REDIRECT {
        return Err(refused(format!("answered with the redirect {status}; only 307 is followed")));
    }
    let location = response.header(header::LOCATION).unwrap_or_default();
    let expected = target(request);
    let origin = location.strip_suffix(expected.as_str()).filter(|origin| origin.starts_with(HTTPS));
    let Some(origin) = origin else {
        return Err(refused("redirects to another path or without https".to_owned()));
    };
    // Without a port a URL means 443; an address of ours would mean 8200.
    let has_port = origin.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let origin = if has_port { origin.to_owned() } else { format!("{origin}:443") };
    origin.parse().map(Some).map_err(|error| refused(format!("redirects to no server: {error}")))
}

/// The request as it goes over the wire.
fn wire(request: &UpstreamRequest) -> Result<Request, UpstreamError> {
    let mut wire = Request::new(method(request.operation), &target(request));
    let headers = &mut wire.headers;
    for (name, value) in &request.headers {
        headers.append(name.clone(), value.clone());
    }
    headers.insert(VAULT_REQUEST, HeaderValue::from_static("true"));
    let mut set = |name: HeaderName, value: &[u8]| -> Result<(), UpstreamError> {
        let mut value = HeaderValue::from_bytes(value).map_err(|_| invalid(&name))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    };
    set(FORWARDED_FOR, request.client.to_string().as_bytes())?;
    if let Some(token) = &request.token {
        set(TOKEN, token.expose())?; // EXPOSE: it is the caller's own token, for its own request.
    }
    if let Some(namespace) = &request.namespace {
        set(NAMESPACE, namespace.as_bytes())?;
    }
    if let Some(ttl) = &request.wrap_ttl {
        set(WRAP_TTL, ttl.as_bytes())?;
    }
    if !request.body.is_empty() {
        let content_type = request.content_type.as_deref().unwrap_or("application/json");
        set(header::CONTENT_TYPE, content_type.as_bytes())?;
        wire.body = request.body.duplicate();
    }
    Ok(wire)
}

/// Path and query. Lists go as GET with a parameter, which every proxy lets pass.
fn target(request: &UpstreamRequest) -> String {
    let switch = match request.operation {
        Operation::List => Some("list=true".to_owned()),
        Operation::Scan => Some("scan=true".to_owned()),
        _ => None,
    };
    let query: Vec<String> = encode_query(&request.query).into_iter().chain(switch).collect();
    let path = format!("{API_PREFIX}{}", encode_path(&request.path));
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

fn method(operation: Operation) -> Method {
    match operation {
        Operation::Read | Operation::List | Operation::Scan => Method::GET,
        Operation::Head => Method::HEAD,
        Operation::Write => Method::POST,
        Operation::Patch => Method::PATCH,
        Operation::Delete => Method::DELETE,
    }
}

/// Whether a second attempt does no harm even if the first one arrived.
fn is_read(operation: Operation) -> bool {
    matches!(operation, Operation::Read | Operation::Head | Operation::List | Operation::Scan)
}

fn no_answer(operation: Operation, error: &HttpError) -> UpstreamError {
    let may_have_happened = !error.before_sent() && !is_read(operation);
    UpstreamError { kind: error.kind(), message: error.to_string(), may_have_happened }
}

fn refused(message: String) -> UpstreamError {
    UpstreamError { kind: Kind::Internal, message, may_have_happened: false }
}

fn invalid(name: &HeaderName) -> UpstreamError {
    let message = format!("the header {name} holds a character that cannot be sent");
    UpstreamError { kind: Kind::Invalid, message, may_have_happened: false }
}

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");
const VAULT_REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HTTPS: &str = "https://";
const TEMPORARY_REDIRECT: u16 = 307;
const NOT_MODIFIED: u16 = 304;

#[cfg(test)]
mod tests;
