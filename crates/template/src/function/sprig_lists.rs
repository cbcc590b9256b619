//! Sprig's functions on lists and maps, by their `sprig_` names.
//!
//! Values never change here, so functions that change a map in Sprig give a new one; `set` and `unset` also put it into
//! the variable that was their argument, which is how templates use them.

use super::arguments::{any, int, map, text, wrong};
use super::maps::merged;
use super::sprig::{shown, texts_of};
use super::{Body, Function, Parameter, equal_strictly};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Element, List, MapBuilder, Text, Value};

use Parameter::{Any, Map as Table, Text as Word};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("sprig_list", &[], |_, arguments| Value::list(arguments.to_vec())).and_more(Any),
    Function::new("sprig_dict", &[], dict).and_more(Any),
    Function::new("sprig_get", &[Table, Word], |_, arguments| {
        let found = map(arguments, 0)?.find(text(arguments, 1)?.as_bytes()).cloned();
        Ok(found.unwrap_or(Value::from("")))
    }),
    Function::special("sprig_set", &[Table, Word, Any], Body::Rebind(set)),
    Function::special("sprig_unset", &[Table, Word], Body::Rebind(unset)),
    Function::new("sprig_hasKey", &[Table, Word], |_, arguments| {
        Ok(Value::Bool(map(arguments, 0)?.find(text(arguments, 1)?.as_bytes()).is_some()))
    }),
    Function::new("sprig_keys", &[], keys).and_more(Table),
    Function::new("sprig_values", &[Table], |_, arguments| {
        Value::list(map(arguments, 0)?.entries().iter().map(|(_, value)| value.clone()).collect())
    }),
    Function::new("sprig_pluck", &[Word], pluck).and_more(Table),
    Function::new("sprig_pick", &[Table], |_, arguments| filtered(arguments, true)).and_more(Word),
    Function::new("sprig_omit", &[Table], |_, arguments| filtered(arguments, false)).and_more(Word),
    Function::special("sprig_merge", &[Table], Body::Rebind(|scope, arguments| merge(scope, arguments, false)))
        .and_more(Table),
    Function::special("sprig_mergeOverwrite", &[Table], Body::Rebind(|scope, arguments| merge(scope, arguments, true)))
        .and_more(Table),
    Function::new("sprig_deepCopy", &[Any], |_, arguments| match any(arguments, 0) {
        Value::Nil => Err(wrong("a value", &Value::Nil)),
        value => Ok(value.clone()),
    }),
    Function::new("sprig_dig", &[Any, Any, Any], dig).and_more(Any),
    Function::new("sprig_append", &[Any, Any], append),
    Function::new("sprig_prepend", &[Any, Any], prepend),
    Function::new("sprig_first", &[Any], |_, arguments| {
        Ok(all(arguments, 0)?.items().first().cloned().unwrap_or(Value::Nil))
    }),
    Function::new("sprig_last", &[Any], |_, arguments| {
        Ok(all(arguments, 0)?.items().last().cloned().unwrap_or(Value::Nil))
    }),
    Function::new("sprig_rest", &[Any], |_, arguments| match all(arguments, 0)?.items() {
        [] => nil_or(&[]),
        [_, after @ ..] => Value::list(after.to_vec()),
    }),
    Function::new("sprig_initial", &[Any], |_, arguments| {
        let list = all(arguments, 0)?;
        match list.items() {
            [] => nil_or(&[]),
            [before @ .., _] => Value::list(before.to_vec()),
        }
    }),
    Function::new("sprig_reverse", &[Any], |_, arguments| {
        Value::list(all(arguments, 0)?.items().iter().rev().cloned().collect())
    }),
    Function::new("sprig_compact", &[Any], |_, arguments| {
        Value::list(all(arguments, 0)?.items().iter().filter(|item| item.is_true()).cloned().collect())
    }),
    Function::new("sprig_uniq", &[Any], unique),
    Function::new("sprig_without", &[Any], without).and_more(Any),
    Function::new("sprig_has", &[Any, Any], |scope, arguments| match any(arguments, 1) {
        Value::Nil => Ok(Value::Bool(false)),
        _ => contains(scope, all(arguments, 1)?.items(), any(arguments, 0)).map(Value::Bool),
    }),
    Function::new("sprig_slice", &[Any], slice).and_more(Any),
    Function::new("sprig_concat", &[], |scope, arguments| {
        let mut joined = Vec::new();
        for at in 0..arguments.len() {
            joined.extend_from_slice(all(arguments, at)?.items());
        }
        scope.charge(joined.len())?;
        nil_or(&joined)
    })
    .and_more(Any),
    Function::new("sprig_chunk", &[Parameter::Int, Any], chunk),
    Function::new("sprig_sortAlpha", &[Any], |_, arguments| {
        let texts = match any(arguments, 0) {
            Value::List(list) => texts_of(list.items())?,
            other => texts_of(std::slice::from_ref(other))?,
        };
        let mut sorted: Vec<Text> = texts.items().iter().map(shown).collect::<Result<_, _>>()?;
        sorted.sort();
        Ok(Value::List(List::of_texts(sorted)))
    }),
];

/// A list; nil is none.
fn all(arguments: &[Value], at: usize) -> Result<List, Fault> {
    match any(arguments, at) {
        Value::List(list) => Ok(list.clone()),
        other => Err(wrong("list", other)),
    }
}

fn nil_or(items: &[Value]) -> Result<Value, Fault> {
    List::or_nil(items.to_vec(), Element::Any).map(Value::List)
}

/// Keys and values by turns; a last key without value has an empty text.
fn dict(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut entries = MapBuilder::default();
    for pair in arguments.chunks(2) {
        entries.insert(shown(any(pair, 0))?, pair.get(1).cloned().unwrap_or(Value::from("")));
    }
    entries.finish(Element::Any).map(Value::Map)
}

fn set(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut entries = MapBuilder(map(arguments, 0)?.entries().to_vec());
    entries.insert(text(arguments, 1)?.clone(), any(arguments, 2).clone());
    entries.finish(Element::Any).map(Value::Map)
}

fn unset(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let key = text(arguments, 1)?;
    Value::map(map(arguments, 0)?.entries().iter().filter(|(name, _)| name != key).cloned())
}

fn keys(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut keys = Vec::new();
    for at in 0..arguments.len() {
        keys.extend(map(arguments, at)?.entries().iter().map(|(key, _)| key.clone()));
    }
    Ok(Value::List(List::of_texts(keys)))
}

fn pluck(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut found = Vec::new();
    for at in 1..arguments.len() {
        found.extend(map(arguments, at)?.find(text(arguments, 0)?.as_bytes()).cloned());
    }
    Value::list(found)
}

fn filtered(arguments: &[Value], wanted: bool) -> Result<Value, Fault> {
    let names: Vec<&Text> = (1..arguments.len()).map(|at| text(arguments, at)).collect::<Result<_, _>>()?;
    Value::map(map(arguments, 0)?.entries().iter().filter(|(key, _)| names.contains(&key) == wanted).cloned())
}

fn merge(scope: &mut Scope<'_>, arguments: &[Value], replace: bool) -> Result<Value, Fault> {
    let mut result = map(arguments, 0)?;
    for at in 1..arguments.len() {
        result = merged(scope, &result, &map(arguments, at)?, replace)?;
    }
    Ok(Value::Map(result))
}

/// `dig "a" "b" default map`.
fn dig(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let [keys @ .., default, root] = arguments else { return Err(Fault::Function("arguments are missing")) };
    if let Some(key) = keys.iter().find(|key| !matches!(key, Value::Text(_))) {
        return Err(wrong("string", key));
    }
    let mut found = root.clone();
    for at in 0..keys.len() {
        let Value::Map(inside) = &found else { return Err(wrong("map[string]interface {}", &found)) };
        match inside.find(text(keys, at)?.as_bytes()).cloned() {
            Some(next) => found = next,
            None => return Ok(default.clone()),
        }
    }
    Ok(found)
}

fn append(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut items = all(arguments, 0)?.items().to_vec();
    items.push(any(arguments, 1).clone());
    Value::list(items)
}

fn prepend(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut items = vec![any(arguments, 1).clone()];
    items.extend_from_slice(all(arguments, 0)?.items());
    Value::list(items)
}

fn contains(scope: &mut Scope<'_>, items: &[Value], wanted: &Value) -> Result<bool, Fault> {
    for item in items {
        if equal_strictly(scope, item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unique(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut kept: Vec<Value> = Vec::new();
    for item in all(arguments, 0)?.items() {
        if !contains(scope, &kept, item)? {
            kept.push(item.clone());
        }
    }
    Value::list(kept)
}

fn without(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let mut kept = Vec::new();
    for item in all(arguments, 0)?.items() {
        if !contains(scope, arguments.get(1..).unwrap_or_default(), item)? {
            kept.push(item.clone());
        }
    }
    Value::list(kept)
}

fn slice(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let list = all(arguments, 0)?;
    if list.items().is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |at: usize, default: usize| match arguments.get(at) {
        None => Ok(default),
        Some(value) => usize::try_from(super::sprig::to_int(value)).map_err(|_| Fault::OutOfRange),
    };
    let range = bound(1, 0)?..bound(2, list.items().len())?;
    let items = list.items().get(range).ok_or(Fault::OutOfRange)?;
    List::with_element(items.to_vec(), list.element()).map(Value::List)
}

fn chunk(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let size = usize::try_from(int(arguments, 0)?).ok().filter(|size| *size > 0);
    let size = size.ok_or(Fault::Function("the size of a chunk must be positive"))?;
    let chunks: Result<Vec<_>, _> =
        all(arguments, 1)?.items().chunks(size).map(|items| Value::list(items.to_vec())).collect();
    Value::list(chunks?)
}
