//! `parseYAML`: YAML 1.1 the way `yaml.v2` reads it into values.
//!
//! The first document counts. Block and flow collections, all five styles of scalars, anchors with their aliases, merge
//! keys and the tags of plain types are read. Depth and the number of nodes behind aliases are bounded.
//! Not done: keys that are collections (`? [a, b]`), which are no keys in the original either, and tabs as indentation.

use super::resolve;
use super::scan::Scanner;
use crate::error::Fault;
use crate::eval::Scope;
use crate::limits::{Limit, VALUE_DEPTH_LIMIT};
use crate::value::{Element, MapBuilder, Text, Value};

/// Reads the first document; nothing but comments is nil.
pub(crate) fn read(scope: &mut Scope<'_>, yaml: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(yaml).map_err(|_| NOT_YAML)?;
    let mut reader = Reader { scan: Scanner::new(text), scope, anchors: Vec::new(), depth: 0 };
    reader.scan.skip_directives();
    reader.scan.skip_blank();
    if reader.scan.at_end() {
        return Ok(Value::Nil);
    }
    let value = reader.block_node(-1, Position::Line)?;
    reader.scan.skip_blank();
    // what follows a scalar is not looked at, as in the original
    let whole = reader.scan.at_end() || !matches!(value, Value::Map(_) | Value::List(_));
    if whole { Ok(value) } else { Err(NOT_YAML) }
}

pub(super) const NOT_YAML: Fault = Fault::Function("the text is not YAML that this reader knows");

struct Reader<'y, 's, 'r> {
    scan: Scanner<'y>,
    scope: &'s mut Scope<'r>,
    anchors: Vec<(&'y str, Value)>,
    depth: u16,
}

/// Where a block node begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// First on its line, or behind `- `: a mapping may begin here.
    Line,
    /// Behind `key: `: a mapping may begin only on the next line.
    Value,
}

/// `&anchor` and `!tag` before a node.
#[derive(Default, Clone, Copy)]
struct Properties<'y> {
    anchor: Option<&'y str>,
    tag: Option<&'y str>,
}

impl<'y> Reader<'y, '_, '_> {
    /// A node whose lines are indented by more than `parent`.
    fn block_node(&mut self, parent: isize, position: Position) -> Result<Value, Fault> {
        self.depth += 1;
        if self.depth > VALUE_DEPTH_LIMIT {
            return Err(Fault::Limit(Limit::ValueDepth));
        }
        self.scope.charge(1)?;
        let value = self.block_content(parent, position)?;
        self.depth -= 1;
        Ok(value)
    }

    fn block_content(&mut self, parent: isize, mut position: Position) -> Result<Value, Fault> {
        if self.scan.skip_blank() {
            position = Position::Line;
        }
        let start = self.scan;
        let properties = self.properties();
        if self.scan.skip_blank() {
            position = Position::Line;
        } else if position == Position::Line && (properties.anchor.is_some() || properties.tag.is_some()) {
            // on one line with a key they belong to the key
            if self.is_key() {
                self.scan = start;
                return self.mapping(start.column());
            }
        }
        let column = self.scan.column();
        let sequence_may_stand_here = position == Position::Line && column >= parent;
        if self.scan.at_end() || (column <= parent && !(sequence_may_stand_here && self.scan.starts_entry(b'-'))) {
            return Ok(self.finish(properties, Value::Nil));
        }
        let value = match self.scan.peek() {
            Some(b'-') if position == Position::Line && self.scan.starts_entry(b'-') => self.sequence(column)?,
            Some(b'|' | b'>') => {
                let text = self.scan.block_scalar(parent)?;
                return self.scalar(properties, text, true);
            }
            _ if position == Position::Line && self.is_key() => self.mapping(column)?,
            Some(b'*') => return self.alias(),
            Some(b'[' | b'{') => self.flow()?,
            Some(b'"' | b'\'') => {
                let text = self.scan.quoted()?;
                return self.scalar(properties, text, true);
            }
            _ => {
                let text = self.scan.plain(parent, false)?;
                return self.scalar(properties, text, false);
            }
        };
        Ok(self.finish(properties, value))
    }

    fn sequence(&mut self, column: isize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        while !self.scan.at_end() && self.scan.column() == column && self.scan.starts_entry(b'-') {
            self.scan.skip(1);
            let before = self.scan;
            let value = if self.scan.skip_blank() && self.scan.column() <= column {
                self.scan = before;
                Value::Nil
            } else {
                self.block_node(column, Position::Line)?
            };
            items.push(value);
            self.scan.skip_blank();
        }
        if !self.scan.at_end() && self.scan.column() > column {
            return Err(NOT_YAML);
        }
        Value::list(items)
    }

    fn mapping(&mut self, column: isize) -> Result<Value, Fault> {
        let mut entries = MapBuilder::default();
        while !self.scan.at_end() && self.scan.column() == column && self.is_key() {
            self.scope.charge(1)?;
            let key = self.key()?;
            self.scan.skip(1); // the colon, which is_key has seen
            let before = self.scan;
            let crossed = self.scan.skip_blank();
            let own = self.scan.column();
            let value = if self.scan.at_end()
                || (crossed && own <= column && !(own == column && self.scan.starts_entry(b'-')))
            {
                Value::Nil
            } else {
                self.scan = before;
                let parent = if crossed && own == column { column - 1 } else { column };
                self.block_node(parent, Position::Value)?
            };
            self.enter(&mut entries, key, value)?;
            self.scan.skip_blank();
        }
        if !self.scan.at_end() && self.scan.column() >= column && !self.scan.starts_entry(b'-') {
            return Err(NOT_YAML);
        }
        entries.finish(Element::Loose).map(Value::Map)
    }

    /// Adds an entry, or all of a merge key's.
    fn enter(&mut self, entries: &mut MapBuilder, key: Option<Text>, value: Value) -> Result<(), Fault> {
        let Some(key) = key else { return self.merge(entries, &value) };
        entries.insert(key, value);
        Ok(())
    }

    fn merge(&mut self, entries: &mut MapBuilder, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Map(map) => {
                self.scope.charge(map.len())?;
                map.entries().iter().for_each(|(key, value)| entries.insert(key.clone(), value.clone()));
                Ok(())
            }
            // earlier ones take precedence, so they come last
            Value::List(list) if list.items().iter().all(|item| matches!(item, Value::Map(_))) => {
                list.items().iter().rev().try_for_each(|item| self.merge(entries, item))
            }
            _ => Err(Fault::Function("a merge key in the YAML text takes a map")),
        }
    }

    /// Whether a key on one line with its colon is next.
    fn is_key(&mut self) -> bool {
        let start = self.scan;
        let fits = self.scan.skip_key() && self.scan.line() == start.line();
        self.scan = start;
        fits
    }

    /// A key up to its colon; `None` is the merge key.
    fn key(&mut self) -> Result<Option<Text>, Fault> {
        let properties = self.properties();
        self.scan.skip_spaces();
        let value = match self.scan.peek() {
            Some(b'*') => self.alias()?,
            Some(b'"' | b'\'') => {
                let text = self.scan.quoted()?;
                self.scalar(properties, text, true)?
            }
            _ => {
                let text = self.scan.plain_key()?;
                if text.as_bytes() == b"<<" && properties.tag.is_none() {
                    self.scan.skip_spaces();
                    return Ok(None);
                }
                self.scalar(properties, text, false)?
            }
        };
        self.scan.skip_spaces();
        match value {
            Value::Nil => Ok(Some(Text::from("<nil>"))),
            value => crate::text::scalar(&value).map(Some).ok_or(NOT_YAML),
        }
    }

    fn flow(&mut self) -> Result<Value, Fault> {
        self.depth += 1;
        if self.depth > VALUE_DEPTH_LIMIT {
            return Err(Fault::Limit(Limit::ValueDepth));
        }
        let is_map = self.scan.peek() == Some(b'{');
        let close = if is_map { b'}' } else { b']' };
        self.scan.skip(1);
        let mut entries = MapBuilder::default();
        let mut items = Vec::new();
        loop {
            self.scope.charge(1)?;
            self.scan.skip_blank();
            if self.scan.take(close) {
                break;
            }
            if is_map {
                let key = self.key_in_flow()?;
                self.scan.skip_blank();
                let value = if self.scan.take(b':') { self.flow_node()? } else { Value::Nil };
                self.enter(&mut entries, key, value)?;
            } else {
                let value = self.flow_node()?;
                self.scan.skip_blank();
                if self.scan.take(b':') {
                    return Err(NOT_YAML); // a pair in a list, which nobody writes
                }
                items.push(value);
            }
            self.scan.skip_blank();
            if !self.scan.take(b',') && self.scan.peek() != Some(close) {
                return Err(NOT_YAML);
            }
        }
        self.depth -= 1;
        if is_map { entries.finish(Element::Loose).map(Value::Map) } else { Value::list(items) }
    }

    fn key_in_flow(&mut self) -> Result<Option<Text>, Fault> {
        let plain = !matches!(self.scan.peek(), Some(b'"' | b'\'' | b'*' | b'&' | b'!'));
        let value = self.flow_node()?;
        match value {
            Value::Text(text) if plain && text.as_bytes() == b"<<" => Ok(None),
            Value::Nil => Ok(Some(Text::from("<nil>"))),
            value => crate::text::scalar(&value).map(Some).ok_or(NOT_YAML),
        }
    }

    fn flow_node(&mut self) -> Result<Value, Fault> {
        self.scan.skip_blank();
        let properties = self.properties();
        self.scan.skip_blank();
        match self.scan.peek() {
            Some(b'*') => self.alias(),
            Some(b'[' | b'{') => {
                let value = self.flow()?;
                Ok(self.finish(properties, value))
            }
            Some(b'"' | b'\'') => {
                let text = self.scan.quoted()?;
                self.scalar(properties, text, true)
            }
            Some(b',' | b']' | b'}' | b':') => Ok(self.finish(properties, Value::Nil)),
            None => Err(NOT_YAML),
            _ => {
                let text = self.scan.plain(-1, true)?;
                self.scalar(properties, text, false)
            }
        }
    }

    fn properties(&mut self) -> Properties<'y> {
        let mut properties = Properties::default();
        loop {
            self.scan.skip_spaces();
            match self.scan.peek() {
                Some(b'&') if properties.anchor.is_none() => properties.anchor = Some(self.scan.name()),
                Some(b'!') if properties.tag.is_none() => properties.tag = Some(self.scan.name()),
                _ => return properties,
            }
        }
    }

    fn alias(&mut self) -> Result<Value, Fault> {
        let name = self.scan.name().get(1..).unwrap_or_default();
        let found = self.anchors.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        found.ok_or(Fault::Function("the YAML text has an alias without an anchor"))
    }

    fn scalar(&mut self, properties: Properties<'y>, text: Text, quoted: bool) -> Result<Value, Fault> {
        let value = resolve::scalar(text, properties.tag, quoted)?;
        Ok(self.finish(properties, value))
    }

    fn finish(&mut self, properties: Properties<'y>, value: Value) -> Value {
        if let Some(anchor) = properties.anchor {
            self.anchors.push((anchor.get(1..).unwrap_or_default(), value.clone()));
        }
        value
    }
}
