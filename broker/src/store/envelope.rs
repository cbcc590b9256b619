//! `Answer` and `Refusal`: what the store answers, in the exact shapes of Vault and OpenBao.
//!
//! ```text
//! {"request_id":"…","lease_id":"","renewable":false,"lease_duration":0,"data":{…}|null,
//!  "wrap_info":null,"warnings":["…"]|null,"auth":{…}|null}        every field always there
//! {"errors":["…"]}                                               refusals; {"errors":[]} for "there is nothing"
//! ```
//! Out of scope: which answer a request gets.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use vouchsafe_model::Secret;
use vouchsafe_net::http::Response;

use super::fault::Fault;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// What a handler answers when it does not refuse.
pub(crate) struct Answer {
    status: u16,
    body: Body,
}

enum Body {
    Empty,
    /// Without envelope: health and seal state.
    Plain(Value),
    /// As it was rendered before: what was wrapped.
    Raw(Secret),
    /// No JSON: a backup, encrypted.
    Bytes(Vec<u8>),
    Envelope(Box<Envelope>),
}

#[derive(Default)]
struct Envelope {
    data: Option<Object>,
    auth: Option<Value>,
    wrap_info: Option<Value>,
    lease_duration: i64,
    warnings: Vec<String>,
    /// Some reads below `sys/` repeat their data beside the envelope's fields.
    repeat: bool,
}

impl Answer {
    /// 204 without a body.
    pub(crate) fn done() -> Self {
        Self { status: NO_CONTENT, body: Body::Empty }
    }

    /// 200 with `data`.
    pub(crate) fn data(data: Object) -> Self {
        Self { status: OK, body: Body::Envelope(Box::new(Envelope { data: Some(data), ..Envelope::default() })) }
    }

    /// 200 with `data`, repeated at the top level as some reads below `sys/` do.
    pub(crate) fn repeated(data: Object) -> Self {
        Self {
            status: OK,
            body: Body::Envelope(Box::new(Envelope { data: Some(data), repeat: true, ..Envelope::default() })),
        }
    }

    /// 200 with `auth`.
    pub(crate) fn auth(auth: Value) -> Self {
        Self { status: OK, body: Body::Envelope(Box::new(Envelope { auth: Some(auth), ..Envelope::default() })) }
    }

    /// `data.keys`, or "there is nothing".
    pub(crate) fn keys(keys: Vec<String>) -> Result<Self, Refusal> {
        Self::keys_with(keys, Object::new())
    }

    /// `data.keys` with further fields, or "there is nothing".
    pub(crate) fn keys_with(keys: Vec<String>, mut more: Object) -> Result<Self, Refusal> {
        if keys.is_empty() {
            return Err(Refusal::nothing());
        }
        more.insert("keys".to_owned(), Value::from(keys));
        Ok(Self::data(more))
    }

    /// 200 with `wrap_info`: the answer itself was put away.
    pub(crate) fn wrapped(info: Value) -> Self {
        let envelope = Envelope { wrap_info: Some(info), ..Envelope::default() };
        Self { status: OK, body: Body::Envelope(Box::new(envelope)) }
    }

    /// 200 with a body that was rendered before.
    pub(crate) fn raw(body: Secret) -> Self {
        Self { status: OK, body: Body::Raw(body) }
    }

    /// 200 with bytes that are no JSON.
    pub(crate) fn bytes(bytes: Vec<u8>) -> Self {
        Self { status: OK, body: Body::Bytes(bytes) }
    }

    /// Says how long a read without lease may be used.
    pub(crate) fn with_lease_duration(mut self, seconds: i64) -> Self {
        if let Body::Envelope(envelope) = &mut self.body {
            envelope.lease_duration = seconds;
        }
        self
    }

    /// Whether there is an envelope, which can be wrapped.
    pub(crate) fn has_envelope(&self) -> bool {
        matches!(self.body, Body::Envelope(_))
    }

    /// Accessor of the token that the answer hands out.
    pub(crate) fn accessor(&self) -> Option<&str> {
        let Body::Envelope(envelope) = &self.body else { return None };
        envelope.auth.as_ref()?.get("accessor")?.as_str()
    }

    /// The body as text, for putting it away.
    pub(crate) fn into_text(self, request_id: &str) -> String {
        match self.body {
            Body::Envelope(envelope) => envelope.render(request_id).to_string(),
            _ => String::new(),
        }
    }

    /// A body without envelope.
    pub(crate) fn plain(status: u16, body: Value) -> Self {
        Self { status, body: Body::Plain(body) }
    }

    /// The same answer as 404: how a deleted version is told from one that never was.
    pub(crate) fn into_missing(mut self) -> Self {
        self.status = NOT_FOUND;
        self
    }

    /// 404 without a body.
    pub(crate) fn missing_without_body() -> Self {
        Self { status: NOT_FOUND, body: Body::Empty }
    }

    /// Adds warnings; an answer without body becomes 200 with an envelope.
    pub(crate) fn warn(mut self, warnings: Vec<String>) -> Self {
        if warnings.is_empty() {
            return self;
        }
        match &mut self.body {
            Body::Envelope(envelope) => envelope.warnings.extend(warnings),
            Body::Plain(_) | Body::Raw(_) | Body::Bytes(_) => {}
            Body::Empty => {
                self.status = OK;
                self.body = Body::Envelope(Box::new(Envelope { warnings, ..Envelope::default() }));
            }
        }
        self
    }

    /// The HTTP answer. `request_id` is new for each request.
    pub(crate) fn into_response(self, request_id: &str) -> Response {
        let body = match self.body {
            Body::Empty => return respond(self.status, Secret::new(Vec::new())),
            Body::Raw(body) => return respond(self.status, body),
            Body::Bytes(bytes) => {
                let mut response = respond(self.status, Secret::new(bytes));
                response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
                return response;
            }
            Body::Plain(value) => value,
            Body::Envelope(envelope) => envelope.render(request_id),
        };
        let mut bytes = body.to_string().into_bytes();
        bytes.push(b'\n');
        respond(self.status, Secret::new(bytes))
    }
}

impl Envelope {
    fn render(self, request_id: &str) -> Value {
        let mut body = Object::new();
        if self.repeat {
            body.extend(self.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        }
        let warnings = if self.warnings.is_empty() { Value::Null } else { Value::from(self.warnings) };
        // A wrapped answer keeps its id for who unwraps it, as in Vault.
        let request_id = if self.wrap_info.is_some() { "" } else { request_id };
        body.insert("request_id".to_owned(), Value::from(request_id));
        body.insert("lease_id".to_owned(), Value::from(""));
        body.insert("renewable".to_owned(), Value::from(false));
        body.insert("lease_duration".to_owned(), Value::from(self.lease_duration));
        body.insert("data".to_owned(), self.data.map_or(Value::Null, Value::Object));
        body.insert("wrap_info".to_owned(), self.wrap_info.unwrap_or(Value::Null));
        body.insert("warnings".to_owned(), warnings);
        body.insert("auth".to_owned(), self.auth.unwrap_or(Value::Null));
        Value::Object(body)
    }
}

/// Why a request gets no answer with content.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// An answer with an error status.
    Said {
        /// HTTP status.
        status: u16,
        /// Texts of `errors`.
        errors: Vec<String>,
    },
    /// The store itself failed.
    Fault(Fault),
}

impl Refusal {
    /// 400 with one text.
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self::said(BAD_REQUEST, text)
    }

    /// An error status with one text.
    pub(crate) fn said(status: u16, text: impl Into<String>) -> Self {
        Self::Said { status, errors: vec![text.into()] }
    }

    /// 403 as for a missing, unknown or ended token.
    pub(crate) fn unknown_token() -> Self {
        Self::said(FORBIDDEN, "permission denied")
    }

    /// 403 as for a token whose policies do not allow the request.
    pub(crate) fn not_allowed() -> Self {
        Self::said(FORBIDDEN, "1 error occurred:\n\t* permission denied\n\n")
    }

    /// 404 for what never was: `{"errors":[]}`.
    pub(crate) fn nothing() -> Self {
        Self::Said { status: NOT_FOUND, errors: Vec::new() }
    }

    /// 405 for an operation that the path does not have.
    pub(crate) fn unsupported() -> Self {
        Self::said(METHOD_NOT_ALLOWED, "1 error occurred:\n\t* unsupported operation\n\n")
    }

    /// 404 for a path that no engine has.
    pub(crate) fn no_such_path() -> Self {
        Self::said(NOT_FOUND, "1 error occurred:\n\t* unsupported path\n\n")
    }

    /// The HTTP answer, or the fault.
    pub(crate) fn into_response(self) -> Result<Response, Fault> {
        match self {
            Self::Said { status, errors } => {
                let mut bytes = json!({ "errors": errors }).to_string().into_bytes();
                bytes.push(b'\n');
                Ok(respond(status, Secret::new(bytes)))
            }
            Self::Fault(fault) => Err(fault),
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// `{…}` of a literal object; anything else becomes an empty object.
pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(map) => map,
        _ => Object::new(),
    }
}

fn respond(status: u16, body: Secret) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Also without a body, as Vault sends it.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response { status, headers, body }
}

const OK: u16 = 200;
const NO_CONTENT: u16 = 204;
const BAD_REQUEST: u16 = 400;
/// "Forbidden".
pub(crate) const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;
const METHOD_NOT_ALLOWED: u16 = 405;
/// "Unsupported media type".
pub(crate) const UNSUPPORTED_MEDIA: u16 = 415;
/// "Internal server error".
pub(crate) const INTERNAL: u16 = 500;
/// "Service unavailable".
pub(crate) const UNAVAILABLE: u16 = 503;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: &Response) -> Value {
        serde_json::from_slice(response.body.expose()).unwrap()
    }

    #[test]
    fn an_envelope_always_has_all_fields() {
        let response = Answer::data(object(json!({"a": 1}))).into_response("r");
        let body = body(&response);
        let mut names: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(
            names,
            ["auth", "data", "lease_duration", "lease_id", "renewable", "request_id", "warnings", "wrap_info"]
        );
        assert_eq!(response.headers.get(CACHE_CONTROL).unwrap(), "no-store");
        assert_eq!(body["warnings"], Value::Null);
    }

    #[test]
    fn a_warning_turns_an_empty_answer_into_an_envelope() {
        assert_eq!(Answer::done().into_response("r").status, 204);
        let response = Answer::done().warn(vec!["w".to_owned()]).into_response("r");
        assert_eq!((response.status, &body(&response)["warnings"]), (200, &json!(["w"])));
    }

    #[test]
    fn nothing_is_an_empty_list_of_errors() {
        let response = Refusal::nothing().into_response().unwrap();
        assert_eq!((response.status, body(&response)), (404, json!({"errors": []})));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let data: Object = serde_json::from_str(r#"{"n":12345678901234567890.10}"#).unwrap();
        let response = Answer::data(data).into_response("r");
        assert!(response.body.expose_str().unwrap().contains("12345678901234567890.10"));
    }
}
