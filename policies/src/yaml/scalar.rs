//! What a plain (unquoted) scalar means.

use std::str::FromStr;

use serde_json::Number;

use super::Content;

/// Why a plain scalar is refused where one meaning is wanted.
pub(super) struct Ambiguous;

/// The meaning that kubectl gives to a plain scalar.
pub(super) fn resolve(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" => return Content::Bool(true),
        "false" | "False" | "FALSE" => return Content::Bool(false),
        _ => {}
    }
    if let Some(value) = old_bool(text) {
        return Content::Bool(value);
    }
    match number(text) {
        Some(value) => Content::Number { value, text: text.to_owned() },
        None => Content::Text(text.to_owned()),
    }
}

/// The same, but words that YAML 1.1 and 1.2 read differently have no meaning.
pub(super) fn resolve_strictly(text: &str) -> Result<Content, Ambiguous> {
    if old_bool(text).is_some() { Err(Ambiguous) } else { Ok(resolve(text)) }
}

/// The additional truth values of YAML 1.1.
fn old_bool(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<Number> {
    let first = text.bytes().next()?;
    if text.len() > NUMBER_BYTES || !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return None;
    }
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    match integer(digits) {
        Some(value) if !negative => Some(value.into()),
        Some(value) => 0_i64.checked_sub_unsigned(value).map(Number::from),
        None => float(negative, digits),
    }
}

fn integer(digits: &str) -> Option<u64> {
    let radix = |prefix: &str, radix: u32| digits.strip_prefix(prefix).and_then(|rest| plain_radix(rest, radix));
    radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)).or_else(|| match digits.strip_prefix('0') {
        Some("") => Some(0),
        Some(rest) => plain_radix(rest, 8),
        None => plain_radix(digits, 10),
    })
}

/// Digits only: `from_str_radix` would take a second sign.
fn plain_radix(digits: &str, radix: u32) -> Option<u64> {
    if digits.chars().all(|c| c.is_digit(radix)) { u64::from_str_radix(digits, radix).ok() } else { None }
}

/// JSON has no `.5`, `5.` and `+5`, so those are completed.
fn float(negative: bool, digits: &str) -> Option<Number> {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits_only = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits_only(whole) || !digits_only(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let bare = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if bare.is_empty() || !digits_only(bare) {
            return None;
        }
    }
    let sign = if negative { "-" } else { "" };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    let exponent = exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
    Number::from_str(&format!("{sign}{whole}.{fraction}{exponent}")).ok()
}

/// Longest text that is taken for a number.
const NUMBER_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        super::super::Node { at: None, content: resolve(text) }.to_json().to_string()
    }

    #[test]
    fn plain_scalars_mean_what_kubectl_takes_them_for() {
        for (text, expected) in [
            ("", "null"),
            ("~", "null"),
            ("yes", "true"),
            ("Off", "false"),
            ("0644", "420"),
            ("0x1f", "31"),
            ("-12", "-12"),
            ("+12", "12"),
            ("0", "0"),
            ("0.5", "0.5"),
            (".5", "0.5"),
            ("1e3", "1.0e3"),
            ("089", "89.0"),
            ("1.2.3", "\"1.2.3\""),
            ("12a", "\"12a\""),
            ("-", "\"-\""),
            ("--1", "\"--1\""),
            (".", "\".\""),
            ("0x", "\"0x\""),
            ("2026-11-25", "\"2026-11-25\""),
            ("99999999999999999999", "99999999999999999999.0"),
        ] {
            assert_eq!(json(text).to_ascii_lowercase().replace("e+", "e"), expected, "{text}");
        }
    }

    #[test]
    fn words_of_two_meanings_have_none_in_our_own_files() {
        for word in ["no", "Yes", "ON", "off"] {
            assert!(resolve_strictly(word).is_err(), "{word}");
        }
        assert!(resolve_strictly("true").is_ok());
        assert!(resolve_strictly("y").is_ok(), "no reader in Kubernetes takes it for true");
    }
}
