//! The pod that is tried as a dry run: it asks for one Grant and fits the strictest namespace. Pure.

use serde_json::{Map, Value, json};

use super::checks::text;

/// A Grant that compiles, from the namespace that the caller wants, else the first.
pub(super) fn choose<'a>(grants: &'a [Value], namespace: Option<&str>) -> Option<&'a Value> {
    grants
        .iter()
        .filter(|grant| is_compiled(grant))
        .find(|grant| namespace.is_none_or(|namespace| text(grant, "/metadata/namespace") == namespace))
}

fn is_compiled(grant: &Value) -> bool {
    let conditions = grant.pointer("/status/conditions").and_then(Value::as_array);
    !conditions
        .into_iter()
        .flatten()
        .any(|condition| text(condition, "/type") == "Compiled" && text(condition, "/status") == "False")
}

/// The pod for `grant`; without one it names a Grant that does not exist, which only the webhook can refuse.
pub(super) fn pod(grant: Option<&Value>) -> Value {
    let name = grant.map_or("vouchsafe-doctor-asks", |grant| text(grant, "/metadata/name"));
    let account = grant.map_or("default", |grant| first(grant, "/spec/serviceAccounts").unwrap_or("default"));
    let container = grant.and_then(|grant| first(grant, "/spec/deliver/containers")).unwrap_or("app");
    let security = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let resources = json!({"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}});
    let mut annotations = Map::new();
    annotations.insert("vouchsafe.dev/inject".to_owned(), json!(name));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "vouchsafe-doctor-", "annotations": annotations},
        "spec": {
            "serviceAccountName": account,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": container, "image": "vouchsafe.dev/never-started", "command": ["/never-started"],
                            "securityContext": security, "resources": resources}],
        },
    })
}

fn first<'a>(grant: &'a Value, pointer: &str) -> Option<&'a str> {
    grant.pointer(pointer).and_then(Value::as_array)?.first()?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_runs_as_the_grants_account_and_in_its_container() {
        let grant = json!({"metadata": {"name": "g", "namespace": "ns"},
                           "spec": {"serviceAccounts": ["a"], "deliver": {"containers": ["grafana"]}}});
        let made = pod(Some(&grant));
        assert_eq!(text(&made, "/spec/serviceAccountName"), "a");
        assert_eq!(text(&made, "/spec/containers/0/name"), "grafana");
        assert_eq!(made["metadata"]["annotations"]["vouchsafe.dev/inject"], "g");
    }

    #[test]
    fn a_grant_that_is_refused_is_not_chosen() {
        let grant = |name: &str, namespace: &str, status: &str| {
            json!({"metadata": {"name": name, "namespace": namespace},
                   "status": {"conditions": [{"type": "Compiled", "status": status}]}})
        };
        let grants = [grant("bad", "a", "False"), grant("good", "b", "True"), grant("other", "c", "True")];
        assert_eq!(choose(&grants, None).map(|grant| text(grant, "/metadata/name")), Some("good"));
        assert_eq!(choose(&grants, Some("c")).map(|grant| text(grant, "/metadata/name")), Some("other"));
        assert_eq!(choose(&grants, Some("a")), None);
    }
}
