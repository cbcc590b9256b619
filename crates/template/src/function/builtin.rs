//! Go's own functions, except for the comparisons.

use super::arguments::{any, int, length, size, text, wrong};
use super::{Body, Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::text as print;
use crate::value::{Buffer, List, Text, Value};

use Parameter::{Any, Text as Word};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::special("and", &[Any], Body::And).and_more(Any),
    Function::special("or", &[Any], Body::Or).and_more(Any),
    Function::new("not", &[Any], |_, arguments| Ok(Value::Bool(!any(arguments, 0).is_true()))),
    Function::new("len", &[Any], len),
    Function::new("index", &[Any], index).and_more(Any),
    Function::new("slice", &[Any], slice).and_more(Any),
    Function::new("print", &[], |_, arguments| written(|out| print::print_all(out, arguments))).and_more(Any),
    Function::new("println", &[], |_, arguments| written(|out| print::print_line(out, arguments))).and_more(Any),
    Function::new("printf", &[Word], printf).and_more(Any),
    Function::new("html", &[], |_, arguments| escaped(arguments, print::escape::html)).and_more(Any),
    Function::new("js", &[], |_, arguments| escaped(arguments, print::escape::js)).and_more(Any),
    Function::new("urlquery", &[], |_, arguments| escaped(arguments, print::escape::url_query)).and_more(Any),
    Function::special("executeTemplate", &[Word, Any], Body::Execute).optional(1),
];

/// A text made by `write`.
pub(super) fn written(write: impl FnOnce(&mut Buffer) -> Result<(), Fault>) -> Result<Value, Fault> {
    let mut out = Buffer::new();
    write(&mut out)?;
    Ok(Value::Text(out.finish()))
}

fn len(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    match any(arguments, 0) {
        Value::Text(text) | Value::Number(text) => Ok(length(text.len())),
        Value::List(list) => Ok(length(list.items().len())),
        Value::Map(map) => Ok(length(map.len())),
        other => Err(wrong("string, list or map", other)),
    }
}

fn index(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut value = any(arguments, 0).clone();
    if matches!(value, Value::Nil) {
        return Err(wrong("string, list or map", &value));
    }
    for key in arguments.iter().skip(1) {
        value = match (&value, key) {
            (Value::Map(map), Value::Text(key)) => map.find(key.as_bytes()).cloned().unwrap_or_else(|| map.absent()),
            (Value::Map(_), other) => return Err(wrong("string", other)),
            (Value::List(list), key) => {
                let items = list.items();
                items.get(position(key, items.len())?).cloned().ok_or(Fault::OutOfRange)?
            }
            (Value::Text(text) | Value::Number(text), key) => {
                let byte = text.as_bytes().get(position(key, text.len())?).ok_or(Fault::OutOfRange)?;
                Value::Uint(u64::from(*byte))
            }
            (other, _) => return Err(wrong("string, list or map", other)),
        };
    }
    Ok(value)
}

/// A position given as any integer, in `0..length`.
fn position(key: &Value, length: usize) -> Result<usize, Fault> {
    let position = match key {
        Value::Int(number) => usize::try_from(*number).ok(),
        Value::Uint(number) => usize::try_from(*number).ok(),
        other => return Err(wrong("int", other)),
    };
    position.filter(|position| *position < length).ok_or(Fault::OutOfRange)
}

fn slice(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let value = any(arguments, 0);
    let length = match value {
        Value::Text(text) | Value::Number(text) => text.len(),
        Value::List(list) => list.items().len(),
        other => return Err(wrong("string or list", other)),
    };
    let is_list = matches!(value, Value::List(_));
    if arguments.len() > if is_list { 4 } else { 3 } {
        return Err(Fault::Function("too many positions"));
    }
    let bound = |at: usize, default: usize| match arguments.get(at) {
        None => Ok(default),
        Some(key) => position(key, length.saturating_add(1)),
    };
    let (from, to, capacity) = (bound(1, 0)?, bound(2, length)?, bound(3, length)?);
    if from > to || to > capacity {
        return Err(Fault::OutOfRange);
    }
    match value {
        Value::List(list) => {
            let items = list.items().get(from..to).unwrap_or_default().to_vec();
            List::with_element(items, list.element()).map(Value::List)
        }
        Value::Text(text) | Value::Number(text) => {
            Ok(Value::Text(Text::from(text.as_bytes().get(from..to).unwrap_or_default())))
        }
        other => Err(wrong("string or list", other)),
    }
}

fn printf(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let format = text(arguments, 0)?;
    written(|out| print::printf::sprintf(out, format, arguments.get(1..).unwrap_or_default()))
}

/// All arguments as one text, escaped; a nil argument is `<no value>` here.
fn escaped(arguments: &[Value], escape: fn(&mut Buffer, &[u8]) -> Result<(), Fault>) -> Result<Value, Fault> {
    if let [Value::Text(text)] = arguments {
        return written(|out| escape(out, text.as_bytes()));
    }
    let shown: Vec<Value> = arguments
        .iter()
        .map(|value| match value {
            Value::Nil => Value::Text(Text::from(print::NO_VALUE)),
            other => other.clone(),
        })
        .collect();
    let mut joined = Buffer::new();
    print::print_all(&mut joined, &shown)?;
    written(|out| escape(out, joined.as_bytes()))
}

/// A repetition count.
pub(super) fn count(arguments: &[Value], at: usize) -> Result<usize, Fault> {
    match int(arguments, at)? {
        negative if negative < 0 => Err(Fault::Function("the count must not be negative")),
        count => Ok(size(count)),
    }
}
