//! A compiled template: the crate's front door.

use std::fmt;

use vouchsafe_model::Secret;

use crate::analysis::{self, RootField, StaticRead};
use crate::ast::Program;
use crate::error::{CompileError, CompileFault, Fault, Position, RenderError};
use crate::eval::{Evaluator, OutputFile, Scope, Warning};
use crate::limits::{Limit, Limits, TEXT_LIMIT_BYTES};
use crate::options::Options;
use crate::parse;
use crate::resolver::Resolver;
use crate::value::Value;

/// A template, checked and ready to be rendered any number of times.
pub struct Template {
    name: String,
    options: Options,
    program: Program,
}

/// The result of a rendering.
#[derive(Debug)]
pub struct Rendered {
    /// What the template printed.
    pub main: Secret,
    /// What `writeToFile` asked for, in order.
    pub files: Vec<OutputFile>,
    /// At most 64, each place once.
    pub warnings: Vec<Warning>,
}

impl Template {
    /// Compiles `text`; `name` stands in error texts and should say where the template comes from.
    ///
    /// # Errors
    /// The first fault of the text, with its place.
    pub fn compile(name: &str, text: &str, options: &Options) -> Result<Self, CompileError> {
        let options = options.clone().with_default_delimiters();
        let fail = |(fault, position)| CompileError { template: name.to_owned(), position, fault };
        if text.len() > TEXT_LIMIT_BYTES {
            return Err(fail((CompileFault::TooLong, Position::START)));
        }
        if let Some(problem) = delimiter_problem(&options) {
            return Err(fail((CompileFault::Syntax(problem.to_owned()), Position::START)));
        }
        let program = parse::parse(text, &options).map_err(|failure| fail(*failure))?;
        Ok(Self { name: name.to_owned(), options, program })
    }

    /// The name given to [`Template::compile`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads whose path stands literally in the text, each once, in order: they can be fetched in parallel beforehand.
    pub fn static_reads(&self) -> Vec<StaticRead> {
        analysis::static_reads(&self.program)
    }

    /// Fields of the root that the text names literally (`.users.password` is secret `users`, key `password`), each place
    /// once, in order. A field in a defined template is not among them, since its dot is whatever the caller passes.
    pub fn roots(&self) -> Vec<RootField> {
        analysis::roots(&self.program)
    }

    /// Renders with `root` as `.` and `$`.
    ///
    /// # Errors
    /// The first fault, with its place and without any value; there is no partial output.
    #[expect(clippy::needless_pass_by_value, reason = "the caller is done with it, and its last owner wipes it")]
    pub fn render(&self, root: Value, resolver: &mut dyn Resolver, limits: &Limits) -> Result<Rendered, RenderError> {
        let scope = Scope::new(resolver, self.options.dialect, limits);
        let mut evaluator = Evaluator::new(&self.program, self.options.missing_key, limits, scope);
        let mut result = evaluator.run(&root);
        let files_bytes: usize = evaluator.scope.files.iter().map(|file| file.content.len()).sum();
        if result.is_ok() && files_bytes.saturating_add(evaluator.output.len()) > limits.output_bytes {
            result = Err(Fault::Limit(Limit::Output));
        }
        match result {
            Ok(()) => Ok(Rendered {
                main: Secret::new(evaluator.output.into_bytes()),
                files: evaluator.scope.files,
                warnings: evaluator.scope.warnings,
            }),
            Err(fault) => Err(RenderError {
                template: self.name.clone(),
                position: evaluator.position,
                function: evaluator.function,
                fault,
            }),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Template").field("name", &self.name).finish_non_exhaustive()
    }
}

fn delimiter_problem(options: &Options) -> Option<&'static str> {
    for delimiter in [&options.left, &options.right] {
        if delimiter.len() > DELIMITER_LIMIT_BYTES {
            return Some("a delimiter is longer than 16 bytes");
        }
        if delimiter.contains(|c: char| c.is_whitespace() || c.is_alphanumeric()) {
            return Some("a delimiter may not hold white space, letters or digits");
        }
    }
    None
}

/// Longer ones are a mistake, such as a whole template in the wrong annotation.
const DELIMITER_LIMIT_BYTES: usize = 16;
