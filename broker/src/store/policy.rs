//! `Policy`: the text of an ACL policy, in HCL or JSON, read strictly.
//!
//! ```text
//! path "secret/data/x" { capabilities = ["read"] }      {"path":{"secret/data/x":{"capabilities":["read"]}}}
//! path "old/*"         { policy = "write" }             pattern: exact, PREFIX*, or + for one whole segment
//! ```
//! A key that we do not know is an error, and so is one that Vault knows and we do not enforce: a policy that loads is a
//! policy that holds. A pattern with a `{{template}}` grants nothing, because no identity is kept here to fill it.
//! Out of scope: which of several rules wins ([`super::acl`]).

use super::hcl;
use super::tree::Tree;

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities(u16);

impl Capabilities {
    /// Nothing.
    pub(crate) const NONE: Self = Self(0);
    /// Refuses whatever else is granted.
    pub(crate) const DENY: Self = Self(1);
    /// Write what is not there.
    pub(crate) const CREATE: Self = Self(1 << 1);
    /// Read.
    pub(crate) const READ: Self = Self(1 << 2);
    /// Write what is there.
    pub(crate) const UPDATE: Self = Self(1 << 3);
    /// Delete.
    pub(crate) const DELETE: Self = Self(1 << 4);
    /// List names.
    pub(crate) const LIST: Self = Self(1 << 5);
    /// Reach paths that are protected on top.
    pub(crate) const SUDO: Self = Self(1 << 6);
    /// Change parts.
    pub(crate) const PATCH: Self = Self(1 << 7);
    /// List names at all depths (OpenBao).
    pub(crate) const SCAN: Self = Self(1 << 8);

    /// Whether all of `other` is in here.
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together; deny stays alone.
    #[must_use]
    pub(crate) fn union(self, other: Self) -> Self {
        let both = Self(self.0 | other.0);
        if both.has(Self::DENY) { Self::DENY } else { both }
    }

    /// What both have; deny in either is deny.
    #[must_use]
    pub(crate) fn common(self, other: Self) -> Self {
        if Self(self.0 | other.0).has(Self::DENY) { Self::DENY } else { Self(self.0 & other.0) }
    }

    /// The names, sorted; `deny` where there is nothing.
    pub(crate) fn names(self) -> Vec<&'static str> {
        if self.has(Self::DENY) || self == Self::NONE {
            return vec!["deny"];
        }
        NAMES.iter().filter(|(_, capability)| self.has(*capability)).map(|(name, _)| *name).collect()
    }

    fn named(name: &str) -> Option<Self> {
        if name == "deny" {
            return Some(Self::DENY);
        }
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, capability)| *capability)
    }
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Which paths.
    pub(crate) pattern: Pattern,
    /// What is allowed there.
    pub(crate) capabilities: Capabilities,
}

/// Which paths a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pattern {
    /// This path.
    Exact(String),
    /// Every path that begins so (the `*` is cut off).
    Prefix(String),
    /// With `+` for whole segments; a trailing `*` stands.
    Segments(String),
}

/// Reads a policy.
pub(crate) fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let tree = if text.trim_start().starts_with('{') {
        Tree::parse(text.as_bytes())
            .map_err(|error| format!("no JSON at line {}, column {}", error.line(), error.column()))?
    } else {
        hcl::parse(text)?
    };
    let Tree::Object(entries) = tree else { return Err("the policy is no object".to_owned()) };
    let mut rules = Vec::new();
    for (key, value) in &entries {
        match key.as_str() {
            "path" => read_paths(value, &mut rules)?,
            "name" => {}
            other => return Err(format!("invalid key {other:?}: only \"path\" and \"name\" may stand at the top")),
        }
    }
    Ok(rules)
}

/// `{PATTERN: {…}, …}`, or a list of such objects.
fn read_paths(value: &Tree, rules: &mut Vec<Rule>) -> Result<(), String> {
    match value {
        Tree::Object(paths) => {
            for (path, body) in paths {
                if let Some(rule) = read_rule(path, body).map_err(|problem| format!("path {path:?}: {problem}"))? {
                    rules.push(rule);
                }
            }
            Ok(())
        }
        Tree::List(items) => items.iter().try_for_each(|item| read_paths(item, rules)),
        _ => Err("\"path\" must hold a pattern and an object".to_owned()),
    }
}

fn read_rule(path: &str, body: &Tree) -> Result<Option<Rule>, String> {
    let entries = match body {
        Tree::Object(entries) => entries.as_slice(),
        Tree::List(items) => match items.as_slice() {
            [Tree::Object(entries)] => entries.as_slice(),
            _ => return Err("must be one object".to_owned()),
        },
        _ => return Err("must be an object".to_owned()),
    };
    let mut capabilities = Capabilities::NONE;
    for (key, value) in entries {
        let more = match key.as_str() {
            "capabilities" => read_capabilities(value)?,
            "policy" => read_old_policy(value)?,
            "comment" => Capabilities::NONE,
            known if NOT_ENFORCED.contains(&known) => {
                return Err(format!(
                    "the embedded store cannot enforce {known:?}; use Vault or OpenBao for this policy"
                ));
            }
            other => return Err(format!("invalid key {other:?}")),
        };
        capabilities = capabilities.union(more);
    }
    Ok(read_pattern(path)?.map(|pattern| Rule { pattern, capabilities }))
}

fn read_capabilities(value: &Tree) -> Result<Capabilities, String> {
    let one = std::slice::from_ref(value);
    let items = if let Tree::List(items) = value { items.as_slice() } else { one };
    let mut all = Capabilities::NONE;
    for item in items {
        let name = item.as_text().ok_or("\"capabilities\" must be a list of texts")?;
        all = all.union(Capabilities::named(name).ok_or_else(|| format!("invalid capability {name:?}"))?);
    }
    Ok(all)
}

/// The old words for sets of capabilities.
fn read_old_policy(value: &Tree) -> Result<Capabilities, String> {
    let read = Capabilities::READ.union(Capabilities::LIST);
    let write = read.union(Capabilities::CREATE).union(Capabilities::UPDATE).union(Capabilities::DELETE);
    match value.as_text() {
        Some("deny") => Ok(Capabilities::DENY),
        Some("read") => Ok(read),
        Some("write") => Ok(write),
        Some("sudo") => Ok(write.union(Capabilities::SUDO)),
        Some("") => Ok(Capabilities::NONE),
        other => Err(format!("invalid policy {:?}", other.unwrap_or_default())),
    }
}

fn read_pattern(path: &str) -> Result<Option<Pattern>, String> {
    if path.contains("{{") {
        return if path.contains("}}") { Ok(None) } else { Err("a template \"{{\" is never closed".to_owned()) };
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.contains("+*") {
        return Err("invalid use of wildcards ('+*' is forbidden)".to_owned());
    }
    Ok(Some(if path == "+" || path.contains("/+") || path.starts_with("+/") {
        Pattern::Segments(path.to_owned())
    } else if let Some(prefix) = path.strip_suffix('*') {
        Pattern::Prefix(prefix.to_owned())
    } else {
        Pattern::Exact(path.to_owned())
    }))
}

/// Names of capabilities other than deny, sorted.
const NAMES: [(&str, Capabilities); 8] = [
    ("create", Capabilities::CREATE),
    ("delete", Capabilities::DELETE),
    ("list", Capabilities::LIST),
    ("patch", Capabilities::PATCH),
    ("read", Capabilities::READ),
    ("scan", Capabilities::SCAN),
    ("sudo", Capabilities::SUDO),
    ("update", Capabilities::UPDATE),
];
/// Keys that narrow a rule in Vault or OpenBao and that we do not enforce.
const NOT_ENFORCED: [&str; 11] = [
    "allowed_parameters",
    "denied_parameters",
    "required_parameters",
    "min_wrapping_ttl",
    "max_wrapping_ttl",
    "mfa_methods",
    "control_group",
    "pagination_limit",
    "expiration",
    "list_scan_response_keys_filter_path",
    "subscribe_event_types",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Rule {
        parse(text).unwrap().pop().unwrap()
    }

    #[test]
    fn hcl_and_json_say_the_same() {
        let hcl =
            parse(r#"path "/secret/data/x" { capabilities = ["read", "list"] } path "a/+/b*" { policy = "deny" }"#);
        let json = parse(
            r#"{"path":{"secret/data/x":{"capabilities":["read","list"]},"a/+/b*":{"capabilities":["deny","read"]}}}"#,
        );
        assert_eq!(hcl, json);
        assert_eq!(hcl.unwrap().len(), 2);
    }

    #[test]
    fn patterns_are_exact_prefix_or_segments() {
        let pattern = |path: &str| one(&format!("path {path:?} {{}}")).pattern;
        assert_eq!(pattern("a/b"), Pattern::Exact("a/b".to_owned()));
        assert_eq!(pattern("a/b*"), Pattern::Prefix("a/b".to_owned()));
        assert_eq!(pattern("*"), Pattern::Prefix(String::new()));
        assert_eq!(pattern("a/+/c"), Pattern::Segments("a/+/c".to_owned()));
        assert_eq!(pattern("+"), Pattern::Segments("+".to_owned()));
    }

    #[test]
    fn deny_drives_out_everything_else() {
        assert_eq!(one(r#"path "x" { capabilities = ["read", "deny", "sudo"] }"#).capabilities, Capabilities::DENY);
        assert_eq!(one(r#"path "x" { capabilities = ["deny"] policy = "write" }"#).capabilities.names(), ["deny"]);
    }

    #[test]
    fn what_is_not_enforced_is_not_loaded() {
        for bad in [
            r#"path "x" { capabilities = ["read"] allowed_parameters = { "a" = [] } }"#,
            r#"path "x" { capabilities = ["read"] max_wrapping_ttl = "1h" }"#,
            r#"path "x" { capabilites = ["read"] }"#,
            r#"path "x" { capabilities = ["Read"] }"#,
            r#"path "x" { capabilities = [1] }"#,
            r#"path "x" { policy = "all" }"#,
            r#"path "x+*" { capabilities = ["read"] }"#,
            r#"paths "x" { capabilities = ["read"] }"#,
            r#"{"path":{"x":{"capabilities":["read"]}}"#,
            r#"{"path":"x"}"#,
            "path",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_template_grants_nothing() {
        assert_eq!(parse(r#"path "a/{{identity.entity.id}}/*" { capabilities = ["read"] }"#).unwrap(), []);
    }

    #[test]
    fn an_empty_policy_is_a_policy() {
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("# nothing yet\n").unwrap(), []);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[pathcbilesr\"={}\\[\\]+* \n:,/]{0,80}") {
            let _ = parse(&text);
        }
    }
}
