//! A container of a patched pod as the process a kubelet would start: argv and environment, byte for byte. Pure.
//!
//! Out of scope: images and their entrypoints, and values that only a cluster has (Secrets, ConfigMaps, resources):
//! such variables are left out and named.

use serde_json::Value;

/// Facts about a pod that the downward API hands out.
#[derive(Clone, Debug)]
pub(crate) struct PodIdentity {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) service_account: String,
    pub(crate) node: String,
}

/// What to execute.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Command and arguments; empty where the pod leaves both to the image.
    pub(crate) argv: Vec<String>,
    /// Variables in the order of the spec.
    pub(crate) environment: Vec<(String, String)>,
    /// Variables that only a cluster can resolve.
    pub(crate) unresolved: Vec<String>,
}

/// The process of one container.
pub(crate) fn process(container: &Value, pod: &PodIdentity) -> Process {
    let mut environment: Vec<(String, String)> = Vec::new();
    let mut unresolved = Vec::new();
    for variable in list(container, "env") {
        let name = text(variable, "name");
        let resolved = match (variable.get("value"), variable.pointer("/valueFrom/fieldRef/fieldPath")) {
            (Some(Value::String(value)), _) => Some(expand(value, &environment)),
            (None, Some(Value::String(path))) => field(path, pod),
            (None, None) if variable.get("valueFrom").is_none() => Some(String::new()),
            _ => None,
        };
        match resolved {
            Some(value) => {
                environment.retain(|(earlier, _)| *earlier != name);
                environment.push((name, value));
            }
            None => unresolved.push(name),
        }
    }
    let argv = ["command", "args"]
        .into_iter()
        .flat_map(|key| list(container, key))
        .filter_map(Value::as_str)
        .map(|argument| expand(argument, &environment))
        .collect();
    Process { argv, environment, unresolved }
}

/// Kubernetes' expansion: `$(NAME)` of a known variable is replaced, `$$` becomes `$`, everything else stays.
pub(crate) fn expand(input: &str, environment: &[(String, String)]) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.strip_prefix('$').unwrap_or(from);
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match environment.iter().find(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// A field of the downward API.
fn field(path: &str, pod: &PodIdentity) -> Option<String> {
    let value = match path {
        "metadata.name" => &pod.name,
        "metadata.namespace" => &pod.namespace,
        "metadata.uid" => &pod.uid,
        "spec.serviceAccountName" => &pod.service_account,
        "spec.nodeName" => &pod.node,
        "status.podIP" | "status.hostIP" => return Some("127.0.0.1".to_owned()),
        _ => return None,
    };
    Some(value.clone())
}

/// The entries of a list, none where it is absent.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A text field, empty where it is absent.
pub(crate) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> PodIdentity {
        PodIdentity {
            namespace: "monitoring".into(),
            name: "grafana-0".into(),
            uid: "u-1".into(),
            service_account: "grafana".into(),
            node: "dev".into(),
        }
    }

    #[test]
    fn expansion_follows_the_kubelets_rules() {
        let environment = [("A".to_owned(), "1".to_owned())];
        for (input, expected) in [
            ("$(A)", "1"),
            ("$$(A)", "$(A)"),
            ("$(B)", "$(B)"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("a$", "a$"),
            ("$$$$", "$$"),
            ("$($(A))", "$($(A))"),
        ] {
            assert_eq!(expand(input, &environment), expected, "{input}");
        }
    }

    #[test]
    fn fields_and_earlier_variables_resolve_and_the_rest_is_named() {
        let container = json!({"command": ["/app"], "args": ["--pod=$(POD)"], "env": [
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "URL", "value": "http://$(POD)/"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]});
        let process = process(&container, &pod());
        assert_eq!(process.argv, ["/app", "--pod=grafana-0"]);
        assert_eq!(process.environment[1], ("URL".to_owned(), "http://grafana-0/".to_owned()));
        assert_eq!(process.unresolved, ["PASSWORD"]);
    }
}
