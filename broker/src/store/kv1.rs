//! KV version 1: one object a path, without versions.
//!
//! ```text
//! kv1/UUID/PATH     the object as it was sent (listed)
//! ```
//! A write is announced as a [`Change`] of the path itself, with version 0: there are none. Turning a mount into version 2
//! makes each object its first version. Out of scope: check-and-set and metadata, which version 1 does not have.

use jiff::Timestamp;
use vouchsafe_model::wire::extension::Change;

use super::envelope::{Answer, Object, Refusal};
use super::fault::Fault;
use super::fields::{Fields, parse_seconds, text_of};
use super::kv2_key::{Config, Key, Place};
use super::mount::Mount;
use super::table::{Listed, Session};
use super::token::MAX_TTL;
use super::walk;
use crate::upstream::Operation;

/// Answers `MOUNT/PATH`.
pub(crate) fn handle(
    session: &mut Session<'_>,
    mount: &Mount,
    path: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    match operation {
        Operation::Read => {
            let data: Object = session.read(KIND, &record(mount, path))?.ok_or_else(Refusal::nothing)?;
            let lease = lease_of(mount, &data);
            Ok(Answer::data(data).with_lease_duration(lease))
        }
        Operation::Write if path.is_empty() => Err(Refusal::bad("missing path")),
        Operation::Write if fields.is_empty() => Err(Refusal::bad("missing data fields")),
        Operation::Write => {
            session.write(KIND, &record(mount, path), fields.all(), Listed::Yes)?;
            announce(session, mount, path);
            Ok(Answer::done())
        }
        Operation::Delete => {
            session.remove(&record(mount, path), Listed::Yes)?;
            announce(session, mount, path);
            Ok(Answer::done())
        }
        Operation::List => Answer::keys(session.list(&folder_of(mount, path))?),
        Operation::Scan => Answer::keys(walk::below(session, &folder_of(mount, path))?),
        _ => Err(Refusal::unsupported()),
    }
}

/// Whether there is something at `path`.
pub(crate) fn exists(session: &Session<'_>, mount: &Mount, path: &str) -> Result<bool, Fault> {
    session.exists(&record(mount, path))
}

/// Removes everything of a mount.
pub(crate) fn remove_all(session: &mut Session<'_>, mount: &Mount) -> Result<(), Fault> {
    for path in walk::below(session, &record(mount, ""))? {
        session.remove(&record(mount, &path), Listed::Yes)?;
        announce(session, mount, &path);
    }
    Ok(())
}

/// Turns everything of a mount into version 2: each object becomes version 1 of its path.
pub(crate) fn upgrade(session: &mut Session<'_>, mount: &Mount) -> Result<(), Fault> {
    let now: Timestamp = session.now;
    for path in walk::below(session, &record(mount, ""))? {
        let data: Object = session.read(KIND, &record(mount, &path))?.ok_or(Fault::Shape(KIND))?;
        let place = Place { mount, path: &path };
        let mut key = Key::new(now);
        key.add(now, None, &Config::default());
        session.write("kv data", &place.data_record(key.current), &data, Listed::No)?;
        place.save(session, &key)?;
        place.announce(session, Some(&key));
        session.remove(&record(mount, &path), Listed::Yes)?;
    }
    Ok(())
}

/// Seconds after which a client should read again: what the object itself says, else the mount's default.
fn lease_of(mount: &Mount, data: &Object) -> i64 {
    let said = ["ttl", "lease"].into_iter().find_map(|name| data.get(name));
    let said = said.and_then(text_of).and_then(|text| parse_seconds(&text)).filter(|seconds| *seconds > 0);
    said.unwrap_or(if mount.default_lease_ttl > 0 { mount.default_lease_ttl } else { MAX_TTL })
}

fn announce(session: &mut Session<'_>, mount: &Mount, path: &str) {
    session.announce(Change { path: format!("{}{path}", mount.path), version: 0 });
}

fn folder_of(mount: &Mount, path: &str) -> String {
    let end = if path.is_empty() || path.ends_with('/') { "" } else { "/" };
    format!("{}{end}", record(mount, path))
}

fn record(mount: &Mount, path: &str) -> String {
    format!("kv1/{}/{path}", mount.uuid)
}

/// What the records are called in messages.
const KIND: &str = "kv1 data";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::envelope::object;
    use super::*;

    #[test]
    fn an_object_may_say_how_long_it_can_be_used() {
        let mut mount = Mount::example();
        let seconds = |mount: &Mount, data| lease_of(mount, &object(data));
        assert_eq!(seconds(&mount, json!({"ttl": "1h"})), 3600);
        assert_eq!(seconds(&mount, json!({"lease": 90, "k": "v"})), 90);
        for none in [json!({}), json!({"ttl": "soon"}), json!({"ttl": -5}), json!({"ttl": {}})] {
            assert_eq!(seconds(&mount, none), MAX_TTL);
        }
        mount.default_lease_ttl = 600;
        assert_eq!(seconds(&mount, json!({})), 600);
    }
}
