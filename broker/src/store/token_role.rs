//! Token roles, `auth/token/roles/NAME`: what tokens made by `create/NAME` may be.
//!
//! ```text
//! token_role/NAME     TokenRole (listed)
//! ```
//! Out of scope: entity aliases, because no identities are kept here.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::envelope::{Answer, Object, Refusal, object};
use super::fault::Fault;
use super::fields::Fields;
use super::table::{Listed, Session};
use super::token::{Token, clean_policies, is_cidr};
use super::token_create::asked_policies;
use crate::upstream::Operation;

/// Folder of the records.
pub(crate) const FOLDER: &str = "token_role/";
/// Kinds of token that a role can name.
const KINDS: [&str; 4] = ["default-service", "default-batch", "service", "batch"];

/// A role as stored. Durations are seconds; 0 leaves it to the request. Some settings have an old twin, as in Vault.
#[derive(Serialize, Deserialize)]
pub(crate) struct TokenRole {
    allowed_policies: Vec<String>,
    allowed_policies_glob: Vec<String>,
    disallowed_policies: Vec<String>,
    disallowed_policies_glob: Vec<String>,
    /// Whether tokens have no parent.
    pub(crate) orphan: bool,
    /// Whether tokens can be renewed.
    pub(crate) renewable: bool,
    path_suffix: String,
    old_period: i64,
    old_explicit_max_ttl: i64,
    old_bound_cidrs: Vec<String>,
    token_period: i64,
    token_explicit_max_ttl: i64,
    token_bound_cidrs: Vec<String>,
    token_no_default_policy: bool,
    token_num_uses: i64,
    /// One of [`KINDS`].
    pub(crate) token_type: String,
}

impl Default for TokenRole {
    fn default() -> Self {
        Self {
            allowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            old_period: 0,
            old_explicit_max_ttl: 0,
            old_bound_cidrs: Vec::new(),
            token_period: 0,
            token_explicit_max_ttl: 0,
            token_bound_cidrs: Vec::new(),
            token_no_default_policy: false,
            token_num_uses: 0,
            token_type: KINDS[0].to_owned(),
        }
    }
}

impl TokenRole {
    /// Seconds that each renewal gives; 0 where its tokens are not periodic.
    pub(crate) fn period(&self) -> i64 {
        self.token_period
    }

    /// Seconds after which its tokens end whatever is renewed; 0 for none.
    pub(crate) fn explicit_max_ttl(&self) -> i64 {
        self.token_explicit_max_ttl
    }

    /// Whether it says which policies its tokens may have; then the parent's do not matter.
    pub(crate) fn names_policies(&self) -> bool {
        let lists = [
            &self.allowed_policies,
            &self.allowed_policies_glob,
            &self.disallowed_policies,
            &self.disallowed_policies_glob,
        ];
        lists.into_iter().any(|list| !list.is_empty())
    }

    /// Policies of a token made now.
    pub(crate) fn policies(&self, fields: &Fields) -> Result<Vec<String>, Refusal> {
        let add_default = !fields.flag("no_default_policy")?.unwrap_or(false) && !self.token_no_default_policy;
        let asked = asked_policies(fields)?;
        let allows = !self.allowed_policies.is_empty() || !self.allowed_policies_glob.is_empty();
        let allowed = clean_policies(&self.allowed_policies, add_default);
        let given = match (allows, asked.is_empty()) {
            (true, true) => allowed.clone(),
            _ => clean_policies(&asked, add_default),
        };
        let fits = |name: &String| allowed.contains(name) || matches_glob(&self.allowed_policies_glob, name);
        if allows && !given.iter().all(fits) {
            return Err(Refusal::bad(format!(
                "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
                quoted(&given),
                quoted(&allowed),
                quoted(&self.allowed_policies_glob)
            )));
        }
        let is_barred = |name: &&String| {
            self.disallowed_policies.contains(name) || matches_glob(&self.disallowed_policies_glob, name)
        };
        if let Some(barred) = given.iter().find(is_barred) {
            return Err(Refusal::bad(format!("token policy {barred:?} is disallowed by this role")));
        }
        Ok(given)
    }

    /// What the role decides about a token beside its policies and its life.
    pub(crate) fn shape(&self, name: &str, token: &mut Token) {
        token.role = Some(name.to_owned());
        if !self.path_suffix.is_empty() {
            token.path = format!("{}/{}", token.path, self.path_suffix);
        }
        if self.token_num_uses > 0 && (token.num_uses == 0 || token.num_uses > self.token_num_uses) {
            token.num_uses = self.token_num_uses;
        }
        if !self.token_bound_cidrs.is_empty() {
            token.bound_cidrs.clone_from(&self.token_bound_cidrs);
        }
    }
}

/// The role `name`.
pub(crate) fn load(session: &Session<'_>, name: &str) -> Result<Option<TokenRole>, Fault> {
    if name.contains('/') { Ok(None) } else { session.read(KIND, &record(name)) }
}

/// Whether a write to `auth/token/REST` changes a role that is there (`None`: no role's path).
pub(crate) fn exists(session: &Session<'_>, rest: &str) -> Result<Option<bool>, Fault> {
    rest.strip_prefix("roles/").map(|name| session.exists(&record(name))).transpose()
}

/// Answers `auth/token/roles/NAME`.
pub(crate) fn handle(
    session: &mut Session<'_>,
    name: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    match operation {
        Operation::Read => {
            let role = load(session, name)?.ok_or_else(Refusal::nothing)?;
            Ok(Answer::data(describe(name, &role)))
        }
        Operation::Write => write(session, name, fields),
        Operation::Delete => {
            session.remove(&record(name), Listed::Yes)?;
            Ok(Answer::done())
        }
        _ => Err(Refusal::unsupported()),
    }
}

fn write(session: &mut Session<'_>, name: &str, fields: &Fields) -> Result<Answer, Refusal> {
    let mut role = load(session, name)?.unwrap_or_default();
    for (field, slot) in [
        ("allowed_policies", &mut role.allowed_policies),
        ("disallowed_policies", &mut role.disallowed_policies),
        ("allowed_policies_glob", &mut role.allowed_policies_glob),
        ("disallowed_policies_glob", &mut role.disallowed_policies_glob),
    ] {
        if let Some(list) = fields.texts(field)? {
            // No `root` rule here: a role may allow it, and only a root token can then make one.
            let mut list: Vec<String> = list.iter().map(|policy| policy.to_ascii_lowercase()).collect();
            list.sort();
            list.dedup();
            *slot = list;
        }
    }
    for (field, slot) in [
        ("orphan", &mut role.orphan),
        ("renewable", &mut role.renewable),
        ("token_no_default_policy", &mut role.token_no_default_policy),
    ] {
        if let Some(flag) = fields.flag(field)? {
            *slot = flag;
        }
    }
    if let Some(suffix) = fields.text("path_suffix")? {
        if !suffix.is_empty() && !is_suffix(&suffix) {
            return Err(Refusal::bad("given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w"));
        }
        role.path_suffix = suffix;
    }
    read_limits(&mut role, fields)?;
    if let Some(kind) = fields.text("token_type")?.filter(|kind| !kind.is_empty()) {
        let kind = if kind == "default" { KINDS[0].to_owned() } else { kind };
        if !KINDS.contains(&kind.as_str()) {
            return Err(Refusal::bad(format!("invalid 'token_type' value {kind:?}")));
        }
        role.token_type = kind;
    }
    if role.token_type == "batch" && (role.renewable || role.token_period != 0 || role.token_num_uses != 0) {
        let text = if role.renewable {
            "'token_type' cannot be 'batch' when role is set to generate renewable tokens"
        } else {
            "'token_type' cannot be 'batch' when set to generate tokens with limited use or period"
        };
        return Err(Refusal::bad(text));
    }
    session.write(KIND, &record(name), &role, Listed::Yes)?;
    Ok(Answer::done())
}

fn read_limits(role: &mut TokenRole, fields: &Fields) -> Result<(), Refusal> {
    for (field, old, slot, old_slot) in [
        ("token_period", "period", &mut role.token_period, &mut role.old_period),
        (
            "token_explicit_max_ttl",
            "explicit_max_ttl",
            &mut role.token_explicit_max_ttl,
            &mut role.old_explicit_max_ttl,
        ),
    ] {
        let name = if fields.has(field) { field } else { old };
        let Some(seconds) = fields.seconds(name)? else { continue };
        if seconds < 0 {
            return Err(Refusal::bad(format!("'{name}' cannot be negative")));
        }
        *slot = seconds;
        *old_slot = if name == old { seconds } else { 0 };
    }
    let name = if fields.has("token_bound_cidrs") { "token_bound_cidrs" } else { "bound_cidrs" };
    if let Some(cidrs) = fields.texts(name)? {
        if let Some(bad) = cidrs.iter().find(|cidr| !is_cidr(cidr)) {
            return Err(Refusal::bad(format!(
                "error parsing role fields: error parsing address {bad:?}: it is no network, as in 10.0.0.0/8"
            )));
        }
        // One address is written without its length, as Vault writes it.
        let cidrs: Vec<String> = cidrs
            .iter()
            .map(|cidr| cidr.strip_suffix("/32").or(cidr.strip_suffix("/128")).unwrap_or(cidr).to_owned())
            .collect();
        role.old_bound_cidrs = if name == "bound_cidrs" { cidrs.clone() } else { Vec::new() };
        role.token_bound_cidrs = cidrs;
    }
    if let Some(uses) = fields.count("token_num_uses")? {
        role.token_num_uses = i64::try_from(uses).unwrap_or(i64::MAX);
    }
    Ok(())
}

fn describe(name: &str, role: &TokenRole) -> Object {
    let mut data = object(json!({
        "allowed_entity_aliases": null, "allowed_policies": role.allowed_policies,
        "allowed_policies_glob": role.allowed_policies_glob, "disallowed_policies": role.disallowed_policies,
        "disallowed_policies_glob": role.disallowed_policies_glob, "explicit_max_ttl": role.old_explicit_max_ttl,
        "name": name, "orphan": role.orphan, "path_suffix": role.path_suffix, "period": role.old_period,
        "renewable": role.renewable, "token_explicit_max_ttl": role.token_explicit_max_ttl,
        "token_no_default_policy": role.token_no_default_policy, "token_period": role.token_period,
        "token_type": role.token_type,
    }));
    for (name, cidrs) in [("token_bound_cidrs", &role.token_bound_cidrs), ("bound_cidrs", &role.old_bound_cidrs)] {
        if !cidrs.is_empty() {
            data.insert(name.to_owned(), json!(cidrs));
        }
    }
    if role.token_num_uses > 0 {
        data.insert("token_num_uses".to_owned(), Value::from(role.token_num_uses));
    }
    data
}

/// A word of at least three characters, with `-` and `.` inside.
fn is_suffix(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() >= 3
        && text.starts_with(is_word)
        && text.ends_with(is_word)
        && text.chars().all(|c| is_word(c) || matches!(c, '-' | '.'))
}

/// Whether one of `patterns` matches: `*` stands for anything at its start or end.
fn matches_glob(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(rest), Some(_)) => name.contains(rest.trim_end_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => pattern == name,
    })
}

/// A list as Vault's messages write it.
fn quoted(list: &[String]) -> String {
    let entries: Vec<String> = list.iter().map(|entry| format!("{entry:?}")).collect();
    format!("[{}]", entries.join(" "))
}

fn record(name: &str) -> String {
    format!("{FOLDER}{name}")
}

/// What the records are called in messages.
const KIND: &str = "token role";

#[cfg(test)]
mod tests {
    use super::*;

    fn role(allowed: &[&str], globs: &[&str], barred: &[&str]) -> TokenRole {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        TokenRole {
            allowed_policies: list(allowed),
            allowed_policies_glob: list(globs),
            disallowed_policies: list(barred),
            ..TokenRole::default()
        }
    }

    fn given(role: &TokenRole, policies: &Value) -> Result<Vec<String>, Refusal> {
        role.policies(&Fields::from(object(json!({ "policies": policies }))))
    }

    #[test]
    fn a_role_gives_what_it_allows_and_nothing_else() {
        let allowing = role(&["a", "b"], &["x-*"], &[]);
        assert_eq!(given(&allowing, &Value::Null).unwrap(), ["a", "b", "default"]);
        assert_eq!(given(&allowing, &json!(["b", "x-1"])).unwrap(), ["b", "default", "x-1"]);
        assert!(given(&allowing, &json!(["c"])).is_err());
        assert!(given(&allowing, &json!(["root"])).is_err());
        let barring = role(&[], &[], &["c"]);
        assert_eq!(given(&barring, &json!(["z"])).unwrap(), ["default", "z"]);
        assert!(given(&barring, &json!(["c"])).is_err());
    }

    #[test]
    fn suffixes_are_words() {
        assert!(is_suffix("abc") && is_suffix("a-b.c"));
        for bad in ["a", "a b", "-ab", "ab.", "a/b"] {
            assert!(!is_suffix(bad), "{bad}");
        }
    }
}
