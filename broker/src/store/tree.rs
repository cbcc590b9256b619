//! `Tree`: JSON with its order and its duplicate keys, so that both can be judged.
//!
//! `serde_json::Value` keeps the last of two equal keys in silence. In a policy both count, and in a token two equal claims
//! are an attack. Out of scope: depth (serde_json stops at 128 levels).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A JSON value with everything that was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number, digits kept where it is a whole one.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// An object, in order, duplicates included.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads JSON.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of `key` in an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A key that some object here holds twice.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        match self {
            Self::Object(entries) => {
                let mut seen = std::collections::BTreeSet::new();
                for (name, value) in entries {
                    if !seen.insert(name) {
                        return Some(name);
                    }
                    if let Some(found) = value.duplicate() {
                        return Some(found);
                    }
                }
                None
            }
            Self::List(items) => items.iter().find_map(Self::duplicate),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree, E> {
        Ok(Number::from_f64(number).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some((name, value)) = access.next_entry::<String, Tree>()? {
            // With exact numbers on, serde_json hands a number over as an object with one reserved key.
            if name == NUMBER_TOKEN {
                let Tree::Text(digits) = value else { return Err(A::Error::custom("a number without digits")) };
                return digits.parse().map(Tree::Number).map_err(|_| A::Error::custom("no number"));
            }
            entries.push((name, value));
        }
        Ok(Tree::Object(entries))
    }
}

/// The reserved key of serde_json's `arbitrary_precision`.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_kept_and_found_at_any_depth() {
        let tree = Tree::parse(br#"{"a":[{"x":1,"x":2}]}"#).unwrap();
        assert_eq!(tree.duplicate(), Some("x"));
        assert_eq!(Tree::parse(br#"{"a":{"b":1},"b":1}"#).unwrap().duplicate(), None);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let tree = Tree::parse(br#"{"n":123456789012345678901234567890,"f":1.50,"i":-3}"#).unwrap();
        let digits = |key: &str| match tree.get(key) {
            Some(Tree::Number(number)) => number.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!([digits("n"), digits("f"), digits("i")], ["123456789012345678901234567890", "1.50", "-3"]);
    }
}
