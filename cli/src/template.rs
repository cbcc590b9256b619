//! `vouchsafe template`: compile and render templates offline, those of annotations and those of Grants.
//!
//! The data says which of the two a template is: paths are for annotations, plain names for Grants. Nothing is read but
//! the two files, nothing is written but standard output.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use std::io::Write as _;
use vouchsafe_model::Secret;
use vouchsafe_template::{
    Certificate, Limits, List, Map, MissingKey, NoReads, Options, ResolveError, Resolver, SecretObject, Template, Text,
    Value,
};

use crate::arguments::{Delimiters, TemplateVerb};
use crate::output::{line, note};

/// Runs the verb.
pub(crate) fn run(verb: &TemplateVerb) -> Result<ExitCode> {
    match verb {
        TemplateVerb::Check { file, delimiters } => check(file, delimiters)?,
        TemplateVerb::Render { template, data, delimiters, strict } => render(template, data, delimiters, *strict)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What compiles for annotations is a template; whether it would do for a Grant as well is worth a word.
fn check(file: &Path, delimiters: &Delimiters) -> Result<()> {
    let (name, text) = read(file)?;
    Template::compile(&name, &text, &Options::drop_in().with_delimiters(&delimiters.left, &delimiters.right))?;
    line(format!("{name}: fine"));
    let own = Options::own().with_delimiters(&delimiters.left, &delimiters.right);
    if let Err(error) = Template::compile(&name, &text, &own) {
        note(format!("for annotations only, a Grant would refuse it: {}: {}", error.position, error.fault));
    }
    Ok(())
}

fn render(template: &Path, data: &Path, delimiters: &Delimiters, strict: bool) -> Result<()> {
    let json = std::fs::read(data).with_context(|| format!("read {}", data.display()))?;
    let Ok(Value::Map(entries)) = Value::from_json_text(&json) else {
        bail!("{}: not a JSON object within the limits of a secret", data.display());
    };
    let mut options = if is_of_grant(&entries) { Options::own() } else { Options::drop_in() };
    if strict {
        options.missing_key = MissingKey::Strict;
    }
    let (name, text) = read(template)?;
    let options = options.with_delimiters(&delimiters.left, &delimiters.right);
    let template = Template::compile(&name, &text, &options)?;
    let rendered = if is_of_grant(&entries) {
        template.render(Value::Map(entries), &mut NoReads, &Limits::default())?
    } else {
        template.render(Value::Nil, &mut Answers { entries }, &Limits::default())?
    };
    for warning in &rendered.warnings {
        note(format!("warning: {}: {}", warning.position, warning.message));
    }
    for file in &rendered.files {
        note(format!("writeToFile: {} mode {:04o}, {} bytes", file.path, file.mode, file.content.len()));
    }
    // EXPOSE: printing the result is what the user asked for; the data is his own file.
    std::io::stdout().write_all(rendered.main.expose())?;
    Ok(())
}

/// Names of secrets are plain words; paths have slashes, and answers to `secrets` and `pkiCert` a prefix.
fn is_of_grant(entries: &Map) -> bool {
    let plain = |key: &Text| !key.as_bytes().iter().any(|byte| matches!(byte, b'/' | b':' | b'|'));
    !entries.is_empty() && entries.entries().iter().all(|(key, _)| plain(key))
}

fn read(file: &Path) -> Result<(String, String)> {
    if file == Path::new("-") {
        return Ok(("standard input".to_owned(), std::io::read_to_string(std::io::stdin())?));
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    Ok((file.display().to_string(), text))
}

/// Answers reads from the data file; what it lacks is not available.
struct Answers {
    entries: Map,
}

impl Answers {
    fn find(&self, prefix: &str, path: &str, arguments: &[(Text, Text)]) -> Option<&Value> {
        let mut key = [prefix.as_bytes(), path.as_bytes()].concat();
        for (name, value) in arguments {
            key.push(b'|');
            key.extend_from_slice(name.as_bytes());
            key.push(b'=');
            key.extend_from_slice(value.as_bytes());
        }
        self.entries.find(&key)
    }
}

impl Resolver for Answers {
    fn secret(&mut self, path: &str, arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        match self.find("", path, arguments) {
            Some(Value::Map(entry)) => secret(entry).map(Some),
            Some(_) => Err(ResolveError::new("the data of this path is not an object")),
            None => Ok(None),
        }
    }

    fn list(&mut self, path: &str) -> Result<Option<Vec<Text>>, ResolveError> {
        Ok(self.find("list:", path, &[]).and_then(list).map(|list| texts(&list)))
    }

    fn certificate(&mut self, path: &str, arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        let Some(Value::Map(pem)) = self.find("pki:", path, arguments) else { return Ok(None) };
        Ok(Some(Value::from(Certificate {
            certificate: text(pem, "Cert"),
            key: text(pem, "Key"),
            authority: text(pem, "CA"),
            chain: pem.find(b"CAChain").and_then(list).map(|chain| texts(&chain)).unwrap_or_default(),
        })))
    }

    fn environment(&mut self, name: &str) -> Option<Secret> {
        std::env::var(name).ok().map(Secret::from)
    }

    fn now(&mut self) -> Option<SystemTime> {
        Some(SystemTime::now())
    }
}

/// A path's answer: its data, and the lease in `_secret`.
fn secret(entry: &Map) -> Result<Value, ResolveError> {
    let data = entry.entries().iter().filter(|(key, _)| key.as_bytes() != b"_secret").cloned();
    let data = Map::new(data).map_err(|fault| ResolveError::new(fault.to_string()))?;
    let mut object = SecretObject::of_data(data);
    if let Some(Value::Map(lease)) = entry.find(b"_secret") {
        let word = |name: &str| text(lease, name).as_str().unwrap_or_default().to_owned();
        object.lease_id = word("lease_id");
        object.request_id = word("request_id");
        object.lease_duration = word("lease_duration").parse().unwrap_or_default();
        object.renewable = matches!(lease.find(b"renewable"), Some(Value::Bool(true)));
    }
    Ok(object.into())
}

fn text(map: &Map, name: &str) -> Text {
    match map.find(name.as_bytes()) {
        Some(Value::Text(text) | Value::Number(text)) => text.clone(),
        _ => Text::from(""),
    }
}

fn list(value: &Value) -> Option<List> {
    match value {
        Value::List(list) => Some(list.clone()),
        _ => None,
    }
}

fn texts(list: &List) -> Vec<Text> {
    list.items()
        .iter()
        .filter_map(|item| match item {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, data: &str, strict: bool) -> Result<String, String> {
        let Ok(Value::Map(entries)) = Value::from_json_text(data.as_bytes()) else { panic!("not an object") };
        assert!(!is_of_grant(&entries));
        let mut options = Options::drop_in();
        options.missing_key = if strict { MissingKey::Strict } else { MissingKey::Zero };
        let template = Template::compile("t", template, &options).map_err(|error| error.to_string())?;
        let rendered = template.render(Value::Nil, &mut Answers { entries }, &Limits::default());
        // EXPOSE: the test compares the bytes
        rendered.map(|rendered| rendered.main.expose_str().unwrap().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_writes_lists_and_certificates_come_from_the_data() {
        let data = r#"{"secret/data/a": {"data": {"n": 1.50}, "_secret": {"lease_id": "l", "lease_duration": 60, "renewable": true}},
            "db/creds|ttl=1h": {"p": "x"}, "list:secret/": ["a", "b"], "pki:pki/issue|cn=w": {"Cert": "C", "CAChain": ["D"]}}"#;
        let template = r#"{{ with secret "secret/data/a" }}{{ .Data.data.n }} {{ .LeaseID }} {{ .LeaseDuration }} {{ .Renewable }}{{ end }}
            {{- with secret "db/creds" "ttl=1h" }} {{ .Data.p }}{{ end }} {{ range secrets "secret/" }}{{ . }}{{ end }}
            {{- with pkiCert "pki/issue" "cn=w" }} {{ .Cert }}{{ .Data.CAChain }}{{ end }}"#;
        assert_eq!(rendered(template, data, false).unwrap(), "1.50 l 60 true x ab C[D]");
    }

    #[test]
    fn strict_makes_a_missing_key_an_error() {
        let data = r#"{"secret/a": {}}"#;
        let template = r#"{{ with secret "secret/a" }}{{ .Data.x }}{{ end }}"#;
        assert_eq!(rendered(template, data, false).unwrap(), "<no value>");
        assert!(rendered(template, data, true).unwrap_err().contains("no entry for key x"));
    }

    #[test]
    fn plain_names_are_the_data_of_a_grant() {
        let of_grant = |json: &str| match Value::from_json_text(json.as_bytes()) {
            Ok(Value::Map(entries)) => is_of_grant(&entries),
            _ => panic!("not an object"),
        };
        assert!(of_grant(r#"{"github": {"client_secret": "x"}}"#));
        for paths in [r#"{"secret/a": {}}"#, r#"{"list:secret": []}"#, "{}", r#"{"a": {}, "b|c=d": {}}"#] {
            assert!(!of_grant(paths), "{paths}");
        }
    }
}
