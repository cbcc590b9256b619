//! What only Plans of the drop-in dialect hold: paths, templates and logins as an agent of Vault's knows them.
//!
//! A sidecar of an older release refuses a Plan that holds any of this, since it knows no such field.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::checked_text;
use crate::path::{FileMode, FileName, MountPath, VaultNamespace};
use crate::text::quoted;

checked_text!(
    /// A path as an agent's template names it: `secret/data/app` or `secret/app`, with a query where the template has one.
    AgentPath, "secret path", |text| {
        if text.is_empty() || text.len() > AGENT_PATH_BYTES {
            return Err(format!("must be 1 to {AGENT_PATH_BYTES} bytes long, it is {}", text.len()));
        }
        if text.starts_with('/') || text.ends_with('/') {
            return Err("has a slash at its end; write it without".to_owned());
        }
        if let Some(found) = text.chars().find(|c| c.is_control()) {
            return Err(format!("holds the control character {}; remove it", quoted(&found.to_string())));
        }
        let (path, _) = text.split_once('?').unwrap_or((text, ""));
        match path.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
            Some(segment) => Err(format!("segment {} is not allowed", quoted(segment))),
            None => Ok(()),
        }
    }
);

/// What only pods of the drop-in dialect ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentPlan {
    /// Why this Plan cannot be carried out: the sidecar says so and ends, so that the app never starts without its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hopeless: Vec<String>,
    /// How often secrets without lease are read again where nothing pushes, in seconds; absent for the sidecar's own pace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_seconds: Option<u64>,
    /// Whether the token is revoked at the end even though leases hang on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke: bool,
    /// What is shown at the login.
    #[serde(default, skip_serializing_if = "LoginMethod::is_default")]
    pub method: LoginMethod,
    /// Vault namespace of the login alone, where it is not the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_namespace: Option<VaultNamespace>,
    /// Files and folders in the sidecar's container with further certificates to trust, read at its start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust_files: Vec<String>,
    /// Name in the server's certificate, where it is not the address's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Files with our certificate and its key, where the server asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<(String, String)>,
}

/// What a template in an agent's dialect names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentSecret {
    /// The path as the template names it.
    pub path: AgentPath,
    /// The function that reads it.
    #[serde(default)]
    pub read: AgentRead,
}

/// A template in Vault Agent's dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentTemplate {
    /// Go template text; empty where `source` names a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// File in the sidecar's container that holds the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Left and right delimiter; absent means `{{` and `}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiters: Option<(String, String)>,
    /// Whether an absent key is an error instead of `<no value>`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// Indices into the Plan's secrets: what the text surely reads, so that it can be read in parallel. What it computes
    /// comes up while rendering.
    pub reads: Vec<usize>,
}

/// How a read that a template names is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentRead {
    /// `secret "path"`; with parameters a write.
    #[default]
    Secret,
    /// `secrets "path"`: the names below it.
    List,
    /// `pkiCert "path" …`: a write whose answer holds until its certificate is about to expire.
    Certificate,
}

/// How to log in. Paths are paths in the sidecar's container; a token file that is not named is the sidecar's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum LoginMethod {
    /// With the pod's service account.
    #[default]
    Kubernetes,
    /// The same with a token from another file.
    TokenOf {
        /// File with the token.
        file: String,
    },
    /// With a role id and a secret id.
    AppRole {
        /// File with the role id.
        role_id: String,
        /// File with the secret id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret_id: Option<String>,
    },
    /// With the client certificate of the connection.
    Cert {
        /// Certificate role; any that matches if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Not at all: something else puts a Vault token there.
    TokenFile {
        /// File with the token.
        file: String,
    },
}

impl LoginMethod {
    /// Whether it is the default, which the wire form leaves out.
    pub fn is_default(&self) -> bool {
        *self == Self::Kubernetes
    }
}

/// A file name of a Plan: what the drop-in dialect allows is wider than what a Grant may say.
pub(super) fn file_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FileName, D::Error> {
    FileName::of_agent(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// A mount path of a Plan.
pub(super) fn mount_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MountPath, D::Error> {
    MountPath::of_agent(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// A mode of a Plan: four octal digits.
pub(super) fn file_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FileMode, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bits = if text.len() == 4 { u32::from_str_radix(&text, 8).ok() } else { None };
    let mode = bits.and_then(FileMode::of_agent);
    mode.ok_or_else(|| serde::de::Error::custom(format_args!("mode {} is none", quoted(&text))))
}

/// Longest path; far above any real one.
const AGENT_PATH_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_path_is_wider_than_a_grants_and_still_no_way_out() {
        for good in ["p", "secret/data/My App", "kv/x?version=2", "secret/data/é"] {
            assert!(good.parse::<AgentPath>().is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "a/../b", "a/./b", "a\nb", &"x".repeat(513)] {
            assert!(bad.parse::<AgentPath>().is_err(), "{bad:?}");
        }
    }
}
