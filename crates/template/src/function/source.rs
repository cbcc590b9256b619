//! What comes from outside: secrets, lists, certificates, environment, files; and extra outputs.
//!
//! None of these exist in our own dialect, where the Grant alone says what is read and written.

use vouchsafe_model::Secret;

use super::arguments::text;
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::{OutputFile, Scope};
use crate::value::{List, Object, Text, Value};

use Parameter::Text as Word;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("secret", &[Word], secret).and_more(Word).drop_in_only(),
    Function::new("secrets", &[Word], secrets).drop_in_only(),
    Function::new("pkiCert", &[Word], certificate).and_more(Word).drop_in_only(),
    Function::new("env", &[Word], |scope, arguments| environment(scope, arguments, Absent::Empty)).drop_in_only(),
    Function::new("mustEnv", &[Word], |scope, arguments| environment(scope, arguments, Absent::Error)).drop_in_only(),
    Function::new("envOrDefault", &[Word, Word], |scope, arguments| environment(scope, arguments, Absent::Second))
        .drop_in_only(),
    Function::new("file", &[Word], file).drop_in_only(),
    Function::new("writeToFile", &[Word, Word, Word, Word, Word], write_to_file).and_more(Word).drop_in_only(),
    Function::new("scratch", &[], |_, _| Ok(Value::Object(Object::scratch()))),
];

fn secret(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let (path, pairs) = request(arguments)?;
    scope.resolver.secret(path, &pairs)?.ok_or(Fault::SecretUnavailable)
}

fn secrets(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let path = trimmed_path(text(arguments, 0)?)?;
    if path.is_empty() {
        return Ok(Value::List(List::of_texts([])));
    }
    let names = scope.resolver.list(path)?.ok_or(Fault::SecretUnavailable)?;
    scope.charge(names.len())?;
    Ok(Value::List(List::of_texts(names)))
}

fn certificate(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let (path, pairs) = request(arguments)?;
    scope.resolver.certificate(path, &pairs)?.ok_or(Fault::SecretUnavailable)
}

/// A path and what to write to it.
type Request<'a> = (&'a str, Vec<(Text, Text)>);

/// The path and its `key=value` arguments: only the first `=` splits, both sides are trimmed, empty arguments skipped.
fn request(arguments: &[Value]) -> Result<Request<'_>, Fault> {
    let path = trimmed_path(text(arguments, 0)?)?;
    let mut pairs = Vec::with_capacity(arguments.len().saturating_sub(1));
    for at in 1..arguments.len() {
        let argument = text(arguments, at)?.as_bytes();
        if argument.is_empty() {
            continue;
        }
        let split = argument.iter().position(|byte| *byte == b'=');
        let (key, value) = split
            .and_then(|split| argument.split_at_checked(split))
            .ok_or(Fault::Function("an argument behind the path is not of the form key=value"))?;
        let value = value.get(1..).unwrap_or_default();
        pairs.push((Text::from(key.trim_ascii()), Text::from(value.trim_ascii())));
    }
    Ok((path, pairs))
}

fn trimmed_path(path: &Text) -> Result<&str, Fault> {
    path.as_str().map(str::trim).ok_or(Fault::Function("the path is not UTF-8"))
}

enum Absent {
    Empty,
    Error,
    Second,
}

fn environment(scope: &mut Scope<'_>, arguments: &[Value], absent: Absent) -> Result<Value, Fault> {
    let name = text(arguments, 0)?.as_str().ok_or(Fault::Function("the variable's name is not UTF-8"))?;
    // EXPOSE: the value goes into a wiped buffer of the rendering
    let value = scope.resolver.environment(name).map(|value| Text::from(value.expose()));
    match (value.filter(|value| !value.is_empty()), absent) {
        (Some(value), _) => Ok(Value::Text(value)),
        (None, Absent::Empty) => Ok(Value::from("")),
        (None, Absent::Error) => Err(Fault::Function("the required environment variable is empty or not set")),
        (None, Absent::Second) => text(arguments, 1).cloned().map(Value::Text),
    }
}

fn file(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let path = text(arguments, 0)?.as_str().ok_or(Fault::Function("the path is not UTF-8"))?;
    let content = scope.resolver.file(path)?.ok_or(Fault::SecretUnavailable)?;
    // EXPOSE: the content goes into a wiped buffer of the rendering
    Ok(Value::text(content.expose()))
}

/// `writeToFile path user group permissions [flags] content`: noted here, written by the caller with the main output.
fn write_to_file(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let word = |at| text(arguments, at)?.as_str().map(str::to_owned).ok_or(Fault::Function("an argument is not UTF-8"));
    let mode = u32::from_str_radix(&word(3)?, 8).ok().filter(|mode| *mode <= MODE_BITS);
    let mode = mode.ok_or(Fault::Function("the permissions are not octal, such as 0640"))?;
    let last = arguments.len() - 1;
    let flags = if arguments.len() == 6 { word(4)? } else { String::new() };
    let mut content = text(arguments, last)?.as_bytes().to_vec();
    if flags.contains("newline") {
        content.reserve_exact(1);
        content.push(b'\n');
    }
    scope.add_file(OutputFile {
        path: word(0)?,
        user: word(1)?,
        group: word(2)?,
        mode,
        append: flags.contains("append"),
        content: Secret::new(content),
    })?;
    Ok(Value::from(""))
}

/// Permission bits with set-uid, set-gid and sticky.
const MODE_BITS: u32 = 0o7777;
