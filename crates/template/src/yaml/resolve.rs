//! What a scalar of YAML 1.1 means: truth, nothing, a number, or text.

use base64::engine::general_purpose::STANDARD;

use super::read::NOT_YAML;
use crate::error::Fault;
use crate::function::base64_decode;
use crate::parse::literal::{self, to_float, unsigned_to_float};
use crate::value::{Text, Value};

/// The value of a scalar; quoted ones are text unless a tag says otherwise.
pub(super) fn scalar(text: Text, tag: Option<&str>, quoted: bool) -> Result<Value, Fault> {
    let meaning = |text: &Text| text.as_str().and_then(plain);
    match tag {
        None if !quoted => Ok(meaning(&text).unwrap_or(Value::Text(text))),
        Some("!!binary") => base64_decode(&STANDARD, &text),
        Some(tag @ ("!!int" | "!!float" | "!!bool" | "!!null")) => match (tag, meaning(&text)) {
            ("!!int", Some(value @ (Value::Int(_) | Value::Uint(_))))
            | ("!!float", Some(value @ Value::Float(_)))
            | ("!!bool", Some(value @ Value::Bool(_)))
            | ("!!null", Some(value @ Value::Nil)) => Ok(value),
            ("!!float", Some(Value::Int(number))) => Ok(Value::Float(to_float(number))),
            ("!!float", Some(Value::Uint(number))) => Ok(Value::Float(unsigned_to_float(number))),
            _ => Err(NOT_YAML),
        },
        _ => Ok(Value::Text(text)), // quoted, `!!str`, or a tag of somebody's own
    }
}

/// What a plain scalar is if it is not text.
pub(super) fn plain(text: &str) -> Option<Value> {
    let word = |words: &[&str]| words.contains(&text);
    if word(&["", "~", "null", "Null", "NULL"]) {
        return Some(Value::Nil);
    }
    if word(&["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]) {
        return Some(Value::Bool(true));
    }
    if word(&["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]) {
        return Some(Value::Bool(false));
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let signed = |float: f64| Some(Value::Float(if negative { -float } else { float }));
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return signed(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(Value::Float(f64::NAN)),
        _ if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || super::scalar::is_time(text) => {
            return None;
        }
        _ => {}
    }
    let plain = unsigned.replace('_', "");
    if let Some(magnitude) = literal::unsigned(&plain) {
        let number = if negative { 0 - i128::from(magnitude) } else { i128::from(magnitude) };
        return match (i64::try_from(number), u64::try_from(number)) {
            (Ok(number), _) => Some(Value::Int(number)),
            (_, Ok(number)) if !text.starts_with('+') => Some(Value::Uint(number)),
            _ => plain.parse().ok().and_then(signed),
        };
    }
    if !super::scalar::is_float(&plain) || plain.starts_with(['e', 'E']) {
        return None;
    }
    plain.parse().ok().filter(|float: &f64| float.is_finite()).and_then(signed)
}
