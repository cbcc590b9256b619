//! Status of Grants: whether each one compiles, and if not, why. Pure.
//!
//! ```text
//! status: {observedGeneration: 3, conditions: [{type: Compiled, status: "False", reason: Refused, message: …}]}
//! ```
//! A Grant is judged alone first, then against older ones of the same reader, so that of two that contradict each other
//! the newer one is told. Conditions of other writers stay as they are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use vouchsafe_policies::{Fault, Grant, GrantSet, compile};

/// The Grants of a cluster, by namespace and name.
pub type Objects = BTreeMap<(String, String), Value>;

/// What is to be written to one Grant's status.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusPatch {
    /// The Grant's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// JSON merge patch for the status subresource, bound to the version that was read.
    pub patch: Value,
}

/// The result of judging all Grants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Statuses that differ from what is written.
    pub patches: Vec<StatusPatch>,
    /// How many compile.
    pub compiled: usize,
    /// How many are refused.
    pub refused: usize,
}

/// Judges all Grants; `now` (RFC 3339, whole seconds) stands in conditions that change.
pub fn judge(objects: &Objects, now: &str) -> Judged {
    let mut judged = Judged::default();
    let mut order: Vec<(&str, &(String, String), &Value)> =
        objects.iter().map(|(key, object)| (created(object), key, object)).collect();
    order.sort_by_key(|(created, key, _)| (*created, *key));
    let mut accepted: BTreeMap<&str, Vec<(Grant, &Value)>> = BTreeMap::new();
    for (_, (namespace, name), object) in order {
        let neighbours = accepted.entry(namespace).or_default();
        let verdict = verdict(object, neighbours);
        match &verdict {
            Ok(good) => {
                judged.compiled += 1;
                neighbours.push((good.grant.clone(), object));
            }
            Err(_) => judged.refused += 1,
        }
        let condition = Condition::of(verdict.as_ref());
        if let Some(patch) = condition.patch(object, now) {
            judged.patches.push(StatusPatch { namespace: namespace.clone(), name: name.clone(), patch });
        }
    }
    judged
}

/// A Grant that compiles: as read, and what becomes of it.
struct Good {
    grant: Grant,
    message: String,
}

/// The Grant of an object, or its faults.
fn verdict(object: &Value, neighbours: &[(Grant, &Value)]) -> Result<Good, Vec<String>> {
    let label = format!(" (Grant {}/{})", part(object, "namespace"), part(object, "name"));
    // The place is this very object; what is left is field, what is wrong and how to fix it.
    let shown = |faults: Vec<Fault>| -> Vec<String> {
        faults.iter().map(|fault| fault.to_string().replace(&label, "")).collect()
    };
    let (set, faults) = GrantSet::from_objects(std::iter::once(object.clone()));
    let Some(grant) = set.iter().next().filter(|_| faults.is_empty()) else { return Err(shown(faults)) };
    let sharing = neighbours
        .iter()
        .filter(|(other, _)| other.service_accounts.iter().any(|account| grant.allows(account)))
        .map(|(_, object)| Value::clone(object));
    let (_, faults) = GrantSet::from_objects(sharing.chain(std::iter::once(object.clone())));
    if faults.is_empty() { Ok(Good { grant: grant.clone(), message: outcome(&set) }) } else { Err(shown(faults)) }
}

/// What a Grant is part of.
fn outcome(set: &GrantSet) -> String {
    let compiled = compile(set);
    let named = compiled.iter().map(|one| match &one.role {
        Some(_) => format!("policy and role {} ({})", one.name, one.auth_path),
        None => format!("policy {}; its role ({}) is not managed by Vouchsafe", one.name, one.auth_path),
    });
    let text = format!("part of {}", named.collect::<Vec<_>>().join(", "));
    text.chars().take(MESSAGE_CHARS).collect()
}

struct Condition {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn of(verdict: Result<&Good, &Vec<String>>) -> Self {
        match verdict {
            Ok(good) => Self { status: "True", reason: "Compiled", message: good.message.clone() },
            Err(faults) => {
                let mut message = faults.iter().take(FAULTS).cloned().collect::<Vec<_>>().join("; ");
                if faults.is_empty() {
                    "cannot be read as a Grant".clone_into(&mut message);
                }
                if faults.len() > FAULTS {
                    message.push_str(&format!("; and {} more", faults.len() - FAULTS));
                }
                Self { status: "False", reason: "Refused", message: message.chars().take(MESSAGE_CHARS).collect() }
            }
        }
    }

    /// The merge patch that writes this condition; `None` where it is written already.
    fn patch(&self, object: &Value, now: &str) -> Option<Value> {
        let generation = object.pointer("/metadata/generation").cloned().unwrap_or(Value::Null);
        let others = object.pointer("/status/conditions").and_then(Value::as_array);
        let present = others.into_iter().flatten().find(|condition| type_of(condition) == Some(TYPE));
        let has = |field: &str, wanted: &str| {
            present.and_then(|condition| condition.get(field)).and_then(Value::as_str) == Some(wanted)
        };
        let is_same_status = has("status", self.status);
        let is_written = is_same_status
            && has("reason", self.reason)
            && has("message", &self.message)
            && object.pointer("/status/observedGeneration") == Some(&generation);
        if is_written {
            return None;
        }
        let since = present.filter(|_| is_same_status).and_then(|condition| condition.get("lastTransitionTime"));
        let own = json!({
            "type": TYPE, "status": self.status, "reason": self.reason, "message": self.message,
            "observedGeneration": generation, "lastTransitionTime": since.cloned().unwrap_or_else(|| json!(now)),
        });
        let mut conditions: Vec<Value> =
            others.into_iter().flatten().filter(|condition| type_of(condition) != Some(TYPE)).cloned().collect();
        conditions.push(own);
        let mut metadata = Map::new();
        if let Some(version) = object.pointer("/metadata/resourceVersion") {
            metadata.insert("resourceVersion".to_owned(), version.clone());
        }
        Some(json!({
            "metadata": metadata,
            "status": {"observedGeneration": generation, "conditions": conditions},
        }))
    }
}

fn type_of(condition: &Value) -> Option<&str> {
    condition.get("type").and_then(Value::as_str)
}

fn part<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or_default()
}

fn created(object: &Value) -> &str {
    part(object, "creationTimestamp")
}

/// Type of our condition.
const TYPE: &str = "Compiled";
/// Faults told in one message; the rest is counted.
const FAULTS: usize = 10;
/// Longest message: `kubectl describe` stays readable, and the API server's limit is 32 KiB.
const MESSAGE_CHARS: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-01T10:00:00Z";

    fn object(name: &str, created: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "vouchsafe.dev/v1alpha1", "kind": "Grant",
            "metadata": {"name": name, "namespace": "ci", "generation": 2, "resourceVersion": "7", "uid": "u",
                         "creationTimestamp": created},
            "spec": spec,
        })
    }

    fn good(audience: &str) -> Value {
        json!({"serviceAccounts": ["one"], "secrets": [{"name": "x", "path": "secret/ci/x", "keys": ["k"]}],
               "vault": {"audience": audience}})
    }

    fn objects(all: &[Value]) -> Objects {
        all.iter().map(|one| (("ci".to_owned(), part(one, "name").to_owned()), one.clone())).collect()
    }

    fn condition(patch: &StatusPatch) -> &Value {
        &patch.patch["status"]["conditions"][0]
    }

    /// What the API server makes of a merge patch on the status.
    fn merged(object: &Value, patch: &StatusPatch) -> Value {
        let mut object = object.clone();
        object["status"] = patch.patch["status"].clone();
        object
    }

    #[test]
    fn a_good_grant_says_which_policy_and_role_it_is_part_of() {
        let judged = judge(&objects(&[object("a", "2026-01-01T00:00:00Z", &good("vouchsafe"))]), NOW);
        assert_eq!((judged.compiled, judged.refused, judged.patches.len()), (1, 0, 1));
        let found = condition(&judged.patches[0]);
        assert_eq!((&found["status"], &found["reason"]), (&json!("True"), &json!("Compiled")));
        assert_eq!(found["message"], "part of policy and role vouchsafe.ci.one (auth/kubernetes)");
        assert_eq!(judged.patches[0].patch["metadata"]["resourceVersion"], "7");
        assert_eq!(judged.patches[0].patch["status"]["observedGeneration"], 2);
    }

    #[test]
    fn a_bad_grant_says_field_fault_and_fix_and_not_its_own_name() {
        let spec = json!({"serviceAccounts": ["one"], "secrets": [{"name": "x", "path": "secret/data/ci/x"}]});
        let judged = judge(&objects(&[object("a", "", &spec)]), NOW);
        assert_eq!((judged.compiled, judged.refused), (0, 1));
        let found = condition(&judged.patches[0]);
        assert_eq!((&found["status"], &found["reason"]), (&json!("False"), &json!("Refused")));
        let message = found["message"].as_str().unwrap();
        assert!(message.starts_with("spec.secrets[0].path: ") && message.contains("secret/ci/x"), "{message}");
        assert!(!message.contains("(Grant"), "{message}");
    }

    #[test]
    fn what_is_written_already_is_not_written_again() {
        let first = object("a", "", &good("vouchsafe"));
        let patch = judge(&objects(std::slice::from_ref(&first)), NOW).patches.remove(0);
        let written = merged(&first, &patch);
        assert_eq!(judge(&objects(std::slice::from_ref(&written)), "2027-01-01T00:00:00Z").patches, []);
        let mut changed = written;
        changed["metadata"]["generation"] = json!(3);
        let again = judge(&objects(&[changed]), "2027-01-01T00:00:00Z").patches.remove(0);
        assert_eq!(condition(&again)["lastTransitionTime"], NOW, "the status is the same as before");
        assert_eq!(condition(&again)["observedGeneration"], 3);
    }

    #[test]
    fn conditions_of_others_stay() {
        let mut first = object("a", "", &good("vouchsafe"));
        first["status"] = json!({"conditions": [{"type": "Applied", "status": "True"}]});
        let patch = judge(&objects(&[first]), NOW).patches.remove(0);
        let types: Vec<&Value> =
            patch.patch["status"]["conditions"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
        assert_eq!(types, ["Applied", "Compiled"]);
    }

    #[test]
    fn of_two_that_contradict_each_other_the_newer_one_is_refused() {
        let all = [
            object("newer", "2026-02-01T00:00:00Z", &good("other")),
            object("older", "2026-01-01T00:00:00Z", &good("vouchsafe")),
        ];
        let judged = judge(&objects(&all), NOW);
        assert_eq!((judged.compiled, judged.refused), (1, 1));
        let refused = judged.patches.iter().find(|patch| condition(patch)["status"] == "False").unwrap();
        assert_eq!(refused.name, "newer");
        assert!(condition(refused)["message"].as_str().unwrap().contains("ci/older"));
    }

    #[test]
    fn many_faults_are_bounded() {
        let secrets: Vec<Value> = (0..60).map(|n| json!({"name": format!("Bad {n}"), "path": "secret/x"})).collect();
        let spec = json!({"serviceAccounts": ["one"], "secrets": secrets});
        let judged = judge(&objects(&[object("a", "", &spec)]), NOW);
        let message = condition(&judged.patches[0])["message"].as_str().unwrap().to_owned();
        assert!(message.len() <= 4 * MESSAGE_CHARS && message.contains("more"), "{message}");
    }
}
