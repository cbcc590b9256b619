//! `toYAML`: block style the way `yaml.v2` writes it; `parseYAML` stands in `read`.
//!
//! Lists are not indented below their key, keys are in natural order (`a2` before `a10`), long texts fold behind column
//! 80, texts that another reader could take for something else are quoted. Not done: keys of more than 128 bytes are
//! written like all others.

mod read;
mod resolve;
mod scalar;
mod scan;

pub(crate) use self::read::read;
use self::scalar::Scalar;
use crate::error::Fault;
use crate::text::float;
use crate::value::{Buffer, Text, Value};

/// Writes `value` without white space at either end.
pub(crate) fn write(out: &mut Buffer, value: &Value) -> Result<(), Fault> {
    let mut document = Buffer::new();
    Emitter { out: &mut document }.node(value, None, Place::Root)?;
    out.write(scalar::trimmed(document.as_bytes()))
}

struct Emitter<'o> {
    out: &'o mut Buffer,
}

/// Where a node stands, which decides whether it may begin on the same line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// Behind `key:`.
    Value,
    /// Behind `- `.
    Item,
}

impl Emitter<'_> {
    /// `indent` is that of the enclosing block.
    fn node(&mut self, value: &Value, indent: Option<usize>, place: Place) -> Result<(), Fault> {
        match value {
            Value::List(list) if list.items().is_empty() => self.inline(b"[]", place),
            Value::Map(map) if map.is_empty() => self.inline(b"{}", place),
            Value::List(list) => {
                let own = match (indent, place) {
                    (None, _) => 0,
                    (Some(indent), Place::Value) => indent,
                    (Some(indent), _) => indent + INDENT,
                };
                for (at, item) in list.items().iter().enumerate() {
                    self.begin_entry(own, at == 0, place)?;
                    self.out.push(b'-')?;
                    self.node(item, Some(own), Place::Item)?;
                }
                Ok(())
            }
            Value::Map(map) => {
                let mut entries: Vec<(Text, Value)> = map.entries().to_vec();
                scalar::sort_naturally(&mut entries);
                self.mapping(entries.iter().map(|(key, value)| (key.as_bytes(), value)), indent, place)
            }
            Value::Object(object) => {
                let lowered: Vec<_> = object.fields().iter().map(|(key, value)| (key.to_lowercase(), value)).collect();
                self.mapping(lowered.iter().map(|(key, value)| (key.as_bytes(), *value)), indent, place)
            }
            scalar => self.scalar(scalar, indent, place),
        }
    }

    fn mapping<'v>(
        &mut self,
        entries: impl Iterator<Item = (&'v [u8], &'v Value)>,
        indent: Option<usize>,
        place: Place,
    ) -> Result<(), Fault> {
        let own = indent.map_or(0, |indent| indent + INDENT);
        for (at, (key, value)) in entries.enumerate() {
            self.begin_entry(own, at == 0, place)?;
            Scalar::of_text(key).into_key().write(self.out, own + INDENT, false)?;
            self.out.push(b':')?;
            self.node(value, Some(own), Place::Value)?;
        }
        Ok(())
    }

    /// The first entry of a list item or of the document begins where we are, all others on a new line.
    fn begin_entry(&mut self, indent: usize, first: bool, place: Place) -> Result<(), Fault> {
        match (first, place) {
            (true, Place::Root) => Ok(()),
            (true, Place::Item) => self.out.push(b' '),
            _ => self.new_line(indent),
        }
    }

    fn new_line(&mut self, indent: usize) -> Result<(), Fault> {
        if !self.out.as_bytes().ends_with(b"\n") {
            self.out.push(b'\n')?;
        }
        self.out.repeat(b" ", indent)
    }

    fn inline(&mut self, text: &[u8], place: Place) -> Result<(), Fault> {
        if place != Place::Root {
            self.out.push(b' ')?;
        }
        self.out.write(text)
    }

    fn scalar(&mut self, value: &Value, indent: Option<usize>, place: Place) -> Result<(), Fault> {
        let plain;
        let text: &[u8] = match value {
            Value::Text(text) => {
                if place != Place::Root {
                    self.out.push(b' ')?;
                }
                let indent = indent.map_or(INDENT, |indent| indent + INDENT);
                return Scalar::of_text(text.as_bytes()).write(self.out, indent, true);
            }
            Value::Bool(true) => b"true",
            Value::Bool(false) => b"false",
            Value::Int(number) => {
                plain = number.to_string();
                plain.as_bytes()
            }
            Value::Uint(number) => {
                plain = number.to_string();
                plain.as_bytes()
            }
            Value::Float(number) => {
                plain = yaml_float(*number);
                plain.as_bytes()
            }
            Value::Number(text) => {
                let text = text.as_str().unwrap_or_default();
                let integer = text.parse::<i64>().ok().map(|number| number.to_string());
                plain = integer.or_else(|| text.parse().ok().map(yaml_float)).unwrap_or_else(|| text.to_owned());
                plain.as_bytes()
            }
            _ => b"null",
        };
        self.inline(text, place)
    }
}

fn yaml_float(number: f64) -> String {
    match float::shortest(number).as_str() {
        "+Inf" => ".inf".to_owned(),
        "-Inf" => "-.inf".to_owned(),
        "NaN" => ".nan".to_owned(),
        other => other.to_owned(),
    }
}

/// Spaces a level.
const INDENT: usize = 2;
