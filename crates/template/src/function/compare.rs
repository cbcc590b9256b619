//! Comparisons: Go's `eq`, `ne`, `lt`, `le`, `gt`, `ge`, and strict equality for Sprig.

use std::cmp::Ordering;

use super::arguments::any;
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::parse::literal::{to_float, unsigned_to_float};
use crate::value::Value;

use Parameter::Any;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("eq", &[Any, Any], eq).and_more(Any),
    Function::new("ne", &[Any, Any], |scope, arguments| {
        equal(scope, any(arguments, 0), any(arguments, 1)).map(|equal| Value::Bool(!equal))
    }),
    Function::new("lt", &[Any, Any], |scope, arguments| ordered(scope, arguments, Ordering::is_lt)),
    Function::new("le", &[Any, Any], |scope, arguments| ordered(scope, arguments, Ordering::is_le)),
    Function::new("gt", &[Any, Any], |scope, arguments| ordered(scope, arguments, Ordering::is_gt)),
    Function::new("ge", &[Any, Any], |scope, arguments| ordered(scope, arguments, Ordering::is_ge)),
];

/// Whether the first equals any of the others.
fn eq(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    for other in arguments.iter().skip(1) {
        if equal(scope, any(arguments, 0), other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(scope: &Scope<'_>, left: &Value, right: &Value) -> Result<bool, Fault> {
    match (left, right) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::List(_) | Value::Map(_) | Value::Object(_), _)
        | (_, Value::List(_) | Value::Map(_) | Value::Object(_)) => {
            Err(Fault::Incomparable(left.type_name(), right.type_name()))
        }
        _ => Ok(compare(scope, left, right)? == Some(Ordering::Equal)),
    }
}

fn ordered(scope: &mut Scope<'_>, arguments: &[Value], holds: fn(Ordering) -> bool) -> Result<Value, Fault> {
    let (left, right) = (any(arguments, 0), any(arguments, 1));
    Ok(Value::Bool(compare(scope, left, right)?.is_some_and(holds)))
}

/// The order of two scalars: none with NaN, an error where the language does not compare their types.
fn compare(scope: &Scope<'_>, left: &Value, right: &Value) -> Result<Option<Ordering>, Fault> {
    let lenient = scope.is_own();
    let incomparable = || Fault::Incomparable(left.type_name(), right.type_name());
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(Some(left.cmp(right))),
        (Value::Uint(left), Value::Uint(right)) => Ok(Some(left.cmp(right))),
        (Value::Int(left), Value::Uint(right)) => Ok(Some(i128::from(*left).cmp(&i128::from(*right)))),
        (Value::Uint(left), Value::Int(right)) => Ok(Some(i128::from(*left).cmp(&i128::from(*right)))),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right)),
        (Value::Text(left) | Value::Number(left), Value::Text(right) | Value::Number(right)) => {
            Ok(Some(left.cmp(right)))
        }
        (Value::Number(_), Value::Int(_) | Value::Uint(_) | Value::Float(_))
        | (Value::Int(_) | Value::Uint(_) | Value::Float(_), Value::Number(_))
            if lenient =>
        {
            let numbers = numeric(left).zip(numeric(right));
            numbers.map(|(left, right)| left.partial_cmp(&right)).ok_or_else(incomparable)
        }
        _ => Err(incomparable()),
    }
}

fn numeric(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(to_float(*number)),
        Value::Uint(number) => Some(unsigned_to_float(*number)),
        Value::Float(number) => Some(*number),
        Value::Number(text) => text.as_str()?.parse().ok(),
        _ => None,
    }
}

/// Equality of type and content through lists and maps; every compared pair costs a step.
pub(crate) fn equal_strictly(scope: &mut Scope<'_>, left: &Value, right: &Value) -> Result<bool, Fault> {
    scope.charge(1)?;
    match (left, right) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left), Value::Int(right)) => Ok(left == right),
        (Value::Uint(left), Value::Uint(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right) == Some(Ordering::Equal)),
        (Value::Text(left), Value::Text(right)) | (Value::Number(left), Value::Number(right)) => {
            scope.charge_for(&Value::Text(left.clone()))?;
            Ok(left == right)
        }
        (Value::List(left), Value::List(right)) => {
            if left.is_same(right) {
                return Ok(true);
            }
            if left.items().len() != right.items().len() || left.element() != right.element() {
                return Ok(false);
            }
            for (left, right) in left.items().iter().zip(right.items()) {
                if !equal_strictly(scope, left, right)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Map(left), Value::Map(right)) => {
            if left.is_same(right) {
                return Ok(true);
            }
            if left.len() != right.len() {
                return Ok(false);
            }
            for ((left_key, left), (right_key, right)) in left.entries().iter().zip(right.entries()) {
                if left_key != right_key || !equal_strictly(scope, left, right)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}
