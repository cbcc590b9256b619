//! Lists and maps: immutable, shared, with a known depth, so that nothing recurses without bound.

use std::sync::Arc;

use crate::error::Fault;
use crate::limits::{Limit, VALUE_DEPTH_LIMIT};
use crate::value::{Text, Value};

/// What a list or map is declared to hold, as far as Go functions care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// `interface {}`.
    Any,
    /// `string`.
    Text,
    /// `interface {}` under keys that are not declared to be text: what `parseYAML` makes of a map.
    Loose,
}

/// An immutable list; cloning shares it.
#[derive(Clone)]
pub struct List(Arc<ListData>);

struct ListData {
    items: Vec<Value>,
    element: Element,
    depth: u16,
    /// Go's nil slice, which only JSON tells from an empty one.
    nil: bool,
}

impl List {
    /// A list of anything (`[]interface {}`).
    ///
    /// # Errors
    /// [`Fault::Limit`] where values nest too deep.
    pub fn new(items: Vec<Value>) -> Result<Self, Fault> {
        Self::with_element(items, Element::Any)
    }

    /// A list of texts (`[]string`).
    pub fn of_texts(texts: impl IntoIterator<Item = Text>) -> Self {
        let items = texts.into_iter().map(Value::Text).collect();
        Self(Arc::new(ListData { items, element: Element::Text, depth: 1, nil: false }))
    }

    pub(crate) fn with_element(items: Vec<Value>, element: Element) -> Result<Self, Fault> {
        let depth = depth_over(items.iter())?;
        Ok(Self(Arc::new(ListData { items, element, depth, nil: false })))
    }

    /// The same, nil where it is empty.
    pub(crate) fn or_nil(items: Vec<Value>, element: Element) -> Result<Self, Fault> {
        let depth = depth_over(items.iter())?;
        let nil = items.is_empty();
        Ok(Self(Arc::new(ListData { items, element, depth, nil })))
    }

    pub(crate) fn is_nil(&self) -> bool {
        self.0.nil
    }

    /// The elements in order.
    pub fn items(&self) -> &[Value] {
        &self.0.items
    }

    pub(crate) fn element(&self) -> Element {
        self.0.element
    }

    pub(crate) fn depth(&self) -> u16 {
        self.0.depth
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.0.element {
            Element::Text => "[]string",
            Element::Any | Element::Loose => "[]interface {}",
        }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// An immutable map with text keys in byte order; cloning shares it.
#[derive(Clone)]
pub struct Map(Arc<MapData>);

struct MapData {
    entries: Vec<(Text, Value)>,
    element: Element,
    depth: u16,
}

impl Map {
    /// A map to anything (`map[string]interface {}`); of equal keys the last one counts.
    ///
    /// # Errors
    /// [`Fault::Limit`] where values nest too deep.
    pub fn new(entries: impl IntoIterator<Item = (Text, Value)>) -> Result<Self, Fault> {
        MapBuilder(entries.into_iter().collect()).finish(Element::Any)
    }

    /// The value of `key`.
    pub fn find(&self, key: &[u8]) -> Option<&Value> {
        let at = self.0.entries.binary_search_by(|(name, _)| name.as_bytes().cmp(key)).ok()?;
        self.0.entries.get(at).map(|(_, value)| value)
    }

    /// All entries in byte order of their keys.
    pub fn entries(&self) -> &[(Text, Value)] {
        &self.0.entries
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// What reading an absent key yields: Go's zero value of the element type.
    pub(crate) fn absent(&self) -> Value {
        match self.0.element {
            Element::Text => Value::from(""),
            Element::Any | Element::Loose => Value::Nil,
        }
    }

    pub(crate) fn element(&self) -> Element {
        self.0.element
    }

    pub(crate) fn depth(&self) -> u16 {
        self.0.depth
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.0.element {
            Element::Any => "map[string]interface {}",
            Element::Text => "map[string]string",
            Element::Loose => "map[interface {}]interface {}",
        }
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Collects entries in any order.
#[derive(Default)]
pub(crate) struct MapBuilder(pub(crate) Vec<(Text, Value)>);

impl MapBuilder {
    pub(crate) fn insert(&mut self, key: Text, value: Value) {
        self.0.push((key, value));
    }

    /// Sorts; of equal keys the one inserted last counts.
    pub(crate) fn finish(mut self, element: Element) -> Result<Map, Fault> {
        self.0.reverse();
        self.0.sort_by(|(left, _), (right, _)| left.cmp(right));
        self.0.dedup_by(|(later, _), (earlier, _)| later == earlier);
        let depth = depth_over(self.0.iter().map(|(_, value)| value))?;
        Ok(Map(Arc::new(MapData { entries: self.0, element, depth })))
    }
}

fn depth_over<'v>(values: impl Iterator<Item = &'v Value>) -> Result<u16, Fault> {
    let depth = values.map(Value::depth).max().unwrap_or(0).saturating_add(1);
    if depth > VALUE_DEPTH_LIMIT { Err(Fault::Limit(Limit::ValueDepth)) } else { Ok(depth) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_byte_order_and_the_last_duplicate_counts() {
        let entry = |key: &str, value: i64| (Text::from(key), Value::Int(value));
        let map = Map::new([entry("b", 1), entry("B", 2), entry("a10", 3), entry("a2", 4), entry("b", 5)]).unwrap();
        let keys: Vec<_> = map.entries().iter().map(|(key, _)| key.as_str().unwrap()).collect();
        assert_eq!(keys, ["B", "a10", "a2", "b"]);
        assert!(matches!(map.find(b"b"), Some(Value::Int(5))));
        assert!(map.find(b"c").is_none());
    }

    #[test]
    fn nesting_is_bounded() {
        let mut value = Value::Nil;
        for _ in 0..VALUE_DEPTH_LIMIT {
            value = Value::list(vec![value]).unwrap();
        }
        assert_eq!(Value::list(vec![value]).unwrap_err(), Fault::Limit(Limit::ValueDepth));
    }
}
