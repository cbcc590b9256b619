//! Sprig's functions for decimal numbers, rounding and durations, by their `sprig_` names.
//!
//! Sprig calculates with decimals, so `addf 0.1 0.2` is 0.3. Here a decimal has at most 38 digits; what needs more is
//! calculated with floats.

use super::arguments::{any, int, text};
use super::sprig::{shown, to_number};
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

use Parameter::{Any, Int};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("sprig_addf", &[], |_, arguments| folded(0.0, arguments, Operation::Add)).and_more(Any),
    Function::new("sprig_add1f", &[Any], |_, arguments| folded(1.0, arguments, Operation::Add)),
    Function::new("sprig_subf", &[Any], |_, arguments| from_first(arguments, Operation::Subtract)).and_more(Any),
    Function::new("sprig_mulf", &[Any], |_, arguments| from_first(arguments, Operation::Multiply)).and_more(Any),
    Function::new("sprig_divf", &[Any], |_, arguments| from_first(arguments, Operation::Divide)).and_more(Any),
    Function::new("sprig_maxf", &[Any], |_, arguments| Ok(extreme(arguments, |a, b| a > b))).and_more(Any),
    Function::new("sprig_minf", &[Any], |_, arguments| Ok(extreme(arguments, |a, b| a < b))).and_more(Any),
    Function::new("sprig_round", &[Any, Int, Any], round).optional(1),
    Function::new("sprig_toDecimal", &[Any], |_, arguments| {
        let text = shown(any(arguments, 0))?;
        Ok(Value::Int(text.as_str().and_then(|text| i64::from_str_radix(text, 8).ok()).unwrap_or(0)))
    }),
    Function::new("sprig_duration", &[Any], |_, arguments| {
        let seconds = match any(arguments, 0) {
            Value::Text(text) => text.as_str().and_then(|text| text.parse().ok()).unwrap_or(0),
            Value::Int(seconds) => *seconds,
            _ => 0,
        };
        Ok(Value::from(duration(seconds).as_str()))
    }),
    Function::new("sprig_durationRound", &[Any], duration_round),
];

#[derive(Clone, Copy)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// `digits` times ten to the power of `exponent`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    /// The shortest decimal that reads back as the float.
    fn of(float: f64) -> Option<Self> {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let behind = mantissa.split_once('.').map_or(0, |(_, behind)| behind.len());
        let digits = mantissa.replace('.', "").parse().ok()?;
        Some(Self { digits, exponent: exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(behind).ok()?)? })
    }

    fn scaled(self, exponent: i32) -> Option<i128> {
        let places = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        self.digits.checked_mul(10_i128.checked_pow(places)?)
    }

    fn apply(self, operation: Operation, other: Self) -> Option<Self> {
        let common = self.exponent.min(other.exponent);
        Some(match operation {
            Operation::Add => {
                Self { digits: self.scaled(common)?.checked_add(other.scaled(common)?)?, exponent: common }
            }
            Operation::Subtract => {
                Self { digits: self.scaled(common)?.checked_sub(other.scaled(common)?)?, exponent: common }
            }
            Operation::Multiply => Self {
                digits: self.digits.checked_mul(other.digits)?,
                exponent: self.exponent.checked_add(other.exponent)?,
            },
            Operation::Divide => self.divide(other)?,
        })
    }

    /// Rounded to 16 places, halves away from zero.
    fn divide(self, other: Self) -> Option<Self> {
        let (left, right) = match self.exponent - other.exponent + DIVISION_PLACES {
            more @ 0.. => (self.digits.checked_mul(10_i128.checked_pow(more.unsigned_abs())?)?, other.digits),
            less => (self.digits, other.digits.checked_mul(10_i128.checked_pow(less.unsigned_abs())?)?),
        };
        let (quotient, rest) = (left.checked_div(right)?, left.checked_rem(right)?);
        let up = rest.unsigned_abs().checked_mul(2)? >= right.unsigned_abs();
        let sign = if (left < 0) == (right < 0) { 1 } else { -1 };
        Some(Self { digits: quotient.checked_add(if up { sign } else { 0 })?, exponent: -DIVISION_PLACES })
    }

    fn float(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }
}

const DIVISION_PLACES: i32 = 16;

fn folded(start: f64, values: &[Value], operation: Operation) -> Result<Value, Fault> {
    let mut exact = Decimal::of(start);
    let mut rough = start;
    for value in values {
        let number = to_number(value);
        if !number.is_finite() || !rough.is_finite() {
            return Err(Fault::Function("the number is not finite"));
        }
        if matches!(operation, Operation::Divide) && number == 0.0 {
            return Err(Fault::Function("division by zero"));
        }
        exact = exact.zip(Decimal::of(number)).and_then(|(left, right)| left.apply(operation, right));
        rough = match operation {
            Operation::Add => rough + number,
            Operation::Subtract => rough - number,
            Operation::Multiply => rough * number,
            Operation::Divide => rough / number,
        };
    }
    Ok(Value::Float(exact.map_or(rough, Decimal::float)))
}

fn from_first(arguments: &[Value], operation: Operation) -> Result<Value, Fault> {
    folded(to_number(any(arguments, 0)), arguments.get(1..).unwrap_or_default(), operation)
}

fn extreme(arguments: &[Value], better: fn(f64, f64) -> bool) -> Value {
    let mut numbers = arguments.iter().map(to_number);
    let first = numbers.next().unwrap_or(0.0);
    Value::Float(numbers.fold(first, |best, next| if better(next, best) || next.is_nan() { next } else { best }))
}

/// `round 1.25 1`, or with the fraction from which on it goes up: `round 1.25 1 0.6`.
fn round(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let up_from = arguments.get(2).map_or(0.5, to_number);
    let places = i32::try_from(int(arguments, 1)?).unwrap_or(i32::MAX);
    let power = 10_f64.powi(places);
    let digits = power * to_number(any(arguments, 0));
    let rounded = if digits.fract() >= up_from { digits.ceil() } else { digits.floor() };
    Ok(Value::Float(rounded / power))
}

/// Seconds as Go writes a duration: `1h0m5s`.
fn duration(seconds: i64) -> String {
    let magnitude = seconds.unsigned_abs();
    let sign = if seconds < 0 { "-" } else { "" };
    let (hours, minutes, rest) = (magnitude / 3600, magnitude / 60 % 60, magnitude % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}s"),
        (0, _) => format!("{sign}{minutes}m{rest}s"),
        _ => format!("{sign}{hours}h{minutes}m{rest}s"),
    }
}

/// The largest unit of a duration: `2h10m5s` is `2h`.
fn duration_round(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    const SECOND: u64 = 1_000_000_000;
    const DAY: u64 = 86_400 * SECOND;
    let nanoseconds = match any(arguments, 0) {
        Value::Text(_) => text(arguments, 0)?.as_str().and_then(parse_duration).unwrap_or(0),
        Value::Int(number) => number.unsigned_abs(),
        _ => 0,
    };
    let units =
        [(365 * DAY, "y"), (30 * DAY, "mo"), (DAY, "d"), (3600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s")];
    let found = units.iter().find(|(length, _)| nanoseconds > *length);
    Ok(Value::from(found.map_or("0s".to_owned(), |(length, name)| format!("{}{name}", nanoseconds / length)).as_str()))
}

/// Go's `time.ParseDuration`, without the sign of its result.
fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|digits| *digits > 0)?;
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let nanoseconds = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * nanoseconds;
        rest = after;
    }
    if text.is_empty() || total > 9.2e18 {
        return None;
    }
    format!("{total:.0}").parse().ok()
}
