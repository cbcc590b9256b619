//! What the files hold: from values to bytes, pure.
//!
//! A key is copied byte for byte; a template sees a map of secret names to maps of keys. A missing key is an error, or "no
//! file" where the file is optional. Out of scope: which values count (the machine) and writing (files).

use serde_json::Map;
use vouchsafe_model::Secret;
use vouchsafe_model::name::KeyName;
use vouchsafe_model::plan::{Content, Plan, PlanFile, PlanSecret, PlanTemplate};
use vouchsafe_model::wire::Document;
use vouchsafe_template::reference::VALUE_BYTES;
use vouchsafe_template::{Fault, Limits, NoReads, Options, Template, Value};

use crate::agent::{self, Notes};
use crate::cause::{COMPILE, Cause, FILE_TOO_LARGE, NO_KEY, RENDER, VARIABLE};

/// What is known about one secret of the Plan.
#[derive(Clone, Copy)]
pub(crate) enum Look<'a> {
    /// Its value.
    Value(&'a Document),
    /// The server says that there is none.
    Nothing,
    /// Not read yet.
    Waiting,
}

/// What a file comes to with the values at hand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rendering {
    /// These bytes.
    Bytes(Secret),
    /// No file, as `optional` allows.
    Absent,
    /// A secret is not there yet.
    Waiting,
    /// These values do not make the file.
    Fault(Cause),
}

/// The Plan's templates, compiled once.
pub(crate) struct Contents {
    /// One per file; `None` where the file is a single key.
    templates: Vec<Option<Result<Template, Cause>>>,
}

impl Contents {
    pub(crate) fn compile(plan: &Plan) -> Self {
        let compile = |file: &PlanFile| match &file.content {
            Content::Key { .. } | Content::Token => None,
            Content::Agent(template) => Some(agent::compile(file, template)),
            Content::Template(template) => Some(compile(file, template)),
        };
        Self { templates: plan.files.iter().map(compile).collect() }
    }

    /// Renders file `index` of `plan`; `look` answers for indices into its secrets.
    pub(crate) fn render<'a>(
        &self,
        plan: &Plan,
        index: usize,
        look: impl Fn(usize) -> Look<'a>,
        notes: &mut Notes,
    ) -> Rendering {
        let Some(file) = plan.files.get(index) else { return Rendering::Waiting };
        let rendering = match &file.content {
            Content::Key { secret, key } => render_key(plan, file, *secret, key, look(*secret)),
            Content::Template(template) => match self.templates.get(index) {
                Some(Some(Ok(compiled))) => render_template(plan, file, template, compiled, look),
                Some(Some(Err(cause))) => Rendering::Fault(cause.clone()),
                _ => Rendering::Waiting,
            },
            Content::Agent(_) => match self.templates.get(index) {
                Some(Some(Ok(compiled))) => agent::render(plan, index, compiled, &look, notes),
                Some(Some(Err(cause))) => Rendering::Fault(cause.clone()),
                _ => Rendering::Waiting,
            },
            // The machine knows the token.
            Content::Token => Rendering::Waiting,
        };
        match rendering {
            Rendering::Bytes(bytes) if bytes.len() > FILE_BYTES => Rendering::Fault(Cause::new(
                FILE_TOO_LARGE,
                format!("make {}", file.name),
                format!("it has {} bytes, the limit is {FILE_BYTES}", bytes.len()),
                "shorten the template, or deliver the secret in several files",
            )),
            Rendering::Bytes(bytes) if plan.environment_of(file).is_some() => variable(file, bytes),
            other => other,
        }
    }
}

/// A variable's value: what the kernel does not take is refused.
fn variable(file: &PlanFile, bytes: Secret) -> Rendering {
    let length = file.name.as_str().len() + bytes.len() + 2;
    // EXPOSE: only looked through for the one byte that ends a variable.
    let problem = if bytes.expose().contains(&0) {
        "it holds a NUL byte".to_owned()
    } else if length > VALUE_BYTES {
        format!("with its name it has {length} bytes, the limit is {VALUE_BYTES}")
    } else {
        return Rendering::Bytes(bytes);
    };
    Rendering::Fault(Cause::new(VARIABLE, format!("set {}", file.name), problem, "deliver it as a file"))
}

fn compile(file: &PlanFile, template: &PlanTemplate) -> Result<Template, Cause> {
    let options = match &template.delimiters {
        Some((left, right)) => Options::own().with_delimiters(left, right),
        None => Options::own(),
    };
    Template::compile(file.name.as_str(), &template.text, &options).map_err(|error| {
        Cause::new(COMPILE, format!("make {}", file.name), error.to_string(), "correct the template in the Grant")
    })
}

fn render_key(plan: &Plan, file: &PlanFile, secret: usize, key: &KeyName, look: Look<'_>) -> Rendering {
    let document = match look {
        Look::Value(document) => document,
        Look::Nothing if file.optional => return Rendering::Absent,
        Look::Nothing | Look::Waiting => return Rendering::Waiting,
    };
    match document.value(key) {
        Some(value) => Rendering::Bytes(value),
        None if file.optional => Rendering::Absent,
        None => Rendering::Fault(missing_key(plan, file, secret, key.as_str())),
    }
}

fn render_template<'a>(
    plan: &Plan,
    file: &PlanFile,
    template: &PlanTemplate,
    compiled: &Template,
    look: impl Fn(usize) -> Look<'a>,
) -> Rendering {
    let mut roots = Vec::with_capacity(template.roots.len());
    for (name, secret) in &template.roots {
        match (look(*secret), plan.secrets.get(*secret)) {
            (Look::Value(document), Some(secret)) => match keys(secret, document) {
                Ok(value) => roots.push((name.as_str().as_bytes().to_vec().into(), value)),
                Err(fault) => return render_fault(file, &fault.to_string()),
            },
            (Look::Nothing, _) if file.optional => return Rendering::Absent,
            _ => return Rendering::Waiting,
        }
    }
    let root = match Value::map(roots) {
        Ok(root) => root,
        Err(fault) => return render_fault(file, &fault.to_string()),
    };
    match compiled.render(root, &mut NoReads, &Limits::default()) {
        Ok(rendered) => Rendering::Bytes(rendered.main),
        Err(error) if file.optional && matches!(error.fault, Fault::MissingKey(_) | Fault::NilField(_)) => {
            Rendering::Absent
        }
        Err(error) => render_fault(file, &error.to_string()),
    }
}

/// The delivered keys of a secret as a template's map; all of them where the Grant names none.
fn keys(secret: &PlanSecret, document: &Document) -> Result<Value, Fault> {
    // EXPOSE: rendering is what the value came for; it goes into the template's wiped buffers.
    let map: &Map<String, serde_json::Value> = document.expose();
    let wanted = |key: &str| secret.keys.is_empty() || secret.keys.iter().any(|name| name.as_str() == key);
    let entries = map.iter().filter(|(key, _)| wanted(key)).map(|(key, value)| {
        let value = Value::try_from(value)?;
        Ok((key.as_bytes().to_vec().into(), value))
    });
    Value::map(entries.collect::<Result<Vec<_>, Fault>>()?)
}

fn render_fault(file: &PlanFile, problem: &str) -> Rendering {
    Rendering::Fault(Cause::new(
        RENDER,
        format!("make {}", file.name),
        problem,
        "correct the template, or put the value that it expects",
    ))
}

fn missing_key(plan: &Plan, file: &PlanFile, secret: usize, key: &str) -> Cause {
    let (label, path) = plan
        .secrets
        .get(secret)
        .map_or_else(Default::default, |secret| (secret.label(), format!("{}/{}", secret.mount, secret.path)));
    Cause::new(
        NO_KEY,
        format!("make {}", file.name),
        format!("secret {label} at \"{path}\" has no key \"{key}\""),
        format!("run 'vouchsafe put {path} {key}'"),
    )
}

/// Size of a value as compact JSON, without making a copy of it.
pub(crate) fn size_bytes(document: &Document) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // EXPOSE: only counted. Counting cannot fail, and a document of JSON values has nothing that JSON cannot write.
    let _ = serde_json::to_writer(&mut count, document.expose());
    count.0
}

/// Largest file: what fits a Kubernetes Secret, so that nothing delivered there is too large here.
pub(crate) const FILE_BYTES: usize = 1 << 20;
/// Most bytes of all files of a pod: the memory that the webhook plans for holds two generations of them.
pub(crate) const FILES_BYTES: usize = 4 << 20;
/// Largest secret as JSON: Vault's own storage entries are limited to this.
pub(crate) const SECRET_BYTES: usize = 1 << 20;
/// Most bytes of all secrets of a pod; the state volume is sized for it.
pub(crate) const VALUES_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::{document, plan, template_file};

    fn text(rendering: Rendering) -> String {
        match rendering {
            Rendering::Bytes(bytes) => String::from_utf8(bytes.expose().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_is_copied_byte_for_byte() {
        let plan = plan(1);
        let value = document(r#"{"password":"a\n\u0000b"}"#);
        assert_eq!(
            text(Contents::compile(&plan).render(&plan, 0, |_| Look::Value(&value), &mut Notes::default())),
            "a\n\0b"
        );
    }

    #[test]
    fn a_missing_key_is_an_error_that_names_the_put_command() {
        let plan = plan(1);
        let value = document(r#"{"other":"hunter2"}"#);
        let Rendering::Fault(cause) =
            Contents::compile(&plan).render(&plan, 0, |_| Look::Value(&value), &mut Notes::default())
        else {
            panic!("rendered")
        };
        assert!(cause.to_string().ends_with("run 'vouchsafe put secret/app/s0 password' (E-SEC-002)"), "{cause}");
        assert!(!cause.to_string().contains("hunter2"));
    }

    #[test]
    fn an_optional_file_is_absent_without_its_key_or_secret() {
        let mut plan = plan(1);
        plan.files[0].optional = true;
        let value = document(r#"{"other":"x"}"#);
        let contents = Contents::compile(&plan);
        assert_eq!(contents.render(&plan, 0, |_| Look::Value(&value), &mut Notes::default()), Rendering::Absent);
        assert_eq!(contents.render(&plan, 0, |_| Look::Nothing, &mut Notes::default()), Rendering::Absent);
        assert_eq!(contents.render(&plan, 0, |_| Look::Waiting, &mut Notes::default()), Rendering::Waiting);
    }

    #[test]
    fn a_template_sees_only_the_keys_that_the_grant_names() {
        let mut plan = plan(1);
        plan.secrets[0].keys = vec!["password".parse().unwrap()];
        plan.files.push(template_file("{{ range $k, $v := .s0 }}{{ $k }}={{ $v }};{{ end }}", &[("s0", 0)]));
        let value = document(r#"{"password":"x","hidden":"y"}"#);
        assert_eq!(
            text(Contents::compile(&plan).render(&plan, 1, |_| Look::Value(&value), &mut Notes::default())),
            "password=x;"
        );
    }

    #[test]
    fn a_template_error_has_a_place_and_no_value() {
        let mut plan = plan(1);
        plan.files.push(template_file("x\n{{ .s0.absent }}", &[("s0", 0)]));
        let value = document(r#"{"password":"hunter2"}"#);
        let Rendering::Fault(cause) =
            Contents::compile(&plan).render(&plan, 1, |_| Look::Value(&value), &mut Notes::default())
        else {
            panic!("rendered")
        };
        assert!(cause.to_string().contains(":2:") && !cause.to_string().contains("hunter2"), "{cause}");
        plan.files[1].optional = true;
        assert_eq!(
            Contents::compile(&plan).render(&plan, 1, |_| Look::Value(&value), &mut Notes::default()),
            Rendering::Absent
        );
    }

    #[test]
    fn a_file_above_its_limit_is_refused() {
        let plan = plan(1);
        let value = document(&format!(r#"{{"password":"{}"}}"#, "x".repeat(FILE_BYTES + 1)));
        let rendering = Contents::compile(&plan).render(&plan, 0, |_| Look::Value(&value), &mut Notes::default());
        assert!(matches!(rendering, Rendering::Fault(cause) if cause.code == FILE_TOO_LARGE));
    }

    #[test]
    fn a_value_is_measured_as_compact_json() {
        assert_eq!(size_bytes(&document(r#"{ "a" : "b" }"#)), 9);
    }
}
