//! Byte strings of the language, kept in memory that is wiped.
//!
//! Go strings are bytes, and secrets such as keystores are not UTF-8, so text is bytes here. Copies share one buffer.
//! [`Buffer`] is the only place where text grows, because a growing `Vec` leaves unwiped copies behind.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::Fault;
use crate::limits::{Limit, TEXT_VALUE_LIMIT_BYTES};

/// An immutable byte string; cloning shares the buffer, the last owner wipes it. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Arc<Zeroizing<Vec<u8>>>);

impl Text {
    /// The bytes; they may be those of a secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as UTF-8, if they are.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<text>")
    }
}

/// A growing byte string with a limit, wiped on every move and on drop.
pub(crate) struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
    limit_bytes: usize,
    limit: Limit,
}

impl Buffer {
    /// For one value on the way.
    pub(crate) fn new() -> Self {
        Self { bytes: Zeroizing::new(Vec::new()), limit_bytes: TEXT_VALUE_LIMIT_BYTES, limit: Limit::Text }
    }

    /// For the rendered output, at most `limit_bytes` long.
    pub(crate) fn for_output(limit_bytes: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::new()), limit_bytes, limit: Limit::Output }
    }

    pub(crate) fn push(&mut self, byte: u8) -> Result<(), Fault> {
        self.write(&[byte])
    }

    pub(crate) fn push_char(&mut self, character: char) -> Result<(), Fault> {
        self.write(character.encode_utf8(&mut [0; 4]).as_bytes())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.reserve(bytes.len())?;
        self.bytes.extend_from_slice(bytes); // within the capacity
        Ok(())
    }

    pub(crate) fn repeat(&mut self, bytes: &[u8], times: usize) -> Result<(), Fault> {
        self.reserve(bytes.len().saturating_mul(times))?;
        for _ in 0..if bytes.is_empty() { 0 } else { times } {
            self.bytes.extend_from_slice(bytes); // within the capacity
        }
        Ok(())
    }

    /// Makes room for so many bytes more, wiping the buffer that becomes too small.
    fn reserve(&mut self, more: usize) -> Result<(), Fault> {
        let needed = self.bytes.len().saturating_add(more);
        if needed > self.limit_bytes {
            return Err(self.full());
        }
        if needed > self.bytes.capacity() {
            let capacity = needed.max(self.bytes.capacity().saturating_mul(2)).clamp(32, self.limit_bytes.max(32));
            let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger; // the old buffer is wiped by its drop
        }
        Ok(())
    }

    /// The error of a buffer that may not grow.
    pub(crate) fn full(&self) -> Fault {
        Fault::Limit(self.limit)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn finish(self) -> Text {
        Text(Arc::new(self.bytes))
    }

    /// The bytes without a wiping owner, for the caller to hand to another one at once.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes)
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_refuses_what_is_over_its_limit_and_keeps_the_rest() {
        let mut buffer = Buffer::for_output(5);
        buffer.write(b"abc").unwrap();
        assert_eq!(buffer.write(b"def"), Err(Fault::Limit(Limit::Output)));
        buffer.write(b"de").unwrap();
        assert_eq!(buffer.as_bytes(), b"abcde");
        assert_eq!(buffer.repeat(b"x", usize::MAX), Err(Fault::Limit(Limit::Output)));
    }

    #[test]
    fn debug_of_text_shows_nothing() {
        assert_eq!(format!("{:?}", Text::from("hunter2")), "<text>");
    }
}
