//! Go's `fmt.Sprintf`, with its complaints inside of the output.
//!
//! Not done: `%x` and `%b` of floats and `#` with floats, which no template is known to use; they give Go's complaint
//! about a bad verb, or are ignored.

use super::{float, quote, write_formatted};
use crate::error::Fault;
use crate::value::{Buffer, Object, ObjectKind, Text, Value};

/// One conversion.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "these are the five flags of printf")]
pub(crate) struct Spec {
    verb: char,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Widths and precisions above are refused by Go as well.
const WIDTH_LIMIT: i64 = 1_000_000;

impl Spec {
    pub(crate) fn plain(verb: char) -> Self {
        let (minus, plus, sharp, space, zero) = (false, false, false, false, false);
        Self { verb, minus, plus, sharp, space, zero, width: None, precision: None }
    }

    /// `%#v`.
    fn as_source(&self) -> bool {
        self.sharp && self.verb == 'v'
    }
}

/// `fmt.Sprintf(format, arguments...)`.
pub(crate) fn sprintf(out: &mut Buffer, format: &Text, arguments: &[Value]) -> Result<(), Fault> {
    let mut formatter = Formatter { arguments, next: 0, reordered: false };
    let mut rest = format.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let (literal, conversion) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.write(literal)?;
        rest = formatter.conversion(out, conversion.get(1..).unwrap_or_default())?;
    }
    out.write(rest)?;
    formatter.finish(out)
}

struct Formatter<'a> {
    arguments: &'a [Value],
    next: usize,
    /// Explicit indexes were used, so left-over arguments are no mistake.
    reordered: bool,
}

impl<'a> Formatter<'a> {
    /// Formats one conversion (behind its percent sign) and gives what follows it.
    fn conversion<'f>(&mut self, out: &mut Buffer, mut rest: &'f [u8]) -> Result<&'f [u8], Fault> {
        let mut spec = Spec::plain('v');
        while let Some((flag, after)) = rest.split_first() {
            match flag {
                b'-' => spec.minus = true,
                b'+' => spec.plus = true,
                b'#' => spec.sharp = true,
                b' ' => spec.space = true,
                b'0' => spec.zero = true,
                _ => break,
            }
            rest = after;
        }
        let mut good_index = true;
        rest = self.index(rest, &mut good_index);
        if let Some(after) = rest.strip_prefix(b"*") {
            rest = after;
            match self.take_number() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => out.write(b"%!(BADWIDTH)")?,
            }
        } else {
            match number(rest) {
                Some((width, after)) => (spec.width, rest) = (width, after),
                None => return out.write(b"%!(NOVERB)").map(|()| &[][..]),
            }
        }
        if let Some(after) = rest.strip_prefix(b".") {
            rest = self.index(after, &mut good_index);
            if let Some(after) = rest.strip_prefix(b"*") {
                rest = after;
                match self.take_number() {
                    Some(precision) if precision >= 0 => spec.precision = usize::try_from(precision).ok(),
                    Some(_) => {}
                    None => out.write(b"%!(BADPREC)")?,
                }
            } else {
                match number(rest) {
                    Some((precision, after)) => (spec.precision, rest) = (Some(precision.unwrap_or(0)), after),
                    None => return out.write(b"%!(NOVERB)").map(|()| &[][..]),
                }
            }
        }
        rest = self.index(rest, &mut good_index);
        spec.zero &= !spec.minus;
        let Some((verb, after)) = first_character(rest) else {
            return out.write(b"%!(NOVERB)").map(|()| &[][..]);
        };
        spec.verb = verb;
        self.format(out, &spec, good_index)?;
        Ok(after)
    }

    fn format(&mut self, out: &mut Buffer, spec: &Spec, good_index: bool) -> Result<(), Fault> {
        if spec.verb == '%' {
            return out.push(b'%');
        }
        if !good_index {
            return write_formatted(out, format_args!("%!{}(BADINDEX)", spec.verb));
        }
        let Some(argument) = self.arguments.get(self.next) else {
            return write_formatted(out, format_args!("%!{}(MISSING)", spec.verb));
        };
        self.next += 1;
        value(out, spec, argument)
    }

    /// `[n]`: the next argument is number n.
    fn index<'f>(&mut self, rest: &'f [u8], good: &mut bool) -> &'f [u8] {
        let Some(inner) = rest.strip_prefix(b"[") else { return rest };
        self.reordered = true;
        let Some(end) = inner.iter().position(|byte| *byte == b']') else {
            *good = false;
            return inner;
        };
        let digits = inner.get(..end).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| digits.parse::<usize>().ok()) {
            Some(index) if (1..=self.arguments.len()).contains(&index) => self.next = index - 1,
            _ => *good = false,
        }
        inner.get(end + 1..).unwrap_or_default()
    }

    fn take_number(&mut self) -> Option<i64> {
        let argument = self.arguments.get(self.next);
        self.next += 1;
        match argument {
            Some(Value::Int(number)) if number.unsigned_abs() <= WIDTH_LIMIT.unsigned_abs() => Some(*number),
            _ => None,
        }
    }

    fn finish(&self, out: &mut Buffer) -> Result<(), Fault> {
        let extra: &'a [Value] = self.arguments.get(self.next..).unwrap_or_default();
        if self.reordered || extra.is_empty() {
            return Ok(());
        }
        out.write(b"%!(EXTRA ")?;
        for (at, argument) in extra.iter().enumerate() {
            if at > 0 {
                out.write(b", ")?;
            }
            match argument {
                Value::Nil => out.write(b"<nil>")?,
                other => {
                    write_formatted(out, format_args!("{}=", other.type_name()))?;
                    value(out, &Spec::plain('v'), other)?;
                }
            }
        }
        out.push(b')')
    }
}

/// Digits, if any; `None` where they are too many.
fn number(rest: &[u8]) -> Option<(Option<usize>, &[u8])> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = rest.split_at_checked(length)?;
    if digits.is_empty() {
        return Some((None, after));
    }
    let number = std::str::from_utf8(digits).ok()?.parse::<i64>().ok().filter(|number| *number <= WIDTH_LIMIT)?;
    Some((usize::try_from(number).ok(), after))
}

fn first_character(rest: &[u8]) -> Option<(char, &[u8])> {
    let chunk = rest.utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(character) => Some((character, rest.get(character.len_utf8()..)?)),
        None => Some((char::REPLACEMENT_CHARACTER, rest.get(1..)?)),
    }
}

/// Formats one value.
pub(crate) fn value(out: &mut Buffer, spec: &Spec, value: &Value) -> Result<(), Fault> {
    match (spec.verb, value) {
        ('T', value) => padded(out, spec, cut(spec, value.type_name().as_bytes())),
        ('v', Value::Nil) => padded(out, spec, b"<nil>"),
        ('v' | 't', Value::Bool(truth)) => padded(out, spec, if *truth { b"true" } else { b"false" }),
        (_, Value::Int(number)) => integer(out, spec, value, number.unsigned_abs(), *number < 0),
        (_, Value::Uint(number)) => integer(out, spec, value, *number, false),
        (_, Value::Float(number)) => floating(out, spec, value, *number),
        (_, Value::Text(text) | Value::Number(text)) => string(out, spec, value, text.as_bytes()),
        (_, Value::List(list)) => {
            let (open, between, close): (&[u8], &[u8], &[u8]) =
                if spec.as_source() { (b"{", b", ", b"}") } else { (b"[", b" ", b"]") };
            if spec.as_source() {
                out.write(value.type_name().as_bytes())?;
            }
            out.write(open)?;
            for (at, item) in list.items().iter().enumerate() {
                out.write(if at > 0 { between } else { b"" })?;
                nested(out, spec, item)?;
            }
            out.write(close)
        }
        (_, Value::Map(map)) => {
            let (open, between, close): (&[u8], &[u8], &[u8]) =
                if spec.as_source() { (b"{", b", ", b"}") } else { (b"map[", b" ", b"]") };
            if spec.as_source() {
                out.write(value.type_name().as_bytes())?;
            }
            out.write(open)?;
            for (at, (key, item)) in map.entries().iter().enumerate() {
                out.write(if at > 0 { between } else { b"" })?;
                self::value(out, spec, &Value::Text(key.clone()))?;
                out.push(b':')?;
                nested(out, spec, item)?;
            }
            out.write(close)
        }
        (_, Value::Object(object)) => structure(out, spec, object),
        _ => bad_verb(out, spec, value),
    }
}

/// An element of something: nil there is no mistake, whatever the verb.
fn nested(out: &mut Buffer, spec: &Spec, element: &Value) -> Result<(), Fault> {
    match element {
        Value::Nil if spec.as_source() => out.write(b"interface {}(nil)"),
        Value::Nil => out.write(b"<nil>"),
        other => value(out, spec, other),
    }
}

fn structure(out: &mut Buffer, spec: &Spec, object: &Object) -> Result<(), Fault> {
    out.write(if object.kind() == ObjectKind::Certificate { b"{" } else { b"&{" })?;
    for (at, (_, field)) in object.fields().iter().enumerate() {
        out.write(if at > 0 { b" " } else { b"" })?;
        nested(out, spec, field)?;
    }
    out.push(b'}')
}

fn bad_verb(out: &mut Buffer, spec: &Spec, value: &Value) -> Result<(), Fault> {
    write_formatted(out, format_args!("%!{}(", spec.verb))?;
    match value {
        Value::Nil => out.write(b"<nil>")?,
        other => {
            write_formatted(out, format_args!("{}=", other.type_name()))?;
            let spec = Spec { verb: 'v', ..*spec };
            self::value(out, &spec, other)?;
        }
    }
    out.push(b')')
}

fn string(out: &mut Buffer, spec: &Spec, value: &Value, bytes: &[u8]) -> Result<(), Fault> {
    match spec.verb {
        'v' if spec.sharp => quoted(out, spec, cut(spec, bytes)),
        'v' | 's' => padded(out, spec, cut(spec, bytes)),
        'q' => quoted(out, spec, cut(spec, bytes)),
        'x' | 'X' => hexadecimal(out, spec, bytes),
        _ => bad_verb(out, spec, value),
    }
}

fn quoted(out: &mut Buffer, spec: &Spec, bytes: &[u8]) -> Result<(), Fault> {
    let mut text = Buffer::new();
    if spec.sharp && spec.verb == 'q' && quote::can_be_raw(bytes) {
        text.push(b'`')?;
        text.write(bytes)?;
        text.push(b'`')?;
    } else {
        quote::quote(&mut text, bytes, spec.plus)?;
    }
    padded(out, spec, text.as_bytes())
}

fn hexadecimal(out: &mut Buffer, spec: &Spec, bytes: &[u8]) -> Result<(), Fault> {
    let bytes = bytes.get(..spec.precision.unwrap_or(bytes.len()).min(bytes.len())).unwrap_or_default();
    let mut text = Buffer::new();
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && spec.space {
            text.push(b' ')?;
        }
        if spec.sharp && (at == 0 || spec.space) {
            text.write(if spec.verb == 'x' { b"0x" } else { b"0X" })?;
        }
        if spec.verb == 'x' {
            write_formatted(&mut text, format_args!("{byte:02x}"))?;
        } else {
            write_formatted(&mut text, format_args!("{byte:02X}"))?;
        }
    }
    padded(out, spec, text.as_bytes())
}

fn integer(out: &mut Buffer, spec: &Spec, value: &Value, magnitude: u64, negative: bool) -> Result<(), Fault> {
    let code = || u32::try_from(magnitude).ok().filter(|_| !negative).and_then(char::from_u32);
    let code = || code().unwrap_or(char::REPLACEMENT_CHARACTER);
    let (digits, prefix) = match spec.verb {
        'v' if spec.sharp && matches!(value, Value::Uint(_)) => (format!("{magnitude:x}"), "0x"),
        'v' | 'd' => (magnitude.to_string(), ""),
        'b' => (format!("{magnitude:b}"), if spec.sharp { "0b" } else { "" }),
        'o' | 'O' => {
            let octal = format!("{magnitude:o}");
            let leading = spec.sharp && !octal.starts_with('0');
            (
                octal,
                if spec.verb == 'O' && leading {
                    "0o0"
                } else if spec.verb == 'O' {
                    "0o"
                } else if leading {
                    "0"
                } else {
                    ""
                },
            )
        }
        'x' => (format!("{magnitude:x}"), if spec.sharp { "0x" } else { "" }),
        'X' => (format!("{magnitude:X}"), if spec.sharp { "0X" } else { "" }),
        'c' => return padded(out, spec, code().encode_utf8(&mut [0; 4]).as_bytes()),
        'q' => {
            let mut text = Buffer::new();
            quote::quote_character(&mut text, code(), spec.plus)?;
            return padded(out, spec, text.as_bytes());
        }
        'U' => {
            let mut text = format!(
                "U+{:01$X}",
                if negative { magnitude.wrapping_neg() } else { magnitude },
                spec.precision.unwrap_or(4).max(4)
            );
            if spec.sharp && quote::is_printable(code()) {
                text.push_str(" '");
                text.push(code());
                text.push('\'');
            }
            return padded(out, &Spec { zero: false, ..*spec }, text.as_bytes());
        }
        _ => return bad_verb(out, spec, value),
    };
    let sign = if negative {
        "-"
    } else if spec.plus && spec.verb != 'v' {
        "+"
    } else if spec.space {
        " "
    } else {
        ""
    };
    let zeros = match (spec.precision, spec.width) {
        (Some(0), _) if magnitude == 0 => return padded(out, &Spec { zero: false, ..*spec }, b""),
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero => width.saturating_sub(sign.len()),
        _ => 0,
    };
    let mut text = Buffer::new();
    text.write(sign.as_bytes())?;
    text.write(prefix.as_bytes())?;
    text.repeat(b"0", zeros.saturating_sub(digits.len()))?;
    text.write(digits.as_bytes())?;
    padded(out, &Spec { zero: false, ..*spec }, text.as_bytes())
}

fn floating(out: &mut Buffer, spec: &Spec, value: &Value, number: f64) -> Result<(), Fault> {
    if spec.precision.is_some_and(|precision| precision > FLOAT_PRECISION_LIMIT) {
        return Err(Fault::Function("the precision is over 1000 digits"));
    }
    let text = match spec.verb {
        'v' | 'g' => float::general(number, spec.precision),
        'G' => float::general(number, spec.precision).to_uppercase(),
        'e' => float::scientific(number, spec.precision.or(Some(6))),
        'E' => float::scientific(number, spec.precision.or(Some(6))).to_uppercase(),
        'f' | 'F' => float::fixed(number, spec.precision.or(Some(6))),
        _ => return bad_verb(out, spec, value),
    };
    let text = if number.is_nan() { "NaN".to_owned() } else { text.replace("INF", "Inf") };
    let (negative, magnitude) = match text.strip_prefix(['-', '+']) {
        Some(magnitude) => (text.starts_with('-'), magnitude),
        None => (false, text.as_str()),
    };
    let sign = if negative {
        "-"
    } else if (spec.plus && spec.verb != 'v') || (number.is_infinite() && !spec.space) {
        "+"
    } else if spec.space {
        " "
    } else {
        ""
    };
    let mut padded_text = Buffer::new();
    padded_text.write(sign.as_bytes())?;
    let zeros = if spec.zero && number.is_finite() { spec.width.unwrap_or(0) } else { 0 };
    padded_text.repeat(b"0", zeros.saturating_sub(sign.len() + magnitude.len()))?;
    padded_text.write(magnitude.as_bytes())?;
    padded(out, &Spec { zero: false, ..*spec }, padded_text.as_bytes())
}

/// The first characters, as many as the precision says.
fn cut<'b>(spec: &Spec, bytes: &'b [u8]) -> &'b [u8] {
    let Some(limit) = spec.precision else { return bytes };
    let mut rest = bytes;
    for _ in 0..limit {
        match first_character(rest) {
            Some((_, after)) => rest = after,
            None => break,
        }
    }
    bytes.get(..bytes.len() - rest.len()).unwrap_or(bytes)
}

/// Pads to the width, which counts characters.
fn padded(out: &mut Buffer, spec: &Spec, bytes: &[u8]) -> Result<(), Fault> {
    let width = spec.width.unwrap_or(0);
    if width == 0 {
        return out.write(bytes);
    }
    let length: usize = bytes.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum();
    let padding = width.saturating_sub(length);
    if spec.minus {
        out.write(bytes)?;
        return out.repeat(b" ", padding);
    }
    out.repeat(if spec.zero { b"0" } else { b" " }, padding)?;
    out.write(bytes)
}

/// More digits than a float has; it keeps one conversion short.
const FLOAT_PRECISION_LIMIT: usize = 1000;
