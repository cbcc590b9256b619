//! What can go wrong, told with place and type, never with a value.
//!
//! Error texts name functions, fields, variables and types: words of the template's author. String literals, numbers and
//! everything that came out of a secret stay out, since these texts end in logs, events and admission answers.

use std::fmt;

use thiserror::Error;

use crate::limits::{Limit, NESTING_LIMIT, TEXT_LIMIT_BYTES};

/// Where in the template text: line and column (in characters), both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A template that cannot be compiled.
#[derive(Debug, Error)]
#[error("template {template}:{position}: {fault}")]
pub struct CompileError {
    /// The name given to [`crate::Template::compile`].
    pub template: String,
    /// Where the fault was noticed.
    pub position: Position,
    /// What is wrong.
    pub fault: CompileFault,
}

/// Why a template cannot be compiled.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileFault {
    /// The text is over [`TEXT_LIMIT_BYTES`].
    #[error("the template is longer than {} KiB", TEXT_LIMIT_BYTES / 1024)]
    TooLong,
    /// Blocks or parentheses are nested over [`NESTING_LIMIT`] deep.
    #[error("{what} are nested more than {} deep", NESTING_LIMIT)]
    TooDeep {
        /// "blocks" or "parentheses".
        what: &'static str,
    },
    /// A name that is no function of the language.
    #[error("function {name} is not defined{hint}")]
    UnknownFunction {
        /// The name as written.
        name: String,
        /// What to write instead, or nothing.
        hint: String,
    },
    /// A function that exists elsewhere and is refused here.
    #[error("function {name} is not supported: {reason}")]
    RefusedFunction {
        /// The function's name.
        name: String,
        /// Why, and what to do instead.
        reason: &'static str,
    },
    /// A variable that is not in scope.
    #[error("variable ${name} is not defined here; it lives until the end of the block that declares it")]
    UndefinedVariable {
        /// Name without the dollar sign.
        name: String,
    },
    /// `template` or `block` of a name that is nowhere defined.
    #[error("template {name} is not defined; add a define block for it")]
    UndefinedTemplate {
        /// The name, or `<name>` where it is not a plain word.
        name: String,
    },
    /// Wrong number of arguments.
    #[error("function {name} takes {wanted}, but here it gets {found} (a piped value counts)")]
    ArgumentCount {
        /// The function's name.
        name: &'static str,
        /// The accepted counts in words.
        wanted: String,
        /// How many it gets.
        found: usize,
    },
    /// A literal of the wrong type as argument.
    #[error("function {name} expects {expected} here, not {found}")]
    ArgumentType {
        /// The function's name.
        name: &'static str,
        /// Type the function takes.
        expected: &'static str,
        /// Type of the literal.
        found: &'static str,
    },
    /// A literal that is no regular expression of this engine.
    #[error("function {name} cannot use this pattern: {problem}")]
    Pattern {
        /// The function's name.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Everything the grammar forbids.
    #[error("{0}")]
    Syntax(String),
}

/// A rendering that failed. Nothing of its output exists.
#[derive(Debug, Error)]
#[error("template {template}:{position}: {}{fault}", Calling(*function))]
pub struct RenderError {
    /// The name given to [`crate::Template::compile`].
    pub template: String,
    /// The expression that failed.
    pub position: Position,
    /// The function that failed, if one did.
    pub function: Option<&'static str>,
    /// What is wrong.
    pub fault: Fault,
}

struct Calling(Option<&'static str>);

impl fmt::Display for Calling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(formatter, "{name}: "))
    }
}

/// Why a rendering failed. Types are spelt as in Go, because that is the language the template's author reads.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A strict template asked a map for a key that it lacks.
    #[error("map has no entry for key {0}")]
    MissingKey(Box<str>),
    /// A field of nothing.
    #[error("nil pointer: there is no value whose field {0} could be read")]
    NilField(Box<str>),
    /// A field of something that has none of that name.
    #[error("type {type_name} has no field {field}")]
    UnknownField {
        /// The field's name in the template.
        field: Box<str>,
        /// The value's type.
        type_name: &'static str,
    },
    /// Arguments for something that is not a function.
    #[error("{0} is not a function and takes no arguments")]
    NotCallable(Box<str>),
    /// A value of the wrong type as argument.
    #[error("wrong type for value: expected {expected}, got {found}")]
    WrongType {
        /// Type the function takes.
        expected: &'static str,
        /// Type it got.
        found: &'static str,
    },
    /// `range` over something that has no elements.
    #[error("range cannot iterate over {0}{hint}", hint = range_hint(.0))]
    CannotRange(&'static str),
    /// A comparison of types that Go does not compare.
    #[error("incompatible types for comparison: {0} and {1}")]
    Incomparable(&'static str, &'static str),
    /// A position outside of a list or text.
    #[error("index out of range")]
    OutOfRange,
    /// A function's own complaint.
    #[error("{0}")]
    Function(&'static str),
    /// The template itself stopped by `sprig_fail`.
    #[error("the template stopped the rendering by fail")]
    Stopped,
    /// A limit was reached.
    #[error("the limit on the {0} was reached")]
    Limit(Limit),
    /// A secret that the resolver does not have (yet).
    #[error("a secret that the template reads is not available")]
    SecretUnavailable,
    /// The resolver's own error.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

/// A failed read, in words of whoever implements [`crate::Resolver`]; they must hold no value.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ResolveError {
    /// What failed.
    pub message: String,
}

impl ResolveError {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

fn range_hint(type_name: &str) -> &'static str {
    if type_name == "string" { "; split a text into a list first" } else { "" }
}

/// `name` where it is a plain word, else a placeholder: string literals do not belong into error texts.
pub(crate) fn plain_word(name: &str) -> String {
    let plain = name.len() <= 64 && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
    if plain && !name.is_empty() { name.to_owned() } else { "<name>".to_owned() }
}
