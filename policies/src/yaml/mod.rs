//! YAML with positions, in two strictnesses.
//!
//! [`documents`] reads what we define ourselves (Grants, annotations): a small subset of YAML in which a text means one
//! thing to every reader. No anchors, aliases, tags, merge keys, duplicate keys, and none of the plain words that YAML
//! 1.1 and 1.2 read differently (`no`, `on`). [`documents_as_kubectl`] reads manifests that others wrote, as kubectl
//! does: aliases and merge keys are expanded within bounds, `0644` is octal, `no` is false.
//! Both refuse deep nesting and large input before they cost anything. Out of scope: writing YAML.

mod read;
mod scalar;

use serde_json::{Map, Number, Value};

pub use self::read::{documents, documents_as_kubectl};
use crate::fault::At;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins; absent for what came from JSON.
    pub at: Option<At>,
    /// What it is.
    pub content: Content,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, with the text that it was written as.
    Number {
        /// Its value.
        value: Number,
        /// Its text in the source.
        text: String,
    },
    /// Text, quoted or not.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in source order, keys unique.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub at: Option<At>,
    /// The key as text.
    pub key: String,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The same value as JSON.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number { value, .. } => Value::Number(value.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// A node without a place.
    pub fn from_json(value: &Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(*value),
            Value::Number(value) => Content::Number { value: value.clone(), text: value.to_string() },
            Value::String(text) => Content::Text(text.clone()),
            Value::Array(items) => Content::List(items.iter().map(Self::from_json).collect()),
            Value::Object(entries) => Content::Map(
                entries
                    .iter()
                    .map(|(key, value)| Entry { at: None, key: key.clone(), value: Self::from_json(value) })
                    .collect(),
            ),
        };
        Self { at: None, content }
    }

    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, in a word for messages.
    pub fn shape(&self) -> &'static str {
        match &self.content {
            Content::Null => "empty",
            Content::Bool(_) => "true or false",
            Content::Number { .. } => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    /// The same without places: for texts whose lines mean nothing to the reader of a message.
    #[must_use]
    pub(crate) fn without_places(mut self) -> Self {
        self.at = None;
        self.content = match self.content {
            Content::List(items) => Content::List(items.into_iter().map(Self::without_places).collect()),
            Content::Map(entries) => Content::Map(
                entries
                    .into_iter()
                    .map(|entry| Entry { at: None, key: entry.key, value: entry.value.without_places() })
                    .collect(),
            ),
            other => other,
        };
        self
    }
}
