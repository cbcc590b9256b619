//! `Plan`: what one pod wants, decided at admission, carried out by the sidecar. The only contract between the two.
//!
//! Versioned canonical JSON of references and templates; never a value. The webhook puts it into the sidecar's
//! environment as `VOUCHSAFE_PLAN`. The kubelet expands `$(NAME)` and folds `$$` in environment values, so the canonical
//! form writes every `$` as `\u0024` and arrives as it was sent.
//!
//! ```text
//! {"version":1,"workload":{…},"server":{…},"login":{…},"gate":"hook","waitSeconds":20,
//!  "secrets":[{"grant":"argocd-sso","name":"github","engine":"kv-v2","mount":"secret","path":"argocd/github-oauth",…}],
//!  "volumes":[{"container":"dex","mountPath":"/vouchsafe/secrets"}],
//!  "files":[{"volume":0,"name":"client_secret","mode":"0444","content":{"key":{"secret":0,"key":"client_secret"}}}],
//!  "reactions":[{"container":"dex","files":[0],"action":{"signal":"SIGHUP"}}]}
//! ```
//! Out of scope: how a Plan is derived (policies) and carried out (sidecar).

mod agent;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{ContainerName, GrantName, KeyName, Namespace, RoleName, SecretName, ServiceAccount};
use crate::path::{AuthPath, FileMode, FileName, MountName, MountPath, ServerAddress, VaultNamespace, VaultPath};

pub use self::agent::{AgentPath, AgentPlan, AgentRead, AgentSecret, AgentTemplate, LoginMethod};

/// What one pod wants. Indices (`secret`, `volume`, `files`) point into the lists of the same Plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_VERSION`]; a sidecar refuses any other.
    pub version: u32,
    /// Whom the pod runs as; pod name and uid come from the downward API.
    pub workload: PlanWorkload,
    /// Where secrets come from.
    pub server: Server,
    /// How the sidecar proves who it is.
    pub login: Login,
    /// How the sidecar stands in the pod.
    #[serde(default, skip_serializing_if = "Injection::is_native")]
    pub injection: Injection,
    /// How the app is held back until its files are there.
    pub gate: Gate,
    /// How long `wait` holds the app back before it gives up, in seconds.
    pub wait_seconds: u32,
    /// What is read.
    pub secrets: Vec<PlanSecret>,
    /// One memory volume per consuming container and mount path.
    pub volumes: Vec<PlanVolume>,
    /// What is written.
    pub files: Vec<PlanFile>,
    /// Containers whose variables the wrapper sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<PlanEnvironment>,
    /// What happens when files change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// What only pods of the drop-in dialect ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<AgentPlan>>,
}

/// Namespace and service account of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanWorkload {
    /// Kubernetes namespace.
    pub namespace: Namespace,
    /// Kubernetes ServiceAccount.
    pub service_account: ServiceAccount,
}

/// The server that the sidecar talks to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// What stands there.
    pub kind: ServerKind,
    /// Its address.
    pub address: ServerAddress,
    /// Vault namespace of every request, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<VaultNamespace>,
    /// PEM certificates that the server's chain must end in; nothing else is trusted.
    pub trust: String,
}

/// What stands at a server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerKind {
    /// Our broker: Vault's API plus `/v1/vouchsafe/*`.
    Broker,
    /// Vault or OpenBao itself: no push, no audit of ours.
    Direct,
}

/// How the sidecar logs in with its projected token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// Mount of the Kubernetes auth method.
    pub auth_path: AuthPath,
    /// Role to log in with.
    pub role: RoleName,
}

/// How the sidecar stands in the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Injection {
    /// One restartable init container from the first read to the pod's end (Kubernetes 1.29 and later).
    #[default]
    Native,
    /// A plain init container makes the first generation; an ordinary container goes on from the state it leaves.
    Classic,
    /// The plain init container alone: files are made once and never replaced. For pods that are to end by themselves on
    /// clusters without native sidecars, since an ordinary container would keep them from ending.
    Once,
}

impl Injection {
    /// Whether it is the default, which the wire form leaves out.
    pub fn is_native(&self) -> bool {
        *self == Self::Native
    }
}

/// How the app is held back until its files are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The sidecar's bounded postStart exec; the fast default.
    Hook,
    /// A plain init container after the sidecar that waits; strict.
    Init,
    /// Not at all: the app starts at once and its files follow.
    Open,
}

/// A secret to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanSecret {
    /// Grant that allows it.
    pub grant: GrantName,
    /// Its name in that Grant.
    pub name: SecretName,
    /// How the path is read.
    pub engine: Engine,
    /// Mount of the secrets engine.
    pub mount: MountName,
    /// Path below the mount, without `data/`.
    pub path: VaultPath,
    /// Keys that may be delivered; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyName>,
    /// A pinned KV v2 version; absent means the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Present where reading is a write with these parameters (`engine: generic`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<serde_json::Map<String, serde_json::Value>>,
    /// `engine: agent` only: what a template names. Mount and path are then without meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentSecret>,
}

/// How a path is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// KV version 2: `MOUNT/data/PATH`.
    #[default]
    KvV2,
    /// KV version 1: `MOUNT/PATH`.
    KvV1,
    /// Any other engine: `MOUNT/PATH` as sent.
    Generic,
    /// As an agent reads it: the server is asked what is mounted there, and `data/` is put in where it belongs.
    Agent,
}

/// A memory volume that one container mounts read-only and the sidecar fills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanVolume {
    /// The consuming container.
    pub container: ContainerName,
    /// Where it mounts the volume. The sidecar mounts volume `i` at [`volume_path`]`(i)`.
    #[serde(deserialize_with = "agent::mount_path")]
    pub mount_path: MountPath,
    /// Further containers that mount the same volume at the same place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<ContainerName>,
}

/// A container whose variables the wrapper sets: it asks the sidecar for them over a socket in a folder of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanEnvironment {
    /// The consuming container.
    pub container: ContainerName,
    /// Variables of the pod that are made of these, in their order: the wrapper puts them together. In the text `$(NAME)` is a
    /// variable's value and `$$` one dollar sign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<Dependent>,
}

/// A variable that is made of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependent {
    /// Its name, as the pod has it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanFile {
    /// Index into `volumes` and, counted on behind them, into `environments`: then it is a variable of the file's name.
    pub volume: usize,
    /// Path below the volume.
    #[serde(deserialize_with = "agent::file_name")]
    pub name: FileName,
    /// Permission bits.
    #[serde(deserialize_with = "agent::file_mode")]
    pub mode: FileMode,
    /// Whether a missing secret or key means "no file" instead of an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Where the bytes come from.
    pub content: Content,
}

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Content {
    /// One key of one secret, byte for byte, no newline added.
    Key {
        /// Index into `secrets`.
        secret: usize,
        /// Key inside it.
        key: KeyName,
    },
    /// A template over several secrets.
    Template(PlanTemplate),
    /// A template in Vault Agent's dialect, which names its secrets itself.
    Agent(AgentTemplate),
    /// The token of the login itself.
    Token,
}

/// A template and the secrets that it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanTemplate {
    /// Go template text.
    pub text: String,
    /// Left and right delimiter; absent means `{{` and `}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiters: Option<(String, String)>,
    /// Root names and the secrets (indices) behind them.
    pub roots: BTreeMap<SecretName, usize>,
}

/// What happens when files of one container have been replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reaction {
    /// The container concerned.
    pub container: ContainerName,
    /// Indices into `files`: a change of any of them triggers the action, once per generation.
    pub files: Vec<usize>,
    /// What is done.
    pub action: Action,
}

/// What the sidecar does about a change. "Nothing" is the absence of a reaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// The supervising parent in the container sends this signal to the app.
    Signal(Signal),
    /// One HTTP request to the pod itself.
    Http(HttpCall),
    /// The supervising parent ends the app and starts it again with its files and variables of now.
    Restart(Restart),
}

/// How an app is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
}

/// Signals that apps use to reload. Killing signals are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Reload, by custom.
    Sighup,
    /// User-defined 1.
    Sigusr1,
    /// User-defined 2.
    Sigusr2,
}

/// A request to `http://127.0.0.1:PORT PATH`; an answer of 200 to 299 means that the app took the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCall {
    /// TCP port on the pod's loopback.
    pub port: u16,
    /// Absolute path with query.
    pub path: String,
    /// Request method.
    #[serde(default)]
    pub method: HttpMethod,
}

/// Methods that an app's reload endpoint may want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// The usual one.
    #[default]
    Post,
    /// Some apps.
    Put,
    /// Few apps.
    Get,
}

impl Plan {
    /// Canonical JSON: fields in declaration order, maps sorted, no spaces, every `$` written `\u0024`.
    pub fn to_json(&self) -> Result<String, PlanError> {
        let text = serde_json::to_string(self)
            .map_err(|error| PlanError::Malformed(error.to_string()))?
            .replace('$', "\\u0024");
        if text.len() > PLAN_BYTES {
            return Err(PlanError::TooLarge { bytes: text.len() });
        }
        Ok(text)
    }

    /// Reads canonical JSON and checks version and every index.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        if text.len() > PLAN_BYTES {
            return Err(PlanError::TooLarge { bytes: text.len() });
        }
        let Versioned { version } =
            serde_json::from_str(text).map_err(|error| PlanError::Malformed(error.to_string()))?;
        if version != PLAN_VERSION {
            return Err(PlanError::Version { found: version });
        }
        let plan: Self = serde_json::from_str(text).map_err(|error| PlanError::Malformed(error.to_string()))?;
        plan.check()?;
        Ok(plan)
    }

    /// That every index points at something and every count is within its limit.
    pub fn check(&self) -> Result<(), PlanError> {
        let within = |what: &'static str, index: usize, length: usize| {
            if index < length { Ok(()) } else { Err(PlanError::Dangling { what, index }) }
        };
        if self.secrets.len() > SECRETS {
            return Err(PlanError::TooMany { what: "secrets", count: self.secrets.len(), limit: SECRETS });
        }
        if self.files.len() > FILES {
            return Err(PlanError::TooMany { what: "files", count: self.files.len(), limit: FILES });
        }
        for file in &self.files {
            within("volume", file.volume, self.volumes.len() + self.environments.len())?;
            match &file.content {
                Content::Key { secret, .. } => within("secret", *secret, self.secrets.len())?,
                Content::Template(template) => {
                    template.roots.values().try_for_each(|secret| within("secret", *secret, self.secrets.len()))?;
                }
                Content::Agent(template) => {
                    template.reads.iter().try_for_each(|secret| within("secret", *secret, self.secrets.len()))?;
                }
                Content::Token => {}
            }
        }
        for reaction in &self.reactions {
            reaction.files.iter().try_for_each(|file| within("file", *file, self.files.len()))?;
        }
        Ok(())
    }
}

impl Plan {
    /// The environment that `file` is a variable of; `None` for a file.
    pub fn environment_of(&self, file: &PlanFile) -> Option<usize> {
        file.volume.checked_sub(self.volumes.len())
    }
}

impl PlanSecret {
    /// API path that reads (or, with parameters, writes) this secret, without `/v1/`: `secret/data/argocd/github-oauth`.
    pub fn api_path(&self) -> String {
        match (self.engine, &self.agent) {
            (_, Some(agent)) => agent.path.to_string(),
            (Engine::KvV2, None) => format!("{}/data/{}", self.mount, self.path),
            (Engine::KvV1 | Engine::Generic | Engine::Agent, None) => format!("{}/{}", self.mount, self.path),
        }
    }

    /// How messages name it: `argocd-sso/github`, or the path that a template names.
    pub fn label(&self) -> String {
        match &self.agent {
            Some(agent) => agent.path.to_string(),
            None => format!("{}/{}", self.grant, self.name),
        }
    }

    /// What a template in an agent's dialect names; `number` tells it from others of its Plan.
    pub fn of_agent(
        number: usize,
        agent: AgentSecret,
        parameters: Option<serde_json::Map<String, serde_json::Value>>,
    ) -> Result<Self, crate::name::NameError> {
        Ok(Self {
            grant: AGENT_GRANT.parse()?,
            name: format!("read_{number}").parse()?,
            engine: Engine::Agent,
            mount: AGENT_GRANT.parse()?,
            path: AGENT_GRANT.parse()?,
            keys: Vec::new(),
            version: None,
            parameters,
            agent: Some(agent),
        })
    }
}

impl Signal {
    /// The conventional name: `SIGHUP`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sighup => "SIGHUP",
            Self::Sigusr1 => "SIGUSR1",
            Self::Sigusr2 => "SIGUSR2",
        }
    }
}

/// The part of a Plan that every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Where the sidecar mounts volume `index` of its Plan.
pub fn volume_path(index: usize) -> String {
    format!("{VOLUMES_FOLDER}/{index}")
}

/// Why a text is not a Plan that we can carry out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not the JSON of a Plan. The text is the parser's, which names position and field, not content.
    #[error("read plan: {0}")]
    Malformed(String),
    /// Made by a webhook of another plan version.
    #[error(
        "read plan: version {found} is not {PLAN_VERSION}; webhook and sidecar image must come from the same release"
    )]
    Version {
        /// Version found.
        found: u32,
    },
    /// An index that points at nothing.
    #[error("read plan: {what} {index} does not exist")]
    Dangling {
        /// List that the index points into.
        what: &'static str,
        /// The index.
        index: usize,
    },
    /// More entries than the limit.
    #[error("plan holds {count} {what}, the limit is {limit}; split the pod's Grants")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// Larger than [`PLAN_BYTES`].
    #[error("plan is {bytes} bytes, the limit is {PLAN_BYTES}; shorten its templates")]
    TooLarge {
        /// Size found.
        bytes: usize,
    },
}

/// Stands for a Grant where a template of the drop-in dialect names its secrets itself.
pub const AGENT_GRANT: &str = "drop-in";
/// Version of the Plan's wire form.
pub const PLAN_VERSION: u32 = 1;
/// Largest Plan in bytes: an environment string may hold 128 KiB on Linux (`MAX_ARG_STRLEN`), the rest is reserve.
pub const PLAN_BYTES: usize = 96 * 1024;
/// Most secrets of one pod.
pub const SECRETS: usize = 64;
/// Most files of one pod: each secret in each of four containers.
pub const FILES: usize = 256;
/// Folder in the sidecar below which the volumes are mounted.
pub const VOLUMES_FOLDER: &str = "/vouchsafe/internal/volumes";
/// The sidecar's private memory volume: token, leases, last good values, the gate's socket.
pub const STATE_FOLDER: &str = "/vouchsafe/internal/state";
/// Folder of the sidecar's projected token; the token is the file `token` in it.
pub const TOKEN_FOLDER: &str = "/vouchsafe/internal/token";
/// Folder in a supervised app's container that holds the wrapper and its socket.
pub const RUN_FOLDER: &str = "/vouchsafe/internal/run";
/// Environment variable that carries the Plan.
pub const PLAN_VARIABLE: &str = "VOUCHSAFE_PLAN";
/// Environment variables with the pod's name and uid (downward API).
pub const POD_NAME_VARIABLE: &str = "VOUCHSAFE_POD_NAME";
/// See [`POD_NAME_VARIABLE`].
pub const POD_UID_VARIABLE: &str = "VOUCHSAFE_POD_UID";

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn example() -> Plan {
        Plan {
            version: PLAN_VERSION,
            workload: PlanWorkload {
                namespace: "argocd".parse().unwrap(),
                service_account: "argocd-dex-server".parse().unwrap(),
            },
            server: Server {
                kind: ServerKind::Broker,
                address: "https://vouchsafe-broker.vouchsafe.svc:8200".parse().unwrap(),
                namespace: None,
                trust: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            },
            login: Login {
                auth_path: "auth/kubernetes".parse().unwrap(),
                role: "vouchsafe.argocd.argocd-dex-server".parse().unwrap(),
            },
            injection: Injection::Native,
            gate: Gate::Hook,
            wait_seconds: 20,
            secrets: vec![PlanSecret {
                grant: "argocd-sso".parse().unwrap(),
                name: "github".parse().unwrap(),
                engine: Engine::KvV2,
                mount: "secret".parse().unwrap(),
                path: "argocd/github-oauth".parse().unwrap(),
                keys: vec!["client_secret".parse().unwrap()],
                version: None,
                parameters: None,
                agent: None,
            }],
            volumes: vec![PlanVolume {
                container: "dex".parse().unwrap(),
                mount_path: "/vouchsafe/secrets".parse().unwrap(),
                also: Vec::new(),
            }],
            files: vec![PlanFile {
                volume: 0,
                name: "client_secret".parse().unwrap(),
                mode: FileMode::READ_ALL,
                optional: false,
                content: Content::Key { secret: 0, key: "client_secret".parse().unwrap() },
            }],
            environments: Vec::new(),
            reactions: Vec::new(),
            agent: None,
        }
    }

    #[test]
    fn a_plan_survives_its_wire_form() {
        let plan = example();
        assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    }

    #[test]
    fn a_plan_without_a_way_of_injection_is_a_native_one() {
        let mut plan = example();
        assert!(!plan.to_json().unwrap().contains("injection"));
        plan.injection = Injection::Once;
        let json = plan.to_json().unwrap();
        assert!(json.contains(r#""injection":"once""#));
        assert_eq!(Plan::from_json(&json).unwrap(), plan);
    }

    #[test]
    fn the_kubelet_finds_nothing_to_expand_in_a_plan() {
        let mut plan = example();
        plan.files[0].content = Content::Template(PlanTemplate {
            text: "$(PATH) $$ {{ $x := 1 }}".to_owned(),
            delimiters: None,
            roots: BTreeMap::new(),
        });
        let json = plan.to_json().unwrap();
        assert!(!json.contains('$'));
        assert_eq!(Plan::from_json(&json).unwrap(), plan);
    }

    #[test]
    fn a_plan_of_another_version_is_refused_before_its_fields_are_read() {
        let error = Plan::from_json(r#"{"version":2,"somethingNew":true}"#).unwrap_err();
        assert_eq!(error, PlanError::Version { found: 2 });
    }

    #[test]
    fn dangling_indices_are_refused() {
        let mut plan = example();
        plan.files[0].volume = 1;
        assert_eq!(plan.check(), Err(PlanError::Dangling { what: "volume", index: 1 }));
    }

    #[test]
    fn a_plan_above_its_limit_is_refused_on_both_sides() {
        let mut plan = example();
        plan.server.trust = "x".repeat(PLAN_BYTES);
        assert!(matches!(plan.to_json(), Err(PlanError::TooLarge { .. })));
        assert!(matches!(Plan::from_json(&"x".repeat(PLAN_BYTES + 1)), Err(PlanError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = Plan::from_json(&text);
        }
    }
}
