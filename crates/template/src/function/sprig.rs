//! Sprig's functions for defaults, numbers, JSON, hashes and types, by their `sprig_` names.

use base64::engine::general_purpose::STANDARD;

use super::arguments::{any, int, text, truth};
use super::builtin::written;
use super::encode::{base64_decode, base64_encode, digest, to_json};
use super::maps::integers;
use super::{Function, Parameter, equal_strictly};
use crate::error::Fault;
use crate::eval::Scope;
use crate::json::{self, Numbers};
use crate::parse::literal::{integral, to_float, unsigned_to_float};
use crate::value::{List, Text, Value};

use Parameter::{Any, Bool, Int, Text as Word};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("sprig_default", &[Any], |_, arguments| {
        Ok(arguments.get(1).filter(|value| value.is_true()).unwrap_or(any(arguments, 0)).clone())
    })
    .and_more(Any),
    Function::new("sprig_empty", &[Any], |_, arguments| Ok(Value::Bool(!any(arguments, 0).is_true()))),
    Function::new("sprig_coalesce", &[], |_, arguments| {
        Ok(arguments.iter().find(|value| value.is_true()).cloned().unwrap_or(Value::Nil))
    })
    .and_more(Any),
    Function::new("sprig_all", &[], |_, arguments| Ok(Value::Bool(arguments.iter().all(Value::is_true)))).and_more(Any),
    Function::new("sprig_any", &[], |_, arguments| Ok(Value::Bool(arguments.iter().any(Value::is_true)))).and_more(Any),
    Function::new("sprig_ternary", &[Any, Any, Bool], |_, arguments| {
        Ok(any(arguments, usize::from(!truth(arguments, 2)?)).clone())
    }),
    Function::new("sprig_fail", &[Word], |_, _| Err(Fault::Stopped)),
    Function::new("sprig_deepEqual", &[Any, Any], |scope, arguments| {
        equal_strictly(scope, any(arguments, 0), any(arguments, 1)).map(Value::Bool)
    }),
    Function::new("sprig_kindOf", &[Any], |_, arguments| Ok(Value::from(kind(any(arguments, 0))))),
    Function::new("sprig_kindIs", &[Word, Any], |_, arguments| {
        Ok(Value::Bool(text(arguments, 0)?.as_bytes() == kind(any(arguments, 1)).as_bytes()))
    }),
    Function::new("sprig_typeOf", &[Any], |_, arguments| Ok(Value::from(any(arguments, 0).type_name()))),
    Function::new("sprig_typeIs", &[Word, Any], |_, arguments| {
        Ok(Value::Bool(text(arguments, 0)?.as_bytes() == any(arguments, 1).type_name().as_bytes()))
    }),
    Function::new("sprig_typeIsLike", &[Word, Any], |_, arguments| {
        let (wanted, name) = (text(arguments, 0)?.as_bytes(), any(arguments, 1).type_name().as_bytes());
        Ok(Value::Bool(wanted == name || Some(wanted) == name.strip_prefix(b"*")))
    }),
    Function::new("sprig_fromJson", &[Word], |_, arguments| {
        Ok(json::read(text(arguments, 0)?.as_bytes(), Numbers::Float).unwrap_or(Value::Nil))
    }),
    Function::new("sprig_mustFromJson", &[Word], |_, arguments| {
        json::read(text(arguments, 0)?.as_bytes(), Numbers::Float)
    }),
    Function::new("sprig_toJson", &[Any], |scope, arguments| or_empty(to_json(scope, any(arguments, 0), true, false))),
    Function::new("sprig_toPrettyJson", &[Any], |scope, arguments| {
        or_empty(to_json(scope, any(arguments, 0), true, true))
    }),
    Function::new("sprig_toRawJson", &[Any], |scope, arguments| to_json(scope, any(arguments, 0), false, false)),
    Function::new("sprig_b64enc", &[Word], |_, arguments| base64_encode(&STANDARD, text(arguments, 0)?)),
    Function::new("sprig_b64dec", &[Word], |_, arguments| base64_decode(&STANDARD, text(arguments, 0)?)),
    Function::new("sprig_sha1sum", &[Word], |_, arguments| {
        digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text(arguments, 0)?)
    }),
    Function::new("sprig_sha256sum", &[Word], |_, arguments| digest(&ring::digest::SHA256, text(arguments, 0)?)),
    Function::new("sprig_sha512sum", &[Word], |_, arguments| digest(&ring::digest::SHA512, text(arguments, 0)?)),
    Function::new("sprig_adler32sum", &[Word], adler32),
    Function::new("sprig_atoi", &[Word], |_, arguments| {
        Ok(Value::Int(text(arguments, 0)?.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)))
    }),
    Function::new("sprig_int", &[Any], |_, arguments| Ok(Value::Int(to_int(any(arguments, 0))))),
    Function::new("sprig_float64", &[Any], |_, arguments| Ok(Value::Float(to_number(any(arguments, 0))))),
    Function::new("sprig_add", &[], |_, arguments| fold(arguments, 0, i64::checked_add)).and_more(Any),
    Function::new("sprig_add1", &[Any], |_, arguments| fold(arguments, 1, i64::checked_add)),
    Function::new("sprig_sub", &[Any, Any], |_, arguments| from_first(arguments, i64::checked_sub)),
    Function::new("sprig_mul", &[Any], |_, arguments| from_first(arguments, i64::checked_mul)).and_more(Any),
    Function::new("sprig_div", &[Any, Any], |_, arguments| from_first(arguments, i64::checked_div)),
    Function::new("sprig_mod", &[Any, Any], |_, arguments| from_first(arguments, i64::checked_rem)),
    Function::new("sprig_max", &[Any], |_, arguments| from_first(arguments, |a, b| Some(a.max(b)))).and_more(Any),
    Function::new("sprig_min", &[Any], |_, arguments| from_first(arguments, |a, b| Some(a.min(b)))).and_more(Any),
    Function::new("sprig_floor", &[Any], |_, arguments| Ok(Value::Float(to_number(any(arguments, 0)).floor()))),
    Function::new("sprig_ceil", &[Any], |_, arguments| Ok(Value::Float(to_number(any(arguments, 0)).ceil()))),
    Function::new("sprig_until", &[Int], |scope, arguments| {
        let end = int(arguments, 0)?;
        integers(scope, 0, end, if end < 0 { -1 } else { 1 })
    }),
    Function::new("sprig_untilStep", &[Int, Int, Int], |scope, arguments| {
        integers(scope, int(arguments, 0)?, int(arguments, 1)?, int(arguments, 2)?)
    }),
    Function::new("sprig_seq", &[], sequence).and_more(Int),
    Function::new("sprig_plural", &[Word, Word, Int], |_, arguments| {
        Ok(any(arguments, usize::from(int(arguments, 2)? != 1)).clone())
    }),
];

/// What JSON cannot express is the empty text; limits stay limits.
fn or_empty(result: Result<Value, Fault>) -> Result<Value, Fault> {
    match result {
        Err(Fault::Function(_)) => Ok(Value::from("")),
        other => other,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "invalid",
        Value::Number(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        Value::Object(_) => "ptr",
        other => other.type_name(),
    }
}

/// Anything as an integer; what is none is 0, as Sprig does.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::Uint(number) => i64::try_from(*number).unwrap_or(i64::MAX),
        Value::Float(number) => integral(number.trunc()).unwrap_or(i64::MIN), // what Go makes of it on amd64
        Value::Bool(truth) => i64::from(*truth),
        Value::Text(text) | Value::Number(text) => text.as_str().and_then(cast_int).unwrap_or(0),
        _ => 0,
    }
}

/// An integer in any of Go's notations, with or without a fraction of zeros.
fn cast_int(text: &str) -> Option<i64> {
    let whole = match text.rsplit_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => text,
    };
    let (sign, magnitude) = match whole.strip_prefix('-') {
        Some(magnitude) => (-1, magnitude),
        None => (1, whole.strip_prefix('+').unwrap_or(whole)),
    };
    let number = sign * i128::from(crate::parse::literal::unsigned(magnitude)?);
    i64::try_from(number).ok()
}

pub(super) fn to_number(value: &Value) -> f64 {
    match value {
        Value::Int(number) => to_float(*number),
        Value::Uint(number) => unsigned_to_float(*number),
        Value::Float(number) => *number,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Text(text) | Value::Number(text) => text.as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0),
        _ => 0.0,
    }
}

fn fold(arguments: &[Value], start: i64, operation: fn(i64, i64) -> Option<i64>) -> Result<Value, Fault> {
    let folded = arguments.iter().try_fold(start, |result, value| operation(result, to_int(value)));
    folded.map(Value::Int).ok_or(Fault::Function("the result is undefined or too large"))
}

fn from_first(arguments: &[Value], operation: fn(i64, i64) -> Option<i64>) -> Result<Value, Fault> {
    fold(arguments.get(1..).unwrap_or_default(), to_int(any(arguments, 0)), operation)
}

/// `seq end`, `seq start end`, `seq start step end`, as the program of that name: both ends included.
fn sequence(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let towards = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, step, end) = match arguments {
        [_] => (1, towards(1, int(arguments, 0)?), int(arguments, 0)?),
        [_, _] => (int(arguments, 0)?, towards(int(arguments, 0)?, int(arguments, 1)?), int(arguments, 1)?),
        [_, _, _] => (int(arguments, 0)?, int(arguments, 1)?, int(arguments, 2)?),
        _ => return Ok(Value::from("")),
    };
    let beyond = end.checked_add(step.signum()).ok_or(Fault::Function("the number is too large"))?;
    let Value::List(numbers) = integers(scope, start, beyond, step)? else { return Ok(Value::from("")) };
    written(|out| {
        for (at, number) in numbers.items().iter().enumerate() {
            out.write(if at > 0 { b" " } else { b"" })?;
            crate::text::print(out, number)?;
        }
        Ok(())
    })
}

fn adler32(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    const MODULUS: u32 = 65_521; // RFC 1950
    let step = |(low, high): (u32, u32), byte: &u8| {
        let low = (low + u32::from(*byte)) % MODULUS;
        (low, (high + low) % MODULUS)
    };
    let (low, high) = text(arguments, 0)?.as_bytes().iter().fold((1, 0), step);
    Ok(Value::from(((high << 16) | low).to_string().as_str()))
}

/// A list of texts of anything, nil left out.
pub(super) fn texts_of(values: &[Value]) -> Result<List, Fault> {
    let shown = values.iter().filter(|value| !matches!(value, Value::Nil)).map(shown);
    Ok(List::of_texts(shown.collect::<Result<Vec<_>, _>>()?))
}

/// Anything as text.
pub(super) fn shown(value: &Value) -> Result<Text, Fault> {
    match value {
        Value::Text(text) | Value::Number(text) => Ok(text.clone()),
        other => {
            let mut out = crate::value::Buffer::new();
            crate::text::print(&mut out, other)?;
            Ok(out.finish())
        }
    }
}
