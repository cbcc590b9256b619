//! `Grant`: what git allows. One Kubernetes custom resource, kept in git, never holding a value.
//!
//! ```yaml
//! apiVersion: vouchsafe.dev/v1alpha1
//! kind: Grant
//! metadata: {name: grafana-sso, namespace: monitoring}
//! spec:
//!   serviceAccounts: [grafana]
//!   secrets:
//!   - {name: github, path: secret/grafana/github-oauth, keys: [client_secret]}
//!   deliver:
//!     files:
//!     - {name: github_client_secret, secret: github, key: client_secret}
//! ```
//! Out of scope: whether a pod may use it (derive), what Vault makes of it (compile).

mod deliver;
mod read;
mod secrets;
mod set;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use vouchsafe_model::name::{
    Audience, ContainerName, EnvName, GrantName, KeyName, Namespace, RoleName, SecretName, ServiceAccount,
};
use vouchsafe_model::path::{AuthPath, FileMode, FileName, MountName, MountPath, VaultPath};
use vouchsafe_model::plan::{Action, Engine};

use crate::fault::At;

pub(crate) use self::deliver::{commands, containers, env_entry, file_entry, on_change};
pub(crate) use self::read::allowed_key;
pub use self::set::GrantSet;
pub use self::window::Window;

/// One Grant, read and checked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// `metadata.name`.
    pub name: GrantName,
    /// `metadata.namespace`: the only namespace it concerns.
    pub namespace: Namespace,
    /// Where the document begins, if it came from a file.
    pub at: Option<At>,
    /// Who may read; sorted, at least one.
    pub service_accounts: Vec<ServiceAccount>,
    /// What may be read; at least one, names unique.
    pub secrets: Vec<GrantSecret>,
    /// What pods get that name the Grant and say no more.
    pub deliver: Deliver,
    /// How its readers log in.
    pub vault: VaultSettings,
}

/// A secret that a Grant allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSecret {
    /// Where the entry stands.
    pub at: Option<At>,
    /// Its name and the root of its templates.
    pub name: SecretName,
    /// How the path is read.
    pub engine: Engine,
    /// Mount of the engine.
    pub mount: MountName,
    /// Path below the mount.
    pub path: VaultPath,
    /// Keys that may be delivered; empty means all.
    pub keys: Vec<KeyName>,
    /// A pinned KV v2 version.
    pub version: Option<u64>,
    /// Reading is a write with these parameters.
    pub parameters: Option<Map<String, Value>>,
}

/// What is delivered, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliver {
    /// Containers that get what names none itself; empty means the default container.
    pub containers: Vec<ContainerName>,
    /// Commands of containers whose image has an entry point and whose pod has no command.
    pub command: BTreeMap<ContainerName, Vec<String>>,
    /// Folder of files that name none themselves; absent means `/vouchsafe/secrets`.
    pub mount_path: Option<MountPath>,
    /// Files.
    pub files: Vec<FileEntry>,
    /// Environment variables.
    pub env: Vec<EnvEntry>,
    /// What happens after a change; absent means nothing.
    pub on_change: Option<OnChange>,
}

/// One file to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Where the entry stands.
    pub at: Option<At>,
    /// How messages name it: `spec.deliver.files[0]`.
    pub field: String,
    /// Name below the mount path.
    pub name: FileName,
    /// Where its bytes come from.
    pub content: FileContent,
    /// Containers that get it; empty means those of [`Deliver::containers`].
    pub containers: Vec<ContainerName>,
    /// Its folder, if not the common one.
    pub mount_path: Option<MountPath>,
    /// Permission bits, if not the default.
    pub mode: Option<FileMode>,
    /// Variable that holds the file's path.
    pub path_env: Option<EnvName>,
    /// Whether a missing secret or key means "no file".
    pub optional: bool,
    /// Whether `path_env` may replace a variable of the container.
    pub overrides: bool,
}

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileContent {
    /// One key of one secret.
    Key {
        /// The secret.
        secret: SecretRef,
        /// The key in it.
        key: KeyName,
    },
    /// A template over the Grant's secrets.
    Template {
        /// Where the text's node stands.
        at: Option<At>,
        /// Go template text.
        text: String,
        /// Left and right delimiter, if not the usual ones.
        delimiters: Option<(String, String)>,
    },
}

/// One environment variable to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvEntry {
    /// Where the entry stands.
    pub at: Option<At>,
    /// How messages name it: `spec.deliver.env[0]`.
    pub field: String,
    /// The variable.
    pub name: EnvName,
    /// The secret.
    pub secret: SecretRef,
    /// The key in it.
    pub key: KeyName,
    /// Containers that get it; empty means those of [`Deliver::containers`].
    pub containers: Vec<ContainerName>,
    /// Whether a missing secret or key means "no variable".
    pub optional: bool,
    /// Whether it may replace a variable of the container.
    pub overrides: bool,
}

/// A secret by name: `github`, or `grafana-sso/github` where several Grants have one of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretRef {
    /// The Grant, if named.
    pub grant: Option<GrantName>,
    /// The secret's name in it.
    pub name: SecretName,
}

/// What happens after delivered files changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing: the app reads its files by itself, or keeps what it has.
    Nothing,
    /// A signal or an HTTP call.
    Act(Action),
    /// A new process, inside the window if there is one.
    Restart(Option<Window>),
}

/// How the readers of a Grant log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultSettings {
    /// An existing role that is not managed by us; absent means `vouchsafe.<namespace>.<serviceaccount>`.
    pub role: Option<RoleName>,
    /// Mount of the Kubernetes auth method.
    pub auth_path: AuthPath,
    /// Audience of the login token; absent means the installation's.
    pub audience: Option<Audience>,
}

impl Grant {
    /// How messages name it: `monitoring/grafana-sso`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The secret of that name.
    pub fn secret(&self, name: &str) -> Option<&GrantSecret> {
        self.secrets.iter().find(|secret| secret.name.as_str() == name)
    }

    /// Whether the Grant lists that service account.
    pub fn allows(&self, service_account: &ServiceAccount) -> bool {
        self.service_accounts.contains(service_account)
    }

    /// `, at FILE:LINE:COLUMN` or nothing: for the end of a name in a message.
    pub(crate) fn place(&self) -> String {
        self.at.as_ref().map(|at| format!(" ({at})")).unwrap_or_default()
    }
}

impl std::fmt::Display for SecretRef {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.grant {
            Some(grant) => write!(formatter, "{grant}/{}", self.name),
            None => write!(formatter, "{}", self.name),
        }
    }
}

/// `apiVersion` of Grants.
pub(crate) const API_VERSION: &str = "vouchsafe.dev/v1alpha1";
/// `kind` of Grants.
pub(crate) const KIND: &str = "Grant";
/// Where files appear unless the Grant says otherwise.
pub(crate) const DEFAULT_MOUNT_PATH: &str = "/vouchsafe/secrets";
/// Auth mount unless the Grant says otherwise.
pub(crate) const DEFAULT_AUTH_PATH: &str = "auth/kubernetes";
