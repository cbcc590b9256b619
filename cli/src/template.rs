//! `vouchsafe template`: compile and render templates of Grants offline.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use std::io::Write as _;
use vouchsafe_template::{Limits, MissingKey, NoReads, Options, Template, Value};

use crate::arguments::{Delimiters, TemplateVerb};
use crate::output::{line, note};

/// Runs the verb.
pub(crate) fn run(verb: &TemplateVerb) -> Result<ExitCode> {
    match verb {
        TemplateVerb::Check { file, delimiters } => {
            compile(file, &options(delimiters, false))?;
            line(format!("{}: fine", file.display()));
        }
        TemplateVerb::Render { template, data, delimiters, lenient } => {
            let template = compile(template, &options(delimiters, *lenient))?;
            let json = std::fs::read(data).with_context(|| format!("read {}", data.display()))?;
            let Ok(root) = Value::from_json_text(&json) else {
                bail!("{}: not a JSON document within the limits of a secret", data.display());
            };
            let rendered = template.render(root, &mut NoReads, &Limits::default())?;
            for warning in &rendered.warnings {
                note(format!("warning: {}: {}", warning.position, warning.message));
            }
            // EXPOSE: printing the result is what the user asked for; the data is his own file.
            std::io::stdout().write_all(rendered.main.expose())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compile(file: &Path, options: &Options) -> Result<Template> {
    let (name, text) = if file == Path::new("-") {
        ("standard input".to_owned(), std::io::read_to_string(std::io::stdin())?)
    } else {
        (file.display().to_string(), std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?)
    };
    Ok(Template::compile(&name, &text, options)?)
}

fn options(delimiters: &Delimiters, lenient: bool) -> Options {
    let mut options = Options::own().with_delimiters(&delimiters.left, &delimiters.right);
    if lenient {
        options.missing_key = MissingKey::Zero;
    }
    options
}
