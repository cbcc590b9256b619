//! `Request` and `Response`: an HTTP message whose body is secret.
//!
//! Debug texts show method, path and status, never headers or bodies. Out of scope: connections (client, server).

use std::fmt;

pub use http::header;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use vouchsafe_model::Secret;

/// A request as received, or as it will be sent.
pub struct Request {
    /// Method; extension methods such as `LIST` are allowed.
    pub method: Method,
    /// Path as sent, with its leading slash; nothing is decoded or normalised.
    pub path: String,
    /// Query as sent, without the question mark.
    pub query: Option<String>,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body, possibly empty.
    pub body: Secret,
}

impl Request {
    /// A request without headers and body. A `?` in `target` begins the query.
    pub fn new(method: Method, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self { method, path: path.to_owned(), query, headers: HeaderMap::new(), body: Secret::new(Vec::new()) }
    }

    /// A header's value where it is visible ASCII.
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "<request {} {}>", self.method, self.path)
    }
}

/// An answer.
pub struct Response {
    /// Status, 100 to 999.
    pub status: u16,
    /// Header fields, without those of the connection (length, framing).
    pub headers: HeaderMap,
    /// Body, possibly empty.
    pub body: Secret,
}

impl Response {
    /// An answer with a JSON body.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::typed(status, "application/json", value.to_string())
    }

    /// An answer with a plain text body.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::typed(status, "text/plain; charset=utf-8", text.into())
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Secret::new(Vec::new()) }
    }

    /// A header's value where it is visible ASCII.
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn typed(status: u16, content_type: &'static str, body: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: Secret::from(body) }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "<response {}>", self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_shows_neither_headers_nor_bodies() {
        let mut request = Request::new(Method::POST, "/v1/x?version=3");
        request.headers.insert("x-vault-token", HeaderValue::from_static("hunter2"));
        request.body = Secret::from("hunter2".to_owned());
        assert_eq!(request.query.as_deref(), Some("version=3"));
        assert_eq!(format!("{request:?}"), "<request POST /v1/x>");
        assert_eq!(format!("{:?}", Response::text(200, "hunter2")), "<response 200>");
    }

    #[test]
    fn constructors_say_what_the_body_is() {
        let response = Response::json(201, &serde_json::json!({"a": 1}));
        assert_eq!((response.status, response.header("content-type")), (201, Some("application/json")));
        assert_eq!(response.body.expose(), b"{\"a\":1}");
        assert!(Response::empty(204).body.is_empty());
    }
}
