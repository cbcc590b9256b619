//! Reading arguments inside of function bodies.
//!
//! The evaluator has already made arguments fit their parameters, so a mismatch here is a table row that contradicts its
//! body; it is an error all the same and never a panic.

use crate::error::Fault;
use crate::value::{Map, Text, Value};

static NIL: Value = Value::Nil;

pub(super) fn any(arguments: &[Value], at: usize) -> &Value {
    arguments.get(at).unwrap_or(&NIL)
}

pub(super) fn text(arguments: &[Value], at: usize) -> Result<&Text, Fault> {
    match any(arguments, at) {
        Value::Text(text) | Value::Number(text) => Ok(text),
        other => Err(wrong("string", other)),
    }
}

pub(super) fn int(arguments: &[Value], at: usize) -> Result<i64, Fault> {
    match any(arguments, at) {
        Value::Int(number) => Ok(*number),
        Value::Uint(number) => i64::try_from(*number).map_err(|_| Fault::Function("the number is too large")),
        other => Err(wrong("int", other)),
    }
}

pub(super) fn truth(arguments: &[Value], at: usize) -> Result<bool, Fault> {
    match any(arguments, at) {
        Value::Bool(truth) => Ok(*truth),
        other => Err(wrong("bool", other)),
    }
}

/// Nil is the empty list.
pub(super) fn list(arguments: &[Value], at: usize) -> Result<&[Value], Fault> {
    match any(arguments, at) {
        Value::List(list) => Ok(list.items()),
        Value::Nil => Ok(&[]),
        other => Err(wrong("[]interface {}", other)),
    }
}

/// Nil is the empty map.
pub(super) fn map(arguments: &[Value], at: usize) -> Result<Map, Fault> {
    match any(arguments, at) {
        Value::Map(map) => Ok(map.clone()),
        Value::Nil => Map::new([]),
        other => Err(wrong("map[string]interface {}", other)),
    }
}

pub(super) fn wrong(expected: &'static str, found: &Value) -> Fault {
    Fault::WrongType { expected, found: found.type_name() }
}

/// A count or width from a template; what is over any limit becomes the largest, which then meets that limit.
pub(super) fn size(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}

/// Length as the language's integer.
pub(super) fn length(length: usize) -> Value {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}
