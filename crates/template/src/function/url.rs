//! Sprig's `urlParse` and `urlJoin`, the way Go's `net/url` takes addresses apart and puts them together.

use super::arguments::{map, text};
use super::builtin::written;
use super::sprig_words::percent_encoded;
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Element, Map, MapBuilder, Text, Value};
use zeroize::Zeroizing;

use Parameter::{Map as Table, Text as Word};

pub(super) const FUNCTIONS: &[Function] =
    &[Function::new("sprig_urlParse", &[Word], parse), Function::new("sprig_urlJoin", &[Table], join)];

const NOT_URL: Fault = Fault::Function("the text is not a URL");

/// Which characters may stand unescaped, beyond letters, digits and `-_.~`.
const IN_PATH: &[u8] = b"$&+,/:;=@";
const IN_USER: &[u8] = b"$&+,;=";
const IN_HOST: &[u8] = b"!$&'()*+,;=:[]<>\"";
const IN_FRAGMENT: &[u8] = b"$&+,/:;=?@!()*";

fn parse(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let text = text(arguments, 0)?.as_str().ok_or(NOT_URL)?;
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(NOT_URL);
    }
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = scheme(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut opaque, mut authority, mut path) = ("", "", rest);
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            (opaque, path) = (rest, "");
        } else if rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err(NOT_URL);
        }
    } else if let Some(after) = rest.strip_prefix("//").filter(|_| !scheme.is_empty() || !rest.starts_with("///")) {
        (authority, path) = after.split_at_checked(after.find('/').unwrap_or(after.len())).unwrap_or((after, ""));
    }
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let host = host_of(host)?;
    let mut entries = MapBuilder::default();
    let mut put = |name: &str, value: Value| entries.insert(Text::from(name), value);
    put("scheme", Value::from(scheme.to_ascii_lowercase().as_str()));
    put("opaque", Value::from(opaque));
    put("hostname", Value::text(hostname(host.as_bytes())));
    put("host", Value::Text(host));
    put("path", unescaped(path)?);
    put("query", Value::from(query));
    put("fragment", unescaped(fragment)?);
    put("userinfo", user.map_or(Ok(Value::from("")), userinfo)?);
    entries.finish(Element::Any).map(Value::Map)
}

/// The scheme without its colon, and what follows.
fn scheme(text: &str) -> Result<(&str, &str), Fault> {
    for (at, character) in text.char_indices() {
        match character {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at > 0 => return text.split_once(':').ok_or(NOT_URL),
            ':' => return Err(NOT_URL),
            _ => break,
        }
    }
    Ok(("", text))
}

fn host_of(host: &str) -> Result<Text, Fault> {
    let after = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or(NOT_URL)?.1,
        None => host.rfind(':').and_then(|at| host.get(at..)).unwrap_or_default(),
    };
    let port_fits = after.is_empty() || after.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-_.~%".contains(&byte) || IN_HOST.contains(&byte)
    };
    // escapes are for characters beyond ASCII only
    let escapes_fit = host.split('%').skip(1).all(|part| part.bytes().next().is_some_and(|digit| digit >= b'8'));
    if !port_fits || !host.bytes().all(plain) || !escapes_fit {
        return Err(NOT_URL);
    }
    let Value::Text(host) = unescaped(host)? else { return Err(NOT_URL) };
    Ok(host)
}

fn hostname(host: &[u8]) -> &[u8] {
    if let Some(inner) = host.strip_prefix(b"[") {
        return inner.split(|byte| *byte == b']').next().unwrap_or(inner);
    }
    match host.iter().rposition(|byte| *byte == b':') {
        Some(at) => host.get(..at).unwrap_or(host),
        None => host,
    }
}

/// User and password, unescaped and escaped again the one right way.
fn userinfo(user: &str) -> Result<Value, Fault> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(valid) {
        return Err(NOT_URL);
    }
    let (name, password) = user.split_once(':').map_or((user, None), |(name, password)| (name, Some(password)));
    let (name, password) = (unescaped(name)?, password.map(unescaped).transpose()?);
    written(|out| {
        for (before, part) in [("", Some(name)), (":", password)] {
            if let Some(Value::Text(part)) = part {
                out.write(before.as_bytes())?;
                percent_encoded(out, part.as_bytes(), IN_USER)?;
            }
        }
        Ok(())
    })
}

fn unescaped(text: &str) -> Result<Value, Fault> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        bytes.push(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(NOT_URL)?);
        bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    Ok(Value::text(bytes.as_slice()))
}

fn join(_: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let parts = map(arguments, 0)?;
    let part = |name: &str| part(&parts, name);
    let (scheme, host, path, opaque) = (part("scheme")?, part("host")?, part("path")?, part("opaque")?);
    let (query, fragment, user) = (part("query")?, part("fragment")?, part("userinfo")?);
    let user = match user.as_str() {
        Some("") => None,
        Some(user) => Some(userinfo(user)?),
        None => return Err(NOT_URL),
    };
    written(|out| {
        if !scheme.is_empty() {
            out.write(scheme.as_bytes())?;
            out.push(b':')?;
        }
        if opaque.is_empty() {
            if !host.is_empty() || user.is_some() || !(scheme.is_empty() || path.is_empty()) {
                out.write(b"//")?;
            }
            if let Some(Value::Text(user)) = &user {
                out.write(user.as_bytes())?;
                out.push(b'@')?;
            }
            percent_encoded(out, host.as_bytes(), IN_HOST)?;
            let relative = !path.is_empty() && !path.as_bytes().starts_with(b"/");
            if relative && !host.is_empty() {
                out.push(b'/')?;
            }
            let first = path.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
            if out.len() == 0 && first.contains(&b':') {
                out.write(b"./")?;
            }
            let whole = path.as_bytes() == b"*";
            percent_encoded(out, path.as_bytes(), if whole { b"*" } else { IN_PATH })?;
        } else {
            out.write(opaque.as_bytes())?;
        }
        for (mark, text) in [(b"?", &query), (b"#", &fragment)] {
            if text.is_empty() {
                continue;
            }
            out.write(mark)?;
            if mark == b"?" {
                out.write(text.as_bytes())?;
            } else {
                percent_encoded(out, text.as_bytes(), IN_FRAGMENT)?;
            }
        }
        Ok(())
    })
}

/// A part of an address, absent where the map lacks it.
fn part(parts: &Map, name: &str) -> Result<Text, Fault> {
    match parts.find(name.as_bytes()) {
        None => Ok(Text::from("")),
        Some(Value::Text(text) | Value::Number(text)) => Ok(text.clone()),
        Some(other) => Err(super::arguments::wrong("string", other)),
    }
}
