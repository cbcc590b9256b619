//! Sprig's functions on text, paths and URLs, by their `sprig_` names.

use super::arguments::{any, int, text};
use super::builtin::{count, written};
use super::sprig::{shown, texts_of};
use super::text::{find, joined, lower, map_characters, parts, replace_all, trim, trim_space, upper};
use super::{Function, Parameter, words};
use crate::error::Fault;
use crate::eval::Scope;
use crate::text::quote;
use crate::value::{Element, MapBuilder, Text, Value};

use Parameter::{Any, Int, Text as Word};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("sprig_quote", &[], |_, arguments| {
        spaced(arguments, |out, text| quote::quote(out, text.as_bytes(), false))
    })
    .and_more(Any),
    Function::new("sprig_squote", &[], |_, arguments| {
        spaced(arguments, |out, text| {
            out.push(b'\'')?;
            out.write(text.as_bytes())?;
            out.push(b'\'')
        })
    })
    .and_more(Any),
    Function::new("sprig_cat", &[], |_, arguments| spaced(arguments, |out, text| out.write(text.as_bytes())))
        .and_more(Any),
    Function::new("sprig_toString", &[Any], |_, arguments| shown(any(arguments, 0)).map(Value::Text)),
    Function::new("sprig_upper", &[Word], |_, arguments| map_characters(text(arguments, 0)?, upper)),
    Function::new("sprig_lower", &[Word], |_, arguments| map_characters(text(arguments, 0)?, lower)),
    Function::new("sprig_title", &[Word], |_, arguments| title(text(arguments, 0)?)),
    Function::new("sprig_untitle", &[Word], |_, arguments| untitle(text(arguments, 0)?)),
    Function::new("sprig_snakecase", &[Word], |_, arguments| words::lower_joined(utf8(text(arguments, 0)?)?, '_')),
    Function::new("sprig_kebabcase", &[Word], |_, arguments| words::lower_joined(utf8(text(arguments, 0)?)?, '-')),
    Function::new("sprig_camelcase", &[Word], |_, arguments| words::pascal(utf8(text(arguments, 0)?)?)),
    Function::new("sprig_nospace", &[Word], |_, arguments| {
        // bytes are taken for characters, as in the original, unless there is nothing to remove
        let text = text(arguments, 0)?;
        let white = |byte: &u8| char::from(*byte).is_whitespace();
        if !text.as_bytes().iter().any(white) {
            return Ok(Value::Text(text.clone()));
        }
        written(|out| {
            text.as_bytes().iter().filter(|byte| !white(byte)).try_for_each(|byte| out.push_char(char::from(*byte)))
        })
    }),
    Function::new("sprig_trunc", &[Int, Word], truncate),
    Function::new("sprig_substr", &[Int, Int, Word], substring),
    Function::new("sprig_repeat", &[Int, Word], |_, arguments| {
        let (times, text) = (count(arguments, 0)?, text(arguments, 1)?);
        written(|out| if text.is_empty() { Ok(()) } else { out.repeat(text.as_bytes(), times) })
    }),
    Function::new("sprig_indent", &[Int, Word], |_, arguments| indent(arguments, "")),
    Function::new("sprig_nindent", &[Int, Word], |_, arguments| indent(arguments, "\n")),
    Function::new("sprig_replace", &[Word, Word, Word], |_, arguments| {
        replace_all(text(arguments, 2)?, text(arguments, 0)?, text(arguments, 1)?)
    }),
    Function::new("sprig_trim", &[Word], |_, arguments| Ok(Value::text(trim_space(text(arguments, 0)?.as_bytes())))),
    Function::new("sprig_trimAll", &[Word, Word], |_, arguments| Ok(trim(text(arguments, 1)?, text(arguments, 0)?))),
    Function::new("sprig_trimPrefix", &[Word, Word], |_, arguments| {
        let (prefix, text) = (text(arguments, 0)?.as_bytes(), text(arguments, 1)?.as_bytes());
        Ok(Value::text(text.strip_prefix(prefix).unwrap_or(text)))
    }),
    Function::new("sprig_trimSuffix", &[Word, Word], |_, arguments| {
        let (suffix, text) = (text(arguments, 0)?.as_bytes(), text(arguments, 1)?.as_bytes());
        Ok(Value::text(text.strip_suffix(suffix).unwrap_or(text)))
    }),
    Function::new("sprig_contains", &[Word, Word], |_, arguments| {
        Ok(Value::Bool(find(text(arguments, 1)?.as_bytes(), text(arguments, 0)?.as_bytes()).is_some()))
    }),
    Function::new("sprig_hasPrefix", &[Word, Word], |_, arguments| {
        Ok(Value::Bool(text(arguments, 1)?.as_bytes().starts_with(text(arguments, 0)?.as_bytes())))
    }),
    Function::new("sprig_hasSuffix", &[Word, Word], |_, arguments| {
        Ok(Value::Bool(text(arguments, 1)?.as_bytes().ends_with(text(arguments, 0)?.as_bytes())))
    }),
    Function::new("sprig_splitList", &[Word, Word], |scope, arguments| {
        parts(scope, text(arguments, 1)?.as_bytes(), text(arguments, 0)?.as_bytes())
    }),
    Function::new("sprig_split", &[Word, Word], |scope, arguments| {
        split(scope, text(arguments, 1)?, text(arguments, 0)?, i64::MAX)
    }),
    Function::new("sprig_splitn", &[Word, Int, Word], |scope, arguments| {
        split(scope, text(arguments, 2)?, text(arguments, 0)?, int(arguments, 1)?)
    }),
    Function::new("sprig_join", &[Word, Any], join),
    Function::new("sprig_toStrings", &[Any], |scope, arguments| {
        let values = as_values(any(arguments, 0));
        scope.charge(values.len())?;
        texts_of(values).map(Value::List)
    }),
    Function::new("sprig_base", &[Word], |_, arguments| base(text(arguments, 0)?)),
    Function::new("sprig_dir", &[Word], |_, arguments| directory(text(arguments, 0)?)),
    Function::new("sprig_clean", &[Word], |_, arguments| Ok(Value::from(clean(utf8(text(arguments, 0)?)?).as_str()))),
    Function::new("sprig_ext", &[Word], |_, arguments| extension(text(arguments, 0)?)),
    Function::new("sprig_isAbs", &[Word], |_, arguments| {
        Ok(Value::Bool(text(arguments, 0)?.as_bytes().starts_with(b"/")))
    }),
];

fn utf8(text: &Text) -> Result<&str, Fault> {
    text.as_str().ok_or(Fault::Function("this function works on UTF-8 only"))
}

/// All arguments but nil, each written by `write`, with spaces between.
fn spaced(
    arguments: &[Value],
    write: impl Fn(&mut crate::value::Buffer, &Text) -> Result<(), Fault>,
) -> Result<Value, Fault> {
    written(|out| {
        let mut first = true;
        for value in arguments.iter().filter(|value| !matches!(value, Value::Nil)) {
            if !std::mem::take(&mut first) {
                out.push(b' ')?;
            }
            write(out, &shown(value)?)?;
        }
        Ok(())
    })
}

/// Go's `strings.Title`: a letter behind anything that is no letter, digit or underscore.
fn title(text: &Text) -> Result<Value, Fault> {
    let text = utf8(text)?;
    written(|out| {
        let mut at_start = true;
        for character in text.chars() {
            out.push_char(if at_start { upper(character) } else { character })?;
            at_start = is_separator(character);
        }
        Ok(())
    })
}

fn untitle(text: &Text) -> Result<Value, Fault> {
    let text = utf8(text)?;
    written(|out| {
        let mut at_start = true;
        for character in text.chars() {
            out.push_char(if at_start { lower(character) } else { character })?;
            at_start = character.is_whitespace();
        }
        Ok(())
    })
}

fn is_separator(character: char) -> bool {
    match character {
        '_' => false,
        ascii if ascii.is_ascii() => !ascii.is_ascii_alphanumeric(),
        other => !other.is_alphanumeric() && other.is_whitespace(),
    }
}

/// The first bytes, or with a negative count the last ones.
fn truncate(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let (length, text) = (int(arguments, 0)?, text(arguments, 1)?.as_bytes());
    let kept = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    if kept >= text.len() {
        return Ok(Value::text(text));
    }
    let (from, to) = if length < 0 { (text.len() - kept, text.len()) } else { (0, kept) };
    Ok(Value::text(text.get(from..to).unwrap_or_default()))
}

fn substring(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let text = text(arguments, 2)?.as_bytes();
    let (from, to) = (int(arguments, 0)?, int(arguments, 1)?);
    let to = match usize::try_from(to) {
        Ok(to) if to <= text.len() || from < 0 => to,
        Err(_) if from < 0 => return Err(Fault::OutOfRange),
        _ => text.len(),
    };
    text.get(usize::try_from(from).unwrap_or(0)..to).map(Value::text).ok_or(Fault::OutOfRange)
}

fn indent(arguments: &[Value], before: &str) -> Result<Value, Fault> {
    let (spaces, text) = (count(arguments, 0)?, text(arguments, 1)?);
    written(|out| {
        out.write(before.as_bytes())?;
        for (at, line) in text.as_bytes().split(|byte| *byte == b'\n').enumerate() {
            out.write(if at > 0 { b"\n" } else { b"" })?;
            out.repeat(b" ", spaces)?;
            out.write(line)?;
        }
        Ok(())
    })
}

/// A map from `_0` on, of at most so many parts; the last one holds the rest.
fn split(scope: &mut Scope<'_>, text: &Text, separator: &Text, most: i64) -> Result<Value, Fault> {
    let mut entries = MapBuilder::default();
    let most = usize::try_from(most).unwrap_or(usize::MAX); // a negative one means all
    let found = parts(scope, text.as_bytes(), separator.as_bytes())?;
    if let Value::List(found) = found {
        let mut taken = 0;
        for (at, part) in found.items().iter().take(most).enumerate() {
            let Value::Text(part) = part else { continue };
            let last = at + 1 == most;
            let part = if last {
                Value::text(text.as_bytes().get(taken..).unwrap_or_default())
            } else {
                Value::Text(part.clone())
            };
            taken += match &part {
                Value::Text(part) => part.len() + separator.len(),
                _ => 0,
            };
            entries.insert(Text::from(format!("_{at}").as_str()), part);
        }
    }
    entries.finish(Element::Text).map(Value::Map)
}

fn join(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let values = as_values(any(arguments, 1));
    scope.charge(values.len())?;
    joined(scope, text(arguments, 0)?, texts_of(values)?.items())
}

/// A list's elements, or the one value.
fn as_values(value: &Value) -> &[Value] {
    match value {
        Value::List(list) => list.items(),
        Value::Nil => &[],
        other => std::slice::from_ref(other),
    }
}

fn base(path: &Text) -> Result<Value, Fault> {
    let path = utf8(path)?;
    let trimmed = path.trim_end_matches('/');
    Ok(Value::from(match (path, trimmed) {
        ("", _) => ".",
        (_, "") => "/",
        (_, trimmed) => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }))
}

fn directory(path: &Text) -> Result<Value, Fault> {
    let path = utf8(path)?;
    let end = path.rfind('/').map_or(0, |at| at + 1);
    Ok(Value::from(clean(path.get(..end).unwrap_or_default()).as_str()))
}

fn extension(path: &Text) -> Result<Value, Fault> {
    let path = utf8(path)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    Ok(Value::from(name.rfind('.').and_then(|at| name.get(at..)).unwrap_or_default()))
}

/// Go's `path.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, kept.last()) {
            ("..", Some(last)) if *last != ".." => {
                kept.pop();
            }
            ("..", None) if rooted => {}
            _ => kept.push(part),
        }
    }
    let joined = kept.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
