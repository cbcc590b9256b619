//! `Refusal`: the broker's own "no", in Vault's error shape `{"errors":["…"]}`.
//!
//! Texts name what is wrong and how to fix it, and repeat foreign input only quoted and shortened; never a value.
//! Out of scope: the upstream's refusals, which pass through as they are.

use std::time::Duration;

use serde_json::json;
use vouchsafe_model::Kind;
use vouchsafe_net::http::{HeaderValue, Response, header};

/// An answer without any content of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    errors: Vec<String>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with `status` and one text.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, errors: vec![text.into()], retry_after: None }
    }

    /// A refusal whose status follows from the kind.
    pub fn of(kind: Kind, text: impl Into<String>) -> Self {
        Self::new(kind.status(), text)
    }

    /// Adds `Retry-After`, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The texts.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// The answer to send.
    pub fn response(&self) -> Response {
        let mut response = Response::json(self.status, &json!({ "errors": self.errors }));
        if let Some(wait) = self.retry_after {
            response.headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_vaults_shape() {
        let response = Refusal::of(Kind::Busy, "too many").retry_after(Duration::from_millis(200)).response();
        assert_eq!((response.status, response.header("retry-after")), (429, Some("1")));
        assert_eq!(response.body.expose(), br#"{"errors":["too many"]}"#);
    }
}
