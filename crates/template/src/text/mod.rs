//! Values to bytes, exactly as Go's `fmt` prints them.
//!
//! Templates of others were written against what Go prints, so this follows it byte for byte: shortest floats, maps in
//! key order, the complaints of `printf` inside of its output. Recursion is bounded by the depth of values.

pub(crate) mod escape;
pub(crate) mod float;
pub(crate) mod printf;
pub(crate) mod quote;

use std::fmt::Write as _;

use self::printf::Spec;
use crate::error::Fault;
use crate::value::{Buffer, Text, Value};

/// What an action prints: `<no value>` for nil.
pub(crate) fn print_output(out: &mut Buffer, value: &Value) -> Result<(), Fault> {
    if matches!(value, Value::Nil) { out.write(NO_VALUE) } else { print(out, value) }
}

/// `%v`.
pub(crate) fn print(out: &mut Buffer, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Text(text) | Value::Number(text) => out.write(text.as_bytes()),
        Value::Int(number) => write_formatted(out, format_args!("{number}")),
        Value::Float(number) => out.write(float::shortest(*number).as_bytes()),
        other => printf::value(out, &Spec::plain('v'), other),
    }
}

/// `fmt.Sprint`: a space between two operands if neither is text.
pub(crate) fn print_all(out: &mut Buffer, values: &[Value]) -> Result<(), Fault> {
    let mut previous_is_text = true;
    for (at, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_) | Value::Number(_));
        if at > 0 && !is_text && !previous_is_text {
            out.push(b' ')?;
        }
        print(out, value)?;
        previous_is_text = is_text;
    }
    Ok(())
}

/// `fmt.Sprintln`.
pub(crate) fn print_line(out: &mut Buffer, values: &[Value]) -> Result<(), Fault> {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b' ')?;
        }
        print(out, value)?;
    }
    out.push(b'\n')
}

/// A scalar as text, where a function takes "anything like a text".
pub(crate) fn scalar(value: &Value) -> Option<Text> {
    match value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) => {
            let mut out = Buffer::new();
            print(&mut out, value).ok()?;
            Some(out.finish())
        }
        Value::Nil | Value::List(_) | Value::Map(_) | Value::Object(_) => None,
    }
}

/// Writes with `write!` where only a limit can fail.
pub(crate) fn write_formatted(out: &mut Buffer, arguments: std::fmt::Arguments<'_>) -> Result<(), Fault> {
    out.write_fmt(arguments).map_err(|_| out.full())
}

pub(crate) const NO_VALUE: &[u8] = b"<no value>";
