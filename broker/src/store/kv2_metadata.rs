//! KV version 2, the metadata side: metadata of keys, listing, settings of the mount.
//!
//! Out of scope: values. Nothing here reads one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::envelope::{Answer, Object, Refusal, object};
use super::fault::Fault;
use super::fields::{Fields, go_duration};
use super::kv2::{merge, require_merge_patch};
use super::kv2_key::{Config, Key, Place, key_folder};
use super::mount::Mount;
use super::table::{Listed, Session};
use super::walk;

/// Name of the record of a mount's settings.
pub(crate) fn config_record(mount: &Mount) -> String {
    format!("kv/{}/config", mount.uuid)
}

/// Settings of a mount.
pub(crate) fn load_config(session: &Session<'_>, mount: &Mount) -> Result<Config, Fault> {
    Ok(session.read("kv config", &config_record(mount))?.unwrap_or_default())
}

/// `GET MOUNT/config`.
pub(crate) fn read_config(session: &Session<'_>, mount: &Mount) -> Result<Answer, Refusal> {
    let config = load_config(session, mount)?;
    Ok(Answer::data(object(json!({
        "max_versions": config.max_versions, "cas_required": config.cas_required,
        "metadata_cas_required": config.metadata_cas_required,
        "delete_version_after": go_duration(config.delete_version_after),
    }))))
}

/// `POST MOUNT/config`.
pub(crate) fn write_config(session: &mut Session<'_>, mount: &Mount, fields: &Fields) -> Result<Answer, Refusal> {
    let mut config = load_config(session, mount)?;
    if let Some(number) = fields.count("max_versions")? {
        config.max_versions = number;
    }
    if let Some(flag) = fields.flag("cas_required")? {
        config.cas_required = flag;
    }
    if let Some(flag) = fields.flag("metadata_cas_required")? {
        config.metadata_cas_required = flag;
    }
    if let Some(seconds) = fields.seconds("delete_version_after")? {
        config.delete_version_after = seconds.max(-1);
    }
    session.write("kv config", &config_record(mount), &config, Listed::No)?;
    Ok(Answer::done())
}

/// `GET MOUNT/metadata/PATH`.
pub(crate) fn read(session: &Session<'_>, place: &Place<'_>) -> Result<Answer, Refusal> {
    let key = place.load(session)?.ok_or_else(Refusal::nothing)?;
    Ok(Answer::data(describe(&key)))
}

/// `POST MOUNT/metadata/PATH`.
pub(crate) fn write(session: &mut Session<'_>, place: &Place<'_>, fields: &Fields) -> Result<Answer, Refusal> {
    if place.path.is_empty() {
        return Err(Refusal::bad("missing path"));
    }
    if !SETTINGS.iter().any(|setting| fields.has(setting)) {
        return Ok(Answer::done());
    }
    let config = load_config(session, place.mount)?;
    let custom = custom_metadata(fields)?;
    let warnings = ignored(fields, &config)?;
    let cas = fields.count("metadata_cas")?;
    let found = place.load(session)?;
    check_metadata_version(cas, &config, found.as_ref())?;
    let mut key = found.unwrap_or_else(|| Key::new(session.now));
    key.metadata_version += 1;
    key.updated = session.now;
    apply(&mut key, fields)?;
    if let Some(custom) = custom {
        key.custom = custom;
    }
    place.save(session, &key)?;
    Ok(Answer::done().warn(warnings))
}

/// `PATCH MOUNT/metadata/PATH`.
pub(crate) fn patch(
    session: &mut Session<'_>,
    place: &Place<'_>,
    content_type: Option<&str>,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    require_merge_patch(content_type)?;
    let Some(mut key) = place.load(session)? else { return Ok(Answer::missing_without_body()) };
    let config = load_config(session, place.mount)?;
    check_metadata_version(fields.count("metadata_cas")?, &config, Some(&key))?;
    let warnings = ignored(fields, &config)?;
    apply(&mut key, fields)?;
    if let Some(changes) = fields.object("custom_metadata")? {
        let mut merged = object(json!(key.custom));
        merge(&mut merged, changes);
        let merged = Fields::from(object(json!({ "custom_metadata": merged })));
        key.custom = custom_metadata(&merged)?.unwrap_or_default();
    }
    key.metadata_version += 1;
    key.updated = session.now;
    place.save(session, &key)?;
    Ok(Answer::done().warn(warnings))
}

/// `DELETE MOUNT/metadata/PATH`: the key with all versions.
pub(crate) fn delete(session: &mut Session<'_>, place: &Place<'_>) -> Result<Answer, Refusal> {
    if let Some(key) = place.load(session)? {
        place.remove(session, &key)?;
        place.announce(session, None);
    }
    Ok(Answer::done())
}

/// `LIST` and `SCAN` of `MOUNT/metadata/FOLDER` and `MOUNT/detailed-metadata/FOLDER`.
pub(crate) fn list(
    session: &Session<'_>,
    place: &Place<'_>,
    detailed: bool,
    deep: bool,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let folder = match place.path {
        "" => String::new(),
        path => format!("{}/", path.trim_end_matches('/')),
    };
    let mut keys = if deep {
        walk::below(session, &format!("{}{folder}", key_folder(place.mount)))?
    } else {
        session.list(&format!("{}{folder}", key_folder(place.mount)))?
    };
    if let Some(after) = fields.text("after")?.filter(|after| !after.is_empty()) {
        keys.retain(|key| *key > after);
    }
    if let Some(limit) = fields.int("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0) {
        keys.truncate(limit);
    }
    let mut more = Object::new();
    if detailed {
        let mut infos = Object::new();
        for name in &keys {
            let path = format!("{folder}{name}");
            let key = Place { mount: place.mount, path: &path }.load(session)?;
            infos.insert(name.clone(), Value::Object(key.as_ref().map(describe).unwrap_or_default()));
        }
        more.insert("key_info".to_owned(), Value::Object(infos));
    }
    Answer::keys_with(keys, more)
}

fn describe(key: &Key) -> Object {
    let versions: Object = key
        .versions
        .iter()
        .map(|(number, version)| {
            let deleted = version.deleted.map(|at| at.to_string()).unwrap_or_default();
            let shown = json!({
                "created_time": version.created.to_string(), "deletion_time": deleted, "destroyed": version.destroyed,
            });
            (number.to_string(), shown)
        })
        .collect();
    object(json!({
        "versions": versions, "current_version": key.current, "current_metadata_version": key.metadata_version,
        "oldest_version": key.oldest, "created_time": key.created.to_string(), "updated_time": key.updated.to_string(),
        "max_versions": key.max_versions, "cas_required": key.cas_required,
        "metadata_cas_required": key.metadata_cas_required,
        "delete_version_after": go_duration(key.delete_version_after), "custom_metadata": key.custom_value(),
    }))
}

fn apply(key: &mut Key, fields: &Fields) -> Result<(), Refusal> {
    if let Some(number) = fields.count("max_versions")? {
        key.max_versions = number;
    }
    if let Some(flag) = fields.flag("cas_required")? {
        key.cas_required = flag;
    }
    if let Some(flag) = fields.flag("metadata_cas_required")? {
        key.metadata_cas_required = flag;
    }
    if let Some(seconds) = fields.seconds("delete_version_after")? {
        key.delete_version_after = seconds.max(0);
    }
    Ok(())
}

/// Warnings about settings that the mount's override.
fn ignored(fields: &Fields, config: &Config) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    let mandates = [("cas_required", config.cas_required), ("metadata_cas_required", config.metadata_cas_required)];
    for (name, mandated) in mandates {
        if mandated && fields.flag(name)? == Some(false) {
            let rest = "set to false, but is mandated by backend config. This value will be ignored.";
            warnings.push(format!("{name:?} {rest}"));
        }
    }
    Ok(warnings)
}

fn check_metadata_version(cas: Option<u64>, config: &Config, key: Option<&Key>) -> Result<(), Refusal> {
    let required = config.metadata_cas_required || key.is_some_and(|key| key.metadata_cas_required);
    match (cas, key) {
        (None, _) if required => Err(Refusal::bad("metadata check-and-set parameter required for this call")),
        (Some(cas), None) if cas != 0 => Err(Refusal::bad("metadata_cas must be 0 when creating new metadata")),
        (Some(cas), Some(key)) if cas != key.metadata_version => {
            Err(Refusal::bad("metadata check-and-set parameter does not match the current version"))
        }
        _ => Ok(()),
    }
}

fn custom_metadata(fields: &Fields) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    let invalid = |problem: String| {
        Refusal::bad(format!("1 error occurred:\n\t* custom_metadata validation failed: {problem}\n\n"))
    };
    let Some(custom) = fields.text_map("custom_metadata")? else { return Ok(None) };
    if custom.len() > CUSTOM_KEYS {
        let count = custom.len();
        return Err(invalid(format!("payload must contain at most {CUSTOM_KEYS} keys, provided {count}")));
    }
    for (name, value) in &custom {
        let shown: String = name.chars().take(CUSTOM_KEY_BYTES).collect();
        if name.is_empty() || name.len() > CUSTOM_KEY_BYTES {
            let length = name.len();
            return Err(invalid(format!(
                "length of key {shown:?} is {length} but must be 0 < len(key) <= {CUSTOM_KEY_BYTES}"
            )));
        }
        if value.is_empty() || value.len() > CUSTOM_VALUE_BYTES {
            let length = value.len();
            return Err(invalid(format!(
                "length of value for key {shown:?} is {length} but must be 0 < len(value) <= {CUSTOM_VALUE_BYTES}"
            )));
        }
        if name.chars().chain(value.chars()).any(char::is_control) {
            return Err(invalid(format!("key {shown:?} or its value contains unprintable characters")));
        }
    }
    Ok(Some(custom))
}

/// Settings of a key.
const SETTINGS: [&str; 5] =
    ["max_versions", "cas_required", "metadata_cas_required", "delete_version_after", "custom_metadata"];
/// Most entries of custom metadata, as in Vault.
const CUSTOM_KEYS: usize = 64;
/// Longest name of an entry, as in Vault.
const CUSTOM_KEY_BYTES: usize = 128;
/// Longest value of an entry, as in Vault.
const CUSTOM_VALUE_BYTES: usize = 512;
