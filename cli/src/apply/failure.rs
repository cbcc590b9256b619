//! Why a policy or role could not be read or written, and what to do about it. Pure.

use vouchsafe_model::Kind;
use vouchsafe_net::vault::VaultError;

use super::change::{Content, Wanted};

/// What stood in the way, with the server's own words behind it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "{server} is sealed, so nothing was read or written; unseal it ('bao operator unseal', 'vault operator unseal') and \
         try again (E-APL-003)"
    )]
    Sealed {
        server: String,
        #[source]
        source: VaultError,
    },
    #[error("{}", denied(.path, .auth_path.as_deref()))]
    Denied {
        path: String,
        auth_path: Option<String>,
        #[source]
        source: VaultError,
    },
    #[error("{}", no_method(.server, .auth_path))]
    NoMethod {
        server: String,
        auth_path: String,
        #[source]
        source: VaultError,
    },
    #[error("{path} (E-APL-004)")]
    Other {
        path: String,
        #[source]
        source: VaultError,
    },
}

impl Failure {
    /// Finds the cause by status and place; the server's text is shown, never read.
    pub(crate) fn of(wanted: &Wanted, server: &str, source: VaultError) -> Self {
        let auth_path = match &wanted.content {
            Content::Role { auth_path, .. } => Some(auth_path.clone()),
            Content::Policy(_) => None,
        };
        let path = wanted.path.clone();
        match (source.kind(), auth_path) {
            _ if source.is_sealed() => Self::Sealed { server: server.to_owned(), source },
            (Kind::Denied, auth_path) => Self::Denied { path, auth_path, source },
            // Policies are part of every server: a path that nobody serves can only be the auth method's.
            (Kind::Missing, Some(auth_path)) => Self::NoMethod { server: server.to_owned(), auth_path, source },
            _ => Self::Other { path, source },
        }
    }
}

fn denied(path: &str, auth_path: Option<&str>) -> String {
    let role = format!("{}/role/vouchsafe.*", auth_path.unwrap_or("auth/kubernetes"));
    format!(
        "the token may not touch {path}; give it a policy with\n  \
         path \"sys/policies/acl/vouchsafe.*\" {{ capabilities = [\"create\", \"read\", \"update\"] }}\n  \
         path \"{role}\" {{ capabilities = [\"create\", \"read\", \"update\"] }}\n\
         or log in again if it has expired (E-APL-001)"
    )
}

fn no_method(server: &str, auth_path: &str) -> String {
    let mount = auth_path.strip_prefix("auth/").unwrap_or(auth_path);
    format!(
        "{server} has no auth method at {auth_path}, so roles cannot be written; enable and configure it:\n  \
         bao auth enable -path={mount} kubernetes\n  \
         bao write {auth_path}/config kubernetes_host=https://kubernetes.default.svc\n\
         or correct spec.vault.authPath in the Grant (E-APL-002)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_token_is_told_the_policy_that_it_needs() {
        let text = denied("auth/edge/role/vouchsafe.ci.one", Some("auth/edge"));
        assert!(text.contains("path \"auth/edge/role/vouchsafe.*\"") && text.contains("sys/policies/acl/vouchsafe.*"));
        assert!(denied("sys/policies/acl/vouchsafe.x", None).contains("auth/kubernetes/role/vouchsafe.*"));
    }

    #[test]
    fn a_missing_auth_method_comes_with_the_commands_that_enable_it() {
        let text = no_method("https://bao:8200", "auth/team/k8s");
        assert!(text.contains("bao auth enable -path=team/k8s kubernetes"), "{text}");
        assert!(text.contains("bao write auth/team/k8s/config"), "{text}");
    }
}
