//! `sys/capabilities…`: what a token may do at a path, asked by the token itself, by its value or by its accessor.
//!
//! Out of scope: how it is decided ([`super::acl`]).

use super::acl::Acl;
use super::core::{Caller, texts};
use super::envelope::{Answer, INTERNAL, Object, Refusal};
use super::fields::Fields;
use super::policies;
use super::table::Session;
use super::token;

/// Answers `sys/capabilities-self`, `sys/capabilities` and `sys/capabilities-accessor`.
pub(crate) fn handle(session: &Session<'_>, caller: &Caller, rest: &str, fields: &Fields) -> Result<Answer, Refusal> {
    let paths = paths(fields)?;
    let in_list = |problem: &str| format!("1 error occurred:\n\t* {problem}\n\n");
    let token = match rest {
        "capabilities-self" => return Ok(answer(&caller.acl, &paths)),
        "capabilities-accessor" => {
            let accessor = fields.text("accessor")?.filter(|text| !text.is_empty());
            let accessor = accessor.ok_or_else(|| Refusal::bad("missing accessor"))?;
            let found = token::find_by_accessor(session, &accessor)?;
            found.ok_or_else(|| Refusal::bad(in_list("invalid accessor")))?.1
        }
        _ => {
            let value = fields.secret("token")?.ok_or_else(|| Refusal::said(INTERNAL, in_list("no token found")))?;
            token::find(session, &value)?.ok_or_else(|| Refusal::bad(in_list("invalid token")))?.1
        }
    };
    Ok(answer(&policies::acl_of(session, &token)?, &paths))
}

fn paths(fields: &Fields) -> Result<Vec<String>, Refusal> {
    let mut paths = fields.texts("paths")?.unwrap_or_default();
    if paths.is_empty() {
        paths = fields.texts("path")?.unwrap_or_default();
    }
    if paths.is_empty() { Err(Refusal::bad("paths must be supplied")) } else { Ok(paths) }
}

fn answer(acl: &Acl, paths: &[String]) -> Answer {
    let mut data = Object::new();
    for path in paths {
        let held = texts(acl.capabilities(path.trim_start_matches('/')));
        if paths.len() == 1 {
            data.insert("capabilities".to_owned(), held.clone());
        }
        data.insert(path.clone(), held);
    }
    Answer::repeated(data)
}
