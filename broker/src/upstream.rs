//! `Upstream`: who answers the Vault API behind the broker. Vault or OpenBao over the network, or the embedded store.
//!
//! A request reaches an upstream rebuilt from its parsed form: canonical path, allow-listed headers, the caller's own
//! token. The broker has no token of its own. Out of scope: audit, sessions and limits (the front does them).

pub mod remote;

use std::future::Future;
use std::net::IpAddr;

use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::http::Response;

/// A request of the Vault API in canonical form.
#[derive(Debug)]
pub struct UpstreamRequest {
    /// What is done.
    pub operation: Operation,
    /// Canonical API path without `/v1/` and without query: no empty, `.` or `..` segment, nothing percent-encoded.
    /// A trailing slash is kept (it matters to LIST).
    pub path: String,
    /// Decoded query parameters in order, without `list` and `scan` (they became the operation).
    pub query: Vec<(String, String)>,
    /// `X-Vault-Token` or the bearer token.
    pub token: Option<Secret>,
    /// `X-Vault-Namespace`, without slashes at its ends.
    pub namespace: Option<String>,
    /// `X-Vault-Wrap-TTL` as sent.
    pub wrap_ttl: Option<String>,
    /// `Content-Type` as sent.
    pub content_type: Option<String>,
    /// Other allow-listed headers, passed on one to one.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// The body as sent.
    pub body: Secret,
    /// Address of the client, for `X-Forwarded-For` and bound CIDRs.
    pub client: IpAddr,
}

/// What a request does, as Vault names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// GET.
    Read,
    /// HEAD (health only).
    Head,
    /// POST and PUT.
    Write,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// LIST, or GET with `list=true`.
    List,
    /// SCAN, or GET with `scan=true` (OpenBao).
    Scan,
}

/// Why an upstream gave no answer at all. What it did answer, also an error status, is a [`Response`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct UpstreamError {
    /// Decides status and retry.
    pub kind: Kind,
    /// What failed, with the address; never content.
    pub message: String,
    /// Whether the request may have taken effect all the same.
    pub may_have_happened: bool,
}

/// Who answers the Vault API behind the broker.
pub trait Upstream: Send + Sync + 'static {
    /// Answers one request. Dropping the future may leave the request carried out.
    fn call(&self, request: UpstreamRequest) -> impl Future<Output = Result<Response, UpstreamError>> + Send;
}
