//! Everything below a folder, however deep. Out of scope: one level ([`Session::list`]).

use super::fault::Fault;
use super::table::Session;

/// Names of all records below `folder` (which ends in `/`), relative to it: a folder's own first, then those of its last
/// folder, as OpenBao's SCAN gives them.
pub(crate) fn below(session: &Session<'_>, folder: &str) -> Result<Vec<String>, Fault> {
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(inner) = folders.pop() {
        for name in session.list(&format!("{folder}{inner}"))? {
            let path = format!("{inner}{name}");
            if name.ends_with('/') { folders.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}
