//! Which pod of a workload tells most, and whom objects belong to. Pure.

use serde_json::Value;

use super::facts::text;

/// A workload's pod, and the names of what stands between the two.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Picked {
    /// The pod that is worst off; none where the newest generation has no pod.
    pub(super) pod: Option<Value>,
    /// ReplicaSets or Jobs of the workload, newest first.
    pub(super) below: Vec<String>,
}

/// Picks a pod of `owner` out of all pods of the namespace; `between` are its ReplicaSets and Jobs.
pub(super) fn pick(owner: &Value, between: &[Value], pods: &[Value]) -> Picked {
    let mut below: Vec<&Value> = between.iter().filter(|one| is_owned(one, owner)).collect();
    below.sort_by_key(|one| std::cmp::Reverse(text(one, "/metadata/creationTimestamp")));
    let names = below.iter().map(|one| text(one, "/metadata/name").to_owned()).collect();
    // Old pods of a rollout say nothing about why the new ones do not come.
    let newest = below.first().copied().unwrap_or(owner);
    let mut own: Vec<&Value> = pods.iter().filter(|pod| is_owned(pod, newest)).collect();
    own.sort_by_key(|pod| (is_ready(pod), text(pod, "/metadata/name")));
    Picked { pod: own.first().map(|pod| Value::clone(pod)), below: names }
}

/// Kind and name of an object's controller.
pub(super) fn controller(object: &Value) -> Option<(String, String)> {
    let owner = references(object).find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    Some((text(owner, "/kind").to_owned(), text(owner, "/name").to_owned()))
}

/// Whether a NetworkPolicy that selects the pod limits what it may reach.
pub(super) fn is_limited(policies: &[Value], pod: Option<&Value>) -> bool {
    policies.iter().any(|policy| {
        let limits = policy
            .pointer("/spec/policyTypes")
            .and_then(Value::as_array)
            .is_some_and(|types| types.iter().any(|one| one == "Egress"));
        let wanted = policy.pointer("/spec/podSelector/matchLabels").and_then(Value::as_object);
        let selects = wanted.into_iter().flatten().all(|(name, value)| {
            pod.is_none_or(|pod| pod.pointer("/metadata/labels").and_then(|labels| labels.get(name)) == Some(value))
        });
        limits && selects
    })
}

fn is_owned(object: &Value, owner: &Value) -> bool {
    let uid = text(owner, "/metadata/uid");
    !uid.is_empty() && references(object).any(|reference| text(reference, "/uid") == uid)
}

fn references(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str, owner: &str, created: &str) -> Value {
        json!({"metadata": {"name": name, "uid": uid, "creationTimestamp": created,
                            "ownerReferences": [{"uid": owner, "kind": "Deployment", "name": "web", "controller": true}]}})
    }

    #[test]
    fn of_a_rollout_the_newest_generation_counts_even_without_pods() {
        let owner = json!({"metadata": {"name": "web", "uid": "d"}});
        let between = [
            object("old", "r1", "d", "2026-01-01"),
            object("new", "r2", "d", "2026-02-01"),
            object("x", "r3", "e", "2026-03-01"),
        ];
        let pods = [object("old-1", "p1", "r1", "")];
        assert_eq!(
            pick(&owner, &between, &pods),
            Picked { pod: None, below: vec!["new".to_owned(), "old".to_owned()] }
        );
        let pods = [object("old-1", "p1", "r1", ""), object("new-1", "p2", "r2", "")];
        assert_eq!(text(&pick(&owner, &between, &pods).pod.unwrap(), "/metadata/name"), "new-1");
    }

    #[test]
    fn a_pod_that_is_not_ready_tells_more_than_one_that_is() {
        let owner = json!({"metadata": {"name": "set", "uid": "s"}});
        let mut ready = object("set-0", "p0", "s", "");
        ready["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let picked = pick(&owner, &[], &[ready, object("set-1", "p1", "s", "")]);
        assert_eq!(text(&picked.pod.unwrap(), "/metadata/name"), "set-1");
    }

    #[test]
    fn a_policy_counts_where_it_limits_egress_of_this_pod() {
        let policy = |types: Value, labels: Value| json!({"spec": {"policyTypes": types, "podSelector": {"matchLabels": labels}}});
        let pod = json!({"metadata": {"labels": {"app": "web"}}});
        for (types, labels, wanted) in [
            (json!(["Ingress"]), json!({}), false),
            (json!(["Ingress", "Egress"]), json!({}), true),
            (json!(["Egress"]), json!({"app": "web"}), true),
            (json!(["Egress"]), json!({"app": "other"}), false),
        ] {
            assert_eq!(is_limited(&[policy(types, labels)], Some(&pod)), wanted);
        }
        assert!(!is_limited(&[], Some(&pod)));
    }
}
