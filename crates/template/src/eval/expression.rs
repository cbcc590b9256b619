//! Evaluating pipelines, commands, operands and fields.

use super::Evaluator;
use crate::ast::{Command, Operand, Pipeline, Term};
use crate::error::Fault;
use crate::function::{Body, Function, Parameter};
use crate::options::MissingKey;
use crate::value::{Element, List, ObjectKind, Value, unknown_field};

impl<'p> Evaluator<'p, '_> {
    pub(super) fn pipeline(&mut self, pipeline: &'p Pipeline, dot: &Value) -> Result<Value, Fault> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        if let Some(binding) = &pipeline.binding {
            if binding.declares {
                self.variables.push((&binding.name, value.clone()));
            } else {
                self.assign(&binding.name, value.clone())?;
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'p Command, dot: &Value, piped: Option<Value>) -> Result<Value, Fault> {
        self.scope.charge(1)?;
        self.position = command.head.position;
        let called = piped.is_some() || !command.arguments.is_empty();
        match &command.head.term {
            Term::Function(function) => self.call(function, command, dot, piped),
            Term::Field(fields) if called => self.method(dot.clone(), fields, command, dot, piped),
            Term::Variable { name, fields } if called => self.method(self.variable(name), fields, command, dot, piped),
            Term::Chain { base, fields } if called => {
                let base = self.operand(base, dot)?;
                self.method(base, fields, command, dot, piped)
            }
            _ => self.operand(&command.head, dot),
        }
    }

    /// An operand without arguments of its own.
    fn operand(&mut self, operand: &'p Operand, dot: &Value) -> Result<Value, Fault> {
        self.scope.charge(1)?;
        self.position = operand.position;
        match &operand.term {
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::Nil),
            Term::Literal(value) => Ok(value.clone()),
            Term::Number(number) => Ok(number.ideal.clone()),
            Term::Field(fields) => self.fields(dot.clone(), fields),
            Term::Variable { name, fields } => self.fields(self.variable(name), fields),
            Term::Function(function) => {
                let result = self.apply(function, Vec::new());
                self.position = operand.position;
                result
            }
            Term::Chain { base, fields } => {
                let base = self.operand(base, dot)?;
                self.position = operand.position;
                self.fields(base, fields)
            }
            Term::Group(pipeline) => {
                self.descend()?;
                let value = self.pipeline(pipeline, dot);
                self.depth -= 1;
                value
            }
        }
    }

    fn fields(&mut self, mut value: Value, fields: &'p [Box<str>]) -> Result<Value, Fault> {
        if matches!(value, Value::Nil) && self.missing_key == MissingKey::Zero {
            return Ok(Value::Nil);
        }
        for (at, field) in fields.iter().enumerate() {
            value = self.field(&value, field, at == 0)?;
        }
        Ok(value)
    }

    /// `first` tells a value that is simply absent (whose fields are absent too) from an absent value inside of a chain,
    /// which Go takes for a nil pointer.
    fn field(&mut self, value: &Value, field: &str, first: bool) -> Result<Value, Fault> {
        self.function = None;
        match value {
            Value::Map(map) => match map.find(field.as_bytes()) {
                Some(found) => Ok(found.clone()),
                None if self.missing_key == MissingKey::Strict => Err(Fault::MissingKey(field.into())),
                None => Ok(map.absent()),
            },
            Value::Nil if !first => Err(Fault::NilField(field.into())),
            Value::Nil if self.missing_key == MissingKey::Strict => Err(Fault::MissingKey(field.into())),
            Value::Nil => Ok(Value::Nil),
            Value::Object(object) if object.kind() == ObjectKind::Scratch => {
                self.scope.scratch_method(field, &[]).unwrap_or_else(|| Err(unknown_field(object, field)))
            }
            Value::Object(object) => object.field(field).ok_or_else(|| unknown_field(object, field)),
            other => Err(Fault::UnknownField { field: field.into(), type_name: other.type_name() }),
        }
    }

    /// The last field of a chain with arguments: only objects have methods.
    fn method(
        &mut self,
        base: Value,
        fields: &'p [Box<str>],
        command: &'p Command,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, Fault> {
        let Some((last, before)) = fields.split_last() else { return Err(Fault::NotCallable("the variable".into())) };
        let receiver = self.fields(base, before)?;
        let mut arguments = Vec::with_capacity(command.arguments.len() + 1);
        for argument in &command.arguments {
            arguments.push(self.operand(argument, dot)?);
        }
        arguments.extend(piped);
        self.position = command.head.position;
        match &receiver {
            Value::Object(object) if object.kind() == ObjectKind::Scratch => {
                self.scope.scratch_method(last, &arguments).unwrap_or_else(|| Err(unknown_field(object, last)))
            }
            _ => Err(Fault::NotCallable(last.clone())),
        }
    }

    fn call(
        &mut self,
        function: &'static Function,
        command: &'p Command,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, Fault> {
        match function.body {
            Body::And => return self.short_circuit(command, dot, piped, false),
            Body::Or => return self.short_circuit(command, dot, piped, true),
            _ => {}
        }
        let mut arguments = Vec::with_capacity(command.arguments.len() + 1);
        for argument in &command.arguments {
            let value = match (&argument.term, function.parameter(arguments.len())) {
                (Term::Number(number), Some(Parameter::Int)) => {
                    number.integer.map_or_else(|| number.ideal.clone(), Value::Int)
                }
                _ => self.operand(argument, dot)?,
            };
            arguments.push(value);
        }
        arguments.extend(piped);
        self.position = command.head.position;
        let result = self.apply(function, arguments)?;
        if let (Body::Rebind(_), Some(Operand { term: Term::Variable { name, fields }, .. })) =
            (&function.body, command.arguments.first())
            && fields.is_empty()
        {
            self.assign(name, result.clone())?;
        }
        Ok(result)
    }

    /// The first argument whose truth is `stop`, else the last one.
    fn short_circuit(
        &mut self,
        command: &'p Command,
        dot: &Value,
        piped: Option<Value>,
        stop: bool,
    ) -> Result<Value, Fault> {
        let mut value = Value::Nil;
        for argument in &command.arguments {
            value = self.operand(argument, dot)?;
            if value.is_true() == stop {
                return Ok(value);
            }
        }
        Ok(piped.unwrap_or(value))
    }

    fn apply(&mut self, function: &'static Function, mut arguments: Vec<Value>) -> Result<Value, Fault> {
        self.function = Some(function.name);
        for (at, argument) in arguments.iter_mut().enumerate() {
            self.scope.charge_for(argument)?;
            if let Some(parameter) = function.parameter(at)
                && let Some(fitting) = fit(argument, parameter, self.scope.is_own())?
            {
                *argument = fitting;
            }
        }
        self.scope.position = self.position;
        let result = match function.body {
            Body::Run(run) | Body::Rebind(run) => run(&mut self.scope, &arguments)?,
            Body::And | Body::Or => arguments.pop().unwrap_or(Value::Nil),
            Body::Execute => {
                let mut arguments = arguments.into_iter();
                let Some(Value::Text(name)) = arguments.next() else {
                    return Err(Fault::Function("a name is missing"));
                };
                let dot = arguments.next().unwrap_or(Value::Nil);
                self.execute(&name, &dot)?
            }
        };
        self.scope.charge_for(&result)?;
        self.function = None;
        Ok(result)
    }
}

/// `None` if the argument fits as it is; else what it becomes; else the error Go gives.
fn fit(argument: &Value, parameter: Parameter, own: bool) -> Result<Option<Value>, Fault> {
    let wrong = || Err(Fault::WrongType { expected: parameter.type_name(), found: argument.type_name() });
    match (parameter, argument) {
        (Parameter::Any, _)
        | (Parameter::Text, Value::Text(_))
        | (Parameter::Bool, Value::Bool(_))
        | (Parameter::Int, Value::Int(_) | Value::Uint(_))
        | (Parameter::Map, Value::Map(_) | Value::Nil)
        | (Parameter::List | Parameter::Texts, Value::Nil) => Ok(None),
        (Parameter::Text, Value::Number(text)) if own => Ok(Some(Value::Text(text.clone()))),
        (Parameter::List, Value::List(list)) if own || list.element() == Element::Any => Ok(None),
        (Parameter::Texts, Value::List(list)) if list.element() == Element::Text => Ok(None),
        (Parameter::Texts, Value::List(list)) if own => scalars(list).map_or_else(wrong, |list| Ok(Some(list))),
        _ => wrong(),
    }
}

/// A list of scalars as a list of texts, for the dialect that allows it.
fn scalars(list: &List) -> Option<Value> {
    let texts: Option<Vec<_>> = list.items().iter().map(crate::text::scalar).collect();
    texts.map(|texts| Value::List(List::of_texts(texts)))
}
