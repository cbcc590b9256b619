//! Making tokens: `auth/token/create`, `create-orphan` and `create/ROLE`.
//!
//! Out of scope: logins, which make tokens by rules of their own ([`super::kubernetes`]).

use serde_json::Value;
use vouchsafe_model::Secret;

use super::core::Caller;
use super::envelope::{Answer, Refusal};
use super::fault::Fault;
use super::fields::Fields;
use super::policies;
use super::table::Session;
use super::token::{self, Lifetime, Token, clean_policies};
use super::token_api::auth_block;
use super::token_role::{self, TokenRole};

/// Which endpoint makes the token.
#[derive(Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// `create`.
    Child,
    /// `create-orphan`.
    Orphan,
    /// `create/NAME`: by a role.
    Of(&'a str),
}

/// `POST auth/token/create…`.
pub(crate) fn create(
    session: &mut Session<'_>,
    caller: &Caller,
    kind: Kind<'_>,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let parent = &caller.token;
    if parent.batch {
        return Err(Refusal::bad("batch tokens cannot create more tokens"));
    }
    if parent.num_uses != 0 {
        return Err(Refusal::bad("restricted use token cannot generate child tokens"));
    }
    let (path, role) = match kind {
        Kind::Child => ("auth/token/create".to_owned(), None),
        Kind::Orphan => ("auth/token/create-orphan".to_owned(), None),
        Kind::Of(name) => {
            let role = token_role::load(session, name)?;
            let role = role.ok_or_else(|| Refusal::bad(format!("unknown role {name}")))?;
            (format!("auth/token/create/{name}"), Some((name, role)))
        }
    };
    let sudo = caller.has_sudo(&path);
    let mut token = Token::draft(session.now, &path);
    token.batch = is_batch(role.as_ref().map(|(_, role)| role), fields)?;
    token.num_uses = fields.int("num_uses")?.unwrap_or(0);
    if token.num_uses < 0 {
        return Err(Refusal::bad("number of uses cannot be negative"));
    }
    if token.batch {
        check_batch(&token, fields)?;
    }
    if fields.text("entity_alias")?.is_some_and(|alias| !alias.is_empty()) {
        return Err(Refusal::bad(if role.is_none() {
            "'entity_alias' is only allowed in combination with token role"
        } else {
            "the embedded store keeps no identities; leave entity_alias out"
        }));
    }
    token.meta = fields.text_map("meta")?;
    token.display_name = display_name(fields.text("display_name")?);
    let chosen = fields.secret("id")?;
    if chosen.is_some() && !sudo {
        return Err(Refusal::bad("root or sudo privileges required to specify token id"));
    }
    // EXPOSE: only a look at its characters; a dot would mean another kind of token.
    if chosen.as_ref().and_then(Secret::expose_str).is_some_and(|text| text.contains('.')) {
        return Err(Refusal::bad("custom token ID cannot have a '.' in the value"));
    }
    if let Some(chosen) = &chosen
        && token::find(session, chosen)?.is_some()
    {
        return Err(Refusal::bad("cannot create a token with a duplicate ID"));
    }
    token.policies = match role.as_ref().filter(|(_, role)| role.names_policies()) {
        Some((_, role)) => role.policies(fields)?,
        None => child_policies(caller, fields, sudo)?,
    };
    if token.is_root() && !parent.is_root() {
        return Err(Refusal::bad("root tokens may not be created without parent token being root"));
    }
    if token.is_root() && token.batch {
        return Err(Refusal::bad("batch tokens cannot be root tokens"));
    }
    let no_parent = fields.flag("no_parent")?.unwrap_or(false);
    if no_parent && !sudo {
        return Err(Refusal::bad("root or sudo privileges required to create orphan token"));
    }
    let is_orphan = matches!(kind, Kind::Orphan) || no_parent || role.as_ref().is_some_and(|(_, role)| role.orphan);
    if !is_orphan {
        token.parent = Some(caller.tag.clone());
        token.bound_cidrs.clone_from(&parent.bound_cidrs);
    }
    if let Some((name, role)) = &role {
        role.shape(name, &mut token);
    }
    let mut warnings = set_lifetime(session, caller, &mut token, role.as_ref().map(|(_, role)| role), fields, sudo)?;
    if chosen.is_some() {
        warnings.push("A token of a chosen value is only as secret as its value; let the store choose.".to_owned());
    }
    let value = token::issue(session, &mut token, chosen)?;
    warnings.extend(unknown_policies(session, &token)?);
    Ok(Answer::auth(auth_block(session, &token, Some(&value))).warn(warnings))
}

/// TTL, period and renewability of a new token; the warnings about what was cut.
fn set_lifetime(
    session: &Session<'_>,
    caller: &Caller,
    token: &mut Token,
    role: Option<&TokenRole>,
    fields: &Fields,
    sudo: bool,
) -> Result<Vec<String>, Refusal> {
    let positive = |name: &str| match fields.seconds(name)? {
        Some(seconds) if seconds < 0 => Err(Refusal::bad(format!("{name} must be positive"))),
        other => Ok(other.unwrap_or(0)),
    };
    token.explicit_max_ttl = positive("explicit_max_ttl")?;
    token.period = positive("period")?;
    if token.period > 0 && !sudo {
        return Err(Refusal::bad("root or sudo privileges required to create periodic token"));
    }
    let smaller = |one: i64, other: i64| [one, other].into_iter().filter(|seconds| *seconds > 0).min().unwrap_or(0);
    let mut period = token.period;
    if let Some(role) = role {
        token.explicit_max_ttl = smaller(token.explicit_max_ttl, role.explicit_max_ttl());
        period = smaller(period, role.period());
    }
    token.ttl = match positive("ttl")? {
        0 => positive("lease")?,
        ttl => ttl,
    };
    let mut warnings = Vec::new();
    if period > 0 || token.ttl > 0 || !token.is_root() {
        let lifetime = Lifetime {
            increment: 0,
            ttl: token.ttl,
            period,
            max_ttl: 0,
            explicit_max_ttl: token.explicit_max_ttl,
            issued: session.now,
        };
        let (ttl, cut) = lifetime.seconds(session.now).ok_or_else(|| Refusal::bad("ttl must be positive"))?;
        token.ttl = ttl;
        warnings = cut;
    } else {
        token.ttl = token.explicit_max_ttl;
    }
    if token.ttl == 0 && caller.token.ttl != 0 {
        return Err(Refusal::bad("expiring root tokens cannot create non-expiring root tokens"));
    }
    let may_renew = fields.flag("renewable")?.unwrap_or(true) && role.is_none_or(|role| role.renewable);
    token.renewable = token.ttl != 0 && !token.batch && may_renew;
    Ok(warnings)
}

/// `policies` of a request: a list; one text is one policy, commas and all, as in Vault.
pub(crate) fn asked_policies(fields: &Fields) -> Result<Vec<String>, Refusal> {
    match fields.raw("policies") {
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        _ => Ok(fields.texts("policies")?.unwrap_or_default()),
    }
}

fn child_policies(caller: &Caller, fields: &Fields, sudo: bool) -> Result<Vec<String>, Refusal> {
    let asked = asked_policies(fields)?;
    let no_default = fields.flag("no_default_policy")?.unwrap_or(false);
    let of_parent = clean_policies(&caller.token.policies, false);
    let parent_has_default = of_parent.iter().any(|policy| policy == "default");
    let mut policies = if asked.is_empty() {
        of_parent
    } else if sudo {
        clean_policies(&asked, !no_default)
    } else {
        let asked = clean_policies(&asked, false);
        if !asked.iter().all(|policy| of_parent.contains(policy)) {
            return Err(Refusal::bad("child policies must be subset of parent"));
        }
        clean_policies(&asked, !no_default && parent_has_default)
    };
    if no_default {
        policies.retain(|policy| policy != "default");
    }
    Ok(policies)
}

/// A batch token leaves nothing behind that could count or be renewed.
fn check_batch(token: &Token, fields: &Fields) -> Result<(), Refusal> {
    let is_set = |name: &str| Ok::<_, Refusal>(fields.seconds(name)?.is_some_and(|seconds| seconds != 0));
    for (name, set) in [
        ("explicit_max_ttl", is_set("explicit_max_ttl")?),
        ("num_uses", token.num_uses != 0),
        ("period", is_set("period")?),
    ] {
        if set {
            return Err(Refusal::bad(format!("batch tokens cannot have {name:?} set")));
        }
    }
    Ok(())
}

/// Service or batch: what the role says, else what is asked for.
fn is_batch(role: Option<&TokenRole>, fields: &Fields) -> Result<bool, Refusal> {
    let asked = fields.text("type")?.unwrap_or_default();
    let asked = match asked.as_str() {
        "" => None,
        "service" => Some(false),
        "batch" => Some(true),
        _ => return Err(Refusal::bad("invalid 'token_type' value")),
    };
    Ok(match role.map(|role| role.token_type.as_str()) {
        Some("batch") => true,
        Some("service") => false,
        Some("default-batch") => asked.unwrap_or(true),
        _ => asked.unwrap_or(false),
    })
}

/// One warning for each policy that does not exist.
pub(crate) fn unknown_policies(session: &Session<'_>, token: &Token) -> Result<Vec<String>, Fault> {
    let mut warnings = Vec::new();
    for policy in &token.policies {
        if policy != "root" && !policies::exists(session, policy)? {
            warnings.push(format!("Policy {policy:?} does not exist"));
        }
    }
    Ok(warnings)
}

fn display_name(asked: Option<String>) -> String {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return "token".to_owned() };
    let clean = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let full: String = format!("token-{asked}").chars().map(clean).collect();
    full.trim_end_matches('-').to_owned()
}
