//! `vouchsafe put`: a value into Vault, OpenBao or the running `dev`. The value is never an argument.
//!
//! Other keys of the secret are kept: read, merge, write with check-and-set. Out of scope: deleting keys.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use vouchsafe_model::name::KeyName;
use vouchsafe_model::path::{MountName, VaultPath};
use vouchsafe_model::wire::KvRead;
use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::random;

use crate::arguments::{Format, Put, PutSource};
use crate::output::{line, note};
use crate::server::Connection;
use crate::{grants, kubernetes};

/// Runs the verb.
pub(crate) async fn run(arguments: Put) -> Result<ExitCode> {
    let (mount, path) = split(&arguments.path)?;
    let connection = Connection::open(&arguments.server)?;
    let keys = wanted_keys(&arguments, &mount, &path);
    let values = values(&arguments.source, arguments.key.as_deref(), &keys).await?;
    let written = write(&connection, &mount, &path, values).await?;
    match arguments.output {
        Format::Json => line(
            json!({"path": arguments.path, "version": written.version, "keys": written.keys, "kept": written.kept})
                .to_string(),
        ),
        Format::Text => line(written.sentence(&arguments.path)),
    }
    Ok(ExitCode::SUCCESS)
}

/// What a write did.
struct Written {
    /// New version; `None` on KV v1.
    version: Option<u64>,
    keys: Vec<String>,
    kept: usize,
}

impl Written {
    fn sentence(&self, path: &str) -> String {
        let version = self.version.map(|version| format!(" version {version}")).unwrap_or_default();
        let kept = match self.kept {
            0 => String::new(),
            1 => "; 1 other key kept".to_owned(),
            many => format!("; {many} other keys kept"),
        };
        format!("{path}{version} written: {}{kept}", self.keys.join(", "))
    }
}

/// Mount and path of what the user typed; `data/` after a KV v2 mount is the usual slip and gets its own message.
fn split(typed: &str) -> Result<(MountName, VaultPath)> {
    let (mount, path) =
        typed.split_once('/').context("the path needs a mount and a path, as in secret/argocd/github-oauth")?;
    if let Some(rest) = path.strip_prefix("data/") {
        bail!("leave 'data/' out of the path: {mount}/{rest}");
    }
    Ok((mount.parse()?, path.parse()?))
}

/// Keys that Grants name for this path: what a put without KEY asks for.
fn wanted_keys(arguments: &Put, mount: &MountName, path: &VaultPath) -> Vec<KeyName> {
    match (&arguments.key, grants::read(&arguments.policies)) {
        (None, Ok(set)) => grants::keys_of(&set, mount, path),
        _ => Vec::new(),
    }
}

/// The values to write, by key.
async fn values(source: &PutSource, key: Option<&str>, wanted: &[KeyName]) -> Result<Map<String, Value>> {
    let mut values = Map::new();
    if let Some(key) = key {
        let key: KeyName = key.parse()?;
        values.insert(key.to_string(), text_value(&one_value(source, key.as_str()).await?)?);
    } else if source.generate || asks_person(source) {
        ensure!(
            !wanted.is_empty(),
            "no Grant names keys of this path; say which KEY to set, or give a JSON object with --stdin or --from-file"
        );
        for key in wanted {
            values.insert(key.to_string(), text_value(&one_value(source, key.as_str()).await?)?);
        }
    } else {
        let object = one_value(source, "the whole secret").await?;
        // EXPOSE: the object is taken apart into keys and goes into the request body.
        values = serde_json::from_slice(object.expose()).map_err(|error| {
            anyhow::anyhow!(
                "without KEY the input must be a JSON object (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
    }
    Ok(values)
}

fn asks_person(source: &PutSource) -> bool {
    !source.stdin && source.from_file.is_none() && source.from_secret.is_none()
}

/// One value from wherever the flags say.
async fn one_value(source: &PutSource, what: &str) -> Result<Secret> {
    if source.generate {
        return Ok(generate());
    }
    if source.stdin {
        let mut bytes = Vec::new();
        std::io::stdin().take(VALUE_BYTES + 1).read_to_end(&mut bytes).context("read standard input")?;
        return bounded(bytes);
    }
    if let Some(path) = &source.from_file {
        return bounded(read_file(path)?);
    }
    if let Some(reference) = &source.from_secret {
        return kubernetes::secret_value(reference).await;
    }
    let typed = rpassword::prompt_password(format!("Value of {what} (hidden): "))
        .context("there is no terminal to ask on; use --stdin, --from-file, --from-secret or --generate")?;
    ensure!(!typed.is_empty(), "no value was typed; nothing was written");
    Ok(Secret::from(typed))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(VALUE_BYTES + 1).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?;
    if bytes.ends_with(b"\n") {
        note(format!("{}: the final newline is part of the value", path.display()));
    }
    Ok(bytes)
}

fn bounded(bytes: Vec<u8>) -> Result<Secret> {
    ensure!(!bytes.is_empty(), "the value is empty; nothing was written");
    ensure!(bytes.len() as u64 <= VALUE_BYTES, "the value is larger than {VALUE_BYTES} bytes, the limit of one secret");
    Ok(Secret::new(bytes))
}

/// 32 characters of 62: 190 bits.
pub(crate) fn generate() -> Secret {
    let mut text = Vec::with_capacity(GENERATED_CHARS);
    while text.len() < GENERATED_CHARS {
        // 248 is the largest multiple of 62 in a byte; the rest is thrown away so that no character is likelier.
        text.extend(
            random::bytes::<64>()
                .iter()
                .filter(|byte| **byte < 248)
                .filter_map(|byte| ALPHABET.get(usize::from(byte % 62))),
        );
    }
    text.truncate(GENERATED_CHARS);
    Secret::new(text)
}

fn text_value(value: &Secret) -> Result<Value> {
    // EXPOSE: becomes a JSON text of the request body.
    match value.expose_str() {
        Some(text) => Ok(Value::String(text.to_owned())),
        None => bail!("the value is not UTF-8 text, which JSON cannot carry; encode it, for example with base64"),
    }
}

/// Reads what is there, merges and writes; a write of somebody else in between is tried again.
async fn write(
    connection: &Connection,
    mount: &MountName,
    path: &VaultPath,
    values: Map<String, Value>,
) -> Result<Written> {
    let keys: Vec<String> = values.keys().cloned().collect();
    let version = kv_version(connection, mount, path).await?;
    let api_path = if version == 2 { format!("{mount}/data/{path}") } else { format!("{mount}/{path}") };
    for _ in 0..WRITE_ATTEMPTS {
        let (mut merged, current) = present(connection, &api_path, version).await?;
        let kept = merged.keys().filter(|key| !values.contains_key(*key)).count();
        merged.extend(values.clone());
        let body = match version {
            2 => json!({"data": merged, "options": {"cas": current}}),
            _ => Value::Object(merged),
        };
        match connection.vault.write(&connection.token, &api_path, &Secret::from(body.to_string())).await {
            Ok(answer) => {
                let version = answer.and_then(|envelope| envelope.data).and_then(|data| data.version());
                return Ok(Written { version, keys, kept });
            }
            Err(error) if version == 2 && error.kind() == Kind::Invalid => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("{mount}/{path}: somebody else kept writing at the same time, or the server refuses the data; try again")
}

/// The secret as it is, and its version (0 where there is none).
async fn present(connection: &Connection, api_path: &str, version: u8) -> Result<(Map<String, Value>, u64)> {
    let envelope = match connection.vault.read(&connection.token, api_path).await {
        Ok(envelope) => envelope,
        Err(error) if error.kind() == Kind::Missing => return Ok((Map::new(), 0)),
        Err(error) => return Err(error.into()),
    };
    let Some(data) = envelope.data else { return Ok((Map::new(), 0)) };
    if version != 2 {
        return Ok((data.into_inner(), 0));
    }
    let read = KvRead::from_data(data)?;
    Ok((read.data.map(vouchsafe_model::wire::Document::into_inner).unwrap_or_default(), read.version))
}

/// 2 or 1: which KV the mount is.
async fn kv_version(connection: &Connection, mount: &MountName, path: &VaultPath) -> Result<u8> {
    let envelope = connection.vault.read(&connection.token, &format!("sys/internal/ui/mounts/{mount}/{path}")).await?;
    let data = envelope.data.context("the server does not say which engine holds the path")?;
    // EXPOSE: what a mount is, nothing secret.
    let engine = data.expose().get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    ensure!(
        engine == "kv" || engine == "generic",
        "{mount} is a mount of type {engine:?}; put writes to KV engines only"
    );
    // EXPOSE: as above.
    let options = data.expose().get("options").and_then(|options| options.get("version"));
    Ok(if options.and_then(Value::as_str) == Some("2") { 2 } else { 1 })
}

/// Largest value, in bytes: the limit of one secret in a pod.
const VALUE_BYTES: u64 = 1024 * 1024;
/// Length of a generated value.
const GENERATED_CHARS: usize = 32;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Check-and-set conflicts that are tried again.
const WRITE_ATTEMPTS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_data_shows_the_right_path() {
        let error = split("secret/data/argocd/github").unwrap_err().to_string();
        assert!(error.contains("secret/argocd/github"), "{error}");
        assert!(split("secret").is_err());
    }

    #[test]
    fn generated_values_are_long_and_differ() {
        let (one, two) = (generate(), generate());
        assert_eq!(one.len(), GENERATED_CHARS);
        assert_ne!(one, two);
        assert!(one.expose().iter().all(u8::is_ascii_alphanumeric));
    }

    #[test]
    fn empty_and_oversized_values_are_refused() {
        assert!(bounded(Vec::new()).is_err());
        assert!(bounded(vec![0; usize::try_from(VALUE_BYTES).unwrap() + 1]).is_err());
    }
}
