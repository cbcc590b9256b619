//! The drop-in dialect: `vault.hashicorp.com/*` and `openbao.org/*`, read as vault-k8s 1.7.6 reads them.
//!
//! ```text
//! table.rs    every annotation: kind, default, meaning, difference   ─▶ document.rs ─▶ docs/vault-k8s.md
//! settings.rs the injector's AGENT_INJECT_* settings ─▶ Defaults
//! read.rs     annotations ─▶ named values; refused, hopeless or odd
//!   files.rs      secrets, templates, folders, modes, commands
//!   connection.rs server, trust, login method
//!   container.rs  resources, users, patches, tuning
//!               ─▶ DropIn
//! ```
//! What differs from vault-k8s stands in the table, and nowhere else. Names are never rewritten on the pod.
//! Out of scope: what the pod is made of and which secrets its templates read (derivation), changing the pod.

mod command;
mod connection;
mod container;
mod derive;
#[cfg(test)]
mod derive_tests;
mod document;
mod files;
mod read;
mod settings;
pub mod table;
#[cfg(test)]
mod tests;
pub mod value;

use std::collections::BTreeMap;

use crate::fault::Fault;

use self::read::Reading;

pub use self::command::Command;
pub use self::connection::{Method, ServerWish};
pub use self::container::{ContainerPatch, ContainerWish, UserWish};
pub use self::derive::{GIVEN_TOKEN_FOLDER, GrantPolicy, derive_drop_in};
pub use self::document::{DOCUMENT_PATH, markdown};
pub use self::files::{DropInFile, FileTemplate, default_template};
pub use self::read::Compat;
pub use self::settings::{DefaultTemplate, Defaults, SETTING_PREFIX, SETTINGS, Setting};

/// Whether a pod asks in this dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It does not.
    No,
    /// It did, and another injector has answered already.
    ByAnother,
    /// It does.
    Yes(Box<DropIn>),
}

/// What a pod's annotations want, checked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIn {
    /// The annotation that asks, with its prefix.
    pub annotation: String,
    /// Files, ordered by folder and name; no two at one place.
    pub files: Vec<DropInFile>,
    /// Folder of all files that name none; it is mounted whether there are files or not.
    pub folder: String,
    /// Folder in which the token itself appears as a file.
    pub token_folder: Option<String>,
    /// When files are written.
    pub moment: Moment,
    /// Whether our container stands before the pod's own init containers.
    pub init_first: bool,
    /// App containers that get files; `None` means all.
    pub containers: Option<Vec<String>>,
    /// The server and how to trust it.
    pub server: ServerWish,
    /// How to log in.
    pub login: Method,
    /// Mount of the login method, `auth/kubernetes`, and a Vault namespace that was put in front of it.
    pub auth_path: (Option<String>, String),
    /// Our container.
    pub container: ContainerWish,
    /// Whether the token is revoked when the pod ends, whatever hangs on it.
    pub revoke: bool,
    /// How often secrets without lease are read again, in seconds; `None` for the sidecar's own choice.
    pub render_seconds: Option<u64>,
    /// Why the pod is admitted but cannot start; empty for most.
    pub hopeless: Vec<String>,
    /// What the pod's owner should know.
    pub warnings: Vec<String>,
}

/// When files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the app starts, and again at every change.
    BeforeAndAfter,
    /// Before the app starts, once.
    Before,
    /// The app does not wait.
    After,
}

impl DropIn {
    /// Reads the annotations of a pod that is made in `namespace`. Others' annotations are passed over.
    pub fn read(
        annotations: &BTreeMap<String, String>,
        namespace: &str,
        defaults: &Defaults,
        compat: Compat,
    ) -> Result<Asked, Vec<Fault>> {
        let Some(annotation) = asks(annotations)? else { return Ok(Asked::No) };
        if is_injected(annotations) {
            return Ok(Asked::ByAnother);
        }
        if SYSTEM_NAMESPACES.contains(&namespace) {
            let message =
                format!("is not possible in namespace {namespace}, which belongs to the system; run the pod elsewhere");
            return Err(vec![Fault::new(None, annotation, message)]);
        }
        let mut reading = Reading::of(annotations, compat);
        reading.check_kinds();
        let moment = moment(&mut reading);
        let (files, token_folder, folder) = files::read(&mut reading, defaults);
        let server = connection::server(&mut reading, defaults);
        let (auth_path, login) = connection::login(&mut reading, defaults);
        let container = container::read(&mut reading, defaults);
        let render_seconds = container::render_seconds(&mut reading, defaults);
        refuse_foreign(&mut reading);
        let drop_in = Self {
            annotation,
            files,
            folder,
            token_folder,
            moment,
            init_first: reading.boolean("agent-init-first", false),
            containers: containers(&reading),
            server,
            login,
            auth_path,
            container,
            revoke: reading.boolean("agent-revoke-on-shutdown", defaults.revoke_on_shutdown),
            render_seconds,
            hopeless: Vec::new(),
            warnings: Vec::new(),
        };
        let Reading { mut faults, hopeless, warnings, .. } = reading;
        if faults.is_empty() {
            return Ok(Asked::Yes(Box::new(Self { hopeless, warnings, ..drop_in })));
        }
        faults.sort();
        faults.dedup();
        Err(faults)
    }
}

/// The annotation that asks for injection, if one does. A value that is no truth value refuses the pod.
fn asks(annotations: &BTreeMap<String, String>) -> Result<Option<String>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut said = Vec::new();
    for prefix in table::PREFIXES {
        let name = format!("{prefix}{INJECT}");
        let Some(text) = annotations.get(&name) else { continue };
        match value::boolean(text) {
            Ok(value) => said.push((name, value)),
            Err(problem) => {
                faults.push(Fault::new(None, name, format!("{} {problem}", vouchsafe_model::text::quoted(text))));
            }
        }
    }
    if let [(first, true), (second, false)] | [(first, false), (second, true)] = said.as_slice() {
        let message = format!("says the opposite of {second}; remove one, or make them equal");
        faults.push(Fault::new(None, first.clone(), message));
    }
    if faults.is_empty() {
        return Ok(said.into_iter().find(|(_, value)| *value).map(|(name, _)| name));
    }
    Err(faults)
}

/// Whether vault-k8s, or OpenBao's fork of it, has changed the pod already: exactly their word counts.
fn is_injected(annotations: &BTreeMap<String, String>) -> bool {
    table::PREFIXES
        .iter()
        .any(|prefix| annotations.get(&format!("{prefix}{STATUS}")).is_some_and(|text| text == STATUS_INJECTED))
}

fn moment(reading: &mut Reading<'_>) -> Moment {
    let before = reading.boolean("agent-pre-populate", true);
    let only = reading.boolean("agent-pre-populate-only", false);
    if let (false, true, Some(given)) = (before, only, reading.single("agent-pre-populate-only")) {
        reading.odd(
            given.full,
            "together with agent-pre-populate: \"false\" leaves nothing that writes files; files are written once before the app starts: remove one of both",
        );
    }
    match (before, only) {
        (_, true) => Moment::Before,
        (true, false) => Moment::BeforeAndAfter,
        (false, false) => Moment::After,
    }
}

fn containers(reading: &Reading<'_>) -> Option<Vec<String>> {
    let given = reading.single("agent-inject-containers")?;
    let names = given.value.split(',').map(str::trim).filter(|name| !name.is_empty());
    Some(names.map(str::to_owned).collect())
}

/// What is accepted there and would silently not happen here; and what has no effect though somebody may count on it.
fn refuse_foreign(reading: &mut Reading<'_>) {
    if let Some(given) = reading.single("agent-configmap").filter(|given| !given.value.is_empty()) {
        reading.hopeless(
            given.full,
            "an agent configuration in a ConfigMap cannot be carried out; write its templates as agent-inject-template-NAME and its auto_auth as auth-type, auth-path and role, then remove this",
        );
    }
    for (name, message) in COUNTED_ON {
        let Some(given) = reading.single(name) else { continue };
        // A text that is no truth value, such as an image's name, is set as well.
        if value::boolean(given.value).unwrap_or(true) {
            reading.warn(given.full, message);
        }
    }
    if let Some((_, given)) = reading.members("agent-telemetry-").first() {
        reading.warn(
            given.full,
            "the sidecar sends no metrics; webhook and broker have them, and its log tells each change of state",
        );
    }
}

/// The switch.
const INJECT: &str = "agent-inject";
/// Where an injector leaves its mark.
const STATUS: &str = "agent-inject-status";
/// The mark.
const STATUS_INJECTED: &str = "injected";
/// Namespaces in which vault-k8s injects nothing.
const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "kube-public"];
/// Annotations without effect that somebody may count on, and what to know about them.
const COUNTED_ON: [(&str, &str); 5] = [
    ("agent-image", "has no effect: the image is the installation's"),
    ("proxy-address", "has no effect: the sidecar talks to its server directly; allow that in the network policy"),
    (
        "tls-skip-verify",
        "has no effect: the server's certificate is checked; give its CA by ca-cert or in the trust bundle",
    ),
    (
        "agent-cache-enable",
        "nothing listens on 127.0.0.1; init and running phase are one process with one token anyway. An app that reads Vault through that port must use files, Vault or the broker",
    ),
    (
        "agent-enable-quit",
        "there is no quit endpoint and none is needed: a native sidecar ends with the pod's apps; let scripts ignore a failing call",
    ),
];
