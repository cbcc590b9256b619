//! Roles of the auth method `kubernetes`: which service accounts get which policies, for how long.
//!
//! Out of scope: namespace selectors, which need a Kubernetes client with more rights; they are refused with that reason.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::envelope::{Answer, Object, Refusal, object};
use super::fault::Fault;
use super::fields::Fields;
use super::mount::Mount;
use super::table::{Listed, Session};
use super::token::{MAX_TTL, cidr_contains, is_cidr};
use crate::upstream::Operation;

/// A role as stored. Durations are seconds; 0 leaves it to the system.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Role {
    /// Accounts that may log in; globs allowed.
    pub(crate) bound_service_account_names: Vec<String>,
    /// Their namespaces; globs allowed.
    pub(crate) bound_service_account_namespaces: Vec<String>,
    /// Audience that the token must be for; empty for any.
    pub(crate) audience: String,
    alias_name_source: String,
    /// Life of a token.
    pub(crate) token_ttl: i64,
    /// Longest life through renewals.
    pub(crate) token_max_ttl: i64,
    /// Hard end.
    pub(crate) token_explicit_max_ttl: i64,
    /// What each renewal gives.
    pub(crate) token_period: i64,
    /// Policies.
    pub(crate) token_policies: Vec<String>,
    /// Networks that tokens may be used from.
    pub(crate) token_bound_cidrs: Vec<String>,
    /// Whether `default` is left out.
    pub(crate) token_no_default_policy: bool,
    /// Uses of a token; 0 without limit.
    pub(crate) token_num_uses: i64,
    /// `default`, `service` or `batch`.
    pub(crate) token_type: String,
    strictly_bind_ip: bool,
}

impl Role {
    /// Whether a login may come from `address`.
    pub(crate) fn allows_address(&self, address: IpAddr) -> bool {
        self.token_bound_cidrs.is_empty() || self.token_bound_cidrs.iter().any(|cidr| cidr_contains(cidr, address))
    }
}

/// Folder of the roles of a mount.
pub(crate) fn folder(mount: &Mount) -> String {
    format!("kube/{}/role/", mount.uuid)
}

/// Name of a role's record. Names are lower-cased, as in Vault.
pub(crate) fn record(mount: &Mount, name: &str) -> String {
    format!("{}{}", folder(mount), name.to_ascii_lowercase())
}

/// A role.
pub(crate) fn load(session: &Session<'_>, mount: &Mount, name: &str) -> Result<Option<Role>, Fault> {
    if name.contains('/') { Ok(None) } else { session.read(KIND, &record(mount, name)) }
}

/// Whether a write to `auth/PATH/REST` changes a role that is there (`None`: no role's path).
pub(crate) fn exists(session: &Session<'_>, mount: &Mount, rest: &str) -> Result<Option<bool>, Fault> {
    match rest.strip_prefix("role/") {
        Some(name) => session.exists(&record(mount, name)).map(Some),
        None => Ok(None),
    }
}

/// Answers `auth/PATH/role/NAME`.
pub(crate) fn handle(
    session: &mut Session<'_>,
    mount: &Mount,
    name: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    match operation {
        Operation::Read => {
            let role = load(session, mount, name)?.ok_or_else(Refusal::nothing)?;
            Ok(Answer::data(describe(&role)))
        }
        Operation::Write => write(session, mount, name, fields),
        Operation::Delete => {
            session.remove(&record(mount, name), Listed::Yes)?;
            Ok(Answer::done())
        }
        _ => Err(Refusal::unsupported()),
    }
}

fn write(session: &mut Session<'_>, mount: &Mount, name: &str, fields: &Fields) -> Result<Answer, Refusal> {
    let name_is_clean = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(name_is_clean) {
        return Err(Refusal::bad(format!(
            "role name {name:?}: letters, digits, '-', '_' and '.', at most {NAME_BYTES}"
        )));
    }
    let mut role = load(session, mount, name)?.unwrap_or_default();
    let mut warnings = Vec::new();
    read_token_fields(&mut role, fields)?;
    if role.token_period > MAX_TTL {
        return Err(Refusal::bad("token period is greater than the backend's maximum lease TTL of 768h0m0s"));
    }
    if role.token_max_ttl > 0 && role.token_ttl > role.token_max_ttl {
        return Err(Refusal::bad("'token_ttl' cannot be greater than 'token_max_ttl'"));
    }
    if role.token_max_ttl > MAX_TTL {
        warnings.push(
            "max_ttl is greater than the system or backend mount's maximum TTL value; issued tokens' max TTL value will \
             be truncated"
                .to_owned(),
        );
    }
    if let Some(names) = fields.texts("bound_service_account_names")? {
        role.bound_service_account_names = names;
    }
    if let Some(namespaces) = fields.texts("bound_service_account_namespaces")? {
        role.bound_service_account_namespaces = namespaces;
    }
    check_bound(&role, fields)?;
    if let Some(audience) = fields.text("audience")? {
        role.audience = audience;
    }
    match fields.text("alias_name_source")? {
        Some(source) => role.alias_name_source = source,
        None if role.alias_name_source.is_empty() => ALIAS_SOURCES[0].clone_into(&mut role.alias_name_source),
        None => {}
    }
    if !ALIAS_SOURCES.contains(&role.alias_name_source.as_str()) {
        return Err(Refusal::bad(format!(
            "invalid alias_name_source {:?}, must be one of: {}",
            role.alias_name_source,
            ALIAS_SOURCES.join(", ")
        )));
    }
    session.write(KIND, &record(mount, name), &role, Listed::Yes)?;
    Ok(Answer::done().warn(warnings))
}

fn check_bound(role: &Role, fields: &Fields) -> Result<(), Refusal> {
    if fields.text("bound_service_account_namespace_selector")?.is_some_and(|selector| !selector.is_empty()) {
        return Err(Refusal::bad(
            "the embedded store does not know bound_service_account_namespace_selector; name the namespaces instead",
        ));
    }
    let star = |list: &[String]| list.len() > 1 && list.iter().any(|entry| entry == "*");
    if role.bound_service_account_names.is_empty() {
        return Err(Refusal::bad("\"bound_service_account_names\" can not be empty"));
    }
    if role.bound_service_account_namespaces.is_empty() {
        return Err(Refusal::bad(
            "\"bound_service_account_namespaces\" can not be empty if \"bound_service_account_namespace_selector\" is \
             not set",
        ));
    }
    if star(&role.bound_service_account_names) || star(&role.bound_service_account_namespaces) {
        return Err(Refusal::bad("can not mix \"*\" with values"));
    }
    Ok(())
}

fn read_token_fields(role: &mut Role, fields: &Fields) -> Result<(), Refusal> {
    let Role { token_ttl, token_max_ttl, token_explicit_max_ttl, token_period, .. } = role;
    for (name, old, slot) in [
        ("token_ttl", "ttl", token_ttl),
        ("token_max_ttl", "max_ttl", token_max_ttl),
        ("token_explicit_max_ttl", "", token_explicit_max_ttl),
        ("token_period", "period", token_period),
    ] {
        let name = if fields.has(name) { name } else { old };
        if let Some(seconds) = fields.seconds(name)? {
            if seconds < 0 {
                return Err(Refusal::bad(format!("'{name}' cannot be negative")));
            }
            *slot = seconds;
        }
    }
    if let Some(policies) = either(fields, "token_policies", "policies")? {
        role.token_policies = policies;
    }
    if let Some(cidrs) = either(fields, "token_bound_cidrs", "bound_cidrs")? {
        if let Some(bad) = cidrs.iter().find(|cidr| !is_cidr(cidr)) {
            return Err(Refusal::bad(format!("token_bound_cidrs: {bad:?} is no network, as in 10.0.0.0/8")));
        }
        role.token_bound_cidrs = cidrs;
    }
    if let Some(flag) = fields.flag("token_no_default_policy")? {
        role.token_no_default_policy = flag;
    }
    let uses = if fields.has("token_num_uses") { "token_num_uses" } else { "num_uses" };
    if let Some(uses) = fields.count(uses)? {
        role.token_num_uses = i64::try_from(uses).unwrap_or(i64::MAX);
    }
    if fields.flag("token_strictly_bind_ip")? == Some(true) {
        return Err(Refusal::bad("the embedded store does not know token_strictly_bind_ip; use token_bound_cidrs"));
    }
    if let Some(kind) = fields.text("token_type")? {
        match kind.as_str() {
            "" | "default" | "default-service" => "default".clone_into(&mut role.token_type),
            "service" | "batch" => role.token_type = kind,
            _ => return Err(Refusal::bad(format!("invalid 'token_type' value {kind:?}"))),
        }
    }
    if role.token_type.is_empty() {
        "default".clone_into(&mut role.token_type);
    }
    if role.token_type == "batch" && (role.token_period != 0 || role.token_num_uses != 0) {
        return Err(Refusal::bad(
            "'token_type' cannot be 'batch' when set to generate tokens with limited use or period",
        ));
    }
    Ok(())
}

fn either(fields: &Fields, name: &str, old: &str) -> Result<Option<Vec<String>>, Refusal> {
    if fields.has(name) { fields.texts(name) } else { fields.texts(old) }
}

fn describe(role: &Role) -> Object {
    let mut data = object(json!({
        "bound_service_account_names": role.bound_service_account_names,
        "bound_service_account_namespaces": role.bound_service_account_namespaces,
        "bound_service_account_namespace_selector": "",
        "alias_name_source": role.alias_name_source,
        "token_ttl": role.token_ttl, "token_max_ttl": role.token_max_ttl,
        "token_explicit_max_ttl": role.token_explicit_max_ttl, "token_period": role.token_period,
        "token_policies": role.token_policies, "token_bound_cidrs": role.token_bound_cidrs,
        "token_no_default_policy": role.token_no_default_policy, "token_num_uses": role.token_num_uses,
        "token_type": role.token_type, "token_strictly_bind_ip": role.strictly_bind_ip,
    }));
    if !role.audience.is_empty() {
        data.insert("audience".to_owned(), Value::from(role.audience.as_str()));
    }
    data
}

/// What the records are called in messages.
const KIND: &str = "kubernetes role";
/// Where an alias would get its name; the first is the default.
const ALIAS_SOURCES: [&str; 2] = ["serviceaccount_uid", "serviceaccount_name"];
/// Longest name of a role: a namespace, an account and a prefix.
const NAME_BYTES: usize = 512;
