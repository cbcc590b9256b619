//! Our container: resources, users, mounts, patches; and what is left of the agent's tuning.
//!
//! Out of scope: the container itself (webhook).

use std::collections::BTreeMap;

use serde_json::Value;
use vouchsafe_model::text::quoted;

use super::connection::object_name;
use super::read::Reading;
use super::settings::{Defaults, LARGEST_ID, RESOURCES};
use super::value;

/// What the pod wants of our container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerWish {
    /// `requests` and `limits` by (list, resource), as in (`limits`, `cpu`); absent ones are left out.
    pub resources: BTreeMap<(&'static str, &'static str), value::Quantity>,
    /// Who it runs as.
    pub user: UserWish,
    /// The pod's shareProcessNamespace; `None` leaves it untouched.
    pub share_process_namespace: Option<bool>,
    /// Container whose mounts ours gets, too.
    pub copy_mounts_of: Option<String>,
    /// Secret that is mounted at /vault/custom.
    pub extra_secret: Option<String>,
    /// Level of the log, if the pod says one.
    pub log_level: Option<&'static str>,
    /// JSON patches of the finished container, in order.
    pub patches: Vec<ContainerPatch>,
}

/// Who our container runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserWish {
    /// Uid, unless [`UserWish::same`].
    pub user: i64,
    /// Gid.
    pub group: i64,
    /// The uid of the first app container.
    pub same: bool,
    /// Whether uid and gid are set at all.
    pub set: bool,
}

/// A JSON patch of our container whose operations touch nothing that injection itself needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPatch {
    /// The annotation.
    pub annotation: String,
    /// RFC 6902 operations.
    pub operations: Vec<Value>,
}

/// Reads what concerns our container.
pub(super) fn read(reading: &mut Reading<'_>, defaults: &Defaults) -> ContainerWish {
    ContainerWish {
        resources: resources(reading, defaults),
        user: user(reading, defaults),
        share_process_namespace: reading
            .single("agent-share-process-namespace")
            .map(|given| value::boolean(given.value).unwrap_or(false)),
        copy_mounts_of: reading.text("agent-copy-volume-mounts"),
        extra_secret: object_name(reading, "agent-extra-secret"),
        log_level: log_level(reading),
        patches: ["agent-init-json-patch", "agent-json-patch"].iter().filter_map(|name| patch(reading, name)).collect(),
    }
}

fn resources(
    reading: &mut Reading<'_>,
    defaults: &Defaults,
) -> BTreeMap<(&'static str, &'static str), value::Quantity> {
    let mut resources = BTreeMap::new();
    for (annotation, _, _) in RESOURCES {
        let default = defaults.resources.get(annotation).cloned();
        let quantity = match reading.single(annotation) {
            None => default,
            Some(given) if given.value.is_empty() => None,
            Some(given) => match value::quantity(given.value) {
                Ok(quantity) if quantity.thousandths < 0.0 => {
                    let shown = default.as_ref().map_or("none", |quantity| quantity.text.as_str()).to_owned();
                    reading.odd(
                        given.full,
                        format!(
                            "{} is negative, which Kubernetes refuses; the default ({shown}) is used",
                            quoted(given.value)
                        ),
                    );
                    default
                }
                Ok(quantity) => Some(quantity),
                // It was refused by its kind.
                Err(_) => None,
            },
        };
        if let (Some(quantity), Some(key)) = (quantity, key(annotation)) {
            resources.insert(key, quantity);
        }
    }
    lower_requests(reading, &mut resources);
    resources
}

/// A request above its limit, which Kubernetes refuses, becomes the limit.
fn lower_requests(reading: &mut Reading<'_>, resources: &mut BTreeMap<(&'static str, &'static str), value::Quantity>) {
    for (annotation, _, _) in RESOURCES {
        let Some(("requests", resource)) = key(annotation) else { continue };
        let (Some(request), Some(limit)) =
            (resources.get(&("requests", resource)), resources.get(&("limits", resource)))
        else {
            continue;
        };
        if request.thousandths <= limit.thousandths {
            continue;
        }
        let message = format!(
            "the request of {resource} ({}) is above its limit ({}), which Kubernetes refuses; the limit counts: raise it, or lower the request",
            request.text, limit.text
        );
        let limit = limit.clone();
        resources.insert(("requests", resource), limit);
        // Whoever sets only one of both meets the default of the other.
        let of_limit = RESOURCES.iter().find(|(name, _, _)| key(name) == Some(("limits", resource)));
        let given = reading.single(annotation).or_else(|| of_limit.and_then(|(name, _, _)| reading.single(name)));
        match given {
            Some(given) if reading.single(annotation).is_some() => reading.odd(given.full, message),
            Some(given) => reading.warn(given.full, &message),
            None => reading.warn("AGENT_INJECT settings", &message),
        }
    }
}

fn key(annotation: &str) -> Option<(&'static str, &'static str)> {
    Some(match annotation {
        "agent-requests-cpu" => ("requests", "cpu"),
        "agent-requests-mem" => ("requests", "memory"),
        "agent-requests-ephemeral" => ("requests", "ephemeral-storage"),
        "agent-limits-cpu" => ("limits", "cpu"),
        "agent-limits-mem" => ("limits", "memory"),
        "agent-limits-ephemeral" => ("limits", "ephemeral-storage"),
        _ => return None,
    })
}

fn user(reading: &mut Reading<'_>, defaults: &Defaults) -> UserWish {
    let mut id = |name, default| {
        let Some(given) = reading.single(name) else { return default };
        if given.value.is_empty() {
            reading.refuse(given.full, "is empty, which means 0, the superuser; write the id or remove the annotation");
            return default;
        }
        match value::integer(given.value) {
            Ok(0) => {
                reading.odd(given.full, "\"0\" is the superuser, which the sidecar does not need; write another id, or agent-run-as-same-user");
                0
            }
            Ok(id) if (1..=LARGEST_ID).contains(&id) => id,
            Ok(_) => {
                reading.hopeless(
                    given.full,
                    format!("{} is no id that Kubernetes takes; write 1 to {LARGEST_ID}", quoted(given.value)),
                );
                default
            }
            // It was refused by its kind.
            Err(_) => default,
        }
    };
    let (user, group) =
        (id("agent-run-as-user", defaults.run_as_user), id("agent-run-as-group", defaults.run_as_group));
    let names = ["agent-run-as-user", "agent-run-as-group", "agent-run-as-same-user"];
    let said = names.iter().any(|name| reading.single(name).is_some());
    UserWish {
        user,
        group,
        same: reading.boolean("agent-run-as-same-user", defaults.run_as_same_user),
        set: reading.boolean("agent-set-security-context", defaults.set_security_context || said),
    }
}

fn log_level(reading: &mut Reading<'_>) -> Option<&'static str> {
    let given = reading.single("log-level").filter(|given| !given.value.is_empty())?;
    match given.value.trim().to_ascii_lowercase().as_str() {
        "trace" => Some("trace"),
        "debug" => Some("debug"),
        "info" | "notice" => Some("info"),
        "warn" | "warning" => Some("warn"),
        "err" | "error" => Some("error"),
        _ => {
            reading.odd(
                given.full,
                format!("{} is no level; write trace, debug, info, warn or error", quoted(given.value)),
            );
            None
        }
    }
}

fn patch(reading: &mut Reading<'_>, name: &'static str) -> Option<ContainerPatch> {
    let given = reading.single(name).filter(|given| !given.value.trim().is_empty())?;
    let problem = |text: &str| {
        format!(
            "{text}; write JSON Patch operations, as in [{{\"op\":\"add\",\"path\":\"/imagePullPolicy\",\"value\":\"Always\"}}]"
        )
    };
    let operations = match serde_json::from_str::<Value>(given.value) {
        Ok(Value::Null) => return None,
        Ok(Value::Array(operations)) => operations,
        Ok(_) => {
            reading.refuse(given.full, problem("is no list of operations"));
            return None;
        }
        Err(error) => {
            reading
                .refuse(given.full, problem(&format!("is no JSON (line {}, column {})", error.line(), error.column())));
            return None;
        }
    };
    if operations.len() > PATCH_OPERATIONS {
        reading.hopeless(given.full, format!("has {} operations, the limit is {PATCH_OPERATIONS}", operations.len()));
        return None;
    }
    let mut kept = Vec::new();
    for (index, operation) in operations.into_iter().enumerate() {
        match judge(&operation) {
            Ok(()) => kept.push(operation),
            Err(Objection::Malformed(text)) => {
                reading.refuse(given.full, problem(&format!("operation {index} {text}")));
            }
            Err(Objection::Ours(text)) => reading.odd(
                given.full,
                format!(
                    "operation {index} is left out: it would change {text}, which the pod's injection needs as it is"
                ),
            ),
        }
    }
    (!kept.is_empty()).then(|| ContainerPatch { annotation: given.full.to_owned(), operations: kept })
}

enum Objection {
    /// Not RFC 6902.
    Malformed(&'static str),
    /// It touches what injection itself needs.
    Ours(String),
}

fn judge(operation: &Value) -> Result<(), Objection> {
    let text = |member: &str| operation.get(member).and_then(Value::as_str);
    let op = text("op").ok_or(Objection::Malformed("has no op"))?;
    let path = text("path").ok_or(Objection::Malformed("has no path"))?;
    let is_pointer = |path: &str| path.is_empty() || path.starts_with('/');
    if !is_pointer(path) {
        return Err(Objection::Malformed("has a path that does not begin with a slash"));
    }
    let needs_value = matches!(op, "add" | "replace" | "test");
    let needs_from = matches!(op, "move" | "copy");
    if !needs_value && !needs_from && op != "remove" {
        return Err(Objection::Malformed("is none of add, remove, replace, move, copy and test"));
    }
    if needs_value && operation.get("value").is_none() {
        return Err(Objection::Malformed("has no value"));
    }
    if needs_from && !text("from").is_some_and(is_pointer) {
        return Err(Objection::Malformed("has no from"));
    }
    if op == "test" {
        return Ok(());
    }
    protected(op, path, operation.get("value"))?;
    match text("from") {
        Some(from) if op == "move" => protected("remove", from, None),
        // Copying what is large again and again is how a small patch becomes a large pod.
        Some(from) if from.split('/').count() <= 2 && matches!(from, "" | "/env" | "/volumeMounts") => {
            Err(Objection::Ours("a copy of itself".to_owned()))
        }
        _ => Ok(()),
    }
}

fn protected(op: &str, path: &str, value: Option<&Value>) -> Result<(), Objection> {
    let mut parts = path.split('/').skip(1);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let ours = |what: &str| Err(Objection::Ours(what.to_owned()));
    match (first, second) {
        ("", _) => ours("the whole container"),
        ("name" | "image" | "command" | "args" | "restartPolicy", _) => ours(first),
        ("lifecycle", None | Some("postStart")) => ours("the start hook"),
        ("startupProbe", _) => ours("when the app starts"),
        ("env", Some("-")) if op == "add" && !is_our_variable(value) => Ok(()),
        ("volumeMounts", Some("-")) if op == "add" && !is_our_mount(value) => Ok(()),
        ("env", _) => ours("the Plan among env (append with /env/- instead)"),
        ("volumeMounts", _) => ours("our mounts (append with /volumeMounts/- instead)"),
        _ => Ok(()),
    }
}

fn is_our_variable(value: Option<&Value>) -> bool {
    let name = value.and_then(|value| value.get("name")).and_then(Value::as_str).unwrap_or_default();
    name.is_empty() || name.starts_with("VOUCHSAFE_")
}

fn is_our_mount(value: Option<&Value>) -> bool {
    let path = value.and_then(|value| value.get("mountPath")).and_then(Value::as_str).unwrap_or_default();
    path.is_empty() || path.trim_end_matches('/') == "/vouchsafe" || path.starts_with("/vouchsafe/")
}

/// How often secrets without lease are read again.
pub(super) fn render_seconds(reading: &mut Reading<'_>, defaults: &Defaults) -> Option<u64> {
    let text = reading.text_or("template-static-secret-render-interval", &defaults.render_interval)?;
    let full = reading
        .single("template-static-secret-render-interval")
        .map_or("AGENT_INJECT_TEMPLATE_STATIC_SECRET_RENDER_INTERVAL", |given| given.full)
        .to_owned();
    match value::vault_duration(&text) {
        Ok(duration) if duration.is_zero() => {
            reading.odd(&full, format!("{} would read without pause; the default is used", quoted(&text)));
            None
        }
        Ok(duration) => Some(duration.as_secs().clamp(SHORTEST_RENDER_SECONDS, LONGEST_RENDER_SECONDS)),
        Err(problem) => {
            reading.odd(&full, format!("{} {problem}; the default is used", quoted(&text)));
            None
        }
    }
}

/// Most operations of one patch: a container has fewer fields.
const PATCH_OPERATIONS: usize = 64;
/// Shortest pause between two reads of a secret: a cluster of such pods stays bearable for Vault.
const SHORTEST_RENDER_SECONDS: u64 = 5;
/// Longest pause: a year.
const LONGEST_RENDER_SECONDS: u64 = 31_536_000;
