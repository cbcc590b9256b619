//! `sys/policies/acl` and its old twin `sys/policy`: create, read, delete and list policies.
//!
//! Out of scope: what a policy means ([`super::policy`], [`super::acl`]).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::acl::Acl;
use super::envelope::{Answer, Refusal, object};
use super::fault::Fault;
use super::fields::Fields;
use super::policy;
use super::table::{Listed, Session};
use super::token::Token;
use crate::upstream::Operation;

/// A policy as stored: the text as it was sent.
#[derive(Serialize, Deserialize)]
struct Stored {
    text: String,
    version: u64,
    modified: Timestamp,
}

/// Stores the policy that every token gets unless its maker says otherwise.
pub(crate) fn create_default(session: &mut Session<'_>) -> Result<(), Fault> {
    let stored = Stored { text: DEFAULT_POLICY.to_owned(), version: 1, modified: session.now };
    session.write(KIND, &record(DEFAULT), &stored, Listed::Yes)
}

/// Stores the policy of wrapping tokens, which nobody can change.
pub(crate) fn create_response_wrapping(session: &mut Session<'_>) -> Result<(), Fault> {
    let stored = Stored { text: RESPONSE_WRAPPING_POLICY.to_owned(), version: 1, modified: session.now };
    session.write(KIND, &record(RESPONSE_WRAPPING), &stored, Listed::No)
}

/// What a token may do: the rules of all its policies.
pub(crate) fn acl_of(session: &Session<'_>, token: &Token) -> Result<Acl, Fault> {
    if token.is_root() {
        return Ok(Acl::root());
    }
    let mut rules = Vec::new();
    for name in &token.policies {
        if let Some(stored) = session.read::<Stored>(KIND, &record(name))? {
            rules.extend(policy::parse(&stored.text).map_err(|_| Fault::Shape(KIND))?);
        }
    }
    Ok(Acl::new(rules))
}

/// Whether there is such a policy.
pub(crate) fn exists(session: &Session<'_>, name: &str) -> Result<bool, Fault> {
    session.exists(&record(name))
}

/// Answers `sys/policies/acl[/NAME]` (`old` false) and `sys/policy[/NAME]` (`old` true).
pub(crate) fn handle(
    session: &mut Session<'_>,
    old: bool,
    name: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    match operation {
        Operation::List => list(session, old),
        Operation::Read if name.is_empty() && old => list(session, old),
        _ if name.is_empty() => Err(Refusal::unsupported()),
        Operation::Read => read(session, old, &name.to_ascii_lowercase()),
        Operation::Write => write(session, old, name, fields),
        Operation::Delete => delete(session, &name.to_ascii_lowercase()),
        _ => Err(Refusal::unsupported()),
    }
}

fn list(session: &Session<'_>, old: bool) -> Result<Answer, Refusal> {
    let mut names = session.list(FOLDER)?;
    names.push(ROOT.to_owned());
    if old {
        let data = object(json!({ "keys": names, "policies": names }));
        return Ok(Answer::repeated(data));
    }
    Answer::keys(names)
}

fn read(session: &Session<'_>, old: bool, name: &str) -> Result<Answer, Refusal> {
    let field = if old { "rules" } else { "policy" };
    let (text, version, modified) = if name == ROOT {
        (String::new(), 0, None)
    } else {
        let stored: Stored = session.read(KIND, &record(name))?.ok_or_else(Refusal::nothing)?;
        (stored.text, stored.version, Some(stored.modified))
    };
    let mut data = object(json!({ "name": name, field: text, "version": version, "cas_required": false }));
    if let Some(modified) = modified {
        data.insert("modified".to_owned(), Value::from(modified.to_string()));
    }
    Ok(if old { Answer::repeated(data) } else { Answer::data(data) })
}

fn write(session: &mut Session<'_>, old: bool, sent: &str, fields: &Fields) -> Result<Answer, Refusal> {
    let name = sent.to_ascii_lowercase();
    let mut warnings = Vec::new();
    if name != sent {
        warnings.push(format!("policy name was converted to {name}"));
    }
    if matches!(name.as_str(), ROOT | RESPONSE_WRAPPING) {
        return Err(Refusal::bad(format!("cannot update {name:?} policy")));
    }
    if name.contains('/') || name.len() > NAME_BYTES {
        return Err(Refusal::bad(format!("policy name {name:?}: no slashes, at most {NAME_BYTES} bytes")));
    }
    if let Some(unsupported) = ["cas", "cas_required", "ttl", "expiration"].iter().find(|name| fields.has(name)) {
        return Err(Refusal::bad(format!(
            "the embedded store does not know {unsupported:?} of a policy; leave it out"
        )));
    }
    let mut text = fields.text("policy")?.unwrap_or_default();
    if text.is_empty() && old {
        text = fields.text("rules")?.unwrap_or_default();
        warnings.push("'rules' is deprecated, please use 'policy' instead".to_owned());
    }
    if text.is_empty() {
        return Err(Refusal::bad("'policy' parameter not supplied or empty"));
    }
    if let Some(decoded) = STANDARD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
        text = decoded;
    }
    policy::parse(&text).map_err(|problem| Refusal::bad(format!("failed to parse policy: {problem}")))?;
    let before: Option<Stored> = session.read(KIND, &record(&name))?;
    let version = before.map_or(0, |stored| stored.version) + 1;
    session.write(KIND, &record(&name), &Stored { text, version, modified: session.now }, Listed::Yes)?;
    Ok(Answer::done().warn(warnings))
}

fn delete(session: &mut Session<'_>, name: &str) -> Result<Answer, Refusal> {
    if matches!(name, ROOT | RESPONSE_WRAPPING) {
        return Err(Refusal::bad(format!("cannot delete {name:?} policy")));
    }
    if name == DEFAULT {
        return Err(Refusal::bad("cannot delete default policy"));
    }
    session.remove(&record(name), Listed::Yes)?;
    Ok(Answer::done())
}

fn record(name: &str) -> String {
    format!("{FOLDER}{name}")
}

/// Folder of the records.
const FOLDER: &str = "policy/";
/// What the records are called in messages.
const KIND: &str = "policy";
/// The policy that may do everything and has no text.
const ROOT: &str = "root";
/// The policy that every token gets.
const DEFAULT: &str = "default";
/// The policy of wrapping tokens; it stands in no listing, as in Vault.
pub(crate) const RESPONSE_WRAPPING: &str = "response-wrapping";
/// What a wrapping token may do: be unwrapped, once.
const RESPONSE_WRAPPING_POLICY: &str = r#"path "cubbyhole/response" { capabilities = ["create", "read"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
"#;
/// Longest name of a policy; Vault has no limit.
const NAME_BYTES: usize = 512;
/// Text of [`DEFAULT`] in a new store: what a token needs to look after itself.
const DEFAULT_POLICY: &str = r#"# Every token may look after itself.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }

# It may ask what it is allowed to do.
path "sys/capabilities-self" { capabilities = ["update"] }

# It may look up and renew a lease whose id it knows.
path "sys/leases/lookup" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/renew" { capabilities = ["update"] }

# It has a place of its own.
path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }

# It may wrap, look up and unwrap answers.
path "sys/wrapping/wrap" { capabilities = ["update"] }
path "sys/wrapping/lookup" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
"#;
