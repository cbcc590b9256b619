//! The front door, pure: an HTTP request becomes an [`UpstreamRequest`] in the one canonical form, or is refused.
//!
//! The same canonical path serves routing, audit and the upstream, so nobody can be shown one path and given another.
//! Nothing is passed on as it came: the request is rebuilt from its parsed form, from allow-listed headers only.
//! Out of scope: what a path means (route), who may read it (the upstream decides).

mod headers;
mod path;

use std::net::IpAddr;

use vouchsafe_model::text::quoted;
use vouchsafe_net::http::{Method, Request};

pub use self::headers::answer_headers;
pub use self::path::{PATH_BYTES, QUERY_BYTES, check_path, decode_path, decode_query, encode_path, encode_query};
use crate::refusal::Refusal;
use crate::upstream::{Operation, UpstreamRequest};

/// Prefix of every API path.
pub const API_PREFIX: &str = "/v1/";
/// Deepest nesting of a JSON body: real ones have under ten levels, parsers of upstreams fall over deep ones.
pub const JSON_DEPTH: usize = 64;

/// Brings a request into canonical form.
pub fn canonical(request: Request, client: IpAddr) -> Result<UpstreamRequest, Refusal> {
    let invalid = |text: String| Refusal::new(400, text);
    let raw = request.path.strip_prefix(API_PREFIX).ok_or_else(|| {
        Refusal::new(404, format!("no handler for {}: the API lies below {API_PREFIX}", quoted(&request.path)))
    })?;
    let mut path = decode_path(raw).map_err(invalid)?;
    let query = decode_query(request.query.as_deref().unwrap_or_default()).map_err(invalid)?;
    let (operation, query) = operation(&request.method, query)?;
    if operation == Operation::Head && path != HEALTH_PATH {
        return Err(Refusal::new(405, format!("HEAD is served for {HEALTH_PATH} only")));
    }
    if matches!(operation, Operation::List | Operation::Scan) && !path.ends_with('/') {
        path.push('/'); // Vault adds it too; policies match the path with it.
    }
    check_body(operation, &request)?;
    let headers = headers::read(&request.headers)?;
    Ok(UpstreamRequest {
        operation,
        path,
        query,
        token: headers.token,
        namespace: headers.namespace,
        wrap_ttl: headers.wrap_ttl,
        content_type: headers.content_type,
        headers: headers.others,
        body: request.body,
        client,
    })
}

/// Method and `list`/`scan` parameters together say what is done; contradictions are refused.
fn operation(method: &Method, query: Vec<(String, String)>) -> Result<(Operation, Vec<(String, String)>), Refusal> {
    let (switches, query): (Vec<_>, Vec<_>) =
        query.into_iter().partition(|(name, _)| matches!(name.as_str(), "list" | "scan"));
    let plain = match method.as_str() {
        "GET" => Operation::Read,
        "HEAD" => Operation::Head,
        "POST" | "PUT" => Operation::Write,
        "PATCH" => Operation::Patch,
        "DELETE" => Operation::Delete,
        "LIST" => Operation::List,
        "SCAN" => Operation::Scan,
        other => return Err(Refusal::new(405, format!("method {} is not part of the API", quoted(other)))),
    };
    let conflict = || Refusal::new(400, "the parameters list and scan contradict each other or the method; send one");
    let operation = match switches.as_slice() {
        [] => plain,
        [(name, value)] => match (plain, name.as_str(), go_bool(value)) {
            (Operation::Read | Operation::List, "list", Some(true)) => Operation::List,
            (Operation::Read | Operation::Scan, "scan", Some(true)) => Operation::Scan,
            (Operation::Read, _, Some(false)) => Operation::Read,
            (_, _, None) => return Err(Refusal::new(400, format!("the parameter {name} must be true or false"))),
            _ => return Err(conflict()),
        },
        _ => return Err(conflict()),
    };
    Ok((operation, query))
}

/// Reads a truth value as Go's `strconv.ParseBool` does, which is what Vault uses.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn check_body(operation: Operation, request: &Request) -> Result<(), Refusal> {
    let takes_body = matches!(operation, Operation::Write | Operation::Patch | Operation::Delete);
    if !takes_body && !request.body.is_empty() {
        return Err(Refusal::new(400, "a request that reads or lists has no body; send it without one"));
    }
    // EXPOSE: only brackets are counted.
    if json_depth(request.body.expose()) > JSON_DEPTH {
        return Err(Refusal::new(400, format!("the body is nested deeper than {JSON_DEPTH} levels")));
    }
    Ok(())
}

/// Deepest nesting of brackets outside of strings.
fn json_depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The one path that may be asked with HEAD.
const HEALTH_PATH: &str = "sys/health";

#[cfg(test)]
mod tests;
