//! `VaultError`: what was asked, where, and why it failed.
//!
//! ```text
//! read secret/data/x at https://vault:8200: status 403 ("permission denied")
//! ```
//! The status decides the [`Kind`]; the server's texts are shown, quoted and cut, and never decide anything.

use std::fmt;
use std::time::{Duration, SystemTime};

use vouchsafe_model::text::quoted;
use vouchsafe_model::wire::{Envelope, WireError, error_texts};
use vouchsafe_model::{Kind, Secret};

use crate::client::{Client, HttpError};
use crate::http::{Response, header};

/// Why a request to the Vault API failed.
#[derive(Debug)]
pub struct VaultError {
    operation: Operation,
    /// Where the request went.
    address: String,
    cause: Box<Cause>,
}

impl VaultError {
    /// Decides status, retry and exit code.
    pub fn kind(&self) -> Kind {
        match &*self.cause {
            Cause::Input(_) => Kind::Invalid,
            Cause::Http(error) => error.kind(),
            // A 200 that is no Vault answer comes from something in between; it usually passes.
            Cause::Empty(_) | Cause::Wire(_) => Kind::Unavailable,
            Cause::Refused(refused) => kind_of(refused.status, self.operation.is_extension),
        }
    }

    /// The status of the answer, if there was one that refused.
    pub fn status(&self) -> Option<u16> {
        match &*self.cause {
            Cause::Refused(refused) => Some(refused.status),
            Cause::Empty(status) => Some(*status),
            Cause::Input(_) | Cause::Http(_) | Cause::Wire(_) => None,
        }
    }

    /// How long the server asks to be left alone; seconds and dates are understood, 5 minutes at most.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refused()?.retry_after
    }

    /// Whether the server says that it is sealed. For messages only: the kind is that of every 503.
    pub fn is_sealed(&self) -> bool {
        self.refused().is_some_and(|refused| {
            refused.status == 503 && refused.errors.iter().any(|text| text.contains("Vault is sealed"))
        })
    }

    /// The server's texts as sent; show them only through [`quoted`].
    pub fn errors(&self) -> &[String] {
        self.refused().map_or(&[], |refused| &refused.errors)
    }

    /// Whether the request certainly did not reach the server: then even a write may be repeated.
    pub fn before_sent(&self) -> bool {
        match &*self.cause {
            Cause::Input(_) => true,
            Cause::Http(error) => error.before_sent(),
            Cause::Empty(_) | Cause::Wire(_) | Cause::Refused(_) => false,
        }
    }

    /// The failure of the connection, if that is what failed.
    pub fn http(&self) -> Option<&HttpError> {
        match &*self.cause {
            Cause::Http(error) => Some(error),
            _ => None,
        }
    }

    /// A 404 that carries a KV v2 version's metadata is the answer "this version was deleted".
    pub(super) fn into_deleted_version(self) -> Result<Envelope, Self> {
        let found = self.refused().filter(|refused| refused.status == 404).and_then(|refused| {
            let envelope = Envelope::parse(&refused.body).ok()?;
            let has_metadata = envelope.data.as_ref()?.keys().any(|key| key == "metadata");
            has_metadata.then_some(envelope)
        });
        found.ok_or(self)
    }

    /// A 404 without any text: the path is served, and nothing is there.
    pub(super) fn is_empty_not_found(&self) -> bool {
        self.refused().is_some_and(|refused| {
            // EXPOSE: compared with an empty list of errors, nothing else.
            refused.status == 404 && refused.errors.is_empty() && refused.body.expose().starts_with(b"{\"errors\"")
        })
    }

    fn refused(&self) -> Option<&Refused> {
        match &*self.cause {
            Cause::Refused(refused) => Some(refused),
            _ => None,
        }
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { verb, path, .. } = &self.operation;
        match &*self.cause {
            // The HTTP error names the address itself.
            Cause::Http(error) => write!(formatter, "{verb} {path}: {error}"),
            cause => write!(formatter, "{verb} {path} at {}: {cause}", self.address),
        }
    }
}

impl std::error::Error for VaultError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.cause {
            Cause::Http(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

/// What was asked.
#[derive(Debug)]
pub(super) struct Operation {
    verb: &'static str,
    /// Path without `/v1/` and query.
    path: String,
    is_extension: bool,
}

impl Operation {
    pub(super) fn new(verb: &'static str, target: &str) -> Self {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        Self { verb, path: path.to_owned(), is_extension: false }
    }

    /// A request of our own extension, which other servers do not know.
    pub(super) fn extension(verb: &'static str, path: &str) -> Self {
        Self { is_extension: true, ..Self::new(verb, path) }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn failed(&self, client: &Client, cause: Cause) -> VaultError {
        let operation = Self { verb: self.verb, path: self.path.clone(), is_extension: self.is_extension };
        VaultError { operation, address: client.address().to_string(), cause: Box::new(cause) }
    }
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("{0}")]
    Input(&'static str),
    #[error("{0}")]
    Http(HttpError),
    #[error("status {0} without content, where content belongs")]
    Empty(u16),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Refused(Refused),
}

/// An answer with a status that is no success.
#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    errors: Vec<String>,
    retry_after: Option<Duration>,
    /// Kept for the 404 that is an answer.
    body: Secret,
}

impl Cause {
    pub(super) fn refused(response: Response) -> Self {
        let retry_after = response.header(header::RETRY_AFTER).and_then(|text| retry_after(text, SystemTime::now()));
        // EXPOSE: the error texts of a refused request; they are quoted and cut where shown.
        let errors = error_texts(response.body.expose());
        Self::Refused(Refused { status: response.status, errors, retry_after, body: response.body })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "status {}", self.status)?;
        let shown: Vec<String> = self.errors.iter().take(SHOWN).map(|text| quoted(text.trim())).collect();
        match (self.status, shown.is_empty()) {
            (300..400, _) => formatter
                .write_str(": it points elsewhere, which is never followed; let the address name the active server"),
            (_, false) => write!(formatter, " ({})", shown.join(", ")),
            (_, true) => Ok(()),
        }
    }
}

fn kind_of(status: u16, is_extension: bool) -> Kind {
    match status {
        401 | 403 => Kind::Denied,
        404 => Kind::Missing,
        405 if is_extension => Kind::Missing,
        409 => Kind::Conflict,
        413 => Kind::Limit,
        412 | 429 => Kind::Busy,
        // Standby codes of Vault Enterprise, time-outs, and redirects to a node that we do not follow.
        408 | 472 | 473 | 300..400 | 500..600 => Kind::Unavailable,
        400..500 => Kind::Invalid,
        _ => Kind::Unavailable,
    }
}

/// `Retry-After` (RFC 9110 10.2.3): seconds or a date; a date in the past is now.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text.trim()).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_WAIT))
}

/// The server's texts that a message repeats.
const SHOWN: usize = 2;
/// No server may silence us for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_alone_decides_the_kind() {
        for (status, kind) in [
            (307, Kind::Unavailable),
            (400, Kind::Invalid),
            (403, Kind::Denied),
            (404, Kind::Missing),
            (405, Kind::Invalid),
            (412, Kind::Busy),
            (429, Kind::Busy),
            (473, Kind::Unavailable),
            (500, Kind::Unavailable),
            (503, Kind::Unavailable),
        ] {
            assert_eq!(kind_of(status, false), kind, "{status}");
        }
        assert_eq!(kind_of(405, true), Kind::Missing);
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_date_and_bounded() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let read = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(read("99999999"), Some(300));
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn foreign_texts_are_quoted_and_cut() {
        let response =
            Response::json(400, &serde_json::json!({"errors": ["a\u{1b}[31m\nb", "x".repeat(500), "third"]}));
        let text = Cause::refused(response).to_string();
        assert!(text.starts_with("status 400 (\"a\\u{1b}[31m\\nb\", \"xxx"), "{text}");
        assert!(text.len() < 200 && !text.contains("third"), "{text}");
    }
}
