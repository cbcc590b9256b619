//! The compiled form of a template: a tree of bounded depth, with functions and literals already resolved.

use crate::error::Position;
use crate::function::Function;
use crate::value::Value;

/// A template and the templates it defines.
pub(crate) struct Program {
    pub(crate) main: Vec<Node>,
    pub(crate) defined: Vec<(Box<str>, Vec<Node>)>,
}

impl Program {
    pub(crate) fn find(&self, name: &[u8]) -> Option<&[Node]> {
        self.defined.iter().find(|(defined, _)| defined.as_bytes() == name).map(|(_, body)| body.as_slice())
    }
}

pub(crate) enum Node {
    Text(Box<str>),
    Action(Pipeline),
    If(Conditional),
    With(Conditional),
    Range(Box<Range>),
    Call(Box<Call>),
    Break,
    Continue,
}

/// `if … else if … else` or `with … else with … else`.
pub(crate) struct Conditional {
    pub(crate) branches: Vec<Branch>,
    pub(crate) otherwise: Vec<Node>,
}

pub(crate) struct Branch {
    pub(crate) condition: Pipeline,
    pub(crate) body: Vec<Node>,
}

pub(crate) struct Range {
    /// None, the element, or key and element.
    pub(crate) bindings: Vec<Box<str>>,
    /// `:=` and not `=`.
    pub(crate) declares: bool,
    pub(crate) subject: Pipeline,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// `{{ template "name" argument }}`.
pub(crate) struct Call {
    pub(crate) position: Position,
    pub(crate) name: Box<str>,
    pub(crate) argument: Option<Pipeline>,
}

pub(crate) struct Pipeline {
    pub(crate) position: Position,
    pub(crate) binding: Option<Binding>,
    pub(crate) commands: Vec<Command>,
}

/// `$name :=` or `$name =` before a pipeline.
pub(crate) struct Binding {
    pub(crate) name: Box<str>,
    pub(crate) declares: bool,
}

pub(crate) struct Command {
    pub(crate) head: Operand,
    pub(crate) arguments: Vec<Operand>,
}

pub(crate) struct Operand {
    pub(crate) position: Position,
    pub(crate) term: Term,
}

pub(crate) enum Term {
    Dot,
    Nil,
    /// Truth or text.
    Literal(Value),
    Number(Number),
    Field(Vec<Box<str>>),
    Variable {
        name: Box<str>,
        fields: Vec<Box<str>>,
    },
    Function(&'static Function),
    /// Fields of a parenthesised pipeline or of a function's result.
    Chain {
        base: Box<Operand>,
        fields: Vec<Box<str>>,
    },
    Group(Box<Pipeline>),
}

/// A number literal: what it is by itself, and as integer where a function wants one (`1e3` is one).
pub(crate) struct Number {
    pub(crate) ideal: Value,
    pub(crate) integer: Option<i64>,
}
