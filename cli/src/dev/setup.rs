//! What a platform team does once, done for this machine: auth method, policies, roles, and random values.
//!
//! Everything goes through the broker's Vault API with the root token, as any other client would. Values that are there
//! stay; a second run writes policies and roles again, which changes nothing.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use vouchsafe_model::plan::Engine;
use vouchsafe_model::{Kind, Secret};
use vouchsafe_net::vault::Vault;
use vouchsafe_policies::{Grant, GrantSecret, GrantSet, compile};

use super::issuer::{ISSUER, Issuer};
use crate::apply::apply;
use crate::grants::needed_keys;
use crate::put::generate;

/// What was set up, for the report.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// Policies and roles written.
    pub(crate) roles: usize,
    /// Paths that got random values now.
    pub(crate) filled: Vec<String>,
    /// What could not be prepared here, in words.
    pub(crate) notes: Vec<String>,
}

/// Prepares the server behind `vault` for `grants`.
pub(crate) async fn prepare(vault: &Vault, root: &Secret, grants: &GrantSet, issuer: &Issuer) -> Result<Setup> {
    let mut setup = Setup::default();
    let mut methods = BTreeSet::new();
    let compiled = compile(grants);
    for one in &compiled {
        if methods.insert(one.auth_path.to_string()) {
            enable_kubernetes_auth(vault, root, one.auth_path.as_str(), issuer).await?;
        }
    }
    apply(vault, root, &compiled, false).await?;
    setup.roles = compiled.len();
    let mut mounts = BTreeSet::new();
    for grant in grants.iter() {
        for secret in &grant.secrets {
            if secret.engine != Engine::KvV2 {
                setup.notes.push(format!("{}: {} is no KV v2 path; dev cannot fill it", grant.label(), secret.path));
                continue;
            }
            if mounts.insert(secret.mount.to_string()) {
                enable_kv(vault, root, secret.mount.as_str()).await?;
            }
            fill(vault, root, grant, secret, &mut setup).await?;
        }
    }
    Ok(setup)
}

/// Writes a new version of one secret in which every value is new. Returns the version.
pub(crate) async fn change(vault: &Vault, token: &Secret, api_path: &str) -> Result<u64> {
    let read = vault.read(token, api_path).await?;
    let data = vouchsafe_model::wire::KvRead::from_data(read.data.context("the secret vanished")?)?;
    let keys = data.data.context("the secret was deleted")?;
    let values: Map<String, Value> = keys.keys().map(|key| (key.to_owned(), random_text())).collect();
    let answer = write(vault, token, api_path, &json!({"data": values, "options": {"cas": data.version}})).await?;
    let version = answer.and_then(|answer| answer.data).and_then(|data| data.version());
    version.with_context(|| format!("the server did not tell the new version of {api_path}"))
}

async fn enable_kubernetes_auth(vault: &Vault, root: &Secret, path: &str, issuer: &Issuer) -> Result<()> {
    let methods = vault.read(root, "sys/auth").await?;
    let mount = format!("{}/", path.trim_start_matches("auth/"));
    // EXPOSE: names of mounts.
    if !methods.data.is_some_and(|methods| methods.expose().contains_key(&mount)) {
        write(vault, root, &format!("sys/{path}"), &json!({"type": "kubernetes"})).await?;
    }
    let config = json!({"kubernetes_host": "", "pem_keys": [issuer.public_key()], "issuer": ISSUER});
    write(vault, root, &format!("{path}/config"), &config).await?;
    Ok(())
}

async fn enable_kv(vault: &Vault, root: &Secret, mount: &str) -> Result<()> {
    let mounts = vault.read(root, "sys/mounts").await?;
    // EXPOSE: names of mounts.
    if !mounts.data.is_some_and(|mounts| mounts.expose().contains_key(&format!("{mount}/"))) {
        write(vault, root, &format!("sys/mounts/{mount}"), &json!({"type": "kv", "options": {"version": "2"}})).await?;
    }
    Ok(())
}

/// Random values for the keys that the Grant needs and the secret lacks.
async fn fill(vault: &Vault, root: &Secret, grant: &Grant, secret: &GrantSecret, setup: &mut Setup) -> Result<()> {
    let api_path = format!("{}/data/{}", secret.mount, secret.path);
    let (mut values, version) = match vault.read(root, &api_path).await {
        Ok(envelope) => {
            let read = vouchsafe_model::wire::KvRead::from_data(envelope.data.context("a read without data")?)?;
            (read.data.map(vouchsafe_model::wire::Document::into_inner).unwrap_or_default(), read.version)
        }
        Err(error) if error.kind() == Kind::Missing => (Map::new(), 0),
        Err(error) => return Err(error.into()),
    };
    let missing: Vec<String> = needed_keys(grant, secret)
        .into_iter()
        .map(|key| key.to_string())
        .filter(|key| !values.contains_key(key))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    values.extend(missing.into_iter().map(|key| (key, random_text())));
    write(vault, root, &api_path, &json!({"data": values, "options": {"cas": version}})).await?;
    setup.filled.push(format!("{}/{}", secret.mount, secret.path));
    Ok(())
}

async fn write(
    vault: &Vault,
    token: &Secret,
    path: &str,
    body: &Value,
) -> Result<Option<vouchsafe_model::wire::Envelope>> {
    Ok(vault.write(token, path, &Secret::from(body.to_string())).await?)
}

fn random_text() -> Value {
    // EXPOSE: becomes a JSON text of the request body.
    Value::String(generate().expose_str().unwrap_or_default().to_owned())
}
