//! Go's `strconv.Quote` and the judgement which characters are printable.

use crate::error::Fault;
use crate::value::Buffer;

/// `%q` of bytes: double quotes, escapes for what is not printable; only ASCII if `ascii`.
pub(crate) fn quote(out: &mut Buffer, bytes: &[u8], ascii: bool) -> Result<(), Fault> {
    out.push(b'"')?;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape(out, character, '"', ascii)?;
        }
        for byte in chunk.invalid() {
            super::write_formatted(out, format_args!("\\x{byte:02x}"))?;
        }
    }
    out.push(b'"')
}

/// `%q` of a character: single quotes.
pub(crate) fn quote_character(out: &mut Buffer, character: char, ascii: bool) -> Result<(), Fault> {
    out.push(b'\'')?;
    escape(out, character, '\'', ascii)?;
    out.push(b'\'')
}

/// Whether a raw string could hold it on one line.
pub(crate) fn can_be_raw(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| text.chars().all(|c| c == '\t' || !(c < ' ' || matches!(c, '`' | '\u{7f}' | '\u{feff}'))))
}

/// Go's `unicode.IsPrint`.
pub(crate) fn is_printable(character: char) -> bool {
    if character == ' ' || character.is_ascii_graphic() {
        return true;
    }
    // the standard library keeps the same table but shows it only by escaping; a letter before the character keeps
    // combining marks, which are printable, from being escaped for standing alone
    let mut pair = [0; 5];
    if let Some((first, rest)) = pair.split_first_mut() {
        *first = b'a';
        character.encode_utf8(rest);
    }
    let length = 1 + character.len_utf8();
    let text = pair.get(..length).and_then(|pair| std::str::from_utf8(pair).ok()).unwrap_or_default();
    !character.is_ascii() && text.escape_debug().nth(1) == Some(character)
}

fn escape(out: &mut Buffer, character: char, quote: char, ascii: bool) -> Result<(), Fault> {
    let short = match character {
        '\\' => Some('\\'),
        c if c == quote => Some(quote),
        '\u{7}' => Some('a'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{b}' => Some('v'),
        _ => None,
    };
    if let Some(short) = short {
        out.push(b'\\')?;
        return out.push_char(short);
    }
    if is_printable(character) && (!ascii || character.is_ascii()) {
        return out.push_char(character);
    }
    match u32::from(character) {
        code if code < 0x80 => super::write_formatted(out, format_args!("\\x{code:02x}")),
        code if code < 0x1_0000 => super::write_formatted(out, format_args!("\\u{code:04x}")),
        code => super::write_formatted(out, format_args!("\\U{code:08x}")),
    }
}
