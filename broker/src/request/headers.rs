//! Headers, by allow-list in both directions. Hop-by-hop headers, cookies, forwarding headers of the client and whatever
//! is not named here do not pass.

use vouchsafe_model::Secret;
use vouchsafe_net::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::path::check_path;
use crate::refusal::Refusal;

/// What is taken from a request's headers.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) token: Option<Secret>,
    pub(super) namespace: Option<String>,
    pub(super) wrap_ttl: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) others: Vec<(HeaderName, HeaderValue)>,
}

/// Reads the headers of a request; refuses contradictions.
pub(super) fn read(headers: &HeaderMap) -> Result<Read, Refusal> {
    if headers.contains_key(header::CONTENT_LENGTH) && headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(invalid("Content-Length and Transfer-Encoding contradict each other; send one"));
    }
    refuse_smuggling(headers)?;
    let request_header = single(headers, REQUEST)?;
    if request_header.is_some_and(|value| value != "true") {
        return Err(invalid("X-Vault-Request must be \"true\" where it is sent"));
    }
    Ok(Read {
        token: token(headers)?,
        namespace: namespace(headers)?,
        wrap_ttl: single(headers, WRAP_TTL)?.filter(|text| !text.is_empty()).map(str::to_owned),
        content_type: single(headers, "content-type")?.map(str::to_owned),
        others: PASSED
            .iter()
            .flat_map(|name| headers.get_all(*name).iter().map(|value| (HeaderName::from_static(name), hidden(value))))
            .collect(),
    })
}

/// The headers of an upstream's answer that reach the client. Answers of the API are never stored on the way.
pub fn answer_headers(headers: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    for name in RETURNED {
        for value in headers.get_all(name) {
            out.append(HeaderName::from_static(name), value.clone());
        }
    }
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out
}

/// A connection option or an inline login would make one header mean two things.
fn refuse_smuggling(headers: &HeaderMap) -> Result<(), Refusal> {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    for option in named.flat_map(|value| value.split(',')) {
        if !matches!(option.trim().to_ascii_lowercase().as_str(), "" | "close" | "keep-alive" | "te") {
            return Err(invalid("the Connection header may only say close, keep-alive or te"));
        }
    }
    if headers.keys().any(|name| name.as_str().starts_with(INLINE_AUTH)) {
        return Err(invalid("inline authentication is not passed on; log in first and send the token"));
    }
    Ok(())
}

/// A copy that no Debug text shows: an MFA code is a secret too.
fn hidden(value: &HeaderValue) -> HeaderValue {
    let mut value = value.clone();
    value.set_sensitive(true);
    value
}

fn token(headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let direct = single(headers, TOKEN)?;
    let authorization = single(headers, "authorization")?;
    let text = match (direct, authorization) {
        (Some(_), Some(_)) => return Err(invalid("X-Vault-Token and Authorization are both set; send one")),
        (Some(token), None) => token,
        (None, Some(value)) => {
            let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
            if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
                return Err(invalid("Authorization must be \"Bearer TOKEN\""));
            }
            token.trim()
        }
        (None, None) => return Ok(None),
    };
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("the token holds a character that no token has"));
    }
    Ok((!text.is_empty()).then(|| Secret::from(text.to_owned())))
}

fn namespace(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(text) = single(headers, NAMESPACE)? else { return Ok(None) };
    let text = text.strip_prefix('/').unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.is_empty() {
        return Ok(None);
    }
    check_path(text).map_err(|problem| invalid(format!("X-Vault-Namespace: {problem}")))?;
    if !text.is_ascii() || text.contains(' ') {
        return Err(invalid("X-Vault-Namespace holds a character that no namespace has"));
    }
    Ok(Some(text.to_owned()))
}

/// The value of a header that may stand there once at most.
fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(format!("the header {name} stands there more than once; send it once")));
    }
    let text = value.to_str().map_err(|_| invalid(format!("the header {name} holds a character that is not ASCII")))?;
    Ok(Some(text))
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(400, text)
}

const TOKEN: &str = "x-vault-token";
const NAMESPACE: &str = "x-vault-namespace";
const WRAP_TTL: &str = "x-vault-wrap-ttl";
const REQUEST: &str = "x-vault-request";
const INLINE_AUTH: &str = "x-vault-inline-auth";
/// Passed to the upstream one to one.
const PASSED: [&str; 7] = [
    "x-vault-wrap-format",
    "x-vault-mfa",
    "x-vault-policy-override",
    "x-vault-index",
    "x-vault-inconsistent",
    "x-vault-forward",
    "x-vault-no-request-forwarding",
];
/// Passed back to the client one to one.
const RETURNED: [&str; 9] = [
    "content-type",
    "retry-after",
    "warning",
    "x-vault-namespace",
    "x-vault-index",
    "x-vault-hostname",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];
