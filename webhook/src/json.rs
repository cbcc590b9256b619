//! One pass over foreign JSON before anything is built from it: syntax, depth, counts, duplicate keys, byte offsets.
//!
//! `serde_json` keeps the last of two equal keys, other readers the first; whoever can make two programs read one document
//! differently can pass a check with one reading and act with the other. So duplicates are refused here, together with
//! everything that costs more memory than its bytes suggest. Iterative: no input can exhaust the stack.
//! Out of scope: what the document means ([`crate::review`]).

use std::borrow::Cow;
use std::collections::HashSet;

use vouchsafe_model::text::quoted;

/// What is wrong with a text that should be one JSON document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {problem}")]
pub struct JsonError {
    /// Offset from the start of the body, in bytes.
    pub offset: usize,
    /// What is wrong and what was expected.
    pub problem: String,
}

/// Checks that `body` is exactly one JSON document within the limits, without duplicate keys.
pub fn check(body: &[u8]) -> Result<(), JsonError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| fault(error.valid_up_to(), "invalid UTF-8; JSON is sent as UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(fault(0, "a byte order mark; send the JSON without it"));
    }
    Scanner { text, at: 0, values: 0 }.document()
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

/// An array or object that is still open.
enum Level<'a> {
    Array,
    Object(HashSet<Cow<'a, str>>),
}

impl<'a> Scanner<'a> {
    fn document(mut self) -> Result<(), JsonError> {
        let mut open: Vec<Level<'a>> = Vec::new();
        loop {
            if let Some(level) = self.value(open.len())? {
                open.push(level);
                continue;
            }
            if !self.rise(&mut open)? {
                break;
            }
        }
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("more text after the end of the document; send exactly one")),
        }
    }

    /// Reads a scalar or an empty container whole (`None`), or the opening of a container up to its first value.
    fn value(&mut self, depth: usize) -> Result<Option<Level<'a>>, JsonError> {
        self.skip_space();
        self.values += 1;
        if self.values > VALUES {
            return Err(self.fault(&format!("more than {VALUES} values, which is the limit")));
        }
        match self.peek() {
            Some(b'{') => {
                self.deeper(depth)?;
                if self.closes(b'}') {
                    return Ok(None);
                }
                let mut keys = HashSet::new();
                self.member(&mut keys)?;
                Ok(Some(Level::Object(keys)))
            }
            Some(b'[') => {
                self.deeper(depth)?;
                Ok(if self.closes(b']') { None } else { Some(Level::Array) })
            }
            Some(b'"') => self.string().map(|_| None),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| None),
            Some(b't') => self.word("true").map(|()| None),
            Some(b'f') => self.word("false").map(|()| None),
            Some(b'n') => self.word("null").map(|()| None),
            Some(_) => Err(self.fault("expected a JSON value")),
            None => Err(self.truncated()),
        }
    }

    /// After a value: closes what ends here; `true` if another value follows, `false` at the end of the document.
    fn rise(&mut self, open: &mut Vec<Level<'a>>) -> Result<bool, JsonError> {
        loop {
            let Some(level) = open.last_mut() else { return Ok(false) };
            self.skip_space();
            match (self.peek(), level) {
                (Some(b','), Level::Array) => {
                    self.at += 1;
                    return Ok(true);
                }
                (Some(b','), Level::Object(keys)) => {
                    self.at += 1;
                    self.member(keys)?;
                    return Ok(true);
                }
                (Some(b']'), Level::Array) | (Some(b'}'), Level::Object(_)) => {
                    self.at += 1;
                    open.pop();
                }
                (Some(_), Level::Array) => return Err(self.fault("expected ',' or ']'")),
                (Some(_), Level::Object(_)) => return Err(self.fault("expected ',' or '}'")),
                (None, _) => return Err(self.truncated()),
            }
        }
    }

    /// `"key":`
    fn member(&mut self, keys: &mut HashSet<Cow<'a, str>>) -> Result<(), JsonError> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.fault("expected a key in double quotes")),
            None => return Err(self.truncated()),
        }
        let raw = self.string()?;
        let key = decoded(raw).ok_or_else(|| fault(start, "a key that is no JSON string"))?;
        if key.starts_with(RESERVED_KEY) {
            return Err(fault(start, &format!("key {} is reserved and no field of Kubernetes", quoted(&key))));
        }
        let shown = quoted(&key);
        if !keys.insert(key) {
            return Err(fault(start, &format!("duplicate key {shown}; readers disagree on which one counts")));
        }
        self.skip_space();
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.fault("expected ':' after the key")),
            None => Err(self.truncated()),
        }
    }

    /// Returns the string with its quotes.
    fn string(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.truncated()),
                Some(b'"') => {
                    self.at += 1;
                    return self.text.get(start..self.at).ok_or_else(|| fault(start, "a broken string"));
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return Err(self.fault("a control character inside a string; escape it")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.unit(start)?;
                let paired = match unit {
                    0xD800..=0xDBFF => {
                        self.text.get(self.at..).is_some_and(|rest| rest.starts_with("\\u")) && {
                            self.at += 1;
                            matches!(self.unit(start)?, 0xDC00..=0xDFFF)
                        }
                    }
                    0xDC00..=0xDFFF => false,
                    _ => true,
                };
                if paired { Ok(()) } else { Err(fault(start, "half of a surrogate pair; escape whole characters")) }
            }
            Some(_) => Err(fault(start, "an unknown escape sequence")),
            None => Err(self.truncated()),
        }
    }

    /// The `uXXXX` of an escape; the position stands on `u`.
    fn unit(&mut self, start: usize) -> Result<u32, JsonError> {
        let digits = self
            .text
            .get(self.at + 1..self.at + 5)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| fault(start, "\\u needs four hexadecimal digits"))?;
        self.at += 5;
        Ok(digits)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.eat(b'-');
        if self.eat(b'0') {
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(fault(start, "a number with a leading zero"));
            }
        } else {
            self.digits(start)?;
        }
        if self.eat(b'.') {
            self.digits(start)?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits(start)?;
        }
        let length = self.at - start;
        if length > NUMBER_BYTES {
            return Err(fault(start, &format!("a number of {length} characters, the limit is {NUMBER_BYTES}")));
        }
        let finite =
            self.text.get(start..self.at).and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite);
        if finite { Ok(()) } else { Err(fault(start, "a number out of range; the limit is that of a 64-bit float")) }
    }

    fn digits(&mut self, start: usize) -> Result<(), JsonError> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(fault(start, "a number without digits where they belong")) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        if word.starts_with(rest) {
            return Err(self.truncated());
        }
        Err(self.fault("expected a JSON value"))
    }

    /// Steps into a container if the depth allows it.
    fn deeper(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth >= DEPTH {
            return Err(self.fault(&format!("nested deeper than {DEPTH} levels, which is the limit")));
        }
        self.at += 1;
        Ok(())
    }

    fn closes(&mut self, byte: u8) -> bool {
        self.skip_space();
        self.eat(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn truncated(&self) -> JsonError {
        fault(self.text.len(), "the document ends too early (truncated)")
    }

    fn fault(&self, problem: &str) -> JsonError {
        fault(self.at, problem)
    }
}

/// The value of a key with its quotes: `"a"` and `"\u0061"` are the same key.
fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

fn fault(offset: usize, problem: &str) -> JsonError {
    JsonError { offset, problem: problem.to_owned() }
}

/// Deepest nesting: a Pod needs about 12 levels, a CronJob 15.
pub const DEPTH: usize = 64;
/// Most values in one document: fifty times the largest pod we know; each costs about 100 bytes once it is built.
pub const VALUES: usize = 100_000;
/// Longest number: Kubernetes has none beyond 64-bit integers and short decimals.
const NUMBER_BYTES: usize = 64;
/// Keys that serde_json gives a meaning of its own (arbitrary-precision numbers, raw values).
const RESERVED_KEY: &str = "$serde_json::private";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(text: &str) -> String {
        check(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn accepts_what_json_allows() {
        for text in
            ["{}", "[]", " {\"a\" : [1, -0.5e+3, true, false, null, \"\\u00e4\\ud83d\\ude00\\n\"] } \n", "0", "\"\""]
        {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn names_the_byte_of_the_first_fault() {
        assert_eq!(problem("{\"a\":1,}"), "byte 7: expected a key in double quotes");
        assert_eq!(problem("{\"a\":1} x"), "byte 8: more text after the end of the document; send exactly one");
        assert_eq!(problem("{\"a\":tru"), "byte 8: the document ends too early (truncated)");
        assert_eq!(problem("[1 2]"), "byte 3: expected ',' or ']'");
        assert_eq!(problem("{\"a\" 1}"), "byte 5: expected ':' after the key");
        assert_eq!(problem("[01]"), "byte 1: a number with a leading zero");
        assert_eq!(problem("\u{feff}{}"), "byte 0: a byte order mark; send the JSON without it");
        assert_eq!(check(b"{\"a\":\"\xff\"}").unwrap_err().offset, 6);
    }

    #[test]
    fn duplicate_keys_are_refused_however_they_are_spelt() {
        assert!(problem("{\"a\":1,\"a\":2}").starts_with("byte 7: duplicate key \"a\""));
        assert!(problem("{\"a\":1,\"\\u0061\":2}").starts_with("byte 7: duplicate key"));
        assert_eq!(check(b"[{\"a\":1},{\"a\":2}]"), Ok(()));
    }

    #[test]
    fn depth_counts_and_numbers_have_limits_that_the_message_names() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(problem(&deep), "byte 64: nested deeper than 64 levels, which is the limit");
        assert_eq!(check(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes()), Ok(()));
        let many = format!("[{}1]", "1,".repeat(VALUES));
        assert!(problem(&many).contains("more than 100000 values"));
        assert!(problem(&"9".repeat(1000)).contains("a number of 1000 characters, the limit is 64"));
        assert!(problem("1e999").contains("out of range"));
    }

    #[test]
    fn half_surrogates_and_control_characters_are_refused() {
        for bad in ["\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\x\"", "\"\\u12g4\"", "\"a\nb\"", "\"a"] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_that_serde_json_would_interpret_are_refused() {
        assert!(problem("{\"$serde_json::private::Number\":\"1\"}").contains("reserved"));
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_what_is_json(text in "[\\[\\]{}\",:0-9a-z\\\\ .eE+-]{0,24}") {
            let ours = check(text.as_bytes());
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match ours {
                Ok(()) => prop_assert!(theirs.is_ok(), "{text}"),
                Err(error) if theirs.is_ok() => prop_assert!(
                    ["duplicate", "limit", "reserved"].iter().any(|word| error.problem.contains(word)), "{text}: {error}"),
                Err(_) => {}
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&body);
        }
    }
}
