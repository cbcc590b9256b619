//! A JSON writer with Go's habits: keys in byte order, HTML characters escaped unless told otherwise.

use crate::error::Fault;
use crate::text::{float, write_formatted};
use crate::value::{Buffer, Element, Value};

/// How to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// `<`, `>` and `&` as `\u003c` and so on.
    pub(crate) escape_html: bool,
    /// Two spaces a level, one entry a line.
    pub(crate) pretty: bool,
    /// Maps whose keys are not declared to be text may be written too, which Go refuses.
    pub(crate) any_keys: bool,
}

/// Writes `value` without a newline at the end.
pub(crate) fn write(out: &mut Buffer, value: &Value, style: Style) -> Result<(), Fault> {
    element(out, value, style, 0)
}

fn element(out: &mut Buffer, value: &Value, style: Style, level: usize) -> Result<(), Fault> {
    match value {
        Value::Nil => out.write(b"null"),
        Value::Bool(truth) => out.write(if *truth { b"true" } else { b"false" }),
        Value::Int(number) => write_formatted(out, format_args!("{number}")),
        Value::Uint(number) => write_formatted(out, format_args!("{number}")),
        Value::Float(number) if !number.is_finite() => Err(Fault::Function("JSON has no infinity and no NaN")),
        Value::Float(number) => out.write(float::json(*number).as_bytes()),
        Value::Number(text) if text.is_empty() => out.push(b'0'),
        Value::Number(text) => out.write(text.as_bytes()),
        Value::Text(text) => string(out, text.as_bytes(), style),
        Value::List(list) if list.is_nil() => out.write(b"null"),
        Value::List(list) => {
            sequence(out, list.items(), style, level, *b"[]", |out, item, level| element(out, item, style, level))
        }
        Value::Map(map) if map.element() == Element::Loose && !style.any_keys => {
            Err(Fault::Function("JSON has text keys only, and those of parseYAML are not declared to be"))
        }
        Value::Map(map) => sequence(out, map.entries(), style, level, *b"{}", |out, (key, item), level| {
            string(out, key.as_bytes(), style)?;
            out.write(if style.pretty { b": " } else { b":" })?;
            element(out, item, style, level)
        }),
        Value::Object(object) => sequence(out, object.fields(), style, level, *b"{}", |out, (key, item), level| {
            string(out, key.as_bytes(), style)?;
            out.write(if style.pretty { b": " } else { b":" })?;
            element(out, item, style, level)
        }),
    }
}

fn sequence<T>(
    out: &mut Buffer,
    items: &[T],
    style: Style,
    level: usize,
    [open, close]: [u8; 2],
    write_item: impl Fn(&mut Buffer, &T, usize) -> Result<(), Fault>,
) -> Result<(), Fault> {
    out.push(open)?;
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',')?;
        }
        new_line(out, style, level + 1)?;
        write_item(out, item, level + 1)?;
    }
    if !items.is_empty() {
        new_line(out, style, level)?;
    }
    out.push(close)
}

fn new_line(out: &mut Buffer, style: Style, level: usize) -> Result<(), Fault> {
    if !style.pretty {
        return Ok(());
    }
    out.push(b'\n')?;
    out.repeat(b"  ", level)
}

fn string(out: &mut Buffer, bytes: &[u8], style: Style) -> Result<(), Fault> {
    out.push(b'"')?;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.write(b"\\\"")?,
                '\\' => out.write(b"\\\\")?,
                '\u{8}' => out.write(b"\\b")?,
                '\u{c}' => out.write(b"\\f")?,
                '\n' => out.write(b"\\n")?,
                '\r' => out.write(b"\\r")?,
                '\t' => out.write(b"\\t")?,
                '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => escape(out, character)?,
                '<' | '>' | '&' if style.escape_html => escape(out, character)?,
                other => out.push_char(other)?,
            }
        }
        for _ in chunk.invalid() {
            out.write(b"\\ufffd")?;
        }
    }
    out.push(b'"')
}

fn escape(out: &mut Buffer, character: char) -> Result<(), Fault> {
    write_formatted(out, format_args!("\\u{:04x}", u32::from(character)))
}
