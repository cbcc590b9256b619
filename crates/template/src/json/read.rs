//! A JSON reader straight into values, so that no unwiped copy of a secret is made on the way.
//!
//! Strict like Go's: no comments, no trailing commas, control characters escaped. Lone surrogates and invalid UTF-8 become
//! U+FFFD. Depth is bounded by the depth of values.

use crate::error::Fault;
use crate::limits::{Limit, VALUE_DEPTH_LIMIT};
use crate::value::{Buffer, Element, MapBuilder, Text, Value};

/// What a number becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Its text, as in answers of Vault.
    Text,
    /// A float, as `parseJSON` makes them.
    Float,
}

/// Reads one document.
pub(crate) fn read(json: &[u8], numbers: Numbers) -> Result<Value, Fault> {
    let mut reader = Reader { rest: json, numbers };
    let value = reader.value(0)?;
    reader.skip_white();
    if reader.rest.is_empty() { Ok(value) } else { Err(NOT_JSON) }
}

struct Reader<'j> {
    rest: &'j [u8],
    numbers: Numbers,
}

const NOT_JSON: Fault = Fault::Function("the text is not valid JSON");

impl Reader<'_> {
    fn value(&mut self, depth: u16) -> Result<Value, Fault> {
        if depth > VALUE_DEPTH_LIMIT {
            return Err(Fault::Limit(Limit::ValueDepth));
        }
        self.skip_white();
        match self.rest.first() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Nil),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(NOT_JSON),
        }
    }

    fn object(&mut self, depth: u16) -> Result<Value, Fault> {
        let mut entries = MapBuilder::default();
        self.expect(b'{')?;
        if !self.take_if(b'}') {
            loop {
                self.skip_white();
                let key = self.string()?;
                self.expect(b':')?;
                entries.insert(key, self.value(depth + 1)?);
                if self.take_if(b'}') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        entries.finish(Element::Any).map(Value::Map)
    }

    fn array(&mut self, depth: u16) -> Result<Value, Fault> {
        let mut items = Vec::new();
        self.expect(b'[')?;
        if !self.take_if(b']') {
            loop {
                items.push(self.value(depth + 1)?);
                if self.take_if(b']') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        Value::list(items)
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.rest;
        self.take_raw(b'-');
        if !self.take_raw(b'0') && self.digits() == 0 {
            return Err(NOT_JSON);
        }
        if self.take_raw(b'.') && self.digits() == 0 {
            return Err(NOT_JSON);
        }
        if self.take_raw(b'e') || self.take_raw(b'E') {
            let _ = self.take_raw(b'+') || self.take_raw(b'-');
            if self.digits() == 0 {
                return Err(NOT_JSON);
            }
        }
        let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        if self.numbers == Numbers::Text {
            return Ok(Value::Number(Text::from(text)));
        }
        let float = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        let out_of_range = Fault::Function("a number in the JSON text does not fit a float");
        float.filter(|float| float.is_finite()).map(Value::Float).ok_or(out_of_range)
    }

    fn digits(&mut self) -> usize {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(count..).unwrap_or_default();
        count
    }

    fn string(&mut self) -> Result<Text, Fault> {
        let mut out = Buffer::new();
        if !self.take_raw(b'"') {
            return Err(NOT_JSON);
        }
        loop {
            let plain = self.rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            let (text, rest) = self.rest.split_at_checked(plain).ok_or(NOT_JSON)?;
            self.rest = rest;
            write_valid(&mut out, text)?;
            match self.byte()? {
                b'"' => return Ok(out.finish()),
                b'\\' => self.escape(&mut out)?,
                _ => return Err(NOT_JSON),
            }
        }
    }

    fn escape(&mut self, out: &mut Buffer) -> Result<(), Fault> {
        match self.byte()? {
            same @ (b'"' | b'\\' | b'/') => out.push(same),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let unit = self.unit()?;
                let character = match unit {
                    0xD800..=0xDBFF => self.second_half(unit),
                    other => char::from_u32(other),
                };
                out.push_char(character.unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            _ => Err(NOT_JSON),
        }
    }

    /// The character of a surrogate pair, whose second half is taken only if it fits.
    fn second_half(&mut self, first: u32) -> Option<char> {
        let before = self.rest;
        self.rest = self.rest.strip_prefix(b"\\u")?;
        if let Ok(second @ 0xDC00..=0xDFFF) = self.unit() {
            return char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00));
        }
        self.rest = before;
        None
    }

    fn unit(&mut self) -> Result<u32, Fault> {
        let digits = self.rest.get(..4).ok_or(NOT_JSON)?;
        let text = std::str::from_utf8(digits).map_err(|_| NOT_JSON)?;
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NOT_JSON);
        }
        self.rest = self.rest.get(4..).unwrap_or_default();
        u32::from_str_radix(text, 16).map_err(|_| NOT_JSON)
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, Fault> {
        self.rest = self.rest.strip_prefix(word).ok_or(NOT_JSON)?;
        Ok(value)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let (byte, rest) = self.rest.split_first().ok_or(NOT_JSON)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take_if(byte) { Ok(()) } else { Err(NOT_JSON) }
    }

    fn take_if(&mut self, byte: u8) -> bool {
        self.skip_white();
        self.take_raw(byte)
    }

    fn take_raw(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn skip_white(&mut self) {
        let white = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.rest = self.rest.get(white..).unwrap_or_default();
    }
}

fn write_valid(out: &mut Buffer, bytes: &[u8]) -> Result<(), Fault> {
    for chunk in bytes.utf8_chunks() {
        out.write(chunk.valid().as_bytes())?;
        for _ in chunk.invalid() {
            out.push_char(char::REPLACEMENT_CHARACTER)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text() {
        for number in ["1.50", "-0", "1E40", "123456789012345678901234567890", "0.1e-7"] {
            let Ok(Value::Number(text)) = read(number.as_bytes(), Numbers::Text) else { panic!("{number}") };
            assert_eq!(text.as_str(), Some(number));
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "",
            "01",
            "1.",
            "[1,]",
            "{\"a\":1,}",
            "\"\n\"",
            "\"\\x\"",
            "tru",
            "1 2",
            "{1:2}",
            "'a'",
            "\"\\u12\"",
            "-",
            "+1",
            "[",
            "nul",
        ] {
            assert!(read(text.as_bytes(), Numbers::Text).is_err(), "{text}");
        }
        let deep = "[".repeat(50_000);
        assert_eq!(read(deep.as_bytes(), Numbers::Text).unwrap_err(), Fault::Limit(Limit::ValueDepth));
    }

    #[test]
    fn surrogates_pair_up_or_are_replaced() {
        for (json, expected) in [
            ("\"\\ud83d\\ude00\"", "😀"),
            ("\"\\ud83dx\"", "\u{fffd}x"),
            ("\"\\ud83d\\u0041\"", "\u{fffd}A"),
            ("\"\\udc00\"", "\u{fffd}"),
        ] {
            let Ok(Value::Text(text)) = read(json.as_bytes(), Numbers::Text) else { panic!("{json}") };
            assert_eq!(text.as_str(), Some(expected));
        }
    }
}
