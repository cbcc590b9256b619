//! Grants to Vault: one policy and one role per namespace and service account, over all Grants.
//!
//! Exact paths only: the most specific pattern of a policy wins, so a wildcard beside an exact path would take rights
//! away. JSON rather than HCL, since it has no escaping pitfalls; [`Compiled::to_hcl`] is for people.
//! Rights come from what both servers know: `secret/data/p` and `secret/metadata/p` for KV version 2 (the second for
//! watching versions), the path itself elsewhere, and what a sidecar does with its own token, because the `default`
//! policy is left out.
//! Out of scope: writing them to a server, comparing them with one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use vouchsafe_model::name::{Audience, Namespace, ServiceAccount};
use vouchsafe_model::path::AuthPath;
use vouchsafe_model::plan::Engine;
use vouchsafe_model::workload::Workload;

use crate::grant::{Grant, GrantSecret, GrantSet};

/// One policy and the role that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Name of both: `vouchsafe.<namespace>.<serviceaccount>`.
    pub name: String,
    /// Vault ACL policy: `{"path": {"secret/data/x": {"capabilities": ["read"]}}}`.
    pub policy: Value,
    /// Auth mount of the role.
    pub auth_path: AuthPath,
    /// Body of `POST <auth_path>/role/<name>`; absent where every Grant names a role of its own, which is unmanaged.
    pub role: Option<Value>,
}

impl Compiled {
    /// The policy as HCL, for people and for tools that want it.
    pub fn to_hcl(&self) -> String {
        let paths = self.policy.get("path").and_then(Value::as_object);
        let blocks = paths.into_iter().flatten().map(|(path, rule)| {
            let capabilities: Vec<String> = rule
                .get("capabilities")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect();
            // A JSON string is an HCL string: our paths hold nothing that the two escape differently.
            format!("path {} {{\n  capabilities = [{}]\n}}\n", json!(path), capabilities.join(", "))
        });
        blocks.collect::<Vec<_>>().join("\n")
    }

    /// The policy as JSON text.
    pub fn to_json(&self) -> String {
        format!("{:#}", self.policy)
    }
}

/// Compiles for an installation with the default audience.
pub fn compile(grants: &GrantSet) -> Vec<Compiled> {
    compile_with(grants, DEFAULT_AUDIENCE)
}

/// Compiles for an installation whose tokens have this audience, unless a Grant says otherwise.
pub fn compile_for(grants: &GrantSet, audience: &Audience) -> Vec<Compiled> {
    compile_with(grants, audience.as_str())
}

fn compile_with(grants: &GrantSet, audience: &str) -> Vec<Compiled> {
    let mut readers: BTreeMap<(&Namespace, &ServiceAccount), Vec<&Grant>> = BTreeMap::new();
    for grant in grants.iter() {
        for account in &grant.service_accounts {
            readers.entry((&grant.namespace, account)).or_default().push(grant);
        }
    }
    let mut compiled = Vec::new();
    for ((namespace, account), grants) in readers {
        let workload =
            Workload { namespace: namespace.clone(), service_account: account.clone(), pod: None, pod_uid: None };
        let name = workload.role_name();
        let policy = policy(&grants);
        let managed: BTreeMap<&AuthPath, &Grant> = grants
            .iter()
            .filter(|grant| grant.vault.role.is_none())
            .map(|grant| (&grant.vault.auth_path, *grant))
            .collect();
        for (auth_path, grant) in &managed {
            // A set holds no two Grants of one reader and mount whose audiences differ.
            let audience = grant.vault.audience.as_ref().map_or(audience, Audience::as_str);
            compiled.push(Compiled {
                name: name.clone(),
                policy: policy.clone(),
                auth_path: (*auth_path).clone(),
                role: Some(role(&name, namespace, account, audience)),
            });
        }
        if let (true, Some(grant)) = (managed.is_empty(), grants.first()) {
            compiled.push(Compiled { name, policy, auth_path: grant.vault.auth_path.clone(), role: None });
        }
    }
    compiled
}

fn policy(grants: &[&Grant]) -> Value {
    let mut rules: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let mut allow = |path: String, capability: &'static str| {
        rules.entry(path).or_default().insert(capability);
    };
    for (path, capability) in OWN_TOKEN {
        allow(path.to_owned(), capability);
    }
    for secret in grants.iter().flat_map(|grant| &grant.secrets) {
        let GrantSecret { mount, path, .. } = secret;
        match secret.engine {
            Engine::KvV2 => {
                allow(format!("{mount}/data/{path}"), "read");
                allow(format!("{mount}/metadata/{path}"), "read");
            }
            Engine::KvV1 | Engine::Agent => allow(format!("{mount}/{path}"), "read"),
            Engine::Generic => {
                let capability = if secret.parameters.is_some() { "update" } else { "read" };
                allow(format!("{mount}/{path}"), capability);
                allow(RENEW_LEASE.to_owned(), "update");
            }
        }
    }
    let paths: Map<String, Value> =
        rules.into_iter().map(|(path, capabilities)| (path, json!({"capabilities": capabilities}))).collect();
    json!({ "path": paths })
}

fn role(name: &str, namespace: &Namespace, account: &ServiceAccount, audience: &str) -> Value {
    json!({
        "alias_name_source": "serviceaccount_uid",
        "audience": audience,
        "bound_service_account_names": [account],
        "bound_service_account_namespaces": [namespace],
        "token_max_ttl": TOKEN_MAX_TTL_SECONDS,
        "token_no_default_policy": true,
        "token_policies": [name],
        "token_ttl": TOKEN_TTL_SECONDS,
    })
}

/// Audience of an installation that sets none.
pub const DEFAULT_AUDIENCE: &str = "vouchsafe";
/// Life of a token between two renewals: a stolen one is worthless after an hour.
const TOKEN_TTL_SECONDS: u32 = 3600;
/// Life of a token with all renewals: a day, after which the sidecar logs in again and its rights are read anew.
const TOKEN_MAX_TTL_SECONDS: u32 = 24 * 3600;
/// What a sidecar does with its own token.
const OWN_TOKEN: [(&str, &str); 3] =
    [("auth/token/lookup-self", "read"), ("auth/token/renew-self", "update"), ("auth/token/revoke-self", "update")];
/// Renewal of leases, which engines other than KV may hand out.
const RENEW_LEASE: &str = "sys/leases/renew";

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> GrantSet {
        GrantSet::read(&[("f.yaml".to_owned(), text.to_owned())]).unwrap()
    }

    fn grant(name: &str, accounts: &str, secrets: &str, rest: &str) -> String {
        format!(
            "---\napiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {{name: {name}, namespace: ci}}\n\
             spec: {{serviceAccounts: [{accounts}], secrets: [{secrets}]{rest}}}\n"
        )
    }

    #[test]
    fn one_policy_and_role_per_reader_over_all_grants() {
        let text = grant("a", "one, two", "{name: x, path: secret/ci/x, keys: [k]}", "")
            + &grant("b", "one", "{name: y, engine: kv-v1, path: old/y}", "");
        let compiled = compile(&set(&text));
        let names: Vec<&str> = compiled.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["vouchsafe.ci.one", "vouchsafe.ci.two"]);
        assert_eq!(
            compiled[0].policy,
            json!({"path": {
                "auth/token/lookup-self": {"capabilities": ["read"]},
                "auth/token/renew-self": {"capabilities": ["update"]},
                "auth/token/revoke-self": {"capabilities": ["update"]},
                "old/y": {"capabilities": ["read"]},
                "secret/data/ci/x": {"capabilities": ["read"]},
                "secret/metadata/ci/x": {"capabilities": ["read"]},
            }})
        );
        assert_eq!(
            compiled[1].role,
            Some(json!({
                "alias_name_source": "serviceaccount_uid",
                "audience": "vouchsafe",
                "bound_service_account_names": ["two"],
                "bound_service_account_namespaces": ["ci"],
                "token_max_ttl": 86400,
                "token_no_default_policy": true,
                "token_policies": ["vouchsafe.ci.two"],
                "token_ttl": 3600,
            }))
        );
    }

    #[test]
    fn a_generic_path_with_parameters_is_a_write_and_leases_may_be_renewed() {
        let text = grant(
            "a",
            "one",
            "{name: x, engine: generic, path: github/token, parameters: {permissions: {contents: read}}}, \
             {name: y, engine: generic, path: database/creds/app}",
            "",
        );
        let policy = &compile(&set(&text))[0].policy["path"];
        assert_eq!(policy["github/token"], json!({"capabilities": ["update"]}));
        assert_eq!(policy["database/creds/app"], json!({"capabilities": ["read"]}));
        assert_eq!(policy["sys/leases/renew"], json!({"capabilities": ["update"]}));
    }

    #[test]
    fn a_role_that_a_grant_names_is_not_made() {
        let text = grant("a", "one", "{name: x, path: secret/x}", ", vault: {role: legacy, authPath: auth/k8s}");
        let compiled = compile(&set(&text));
        assert_eq!((compiled.len(), &compiled[0].role), (1, &None));
        assert_eq!(compiled[0].auth_path.as_str(), "auth/k8s");
    }

    #[test]
    fn an_audience_comes_from_the_grant_before_the_installation() {
        let text = grant("a", "one", "{name: x, path: secret/x}", ", vault: {audience: special}")
            + &grant("b", "two", "{name: x, path: secret/x}", "");
        let compiled = compile_for(&set(&text), &"https://vault.example".parse().unwrap());
        let audiences: Vec<&Value> = compiled.iter().map(|one| &one.role.as_ref().unwrap()["audience"]).collect();
        assert_eq!(audiences, ["special", "https://vault.example"]);
    }

    #[test]
    fn two_auth_mounts_of_one_reader_are_two_roles_with_one_policy() {
        let text = grant("a", "one", "{name: x, path: secret/x}", "")
            + &grant("b", "one", "{name: y, path: secret/y}", ", vault: {authPath: auth/edge}");
        let compiled = compile(&set(&text));
        assert_eq!(compiled.len(), 2);
        assert_eq!(compiled[0].policy, compiled[1].policy);
        assert_eq!(compiled[0].auth_path.as_str(), "auth/edge");
    }

    #[test]
    fn hcl_and_json_texts_say_the_same() {
        let compiled = compile(&set(&grant("a", "one", "{name: x, path: secret/ci/x}", "")));
        assert!(compiled[0].to_hcl().contains("path \"secret/data/ci/x\" {\n  capabilities = [\"read\"]\n}\n"));
        assert_eq!(serde_json::from_str::<Value>(&compiled[0].to_json()).unwrap(), compiled[0].policy);
    }
}
