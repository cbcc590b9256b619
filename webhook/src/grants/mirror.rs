//! `Mirror`: the cluster's Grants as a list and a watch tell of them. Pure; the driver is [`crate::grants::kubernetes`].
//!
//! An object that no longer reads as a Grant keeps its last good form, as a file does, and is reported; one that is deleted
//! is gone. Out of scope: connections and waiting.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use vouchsafe_policies::GrantSet;

/// Namespace and name of an object.
type Key = (String, String);

/// The objects of the cluster by namespace and name.
#[derive(Debug, Default)]
pub struct Mirror {
    good: BTreeMap<Key, Value>,
    faults: BTreeMap<Key, Vec<String>>,
}

impl Mirror {
    /// Replaces everything by a fresh list; last good forms of objects that are still there survive.
    pub fn list(&mut self, objects: impl IntoIterator<Item = Value>) {
        let mut before = std::mem::take(self);
        for object in objects {
            let key = key(&object);
            if let Some(good) = before.good.remove(&key) {
                self.good.insert(key, good);
            }
            self.put(&object);
        }
    }

    /// An object was added or modified.
    pub fn put(&mut self, object: &Value) {
        let key = key(object);
        let plain = essence(object);
        let (_, faults) = GrantSet::from_objects([plain.clone()]);
        if faults.is_empty() {
            self.faults.remove(&key);
            self.good.insert(key, plain);
            return;
        }
        let consequence =
            if self.good.contains_key(&key) { "its last good state stays in use" } else { "it is left out" };
        self.faults.insert(key, faults.iter().map(|fault| format!("{fault} ({consequence})")).collect());
    }

    /// An object was deleted.
    pub fn remove(&mut self, object: &Value) {
        let key = key(object);
        self.good.remove(&key);
        self.faults.remove(&key);
    }

    /// The Grants to use and what is wrong, one line each.
    pub fn grants(&self) -> (GrantSet, Vec<String>) {
        let (set, between) = GrantSet::from_objects(self.good.values().cloned());
        let mut faults: Vec<String> = self.faults.values().flatten().cloned().collect();
        faults.extend(between.iter().map(ToString::to_string));
        (set, faults)
    }
}

fn key(object: &Value) -> Key {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/metadata/namespace"), text("/metadata/name"))
}

/// What a Grant consists of: servers add managed fields, a uid and a status, and leave the type out of lists.
fn essence(object: &Value) -> Value {
    let (namespace, name) = key(object);
    let mut plain = Map::new();
    plain.insert("apiVersion".to_owned(), json!(format!("{GROUP}/{VERSION}")));
    plain.insert("kind".to_owned(), json!(KIND));
    plain.insert("metadata".to_owned(), json!({"name": name, "namespace": namespace}));
    if let Some(spec) = object.get("spec") {
        plain.insert("spec".to_owned(), spec.clone());
    }
    Value::Object(plain)
}

/// API group of Grants.
pub const GROUP: &str = "vouchsafe.dev";
/// API version of Grants.
pub const VERSION: &str = "v1alpha1";
/// Kind of Grants.
pub const KIND: &str = "Grant";

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, spec: &Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "ns", "uid": "1", "managedFields": [{}]}, "spec": spec, "status": {}})
    }

    fn good(account: &str) -> Value {
        json!({"serviceAccounts": [account], "secrets": [{"name": "s", "path": "secret/a/b", "keys": ["k"]}]})
    }

    fn accounts(mirror: &Mirror) -> Vec<String> {
        mirror.grants().0.iter().map(|grant| format!("{}:{}", grant.name, grant.service_accounts[0])).collect()
    }

    #[test]
    fn follows_additions_changes_and_deletions() {
        let mut mirror = Mirror::default();
        mirror.list([object("a", &good("one")), object("b", &good("one"))]);
        mirror.put(&object("b", &good("two")));
        mirror.remove(&object("a", &good("one")));
        assert_eq!(accounts(&mirror), ["b:two"]);
        mirror.list([object("c", &good("one"))]);
        assert_eq!(accounts(&mirror), ["c:one"]);
    }

    #[test]
    fn an_object_that_became_bad_keeps_its_last_good_form_even_over_a_new_list() {
        let mut mirror = Mirror::default();
        mirror.put(&object("a", &good("one")));
        mirror.put(&object("a", &json!({"serviceAccounts": "one"})));
        assert_eq!(accounts(&mirror), ["a:one"]);
        mirror.list([object("a", &json!({"serviceAccounts": "one"}))]);
        assert_eq!(accounts(&mirror), ["a:one"]);
        let faults = mirror.grants().1;
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.contains("ns/a")), "{faults:?}");
        mirror.remove(&object("a", &Value::Null));
        assert_eq!(mirror.grants(), (GrantSet::default(), Vec::new()));
    }
}
