//! Templates in Vault Agent's dialect: they name their secrets themselves, while they are rendered.
//!
//! A read that has not been made yet ends the rendering; it is noted, made, and the template rendered again, so a computed
//! path (`secret (printf …)`) costs one round more than a written one. Where a path leads is asked of the server, as an agent
//! does: KV version 2 wants `data/` put in. Out of scope: the requests themselves (server), when they are made (machine).

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use vouchsafe_model::Secret;
use vouchsafe_model::path::{FileMode, FileName};
use vouchsafe_model::plan::{AgentRead, AgentSecret, AgentTemplate, Content, Engine, Plan, PlanFile, PlanSecret};
use vouchsafe_model::text::quoted;
use vouchsafe_model::wire::{Document, Envelope, Lease, WireError};
use vouchsafe_template::{
    Certificate, Dialect, Fault, Limits, MissingKey, Options, OutputFile, ResolveError, Resolver, SecretObject,
    Template, Text, Value,
};

use crate::cause::{COMPILE, Cause, RENDER};
use crate::content::{Look, Rendering};
use crate::machine::Reading;

/// What renderings found out beside their bytes.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Secrets (indices into the Plan) that a file asked for.
    pub(crate) used: Vec<(usize, Vec<usize>)>,
    /// Reads that nobody has made yet, with the file that asked for them.
    pub(crate) wants: Vec<(usize, Want)>,
    /// Further files of a file's template.
    pub(crate) extras: Vec<(usize, Vec<Extra>)>,
}

/// A read that a template asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) secret: AgentSecret,
    pub(crate) parameters: Option<Map<String, Json>>,
}

/// A file that `writeToFile` asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) file: PlanFile,
    pub(crate) bytes: Secret,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// API path without `/v1/`, encoded.
    pub(crate) path: String,
    /// Whether KV version 2 is mounted there.
    pub(crate) is_kv2: bool,
    /// Whether the server did not say: then it is asked again after a failure.
    pub(crate) guessed: bool,
}

/// Compiles the template of `file`.
pub(crate) fn compile(file: &PlanFile, template: &AgentTemplate) -> Result<Template, Cause> {
    let mut options = Options { dialect: Dialect::DropIn, ..Options::drop_in() };
    if template.strict {
        options.missing_key = MissingKey::Strict;
    }
    if let Some((left, right)) = &template.delimiters {
        options = options.with_delimiters(left, right);
    }
    Template::compile(file.name.as_str(), &template.text, &options).map_err(|error| {
        Cause::new(COMPILE, format!("make {}", file.name), error.to_string(), "correct the template in the annotation")
    })
}

/// Renders file `index`; `look` answers for indices into the Plan's secrets.
pub(crate) fn render<'a>(
    plan: &Plan,
    index: usize,
    compiled: &Template,
    look: &dyn Fn(usize) -> Look<'a>,
    notes: &mut Notes,
) -> Rendering {
    let Some(file) = plan.files.get(index) else { return Rendering::Waiting };
    let mut reads = Reads { plan, look, used: Vec::new(), wants: Vec::new() };
    let result = compiled.render(Value::Nil, &mut reads, &Limits::default());
    let Reads { used, wants, .. } = reads;
    let waits = !wants.is_empty();
    notes.wants.extend(wants.into_iter().map(|want| (index, want)));
    notes.used.push((index, used));
    match result {
        Ok(rendered) => match extras(plan, rendered.files) {
            Ok(extras) => {
                notes.extras.push((index, extras));
                Rendering::Bytes(rendered.main)
            }
            Err(problem) => fault(file, &problem),
        },
        Err(error) if waits || matches!(error.fault, Fault::SecretUnavailable) => Rendering::Waiting,
        Err(error) => fault(file, &error.to_string()),
    }
}

fn fault(file: &PlanFile, problem: &str) -> Rendering {
    let remedy = "correct the template, or put the value that it expects";
    Rendering::Fault(Cause::new(RENDER, format!("make {}", file.name), problem, remedy))
}

/// Answers a template's reads with what is held, and notes what is not.
struct Reads<'p, 'l, 'a> {
    plan: &'p Plan,
    look: &'l dyn Fn(usize) -> Look<'a>,
    used: Vec<usize>,
    wants: Vec<Want>,
}

impl<'a> Reads<'_, '_, 'a> {
    fn document(
        &mut self,
        path: &str,
        read: AgentRead,
        arguments: &[(Text, Text)],
    ) -> Result<Option<&'a Document>, ResolveError> {
        let path = path
            .trim()
            .trim_matches('/')
            .parse()
            .map_err(|_| ResolveError::new("the path is none that a secret can have"))?;
        let secret = AgentSecret { path, read };
        let mut parameters = Map::new();
        for (key, value) in arguments {
            let (Some(key), Some(value)) = (key.as_str(), value.as_str()) else {
                return Err(ResolveError::new("an argument is no text"));
            };
            parameters.insert(key.to_owned(), Json::String(value.to_owned()));
        }
        let parameters = (!parameters.is_empty()).then_some(parameters);
        let same = |known: &PlanSecret| known.agent.as_ref() == Some(&secret) && known.parameters == parameters;
        let Some(index) = self.plan.secrets.iter().position(same) else {
            self.wants.push(Want { secret, parameters });
            return Ok(None);
        };
        if !self.used.contains(&index) {
            self.used.push(index);
        }
        Ok(match (self.look)(index) {
            Look::Value(document) => Some(document),
            Look::Nothing | Look::Waiting => None,
        })
    }
}

impl Resolver for Reads<'_, '_, '_> {
    fn secret(&mut self, path: &str, arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        let Some(document) = self.document(path, AgentRead::Secret, arguments)? else { return Ok(None) };
        let mut entries = Vec::new();
        // EXPOSE: rendering is what the value came for; it goes into the template's wiped buffers.
        for (key, value) in document.expose() {
            let value = Value::try_from(value).map_err(|_| ResolveError::new("the secret nests too deep"))?;
            entries.push((key.as_bytes().to_vec().into(), value));
        }
        match Value::map(entries) {
            Ok(Value::Map(map)) => Ok(Some(SecretObject::of_data(map).into())),
            _ => Err(ResolveError::new("the secret nests too deep")),
        }
    }

    fn list(&mut self, path: &str) -> Result<Option<Vec<Text>>, ResolveError> {
        let Some(document) = self.document(path, AgentRead::List, &[])? else { return Ok(None) };
        // EXPOSE: names, no values.
        let keys = document.expose().get(LIST_KEY).and_then(Json::as_array).into_iter().flatten();
        Ok(Some(keys.filter_map(Json::as_str).map(Text::from).collect()))
    }

    fn certificate(&mut self, path: &str, arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        let Some(document) = self.document(path, AgentRead::Certificate, arguments)? else { return Ok(None) };
        // EXPOSE: rendering is what the value came for; it goes into the template's wiped buffers.
        let fields = document.expose();
        let text = |name: &str| Text::from(fields.get(name).and_then(Json::as_str).unwrap_or_default());
        let chain = fields.get("ca_chain").and_then(Json::as_array).into_iter().flatten();
        let certificate = Certificate {
            certificate: text("certificate"),
            key: text("private_key"),
            authority: text("issuing_ca"),
            chain: chain.filter_map(Json::as_str).map(Text::from).collect(),
        };
        Ok(Some(certificate.into()))
    }
}

/// Further files become files of the Plan's volumes; one elsewhere is a fault.
fn extras(plan: &Plan, files: Vec<OutputFile>) -> Result<Vec<Extra>, String> {
    let mut extras: Vec<Extra> = Vec::new();
    for output in files {
        let place = plan.volumes.iter().enumerate().filter_map(|(volume, known)| {
            let below = output.path.strip_prefix(known.mount_path.as_str())?.strip_prefix('/')?;
            Some((known.mount_path.as_str().len(), volume, below))
        });
        let Some((_, volume, name)) = place.max_by_key(|(length, ..)| *length) else {
            return Err(format!(
                "writeToFile names {}, which lies in none of the pod's secret folders; write below {}",
                quoted(&output.path),
                plan.volumes.first().map_or("/vault/secrets", |volume| volume.mount_path.as_str())
            ));
        };
        let name = FileName::of_agent(name).map_err(|error| format!("writeToFile: {error}"))?;
        let mode = FileMode::of_agent(output.mode)
            .ok_or_else(|| format!("writeToFile: mode {:o} is none that a secret may have", output.mode))?;
        let known = extras.iter_mut().find(|extra| extra.file.volume == volume && extra.file.name == name);
        match known {
            Some(extra) if output.append => {
                // EXPOSE: two parts of one file become one.
                let both = [extra.bytes.expose(), output.content.expose()].concat();
                extra.bytes = Secret::new(both);
            }
            Some(extra) => extra.bytes = output.content,
            None => {
                let file = PlanFile { volume, name, mode, optional: false, content: Content::Token };
                extras.push(Extra { file, bytes: output.content });
            }
        }
    }
    Ok(extras)
}

/// Where `secret` leads, by what the server says of its mount (`sys/internal/ui/mounts/PATH`).
pub(crate) fn locate(secret: &AgentSecret, mount: Option<&Document>) -> Located {
    let (plain, query) = match secret.path.as_str().split_once('?') {
        Some((plain, query)) => (plain, Some(query)),
        None => (secret.path.as_str(), None),
    };
    // EXPOSE: facts about a mount, no value.
    let facts = mount.map(Document::expose);
    let folder = facts.and_then(|facts| facts.get("path")?.as_str()).unwrap_or_default().trim_matches('/');
    let version = facts.and_then(|facts| facts.get("options")?.get("version")?.as_str());
    let is_kv2 = version == Some("2");
    let rest = plain.strip_prefix(folder).map(|rest| rest.trim_start_matches('/'));
    let prefix = if secret.read == AgentRead::List { "metadata" } else { "data" };
    let path = match rest {
        Some(rest) if is_kv2 && !folder.is_empty() => {
            let said = ["data/", "metadata/", "subkeys/"].iter().any(|known| rest.starts_with(known));
            if said { plain.to_owned() } else { format!("{folder}/{prefix}/{rest}") }
        }
        _ => plain.to_owned(),
    };
    let is_data = is_kv2 && path.strip_prefix(folder).is_some_and(|rest| rest.starts_with("/data/"));
    let mut encoded = encoded(&path);
    if let Some(query) = query {
        // Writing into a String cannot fail.
        let _ = write!(encoded, "?{}", self::encoded(query));
    }
    Located { path: encoded.trim_end_matches('/').to_owned(), is_kv2: is_data, guessed: mount.is_none() }
}

/// What does not stand in a URL by itself is written `%XX`.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/:@=,+&!*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The request for `secret`, once it is known where it leads: the path as the server serves it.
pub(crate) fn request(secret: &PlanSecret, located: Option<&Located>) -> PlanSecret {
    let mut request = secret.clone();
    if let (Some(agent), Some(located)) = (&mut request.agent, located)
        && let Ok(path) = located.path.parse()
    {
        agent.path = path;
        request.engine = if located.is_kv2 { Engine::KvV2 } else { Engine::Generic };
    }
    request
}

/// The body of a write; `None` for a read.
pub(crate) fn body(secret: &PlanSecret) -> Option<Secret> {
    let is_certificate = secret.agent.as_ref().is_some_and(|agent| agent.read == AgentRead::Certificate);
    let parameters = match &secret.parameters {
        None if is_certificate => Map::new(),
        None => return None,
        Some(parameters) => parameters.clone(),
    };
    let body = if secret.engine == Engine::KvV2 {
        Json::Object(Map::from_iter([("data".to_owned(), Json::Object(parameters))]))
    } else {
        Json::Object(parameters)
    };
    Some(Secret::from(body.to_string()))
}

/// What an answer to a read or write holds: all of its data, with the wrapper of KV version 2. `life` tells how long a
/// certificate lasts.
pub(crate) fn reading(
    engine: Engine,
    envelope: Envelope,
    life: impl Fn(&Document, Duration) -> Option<Lease>,
    now: Duration,
) -> Result<Reading, WireError> {
    let data = envelope.data.ok_or(WireError::Absent("data"))?;
    if engine != Engine::KvV2 {
        let lease = envelope.lease.or_else(|| life(&data, now));
        return Ok(Reading::Value { document: data, version: 0, lease });
    }
    // EXPOSE: the metadata of a version, and whether there is any data.
    let fields = data.expose();
    let metadata = fields.get("metadata");
    let version = metadata.and_then(|metadata| metadata.get("version")?.as_u64()).unwrap_or_default();
    let destroyed = metadata.and_then(|metadata| metadata.get("destroyed")?.as_bool()).unwrap_or(false);
    // The answer to a write has the metadata alone.
    let is_write = metadata.is_none() && fields.get("version").is_some();
    if destroyed || (!is_write && fields.get("data").is_none_or(Json::is_null)) {
        return Ok(Reading::Deleted { version });
    }
    Ok(Reading::Value { document: data, version, lease: None })
}

/// The names of a list, as a document.
pub(crate) fn names(names: Vec<String>) -> Document {
    let names = names.into_iter().map(Json::String).collect();
    Document::new(Map::from_iter([(LIST_KEY.to_owned(), Json::Array(names))]))
}

/// Where a list's names stand in a document.
const LIST_KEY: &str = "keys";

#[cfg(test)]
mod tests {
    use vouchsafe_model::plan::AgentPath;

    use super::*;
    use crate::machine::tests::{document, plan};

    fn secret(path: &str) -> AgentSecret {
        AgentSecret { path: path.parse::<AgentPath>().unwrap(), read: AgentRead::Secret }
    }

    fn template(text: &str, reads: Vec<usize>) -> PlanFile {
        let template = AgentTemplate { text: text.to_owned(), source: None, delimiters: None, strict: false, reads };
        PlanFile {
            volume: 0,
            name: "t".parse().unwrap(),
            mode: FileMode::READ_ALL,
            optional: false,
            content: Content::Agent(template),
        }
    }

    fn rendered(text: &str, known: &[(&str, &str)]) -> (Rendering, Notes) {
        let mut plan = plan(0);
        plan.files = vec![template(text, Vec::new())];
        plan.volumes[0].mount_path = "/vault/secrets".parse().unwrap();
        let documents: Vec<Document> = known.iter().map(|(_, value)| document(value)).collect();
        for (number, (path, _)) in known.iter().enumerate() {
            plan.secrets.push(PlanSecret::of_agent(number, secret(path), None).unwrap());
        }
        let Content::Agent(content) = &plan.files[0].content else { panic!() };
        let compiled = compile(&plan.files[0], content).unwrap();
        let mut notes = Notes::default();
        let rendering = render(&plan, 0, &compiled, &|index| Look::Value(&documents[index]), &mut notes);
        (rendering, notes)
    }

    fn bytes(rendering: Rendering) -> String {
        match rendering {
            Rendering::Bytes(bytes) => String::from_utf8(bytes.expose().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_template_sees_the_whole_answer_and_prints_no_value_for_an_absent_key() {
        let value = r#"{"data":{"user":"app"},"metadata":{"version":2}}"#;
        let text = "{{ with secret \"secret/data/db\" }}{{ .Data.data.user }} {{ .Data.metadata.version }} {{ .Data.data.x }}{{ end }}";
        let (rendering, notes) = rendered(text, &[("secret/data/db", value)]);
        assert_eq!(bytes(rendering), "app 2 <no value>");
        assert_eq!(notes.used, [(0, vec![0])]);
    }

    #[test]
    fn a_computed_path_is_wanted_and_then_read() {
        let text = "{{ with secret (printf \"kv/%s\" \"a\") }}{{ .Data.x }}{{ end }}";
        let (rendering, notes) = rendered(text, &[]);
        assert_eq!(rendering, Rendering::Waiting);
        assert_eq!(notes.wants, [(0, Want { secret: secret("kv/a"), parameters: None })]);
        assert_eq!(bytes(rendered(text, &[("kv/a", r#"{"x":"1"}"#)]).0), "1");
    }

    #[test]
    fn arguments_make_a_write_of_its_own() {
        let text = "{{ with secret \"pki/issue/x\" \"common_name=a\" }}{{ .Data.certificate }}{{ end }}";
        let (_, notes) = rendered(text, &[("pki/issue/x", "{}")]);
        let wanted = notes.wants[0].1.parameters.as_ref().unwrap();
        assert_eq!(wanted["common_name"], "a");
    }

    #[test]
    fn further_files_stay_in_the_pods_folders() {
        let text = "{{ \"k\" | writeToFile \"/vault/secrets/tls/key.pem\" \"\" \"\" \"0640\" }}main";
        let (rendering, notes) = rendered(text, &[]);
        assert_eq!(bytes(rendering), "main");
        let extra = &notes.extras[0].1[0];
        assert_eq!((extra.file.name.as_str(), extra.file.mode.bits()), ("tls/key.pem", 0o640));
        for outside in ["/etc/passwd", "/vault/secrets/../x", "x"] {
            let text = format!("{{{{ \"k\" | writeToFile \"{outside}\" \"\" \"\" \"0640\" }}}}");
            assert!(matches!(rendered(&text, &[]).0, Rendering::Fault(_)), "{outside}");
        }
    }

    #[test]
    fn kv_version_2_gets_its_data_prefix_and_nothing_else_does() {
        let kv2 = document(r#"{"path":"secret/","options":{"version":"2"}}"#);
        let kv1 = document(r#"{"path":"kv/","options":{"version":"1"}}"#);
        let at = |path: &str, mount: &Document| locate(&secret(path), Some(mount));
        for (path, expected) in [
            ("secret/app", "secret/data/app"),
            ("secret/data/app", "secret/data/app"),
            ("secret/metadata/app", "secret/metadata/app"),
            ("secret/app?version=2", "secret/data/app?version=2"),
            ("secret/My App", "secret/data/My%20App"),
        ] {
            assert_eq!(at(path, &kv2).path, expected, "{path}");
        }
        assert!(at("secret/app", &kv2).is_kv2 && !at("secret/metadata/app", &kv2).is_kv2);
        assert_eq!(at("kv/app", &kv1), Located { path: "kv/app".to_owned(), is_kv2: false, guessed: false });
        assert!(locate(&secret("kv/app"), None).guessed);
        let list = AgentSecret { read: AgentRead::List, ..secret("secret/team") };
        assert_eq!(locate(&list, Some(&kv2)).path, "secret/metadata/team");
    }

    #[test]
    fn writes_to_kv_version_2_are_wrapped() {
        let mut write = PlanSecret::of_agent(0, secret("secret/data/x"), Some(Map::new())).unwrap();
        assert_eq!(body(&write).unwrap(), Secret::from("{}".to_owned()));
        write.engine = Engine::KvV2;
        assert_eq!(body(&write).unwrap(), Secret::from("{\"data\":{}}".to_owned()));
        write.parameters = None;
        assert_eq!(body(&write), None);
    }
}
