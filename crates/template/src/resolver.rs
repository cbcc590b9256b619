//! What a rendering asks from outside: an interface that the sidecar and tests implement.
//!
//! Rendering is synchronous. A resolver that has not fetched something yet notes the request and answers `Ok(None)`; the
//! rendering then ends with [`crate::Fault::SecretUnavailable`], the caller fetches and renders again. What can be known
//! beforehand stands in [`crate::Template::static_reads`].

use std::time::SystemTime;

use vouchsafe_model::Secret;

use crate::error::ResolveError;
use crate::value::{Text, Value};

/// Answers the reads of a template. Error texts must not hold values.
pub trait Resolver {
    /// `secret "path"`, or with arguments `secret "path" "key=value"`, which is a write. The answer is usually made from
    /// a [`crate::SecretObject`]. `Ok(None)` where it is not there (yet).
    ///
    /// # Errors
    /// Where the read failed for good.
    fn secret(&mut self, path: &str, arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError>;

    /// `secrets "path"`: names below a path, in order.
    ///
    /// # Errors
    /// Where the list failed for good; by default always.
    fn list(&mut self, _path: &str) -> Result<Option<Vec<Text>>, ResolveError> {
        Err(ResolveError::new("listing is not available here"))
    }

    /// `pkiCert "path" "key=value"`: usually made from a [`crate::Certificate`].
    ///
    /// # Errors
    /// Where it failed for good; by default always.
    fn certificate(&mut self, _path: &str, _arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        Err(ResolveError::new("certificates are not available here"))
    }

    /// `env "NAME"`: an environment variable; by default there are none.
    fn environment(&mut self, _name: &str) -> Option<Secret> {
        None
    }

    /// `timestamp`: the time of this rendering; by default there is none, since every rendering would differ.
    fn now(&mut self) -> Option<SystemTime> {
        None
    }

    /// `file "path"`: the content of a file.
    ///
    /// # Errors
    /// Where it failed for good; by default always.
    fn file(&mut self, _path: &str) -> Result<Option<Secret>, ResolveError> {
        Err(ResolveError::new("files are not available here"))
    }
}

/// Answers nothing; for our own dialect, whose templates read only their root.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReads;

impl Resolver for NoReads {
    fn secret(&mut self, _path: &str, _arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        Err(ResolveError::new("secrets are not read by path here"))
    }
}
