//! The Vault helpers on maps and lists.

use super::arguments::{any, map, wrong};
use super::{Body, Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Element, Map, MapBuilder, Text, Value};

use Parameter::{Any, Map as Table};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("explodeMap", &[Table], explode_map),
    Function::special(
        "mergeMap",
        &[Table, Table],
        Body::Rebind(|scope, arguments| merged(scope, &map(arguments, 0)?, &map(arguments, 1)?, false).map(Value::Map)),
    ),
    Function::special(
        "mergeMapWithOverride",
        &[Table, Table],
        Body::Rebind(|scope, arguments| merged(scope, &map(arguments, 0)?, &map(arguments, 1)?, true).map(Value::Map)),
    ),
    Function::new("loop", &[Any, Any], loop_over).optional(1),
];

/// Merges deeply: values that are maps on both sides are merged, else `kept` wins unless it is empty or `replace` says
/// otherwise (of empty values only nil replaces).
pub(super) fn merged(scope: &mut Scope<'_>, kept: &Map, other: &Map, replace: bool) -> Result<Map, Fault> {
    scope.charge(1 + kept.len() + other.len())?;
    let mut entries = MapBuilder(kept.entries().to_vec());
    for (key, theirs) in other.entries() {
        let ours = kept.find(key.as_bytes());
        match (ours, theirs) {
            (Some(Value::Map(ours)), Value::Map(theirs)) => {
                entries.insert(key.clone(), Value::Map(merged(scope, ours, theirs, replace)?));
            }
            (_, Value::Nil) if !replace => {}
            (_, Value::Nil) => entries.insert(key.clone(), Value::Nil),
            (Some(ours), theirs) if ours.is_true() && !(replace && theirs.is_true()) => {}
            _ => entries.insert(key.clone(), theirs.clone()),
        }
    }
    entries.finish(Element::Any)
}

/// `{"a/b": 1}` to `{"a": {"b": 1}}`.
fn explode_map(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut exploded = Map::new([])?;
    for (key, value) in map(arguments, 0)?.entries() {
        let parts: Vec<&[u8]> = key.as_bytes().split(|byte| *byte == b'/').collect();
        scope.charge(parts.len() + exploded.len())?;
        exploded = placed(scope, &exploded, &parts, value)?;
    }
    Ok(Value::Map(exploded))
}

/// `tree` with `value` at the end of `parts`; the depth of values bounds the recursion.
fn placed(scope: &mut Scope<'_>, tree: &Map, parts: &[&[u8]], value: &Value) -> Result<Map, Fault> {
    let Some((first, rest)) = parts.split_first() else { return Ok(tree.clone()) };
    if parts.len() > usize::from(crate::limits::VALUE_DEPTH_LIMIT) {
        return Err(Fault::Limit(crate::limits::Limit::ValueDepth));
    }
    scope.charge(1 + tree.len())?;
    let value = if rest.is_empty() {
        if first.is_empty() {
            return Ok(tree.clone());
        }
        value.clone()
    } else {
        let inner = match tree.find(first) {
            None => Map::new([])?,
            Some(Value::Map(inner)) => inner.clone(),
            Some(_) => return Err(Fault::Function("one key is the beginning of another and has a value already")),
        };
        Value::Map(placed(scope, &inner, rest, value)?)
    };
    let mut entries = MapBuilder(tree.entries().to_vec());
    entries.insert(Text::from(*first), value);
    entries.finish(Element::Any)
}

/// `loop end`, `loop start end`: the integers from start to before end.
fn loop_over(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let (start, end) = match arguments {
        [end] => (0, bound(end)?),
        _ => (bound(any(arguments, 0))?, bound(any(arguments, 1))?),
    };
    integers(scope, start, end, 1)
}

/// A list of integers, each of which costs a step.
pub(super) fn integers(scope: &mut Scope<'_>, start: i64, end: i64, step: i64) -> Result<Value, Fault> {
    let mut items = Vec::new();
    let mut next = start;
    while if step > 0 { next < end } else { step < 0 && next > end } {
        scope.charge(1)?;
        items.push(Value::Int(next));
        let Some(after) = next.checked_add(step) else { break };
        next = after;
    }
    Value::list(items)
}

fn bound(value: &Value) -> Result<i64, Fault> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::Uint(number) => i64::try_from(*number).map_err(|_| Fault::Function("the number is too large")),
        Value::Text(text) | Value::Number(text) if text.is_empty() => Ok(0),
        Value::Text(text) | Value::Number(text) => {
            let parsed = text.as_str().and_then(|text| text.parse().ok());
            parsed.ok_or(Fault::Function("the text is not an integer"))
        }
        other => Err(wrong("int", other)),
    }
}
