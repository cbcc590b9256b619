//! JSON in and out, the way Go's `encoding/json` does both.

mod read;
mod write;

pub(crate) use self::read::{Numbers, read};
pub(crate) use self::write::{Style, write};
use crate::error::Fault;
use crate::limits::{Limit, VALUE_DEPTH_LIMIT};
use crate::value::{Text, Value};

/// From a document that serde_json read; `depth` is how deep it stands in another one.
pub(crate) fn from_document(value: &serde_json::Value, depth: u16) -> Result<Value, Fault> {
    if depth > VALUE_DEPTH_LIMIT {
        return Err(Fault::Limit(Limit::ValueDepth));
    }
    match value {
        serde_json::Value::Null => Ok(Value::Nil),
        serde_json::Value::Bool(truth) => Ok(Value::Bool(*truth)),
        serde_json::Value::Number(number) => Ok(Value::Number(Text::from(number.as_str()))),
        serde_json::Value::String(text) => Ok(Value::from(text.as_str())),
        serde_json::Value::Array(items) => {
            let items: Result<_, _> = items.iter().map(|item| from_document(item, depth + 1)).collect();
            Value::list(items?)
        }
        serde_json::Value::Object(entries) => {
            let entry = |(key, value): (&String, _)| Ok((Text::from(key.as_str()), from_document(value, depth + 1)?));
            let entries: Result<Vec<_>, Fault> = entries.iter().map(entry).collect();
            Value::map(entries?)
        }
    }
}
