//! `cubbyhole/`: a place of each token's own, which no other token reaches and which goes with it.
//!
//! ```text
//! cubby/TAG/PATH     the object as it was sent (listed)
//! ```
//! Out of scope: batch tokens, which leave nothing behind and so have no place.

use super::core::Caller;
use super::envelope::{Answer, INTERNAL, Object, Refusal};
use super::fault::Fault;
use super::fields::Fields;
use super::table::{Listed, Session};
use super::walk;
use crate::upstream::Operation;

/// Answers `cubbyhole/PATH`.
pub(crate) fn handle(
    session: &mut Session<'_>,
    caller: &Caller,
    path: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    if caller.token.batch {
        return Err(Refusal::bad("cubbyhole operations are only supported by \"service\" type tokens"));
    }
    let record = format!("{}{path}", folder(&caller.tag));
    match operation {
        Operation::Read => {
            let data = if path.is_empty() { None } else { session.read::<Object>(KIND, &record)? };
            data.map(Answer::data).ok_or_else(Refusal::nothing)
        }
        Operation::Write => {
            let problem = match (path.is_empty(), fields.is_empty()) {
                (true, _) => "missing path",
                (_, true) => "missing data fields",
                _ => {
                    session.write(KIND, &record, fields.all(), Listed::Yes)?;
                    return Ok(Answer::done());
                }
            };
            Err(Refusal::said(INTERNAL, format!("1 error occurred:\n\t* {problem}\n\n")))
        }
        Operation::Delete => {
            session.remove(&record, Listed::Yes)?;
            Ok(Answer::done())
        }
        Operation::List => {
            let end = if path.is_empty() || path.ends_with('/') { "" } else { "/" };
            Answer::keys(session.list(&format!("{record}{end}"))?)
        }
        _ => Err(Refusal::unsupported()),
    }
}

/// Whether there is something at `path` of this token.
pub(crate) fn exists(session: &Session<'_>, tag: &str, path: &str) -> Result<bool, Fault> {
    session.exists(&format!("{}{path}", folder(tag)))
}

/// Removes everything of a token that ends.
pub(crate) fn forget(session: &mut Session<'_>, tag: &str) -> Result<(), Fault> {
    let folder = folder(tag);
    for path in walk::below(session, &folder)? {
        session.remove(&format!("{folder}{path}"), Listed::Yes)?;
    }
    Ok(())
}

fn folder(tag: &str) -> String {
    format!("cubby/{tag}/")
}

/// What the records are called in messages.
const KIND: &str = "cubbyhole";
