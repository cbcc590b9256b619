//! `Kind`: what sort of failure something is. It alone decides status code, retry and exit code.
//!
//! Error texts are for people and are never matched on. `Code` names an entry of docs/errors.md.

use std::fmt;

/// What sort of failure an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The input is wrong and stays wrong until somebody changes it.
    Invalid,
    /// Who asks may not do this.
    Denied,
    /// The named thing does not exist.
    Missing,
    /// Somebody else was faster, or holds it.
    Conflict,
    /// A size, count or depth limit was exceeded.
    Limit,
    /// Too many requests; try again later.
    Busy,
    /// A server, disk or network does not answer, or is sealed; try again.
    Unavailable,
    /// A mistake of ours.
    Internal,
}

impl Kind {
    /// HTTP status for an answer of this kind.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Denied => 403,
            Self::Missing => 404,
            Self::Conflict => 409,
            Self::Limit => 413,
            Self::Busy => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// Exit code of a program that ends with this kind (sysexits.h where it fits; 1 is "the check found faults").
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid | Self::Limit => 65,
            Self::Missing => 66,
            Self::Unavailable | Self::Busy => 69,
            Self::Internal => 70,
            Self::Conflict => 75,
            Self::Denied => 77,
        }
    }

    /// Whether the same attempt can succeed later without anybody changing its input.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable | Self::Conflict)
    }
}

/// A message's stable code, explained under a heading of the same name in docs/errors.md.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(&'static str);

impl Code {
    /// A code of the form `E-VLT-010`. Declare codes as constants next to the errors that carry them.
    pub const fn new(code: &'static str) -> Self {
        Self(code)
    }

    /// The code's text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_kinds_are_retried() {
        for kind in [Kind::Invalid, Kind::Denied, Kind::Missing, Kind::Limit, Kind::Internal] {
            assert!(!kind.is_transient(), "{kind:?}");
        }
        for kind in [Kind::Busy, Kind::Unavailable, Kind::Conflict] {
            assert!(kind.is_transient(), "{kind:?}");
        }
    }
}
