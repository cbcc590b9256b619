//! What is to be written, and how it differs from what the server has. Pure.
//!
//! Names without our prefix cannot even be expressed here: [`Wanted`] refuses them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};
use vouchsafe_model::text::quoted;
use vouchsafe_model::workload::ROLE_PREFIX;
use vouchsafe_policies::{Compiled, GrantSet};

/// One policy or role as the Grants want it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// API path: `sys/policies/acl/vouchsafe.argocd.argocd-dex-server`.
    pub(crate) path: String,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// An ACL policy: its paths.
    Policy(Value),
    /// A role of an auth method, and the method's path: `auth/kubernetes`.
    Role { auth_path: String, fields: Map<String, Value> },
}

/// What was done, or would be done, about one policy or role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) path: String,
    pub(crate) change: Change,
    /// What differs, one line each: fields of a role, paths of a policy.
    pub(crate) differences: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Create,
    Update,
    Keep,
}

/// A role that a Grant names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmanaged {
    pub(crate) grant: String,
    /// `auth/kubernetes/role/legacy`.
    pub(crate) role: String,
    /// Policies that somebody has to attach to it.
    pub(crate) policies: Vec<String>,
}

impl Change {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Keep => "keep",
        }
    }
}

/// Everything to write, each object once, every policy before the roles that name it.
pub(crate) fn wanted(compiled: &[Compiled]) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    let mut seen = BTreeSet::new();
    for one in compiled {
        ensure!(
            one.name.strip_prefix(ROLE_PREFIX).is_some_and(|rest| rest.starts_with('.')),
            "{} does not begin with {ROLE_PREFIX}., so it is not ours to write",
            quoted(&one.name)
        );
        let mut add = |path: String, content: Content| {
            if seen.insert(path.clone()) {
                wanted.push(Wanted { path, content });
            }
        };
        add(format!("{POLICIES}/{}", one.name), Content::Policy(one.policy.clone()));
        if let Some(Value::Object(fields)) = &one.role {
            let auth_path = one.auth_path.to_string();
            add(format!("{auth_path}/role/{}", one.name), Content::Role { auth_path, fields: fields.clone() });
        }
    }
    Ok(wanted)
}

/// Roles that Grants name, which are never touched.
pub(crate) fn unmanaged(grants: &GrantSet) -> Vec<Unmanaged> {
    let mut found = Vec::new();
    for grant in grants.iter() {
        if let Some(role) = &grant.vault.role {
            let policies =
                grant.service_accounts.iter().map(|account| format!("{ROLE_PREFIX}.{}.{account}", grant.namespace));
            found.push(Unmanaged {
                grant: format!("{}/{}", grant.namespace, grant.name),
                role: format!("{}/role/{role}", grant.vault.auth_path),
                policies: policies.collect(),
            });
        }
    }
    found
}

impl Wanted {
    pub(crate) fn is_policy(&self) -> bool {
        matches!(self.content, Content::Policy(_))
    }

    /// Compares with what the server has; `None` where it has nothing.
    pub(crate) fn compare(&self, present: Option<&Map<String, Value>>) -> Step {
        let (change, differences) = match (&self.content, present) {
            (_, None) => (Change::Create, Vec::new()),
            (Content::Policy(policy), Some(present)) => settle(policy_differences(present, policy)),
            (Content::Role { fields, .. }, Some(present)) => settle(role_differences(present, fields)),
        };
        Step { path: self.path.clone(), change, differences }
    }

    /// Body of the write; `present` decides which foreign settings of a role must be undone.
    pub(crate) fn body(&self, present: Option<&Map<String, Value>>) -> Value {
        match &self.content {
            Content::Policy(policy) => json!({"policy": policy.to_string()}),
            Content::Role { fields, .. } => {
                let mut body = fields.clone();
                for (name, neutral) in foreign(present) {
                    body.entry(name).or_insert(neutral);
                }
                Value::Object(body)
            }
        }
    }
}

fn settle(differences: Vec<String>) -> (Change, Vec<String>) {
    (if differences.is_empty() { Change::Keep } else { Change::Update }, differences)
}

/// The server keeps a policy's text as it was given; what counts is its meaning.
fn policy_differences(present: &Map<String, Value>, wanted: &Value) -> Vec<String> {
    let text = present.get("policy").or_else(|| present.get("rules")).and_then(Value::as_str).unwrap_or_default();
    let Ok(parsed) = serde_json::from_str::<Value>(text) else {
        return vec!["the present text was not written by vouchsafe; it is replaced".to_owned()];
    };
    if parsed == *wanted {
        return Vec::new();
    }
    let (old, new) = (rules(&parsed), rules(wanted));
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut differences = Vec::new();
    for path in paths {
        match (old.get(path), new.get(path)) {
            (None, Some(new)) => differences.push(format!("+ {path} [{new}]")),
            (Some(old), None) => differences.push(format!("- {path} [{old}]")),
            (Some(old), Some(new)) if old != new => differences.push(format!("~ {path} [{old}] -> [{new}]")),
            _ => {}
        }
    }
    if differences.is_empty() {
        differences.push("settings beside the paths' capabilities".to_owned());
    }
    differences
}

/// Capabilities by path, sorted. Paths come from a server: they are shown without control characters.
fn rules(policy: &Value) -> BTreeMap<String, String> {
    let paths = policy.get("path").and_then(Value::as_object);
    let capabilities = |rule: &Value| {
        let mut names: Vec<&str> = rule
            .get("capabilities")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        names.sort_unstable();
        names.join(", ")
    };
    paths
        .into_iter()
        .flatten()
        .map(|(path, rule)| (quoted(path).trim_matches('"').to_owned(), capabilities(rule)))
        .collect()
}

/// A role is as it should be when every field that we set has our value, and none that widens it was set by somebody else.
fn role_differences(present: &Map<String, Value>, wanted: &Map<String, Value>) -> Vec<String> {
    let mut differences: Vec<String> = wanted
        .iter()
        .filter(|(name, value)| !present.get(*name).is_some_and(|present| is_same(present, value)))
        .map(|(name, value)| difference(name, present.get(name), value))
        .collect();
    differences.extend(
        foreign(Some(present))
            .iter()
            .filter(|(name, _)| !wanted.contains_key(name))
            .map(|(name, neutral)| difference(name, present.get(name), neutral)),
    );
    differences
}

/// Settings that we never make, each with the value that undoes it, where the server has another.
fn foreign(present: Option<&Map<String, Value>>) -> Vec<(String, Value)> {
    let Some(present) = present else { return Vec::new() };
    let neutral = [
        ("bound_service_account_namespace_selector", json!("")),
        ("token_bound_cidrs", json!([])),
        ("token_explicit_max_ttl", json!(0)),
        ("token_num_uses", json!(0)),
        ("token_period", json!(0)),
    ];
    neutral
        .into_iter()
        .filter(|(name, neutral)| {
            present.get(*name).is_some_and(|present| !present.is_null() && !is_same(present, neutral))
        })
        .map(|(name, neutral)| (name.to_owned(), neutral))
        .collect()
}

/// Lists are sets to the server.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            let texts = |list: &[Value]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            texts(left) == texts(right)
        }
        (Value::Null, Value::Array(list)) | (Value::Array(list), Value::Null) => list.is_empty(),
        _ => left == right,
    }
}

fn difference(name: &str, old: Option<&Value>, new: &Value) -> String {
    let shown = |value: &Value| value.to_string().chars().take(SHOWN_CHARS).collect::<String>();
    match old {
        Some(old) => format!("{name}: {} -> {}", shown(old), shown(new)),
        None => format!("{name}: unset -> {}", shown(new)),
    }
}

/// Where policies lie.
pub(crate) const POLICIES: &str = "sys/policies/acl";
/// Longest value of a field that a line shows.
const SHOWN_CHARS: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn compiled(name: &str, auth_path: &str) -> Compiled {
        Compiled {
            name: name.to_owned(),
            policy: json!({"path": {"secret/data/a": {"capabilities": ["read"]}}}),
            auth_path: auth_path.parse().unwrap(),
            role: Some(json!({"audience": "vouchsafe", "token_policies": [name], "token_ttl": 3600})),
        }
    }

    fn role() -> Wanted {
        wanted(&[compiled("vouchsafe.ci.one", "auth/kubernetes")]).unwrap().remove(1)
    }

    fn policy() -> Wanted {
        wanted(&[compiled("vouchsafe.ci.one", "auth/kubernetes")]).unwrap().remove(0)
    }

    #[test]
    fn policies_come_before_roles_and_two_roles_share_one_policy() {
        let all = wanted(&[compiled("vouchsafe.ci.one", "auth/kubernetes"), compiled("vouchsafe.ci.one", "auth/edge")]);
        let paths: Vec<String> = all.unwrap().into_iter().map(|one| one.path).collect();
        assert_eq!(
            paths,
            [
                "sys/policies/acl/vouchsafe.ci.one",
                "auth/kubernetes/role/vouchsafe.ci.one",
                "auth/edge/role/vouchsafe.ci.one"
            ]
        );
    }

    #[test]
    fn names_that_are_not_ours_are_never_written() {
        for name in ["root", "default", "vouchsafe", "vouchsafex.ci.one", "admin.vouchsafe.x"] {
            let error = wanted(&[compiled(name, "auth/kubernetes")]).unwrap_err().to_string();
            assert!(error.contains("not ours to write"), "{error}");
        }
    }

    #[test]
    fn a_policy_is_compared_by_meaning_not_by_text() {
        let spaced = "{ \"path\": {\"secret/data/a\": {\"capabilities\": [ \"read\" ]}} }";
        assert_eq!(policy().compare(None).change, Change::Create);
        assert_eq!(policy().compare(Some(&object(&json!({"policy": spaced})))).change, Change::Keep);
        let foreign = policy().compare(Some(&object(&json!({"policy": "path \"x\" {}"}))));
        assert_eq!((foreign.change, foreign.differences.len()), (Change::Update, 1));
    }

    #[test]
    fn a_changed_policy_says_which_paths_differ_and_how() {
        let text = json!({"path": {"secret/data/a": {"capabilities": ["update", "read"]},
                                   "secret/data/b": {"capabilities": ["read"]}}})
        .to_string();
        let step = policy().compare(Some(&object(&json!({"policy": text}))));
        assert_eq!(step.differences, ["~ secret/data/a [read, update] -> [read]", "- secret/data/b [read]"]);
        let nothing = policy().compare(Some(&object(&json!({"policy": "{\"path\": {}}"}))));
        assert_eq!(nothing.differences, ["+ secret/data/a [read]"]);
        let same_paths = json!({"path": {"secret/data/a": {"capabilities": ["read"], "min_wrapping_ttl": "1s"}}});
        let step = policy().compare(Some(&object(&json!({"policy": same_paths.to_string()}))));
        assert_eq!((step.change, step.differences.len()), (Change::Update, 1));
    }

    #[test]
    fn fields_that_the_server_adds_to_a_role_do_not_count() {
        let present = json!({"audience": "vouchsafe", "token_policies": ["vouchsafe.ci.one"], "token_ttl": 3600,
                             "alias": 1, "token_period": 0, "token_bound_cidrs": null});
        assert_eq!(role().compare(Some(&object(&present))).change, Change::Keep);
    }

    #[test]
    fn a_changed_role_says_which_fields_differ_and_how() {
        let present = json!({"audience": "other", "token_policies": ["vouchsafe.ci.one"]});
        let step = role().compare(Some(&object(&present)));
        assert_eq!(step.change, Change::Update);
        assert_eq!(step.differences, ["audience: \"other\" -> \"vouchsafe\"", "token_ttl: unset -> 3600"]);
    }

    #[test]
    fn settings_that_widen_a_role_are_undone_and_only_where_they_are_set() {
        let present = json!({"audience": "vouchsafe", "token_policies": ["vouchsafe.ci.one"], "token_ttl": 3600,
                             "bound_service_account_namespace_selector": "{\"matchLabels\":{}}", "token_period": 60});
        let (role, present) = (role(), object(&present));
        let step = role.compare(Some(&present));
        assert_eq!(step.differences.len(), 2, "{:?}", step.differences);
        let body = role.body(Some(&present));
        assert_eq!(body["bound_service_account_namespace_selector"], "");
        assert_eq!(body["token_period"], 0);
        assert!(role.body(None).get("token_period").is_none());
    }

    #[test]
    fn a_role_that_a_grant_names_is_told_with_the_policies_it_needs() {
        let text = "apiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {name: a, namespace: ci}\n\
                    spec: {serviceAccounts: [one], secrets: [{name: x, path: secret/x}], vault: {role: legacy}}\n";
        let set = GrantSet::read(&[("f.yaml".to_owned(), text.to_owned())]).unwrap();
        let found = unmanaged(&set);
        assert_eq!(found[0].role, "auth/kubernetes/role/legacy");
        assert_eq!(found[0].policies, ["vouchsafe.ci.one"]);
    }
}
