//! `spec.secrets`: which path, read how, limited to which keys.

use vouchsafe_model::name::SecretName;
use vouchsafe_model::path::{MountName, VaultPath};
use vouchsafe_model::plan::Engine;
use vouchsafe_model::text::{nearest, quoted};

use super::GrantSecret;
use crate::fields::{Faults, Fields, Item};
use crate::yaml::Content;

/// Reads the list; names must be unique.
pub(super) fn secrets(item: &Item<'_>, faults: &mut Faults) -> Vec<GrantSecret> {
    let mut secrets: Vec<GrantSecret> = Vec::new();
    let items = item.list(faults);
    if items.is_empty() && matches!(&item.node.content, Content::List(nodes) if nodes.is_empty()) {
        item.wrong(faults, "is empty; name at least one secret, as in {name: github, path: secret/app/github}");
    }
    for item in items {
        let Some(secret) = secret(&item, faults) else { continue };
        if secrets.iter().any(|existing| existing.name == secret.name) {
            item.wrong(faults, format!("secret {} stands twice; give one of them another name", secret.name));
        } else {
            secrets.push(secret);
        }
    }
    secrets
}

fn secret(item: &Item<'_>, faults: &mut Faults) -> Option<GrantSecret> {
    let mut fields = Fields::open(item, faults)?;
    let name = fields.required("name", "name: github", faults).and_then(|item| item.parse::<SecretName>(faults));
    let engine = match fields.optional("engine") {
        None => Some(Engine::KvV2),
        Some(item) => engine(&item, faults),
    };
    let mount = match fields.optional("mount") {
        None => Ok(None),
        Some(item) => item.parse::<MountName>(faults).map(Some).ok_or(Reported),
    };
    let location = fields
        .required("path", "path: secret/app/github", faults)
        .and_then(|item| location(&item, mount.ok()?, engine?, faults));
    let keys = fields.optional("keys").map(|item| item.names(faults)).unwrap_or_default();
    let version_item = fields.optional("version");
    let version = version_item.as_ref().and_then(|item| item.whole_number(1, MAX_VERSION, faults));
    let parameters_item = fields.optional("parameters");
    let parameters = parameters_item.as_ref().and_then(|item| {
        if let serde_json::Value::Object(map) = item.node.to_json() {
            Some(map)
        } else {
            item.wrong(faults, format!("must be a map, it is {}", item.node.shape()));
            None
        }
    });
    fields.finish(faults);
    if let (Some(item), Some(engine)) = (&version_item, engine)
        && engine != Engine::KvV2
    {
        item.wrong(faults, "only engine kv-v2 has versions; remove the field");
    }
    if let (Some(item), Some(engine)) = (&parameters_item, engine)
        && engine != Engine::Generic
    {
        item.wrong(
            faults,
            "parameters make the read a write, which only engine: generic allows; set that or remove them",
        );
    }
    let (mount, path) = location?;
    Some(GrantSecret { at: item.node.at.clone(), name: name?, engine: engine?, mount, path, keys, version, parameters })
}

fn engine(item: &Item<'_>, faults: &mut Faults) -> Option<Engine> {
    match item.text(faults)? {
        "kv-v2" => Some(Engine::KvV2),
        "kv-v1" => Some(Engine::KvV1),
        "generic" => Some(Engine::Generic),
        other => {
            let hint = nearest(other, ENGINES).map(|name| format!("did you mean {name}? ")).unwrap_or_default();
            item.wrong(faults, format!("no engine is called {}; {hint}use kv-v2, kv-v1 or generic", quoted(other)));
            None
        }
    }
}

/// A fault has been reported already.
struct Reported;

/// Splits a path into mount and rest: the mount is the first segment, or what `mount` says.
fn location(
    item: &Item<'_>,
    mount: Option<MountName>,
    engine: Engine,
    faults: &mut Faults,
) -> Option<(MountName, VaultPath)> {
    let whole: VaultPath = item.parse(faults)?;
    let text = whole.as_str();
    let (mount, rest) = match mount {
        Some(mount) => {
            if let Some(rest) = text.strip_prefix(mount.as_str()).and_then(|rest| rest.strip_prefix('/')) {
                (mount, rest)
            } else {
                let message = format!("does not begin with the mount; write it whole: {mount}/{text}");
                item.wrong(faults, message);
                return None;
            }
        }
        None => {
            if let Some((mount, rest)) = text.split_once('/') {
                (mount.parse().ok()?, rest)
            } else {
                let message = format!("{} names a mount only; write mount and path, as in secret/{text}", quoted(text));
                item.wrong(faults, message);
                return None;
            }
        }
    };
    let first = mount.as_str().split('/').next().unwrap_or_default();
    if SYSTEM_MOUNTS.contains(&first) {
        let message = format!("{first}/ belongs to the server itself, and no Grant may name it; name a secrets engine");
        item.wrong(faults, message);
        return None;
    }
    if engine == Engine::KvV2 {
        for prefix in KV_V2_PREFIXES {
            if let Some(right) = rest.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
                let message = format!(
                    "{} holds {prefix}/ after the mount, which Vouchsafe adds itself; write {mount}/{right}",
                    quoted(text)
                );
                item.wrong(faults, message);
                return None;
            }
        }
    }
    Some((mount, rest.parse().ok()?))
}

const ENGINES: [&str; 3] = ["kv-v2", "kv-v1", "generic"];
/// API prefixes of KV version 2 that people copy into paths.
const KV_V2_PREFIXES: [&str; 2] = ["data", "metadata"];
/// Mounts that every server has and that hold no secrets for workloads, compared by first segment.
const SYSTEM_MOUNTS: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];
/// Largest version that JSON readers of 53 bits still get right.
const MAX_VERSION: u64 = (1 << 53) - 1;
