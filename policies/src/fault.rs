//! `Fault`: what is wrong with an input, where it stands, and how to mend it.
//!
//! All faults of an input are collected before anything is refused, so that nobody mends them one round at a time.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Name of a file as it was given; cheap to copy, since every value of the file carries it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(Arc<str>);

/// A place in a file, both numbers counted from 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The file's name as it was given.
    pub file: Source,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl From<&str> for Source {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Deref for Source {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Source {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Source {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", &*self.0)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for At {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Debug for At {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// One thing that is wrong. Displayed as `FILE:LINE:COLUMN: FIELD: MESSAGE`, without the parts that are not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where it stands, if it stands in a file.
    pub at: Option<At>,
    /// The field (`spec.secrets[0].path`) or the annotation (`vouchsafe.dev/files[0].name`); empty for a whole file.
    pub field: String,
    /// What is wrong and how to fix it; one line, safe for terminals.
    pub message: String,
}

impl Fault {
    /// A fault of `field` with a known or unknown place.
    pub fn new(at: Option<At>, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at, field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(formatter, "{at}: ")?;
        }
        if !self.field.is_empty() {
            write!(formatter, "{}: ", self.field)?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_only_the_parts_that_are_known() {
        let at = At { file: "a.yaml".into(), line: 2, column: 3 };
        assert_eq!(Fault::new(Some(at.clone()), "spec", "is missing").to_string(), "a.yaml:2:3: spec: is missing");
        assert_eq!(Fault::new(Some(at), "", "is empty").to_string(), "a.yaml:2:3: is empty");
        assert_eq!(Fault::new(None, "x", "is missing").to_string(), "x: is missing");
    }
}
