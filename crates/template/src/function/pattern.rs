//! Regular expressions: the Vault helpers' and Sprig's.
//!
//! The engine runs in linear time but does not know Unicode classes such as `\p{L}`, which are errors here. It works on
//! UTF-8 only. Time is bounded by steps for pattern times text.

use regex_lite::{Regex, RegexBuilder};

use super::arguments::{int, text};
use super::builtin::written;
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{List, Text, Value};

use Parameter::{Int, Text as Word};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("regexMatch", &[Word, Word], matches),
    Function::new("regexReplaceAll", &[Word, Word, Word], |scope, arguments| {
        replace(scope, text(arguments, 0)?, text(arguments, 2)?, text(arguments, 1)?, true)
    }),
    Function::new("sprig_regexMatch", &[Word, Word], matches),
    Function::new("sprig_mustRegexMatch", &[Word, Word], matches),
    Function::new("sprig_regexReplaceAll", &[Word, Word, Word], replace_sprig),
    Function::new("sprig_mustRegexReplaceAll", &[Word, Word, Word], replace_sprig),
    Function::new("sprig_regexReplaceAllLiteral", &[Word, Word, Word], |scope, arguments| {
        replace(scope, text(arguments, 0)?, text(arguments, 1)?, text(arguments, 2)?, false)
    }),
    Function::new("sprig_regexFind", &[Word, Word], find),
    Function::new("sprig_mustRegexFind", &[Word, Word], find),
    Function::new("sprig_regexFindAll", &[Word, Word, Int], find_all),
    Function::new("sprig_regexSplit", &[Word, Word, Int], split),
    Function::new("sprig_regexQuoteMeta", &[Word], |_, arguments| {
        let literal = text(arguments, 0)?;
        written(|out| {
            literal.as_bytes().iter().try_for_each(|byte| {
                out.write(if br"\.+*?()|[]{}^$".contains(byte) { br"\" } else { b"" })?;
                out.push(*byte)
            })
        })
    }),
];

/// Compiled patterns over this are refused; a pattern of a hundred characters takes a few KiB.
const PATTERN_LIMIT_BYTES: usize = 256 * 1024;

/// Pattern bytes times text bytes that one step pays for.
const WORK_PER_STEP: usize = 16;

fn compile(scope: &mut Scope<'_>, pattern: &Text, subject: &Text) -> Result<Regex, Fault> {
    scope.charge(1 + pattern.len().saturating_mul(subject.len() + 64) / WORK_PER_STEP)?;
    RegexBuilder::new(as_str(pattern)?)
        .size_limit(PATTERN_LIMIT_BYTES)
        .build()
        .map_err(|_| Fault::Function("the pattern is not a regular expression that this engine knows"))
}

fn as_str(text: &Text) -> Result<&str, Fault> {
    text.as_str().ok_or(Fault::Function("regular expressions work on UTF-8 only"))
}

fn matches(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let subject = text(arguments, 1)?;
    let regex = compile(scope, text(arguments, 0)?, subject)?;
    Ok(Value::Bool(regex.is_match(as_str(subject)?)))
}

fn replace_sprig(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    replace(scope, text(arguments, 0)?, text(arguments, 1)?, text(arguments, 2)?, true)
}

fn replace(scope: &mut Scope<'_>, pattern: &Text, subject: &Text, by: &Text, expand: bool) -> Result<Value, Fault> {
    let regex = compile(scope, pattern, subject)?;
    let (subject, by) = (as_str(subject)?, as_str(by)?);
    let mut end = 0;
    written(|out| {
        for captures in regex.captures_iter(subject) {
            let Some(whole) = captures.get(0) else { continue };
            scope.charge(1)?;
            out.write(subject.get(end..whole.start()).unwrap_or_default().as_bytes())?;
            if expand {
                let mut expanded = zeroize::Zeroizing::new(String::new());
                captures.expand(by, &mut expanded);
                out.write(expanded.as_bytes())?;
            } else {
                out.write(by.as_bytes())?;
            }
            end = whole.end();
        }
        out.write(subject.get(end..).unwrap_or_default().as_bytes())
    })
}

fn find(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let subject = text(arguments, 1)?;
    let regex = compile(scope, text(arguments, 0)?, subject)?;
    Ok(Value::from(regex.find(as_str(subject)?).map_or("", |found| found.as_str())))
}

fn find_all(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let subject = text(arguments, 1)?;
    let regex = compile(scope, text(arguments, 0)?, subject)?;
    let most = usize::try_from(int(arguments, 2)?).unwrap_or(usize::MAX);
    let found = regex.find_iter(as_str(subject)?).take(most).map(|found| Text::from(found.as_str()));
    Ok(Value::List(List::of_texts(found)))
}

fn split(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let subject = text(arguments, 1)?;
    let regex = compile(scope, text(arguments, 0)?, subject)?;
    let subject = as_str(subject)?;
    let parts: Vec<_> = match int(arguments, 2)? {
        0 => Vec::new(),
        most => regex.splitn(subject, usize::try_from(most).unwrap_or(usize::MAX)).map(Text::from).collect(),
    };
    Ok(Value::List(List::of_texts(parts)))
}
