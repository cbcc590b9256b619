//! What a template reads, as far as its text says it literally.
//!
//! The sidecar fetches static reads in one round trip before the first rendering; admission compares root fields with
//! what the Grant names. Whatever is computed (a path from `printf`, a variable) is not found here and comes up while
//! rendering.

use crate::ast::{Command, Node, Operand, Pipeline, Program, Term};
use crate::error::Position;
use crate::value::Value;

/// A read whose path stands literally in the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticRead {
    /// Which function reads it.
    pub kind: ReadKind,
    /// The path as written, trimmed.
    pub path: String,
    /// Its first place.
    pub position: Position,
    /// Everywhere behind an `if`, in a loop, in an else branch or in a defined template: the rendering may not need it, so
    /// a refusal is no error yet.
    pub conditional: bool,
}

/// Which function reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadKind {
    /// `secret` with a path alone.
    Secret,
    /// `secrets`.
    List,
}

/// A field of the root that stands literally in the template: `.secret.key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootField {
    /// The secret's name.
    pub secret: String,
    /// The key in it; none where the secret is used as a whole (`range`, `index`, `toJSON`).
    pub key: Option<String>,
    /// Its place.
    pub position: Position,
}

pub(crate) fn static_reads(program: &Program) -> Vec<StaticRead> {
    let mut walk = Walk::default();
    walk.nodes(&program.main, &Dot::Root, false);
    walk.in_definition = true;
    for (_, body) in &program.defined {
        walk.nodes(body, &Dot::Unknown, true);
    }
    walk.reads
}

pub(crate) fn roots(program: &Program) -> Vec<RootField> {
    let mut walk = Walk::default();
    walk.nodes(&program.main, &Dot::Root, false);
    walk.roots
}

/// What is known about `.` at a place.
#[derive(Clone)]
enum Dot {
    Root,
    /// The map of one secret.
    Secret(String),
    Unknown,
}

/// Recursion follows the tree, whose depth the parser bounds.
#[derive(Default)]
struct Walk {
    reads: Vec<StaticRead>,
    roots: Vec<RootField>,
    /// In a defined template `$` is not the root.
    in_definition: bool,
}

impl Walk {
    fn nodes(&mut self, nodes: &[Node], dot: &Dot, conditional: bool) {
        for node in nodes {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Action(pipeline) => self.pipeline(pipeline, dot, conditional),
                Node::If(block) => {
                    for (at, branch) in block.branches.iter().enumerate() {
                        self.pipeline(&branch.condition, dot, conditional || at > 0);
                        self.nodes(&branch.body, dot, true);
                    }
                    self.nodes(&block.otherwise, dot, true);
                }
                Node::With(block) => {
                    for (at, branch) in block.branches.iter().enumerate() {
                        let conditional = conditional || at > 0;
                        self.pipeline(&branch.condition, dot, conditional);
                        self.nodes(&branch.body, &moved(&branch.condition, dot), conditional);
                    }
                    self.nodes(&block.otherwise, dot, true);
                }
                Node::Range(range) => {
                    self.pipeline(&range.subject, dot, conditional);
                    self.nodes(&range.body, &Dot::Unknown, true);
                    self.nodes(&range.otherwise, dot, true);
                }
                Node::Call(call) => {
                    if let Some(argument) = &call.argument {
                        self.pipeline(argument, dot, conditional);
                    }
                }
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Dot, conditional: bool) {
        for (at, command) in pipeline.commands.iter().enumerate() {
            self.read(command, at > 0, conditional);
            for operand in std::iter::once(&command.head).chain(&command.arguments) {
                self.operand(operand, dot, conditional);
            }
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Dot, conditional: bool) {
        match &operand.term {
            Term::Field(fields) => self.root(dot, fields, operand.position),
            Term::Variable { name, fields } if name.is_empty() && !self.in_definition => {
                self.root(&Dot::Root, fields, operand.position);
            }
            Term::Group(pipeline) => self.pipeline(pipeline, dot, conditional),
            Term::Chain { base, .. } => self.operand(base, dot, conditional),
            _ => {}
        }
    }

    fn root(&mut self, dot: &Dot, fields: &[Box<str>], position: Position) {
        let name = |at: usize| fields.get(at).map(ToString::to_string);
        let found = match dot {
            Dot::Root => name(0).map(|secret| RootField { secret, key: name(1), position }),
            Dot::Secret(secret) => name(0).map(|key| RootField { secret: secret.clone(), key: Some(key), position }),
            Dot::Unknown => None,
        };
        self.roots.extend(found);
    }

    fn read(&mut self, command: &Command, piped: bool, conditional: bool) {
        let Term::Function(function) = &command.head.term else { return };
        let kind = match function.name {
            "secret" => ReadKind::Secret,
            "secrets" => ReadKind::List,
            _ => return,
        };
        let [Operand { term: Term::Literal(Value::Text(path)), .. }] = command.arguments.as_slice() else { return };
        let Some(path) = path.as_str().map(str::trim).filter(|path| !path.is_empty() && !piped) else { return };
        match self.reads.iter_mut().find(|read| read.kind == kind && read.path == path) {
            Some(known) => known.conditional &= conditional,
            None => self.reads.push(StaticRead {
                kind,
                path: path.to_owned(),
                position: command.head.position,
                conditional,
            }),
        }
    }
}

/// `.` inside of a `with`.
fn moved(condition: &Pipeline, dot: &Dot) -> Dot {
    let [Command { head, arguments }] = condition.commands.as_slice() else { return Dot::Unknown };
    if !arguments.is_empty() {
        return Dot::Unknown;
    }
    match (&head.term, dot) {
        (Term::Dot, dot) => dot.clone(),
        (Term::Field(fields), Dot::Root) => match fields.as_slice() {
            [secret] => Dot::Secret(secret.to_string()),
            _ => Dot::Unknown,
        },
        (Term::Variable { name, fields }, _) if name.is_empty() => match fields.as_slice() {
            [] => Dot::Root,
            [secret] => Dot::Secret(secret.to_string()),
            _ => Dot::Unknown,
        },
        _ => Dot::Unknown,
    }
}
