//! `toTOML`, the way BurntSushi's encoder writes it.
//!
//! Plain keys come before tables, both in byte order; tables of tables are indented by two spaces a level; nothing is
//! written for what is nil.

use crate::error::Fault;
use crate::text::{float, write_formatted};
use crate::value::{Buffer, Element, List, Map, Value};

/// Writes `value` without white space at its end.
pub(crate) fn write(out: &mut Buffer, value: &Value) -> Result<(), Fault> {
    let mut document = Buffer::new();
    match value {
        Value::Map(map) => table(&mut document, &mut Vec::new(), map)?,
        Value::List(list) if is_tables(list)? => {
            return Err(Fault::Function("TOML has no list of tables without a key"));
        }
        Value::Nil => return Err(Fault::Function("TOML cannot express nil")),
        Value::Object(_) => return Err(UNSUPPORTED),
        other => element(&mut document, other)?,
    }
    out.write(document.as_bytes().trim_ascii())
}

const UNSUPPORTED: Fault = Fault::Function("TOML cannot express this value; pass its .Data");

/// The entries of a table; its heading is written already.
fn table<'v>(out: &mut Buffer, path: &mut Vec<&'v [u8]>, map: &'v Map) -> Result<(), Fault> {
    for (key, value) in parted(map)?.into_iter().flatten() {
        path.push(key);
        match value {
            Value::Nil => {}
            Value::Map(inner) => {
                if path.len() == 1 {
                    blank_line(out)?;
                }
                heading(out, path, b"[", b"]\n")?;
                table(out, path, inner)?;
            }
            Value::List(list) if is_tables(list)? => {
                for item in list.items() {
                    let Value::Map(inner) = item else { continue };
                    blank_line(out)?;
                    heading(out, path, b"[[", b"]]\n")?;
                    table(out, path, inner)?;
                }
            }
            value => {
                out.repeat(b"  ", path.len() - 1)?;
                entry(out, key, value)?;
                out.push(b'\n')?;
            }
        }
        path.pop();
    }
    Ok(())
}

fn blank_line(out: &mut Buffer) -> Result<(), Fault> {
    out.write(if out.len() > 0 { b"\n" } else { b"" })
}

fn heading(out: &mut Buffer, path: &[&[u8]], open: &[u8], close: &[u8]) -> Result<(), Fault> {
    out.repeat(b"  ", path.len() - 1)?;
    out.write(open)?;
    for (at, part) in path.iter().enumerate() {
        out.write(if at > 0 { b"." } else { b"" })?;
        name(out, part)?;
    }
    out.write(close)
}

type Entries<'v> = Vec<(&'v [u8], &'v Value)>;

/// Plain entries, then tables. A list of tables is one too, nil is plain.
fn parted(map: &Map) -> Result<[Entries<'_>; 2], Fault> {
    if map.element() == Element::Loose {
        return Err(Fault::Function("TOML has text keys only, and those of parseYAML are not declared to be"));
    }
    let (mut plain, mut tables) = (Vec::new(), Vec::new());
    for (key, value) in map.entries() {
        let is_table = match value {
            Value::List(list) => is_tables(list)?,
            other => matches!(other, Value::Map(_)),
        };
        if is_table { &mut tables } else { &mut plain }.push((key.as_bytes(), value));
    }
    Ok([plain, tables])
}

fn is_tables(list: &List) -> Result<bool, Fault> {
    if list.items().iter().any(|item| matches!(item, Value::Nil)) {
        return Err(Fault::Function("a list in TOML cannot hold nil"));
    }
    Ok(!list.items().is_empty() && list.items().iter().all(|item| matches!(item, Value::Map(_))))
}

fn entry(out: &mut Buffer, key: &[u8], value: &Value) -> Result<(), Fault> {
    name(out, key)?;
    out.write(b" = ")?;
    element(out, value)
}

fn element(out: &mut Buffer, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Text(text) => quoted(out, text.as_bytes()),
        Value::Bool(truth) => out.write(if *truth { b"true" } else { b"false" }),
        Value::Int(number) => write_formatted(out, format_args!("{number}")),
        Value::Uint(number) => write_formatted(out, format_args!("{number}")),
        Value::Float(number) => floating(out, *number),
        Value::Number(text) if text.is_empty() => out.push(b'0'),
        Value::Number(text) => {
            let text = text.as_str().unwrap_or_default();
            match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _) => write_formatted(out, format_args!("{number}")),
                (_, Ok(number)) if number.is_finite() => floating(out, number),
                _ => Err(Fault::Function("a number does not fit TOML")),
            }
        }
        Value::List(list) => {
            is_tables(list)?;
            out.push(b'[')?;
            for (at, item) in list.items().iter().enumerate() {
                out.write(if at > 0 { b", " } else { b"" })?;
                element(out, item)?;
            }
            out.push(b']')
        }
        Value::Map(map) => {
            out.push(b'{')?;
            let groups = parted(map)?;
            let tables_follow = [groups.get(1).is_some_and(|tables| !tables.is_empty()), false];
            for (group, follows) in groups.iter().zip(tables_follow) {
                for (at, (key, item)) in group.iter().enumerate().filter(|(_, (_, item))| !matches!(item, Value::Nil)) {
                    entry(out, key, item)?;
                    // a comma also stands before entries that are left out for being nil, as in the original
                    out.write(if follows || at + 1 < group.len() { b", " } else { b"" })?;
                }
            }
            out.push(b'}')
        }
        Value::Nil | Value::Object(_) => Err(UNSUPPORTED),
    }
}

fn floating(out: &mut Buffer, number: f64) -> Result<(), Fault> {
    let text = match number {
        number if number.is_nan() => "nan".to_owned(),
        number if number.is_infinite() => if number > 0.0 { "inf" } else { "-inf" }.to_owned(),
        number => float::fixed(number, None),
    };
    out.write(text.as_bytes())?;
    out.write(if number.is_finite() && !text.contains('.') { b".0" } else { b"" })
}

fn name(out: &mut Buffer, key: &[u8]) -> Result<(), Fault> {
    let bare = !key.is_empty() && key.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { out.write(key) } else { quoted(out, key) }
}

fn quoted(out: &mut Buffer, bytes: &[u8]) -> Result<(), Fault> {
    out.push(b'"')?;
    for byte in bytes {
        match byte {
            b'\t' => out.write(b"\\t")?,
            b'\n' => out.write(b"\\n")?,
            b'\r' => out.write(b"\\r")?,
            8 => out.write(b"\\b")?,
            12 => out.write(b"\\f")?,
            b'"' => out.write(b"\\\"")?,
            b'\\' => out.write(b"\\\\")?,
            0..=0x1f | 0x7f => write_formatted(out, format_args!("\\u{byte:04x}"))?,
            other => out.push(*other)?,
        }
    }
    out.push(b'"')
}
