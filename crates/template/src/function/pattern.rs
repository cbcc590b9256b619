//! Regular expressions: the Vault helpers' and Sprig's.
//!
//! The engine runs in linear time but does not know Unicode classes such as `\p{L}`, which are errors here: of the
//! compilation where the pattern stands literally in the template. It works on UTF-8 only. Time is bounded by steps for
//! pattern times text.

use regex_lite::{Regex, RegexBuilder};
use zeroize::Zeroizing;

use super::arguments::{int, text};
use super::builtin::written;
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Element, List, Text, Value};

use Parameter::{Int, Text as Word};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("regexMatch", &[Word, Word], matches),
    Function::new("regexReplaceAll", &[Word, Word, Word], |scope, arguments| {
        replace(scope, text(arguments, 0)?, text(arguments, 2)?, text(arguments, 1)?, true)
    }),
    Function::new("sprig_regexMatch", &[Word, Word], matches),
    Function::new("sprig_regexReplaceAll", &[Word, Word, Word], replace_sprig),
    Function::new("sprig_regexReplaceAllLiteral", &[Word, Word, Word], |scope, arguments| {
        replace(scope, text(arguments, 0)?, text(arguments, 1)?, text(arguments, 2)?, false)
    }),
    Function::new("sprig_regexFind", &[Word, Word], find),
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
const WORK_PER_STEP: usize = 4;

fn compile(scope: &mut Scope<'_>, pattern: &Text, subject: &Text) -> Result<Regex, Fault> {
    scope.charge(1 + pattern.len().saturating_mul(subject.len() + 64) / WORK_PER_STEP)?;
    build(as_str(pattern)?)
        .map_err(|_| Fault::Function("the pattern is not a regular expression that this engine knows"))
}

fn build(pattern: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(&spelt_out(pattern)).size_limit(PATTERN_LIMIT_BYTES).build()
}

/// What is wrong with a pattern that stands literally in a template.
pub(crate) fn problem(pattern: &Text) -> Option<String> {
    match pattern.as_str().map(build) {
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(error.to_string()),
        None => Some("it is not UTF-8".to_owned()),
    }
}

/// Go's spelling in that of our engine: there `{` is a literal where it counts nothing, `[` is one inside of a class, `&`
/// and `~` always are, and `\Q…\E` quotes.
fn spelt_out(pattern: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(pattern.len() * 2));
    let mut rest = pattern;
    // Some(n): inside of a class, n characters behind its opening
    let mut class: Option<usize> = None;
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        if let Some(quoted) = rest.strip_prefix("\\Q").filter(|_| class.is_none()) {
            let (text, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            text.chars().for_each(|character| push_literal(&mut out, character));
            rest = after;
            continue;
        }
        match (next, class) {
            ('\\', _) => {
                length += rest.get(length..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                out.push_str(rest.get(..length).unwrap_or_default());
            }
            ('{', None) if !counts(rest) => push_literal(&mut out, next),
            ('[', Some(_)) if rest.starts_with("[:") && rest.contains(":]") => {
                length = rest.find(":]").map_or(length, |end| end + 2);
                out.push_str(rest.get(..length).unwrap_or_default());
            }
            ('[' | '&' | '~', Some(_)) => push_literal(&mut out, next),
            _ => out.push(next),
        }
        class = match (next, class) {
            ('[', None) | ('^', Some(0)) => Some(0),
            (']', Some(at)) if at > 0 => None,
            (_, Some(at)) => Some(at + 1),
            (_, None) => None,
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

fn push_literal(out: &mut String, character: char) {
    if character.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(character);
}

/// Whether a brace is the beginning of a repetition: `{2}`, `{2,}`, `{2,3}`.
fn counts(rest: &str) -> bool {
    let Some((inner, _)) = rest.get(1..).unwrap_or_default().split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
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
                let mut expanded = Zeroizing::new(String::new());
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
    let found = regex.find_iter(as_str(subject)?).take(most).map(|found| Value::from(found.as_str()));
    List::or_nil(found.collect(), Element::Text).map(Value::List)
}

/// As Go splits: an empty match at the beginning or the end cuts nothing off.
fn split(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let subject = text(arguments, 1)?;
    let regex = compile(scope, text(arguments, 0)?, subject)?;
    let whole = as_str(subject)?;
    let most = match int(arguments, 2)? {
        0 => return List::or_nil(Vec::new(), Element::Text).map(Value::List),
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(whole) {
        if parts.len() + 1 >= most {
            break;
        }
        scope.charge(1)?;
        end = found.start();
        if found.end() != 0 {
            parts.push(Text::from(whole.get(begin..end).unwrap_or_default()));
        }
        begin = found.end();
    }
    if end != whole.len() || (whole.is_empty() && !text(arguments, 0)?.is_empty()) {
        parts.push(Text::from(whole.get(begin..).unwrap_or_default()));
    }
    Ok(Value::List(List::of_texts(parts)))
}
