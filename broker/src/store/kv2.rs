//! KV version 2, the data side: read, write with check-and-set, patch, delete, undelete, destroy, subkeys.
//!
//! Each committed change of what a read of the newest version gives is announced as a [`Change`].
//! Out of scope: metadata, listing and settings ([`super::kv2_metadata`]).

use serde_json::{Map, Value, json};

use super::envelope::{Answer, Object, Refusal, UNSUPPORTED_MEDIA, object};
use super::fault::Fault;
use super::fields::{Fields, int_of};
use super::kv2_key::{Config, Key, Place, key_folder, version_data};
use super::kv2_metadata;
use super::mount::Mount;
use super::table::{Listed, Session};
use super::walk;
use crate::upstream::Operation;

/// Answers `MOUNT/REST`.
pub(crate) fn handle(
    session: &mut Session<'_>,
    mount: &Mount,
    rest: &str,
    operation: Operation,
    content_type: Option<&str>,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    use Operation::{Delete, List, Patch, Read, Scan, Write};
    let (verb, path) = rest.split_once('/').unwrap_or((rest, ""));
    let place = Place { mount, path };
    match (verb, operation) {
        ("config", Read) if rest == verb => kv2_metadata::read_config(session, mount),
        ("config", Write) if rest == verb => kv2_metadata::write_config(session, mount, fields),
        ("metadata" | "detailed-metadata", List | Scan) => {
            kv2_metadata::list(session, &place, verb == "detailed-metadata", operation == Scan, fields)
        }
        ("data" | "metadata" | "delete" | "undelete" | "destroy", _) if rest == verb => {
            Ok(misplaced("Non-listing operations on the root of a K/V v2 mount are not supported.".to_owned()))
        }
        ("data", Read) => read(session, &place, fields),
        ("data", Write) => write(session, &place, fields),
        ("data", Patch) => patch(session, &place, content_type, fields),
        ("data", Delete) => delete_newest(session, &place),
        ("subkeys", Read) => subkeys(session, &place, fields),
        ("delete" | "undelete" | "destroy", Write) => change_versions(session, &place, verb, fields),
        ("metadata", Read) => kv2_metadata::read(session, &place),
        ("metadata", Write) => kv2_metadata::write(session, &place, fields),
        ("metadata", Patch) => kv2_metadata::patch(session, &place, content_type, fields),
        ("metadata", Delete) => kv2_metadata::delete(session, &place),
        ("data" | "metadata" | "delete" | "undelete" | "destroy" | "subkeys" | "detailed-metadata", _)
            if rest != verb =>
        {
            Err(Refusal::unsupported())
        }
        ("config", _) if rest == verb => Err(Refusal::unsupported()),
        _ => Ok(misplaced(format!(
            "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to \
             use. If using the OpenBao CLI, use 'bao kv {}' for this operation.",
            word(operation)
        ))),
    }
}

/// Whether a write to `rest` changes what is there already (`None`: the path makes no difference).
pub(crate) fn exists(session: &Session<'_>, mount: &Mount, rest: &str) -> Result<Option<bool>, Fault> {
    match rest.split_once('/') {
        Some(("data" | "metadata", path)) => session.exists(&Place { mount, path }.key_record()).map(Some),
        _ => Ok(None),
    }
}

/// Removes everything of a mount.
pub(crate) fn remove_all(session: &mut Session<'_>, mount: &Mount) -> Result<(), Fault> {
    for path in walk::below(session, &key_folder(mount))? {
        let place = Place { mount, path: &path };
        if let Some(key) = place.load(session)? {
            place.remove(session, &key)?;
            place.announce(session, None);
        }
    }
    session.remove(&kv2_metadata::config_record(mount), Listed::No)
}

fn read(session: &Session<'_>, place: &Place<'_>, fields: &Fields) -> Result<Answer, Refusal> {
    read_as(session, place, fields, "data", Value::Object)
}

fn subkeys(session: &Session<'_>, place: &Place<'_>, fields: &Fields) -> Result<Answer, Refusal> {
    let depth = fields.count("depth")?.unwrap_or(0);
    read_as(session, place, fields, "subkeys", |data| Value::Object(without_values(data, depth, 1)))
}

fn read_as(
    session: &Session<'_>,
    place: &Place<'_>,
    fields: &Fields,
    name: &str,
    show: impl FnOnce(Object) -> Value,
) -> Result<Answer, Refusal> {
    let key = place.load(session)?.ok_or_else(Refusal::nothing)?;
    let asked = fields.int("version")?.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
    let number = asked.unwrap_or(key.current);
    let version = key.versions.get(&number).ok_or_else(Refusal::nothing)?;
    let metadata = Value::Object(version_data(&key, number, version));
    if version.is_gone(session.now) {
        return Ok(Answer::data(object(json!({ name: null, "metadata": metadata }))).into_missing());
    }
    let data: Map<String, Value> =
        session.read("kv data", &place.data_record(number))?.ok_or(Fault::Shape("kv data"))?;
    Ok(Answer::data(Object::from_iter([(name.to_owned(), show(data)), ("metadata".to_owned(), metadata)])))
}

fn without_values(data: Object, depth: u64, level: u64) -> Object {
    let strip = |value| match value {
        Value::Object(inner) if !inner.is_empty() && (depth == 0 || level < depth) => {
            Value::Object(without_values(inner, depth, level + 1))
        }
        _ => Value::Null,
    };
    data.into_iter().map(|(name, value)| (name, strip(value))).collect()
}

fn write(session: &mut Session<'_>, place: &Place<'_>, fields: &Fields) -> Result<Answer, Refusal> {
    if place.path.is_empty() {
        return Err(Refusal::bad("missing path"));
    }
    let data = fields.object("data")?.ok_or_else(|| Refusal::bad("no data provided"))?;
    let config = kv2_metadata::load_config(session, place.mount)?;
    let key = place.load(session)?.unwrap_or_else(|| Key::new(session.now));
    check_and_set(fields, &config, &key)?;
    put(session, place, key, &config, data)
}

fn patch(
    session: &mut Session<'_>,
    place: &Place<'_>,
    content_type: Option<&str>,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    require_merge_patch(content_type)?;
    let changes = fields.object("data")?.ok_or_else(|| Refusal::bad("no data provided"))?;
    let Some(key) = place.load(session)? else { return Ok(Answer::missing_without_body()) };
    let config = kv2_metadata::load_config(session, place.mount)?;
    check_and_set(fields, &config, &key)?;
    let Some(version) = key.versions.get(&key.current) else { return Ok(Answer::missing_without_body()) };
    if version.is_gone(session.now) {
        return Ok(Answer::data(version_data(&key, key.current, version)).into_missing());
    }
    let mut data: Object = session.read("kv data", &place.data_record(key.current))?.ok_or(Fault::Shape("kv data"))?;
    merge(&mut data, changes);
    put(session, place, key, &config, &data)
}

/// PATCH takes JSON merge patches only.
pub(crate) fn require_merge_patch(content_type: Option<&str>) -> Result<(), Refusal> {
    let Some(content_type) = content_type else {
        return Err(Refusal::bad("PATCH requires a Content-Type of application/merge-patch+json"));
    };
    match content_type.split(';').next().map(str::trim) {
        Some("application/merge-patch+json") => Ok(()),
        _ => Err(Refusal::said(
            UNSUPPORTED_MEDIA,
            "PATCH requires Content-Type of application/merge-patch+json, provided another",
        )),
    }
}

/// JSON merge patch (RFC 7396).
pub(crate) fn merge(target: &mut Object, changes: &Object) {
    for (name, change) in changes {
        match change {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(inner) => {
                let slot = target.entry(name.clone()).or_insert_with(|| Value::Object(Object::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Object::new());
                }
                if let Value::Object(map) = slot {
                    merge(map, inner);
                }
            }
            other => {
                target.insert(name.clone(), other.clone());
            }
        }
    }
}

fn put(
    session: &mut Session<'_>,
    place: &Place<'_>,
    mut key: Key,
    config: &Config,
    data: &Object,
) -> Result<Answer, Refusal> {
    let deletion = key.deletion(session.now, config);
    for dropped in key.add(session.now, deletion, config) {
        session.remove(&place.data_record(dropped), Listed::No)?;
    }
    session.write("kv data", &place.data_record(key.current), data, Listed::No)?;
    place.save(session, &key)?;
    place.announce(session, Some(&key));
    let version = key.versions.get(&key.current).ok_or(Fault::Shape("kv key"))?;
    Ok(Answer::data(version_data(&key, key.current, version)))
}

fn check_and_set(fields: &Fields, config: &Config, key: &Key) -> Result<(), Refusal> {
    let cas = fields.object("options")?.and_then(|options| options.get("cas"));
    match cas {
        Some(cas) => {
            let number = int_of(cas).ok_or_else(|| Refusal::bad("error parsing check-and-set parameter"))?;
            if u64::try_from(number) == Ok(key.current) {
                Ok(())
            } else {
                Err(Refusal::bad("check-and-set parameter did not match the current version"))
            }
        }
        None if config.cas_required || key.cas_required => {
            Err(Refusal::bad("check-and-set parameter required for this call"))
        }
        None => Ok(()),
    }
}

fn delete_newest(session: &mut Session<'_>, place: &Place<'_>) -> Result<Answer, Refusal> {
    let Some(mut key) = place.load(session)? else { return Ok(Answer::done()) };
    let now = session.now;
    let newest = key.current;
    let Some(version) = key.versions.get_mut(&newest).filter(|version| !version.is_gone(now)) else {
        return Ok(Answer::done());
    };
    version.deleted = Some(now);
    place.save(session, &key)?;
    place.announce(session, Some(&key));
    Ok(Answer::done())
}

/// `delete`, `undelete` and `destroy` of chosen versions.
fn change_versions(
    session: &mut Session<'_>,
    place: &Place<'_>,
    verb: &str,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let numbers: Vec<u64> = fields.ints("versions")?.into_iter().map(|n| u64::try_from(n).unwrap_or(0)).collect();
    if numbers.is_empty() {
        let text = if verb == "destroy" { "no version number provided" } else { "No version number provided" };
        return Err(Refusal::bad(text));
    }
    let config = kv2_metadata::load_config(session, place.mount)?;
    let Some(mut key) = place.load(session)? else { return Ok(Answer::done()) };
    let now = session.now;
    let deletion = key.deletion(now, &config);
    for number in &numbers {
        let Some(version) = key.versions.get_mut(number).filter(|version| !version.destroyed) else { continue };
        match verb {
            "delete" if version.is_gone(now) => {}
            "delete" => version.deleted = Some(now),
            "undelete" => version.deleted = deletion,
            _ => {
                version.destroyed = true;
                session.remove(&place.data_record(*number), Listed::No)?;
            }
        }
    }
    place.save(session, &key)?;
    if numbers.contains(&key.current) {
        place.announce(session, Some(&key));
    }
    Ok(Answer::done())
}

fn misplaced(warning: String) -> Answer {
    Answer::done().warn(vec![warning]).into_missing()
}

fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Read | Operation::Head => "get",
        Operation::Write => "put",
        Operation::Patch => "patch",
        Operation::Delete => "delete",
        Operation::List => "list",
        Operation::Scan => "scan",
    }
}
