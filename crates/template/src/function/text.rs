//! The Vault helpers on text.

use super::arguments::{any, list, text};
use super::builtin::{count, written};
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Buffer, Element, List, MapBuilder, Text, Value};

use Parameter::{Any, Int, List as Items, Text as Word, Texts};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("contains", &[Any, Any], |_, arguments| is_in(any(arguments, 1), any(arguments, 0)).map(Value::Bool)),
    Function::new("in", &[Any, Any], |_, arguments| is_in(any(arguments, 0), any(arguments, 1)).map(Value::Bool)),
    Function::new("containsAll", &[Items, Any], |scope, arguments| some_in(scope, arguments, true, true)),
    Function::new("containsAny", &[Items, Any], |scope, arguments| some_in(scope, arguments, false, false)),
    Function::new("containsNone", &[Items, Any], |scope, arguments| some_in(scope, arguments, true, false)),
    Function::new("containsNotAll", &[Items, Any], |scope, arguments| some_in(scope, arguments, false, true)),
    Function::new("indent", &[Int, Word], indent),
    Function::new("join", &[Word, Texts], join),
    Function::new("split", &[Word, Word], split),
    Function::new("splitToMap", &[Word, Word, Word], split_to_map),
    Function::new("trim", &[Word, Word], |_, arguments| Ok(trim(text(arguments, 1)?, text(arguments, 0)?))),
    Function::new("trimPrefix", &[Word, Word], |_, arguments| {
        let (prefix, text) = (text(arguments, 0)?.as_bytes(), text(arguments, 1)?.as_bytes());
        Ok(Value::text(text.strip_prefix(prefix).unwrap_or(text)))
    }),
    Function::new("trimSuffix", &[Word, Word], |_, arguments| {
        let (suffix, text) = (text(arguments, 0)?.as_bytes(), text(arguments, 1)?.as_bytes());
        Ok(Value::text(text.strip_suffix(suffix).unwrap_or(text)))
    }),
    Function::new("trimSpace", &[Word], |_, arguments| Ok(Value::text(trim_space(text(arguments, 0)?.as_bytes())))),
    Function::new("replaceAll", &[Word, Word, Word], |_, arguments| {
        replace_all(text(arguments, 2)?, text(arguments, 0)?, text(arguments, 1)?)
    }),
    Function::new("toLower", &[Word], |_, arguments| map_characters(text(arguments, 0)?, lower)),
    Function::new("toUpper", &[Word], |_, arguments| map_characters(text(arguments, 0)?, upper)),
    Function::new("toTitle", &[Word], |_, arguments| title(text(arguments, 0)?)),
    Function::new("parseBool", &[Word], parse_bool),
];

/// Whether `needle` is an element of the list or a part of the text. Texts do not compare with nil.
pub(super) fn is_in(haystack: &Value, needle: &Value) -> Result<bool, Fault> {
    let same = |item: &Value| match (item, needle) {
        (Value::Text(_) | Value::Number(_), Value::Nil) => Err(super::arguments::wrong("string", needle)),
        (Value::Int(left), Value::Int(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right) == Some(std::cmp::Ordering::Equal)),
        (Value::Text(left), Value::Text(right)) | (Value::Number(left), Value::Number(right)) => Ok(left == right),
        _ => Ok(false),
    };
    match (haystack, needle) {
        (Value::Number(text), Value::Number(part)) | (Value::Text(text), Value::Text(part)) => {
            Ok(find(text.as_bytes(), part.as_bytes()).is_some())
        }
        (Value::List(list), _) => {
            for item in list.items() {
                if same(item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (text, Value::Nil) => same(text),
        _ => Ok(false),
    }
}

fn some_in(scope: &mut Scope<'_>, arguments: &[Value], otherwise: bool, invert: bool) -> Result<Value, Fault> {
    for needle in list(arguments, 0)? {
        scope.charge_for(any(arguments, 1))?;
        scope.charge(1)?;
        if is_in(any(arguments, 1), needle)? != invert {
            return Ok(Value::Bool(!otherwise));
        }
    }
    Ok(Value::Bool(otherwise))
}

fn indent(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let spaces = count(arguments, 0)?;
    let text = text(arguments, 1)?;
    written(|out| {
        for line in text.as_bytes().split_inclusive(|byte| *byte == b'\n') {
            if line != b"\n" {
                out.repeat(b" ", spaces)?;
            }
            out.write(line)?;
        }
        Ok(())
    })
}

fn join(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    joined(scope, text(arguments, 0)?, list(arguments, 1)?)
}

pub(super) fn joined(scope: &mut Scope<'_>, separator: &Text, items: &[Value]) -> Result<Value, Fault> {
    scope.charge(items.len())?;
    written(|out| {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.write(separator.as_bytes())?;
            }
            if let Value::Text(text) = item {
                out.write(text.as_bytes())?;
            }
        }
        Ok(())
    })
}

fn split(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let text = trim_space(text(arguments, 1)?.as_bytes());
    if text.is_empty() {
        return Ok(Value::List(List::of_texts([])));
    }
    parts(scope, text, super::arguments::text(arguments, 0)?.as_bytes())
}

/// `strings.Split`: an empty separator splits into characters.
pub(super) fn parts(scope: &mut Scope<'_>, text: &[u8], separator: &[u8]) -> Result<Value, Fault> {
    let mut parts = Vec::new();
    let mut rest = text;
    if separator.is_empty() {
        for chunk in text.utf8_chunks() {
            let characters =
                chunk.valid().chars().map(|character| Text::from(character.encode_utf8(&mut [0; 4]) as &str));
            parts.extend(characters);
            parts.extend(chunk.invalid().iter().map(|byte| Text::from([*byte].as_slice())));
        }
        scope.charge(parts.len())?;
        return Ok(Value::List(List::of_texts(parts)));
    }
    while let Some(at) = find(rest, separator) {
        scope.charge(1)?;
        parts.push(Text::from(rest.get(..at).unwrap_or_default()));
        rest = rest.get(at + separator.len()..).unwrap_or_default();
    }
    parts.push(Text::from(rest));
    Ok(Value::List(List::of_texts(parts)))
}

fn split_to_map(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let inner = text(arguments, 1)?.as_bytes();
    let all = trim_space(text(arguments, 2)?.as_bytes());
    let mut entries = MapBuilder::default();
    if !all.is_empty()
        && let Value::List(parts) = parts(scope, all, text(arguments, 0)?.as_bytes())?
    {
        for part in parts.items() {
            let Value::Text(part) = part else { continue };
            let Some(at) = find(part.as_bytes(), inner) else { continue };
            let (key, value) = part.as_bytes().split_at_checked(at).unwrap_or_default();
            entries.insert(Text::from(key), Value::text(value.get(inner.len()..).unwrap_or_default()));
        }
    }
    entries.finish(Element::Text).map(Value::Map)
}

/// Removes any of the characters of `cutset` from both ends.
pub(super) fn trim(text: &Text, cutset: &Text) -> Value {
    let Some((text, cutset)) = text.as_str().zip(cutset.as_str()) else {
        let in_set = |byte: &&u8| cutset.as_bytes().contains(byte);
        let bytes = text.as_bytes();
        let start = bytes.iter().take_while(in_set).count();
        let rest = bytes.get(start..).unwrap_or_default();
        let end = rest.iter().rev().take_while(in_set).count();
        return Value::text(rest.get(..rest.len() - end).unwrap_or_default());
    };
    Value::from(text.trim_matches(|character| cutset.contains(character)))
}

/// Unicode white space where the text is UTF-8, ASCII white space else.
pub(super) fn trim_space(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => bytes.trim_ascii(),
    }
}

/// `strings.ReplaceAll`: an empty `from` matches before every character and at the end.
pub(super) fn replace_all(text: &Text, from: &Text, to: &Text) -> Result<Value, Fault> {
    let mut rest = text.as_bytes();
    written(|out| {
        if from.is_empty() {
            for chunk in rest.utf8_chunks() {
                for character in chunk.valid().chars() {
                    out.write(to.as_bytes())?;
                    out.push_char(character)?;
                }
                for byte in chunk.invalid() {
                    out.write(to.as_bytes())?;
                    out.push(*byte)?;
                }
            }
            return out.write(to.as_bytes());
        }
        while let Some(at) = find(rest, from.as_bytes()) {
            out.write(rest.get(..at).unwrap_or_default())?;
            out.write(to.as_bytes())?;
            rest = rest.get(at + from.len()..).unwrap_or_default();
        }
        out.write(rest)
    })
}

/// Position of the first `needle`.
pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    if let (Ok(haystack), Ok(needle)) = (std::str::from_utf8(haystack), std::str::from_utf8(needle)) {
        return haystack.find(needle); // linear, where a window search is quadratic
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Maps each character; invalid UTF-8 becomes U+FFFD, as in Go.
pub(super) fn map_characters(text: &Text, map: fn(char) -> char) -> Result<Value, Fault> {
    written(|out| {
        for chunk in text.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                out.push_char(map(character))?;
            }
            for _ in chunk.invalid() {
                out.push_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    })
}

/// One character to one character, as Go's simple case mapping does.
pub(super) fn upper(character: char) -> char {
    let mut mapped = character.to_uppercase();
    mapped.next().filter(|_| mapped.next().is_none()).unwrap_or(character)
}

/// One character to one character, as Go's simple case mapping does.
pub(super) fn lower(character: char) -> char {
    let mut mapped = character.to_lowercase();
    mapped.next().filter(|_| mapped.next().is_none()).unwrap_or(character)
}

/// The first letter of every word as a capital, the others unchanged. Digits and underscores belong to words; an
/// apostrophe inside does not begin one.
fn title(text: &Text) -> Result<Value, Fault> {
    written(|out: &mut Buffer| {
        let (mut inside, mut titled, mut previous) = (false, false, ' ');
        for chunk in text.as_bytes().utf8_chunks() {
            let mut characters = chunk.valid().chars().peekable();
            while let Some(character) = characters.next() {
                let joins = match character {
                    '\'' | '’' | '.' | ':' | ',' | ';' => characters.peek().is_some_and(|next| {
                        let letters =
                            previous.is_alphabetic() && next.is_alphabetic() && !matches!(character, ',' | ';');
                        let digits = previous.is_numeric() && next.is_numeric() && character != ':';
                        inside && (letters || digits)
                    }),
                    other => other.is_alphanumeric() || other == '_',
                };
                titled &= joins;
                let cased = character.is_lowercase() || character.is_uppercase();
                out.push_char(if cased && !titled { upper(character) } else { character })?;
                titled |= cased;
                (inside, previous) = (joins, character);
            }
            for _ in chunk.invalid() {
                out.push_char(char::REPLACEMENT_CHARACTER)?;
                (inside, titled) = (false, false);
            }
        }
        Ok(())
    })
}

fn parse_bool(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    match text(arguments, 0)?.as_bytes() {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Ok(Value::Bool(true)),
        b"" | b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Ok(Value::Bool(false)),
        _ => Err(Fault::Function("the text is not a truth value")),
    }
}
