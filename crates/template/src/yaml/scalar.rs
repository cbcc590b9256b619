//! Texts in YAML: which style, and writing it.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Fault;
use crate::parse::literal;
use crate::text::write_formatted;
use crate::value::{Buffer, Text, Value};

/// A text and the style it needs.
pub(super) struct Scalar<'t> {
    bytes: &'t [u8],
    style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
    /// Not UTF-8.
    Binary,
}

impl<'t> Scalar<'t> {
    pub(super) fn of_text(bytes: &'t [u8]) -> Self {
        let style = match std::str::from_utf8(bytes) {
            Err(_) => Style::Binary,
            Ok(text) => style_of(text),
        };
        Self { bytes, style }
    }

    /// Keys stand on one line.
    pub(super) fn into_key(mut self) -> Self {
        if self.style == Style::Literal {
            self.style = Style::Double;
        }
        self
    }

    /// Writes it; further lines are indented by `indent`, and long ones fold if `folds`.
    pub(super) fn write(&self, out: &mut Buffer, indent: usize, folds: bool) -> Result<(), Fault> {
        let text = std::str::from_utf8(self.bytes).unwrap_or_default();
        match self.style {
            Style::Plain => folded(out, text, indent, folds, false),
            Style::Single => {
                out.push(b'\'')?;
                folded(out, text, indent, folds, true)?;
                out.push(b'\'')
            }
            Style::Double => double_quoted(out, text, indent, folds),
            Style::Literal => literal(out, text, indent),
            Style::Binary => {
                let encoded = zeroize::Zeroizing::new(STANDARD.encode(self.bytes));
                out.write(b"!!binary ")?;
                if encoded.len() <= BINARY_LINE_BYTES {
                    return out.write(encoded.as_bytes());
                }
                out.push(b'|')?;
                for line in encoded.as_bytes().chunks(BINARY_LINE_BYTES) {
                    out.push(b'\n')?;
                    out.repeat(b" ", indent)?;
                    out.write(line)?;
                }
                out.push(b'\n')
            }
        }
    }
}

fn style_of(text: &str) -> Style {
    let special = text.chars().any(|character| !is_printable(character));
    if text.contains('\n') {
        let block_fits = !special && !text.ends_with(' ') && !text.contains(" \n");
        return if block_fits { Style::Literal } else { Style::Double };
    }
    if special || reads_as_other(text) {
        return Style::Double;
    }
    if has_indicator(text) || text.starts_with(' ') || text.ends_with(' ') { Style::Single } else { Style::Plain }
}

fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && !matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn has_indicator(text: &str) -> bool {
    let mut previous = ' ';
    let mut characters = text.chars().peekable();
    let mut first = true;
    while let Some(character) = characters.next() {
        let before_blank = characters.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        let indicates = match character {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if first => {
                true
            }
            '?' | '-' if first => before_blank,
            ':' => before_blank,
            '#' => matches!(previous, ' ' | '\t'),
            _ => false,
        };
        if indicates {
            return true;
        }
        (previous, first) = (character, false);
    }
    text.starts_with("---") || text.starts_with("...")
}

/// Whether a reader of YAML 1.1 could take the plain text for a truth value, null, number or time.
fn reads_as_other(text: &str) -> bool {
    const WORDS: [&str; 24] = [
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO",
        "off", "Off", "OFF", ".nan", ".NaN", ".NAN",
    ];
    const MORE_WORDS: [&str; 12] =
        ["true", "True", "TRUE", "false", "False", "FALSE", ".inf", ".Inf", ".INF", "+.inf", "-.inf", "-.Inf"];
    if WORDS.contains(&text) || MORE_WORDS.contains(&text) || matches!(text, "+.Inf" | "+.INF" | "-.INF") {
        return true;
    }
    match text.bytes().next() {
        Some(b'.') => text.bytes().any(|byte| byte.is_ascii_digit()) && text.parse::<f64>().is_ok(),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let plain = text.replace('_', "");
            let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
            is_time(text) || literal::unsigned(unsigned).is_some() || is_float(unsigned) || is_sexagesimal(text)
        }
        _ => false,
    }
}

pub(super) fn is_float(unsigned: &str) -> bool {
    let lower = unsigned.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').map_or((lower.as_str(), None), |(m, e)| (m, Some(e)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

/// `1:30`, which YAML 1.1 reads in base 60.
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let mut count = 0;
    let rest_fits = parts.all(|part| {
        count += 1;
        matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    });
    let first_fits =
        first.starts_with(|c: char| c.is_ascii_digit()) && first.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    rest_fits && count > 0 && first_fits
}

/// `2001-02-03`, with or without a time.
pub(super) fn is_time(text: &str) -> bool {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let number = |part: Option<&str>, longest: usize| {
        part.filter(|part| (1..=longest).contains(&part.len())).and_then(|part| part.parse::<u32>().ok())
    };
    let year_fits = parts.next().is_some_and(|year| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()));
    let month_fits = number(parts.next(), 2).is_some_and(|month| (1..=12).contains(&month));
    let day_fits = number(parts.next(), 2).is_some_and(|day| (1..=31).contains(&day));
    let time_fits = time.is_none_or(|time| {
        time.starts_with(|c: char| c.is_ascii_digit())
            && time.contains(':')
            && time.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'+' | b'-' | b'Z'))
    });
    year_fits && month_fits && day_fits && parts.next().is_none() && time_fits
}

/// Characters since the last line break.
fn column(out: &Buffer) -> usize {
    let bytes = out.as_bytes();
    let start = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.get(start..).unwrap_or_default().iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// Plain or single quoted: single spaces behind column 80 become line breaks.
fn folded(out: &mut Buffer, text: &str, indent: usize, folds: bool, quoted: bool) -> Result<(), Fault> {
    let mut at_column = column(out);
    let mut previous_space = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next_is_space = characters.peek().is_some_and(|(_, next)| *next == ' ');
        let inside = !quoted || (at > 0 && at + 1 < text.len());
        if character == ' ' && folds && !previous_space && at_column > FOLD_COLUMN && !next_is_space && inside {
            out.push(b'\n')?;
            out.repeat(b" ", indent)?;
            at_column = indent;
        } else {
            if quoted && character == '\'' {
                out.push(b'\'')?;
                at_column += 1;
            }
            out.push_char(character)?;
            at_column += 1;
        }
        previous_space = character == ' ';
    }
    Ok(())
}

fn double_quoted(out: &mut Buffer, text: &str, indent: usize, folds: bool) -> Result<(), Fault> {
    out.push(b'"')?;
    let mut at_column = column(out);
    let mut previous_space = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let before = out.len();
        let inside = at > 0 && at + 1 < text.len();
        if character == ' ' && folds && !previous_space && at_column > FOLD_COLUMN && inside {
            out.push(b'\n')?;
            out.repeat(b" ", indent)?;
            at_column = indent;
            if characters.peek().is_some_and(|(_, next)| *next == ' ') {
                out.push(b'\\')?;
                at_column += 1;
            }
            previous_space = true;
            continue;
        }
        escaped(out, character)?;
        let written = out.as_bytes().get(before..).unwrap_or_default();
        at_column += written.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        previous_space = character == ' ';
    }
    out.push(b'"')
}

fn escaped(out: &mut Buffer, character: char) -> Result<(), Fault> {
    let short = match character {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        other if is_printable(other) => return out.push_char(other),
        other => {
            return match u32::from(other) {
                code if code <= 0xFF => write_formatted(out, format_args!("\\x{code:02X}")),
                code if code <= 0xFFFF => write_formatted(out, format_args!("\\u{code:04X}")),
                code => write_formatted(out, format_args!("\\U{code:08X}")),
            };
        }
    };
    out.push(b'\\')?;
    out.push_char(short)
}

fn literal(out: &mut Buffer, text: &str, indent: usize) -> Result<(), Fault> {
    out.push(b'|')?;
    if text.starts_with([' ', '\n']) {
        out.push(b'2')?;
    }
    if !text.ends_with('\n') {
        out.push(b'-')?;
    } else if text == "\n" || text.ends_with("\n\n") {
        out.push(b'+')?;
    }
    out.push(b'\n')?;
    for line in text.split_inclusive('\n') {
        if line != "\n" {
            out.repeat(b" ", indent)?;
        }
        out.write(line.as_bytes())?;
    }
    Ok(())
}

/// Natural order: numbers inside of keys count as numbers. The comparison is no total order, which a plain merge sort
/// bears where the standard library's may panic.
pub(super) fn sort_naturally(entries: &mut Vec<(Text, Value)>) {
    let mut runs: Vec<Vec<(Text, Value)>> = entries.drain(..).map(|entry| vec![entry]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(left) = pairs.next() {
            merged.push(match pairs.next() {
                Some(right) => merge(left, right),
                None => left,
            });
        }
        runs = merged;
    }
    entries.extend(runs.into_iter().flatten());
}

fn merge(left: Vec<(Text, Value)>, right: Vec<(Text, Value)>) -> Vec<(Text, Value)> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let from_right = match (left.peek(), right.peek()) {
            (Some((left, _)), Some((right, _))) => natural(right, left) == Ordering::Less,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        match if from_right { right.next() } else { left.next() } {
            Some(entry) => merged.push(entry),
            None => return merged,
        }
    }
}

fn natural(left: &Text, right: &Text) -> Ordering {
    let (Some(left), Some(right)) = (left.as_str(), right.as_str()) else { return left.cmp(right) };
    let mut at = 0;
    for ((position, ours), theirs) in left.char_indices().zip(right.chars()) {
        if ours != theirs {
            let ordinary = ours.cmp(&theirs);
            return match (ours.is_alphabetic(), theirs.is_alphabetic()) {
                (true, true) => ordinary,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => {
                    let (our_digits, their_digits) = (digits_at(left, position), digits_at(right, position));
                    let significant =
                        (ours == '0' || theirs == '0') && digit_before(left.get(..position).unwrap_or_default());
                    let by_number = our_digits.number(significant).cmp(&their_digits.number(significant));
                    by_number.then_with(|| our_digits.text.len().cmp(&their_digits.text.len())).then(ordinary)
                }
            };
        }
        at = position + ours.len_utf8();
    }
    let rest = |text: &str| text.len().saturating_sub(at);
    rest(left).cmp(&rest(right))
}

struct Digits<'t> {
    text: &'t str,
}

impl Digits<'_> {
    fn number(&self, significant: bool) -> u128 {
        let start = u128::from(significant);
        self.text.bytes().fold(start, |number, digit| {
            number.saturating_mul(10).saturating_add(u128::from(digit.saturating_sub(b'0')))
        })
    }
}

fn digits_at(text: &str, position: usize) -> Digits<'_> {
    let rest = text.get(position..).unwrap_or_default();
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    Digits { text: rest.get(..length).unwrap_or_default() }
}

/// Whether a digit other than 0 stands right before, so that a 0 here is part of a number.
fn digit_before(text: &str) -> bool {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit);
    digits.into_iter().any(|digit| digit != b'0')
}

/// Go's `bytes.TrimSpace`.
pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    std::str::from_utf8(bytes).map_or(bytes, |text| text.trim().as_bytes())
}

/// Texts fold at the first space behind this column.
const FOLD_COLUMN: usize = 80;

/// Base64 lines of binary texts.
const BINARY_LINE_BYTES: usize = 70;
