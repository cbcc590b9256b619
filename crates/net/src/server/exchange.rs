//! One exchange: takes a request in, bounded, has it handled, and turns the answer into hyper's form.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt as _, Full};
use hyper::Version;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;
use vouchsafe_model::Secret;

use super::connection::Site;
use super::pace::Pace;
use super::{Handler, Limits};
use crate::client::SecretBytes;
use crate::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

/// An answer in hyper's form. Its body is the handler's buffer, not a copy.
pub(super) type Answer = hyper::Response<Full<Bytes>>;

/// Why a request never reached its handler.
enum Refusal {
    Version,
    Target,
    Encoding,
    TooLarge(usize),
    Slow,
    Broken,
}

/// Answers one request.
pub(super) async fn exchange<H: Handler>(request: hyper::Request<Incoming>, site: Arc<Site<H>>, pace: Pace) -> Answer {
    pace.begin();
    let is_head = request.method() == Method::HEAD;
    let answer = match take_in(request, &site.limits).await {
        Ok(request) => match timeout(site.limits.handler_timeout, site.handler.handle(request, site.peer)).await {
            Ok(response) => outgoing(response, is_head),
            Err(_) => outgoing(errors(503, "the server took too long; try again"), is_head),
        },
        Err(refusal) => {
            pace.refuse();
            let mut answer = outgoing(errors(refusal.status(), &refusal.to_string()), is_head);
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            answer
        }
    };
    pace.end();
    answer
}

/// The whole request, or why not.
async fn take_in(request: hyper::Request<Incoming>, limits: &Limits) -> Result<Request, Refusal> {
    let (head, body) = request.into_parts();
    if head.version != Version::HTTP_11 {
        return Err(Refusal::Version);
    }
    if head.uri.scheme().is_some() || !head.uri.path().starts_with('/') {
        return Err(Refusal::Target);
    }
    if is_encoded(&head.headers) {
        return Err(Refusal::Encoding);
    }
    let body = match timeout(limits.body_timeout, read(body, limits.body_bytes)).await {
        Ok(body) => body?,
        Err(_) => return Err(Refusal::Slow),
    };
    Ok(Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(ToOwned::to_owned),
        headers: head.headers,
        body,
    })
}

/// Reads a body to its end. The announced length is checked before the client is told to go on.
async fn read(mut body: Incoming, limit: usize) -> Result<Secret, Refusal> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(Refusal::TooLarge(limit));
    }
    let mut bytes = Vec::with_capacity(announced.min(FIRST_BYTES));
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame.map_err(|_| Refusal::Broken)?.into_data() else { continue };
        if bytes.len().saturating_add(data.remaining()) > limit {
            return Err(Refusal::TooLarge(limit));
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            bytes.extend_from_slice(chunk);
            data.advance(chunk.len());
        }
    }
    Ok(Secret::new(bytes))
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

pub(super) fn outgoing(response: Response, is_head: bool) -> Answer {
    let length = response.body.len();
    let body = if is_head { Bytes::new() } else { Bytes::from_owner(SecretBytes(response.body)) };
    let mut answer = hyper::Response::new(Full::new(body));
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *answer.headers_mut() = response.headers;
    for name in HOP_BY_HOP {
        answer.headers_mut().remove(name);
    }
    if is_head {
        answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    answer
}

/// An error in the form of the Vault API; every other client shows it as text.
fn errors(status: u16, message: &str) -> Response {
    Response::json(status, &serde_json::json!({ "errors": [message] }))
}

impl Refusal {
    fn status(&self) -> u16 {
        match self {
            Self::Version | Self::Target | Self::Broken => 400,
            Self::Slow => 408,
            Self::TooLarge(_) => 413,
            Self::Encoding => 415,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => formatter.write_str("only HTTP/1.1 is spoken here"),
            Self::Target => formatter.write_str("the request line must name a path, such as /v1/sys/health"),
            Self::Encoding => formatter.write_str("compressed bodies are not accepted; send the body as it is"),
            Self::TooLarge(limit) => write!(formatter, "the body is larger than {limit} bytes"),
            Self::Slow => formatter.write_str("the body did not arrive in time"),
            Self::Broken => formatter.write_str("the body is broken"),
        }
    }
}

/// Room made before the first byte arrives; a promise of more must be kept first.
const FIRST_BYTES: usize = 64 << 10;
/// Fields about one connection (RFC 9110 7.6.1), which hyper sets itself.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];
