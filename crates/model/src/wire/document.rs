//! `Document`: a JSON object whose values are secret, and the KV v2 read made of it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::WireError;
use crate::name::KeyName;
use crate::secret::Secret;

/// A JSON object whose values are secret: no `Debug` of its content, no `Clone`, no `Serialize`.
///
/// Its buffers are plain heap; the programs' zeroizing allocator wipes them on release.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Document(Map<String, Value>);

impl Document {
    /// Wraps an object.
    pub fn new(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// The object itself, for rendering and storing. Each use counts like [`Secret::expose`].
    pub fn expose(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Takes the object out. Counts like [`Secret::expose`].
    pub fn into_inner(self) -> Map<String, Value> {
        self.0
    }

    /// Names of the keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Value of one key as bytes: text as it is, numbers and booleans as written, lists and objects as compact JSON.
    /// `None` where the key is missing or null.
    pub fn value(&self, key: &KeyName) -> Option<Secret> {
        match self.0.get(key.as_str())? {
            Value::Null => None,
            Value::String(text) => Some(Secret::new(text.as_bytes().to_vec())),
            other => Some(Secret::from(other.to_string())),
        }
    }

    /// The `version` that a KV v2 write answers with: a number, no secret.
    pub fn version(&self) -> Option<u64> {
        self.0.get("version")?.as_u64()
    }

    /// Takes the object stored under `field`.
    fn take_object(&mut self, field: &'static str) -> Option<Map<String, Value>> {
        match self.0.remove(field) {
            Some(Value::Object(map)) => Some(map),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "<document of {} keys>", self.0.len())
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// What `GET MOUNT/data/PATH` holds.
#[derive(Debug)]
pub struct KvRead {
    /// The secret; `None` where this version is deleted or destroyed.
    pub data: Option<Document>,
    /// Version, from 1.
    pub version: u64,
    /// RFC 3339 time of the write, as the server wrote it.
    pub created_time: String,
    /// Whether the version is destroyed for good.
    pub destroyed: bool,
}

impl KvRead {
    /// Decodes the `data` of an envelope (KV v2 `data.data` and `data.metadata`).
    pub fn from_data(mut data: Document) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        struct Metadata {
            version: u64,
            #[serde(default)]
            created_time: String,
            #[serde(default)]
            destroyed: bool,
        }
        let metadata = data.take_object("metadata").ok_or(WireError::Absent("data.metadata"))?;
        let metadata: Metadata = serde_json::from_value(Value::Object(metadata))?;
        let values = data.take_object("data").map(Document::new);
        Ok(Self {
            data: values,
            version: metadata.version,
            created_time: metadata.created_time,
            destroyed: metadata.destroyed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn values_come_out_byte_exact() {
        let document = document(r#"{"s":"a\n","n":1.50,"b":true,"l":[1,"x"],"z":null}"#);
        let text =
            |key: &str| document.value(&key.parse().unwrap()).map(|s| String::from_utf8(s.expose().to_vec()).unwrap());
        assert_eq!(text("s").as_deref(), Some("a\n"));
        assert_eq!(text("n").as_deref(), Some("1.50"));
        assert_eq!(text("b").as_deref(), Some("true"));
        assert_eq!(text("l").as_deref(), Some(r#"[1,"x"]"#));
        assert_eq!(text("z"), None);
        assert_eq!(text("absent"), None);
    }

    #[test]
    fn debug_text_shows_a_count_only() {
        assert_eq!(format!("{:?}", document(r#"{"password":"hunter2"}"#)), "<document of 1 keys>");
    }

    #[test]
    fn a_deleted_version_has_metadata_and_no_data() {
        let read = KvRead::from_data(document(
            r#"{"data":null,"metadata":{"version":3,"destroyed":true,"created_time":"t"}}"#,
        ))
        .unwrap();
        assert!(read.data.is_none() && read.destroyed && read.version == 3);
    }

    #[test]
    fn an_error_of_a_wrong_shape_repeats_nothing() {
        let error = KvRead::from_data(document(r#"{"data":{},"metadata":{"version":"hunter2"}}"#)).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
