//! Walking a compiled template.
//!
//! One walk, synchronous and pure: everything from outside comes through the [`Resolver`], every output leaves as a
//! returned value. Depth, steps and sizes are counted; the first fault ends the walk and its output is wiped.

mod expression;
mod scope;

pub(crate) use self::scope::Scope;
pub use self::scope::{OutputFile, Warning};
use crate::ast::{Call, Conditional, Node, Program, Range};
use crate::error::{Fault, Position};
use crate::limits::{BYTES_PER_STEP, Limit, Limits};
use crate::options::MissingKey;
use crate::text;
use crate::value::{Buffer, Text, Value};

/// State of one rendering.
pub(crate) struct Evaluator<'p, 's> {
    program: &'p Program,
    missing_key: MissingKey,
    pub(crate) scope: Scope<'s>,
    pub(crate) output: Buffer,
    /// Innermost last; the empty name is `$`.
    variables: Vec<(&'p str, Value)>,
    depth: usize,
    depth_limit: usize,
    /// Where the walk is, for error texts.
    pub(crate) position: Position,
    /// The function being called, for error texts.
    pub(crate) function: Option<&'static str>,
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Done,
    Break,
    Continue,
}

impl<'p, 's> Evaluator<'p, 's> {
    pub(crate) fn new(program: &'p Program, missing_key: MissingKey, limits: &Limits, scope: Scope<'s>) -> Self {
        Self {
            program,
            missing_key,
            scope,
            output: Buffer::for_output(limits.output_bytes),
            variables: Vec::new(),
            depth: 0,
            depth_limit: limits.depth,
            position: Position::START,
            function: None,
        }
    }

    /// Renders the main template into the output.
    pub(crate) fn run(&mut self, root: &Value) -> Result<(), Fault> {
        self.variables.push(("", root.clone()));
        self.nodes(&self.program.main, root).map(|_| ())
    }

    fn nodes(&mut self, nodes: &'p [Node], dot: &Value) -> Result<Flow, Fault> {
        self.descend()?;
        let mut flow = Flow::Done;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::Done {
                break;
            }
        }
        self.depth -= 1;
        Ok(flow)
    }

    fn node(&mut self, node: &'p Node, dot: &Value) -> Result<Flow, Fault> {
        self.scope.charge(1)?;
        match node {
            Node::Text(text) => {
                self.scope.charge(text.len() / BYTES_PER_STEP)?;
                self.output.write(text.as_bytes())?;
            }
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.binding.is_none() {
                    self.function = None;
                    if matches!(value, Value::Nil) {
                        self.scope.warn(pipeline.position, NO_VALUE_WARNING);
                    }
                    text::print_output(&mut self.output, &value)?;
                }
            }
            Node::If(conditional) => return self.conditional(conditional, dot, false),
            Node::With(conditional) => return self.conditional(conditional, dot, true),
            Node::Range(range) => return self.range(range, dot),
            Node::Call(call) => self.call_template(call, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Done)
    }

    fn conditional(&mut self, conditional: &'p Conditional, dot: &Value, moves_dot: bool) -> Result<Flow, Fault> {
        let mark = self.variables.len();
        let mut flow = None;
        for branch in &conditional.branches {
            let value = self.pipeline(&branch.condition, dot)?;
            if value.is_true() {
                flow = Some(self.nodes(&branch.body, if moves_dot { &value } else { dot })?);
                break;
            }
        }
        let flow = match flow {
            Some(flow) => flow,
            None => self.nodes(&conditional.otherwise, dot)?,
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, range: &'p Range, dot: &Value) -> Result<Flow, Fault> {
        let mark = self.variables.len();
        let subject = self.pipeline(&range.subject, dot)?;
        self.position = range.subject.position;
        let mut elements = Elements::over(&subject)?;
        if range.bindings.len() > 1 && matches!(subject, Value::Int(_) | Value::Uint(_)) {
            return Err(Fault::Function("range over a number takes one variable"));
        }
        let mut any = false;
        while let Some((key, element)) = elements.next() {
            any = true;
            self.scope.charge(1)?;
            self.bind_range(range, key, &element)?;
            if self.nodes(&range.body, &element)? == Flow::Break {
                break;
            }
            self.variables.truncate(mark);
        }
        let flow = if any { Flow::Done } else { self.nodes(&range.otherwise, dot)? };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn bind_range(&mut self, range: &'p Range, key: Value, element: &Value) -> Result<(), Fault> {
        let values = match range.bindings.len() {
            0 => return Ok(()),
            1 => vec![element.clone()],
            _ => vec![key, element.clone()],
        };
        for (name, value) in range.bindings.iter().zip(values) {
            if range.declares { self.variables.push((name, value)) } else { self.assign(name, value)? }
        }
        Ok(())
    }

    fn call_template(&mut self, call: &'p Call, dot: &Value) -> Result<(), Fault> {
        let argument = match &call.argument {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Nil,
        };
        self.position = call.position;
        self.defined(call.name.as_bytes(), &argument)
    }

    /// Renders a defined template with variables of its own.
    fn defined(&mut self, name: &[u8], dot: &Value) -> Result<(), Fault> {
        let body = self.program.find(name).ok_or(Fault::Function("there is no template of that name"))?;
        self.descend()?; // a call takes more stack than a block, so it counts twice
        let outer = std::mem::replace(&mut self.variables, vec![("", dot.clone())]);
        let result = self.nodes(body, dot);
        self.variables = outer;
        self.depth -= 1;
        result.map(|_| ())
    }

    /// Renders a defined template into a text of its own.
    fn execute(&mut self, name: &Text, dot: &Value) -> Result<Value, Fault> {
        let outer = std::mem::replace(&mut self.output, Buffer::new());
        let result = self.defined(name.as_bytes(), dot);
        let inner = std::mem::replace(&mut self.output, outer);
        result.map(|()| Value::Text(inner.finish()))
    }

    fn assign(&mut self, name: &str, value: Value) -> Result<(), Fault> {
        let slot = self.variables.iter_mut().rev().find(|(known, _)| *known == name);
        let (_, slot) = slot.ok_or(Fault::Function("the variable is not defined"))?;
        *slot = value;
        Ok(())
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(known, _)| *known == name);
        found.map_or(Value::Nil, |(_, value)| value.clone())
    }

    /// Counts one more level; whoever calls takes it back on success (a fault ends the walk anyway).
    fn descend(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > self.depth_limit { Err(Fault::Limit(Limit::Depth)) } else { Ok(()) }
    }
}

/// What `range` goes over.
enum Elements<'v> {
    Count { next: u64, end: u64 },
    List(std::iter::Enumerate<std::slice::Iter<'v, Value>>),
    Map(std::slice::Iter<'v, (Text, Value)>),
}

impl<'v> Elements<'v> {
    fn over(subject: &'v Value) -> Result<Self, Fault> {
        Ok(match subject {
            Value::Nil => Self::Count { next: 0, end: 0 },
            Value::Int(end) => Self::Count { next: 0, end: u64::try_from(*end).unwrap_or(0) },
            Value::Uint(end) => Self::Count { next: 0, end: *end },
            Value::List(list) => Self::List(list.items().iter().enumerate()),
            Value::Map(map) => Self::Map(map.entries().iter()),
            other => return Err(Fault::CannotRange(other.type_name())),
        })
    }

    fn next(&mut self) -> Option<(Value, Value)> {
        match self {
            Self::Count { next, end } if *next < *end => {
                let at = Value::Int(i64::try_from(*next).unwrap_or(i64::MAX));
                *next += 1;
                Some((at.clone(), at))
            }
            Self::Count { .. } => None,
            Self::List(items) => {
                items.next().map(|(at, item)| (Value::Int(i64::try_from(at).unwrap_or(i64::MAX)), item.clone()))
            }
            Self::Map(entries) => entries.next().map(|(key, value)| (Value::Text(key.clone()), value.clone())),
        }
    }
}

const NO_VALUE_WARNING: &str = "prints <no value>: the key is missing or null";
