//! Go's number, character and string literals.

use crate::ast::Number;
use crate::value::Value;

/// A number literal; `None` where it is none.
pub(super) fn number(text: &str) -> Option<Number> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let integer = unsigned(magnitude);
    if let Some(value) = integer {
        let signed = if negative { 0_i128 - i128::from(value) } else { i128::from(value) };
        let integer = i64::try_from(signed).ok()?; // "overflows int" in Go as well
        return Some(Number { ideal: Value::Int(integer), integer: Some(integer) });
    }
    let float = float(magnitude)?;
    let float = if negative { -float } else { float };
    Some(Number { ideal: Value::Float(float), integer: integral(float) })
}

/// A character constant with its quotes, as its code point.
pub(super) fn character(quoted: &str) -> Option<Number> {
    let inner = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut characters = inner.chars();
    let code = match characters.next()? {
        '\\' => match escape(&mut characters, '\'')? {
            Escaped::Byte(byte) => i64::from(byte),
            Escaped::Character(character) => i64::from(u32::from(character)),
        },
        plain => i64::from(u32::from(plain)),
    };
    if characters.next().is_some() {
        return None;
    }
    Some(Number { ideal: Value::Int(code), integer: Some(code) })
}

/// An interpreted string with its quotes, as bytes.
pub(super) fn string(quoted: &str) -> Option<Vec<u8>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(next) = characters.next() {
        let next = if next == '\\' { escape(&mut characters, '"')? } else { Escaped::Character(next) };
        match next {
            Escaped::Byte(byte) => bytes.push(byte),
            Escaped::Character(character) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some(bytes)
}

enum Escaped {
    Byte(u8),
    Character(char),
}

fn escape(characters: &mut std::str::Chars<'_>, quote: char) -> Option<Escaped> {
    let byte = match characters.next()? {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        same if same == quote => return Some(Escaped::Character(same)),
        'x' => return code(characters, 0, 2, 16).and_then(|code| u8::try_from(code).ok()).map(Escaped::Byte),
        'u' => return code(characters, 0, 4, 16).and_then(char::from_u32).map(Escaped::Character),
        'U' => return code(characters, 0, 8, 16).and_then(char::from_u32).map(Escaped::Character),
        octal => {
            let first = octal.to_digit(8)?;
            return code(characters, first, 2, 8).and_then(|code| u8::try_from(code).ok()).map(Escaped::Byte);
        }
    };
    Some(Escaped::Byte(byte))
}

fn code(characters: &mut std::str::Chars<'_>, first: u32, digits: usize, base: u32) -> Option<u32> {
    let mut code = first;
    for _ in 0..digits {
        code = code.checked_mul(base)?.checked_add(characters.next()?.to_digit(base)?)?;
    }
    Some(code)
}

/// An integer in any of Go's notations; an old octal is `0` and digits.
pub(crate) fn unsigned(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (base, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?)
    } else {
        (10, lower.as_str())
    };
    let prefixed = digits.len() < lower.len();
    let digits = plain_digits(digits, prefixed)?;
    u64::from_str_radix(&digits, base).ok()
}

/// Removes underscores, which must stand between digits or right after a prefix.
fn plain_digits(digits: &str, prefixed: bool) -> Option<String> {
    let badly_placed = digits.ends_with('_') || digits.contains("__") || (digits.starts_with('_') && !prefixed);
    let unsigned = !digits.starts_with(['+', '-']);
    (!badly_placed && unsigned && !digits.is_empty()).then(|| digits.replace('_', ""))
}

fn float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    if let Some(hexadecimal) = lower.strip_prefix("0x") {
        return hexadecimal_float(hexadecimal);
    }
    if !lower.contains(['.', 'e']) || lower.starts_with('_') || lower.contains("_.") || lower.contains("._") {
        return None;
    }
    let plain = plain_digits(&lower, false)?;
    if !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || plain.contains(|c: char| c.is_ascii_alphabetic() && c != 'e')
    {
        return None;
    }
    plain.parse::<f64>().ok().filter(|float| float.is_finite())
}

/// `1.8p3`: the exponent is compulsory and counts in powers of two.
fn hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = plain_digits(&format!("{whole}{fraction}"), true)?;
    let exponent: i32 = exponent.parse().ok()?;
    let shift = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    let mantissa = u64::from_str_radix(&digits, 16).ok()?;
    let value = unsigned_to_float(mantissa) * 2_f64.powi(exponent.checked_sub(shift)?);
    value.is_finite().then_some(value)
}

/// The integer that a float is, if it is one.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
pub(crate) fn integral(float: f64) -> Option<i64> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    (float.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(&float)).then_some(float as i64)
}

/// Nearest float, as Go converts.
#[expect(clippy::cast_precision_loss, reason = "Go rounds here as well")]
pub(crate) fn to_float(integer: i64) -> f64 {
    integer as f64
}

/// Nearest float, as Go converts.
#[expect(clippy::cast_precision_loss, reason = "Go rounds here as well")]
pub(crate) fn unsigned_to_float(integer: u64) -> f64 {
    integer as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_numbers_and_refuses_others() {
        let integers = [
            ("0x1F", 31),
            ("1_000", 1000),
            ("0b101", 5),
            ("0o17", 15),
            ("017", 15),
            ("-3", -3),
            ("+4", 4),
            ("0", 0),
            ("0x_1", 1),
        ];
        for (text, expected) in integers {
            assert!(matches!(number(text).unwrap().ideal, Value::Int(found) if found == expected), "{text}");
        }
        for (text, expected) in
            [("1e3", 1000.0), ("3.0", 3.0), (".5", 0.5), ("1.", 1.0), ("0x1p-2", 0.25), ("1e-7", 1e-7)]
        {
            assert!(
                matches!(number(text).unwrap().ideal, Value::Float(found) if (found - expected).abs() < 1e-12),
                "{text}"
            );
        }
        for text in [
            "08",
            "1__0",
            "1_",
            "0x",
            "1e",
            "1i",
            "9223372036854775808",
            "1e999",
            "1.2.3",
            "12abc",
            "--1",
            "0x+1",
            "inf",
            "nan",
        ] {
            assert!(number(text).is_none(), "{text}");
        }
    }

    #[test]
    fn reads_go_strings_as_bytes() {
        assert_eq!(string(r#""a\n\x00\377\u00e9\"""#).unwrap(), b"a\n\x00\xff\xc3\xa9\"");
        assert!(string(r#""\q""#).is_none());
        assert!(string(r#""\'""#).is_none());
        assert!(matches!(character(r"'\''").unwrap().ideal, Value::Int(39)));
        assert!(character("'ab'").is_none());
    }
}
