//! `Fields`: parameters of a request, read as loosely as Vault reads them.
//!
//! Vault takes `"5"` for 5, `"a,b"` for a list and `"1h"` or 3600 for a duration; clients rely on it. What cannot be read
//! that way is refused with the field's name. Unknown fields are ignored, as there. Out of scope: KV data, which stays as
//! it was sent, and roles and policies, whose own modules check what the values mean.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use vouchsafe_model::Secret;

use super::envelope::{Object, Refusal};

/// Parameters of one request.
#[derive(Default)]
pub(crate) struct Fields(Object);

impl Fields {
    /// From a body: nothing, or a JSON object.
    pub(crate) fn from_body(body: &Secret) -> Result<Self, Refusal> {
        // EXPOSE: decoding is what the body came for.
        let bytes = body.expose();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match serde_json::from_slice::<Value>(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(Value::Null) => Ok(Self::default()),
            Ok(_) => Err(Refusal::bad("error parsing JSON: the body must be a JSON object")),
            Err(error) => Err(Refusal::bad(format!(
                "error parsing JSON: no JSON at line {}, column {}",
                error.line(),
                error.column()
            ))),
        }
    }

    /// From a query.
    pub(crate) fn from_query(query: &[(String, String)]) -> Self {
        Self(query.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect())
    }

    /// Whether nothing was sent at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that was sent.
    pub(crate) fn all(&self) -> &Object {
        &self.0
    }

    /// Everything that was sent.
    pub(crate) fn into_object(self) -> Object {
        self.0
    }

    /// Whether the field was sent; `null` counts as not sent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The value as sent; `null` counts as not sent.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text; numbers and booleans count as their spelling.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.raw(name).map(|value| text_of(value).ok_or_else(|| wrong(name, "a text"))).transpose()
    }

    /// A text that is never shown; empty counts as not sent.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<Secret>, Refusal> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()).map(Secret::from))
    }

    /// A whole number.
    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.raw(name).map(|value| int_of(value).ok_or_else(|| wrong(name, "a whole number"))).transpose()
    }

    /// A whole number from 0 on.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(number) = self.int(name)? else { return Ok(None) };
        u64::try_from(number).map(Some).map_err(|_| wrong(name, "a whole number from 0 on"))
    }

    /// A boolean.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let read = |value: &Value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => number.as_i64().map(|number| number != 0),
            Value::String(text) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
                "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
                _ => None,
            },
            _ => None,
        };
        self.raw(name).map(|value| read(value).ok_or_else(|| wrong(name, "true or false"))).transpose()
    }

    /// A duration in seconds: a number, or a text such as `"90"`, `"1h30m"`, `"2d"`.
    pub(crate) fn seconds(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let read = |value: &Value| match value {
            Value::String(text) => parse_seconds(text),
            other => int_of(other),
        };
        self.raw(name)
            .map(|value| read(value).ok_or_else(|| wrong(name, "a duration, as in \"1h\" or 3600")))
            .transpose()
    }

    /// A list of texts: a list, or one text split at commas. Entries are trimmed, empty ones dropped.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let texts: Option<Vec<String>> = match value {
            Value::Array(items) => items.iter().map(text_of).collect(),
            other => text_of(other).map(|text| text.split(',').map(str::to_owned).collect()),
        };
        let texts = texts.ok_or_else(|| wrong(name, "a list of texts"))?;
        Ok(Some(texts.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()))
    }

    /// A list of texts as they are: no splitting, no trimming (PEM blocks hold no commas, but they hold lines).
    pub(crate) fn blocks(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        match self.raw(name) {
            Some(Value::Array(items)) => {
                items.iter().map(text_of).collect::<Option<_>>().map(Some).ok_or_else(|| wrong(name, "a list of texts"))
            }
            _ => self.texts(name),
        }
    }

    /// A list of whole numbers, or one.
    pub(crate) fn ints(&self, name: &str) -> Result<Vec<i64>, Refusal> {
        let numbers: Option<Vec<i64>> = match self.raw(name) {
            None => Some(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(int_of).collect(),
            Some(Value::String(text)) => {
                text.split(',').filter(|part| !part.is_empty()).map(|part| part.trim().parse().ok()).collect()
            }
            Some(other) => int_of(other).map(|number| vec![number]),
        };
        numbers.ok_or_else(|| wrong(name, "a list of whole numbers"))
    }

    /// An object.
    pub(crate) fn object(&self, name: &str) -> Result<Option<&Object>, Refusal> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(wrong(name, "an object")),
        }
    }

    /// An object of texts.
    pub(crate) fn text_map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Refusal> {
        let Some(map) = self.object(name)? else { return Ok(None) };
        let texts = map.iter().map(|(key, value)| Some((key.clone(), text_of(value)?))).collect::<Option<_>>();
        texts.map(Some).ok_or_else(|| wrong(name, "an object of texts"))
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// A text, number or boolean as text.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A whole number, also one in a text.
pub(crate) fn int_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) if text.is_empty() => Some(0),
        Value::String(text) => text.parse().ok(),
        Value::Bool(flag) => Some(i64::from(*flag)),
        _ => None,
    }
}

/// Seconds of `90`, `90s`, `1h30m`, `2d`, `-1`; fractions of a second are cut off.
pub(crate) fn parse_seconds(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return (!negative).then_some(0);
    }
    let mut milliseconds: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let number: i64 = number.parse().ok()?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit = match unit {
            "" if after.is_empty() && milliseconds == 0 => 1000,
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        milliseconds = milliseconds.checked_add(number.checked_mul(unit)?)?;
        rest = after;
    }
    let seconds = milliseconds / 1000;
    Some(if negative { -seconds } else { seconds })
}

/// A duration as Go writes it: `0s`, `1m30s`, `768h0m0s`.
pub(crate) fn go_duration(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let all = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    if hours > 0 {
        format!("{sign}{hours}h{minutes}m{seconds}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m{seconds}s")
    } else {
        format!("{sign}{seconds}s")
    }
}

/// The same without zeros at its end: `768h`, `1h30m`.
pub(crate) fn short_duration(seconds: i64) -> String {
    let full = go_duration(seconds);
    match full
        .strip_suffix("m0s")
        .map(|hours| hours.strip_suffix("h0").map_or(format!("{hours}m"), |h| format!("{h}h")))
    {
        Some(short) => short,
        None => full,
    }
}

fn wrong(name: &str, expected: &str) -> Refusal {
    Refusal::bad(format!("Field validation failed: error converting input for field {name:?}: must be {expected}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> Fields {
        Fields::from_body(&Secret::from(value.to_string())).unwrap_or_default()
    }

    #[test]
    fn values_are_read_as_loosely_as_vault_reads_them() {
        let fields = fields(&json!({
            "n": "5", "b": "true", "t": "1h30m", "s": 90, "csv": " a, b,", "list": ["a", 1], "map": {"k": 1}, "null": null
        }));
        assert_eq!(fields.int("n").unwrap(), Some(5));
        assert_eq!(fields.flag("b").unwrap(), Some(true));
        assert_eq!(fields.seconds("t").unwrap(), Some(5400));
        assert_eq!(fields.seconds("s").unwrap(), Some(90));
        assert_eq!(fields.texts("csv").unwrap().unwrap(), ["a", "b"]);
        assert_eq!(fields.texts("list").unwrap().unwrap(), ["a", "1"]);
        assert_eq!(fields.text_map("map").unwrap().unwrap().get("k").map(String::as_str), Some("1"));
        assert!(!fields.has("null") && !fields.has("absent"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_field_name_and_without_its_value() {
        let fields = fields(&json!({"n": "hunter2", "m": {}, "o": "hunter2"}));
        for refusal in [fields.int("n").err(), fields.text("m").err(), fields.object("o").err()] {
            let Some(Refusal::Said { status: 400, errors }) = refusal else { panic!() };
            assert!(!errors[0].contains("hunter2") && errors[0].contains("field"), "{errors:?}");
        }
    }

    #[test]
    fn bodies_are_objects_or_nothing() {
        assert!(Fields::from_body(&Secret::from(" ".to_owned())).is_ok());
        for bad in ["[]", "1", "{", "nope"] {
            assert!(Fields::from_body(&Secret::from(bad.to_owned())).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        assert_eq!([0, 59, 90, 3600, 2_764_800].map(go_duration), ["0s", "59s", "1m30s", "1h0m0s", "768h0m0s"]);
        assert_eq!([0, 90, 60, 5400, 36_000].map(short_duration), ["0s", "1m30s", "1m", "1h30m", "10h"]);
        assert_eq!(parse_seconds("2d"), Some(172_800));
        assert_eq!(parse_seconds("-1"), Some(-1));
        for bad in ["x", "1y", "h", "1h30", "99999999999999999999h", "--1"] {
            assert_eq!(parse_seconds(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(seconds in -10_000_000_i64..10_000_000) {
            prop_assert_eq!(parse_seconds(&go_duration(seconds)), Some(seconds));
        }

        #[test]
        fn no_text_makes_the_duration_parser_panic(text in ".{0,20}") {
            let _ = parse_seconds(&text);
        }
    }
}
