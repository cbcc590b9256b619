//! Which parameters an endpoint knows: of the others Vault says in a warning that it ignored them, and so does the store.
//!
//! Only endpoints with fixed parameters are here. Out of scope: what takes anything (KV version 1, cubbyholes, wrapping).

use super::fields::Fields;
use super::mount::{Mount, MountKind};
use crate::upstream::Operation;

/// The warning about what was ignored, where there is something to warn of.
pub(crate) fn warning((mount, rest): (&Mount, &str), operation: Operation, fields: &Fields) -> Vec<String> {
    if !matches!(operation, Operation::Write | Operation::Patch) {
        return Vec::new();
    }
    let Some(known) = known(mount.kind, rest) else { return Vec::new() };
    // A map is sorted, and so is Vault's list.
    let ignored: Vec<&str> = fields.all().keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if ignored.is_empty() {
        return Vec::new();
    }
    vec![format!("Endpoint ignored these unrecognized parameters: [{}]", ignored.join(" "))]
}

fn known(kind: MountKind, rest: &str) -> Option<&'static [&'static str]> {
    let (first, second) = rest.split_once('/').unwrap_or((rest, ""));
    match (kind, first) {
        (MountKind::Kv, "data") => Some(&["data", "options", "version", "path"]),
        (MountKind::Kv, "metadata" | "config") => Some(&METADATA),
        (MountKind::Kv, "delete" | "undelete" | "destroy") => Some(&["versions", "path"]),
        (MountKind::Token, "create" | "create-orphan") => Some(&CREATE),
        (MountKind::Token, "roles") if !second.is_empty() => Some(&TOKEN_ROLE),
        (MountKind::Token, "renew" | "renew-self" | "renew-accessor") => Some(&["token", "increment", "accessor"]),
        (MountKind::Kubernetes, "role") if !second.is_empty() => Some(&KUBERNETES_ROLE),
        (MountKind::Kubernetes, "config") => Some(&KUBERNETES_CONFIG),
        (MountKind::System, "policies" | "policy") => Some(&POLICY),
        (MountKind::System, "mounts" | "auth") if !rest.ends_with("/tune") => Some(&MOUNT),
        (MountKind::System, "capabilities-self" | "capabilities") => Some(&["token", "path", "paths"]),
        (MountKind::System, "capabilities-accessor") => Some(&["accessor", "path", "paths"]),
        _ => None,
    }
}

const METADATA: [&str; 7] = [
    "max_versions",
    "cas_required",
    "metadata_cas_required",
    "metadata_cas",
    "delete_version_after",
    "custom_metadata",
    "path",
];
const CREATE: [&str; 15] = [
    "id",
    "policies",
    "meta",
    "no_parent",
    "no_default_policy",
    "display_name",
    "num_uses",
    "renewable",
    "ttl",
    "lease",
    "type",
    "explicit_max_ttl",
    "period",
    "entity_alias",
    "role_name",
];
const TOKEN_ROLE: [&str; 23] = [
    "role_name",
    "allowed_policies",
    "allowed_policies_glob",
    "disallowed_policies",
    "disallowed_policies_glob",
    "allowed_entity_aliases",
    "orphan",
    "renewable",
    "path_suffix",
    "period",
    "explicit_max_ttl",
    "bound_cidrs",
    "token_period",
    "token_explicit_max_ttl",
    "token_bound_cidrs",
    "token_no_default_policy",
    "token_num_uses",
    "token_type",
    "token_ttl",
    "token_max_ttl",
    "token_policies",
    "token_strictly_bind_ip",
    "name",
];
const KUBERNETES_ROLE: [&str; 23] = [
    "name",
    "bound_service_account_names",
    "bound_service_account_namespaces",
    "bound_service_account_namespace_selector",
    "audience",
    "alias_name_source",
    "policies",
    "ttl",
    "max_ttl",
    "period",
    "num_uses",
    "bound_cidrs",
    "token_ttl",
    "token_max_ttl",
    "token_explicit_max_ttl",
    "token_period",
    "token_policies",
    "token_bound_cidrs",
    "token_strictly_bind_ip",
    "token_no_default_policy",
    "token_num_uses",
    "token_type",
    "role",
];
const KUBERNETES_CONFIG: [&str; 8] = [
    "kubernetes_host",
    "kubernetes_ca_cert",
    "token_reviewer_jwt",
    "pem_keys",
    "issuer",
    "disable_iss_validation",
    "disable_local_ca_jwt",
    "use_annotations_as_alias_metadata",
];
const POLICY: [&str; 7] = ["name", "policy", "rules", "cas", "cas_required", "ttl", "expiration"];
const MOUNT: [&str; 11] = [
    "path",
    "type",
    "description",
    "config",
    "options",
    "local",
    "seal_wrap",
    "external_entropy_access",
    "plugin_name",
    "plugin_version",
    "force_no_cache",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::envelope::object;
    use super::*;

    #[test]
    fn unknown_parameters_are_named_in_order_and_only_of_writes() {
        let mount = Mount::example();
        let fields = Fields::from(object(json!({"token_reviewer_jwt": "t", "z": 1, "a": 2})));
        let text = "Endpoint ignored these unrecognized parameters: [a z]";
        assert_eq!(warning((&mount, "config"), Operation::Write, &fields), [text]);
        assert!(warning((&mount, "config"), Operation::Read, &fields).is_empty());
        assert!(warning((&mount, "elsewhere"), Operation::Write, &fields).is_empty());
    }
}
