//! What can go wrong with a reference: names of variables, paths and keys, never a value, a body or a ciphertext.
//!
//! The phrases "not found under path", "not defined" and "transit key ID is empty" are those that users of Bank-Vaults
//! search for; they stay.

use thiserror::Error;
use vouchsafe_model::text::quoted;

use super::resolve::{RESOLVED_BYTES, VALUE_BYTES};
use crate::error::ResolveError;

/// A variable whose value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("variable {}: {fault}", shown(.variable))]
pub struct ReferenceError {
    /// The variable's name.
    pub variable: String,
    /// What is wrong.
    pub fault: ReferenceFault,
}

/// What is wrong with a reference, or with what it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReferenceFault {
    /// `vault:path` without `#key`.
    #[error("secret key is not defined: write vault:{}#KEY", shown(.path))]
    NoKey {
        /// What stands in the place of the path.
        path: String,
    },
    /// Nothing between `vault:` and `#`.
    #[error("the reference has no path; write vault:MOUNT/data/PATH#KEY")]
    NoPath,
    /// Something that is no API path.
    #[error("{problem}")]
    Path {
        /// The path's own error, which quotes it.
        problem: String,
    },
    /// `#` with nothing behind it.
    #[error("the key behind the '#' is empty (path {}); write its name", shown(.path))]
    EmptyKey {
        /// The path.
        path: String,
    },
    /// A third part of a read that is no version.
    #[error("version {} is no number (path {}); write vault:PATH#KEY#VERSION", quoted(.version), shown(.path))]
    Version {
        /// The path.
        path: String,
        /// What stands in the place of the version.
        version: String,
    },
    /// A third part of a write that is no JSON object.
    #[error("the body of the write to path {} is no JSON object; write >>vault:PATH#KEY#{{\"name\":\"value\"}}", shown(.path))]
    Body {
        /// The path.
        path: String,
    },
    /// `${>vault:…}`.
    #[error("a write begins with two signs: write >>vault:")]
    OneSign,
    /// A part that is not UTF-8.
    #[error("the reference is not UTF-8")]
    NotText,
    /// The template does not compile.
    #[error("path {}: {problem}", shown(.path))]
    Compile {
        /// The path.
        path: String,
        /// The template's own error.
        problem: String,
    },
    /// The rendering failed or would have printed `<no value>`.
    #[error("path {}: {problem}", shown(.path))]
    Render {
        /// The path.
        path: String,
        /// The template's own error.
        problem: String,
    },
    /// The secret is there, the key is not.
    #[error("key {} not found under path {}{hint}; put it there, or correct the reference", quoted(.key), shown(.path))]
    MissingKey {
        /// The path.
        path: String,
        /// The key.
        key: String,
        /// What may be meant, or nothing.
        hint: String,
    },
    /// This version of the secret was deleted.
    #[error("the version of the secret is deleted, so {} is not found under path {}; undelete it, or put a new one", quoted(.key), shown(.path))]
    Deleted {
        /// The path.
        path: String,
        /// The key.
        key: String,
    },
    /// Nothing at that path.
    #[error("there is no secret at path {}; put it there, or correct the reference (KV v2 needs data/ in it)", shown(.path))]
    MissingSecret {
        /// The path.
        path: String,
    },
    /// A list or map where one value is wanted.
    #[error("key {} under path {} holds a {found}, which is no value for a variable; pick a part of it by a template", quoted(.key), shown(.path))]
    NotScalar {
        /// The path.
        path: String,
        /// The key.
        key: String,
        /// "list" or "map".
        found: &'static str,
    },
    /// A key that cannot be the name of a variable.
    #[error("key {} under path {} cannot be the name of a variable; name the keys one by one instead", quoted(.key), shown(.path))]
    KeyName {
        /// The path.
        path: String,
        /// The key.
        key: String,
    },
    /// A ciphertext without a key to decrypt it with.
    #[error("found an encrypted value, but the transit key ID is empty; set VAULT_TRANSIT_KEY_ID")]
    NoTransitKey,
    /// An answer to a decryption that is not what was asked for.
    #[error("the answer of the transit engine {0}")]
    Transit(&'static str),
    /// A NUL byte, which ends a variable for the kernel.
    #[error("the value holds a NUL byte, which no variable can; deliver it as a file")]
    Nul,
    /// Over [`VALUE_BYTES`].
    #[error("the value has {bytes} bytes, the limit of a variable is {}; deliver it as a file", VALUE_BYTES)]
    TooLong {
        /// Size found.
        bytes: usize,
    },
    /// Over [`RESOLVED_BYTES`] in sum.
    #[error("all resolved values together are over {RESOLVED_BYTES} bytes; deliver some as files")]
    TooMuch,
    /// More of something than its limit.
    #[error("there are more than {limit} {what}; name fewer")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The source's own word.
    #[error("path {}: {problem}", shown(.path))]
    Fetch {
        /// The path.
        path: String,
        /// What failed.
        problem: ResolveError,
    },
    /// The token cannot be had.
    #[error("vault:login: {0}")]
    Login(ResolveError),
    /// A setting that is not what it should be.
    #[error("{0}")]
    Setting(String),
}

/// Plain names as they are, everything else quoted and shortened.
pub(super) fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.:@=,~+".contains(c);
    if !name.is_empty() && name.len() <= 256 && name.chars().all(plain) { name.to_owned() } else { quoted(name) }
}
