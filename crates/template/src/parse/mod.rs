//! Tokens to tree: blocks.
//!
//! Open blocks stand on an explicit stack, so a hostile template cannot use up the thread's; only parentheses recurse
//! (see `expression`), to a limit. Everything that can be known without values is an error here and not while rendering:
//! unknown functions and variables, argument counts, undefined templates.

mod expression;
mod lexer;
pub(crate) mod literal;

use self::lexer::{Lexer, Token};
use crate::ast::{Branch, Call, Conditional, Node, Pipeline, Program, Range};
use crate::error::{CompileFault, Position, plain_word};
use crate::limits::NESTING_LIMIT;
use crate::options::{Dialect, Options};

/// Boxed, since the parser recurses and every frame holds some.
type Failure = Box<(CompileFault, Position)>;
type Step<T> = Result<T, Failure>;

/// Parses a whole template.
pub(crate) fn parse(text: &str, options: &Options) -> Step<Program> {
    let mut parser = Parser {
        lexer: Lexer::new(text, &options.left, &options.right),
        dialect: options.dialect,
        variables: vec!["".into()],
        blocks: Vec::new(),
        defined: Vec::new(),
        calls: Vec::new(),
        parentheses: 0,
    };
    let main = parser.program()?;
    let program = Program { main, defined: parser.defined };
    for (name, position) in parser.calls {
        if program.find(name.as_bytes()).is_none() {
            return Err(failure(CompileFault::UndefinedTemplate { name: plain_word(&name) }, position));
        }
    }
    Ok(program)
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    dialect: Dialect,
    /// Names in scope; `$` itself is the empty name.
    variables: Vec<Box<str>>,
    blocks: Vec<Block>,
    defined: Vec<(Box<str>, Vec<Node>)>,
    calls: Vec<(Box<str>, Position)>,
    parentheses: usize,
}

/// A block that is not closed yet.
struct Block {
    kind: BlockKind,
    position: Position,
    /// Nodes of the enclosing block, put aside.
    outer: Vec<Node>,
    /// Variables in scope before the block, and after its head.
    variables_before: usize,
    variables_inside: usize,
    has_else: bool,
}

enum BlockKind {
    If { branches: Vec<Branch>, condition: Option<Pipeline> },
    With { branches: Vec<Branch>, condition: Option<Pipeline> },
    Range { head: RangeHead, body: Vec<Node> },
    Define { name: Box<str>, hidden: Vec<Box<str>> },
    Block { name: Box<str>, argument: Pipeline, hidden: Vec<Box<str>> },
}

struct RangeHead {
    bindings: Vec<Box<str>>,
    declares: bool,
    subject: Pipeline,
}

impl<'t> Parser<'t> {
    fn program(&mut self) -> Step<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            match self.lexer.next()? {
                (Token::Text(text), _) => nodes.push(Node::Text(text.into())),
                (Token::Open, at) => self.action(at, &mut nodes)?,
                (Token::End, at) => {
                    return match self.blocks.last() {
                        None => Ok(nodes),
                        Some(block) => {
                            Err(failure(syntax(format!("the block opened at {} has no end", block.position)), at))
                        }
                    };
                }
                (_, at) => return Err(failure(syntax("unexpected text"), at)),
            }
        }
    }

    fn action(&mut self, at: Position, nodes: &mut Vec<Node>) -> Step<()> {
        let Some((word, position)) = self.peek_word()? else {
            nodes.push(Node::Action(self.action_pipeline()?));
            return Ok(());
        };
        match word {
            "if" => self.open_conditional(at, nodes, |condition| BlockKind::If { branches: Vec::new(), condition }),
            "with" => self.open_conditional(at, nodes, |condition| BlockKind::With { branches: Vec::new(), condition }),
            "range" => self.open_range(at, nodes),
            "else" => self.turn(position, nodes),
            "end" => {
                self.skip_word()?;
                self.close()?;
                self.end_block(position, nodes)
            }
            "define" => self.open_define(at, nodes),
            "block" => self.open_block(at, nodes),
            "template" => {
                self.skip_word()?;
                let (name, named_at) = self.template_name()?;
                let argument = self.optional_pipeline()?;
                self.calls.push((name.clone(), named_at));
                nodes.push(Node::Call(Box::new(Call { position: named_at, name, argument })));
                Ok(())
            }
            "break" | "continue" => {
                let node = if word == "break" { Node::Break } else { Node::Continue };
                self.skip_word()?;
                self.close()?;
                if !self.in_loop() {
                    return Err(failure(syntax("break and continue belong into a range block"), position));
                }
                nodes.push(node);
                Ok(())
            }
            _ => {
                nodes.push(Node::Action(self.action_pipeline()?));
                Ok(())
            }
        }
    }

    fn action_pipeline(&mut self) -> Step<Pipeline> {
        self.pipeline(true, &Token::Close)
    }

    fn optional_pipeline(&mut self) -> Step<Option<Pipeline>> {
        let mut ahead = self.lexer.clone();
        let mut next = ahead.next()?.0;
        if next == Token::Space {
            next = ahead.next()?.0;
        }
        if next == Token::Close {
            self.lexer = ahead;
            return Ok(None);
        }
        self.action_pipeline().map(Some)
    }

    /// The word right behind the delimiter, if a word stands there.
    fn peek_word(&self) -> Step<Option<(&'t str, Position)>> {
        if !self.lexer.first_beyond_space().is_some_and(char::is_alphabetic) {
            return Ok(None);
        }
        let mut ahead = self.lexer.clone();
        loop {
            match ahead.next()? {
                (Token::Space, _) => {}
                (Token::Word(word), at) => return Ok(Some((word, at))),
                _ => return Ok(None),
            }
        }
    }

    fn skip_word(&mut self) -> Step<()> {
        while self.lexer.next()?.0 == Token::Space {}
        Ok(())
    }

    fn next_beyond_space(&mut self) -> Step<(Token<'t>, Position)> {
        let mut next = self.lexer.clone();
        if next.next()?.0 == Token::Space {
            self.lexer = next;
        }
        self.lexer.next()
    }

    fn close(&mut self) -> Step<()> {
        match self.next_beyond_space()? {
            (Token::Close, _) => Ok(()),
            (_, at) => Err(failure(syntax("nothing may follow in this action"), at)),
        }
    }

    fn template_name(&mut self) -> Step<(Box<str>, Position)> {
        let (token, at) = self.next_beyond_space()?;
        let name = match token {
            Token::Raw(name) => Some(name.as_bytes().to_vec()),
            Token::Quoted(quoted) => literal::string(quoted),
            _ => None,
        };
        match name.and_then(|name| String::from_utf8(name).ok()) {
            Some(name) => Ok((name.into(), at)),
            None => Err(failure(syntax("expected the name of a template as a string"), at)),
        }
    }

    fn open(
        &mut self,
        kind: BlockKind,
        position: Position,
        variables_before: usize,
        nodes: &mut Vec<Node>,
    ) -> Step<()> {
        if self.blocks.len() >= NESTING_LIMIT {
            return Err(failure(CompileFault::TooDeep { what: "blocks" }, position));
        }
        let outer = std::mem::take(nodes);
        let variables_inside = self.variables.len();
        self.blocks.push(Block { kind, position, outer, variables_before, variables_inside, has_else: false });
        Ok(())
    }

    fn open_conditional(
        &mut self,
        at: Position,
        nodes: &mut Vec<Node>,
        kind: fn(Option<Pipeline>) -> BlockKind,
    ) -> Step<()> {
        let before = self.variables.len();
        self.skip_word()?;
        let condition = self.action_pipeline()?;
        self.open(kind(Some(condition)), at, before, nodes)
    }

    fn open_range(&mut self, at: Position, nodes: &mut Vec<Node>) -> Step<()> {
        let before = self.variables.len();
        self.skip_word()?;
        let (bindings, declares) = self.range_bindings()?;
        let subject = self.pipeline(false, &Token::Close)?;
        if declares {
            self.variables.extend(bindings.iter().cloned());
        }
        self.open(
            BlockKind::Range { head: RangeHead { bindings, declares, subject }, body: Vec::new() },
            at,
            before,
            nodes,
        )
    }

    fn open_define(&mut self, at: Position, nodes: &mut Vec<Node>) -> Step<()> {
        if !self.blocks.is_empty() {
            return Err(failure(syntax("define is allowed outside of other blocks only"), at));
        }
        self.skip_word()?;
        let (name, _) = self.template_name()?;
        self.close()?;
        let hidden = std::mem::replace(&mut self.variables, vec!["".into()]);
        self.open(BlockKind::Define { name, hidden }, at, 1, nodes)
    }

    fn open_block(&mut self, at: Position, nodes: &mut Vec<Node>) -> Step<()> {
        self.skip_word()?;
        let (name, _) = self.template_name()?;
        let argument = self.action_pipeline()?;
        let hidden = std::mem::replace(&mut self.variables, vec!["".into()]);
        self.open(BlockKind::Block { name, argument, hidden }, at, 1, nodes)
    }

    fn in_loop(&self) -> bool {
        let own = self.blocks.iter().rev().take_while(|block| !block.kind.is_template());
        own.into_iter().any(|block| matches!(block.kind, BlockKind::Range { .. }) && !block.has_else)
    }

    /// `else`, `else if`, `else with`.
    fn turn(&mut self, at: Position, nodes: &mut Vec<Node>) -> Step<()> {
        self.skip_word()?;
        let follow_up = self.peek_word()?.map(|(word, _)| word);
        if follow_up.is_some() {
            self.skip_word()?;
        } else {
            self.close()?;
        }
        let Some(block) = self.blocks.last_mut() else { return Err(failure(syntax("else without a block"), at)) };
        if block.has_else {
            return Err(failure(syntax(format!("the block opened at {} already has an else", block.position)), at));
        }
        self.variables.truncate(block.variables_inside);
        let body = std::mem::take(nodes);
        let wants_condition = match (&mut block.kind, follow_up) {
            (BlockKind::If { branches, condition }, None | Some("if"))
            | (BlockKind::With { branches, condition }, None | Some("with")) => {
                branches.extend(condition.take().map(|condition| Branch { condition, body }));
                follow_up.is_some()
            }
            (BlockKind::Range { body: kept, .. }, None) => {
                *kept = body;
                false
            }
            _ => return Err(failure(syntax("this else does not fit its block"), at)),
        };
        block.has_else = !wants_condition;
        if wants_condition {
            let pipeline = self.action_pipeline()?;
            let inside = self.variables.len();
            if let Some(block) = self.blocks.last_mut() {
                block.variables_inside = inside;
                if let BlockKind::If { condition, .. } | BlockKind::With { condition, .. } = &mut block.kind {
                    *condition = Some(pipeline);
                }
            }
        }
        Ok(())
    }

    fn end_block(&mut self, at: Position, nodes: &mut Vec<Node>) -> Step<()> {
        let Some(block) = self.blocks.pop() else { return Err(failure(syntax("end without a block"), at)) };
        let last = std::mem::replace(nodes, block.outer);
        self.variables.truncate(block.variables_before);
        match block.kind {
            BlockKind::If { branches, condition } => nodes.push(Node::If(conditional(branches, condition, last))),
            BlockKind::With { branches, condition } => nodes.push(Node::With(conditional(branches, condition, last))),
            BlockKind::Range { head, body } => {
                let (body, otherwise) = if block.has_else { (body, last) } else { (last, Vec::new()) };
                let RangeHead { bindings, declares, subject } = head;
                nodes.push(Node::Range(Box::new(Range { bindings, declares, subject, body, otherwise })));
            }
            BlockKind::Define { name, hidden } => {
                self.variables = hidden;
                self.define(name, last, at)?;
            }
            BlockKind::Block { name, argument, hidden } => {
                self.variables = hidden;
                self.define(name.clone(), last, at)?;
                nodes.push(Node::Call(Box::new(Call { position: block.position, name, argument: Some(argument) })));
            }
        }
        Ok(())
    }

    /// Adds a definition; of two, one must be empty (white space only), as in Go.
    fn define(&mut self, name: Box<str>, body: Vec<Node>, at: Position) -> Step<()> {
        match self.defined.iter_mut().find(|(defined, _)| *defined == name) {
            None => self.defined.push((name, body)),
            Some((_, kept)) if is_blank(kept) => *kept = body,
            Some(_) if is_blank(&body) => {}
            Some(_) => return Err(failure(syntax(format!("template {} is defined twice", plain_word(&name))), at)),
        }
        Ok(())
    }
}

impl BlockKind {
    fn is_template(&self) -> bool {
        matches!(self, Self::Define { .. } | Self::Block { .. })
    }
}

fn conditional(mut branches: Vec<Branch>, condition: Option<Pipeline>, last: Vec<Node>) -> Conditional {
    match condition {
        Some(condition) => {
            branches.push(Branch { condition, body: last });
            Conditional { branches, otherwise: Vec::new() }
        }
        None => Conditional { branches, otherwise: last },
    }
}

fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

#[expect(clippy::unnecessary_box_returns, reason = "errors stay small that way")]
fn failure(fault: CompileFault, position: Position) -> Failure {
    Box::new((fault, position))
}

fn syntax(text: impl Into<String>) -> CompileFault {
    CompileFault::Syntax(text.into())
}
