//! `spec.deliver` and the annotations of the same field names: files, variables, commands, reactions.
//!
//! A Grant's entries name its own secrets only; an annotation's may say `grant/secret`.

use std::collections::BTreeMap;

use vouchsafe_model::name::ContainerName;
use vouchsafe_model::path::FileMode;
use vouchsafe_model::plan::{Action, HttpCall, HttpMethod, Signal};
use vouchsafe_model::text::{nearest, quoted};

use super::window::window;
use super::{Deliver, EnvEntry, FileContent, FileEntry, OnChange, SecretRef};
use crate::fields::{Faults, Fields, Item};
use crate::yaml::Content;

/// Reads `spec.deliver`.
pub(super) fn deliver(item: &Item<'_>, faults: &mut Faults) -> Deliver {
    let Some(mut fields) = Fields::open(item, faults) else { return Deliver::default() };
    let deliver = Deliver {
        containers: fields.optional("containers").map(|item| containers(&item, faults)).unwrap_or_default(),
        command: fields.optional("command").map(|item| commands(&item, faults)).unwrap_or_default(),
        mount_path: fields.optional("mountPath").and_then(|item| item.parse(faults)),
        files: entries(fields.optional("files"), faults, |item, faults| file_entry(item, false, faults)),
        env: entries(fields.optional("env"), faults, |item, faults| env_entry(item, false, faults)),
        on_change: fields.optional("onChange").and_then(|item| on_change(&item, faults)),
    };
    fields.finish(faults);
    deliver
}

fn entries<T>(
    item: Option<Item<'_>>,
    faults: &mut Faults,
    read: impl Fn(&Item<'_>, &mut Faults) -> Option<T>,
) -> Vec<T> {
    let items = item.map(|item| item.list(faults)).unwrap_or_default();
    items.iter().filter_map(|item| read(item, faults)).collect()
}

/// Container names, at least one.
pub(crate) fn containers(item: &Item<'_>, faults: &mut Faults) -> Vec<ContainerName> {
    if matches!(&item.node.content, Content::List(nodes) if nodes.is_empty()) {
        item.wrong(faults, "is empty; name a container, or leave the field out for the default one");
    }
    item.names(faults)
}

/// `{grafana: [/run.sh]}`: what a container's image would run.
pub(crate) fn commands(item: &Item<'_>, faults: &mut Faults) -> BTreeMap<ContainerName, Vec<String>> {
    let mut commands = BTreeMap::new();
    for (at, key, value) in item.entries(faults) {
        let name = match key.parse::<ContainerName>() {
            Ok(name) => name,
            Err(error) => {
                faults.push(crate::fault::Fault::new(at, item.path.clone(), error.to_string()));
                continue;
            }
        };
        if let Content::Text(text) = &value.node.content {
            let message = format!(
                "must be a list, since no shell takes it apart; write [{}]",
                text.split_whitespace().collect::<Vec<_>>().join(", ")
            );
            value.wrong(faults, message);
            continue;
        }
        let command: Vec<String> =
            value.list(faults).iter().filter_map(|item| item.text(faults).map(str::to_owned)).collect();
        match command.first() {
            None if matches!(&value.node.content, Content::List(nodes) if nodes.is_empty()) => {
                value.wrong(faults, "is empty; write the program and its arguments, as in [/run.sh]");
            }
            Some(program) if program.is_empty() => value.wrong(faults, "the program's name is empty"),
            _ if command.iter().any(|argument| argument.contains('\0')) => {
                value.wrong(faults, "holds a NUL byte, which no argument can");
            }
            _ => {
                commands.insert(name, command);
            }
        }
    }
    commands
}

/// One entry of `files`.
pub(crate) fn file_entry(item: &Item<'_>, is_annotation: bool, faults: &mut Faults) -> Option<FileEntry> {
    let mut fields = Fields::open(item, faults)?;
    let name = fields.required("name", "name: client_secret", faults).and_then(|item| item.parse(faults));
    let content = file_content(item, &mut fields, is_annotation, faults);
    let containers = fields.optional("containers").map(|item| containers(&item, faults)).unwrap_or_default();
    let mount_path = fields.optional("mountPath").and_then(|item| item.parse(faults));
    let mode = fields.optional("mode").and_then(|item| mode(&item, faults));
    let path_env = fields.optional("pathEnv").and_then(|item| item.parse(faults));
    let optional = flag(&mut fields, "optional", faults);
    let overrides = flag(&mut fields, "override", faults);
    fields.finish(faults);
    Some(FileEntry {
        at: item.node.at.clone(),
        field: item.path.clone(),
        name: name?,
        content: content?,
        containers,
        mount_path,
        mode,
        path_env,
        optional,
        overrides,
    })
}

fn flag(fields: &mut Fields<'_>, name: &'static str, faults: &mut Faults) -> bool {
    fields.optional(name).and_then(|item| item.boolean(faults)).unwrap_or(false)
}

fn file_content(
    item: &Item<'_>,
    fields: &mut Fields<'_>,
    is_annotation: bool,
    faults: &mut Faults,
) -> Option<FileContent> {
    let secret = fields.optional("secret");
    let key = fields.optional("key");
    let template = fields.optional("template");
    let delimiters = fields.optional("delimiters");
    match (secret, key, template) {
        (Some(secret), Some(key), None) => {
            if let Some(delimiters) = delimiters {
                delimiters.wrong(faults, "delimiters go with template; remove them");
            }
            let secret = secret_ref(&secret, is_annotation, faults);
            let key = key.parse(faults);
            Some(FileContent::Key { secret: secret?, key: key? })
        }
        (None, None, Some(template)) => {
            let delimiters = match delimiters {
                None => None,
                Some(item) => Some(delimiter_pair(&item, faults)?),
            };
            let text = template.text(faults)?.to_owned();
            Some(FileContent::Template { at: template.node.at.clone(), text, delimiters })
        }
        (Some(secret), None, Some(_)) => {
            secret.wrong(
                faults,
                "a template names its secrets itself, as in {{ .github.client_secret }}; remove the field",
            );
            None
        }
        (_, Some(key), Some(_)) => {
            key.wrong(faults, "a file takes key or template, not both; remove one");
            None
        }
        (Some(secret), None, None) => {
            secret.wrong(faults, "needs a key beside it, as in key: client_secret");
            None
        }
        (None, Some(key), None) => {
            key.wrong(faults, "needs a secret beside it, as in secret: github");
            None
        }
        (None, None, None) => {
            item.wrong(faults, "says not what the file holds; add secret and key, or template");
            None
        }
    }
}

fn delimiter_pair(item: &Item<'_>, faults: &mut Faults) -> Option<(String, String)> {
    let texts: Vec<&str> = item.list(faults).iter().filter_map(|item| item.text(faults)).collect();
    match texts.as_slice() {
        [left, right] if !left.is_empty() && !right.is_empty() => Some(((*left).to_owned(), (*right).to_owned())),
        _ => {
            item.wrong(faults, "must be two texts, as in [\"<<\", \">>\"]");
            None
        }
    }
}

fn mode(item: &Item<'_>, faults: &mut Faults) -> Option<FileMode> {
    if let Content::Number { text, .. } = &item.node.content {
        let message =
            format!("{text} is a number, which readers of YAML take for octal or decimal; quote it: \"{text}\"");
        item.wrong(faults, message);
        return None;
    }
    item.parse(faults)
}

/// One entry of `env`.
pub(crate) fn env_entry(item: &Item<'_>, is_annotation: bool, faults: &mut Faults) -> Option<EnvEntry> {
    let mut fields = Fields::open(item, faults)?;
    let name = fields.required("name", "name: GITHUB_TOKEN", faults).and_then(|item| item.parse(faults));
    let secret =
        fields.required("secret", "secret: github", faults).and_then(|item| secret_ref(&item, is_annotation, faults));
    let key = fields.required("key", "key: token", faults).and_then(|item| item.parse(faults));
    let containers = fields.optional("containers").map(|item| containers(&item, faults)).unwrap_or_default();
    let optional = flag(&mut fields, "optional", faults);
    let overrides = flag(&mut fields, "override", faults);
    fields.finish(faults);
    Some(EnvEntry {
        at: item.node.at.clone(),
        field: item.path.clone(),
        name: name?,
        secret: secret?,
        key: key?,
        containers,
        optional,
        overrides,
    })
}

fn secret_ref(item: &Item<'_>, is_annotation: bool, faults: &mut Faults) -> Option<SecretRef> {
    let text = item.text(faults)?;
    let parsed = match text.split_once('/') {
        Some(_) if !is_annotation => {
            item.wrong(faults, format!("{} names another Grant; a Grant delivers its own secrets only", quoted(text)));
            return None;
        }
        Some((grant, name)) => {
            grant.parse().and_then(|grant| Ok(SecretRef { grant: Some(grant), name: name.parse()? }))
        }
        None => text.parse().map(|name| SecretRef { grant: None, name }),
    };
    match parsed {
        Ok(secret) => Some(secret),
        Err(error) => {
            item.wrong(faults, error.to_string());
            None
        }
    }
}

/// `onChange` and the annotation `vouchsafe.dev/on-change`.
pub(crate) fn on_change(item: &Item<'_>, faults: &mut Faults) -> Option<OnChange> {
    if let Content::Text(text) = &item.node.content {
        item.wrong(faults, format!("must be a map; write {{action: {}}}", nearest(text, ACTIONS).unwrap_or("None")));
        return None;
    }
    let mut fields = Fields::open(item, faults)?;
    let action = fields.required("action", "action: Signal", faults).and_then(|item| action_name(&item, faults));
    let signal = fields.optional("signal");
    let http = fields.optional("http");
    let window_item = fields.optional("window");
    fields.finish(faults);
    let action = action?;
    let mut belongs = |field: &Option<Item<'_>>, owner: &str| {
        if let Some(item) = field.as_ref().filter(|_| owner != action) {
            item.wrong(faults, format!("goes with action: {owner}, not with {action}; remove it"));
        }
    };
    belongs(&signal, "Signal");
    belongs(&http, "HTTP");
    belongs(&window_item, "Restart");
    match action {
        "None" => Some(OnChange::Nothing),
        "Signal" => {
            if let Some(signal) = signal {
                signal_name(&signal, faults).map(|signal| OnChange::Act(Action::Signal(signal)))
            } else {
                item.wrong(faults, "action: Signal needs a signal, as in {action: Signal, signal: SIGHUP}");
                None
            }
        }
        "HTTP" => {
            if let Some(http) = http {
                http_call(&http, faults).map(|call| OnChange::Act(Action::Http(call)))
            } else {
                let message = "action: HTTP needs http, as in {action: HTTP, http: {port: 3000, path: /-/reload}}";
                item.wrong(faults, message);
                None
            }
        }
        _ => match window_item {
            None => Some(OnChange::Restart(None)),
            Some(item) => window(&item, faults).map(|window| OnChange::Restart(Some(window))),
        },
    }
}

fn action_name(item: &Item<'_>, faults: &mut Faults) -> Option<&'static str> {
    if item.node.content == Content::Null {
        item.wrong(faults, "is empty; write None, Signal, HTTP or Restart");
        return None;
    }
    let text = item.text(faults)?;
    let found = ACTIONS.into_iter().find(|action| *action == text);
    if found.is_none() {
        let hint = nearest(text, ACTIONS).map(|name| format!("did you mean {name}? ")).unwrap_or_default();
        item.wrong(faults, format!("no action is called {}; {hint}use None, Signal, HTTP or Restart", quoted(text)));
    }
    found
}

fn signal_name(item: &Item<'_>, faults: &mut Faults) -> Option<Signal> {
    let text = item.text(faults)?;
    let found = SIGNALS.into_iter().find(|signal| signal.as_str() == text);
    if found.is_none() {
        let hint = nearest(text, SIGNALS.map(Signal::as_str)).map(|name| format!("did you mean {name}? "));
        let hint = hint.unwrap_or_default();
        item.wrong(faults, format!("{} is not offered; {hint}use SIGHUP, SIGUSR1 or SIGUSR2", quoted(text)));
    }
    found
}

fn http_call(item: &Item<'_>, faults: &mut Faults) -> Option<HttpCall> {
    let mut fields = Fields::open(item, faults)?;
    let port = fields
        .required("port", "port: 3000", faults)
        .and_then(|item| item.whole_number(1, u64::from(u16::MAX), faults))
        .and_then(|port| u16::try_from(port).ok());
    let path = fields.required("path", "path: /-/reload", faults).and_then(|item| url_path(&item, faults));
    let method = match fields.optional("method") {
        None => Some(HttpMethod::default()),
        Some(item) => method(&item, faults),
    };
    fields.finish(faults);
    Some(HttpCall { port: port?, path: path?, method: method? })
}

fn method(item: &Item<'_>, faults: &mut Faults) -> Option<HttpMethod> {
    match item.text(faults)? {
        "POST" => Some(HttpMethod::Post),
        "PUT" => Some(HttpMethod::Put),
        "GET" => Some(HttpMethod::Get),
        other => {
            item.wrong(faults, format!("{} is not offered; use POST, PUT or GET", quoted(other)));
            None
        }
    }
}

fn url_path(item: &Item<'_>, faults: &mut Faults) -> Option<String> {
    let text = item.text(faults)?;
    let is_clean = text.len() <= URL_PATH_BYTES
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'<' | b'>' | b'\\'));
    if text.starts_with('/') && is_clean {
        return Some(text.to_owned());
    }
    item.wrong(
        faults,
        format!("{} is no request path; write it as in /-/reload, without host and fragment", quoted(text)),
    );
    None
}

const ACTIONS: [&str; 4] = ["None", "Signal", "HTTP", "Restart"];
const SIGNALS: [Signal; 3] = [Signal::Sighup, Signal::Sigusr1, Signal::Sigusr2];
/// Longest request path of a reload call.
const URL_PATH_BYTES: usize = 512;
