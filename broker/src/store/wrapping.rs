//! Response wrapping: an answer is put away under a token of one use, and handed out once for that token.
//!
//! ```text
//! wrap/TAG    Wrapped: the answer as it would have been sent, and what made it; goes with its token
//! ```
//! Any request may ask for it by `X-Vault-Wrap-TTL`. A token that was used, has ended or was made up answers 400, so that
//! who finds his wrapped secret gone knows that someone else has read it. Out of scope: `X-Vault-Wrap-Format: jwt`, and the
//! compulsory wrapping that policies can ask for (such a policy does not load).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vouchsafe_model::Secret;

use super::envelope::{Answer, FORBIDDEN, Refusal, object};
use super::fault::Fault;
use super::fields::{Fields, parse_seconds};
use super::mount;
use super::policies::RESPONSE_WRAPPING;
use super::table::{Listed, Session};
use super::token::{self, Token};
use crate::upstream::{Operation, UpstreamRequest};

/// Hands out what was wrapped.
pub(crate) const UNWRAP: &str = "sys/wrapping/unwrap";
/// Says what is wrapped, without using the token up.
pub(crate) const LOOKUP: &str = "sys/wrapping/lookup";
/// Wraps anew under another token.
pub(crate) const REWRAP: &str = "sys/wrapping/rewrap";
/// Wraps what is sent.
pub(crate) const WRAP: &str = "sys/wrapping/wrap";

/// A wish to have the answer wrapped.
#[derive(Clone)]
pub(crate) struct Wish {
    seconds: i64,
    path: String,
}

/// An answer put away.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wrapped {
    path: String,
    created: Timestamp,
    seconds: i64,
    accessor: Option<String>,
    answer: String,
}

/// A wrapping token that a request brought along.
pub(crate) struct Presented {
    tag: String,
    wrapped: Wrapped,
}

impl Wish {
    /// What the request asks for; `None` where it does not ask.
    pub(crate) fn of(request: &UpstreamRequest) -> Result<Option<Self>, Refusal> {
        let Some(text) = request.wrap_ttl.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let refuse = |problem: String| Refusal::bad(format!("error parsing X-Vault-Wrap-TTL header: {problem}"));
        let seconds = parse_seconds(text).ok_or_else(|| refuse(format!("time: invalid duration {text:?}")))?;
        if seconds < 0 {
            return Err(refuse("requested wrap ttl cannot be negative".to_owned()));
        }
        let is_listing = matches!(request.operation, Operation::List | Operation::Scan);
        let end = if is_listing && !request.path.ends_with('/') { "/" } else { "" };
        Ok((seconds > 0).then(|| Self { seconds, path: format!("{}{end}", request.path) }))
    }
}

/// The answer itself, or in its place the token for it. Answers without envelope are not wrapped, as in Vault.
pub(crate) fn wrap(session: &mut Session<'_>, wish: Option<&Wish>, answer: Answer) -> Result<Answer, Fault> {
    let Some(wish) = wish.filter(|_| answer.has_envelope()) else { return Ok(answer) };
    let accessor = answer.accessor().map(str::to_owned);
    let text = answer.into_text(&mount::uuid_of(vouchsafe_net::random::bytes()));
    let (path, created, seconds) = (wish.path.clone(), session.now, wish.seconds);
    put_away(session, Wrapped { path, created, seconds, accessor, answer: text })
}

/// The wrapping token of a request to [`UNWRAP`], [`LOOKUP`] or [`REWRAP`]; `None` for every other request.
///
/// In the body, or else as the caller's own token. Asked before the caller's rights are: it is the one key to its content.
pub(crate) fn presented(
    session: &Session<'_>,
    request: &UpstreamRequest,
    fields: &Fields,
) -> Result<Option<Presented>, Refusal> {
    if !matches!(request.path.as_str(), UNWRAP | REWRAP | LOOKUP) {
        return Ok(None);
    }
    let refuse = |problem: &str| Refusal::said(FORBIDDEN, format!("error validating wrapping token: {problem}"));
    let sent = match fields.raw("token") {
        Some(Value::String(text)) if text.is_empty() => return Err(refuse("empty token in request body")),
        Some(Value::String(text)) if request.operation == Operation::Write => Some(Secret::from(text.clone())),
        Some(_) if request.operation == Operation::Write => {
            return Err(refuse("could not decode token in request body"));
        }
        _ => None,
    };
    let token = sent.as_ref().or(request.token.as_ref()).ok_or_else(|| refuse("token is empty"))?;
    let found = token::find(session, token)?.map(|(tag, _)| tag);
    let wrapped = found.as_deref().map(|tag| session.read::<Wrapped>(KIND, &record(tag))).transpose()?.flatten();
    match (found, wrapped) {
        (Some(tag), Some(wrapped)) => Ok(Some(Presented { tag, wrapped })),
        _ => Err(Refusal::bad("wrapping token is not valid or does not exist")),
    }
}

/// What `sys/wrapping/lookup` says.
pub(crate) fn look_up(presented: &Presented) -> Answer {
    let Wrapped { path, created, seconds, .. } = &presented.wrapped;
    Answer::data(object(json!({
        "creation_path": path, "creation_time": created.to_string(), "creation_ttl": seconds,
    })))
}

/// `sys/wrapping/unwrap`: hands the answer out and ends its token.
pub(crate) fn unwrap(session: &mut Session<'_>, presented: Presented) -> Result<Answer, Fault> {
    token::revoke(session, &presented.tag)?;
    Ok(Answer::raw(Secret::from(presented.wrapped.answer)))
}

/// `sys/wrapping/rewrap`: the same under a new token; the old one ends.
pub(crate) fn rewrap(session: &mut Session<'_>, presented: Presented) -> Result<Answer, Fault> {
    token::revoke(session, &presented.tag)?;
    let created = session.now;
    put_away(session, Wrapped { created, ..presented.wrapped })
}

/// `sys/wrapping/wrap`: what is sent is the answer, which its own wish wraps.
pub(crate) fn echo(wish: Option<&Wish>, fields: Fields) -> Result<Answer, Refusal> {
    if wish.is_none() {
        return Err(Refusal::bad("endpoint requires response wrapping to be used"));
    }
    Ok(Answer::data(fields.into_object()))
}

/// Removes what lies under a token that ends.
pub(crate) fn forget(session: &mut Session<'_>, tag: &str) -> Result<(), Fault> {
    session.remove(&record(tag), Listed::No)
}

fn put_away(session: &mut Session<'_>, wrapped: Wrapped) -> Result<Answer, Fault> {
    let mut token = Token::draft(session.now, &wrapped.path);
    token.policies = vec![RESPONSE_WRAPPING.to_owned()];
    token.num_uses = 1;
    (token.ttl, token.explicit_max_ttl) = (wrapped.seconds, wrapped.seconds);
    let value = token::issue(session, &mut token, None)?;
    let tag = session.barrier.token_tag(&value);
    session.write(KIND, &record(&tag), &wrapped, Listed::No)?;
    // EXPOSE: the token is for who asked.
    let text = value.expose_str().unwrap_or_default();
    let mut info = object(json!({
        "token": text, "accessor": token.accessor, "ttl": wrapped.seconds, "creation_time": wrapped.created.to_string(),
        "creation_path": wrapped.path,
    }));
    if let Some(accessor) = wrapped.accessor {
        info.insert("wrapped_accessor".to_owned(), Value::from(accessor));
    }
    Ok(Answer::wrapped(Value::Object(info)))
}

fn record(tag: &str) -> String {
    format!("wrap/{tag}")
}

/// What the records are called in messages.
const KIND: &str = "wrapped answer";

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::testing::upstream_request;

    fn wish(operation: Operation, ttl: &str) -> Result<Option<(i64, String)>, Refusal> {
        let mut request = upstream_request(operation, "a/b", IpAddr::V4(Ipv4Addr::LOCALHOST));
        request.wrap_ttl = Some(ttl.to_owned());
        Wish::of(&request).map(|wish| wish.map(|wish| (wish.seconds, wish.path)))
    }

    #[test]
    fn a_wish_is_seconds_or_a_duration_and_zero_is_none() {
        assert_eq!(wish(Operation::Read, "60").unwrap(), Some((60, "a/b".to_owned())));
        assert_eq!(wish(Operation::List, "5m").unwrap(), Some((300, "a/b/".to_owned())));
        for none in ["", "0", "0s"] {
            assert_eq!(wish(Operation::Read, none).unwrap(), None, "{none:?}");
        }
        for bad in ["x", "-1", "-5m", "1y"] {
            assert!(matches!(wish(Operation::Read, bad), Err(Refusal::Said { status: 400, .. })), "{bad:?}");
        }
    }
}
