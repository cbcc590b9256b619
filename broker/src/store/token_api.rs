//! The endpoints below `auth/token/`: lookup, renew and revoke, by value, by accessor and for oneself.
//!
//! Out of scope: making tokens ([`super::token_create`]) and their roles ([`super::token_role`]).

use serde_json::{Value, json};
use vouchsafe_model::Secret;

use super::core::Caller;
use super::envelope::{Answer, FORBIDDEN, INTERNAL, Object, Refusal, object};
use super::fields::Fields;
use super::kubernetes_role::Role;
use super::table::Session;
use super::token::{self, Lifetime, Token};
use super::token_create::{self, Kind};
use super::token_role;
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
        ("create", Write) => token_create::create(session, caller, Kind::Child, fields),
        ("create-orphan", Write) => token_create::create(session, caller, Kind::Orphan, fields),
        ("roles" | "roles/", List) => Answer::keys(session.list(token_role::FOLDER)?),
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
        _ => match (rest.split_once('/'), operation) {
            (Some(("create", name)), Write) => token_create::create(session, caller, Kind::Of(name), fields),
            (Some(("roles", name)), _) if !name.contains('/') => token_role::handle(session, name, operation, fields),
            _ => Err(Refusal::no_such_path()),
        },
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
    let mut block = object(json!({
        "client_token": value, "accessor": if token.batch { "" } else { token.accessor.as_str() },
        "policies": token.policies, "metadata": token.meta,
        "lease_duration": token.seconds_left(session.now), "renewable": token.renewable, "entity_id": "",
        "token_type": token.kind(), "orphan": token.parent.is_none(), "mfa_requirement": null,
        "num_uses": token.num_uses,
    }));
    // Left out where there are none, as in Vault.
    if !token.policies.is_empty() {
        block.insert("token_policies".to_owned(), json!(token.policies));
    }
    Value::Object(block)
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
        "id": id, "accessor": if token.batch { "" } else { token.accessor.as_str() }, "policies": token.policies, "path": token.path, "meta": token.meta,
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
    if let Some(role) = &token.role {
        add("role", Value::from(role.as_str()));
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
    let mut period = token.period;
    if let Some(name) = &token.role {
        let role = token_role::load(session, name)?;
        let role = role.ok_or_else(|| {
            let problem = format!("original token role {name:?} could not be found, not renewing");
            Refusal::said(INTERNAL, format!("1 error occurred:\n\t* failed to renew entry: {problem}\n\n"))
        })?;
        period = if role.period() > 0 { role.period() } else { period };
    }
    let lifetime = Lifetime {
        increment: fields.seconds("increment")?.unwrap_or(0),
        ttl: asked,
        period,
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
const PATHS: [&str; 14] = [
    "roles",
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
