//! The endpoints below `auth/token/`: create, lookup, renew and revoke, by value, by accessor and for oneself.
//!
//! Out of scope: token roles (`auth/token/roles`), which nobody needs here yet.

use serde_json::{Value, json};
use vouchsafe_model::Secret;

use super::core::Caller;
use super::envelope::{Answer, FORBIDDEN, Object, Refusal, object};
use super::fault::Fault;
use super::fields::Fields;
use super::kubernetes_role::Role;
use super::policies;
use super::table::Session;
use super::token::{self, Lifetime, Token, clean_policies};
use crate::upstream::Operation;

/// Answers `auth/token/REST`.
pub(crate) fn handle(
    session: &mut Session<'_>,
    caller: &Caller,
    rest: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    use Operation::{List, Read, Write};
    match (rest, operation) {
        ("create", Write) => create(session, caller, fields, false),
        ("create-orphan", Write) => create(session, caller, fields, true),
        ("lookup-self", Read | Write) => look_up(session, caller, &caller.value),
        ("lookup", Read | Write) => {
            let value = fields.secret("token")?.unwrap_or_else(|| caller.value.duplicate());
            look_up(session, caller, &value)
        }
        ("lookup-accessor", Write) => {
            let accessor = accessor(fields)?;
            let (_, token) = by_accessor(session, &accessor)?;
            Ok(Answer::data(describe(session, &token, None)))
        }
        ("renew-self", Write) => renew(session, token::find(session, &caller.value)?, Some(&caller.value), fields),
        ("renew", Write) => {
            let value = fields.secret("token")?.ok_or_else(|| Refusal::bad("missing token ID"))?;
            renew(session, token::find(session, &value)?, Some(&value), fields)
        }
        ("renew-accessor", Write) => {
            let found = by_accessor(session, &accessor(fields)?)?;
            renew(session, Some(found), None, fields)
        }
        ("revoke-self", Write) => revoke(session, token::find(session, &caller.value)?),
        ("revoke", Write) => {
            let value = fields.secret("token")?.ok_or_else(|| Refusal::bad("missing token ID"))?;
            revoke(session, token::find(session, &value)?)
        }
        ("revoke-orphan", Write) => {
            let value = fields.secret("token")?.ok_or_else(|| Refusal::bad("missing token ID"))?;
            let (tag, _) = token::find(session, &value)?.ok_or_else(|| Refusal::bad("token to revoke not found"))?;
            token::revoke_alone(session, &tag)?;
            Ok(Answer::done())
        }
        ("revoke-accessor", Write) => match token::find_by_accessor(session, &accessor(fields)?)? {
            Some(found) => revoke(session, Some(found)),
            None => Ok(Answer::done().warn(vec!["No token found with this accessor".to_owned()])),
        },
        ("accessors" | "accessors/", List) => Answer::keys(token::accessors(session)?),
        _ if PATHS.contains(&rest) => Err(Refusal::unsupported()),
        _ => Err(Refusal::no_such_path()),
    }
}

/// Whether `sudo` is needed on top.
pub(crate) fn needs_sudo(rest: &str) -> bool {
    matches!(rest, "accessors" | "accessors/" | "create-orphan" | "revoke-orphan")
}

/// The `auth` block of an answer.
pub(crate) fn auth_block(session: &Session<'_>, token: &Token, value: Option<&Secret>) -> Value {
    // EXPOSE: the one answer that hands the token to its owner.
    let value = value.and_then(Secret::expose_str).unwrap_or_default();
    json!({
        "client_token": value, "accessor": if token.batch { "" } else { token.accessor.as_str() },
        "policies": token.policies, "token_policies": token.policies, "metadata": token.meta,
        "lease_duration": token.seconds_left(session.now), "renewable": token.renewable, "entity_id": "",
        "token_type": token.kind(), "orphan": token.parent.is_none(), "mfa_requirement": null,
        "num_uses": token.num_uses,
    })
}

fn look_up(session: &Session<'_>, caller: &Caller, value: &Secret) -> Result<Answer, Refusal> {
    if *value == caller.value {
        return Ok(Answer::data(describe(session, &caller.token, Some(value))));
    }
    let found = token::find(session, value)?;
    let (_, token) = found.ok_or_else(|| Refusal::said(FORBIDDEN, "bad token"))?;
    Ok(Answer::data(describe(session, &token, Some(value))))
}

fn describe(session: &Session<'_>, token: &Token, value: Option<&Secret>) -> Object {
    // EXPOSE: who looks up a token by its value has it already.
    let id = value.and_then(Secret::expose_str).unwrap_or_default();
    let mut data = object(json!({
        "id": id, "accessor": token.accessor, "policies": token.policies, "path": token.path, "meta": token.meta,
        "display_name": token.display_name, "num_uses": token.num_uses, "orphan": token.parent.is_none(),
        "creation_time": token.created.as_second(), "creation_ttl": token.ttl,
        "expire_time": token.expires.map(|end| end.to_string()), "ttl": token.seconds_left(session.now),
        "explicit_max_ttl": token.explicit_max_ttl, "entity_id": "", "type": token.kind(),
    }));
    let mut add = |name: &str, value: Value| {
        data.insert(name.to_owned(), value);
    };
    if token.period > 0 {
        add("period", Value::from(token.period));
    }
    if !token.bound_cidrs.is_empty() {
        add("bound_cidrs", json!(token.bound_cidrs));
    }
    add("renewable", Value::from(token.renewable));
    add("issue_time", Value::from(token.created.to_string()));
    if let Some(renewed) = token.renewed {
        add("last_renewal_time", Value::from(renewed.as_second()));
        add("last_renewal", Value::from(renewed.to_string()));
    }
    data
}

fn renew(
    session: &mut Session<'_>,
    found: Option<(String, Token)>,
    value: Option<&Secret>,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let (tag, mut token) = found.ok_or_else(|| Refusal::bad("token not found"))?;
    if token.batch {
        return Err(Refusal::bad("batch tokens cannot be renewed"));
    }
    if token.expires.is_none() || !token.renewable {
        return Err(Refusal::bad("lease is not renewable"));
    }
    let mut asked = if token.renewed_for > 0 { token.renewed_for } else { token.ttl };
    if let Some(record) = &token.role_record {
        let role: Option<Role> = session.read("kubernetes role", record)?;
        let role = role.ok_or_else(|| {
            let name = record.rsplit('/').next().unwrap_or_default();
            Refusal::said(500, format!("role {name} does not exist during renewal"))
        })?;
        (asked, token.max_ttl, token.period) = (role.token_ttl, role.token_max_ttl, role.token_period);
    }
    let lifetime = Lifetime {
        increment: fields.seconds("increment")?.unwrap_or(0),
        ttl: asked,
        period: token.period,
        max_ttl: token.max_ttl,
        explicit_max_ttl: token.explicit_max_ttl,
        issued: token.created,
    };
    let (ttl, warnings) =
        lifetime.seconds(session.now).ok_or_else(|| Refusal::said(500, "past the max TTL, cannot renew"))?;
    token::extend(session, &tag, &mut token, ttl)?;
    Ok(Answer::auth(auth_block(session, &token, value)).warn(warnings))
}

fn revoke(session: &mut Session<'_>, found: Option<(String, Token)>) -> Result<Answer, Refusal> {
    let Some((tag, token)) = found else { return Ok(Answer::done()) };
    if token.batch {
        return Err(Refusal::bad("batch tokens cannot be revoked"));
    }
    token::revoke(session, &tag)?;
    Ok(Answer::done())
}

fn create(session: &mut Session<'_>, caller: &Caller, fields: &Fields, orphan: bool) -> Result<Answer, Refusal> {
    let parent = &caller.token;
    if parent.batch {
        return Err(Refusal::bad("batch tokens cannot create more tokens"));
    }
    if parent.num_uses != 0 {
        return Err(Refusal::bad("restricted use token cannot generate child tokens"));
    }
    let path = if orphan { "auth/token/create-orphan" } else { "auth/token/create" };
    let sudo = caller.has_sudo(path);
    let mut token = Token::draft(session.now, path);
    token.batch = match fields.text("type")?.as_deref() {
        None | Some("" | "service") => false,
        Some("batch") => true,
        Some(_) => return Err(Refusal::bad("invalid 'token_type' value")),
    };
    token.num_uses = fields.int("num_uses")?.unwrap_or(0);
    if token.num_uses < 0 {
        return Err(Refusal::bad("number of uses cannot be negative"));
    }
    token.meta = fields.text_map("meta")?;
    token.display_name = display_name(fields.text("display_name")?);
    let chosen = fields.secret("id")?;
    if chosen.is_some() && !sudo {
        return Err(Refusal::bad("root or sudo privileges required to specify token id"));
    }
    if let Some(chosen) = &chosen
        && token::find(session, chosen)?.is_some()
    {
        return Err(Refusal::bad("cannot create a token with a duplicate ID"));
    }
    token.policies = child_policies(caller, fields, sudo)?;
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
    if !orphan && !no_parent {
        token.parent = Some(caller.tag.clone());
        token.bound_cidrs.clone_from(&parent.bound_cidrs);
    }
    let mut warnings = set_lifetime(session, caller, &mut token, fields, sudo)?;
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
    if token.batch {
        for (name, set) in [
            ("explicit_max_ttl", token.explicit_max_ttl != 0),
            ("num_uses", token.num_uses != 0),
            ("period", token.period != 0),
        ] {
            if set {
                return Err(Refusal::bad(format!("batch tokens cannot have {name:?} set")));
            }
        }
    }
    token.ttl = match positive("ttl")? {
        0 => positive("lease")?,
        ttl => ttl,
    };
    let mut warnings = Vec::new();
    if token.period > 0 || token.ttl > 0 || !token.is_root() {
        let lifetime = Lifetime {
            increment: 0,
            ttl: token.ttl,
            period: token.period,
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
    token.renewable = token.ttl != 0 && !token.batch && fields.flag("renewable")?.unwrap_or(true);
    Ok(warnings)
}

fn child_policies(caller: &Caller, fields: &Fields, sudo: bool) -> Result<Vec<String>, Refusal> {
    let asked = fields.texts("policies")?.unwrap_or_default();
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

fn accessor(fields: &Fields) -> Result<String, Refusal> {
    fields
        .text("accessor")?
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Refusal::bad("1 error occurred:\n\t* missing accessor\n\n"))
}

fn by_accessor(session: &Session<'_>, accessor: &str) -> Result<(String, Token), Refusal> {
    token::find_by_accessor(session, accessor)?
        .ok_or_else(|| Refusal::bad("1 error occurred:\n\t* invalid accessor\n\n"))
}

/// Paths that exist, for telling "no such path" from "no such operation".
const PATHS: [&str; 13] = [
    "create",
    "create-orphan",
    "lookup",
    "lookup-self",
    "lookup-accessor",
    "renew",
    "renew-self",
    "renew-accessor",
    "revoke",
    "revoke-self",
    "revoke-orphan",
    "revoke-accessor",
    "accessors",
];
