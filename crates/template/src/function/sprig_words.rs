//! Sprig's functions that shorten, wrap and recase texts, by their `sprig_` names.
//!
//! Several of them count bytes and not characters, as the originals do.

use super::arguments::{int, size, text};
use super::builtin::written;
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::text::write_formatted;
use crate::value::{Buffer, Text, Value};
use zeroize::Zeroizing;

use Parameter::{Int, Text as Word};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("sprig_hello", &[], |_, _| Ok(Value::from("Hello!"))),
    Function::new("sprig_abbrev", &[Int, Word], |_, arguments| {
        let (width, text) = (int(arguments, 0)?, text(arguments, 1)?);
        abbreviated(text, 0, if width < 4 { usize::MAX } else { size(width) })
    }),
    Function::new("sprig_abbrevboth", &[Int, Int, Word], |_, arguments| {
        let (left, right, text) = (int(arguments, 0)?, int(arguments, 1)?, text(arguments, 2)?);
        let whole = right < 4 || (left > 0 && right < 7);
        abbreviated(text, size(left), if whole { usize::MAX } else { size(right) })
    }),
    Function::new("sprig_initials", &[Word], |_, arguments| {
        let bytes = text(arguments, 0)?.as_bytes();
        written(|out| {
            let mut after_gap = true;
            for character in bytes.iter().map(|byte| char::from(*byte)) {
                let gap = character.is_whitespace();
                if after_gap && !gap {
                    out.push_char(character)?;
                }
                after_gap = gap;
            }
            Ok(())
        })
    }),
    Function::new("sprig_swapcase", &[Word], swap_case),
    Function::new("sprig_wrap", &[Int, Word], |scope, arguments| {
        wrapped(scope, text(arguments, 1)?.as_bytes(), int(arguments, 0)?, b"\n", false)
    }),
    Function::new("sprig_wrapWith", &[Int, Word, Word], |scope, arguments| {
        let mark = text(arguments, 1)?.as_bytes();
        let mark = if mark.is_empty() { b"\n" } else { mark };
        wrapped(scope, text(arguments, 2)?.as_bytes(), int(arguments, 0)?, mark, true)
    }),
    Function::new("sprig_b32enc", &[Word], |_, arguments| base32_encode(text(arguments, 0)?.as_bytes())),
    Function::new("sprig_b32dec", &[Word], |_, arguments| base32_decode(text(arguments, 0)?.as_bytes())),
];

const ELLIPSIS: &[u8] = b"...";

/// At most `width` bytes, with three dots where something was left out; `offset` bytes may be left out at the left.
fn abbreviated(text: &Text, offset: usize, width: usize) -> Result<Value, Fault> {
    let bytes = text.as_bytes();
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    if bytes.len() <= width {
        return Ok(Value::Text(text.clone()));
    }
    let kept = width - ELLIPSIS.len();
    let mut offset = offset.min(bytes.len());
    if bytes.len() - offset < kept {
        offset = bytes.len() - kept;
    }
    written(|out| {
        if offset <= 4 {
            out.write(part(0, kept))?;
            return out.write(ELLIPSIS);
        }
        out.write(ELLIPSIS)?;
        if offset + kept >= bytes.len() {
            return out.write(part(bytes.len() - kept, bytes.len()));
        }
        if kept < 4 {
            return Ok(()); // too narrow for a second abbreviation, of which the original forgets the text
        }
        out.write(part(offset, offset + kept - ELLIPSIS.len()))?;
        out.write(ELLIPSIS)
    })
}

/// A small letter at the beginning of a word becomes a capital like all others, whatever its title case is.
fn swap_case(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    super::text::map_characters(text(arguments, 0)?, |character| {
        if character.is_uppercase() { super::text::lower(character) } else { super::text::upper(character) }
    })
}

/// Breaks at spaces so that lines have at most `width` bytes; longer words are cut only if `cuts`.
fn wrapped(scope: &mut Scope<'_>, bytes: &[u8], width: i64, mark: &[u8], cuts: bool) -> Result<Value, Fault> {
    let width = size(width).max(1);
    let mut rest = bytes;
    written(|out: &mut Buffer| {
        while rest.len() > width {
            scope.charge(1)?;
            if let Some(after) = rest.strip_prefix(b" ") {
                rest = after;
                continue;
            }
            let (head, tail) = rest.split_at_checked(width).unwrap_or((rest, &[]));
            let space = match rest.get(..=width).unwrap_or_default().iter().rposition(|byte| *byte == b' ') {
                None if !cuts => tail.iter().position(|byte| *byte == b' ').map(|at| width + at),
                found => found,
            };
            match space {
                Some(at) => {
                    out.write(rest.get(..at).unwrap_or_default())?;
                    out.write(mark)?;
                    rest = rest.get(at + 1..).unwrap_or_default();
                }
                None if cuts => {
                    out.write(head)?;
                    out.write(mark)?;
                    rest = tail;
                }
                None => break,
            }
        }
        out.write(rest)
    })
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// RFC 4648 6, with padding.
fn base32_encode(bytes: &[u8]) -> Result<Value, Fault> {
    written(|out| {
        for block in bytes.chunks(5) {
            let bits = (0..5).fold(0_u64, |bits, at| bits << 8 | u64::from(block.get(at).copied().unwrap_or(0)));
            let digits = (block.len() * 8).div_ceil(5);
            for at in 0..8 {
                let index = usize::try_from(bits >> (35 - 5 * at) & 31).unwrap_or(0);
                out.push(if at < digits { BASE32.get(index).copied().unwrap_or(b'=') } else { b'=' })?;
            }
        }
        Ok(())
    })
}

fn base32_decode(encoded: &[u8]) -> Result<Value, Fault> {
    const BAD: Fault = Fault::Function("the text is not valid base32");
    let input: Zeroizing<Vec<u8>> =
        Zeroizing::new(encoded.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect());
    let digits = input.iter().take_while(|byte| **byte != b'=').count();
    let padding = input.len() - digits;
    let fits = input.len().is_multiple_of(8) && matches!(padding, 0 | 1 | 3 | 4 | 6);
    if !fits || input.iter().skip(digits).any(|byte| *byte != b'=') {
        return Err(BAD);
    }
    written(|out| {
        for block in input.get(..digits).unwrap_or_default().chunks(8) {
            let mut bits = 0_u64;
            for at in 0..8 {
                let digit = block.get(at).map_or(Some(0), |byte| BASE32.iter().position(|known| known == byte));
                bits = bits << 5 | u64::try_from(digit.ok_or(BAD)?).unwrap_or(0);
            }
            out.write(bits.to_be_bytes().get(3..3 + block.len() * 5 / 8).unwrap_or_default())?;
        }
        Ok(())
    })
}

/// Writes `bytes` with `%XX` for all that `plain` does not let through.
pub(super) fn percent_encoded(out: &mut Buffer, bytes: &[u8], plain: &[u8]) -> Result<(), Fault> {
    bytes.iter().try_for_each(|byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) || plain.contains(byte) {
            out.push(*byte)
        } else {
            write_formatted(out, format_args!("%{byte:02X}"))
        }
    })
}
