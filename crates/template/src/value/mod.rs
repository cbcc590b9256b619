//! Values of the language: what fields hold, what functions take and give.
//!
//! The kinds mirror what Go templates see after a Vault answer was decoded: numbers from Vault keep their source text
//! (`json.Number`), numbers that `parseJSON` makes are floats, and a secret is an object with fixed fields. Lists and
//! maps know whether their elements are typed as text, since Go functions tell the two apart.
//! Nothing here prints a value: see `text`. Out of scope: mutability; a value never changes.

mod collection;
mod object;
mod text;

use std::fmt;

pub(crate) use self::collection::{Element, MapBuilder};
pub use self::collection::{List, Map};
pub use self::object::{Certificate, Object, SecretObject};
pub(crate) use self::object::{ObjectKind, unknown_field};
pub(crate) use self::text::Buffer;
pub use self::text::Text;
use crate::error::Fault;
use crate::json;

/// One value. Cloning shares buffers; the last owner wipes them. `Debug` shows the type only.
#[derive(Clone)]
#[non_exhaustive]
pub enum Value {
    /// Go's nil.
    Nil,
    /// Truth.
    Bool(bool),
    /// Any signed integer type.
    Int(i64),
    /// Any unsigned integer type.
    Uint(u64),
    /// `float64`.
    Float(f64),
    /// `json.Number`: a number as its source text, which the language treats as a kind of text.
    Number(Text),
    /// `string`: bytes.
    Text(Text),
    /// A slice.
    List(List),
    /// A map with text keys.
    Map(Map),
    /// A struct of the original: secret, certificate, scratch.
    Object(Object),
}

impl Value {
    /// A text value from bytes.
    pub fn text(bytes: impl Into<Text>) -> Self {
        Self::Text(bytes.into())
    }

    /// A list.
    ///
    /// # Errors
    /// [`Fault::Limit`] where values nest too deep.
    pub fn list(items: Vec<Self>) -> Result<Self, Fault> {
        List::new(items).map(Self::List)
    }

    /// A map; of equal keys the last one counts.
    ///
    /// # Errors
    /// [`Fault::Limit`] where values nest too deep.
    pub fn map(entries: impl IntoIterator<Item = (Text, Self)>) -> Result<Self, Fault> {
        Map::new(entries).map(Self::Map)
    }

    /// Reads JSON text the way a Vault answer is read: numbers keep their text. No copy is left unwiped, unlike a way
    /// through `serde_json::Value`.
    ///
    /// # Errors
    /// [`Fault::Function`] where it is not JSON, [`Fault::Limit`] where it nests too deep.
    pub fn from_json_text(json: &[u8]) -> Result<Self, Fault> {
        json::read(json, json::Numbers::Text)
    }

    /// The type's name as Go spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint64",
            Self::Float(_) => "float64",
            Self::Number(_) => "json.Number",
            Self::Text(_) => "string",
            Self::List(list) => list.type_name(),
            Self::Map(map) => map.type_name(),
            Self::Object(object) => object.kind().type_name(),
        }
    }

    /// Go's idea of truth: false, zero, nil and everything empty are false. A number from Vault is text, so even its 0 is true.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Uint(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Number(text) | Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.items().is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Object(_) => true,
        }
    }

    /// How deep lists and maps nest below and including this value.
    pub(crate) fn depth(&self) -> u16 {
        match self {
            Self::List(list) => list.depth(),
            Self::Map(map) => map.depth(),
            Self::Object(object) => object.depth(),
            _ => 0,
        }
    }
}

impl TryFrom<&serde_json::Value> for Value {
    type Error = Fault;

    /// Numbers keep their text. Fails with [`Fault::Limit`] where the document nests too deep.
    fn try_from(value: &serde_json::Value) -> Result<Self, Fault> {
        json::from_document(value, 0)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Text::from(text))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "<{}>", self.type_name().trim_matches(['<', '>']))
    }
}
