//! Tokens to tree: pipelines, commands, operands.
//!
//! ```text
//! pipeline  = [ "$x" ( ":=" | "=" ) ] command { "|" command }
//! command   = operand { space operand }
//! operand   = term { ".field" }
//! term      = literal | "." | ".field" | "$x" | function | "(" pipeline ")"
//! ```

use super::lexer::Token;
use super::{Parser, Step, failure, literal, syntax};
use crate::ast::{Binding, Command, Operand, Pipeline, Term};
use crate::error::{CompileFault, Position};
use crate::function::{self, Function, Lookup, Parameter};
use crate::limits::NESTING_LIMIT;
use crate::value::{Text, Value};

impl<'t> Parser<'t> {
    /// A pipeline up to and including `end`.
    pub(super) fn pipeline(&mut self, may_bind: bool, end: &Token<'t>) -> Step<Pipeline> {
        let binding = if may_bind { self.binding()? } else { None };
        let mut commands: Vec<Command> = Vec::new();
        let position = self.peek_beyond_space()?.1;
        loop {
            let piped = !commands.is_empty();
            let (command, last) = self.command(piped, end)?;
            commands.push(command);
            if last {
                break;
            }
        }
        let binding = binding.map(|(name, declares)| {
            if declares {
                self.variables.push(name.clone());
            }
            Binding { name, declares }
        });
        Ok(Pipeline { position, binding, commands })
    }

    /// `$k :=`, `$k, $v :=`, the same with `=`, or nothing.
    pub(super) fn range_bindings(&mut self) -> Step<(Vec<Box<str>>, bool)> {
        let start = self.lexer.clone();
        let mut names = Vec::new();
        loop {
            let (token, at) = self.next_beyond_space()?;
            let Token::Variable(name) = token else { break };
            let name: Box<str> = name.into();
            names.push((name, at));
            match self.next_beyond_space()?.0 {
                Token::Comma if names.len() == 1 => {}
                Token::Comma => return Err(failure(syntax("range takes at most two variables"), at)),
                token @ (Token::Declare | Token::Assign) => {
                    let declares = token == Token::Declare;
                    for (name, at) in &names {
                        if !declares {
                            self.check_variable(name, *at)?;
                        }
                    }
                    return Ok((names.into_iter().map(|(name, _)| name).collect(), declares));
                }
                _ => break,
            }
        }
        if let Some((_, at)) = names.get(1) {
            return Err(failure(syntax("expected := after the variables of range"), *at));
        }
        self.lexer = start;
        Ok((Vec::new(), false))
    }

    /// The binding's variable comes into scope only behind its pipeline.
    fn binding(&mut self) -> Step<Option<(Box<str>, bool)>> {
        if self.lexer.first_beyond_space() != Some('$') {
            return Ok(None);
        }
        let start = self.lexer.clone();
        let (token, at) = self.next_beyond_space()?;
        if let Token::Variable(name) = token {
            let name: Box<str> = name.into();
            match self.next_beyond_space()?.0 {
                Token::Declare => return Ok(Some((name, true))),
                Token::Assign => {
                    self.check_variable(&name, at)?;
                    return Ok(Some((name, false)));
                }
                Token::Comma => return Err(failure(syntax("only range takes two variables"), at)),
                _ => {}
            }
        }
        self.lexer = start;
        Ok(None)
    }

    fn peek_beyond_space(&self) -> Step<(Token<'t>, Position)> {
        let mut ahead = self.lexer.clone();
        loop {
            let next = ahead.next()?;
            if next.0 != Token::Space {
                return Ok(next);
            }
        }
    }

    /// One command; true if the pipeline ends with it.
    fn command(&mut self, piped: bool, end: &Token<'t>) -> Step<(Command, bool)> {
        let mut operands = Vec::new();
        let mut separated = true;
        let last = loop {
            let (token, at) = self.lexer.next()?;
            match token {
                Token::Space => separated = true,
                Token::Pipe => break false,
                token if token == *end => break true,
                Token::Close => return Err(failure(syntax("a parenthesis is never closed"), at)),
                Token::CloseParen => return Err(failure(syntax("a closing parenthesis without an opening one"), at)),
                Token::End => return Err(failure(syntax("the action is never closed"), at)),
                _ if !separated => return Err(failure(syntax("expected white space between two operands"), at)),
                token => {
                    operands.push(self.operand(token, at)?);
                    separated = false;
                }
            }
        };
        let mut operands = operands.into_iter();
        let Some(head) = operands.next() else {
            let end_position = self.peek_beyond_space().map_or(Position::START, |(_, at)| at);
            return Err(failure(syntax("a value is missing here"), end_position));
        };
        let command = Command { head, arguments: operands.collect() };
        check_command(&command, piped)?;
        Ok((command, last))
    }

    fn operand(&mut self, token: Token<'t>, position: Position) -> Step<Operand> {
        // parentheses are the one thing that recurses, so the large frame of `term` stays out of the way
        let term = if token == Token::OpenParen { self.group(position)? } else { self.term(token, position)? };
        let mut fields = self.fields()?;
        if fields.is_empty() {
            return Ok(Operand { position, term });
        }
        let term = match term {
            Term::Field(mut first) => {
                first.append(&mut fields);
                Term::Field(first)
            }
            Term::Variable { name, .. } => Term::Variable { name, fields },
            Term::Function(_) | Term::Group(_) => Term::Chain { base: Box::new(Operand { position, term }), fields },
            _ => return Err(failure(syntax("a dot may not follow this value"), position)),
        };
        Ok(Operand { position, term })
    }

    /// Fields that follow without white space.
    fn fields(&mut self) -> Step<Vec<Box<str>>> {
        let mut fields = Vec::new();
        loop {
            let mut ahead = self.lexer.clone();
            match ahead.next() {
                Ok((Token::Field(name), _)) => {
                    fields.push(name.into());
                    self.lexer = ahead;
                }
                Ok((Token::Dot, at)) => return Err(failure(syntax("a name must follow the dot"), at)),
                _ => return Ok(fields),
            }
        }
    }

    fn term(&mut self, token: Token<'t>, at: Position) -> Step<Term> {
        let bad = |text: &str| failure(syntax(text), at);
        Ok(match token {
            Token::Dot => Term::Dot,
            Token::Field(name) => Term::Field(vec![name.into()]),
            Token::Variable(name) => {
                self.check_variable(name, at)?;
                Term::Variable { name: name.into(), fields: Vec::new() }
            }
            Token::Number(text) => {
                Term::Number(literal::number(text).ok_or_else(|| bad("this is not a number, or it is too large"))?)
            }
            Token::Character(text) => {
                Term::Number(literal::character(text).ok_or_else(|| bad("this is not a character constant"))?)
            }
            Token::Quoted(text) => {
                let bytes = literal::string(text).ok_or_else(|| bad("the string has an escape that does not exist"))?;
                Term::Literal(Value::Text(Text::from(bytes)))
            }
            Token::Raw(text) => Term::Literal(Value::from(text)),
            Token::Word("true") => Term::Literal(Value::Bool(true)),
            Token::Word("false") => Term::Literal(Value::Bool(false)),
            Token::Word("nil") => Term::Nil,
            Token::Word(name) => Term::Function(self.function(name, at)?),
            Token::Assign | Token::Declare => return Err(bad("an assignment needs a variable on its left")),
            _ => return Err(bad("unexpected punctuation")),
        })
    }

    fn group(&mut self, at: Position) -> Step<Term> {
        if self.parentheses >= NESTING_LIMIT {
            return Err(failure(CompileFault::TooDeep { what: "parentheses" }, at));
        }
        self.parentheses += 1;
        let inner = self.pipeline(true, &Token::CloseParen);
        self.parentheses -= 1;
        inner.map(|pipeline| Term::Group(Box::new(pipeline)))
    }

    fn function(&self, name: &str, at: Position) -> Step<&'static Function> {
        const KEYWORDS: [&str; 10] =
            ["if", "with", "range", "else", "end", "define", "block", "template", "break", "continue"];
        if KEYWORDS.contains(&name) {
            return Err(failure(
                syntax(format!("the keyword {name} may stand only at the beginning of an action")),
                at,
            ));
        }
        let name = || name.to_owned();
        match function::look_up(&name(), self.dialect) {
            Lookup::Found(function) => Ok(function),
            Lookup::Refused(reason) => Err(failure(CompileFault::RefusedFunction { name: name(), reason }, at)),
            Lookup::Unknown(hint) => Err(failure(CompileFault::UnknownFunction { name: name(), hint }, at)),
        }
    }

    fn check_variable(&self, name: &str, at: Position) -> Step<()> {
        if self.variables.iter().any(|known| &**known == name) {
            Ok(())
        } else {
            Err(failure(CompileFault::UndefinedVariable { name: name.to_owned() }, at))
        }
    }
}

/// What Go would notice while rendering and we notice before: literals used as functions, counts, types of literals.
fn check_command(command: &Command, piped: bool) -> Step<()> {
    let Operand { position, term } = &command.head;
    for operand in std::iter::once(&command.head).chain(&command.arguments) {
        if let Term::Chain { base, .. } = &operand.term
            && let Term::Function(function) = &base.term
        {
            check_count(function, 0, base.position)?;
        }
    }
    for argument in &command.arguments {
        if let Term::Function(function) = &argument.term {
            check_count(function, 0, argument.position)?;
        }
    }
    match term {
        Term::Nil => Err(failure(syntax("nil is not a command"), *position)),
        Term::Literal(_) | Term::Number(_) | Term::Dot if piped => {
            Err(failure(syntax("a value may be piped only into a function"), *position))
        }
        Term::Literal(_) | Term::Number(_) | Term::Dot | Term::Group(_) if !command.arguments.is_empty() => {
            Err(failure(syntax("this value is not a function and takes no arguments"), *position))
        }
        Term::Group(_) if piped => Err(failure(syntax("a value may be piped only into a function"), *position)),
        Term::Function(function) => {
            check_count(function, command.arguments.len() + usize::from(piped), *position)?;
            for (at, argument) in command.arguments.iter().enumerate() {
                check_literal(function, at, argument)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_count(function: &'static Function, found: usize, at: Position) -> Step<()> {
    if function.accepts_count(found) {
        return Ok(());
    }
    Err(failure(CompileFault::ArgumentCount { name: function.name, wanted: function.wanted_count(), found }, at))
}

fn check_literal(function: &'static Function, at: usize, argument: &Operand) -> Step<()> {
    let Some(parameter) = function.parameter(at) else { return Ok(()) };
    if let Term::Literal(Value::Text(text)) = &argument.term
        && at == 0
        && function.takes_pattern()
        && let Some(problem) = function::pattern_problem(text)
    {
        return Err(failure(CompileFault::Pattern { name: function.name, problem }, argument.position));
    }
    let (fine, found) = match &argument.term {
        Term::Literal(Value::Text(_)) => (matches!(parameter, Parameter::Any | Parameter::Text), "a string"),
        Term::Literal(_) => (matches!(parameter, Parameter::Any | Parameter::Bool), "a truth value"),
        Term::Number(number) => {
            (parameter == Parameter::Any || (parameter == Parameter::Int && number.integer.is_some()), "a number")
        }
        Term::Nil => (!matches!(parameter, Parameter::Text | Parameter::Bool | Parameter::Int), "nil"),
        _ => (true, ""),
    };
    if fine {
        return Ok(());
    }
    let expected = parameter.type_name();
    Err(failure(CompileFault::ArgumentType { name: function.name, expected, found }, argument.position))
}
