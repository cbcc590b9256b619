//! The pods that are compared. Each has the same app, and all but the bare one bring it ten secrets.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::smoke::objects;

/// What brings the secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: the app alone.
    Bare,
    /// Our sidecar, by way of the broker.
    Broker,
    /// Our sidecar, straight to OpenBao.
    Direct,
    /// `bao agent`, as init container and as sidecar.
    Agent,
}

/// All of them, in the order of the page.
pub(crate) const KINDS: [Kind; 4] = [Kind::Bare, Kind::Broker, Kind::Direct, Kind::Agent];
/// How many secrets a pod gets.
pub(crate) const SECRETS: usize = 10;
/// Image of OpenBao's own program.
pub(crate) const AGENT_IMAGE: &str = "localhost/openbao:dev";

impl Kind {
    /// Name of the Grant and of the service account.
    pub(crate) fn account(self) -> &'static str {
        match self {
            Self::Bare => "default",
            Self::Broker => "bench-broker",
            Self::Direct => "bench-direct",
            Self::Agent => "bench-agent",
        }
    }

    /// Where its pods run, which decides about the webhook that serves them.
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bare | Self::Broker | Self::Agent => "hook",
        }
    }

    /// The container that stays beside the app.
    pub(crate) fn sidecar(self) -> Option<&'static str> {
        match self {
            Self::Bare => None,
            Self::Broker | Self::Direct => Some("vouchsafe-sidecar"),
            Self::Agent => Some("agent"),
        }
    }

    /// A pod of this kind.
    pub(crate) fn pod(self, name: &str) -> Value {
        let spec = objects::spec(self.account(), &["sleep"]);
        match self {
            Self::Bare => objects::bare_pod(self.namespace(), name),
            Self::Broker | Self::Direct => objects::pod(self.namespace(), name, self.account(), &spec),
            Self::Agent => {
                let mut pod = objects::bare_pod(self.namespace(), name);
                pod["spec"] = with_agent(spec);
                pod
            }
        }
    }
}

/// What people write by hand: an init container that fetches once, a sidecar that stays, one volume between them and the app.
fn with_agent(mut spec: Value) -> Value {
    let agent = |name: &str, file: &str| {
        json!({
            "name": name, "image": AGENT_IMAGE, "imagePullPolicy": "Never",
            "command": ["/bao", "agent", format!("-config=/agent/{file}")],
            "volumeMounts": [
                {"name": "agent", "mountPath": "/agent", "readOnly": true},
                {"name": "token", "mountPath": "/token", "readOnly": true},
                {"name": "secrets", "mountPath": "/vouchsafe/secrets"},
            ],
        })
    };
    spec["volumes"] = json!([
        {"name": "agent", "configMap": {"name": "agent"}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"audience": "vouchsafe", "path": "token"}}]}},
        {"name": "secrets", "emptyDir": {"medium": "Memory"}},
    ]);
    spec["initContainers"] = json!([agent("agent-init", "init.hcl")]);
    spec["containers"][0]["volumeMounts"] =
        json!([{"name": "secrets", "mountPath": "/vouchsafe/secrets", "readOnly": true}]);
    if let Some(containers) = spec["containers"].as_array_mut() {
        containers.push(agent("agent", "stay.hcl"));
    }
    spec
}

/// Configuration of both agents, and the authority of OpenBao's certificate.
pub(crate) fn agent_config(address: &str, ca: &str) -> Value {
    let text = |once: bool| {
        let mut text = format!(
            "exit_after_auth = {once}\nvault {{\n  address = \"{address}\"\n  ca_cert = \"/agent/ca.crt\"\n}}\n\
             auto_auth {{\n  method \"kubernetes\" {{\n    mount_path = \"auth/kubernetes\"\n    config = {{\n      \
             role = \"vouchsafe.hook.bench-agent\"\n      token_path = \"/token/token\"\n    }}\n  }}\n}}\n"
        );
        for number in 0..SECRETS {
            let _ = write!(
                text,
                "template {{\n  contents = \"{{{{ with secret \\\"secret/data/bench/s{number}\\\" }}}}{{{{ .Data.data.value }}}}\
                 {{{{ end }}}}\"\n  destination = \"/vouchsafe/secrets/s{number}\"\n}}\n"
            );
        }
        text
    };
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "hook", "name": "agent"},
        "data": {"init.hcl": text(true), "stay.hcl": text(false), "ca.crt": ca},
    })
}

/// A Grant of the ten secrets.
pub(crate) fn grant(namespace: &str, name: &str) -> String {
    let mut text = format!(
        "apiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         serviceAccounts: [{name}]\n  secrets:\n"
    );
    for number in 0..SECRETS {
        let _ = writeln!(text, "  - {{name: s{number}, path: secret/bench/s{number}, keys: [value]}}");
    }
    text += "  deliver:\n    files:\n";
    for number in 0..SECRETS {
        let _ = writeln!(text, "    - {{name: s{number}, secret: s{number}, key: value}}");
    }
    text
}

#[cfg(test)]
mod tests {
    use vouchsafe_policies::GrantSet;

    use super::*;

    #[test]
    fn the_grant_is_one_and_its_pods_get_ten_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), grant("hook", "bench-broker")).unwrap();
        let set = GrantSet::read_folder(folder.path()).unwrap();
        let secrets: Vec<usize> = set.iter().map(|grant| grant.secrets.len()).collect();
        assert_eq!(secrets, [SECRETS]);
    }

    #[test]
    fn only_ours_ask_for_injection() {
        for kind in KINDS {
            let asks = kind.pod("x")["metadata"]["annotations"][objects::ANNOTATION].is_string();
            assert_eq!(asks, matches!(kind, Kind::Broker | Kind::Direct), "{kind:?}");
        }
    }
}
