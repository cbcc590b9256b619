//! Templates in references: `${.user}:${.pass | b64enc}`.
//!
//! The same engine as for files, with `${` and `}` as delimiters and Sprig's functions by their bare names: a bare name
//! that Sprig has is written with its prefix before it is compiled. Printing nothing is a fault unless the policy says
//! otherwise; whatever only *tests* a missing field (`default`, `if`) works as in Go.

use std::ops::Range;

use vouchsafe_model::Secret;
use vouchsafe_model::wire::Document;

use crate::function::{Lookup, look_up};
use crate::limits::{Limits, TEXT_LIMIT_BYTES};
use crate::options::{Dialect, Options};
use crate::resolver::NoReads;
use crate::template::Template;
use crate::value::Value;

/// Compiles the text of a reference; the problem in words where it is none.
pub(super) fn compile(text: &str) -> Result<Template, String> {
    if text.len() > TEXT_LIMIT_BYTES {
        return Err(format!("the template is longer than {} KiB", TEXT_LIMIT_BYTES / 1024));
    }
    let options = Options::drop_in().with_delimiters(LEFT, RIGHT);
    Template::compile("in the reference", &prefixed(text), &options).map_err(|error| error.to_string())
}

/// Renders over the keys of `document`. `allow_no_value` prints `<no value>` for what is not there, as Go does.
pub(super) fn render(text: &str, document: &Document, allow_no_value: bool, limit: usize) -> Result<Secret, String> {
    let template = compile(text)?;
    // EXPOSE: rendering is what the value came for; it goes into the template's wiped buffers.
    let entries = document.expose().iter().map(|(key, value)| {
        let value = Value::try_from(value)?;
        Ok((key.as_bytes().to_vec().into(), value))
    });
    let entries = entries.collect::<Result<Vec<_>, crate::error::Fault>>().map_err(|fault| fault.to_string())?;
    let root = Value::map(entries).map_err(|fault| fault.to_string())?;
    let limits = Limits { output_bytes: limit, ..Limits::default() };
    let rendered = template.render(root, &mut NoReads, &limits).map_err(|error| error.to_string())?;
    match rendered.warnings.iter().find(|warning| warning.message.starts_with("prints <no value>")) {
        Some(warning) if !allow_no_value => {
            Err(format!("template in the reference:{}: the field is not found under path", warning.position))
        }
        _ => Ok(rendered.main),
    }
}

/// The text with Sprig's prefix before each of its functions.
fn prefixed(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(start) = rest.find(LEFT) {
        let (before, action) = rest.split_at(start);
        out.push_str(before);
        let mut from = 0;
        let words = words(action);
        for word in &words.found {
            if let (Some(between), Some(name)) = (action.get(from..word.start), action.get(word.clone())) {
                out.push_str(between);
                let sprig = format!("sprig_{name}");
                let known = matches!(look_up(&sprig, Dialect::DropIn), Lookup::Found(_) | Lookup::Refused(_));
                out.push_str(if known { &sprig } else { name });
                from = word.end;
            }
        }
        out.push_str(action.get(from..words.end).unwrap_or_default());
        rest = action.get(words.end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

struct Words {
    /// Names that are neither fields, variables nor parts of a literal.
    found: Vec<Range<usize>>,
    /// Where the action ends, in bytes.
    end: usize,
}

/// The names in an action, which begins with [`LEFT`].
fn words(action: &str) -> Words {
    let bytes = action.as_bytes();
    let mut found = Vec::new();
    let mut at = LEFT.len();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'}' => return Words { found, end: at + 1 },
            b'"' | b'\'' | b'`' => at = literal_end(bytes, at, byte),
            _ if is_word(byte) => {
                let start = at;
                while bytes.get(at).copied().is_some_and(is_word) {
                    at += 1;
                }
                let before = start.checked_sub(1).and_then(|before| bytes.get(before));
                if !matches!(before, Some(b'.' | b'$')) && !byte.is_ascii_digit() {
                    found.push(start..at);
                }
            }
            _ => at += 1,
        }
    }
    Words { found, end: bytes.len() }
}

/// Behind the closing quote; the end of the text where there is none.
fn literal_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'\\' if quote != b'`' => at += 2,
            _ if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

const LEFT: &str = "${";
const RIGHT: &str = "}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sprigs_functions_get_their_prefix_and_nothing_else_does() {
        for (text, expected) in [
            ("${.upper}", "${.upper}"),
            ("${.a | upper}", "${.a | sprig_upper}"),
            ("x ${printf \"upper\" | upper} upper", "x ${printf \"upper\" | sprig_upper} upper"),
            ("${$upper := 1}${$upper}", "${$upper := 1}${$upper}"),
            ("${len (trim .a)}", "${len (sprig_trim .a)}"),
            ("${`}` | trim}", "${`}` | sprig_trim}"),
            ("${if .a}${else}${end}", "${if .a}${else}${end}"),
            ("${.a", "${.a"),
        ] {
            assert_eq!(prefixed(text), expected);
        }
    }
}
