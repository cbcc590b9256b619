//! The functions of the language: Go's own, the Vault helpers, and Sprig's with their prefix.
//!
//! Each function is a row in a table of its module: name, parameters, body. Rows are found at compile time, so a body
//! runs with the right number of arguments of the right types. What is refused stands in `refused` with its reason.

mod arguments;
mod builtin;
mod compare;
mod encode;
mod maps;
mod number;
mod pattern;
mod refused;
mod source;
mod sprig;
mod sprig_lists;
mod sprig_number;
mod sprig_text;
mod sprig_words;
mod text;
mod time;
mod url;
mod words;

pub(crate) use self::compare::equal_strictly;
pub(crate) use self::encode::base64_decode;
pub(crate) use self::pattern::problem as pattern_problem;
pub(crate) use self::refused::{Lookup, aliases, look_up, refusals};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

/// What a body does: it sees arguments that fit its parameters.
pub(crate) type Run = fn(&mut Scope<'_>, &[Value]) -> Result<Value, Fault>;

/// One function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
    /// Our own dialect has it too; false for what reads more than the Grant names.
    pub(crate) own: bool,
    parameters: &'static [Parameter],
    rest: Option<Parameter>,
    least: usize,
}

pub(crate) enum Body {
    Run(Run),
    /// `and`, `or`: arguments are evaluated one by one until the answer is known.
    And,
    Or,
    /// Renders a defined template into a text.
    Execute,
    /// `sprig_set`, `sprig_unset`: the result also replaces the variable that is the first argument, which is what
    /// changing a map in place looks like.
    Rebind(Run),
}

/// What a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Any,
    Text,
    Bool,
    Int,
    List,
    /// `[]string`; our own dialect also takes a list of scalars.
    Texts,
    Map,
}

impl Function {
    const fn new(name: &'static str, parameters: &'static [Parameter], run: Run) -> Self {
        Self::special(name, parameters, Body::Run(run))
    }

    const fn special(name: &'static str, parameters: &'static [Parameter], body: Body) -> Self {
        Self { name, body, own: true, parameters, rest: None, least: parameters.len() }
    }

    /// With any number of further arguments.
    const fn and_more(mut self, rest: Parameter) -> Self {
        self.rest = Some(rest);
        self
    }

    /// The last `count` parameters may be left out.
    const fn optional(mut self, count: usize) -> Self {
        self.least = self.parameters.len() - count;
        self
    }

    /// Whether its first argument is a regular expression.
    pub(crate) fn takes_pattern(&self) -> bool {
        self.name.contains("egex") && self.parameters.len() > 1
    }

    /// Not in our own dialect.
    const fn drop_in_only(mut self) -> Self {
        self.own = false;
        self
    }

    pub(crate) fn accepts_count(&self, count: usize) -> bool {
        count >= self.least && (self.rest.is_some() || count <= self.parameters.len())
    }

    pub(crate) fn wanted_count(&self) -> String {
        let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
        match (self.rest, self.parameters.len()) {
            (Some(_), _) => format!("at least {} {}", self.least, plural(self.least)),
            (None, most) if most == self.least => format!("{most} {}", plural(most)),
            (None, most) => format!("{} to {most} arguments", self.least),
        }
    }

    pub(crate) fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    pub(crate) fn least(&self) -> usize {
        self.least
    }

    pub(crate) fn rest(&self) -> Option<Parameter> {
        self.rest
    }

    pub(crate) fn parameter(&self, at: usize) -> Option<Parameter> {
        self.parameters.get(at).copied().or(self.rest)
    }
}

impl Parameter {
    /// The type as documentation calls it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Any => "value",
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::List => "list",
            Self::Texts => "list of texts",
            Self::Map => "map",
        }
    }

    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Text => "string",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::List => "[]interface {}",
            Self::Texts => "[]string",
            Self::Map => "map[string]interface {}",
        }
    }
}

/// Every function under its own name.
pub(crate) fn all() -> impl Iterator<Item = &'static Function> {
    tables().into_iter().flatten()
}

fn tables() -> [&'static [Function]; 15] {
    [
        builtin::FUNCTIONS,
        compare::FUNCTIONS,
        source::FUNCTIONS,
        text::FUNCTIONS,
        encode::FUNCTIONS,
        maps::FUNCTIONS,
        number::FUNCTIONS,
        pattern::FUNCTIONS,
        sprig::FUNCTIONS,
        sprig_lists::FUNCTIONS,
        sprig_number::FUNCTIONS,
        sprig_text::FUNCTIONS,
        sprig_words::FUNCTIONS,
        time::FUNCTIONS,
        url::FUNCTIONS,
    ]
}
