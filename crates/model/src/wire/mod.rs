//! The wire: envelopes of the Vault API and our extension of it.
//!
//! Decoding never repeats content in an error: serde's messages quote the offending value, so only positions are kept.
//! Statuses decide first; `errors` is optional on 404 (a deleted KV v2 version answers 404 with a full envelope).
//! Out of scope: connections and headers (net).

mod document;
mod envelope;
pub mod extension;

pub use document::{Document, KvRead};
pub use envelope::{Auth, Envelope, Lease, error_texts};

/// Why a body is not what its status promised. Holds positions and field names, never content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not JSON, or of the wrong shape.
    #[error("the answer is not the expected JSON (line {line}, column {column})")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A field that must be there is not.
    #[error("the answer has no {0:?}")]
    Absent(&'static str),
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed { line: error.line(), column: error.column() }
    }
}
