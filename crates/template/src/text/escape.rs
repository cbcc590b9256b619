//! Escaping for HTML, JavaScript and URL queries, as `text/template` does it.

use super::quote::is_printable;
use crate::error::Fault;
use crate::value::Buffer;

/// `html`: also right inside of XML text and quoted attributes.
pub(crate) fn html(out: &mut Buffer, bytes: &[u8]) -> Result<(), Fault> {
    for byte in bytes {
        match byte {
            0 => out.write("\u{fffd}".as_bytes())?,
            b'"' => out.write(b"&#34;")?,
            b'\'' => out.write(b"&#39;")?,
            b'&' => out.write(b"&amp;")?,
            b'<' => out.write(b"&lt;")?,
            b'>' => out.write(b"&gt;")?,
            other => out.push(*other)?,
        }
    }
    Ok(())
}

/// `js`: inside of a JavaScript string.
pub(crate) fn js(out: &mut Buffer, bytes: &[u8]) -> Result<(), Fault> {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => out.write(b"\\\\")?,
                '\'' => out.write(b"\\'")?,
                '"' => out.write(b"\\\"")?,
                '<' | '>' | '&' | '=' | '\0'..='\u{1f}' => {
                    super::write_formatted(out, format_args!("\\u{:04X}", u32::from(character)))?;
                }
                other if other.is_ascii() || is_printable(other) => out.push_char(other)?,
                other => super::write_formatted(out, format_args!("\\u{:04X}", u32::from(other)))?,
            }
        }
        for _ in chunk.invalid() {
            out.write("\u{fffd}".as_bytes())?;
        }
    }
    Ok(())
}

/// `urlquery`: as a value in a query, spaces become `+`.
pub(crate) fn url_query(out: &mut Buffer, bytes: &[u8]) -> Result<(), Fault> {
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte)?,
            b' ' => out.push(b'+')?,
            other => super::write_formatted(out, format_args!("%{other:02X}"))?,
        }
    }
    Ok(())
}
