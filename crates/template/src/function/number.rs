//! The Vault helpers for numbers, and MD5.

use super::arguments::{any, text, wrong};
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::parse::literal::{to_float, unsigned_to_float};
use crate::value::Value;

use Parameter::{Any, Text as Word};

/// Arguments are the wrong way round so that `9 | divide 2` is 4, as in the original.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("add", &[Any, Any], |_, arguments| {
        arithmetic(arguments, i64::checked_add, u64::checked_add, |a, b| a + b)
    }),
    Function::new("subtract", &[Any, Any], |_, arguments| {
        arithmetic(arguments, i64::checked_sub, u64::checked_sub, |a, b| a - b)
    }),
    Function::new("multiply", &[Any, Any], |_, arguments| {
        arithmetic(arguments, i64::checked_mul, u64::checked_mul, |a, b| a * b)
    }),
    Function::new("divide", &[Any, Any], |_, arguments| {
        arithmetic(arguments, i64::checked_div, u64::checked_div, |a, b| a / b)
    }),
    Function::new("modulo", &[Any, Any], modulo),
    Function::new("minimum", &[Any, Any], |_, arguments| pick(arguments, |a, b| a < b)),
    Function::new("maximum", &[Any, Any], |_, arguments| pick(arguments, |a, b| a > b)),
    Function::new("parseInt", &[Word], |_, arguments| parse(arguments, Value::Int(0), Value::Int)),
    Function::new("parseUint", &[Word], parse_uint),
    Function::new("parseFloat", &[Word], parse_float),
];

#[derive(Clone, Copy)]
enum Pair {
    Signed(i64, i64),
    Unsigned(u64, u64),
    Float(f64, f64),
}

/// Second and first argument in one type.
fn pair(arguments: &[Value]) -> Result<Pair, Fault> {
    let (left, right) = (any(arguments, 1), any(arguments, 0));
    let too_large = Fault::Function("the number is too large");
    Ok(match (left, right) {
        (Value::Int(left), Value::Int(right)) => Pair::Signed(*left, *right),
        (Value::Uint(left), Value::Uint(right)) => Pair::Unsigned(*left, *right),
        (Value::Int(left), Value::Uint(right)) => Pair::Signed(*left, i64::try_from(*right).map_err(|_| too_large)?),
        (Value::Uint(left), Value::Int(right)) => Pair::Signed(i64::try_from(*left).map_err(|_| too_large)?, *right),
        (left, right) => Pair::Float(float(left)?, float(right)?),
    })
}

fn float(value: &Value) -> Result<f64, Fault> {
    match value {
        Value::Int(number) => Ok(to_float(*number)),
        Value::Uint(number) => Ok(unsigned_to_float(*number)),
        Value::Float(number) => Ok(*number),
        other => Err(wrong("number", other)),
    }
}

fn arithmetic(
    arguments: &[Value],
    signed: fn(i64, i64) -> Option<i64>,
    unsigned: fn(u64, u64) -> Option<u64>,
    floating: fn(f64, f64) -> f64,
) -> Result<Value, Fault> {
    let impossible = Fault::Function("the result is undefined or too large");
    match pair(arguments)? {
        Pair::Signed(left, right) => signed(left, right).map(Value::Int).ok_or(impossible),
        Pair::Unsigned(left, right) => unsigned(left, right).map(Value::Uint).ok_or(impossible),
        Pair::Float(left, right) => Ok(Value::Float(floating(left, right))),
    }
}

fn modulo(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    match pair(arguments)? {
        Pair::Float(..) => Err(wrong("int", &Value::Float(0.0))),
        _ => arithmetic(arguments, i64::checked_rem, u64::checked_rem, |a, _| a),
    }
}

fn pick(arguments: &[Value], prefers: fn(f64, f64) -> bool) -> Result<Value, Fault> {
    let (left, right) = (any(arguments, 1), any(arguments, 0));
    let first = match pair(arguments)? {
        Pair::Signed(a, b) if a != b => prefers(if a < b { 0.0 } else { 1.0 }, if a < b { 1.0 } else { 0.0 }),
        Pair::Unsigned(a, b) if a != b => prefers(if a < b { 0.0 } else { 1.0 }, if a < b { 1.0 } else { 0.0 }),
        Pair::Float(a, b) => prefers(a, b),
        _ => false,
    };
    Ok(if first { left.clone() } else { right.clone() })
}

fn parse<T: std::str::FromStr>(arguments: &[Value], empty: Value, make: fn(T) -> Value) -> Result<Value, Fault> {
    let text = text(arguments, 0)?;
    if text.is_empty() {
        return Ok(empty);
    }
    let parsed = text.as_str().and_then(|text| text.parse().ok());
    parsed.map(make).ok_or(Fault::Function("the text is not a number of this type"))
}

fn parse_uint(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    if text(arguments, 0)?.as_bytes().starts_with(b"+") {
        return Err(Fault::Function("the text is not a number of this type"));
    }
    parse(arguments, Value::Uint(0), Value::Uint)
}

fn parse_float(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    parse(arguments, Value::Float(0.0), Value::Float)
}

/// MD5 (RFC 1321), which PostgreSQL's and pgbouncer's user lists need; nothing here relies on it for security.
pub(super) fn md5(message: &[u8]) -> [u8; 16] {
    let mut state = MD5_START;
    let (blocks, rest) = message.as_chunks::<64>();
    for block in blocks {
        md5_block(&mut state, block);
    }
    let mut tail = zeroize::Zeroizing::new([0_u8; 128]);
    let bits = u64::try_from(message.len()).unwrap_or(u64::MAX).wrapping_mul(8);
    let padded = if rest.len() < 56 { 64 } else { 128 };
    for (slot, byte) in tail.iter_mut().zip(rest.iter().chain(&[0x80])) {
        *slot = *byte;
    }
    if let Some(slot) = tail.get_mut(padded - 8..padded) {
        slot.copy_from_slice(&bits.to_le_bytes());
    }
    for block in tail.as_chunks::<64>().0.iter().take(padded / 64) {
        md5_block(&mut state, block);
    }
    let mut digest = [0; 16];
    for (slot, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *slot = word.to_le_bytes();
    }
    digest
}

fn md5_block(state: &mut [u32; 4], block: &[u8; 64]) {
    let mut words = [0_u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d] = *state;
    for round in 0..64_usize {
        let (mixed, at) = match round / 16 {
            0 => ((b & c) | (!b & d), round),
            1 => ((d & b) | (!d & c), 5 * round + 1),
            2 => (b ^ c ^ d, 3 * round + 5),
            _ => (c ^ (b | !d), 7 * round),
        };
        let word = words.get(at % 16).copied().unwrap_or(0);
        let shift = MD5_SHIFTS.get(round / 16 * 4 + round % 4).copied().unwrap_or(0);
        let sum = a.wrapping_add(mixed).wrapping_add(md5_constant(round)).wrapping_add(word);
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
    }
    for (slot, word) in state.iter_mut().zip([a, b, c, d]) {
        *slot = slot.wrapping_add(word);
    }
}

/// RFC 1321 3.4: the integer part of 2^32 times |sin(round + 1)|.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "below 2^32 and positive"
)]
fn md5_constant(round: usize) -> u32 {
    (((round + 1) as f64).sin().abs() * 4_294_967_296.0) as u32
}

const MD5_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
const MD5_SHIFTS: [u32; 16] = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_answers_the_examples_of_rfc_1321() {
        let hex = |text: &str| format!("{:032x}", u128::from_be_bytes(md5(text.as_bytes())));
        assert_eq!(hex(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            hex("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
            "d174ab98d277d9f5a5611c2c9f419d9f"
        );
        let eighty = "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(hex(eighty), "57edf4a22be3c955ac49da2e2107b67a");
    }
}
