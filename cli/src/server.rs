//! Which server a verb talks to, and with which token: flags, then `VAULT_*`, then the running `dev`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use vouchsafe_model::Secret;
use vouchsafe_model::path::ServerAddress;
use vouchsafe_net::client::Client;
use vouchsafe_net::tls::TrustRoots;
use vouchsafe_net::vault::Vault;

use crate::arguments::Server;
use crate::dev;

/// A server and the caller's token.
pub(crate) struct Connection {
    pub(crate) vault: Vault,
    pub(crate) token: Secret,
    pub(crate) address: ServerAddress,
}

impl Connection {
    /// Finds address, trust and token; says which of them is missing and how to give it.
    pub(crate) fn open(server: &Server) -> Result<Self> {
        let running = match server.address {
            Some(_) => None,
            None => Some(dev::running(&server.state).with_context(|| {
                format!(
                    "no server given: set VAULT_ADDR (or --address), or start `vouchsafe dev` (looked in {})",
                    server.state.display()
                )
            })?),
        };
        let address = match (&server.address, &running) {
            (Some(address), _) => address.parse::<ServerAddress>()?,
            (None, Some(running)) => running.address.parse()?,
            (None, None) => bail!("no server given: set VAULT_ADDR or --address"),
        };
        let ca_file = server.ca_file.as_deref().or(running.as_ref().map(|running| running.ca_file.as_path()));
        let roots = trust(ca_file)?;
        let token_file = server.token_file.as_deref().or(running.as_ref().map(|running| running.token_file.as_path()));
        let namespace = server.namespace.as_deref().map(str::parse).transpose()?;
        let client = Client::new(address.clone(), &roots);
        Ok(Self { vault: Vault::new(client, namespace), token: token(token_file)?, address })
    }
}

/// The roots of a PEM file, else those of the system.
pub(crate) fn trust(ca_file: Option<&Path>) -> Result<TrustRoots> {
    let pem = match ca_file {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("read the CA file {}", path.display()))?,
        None => SYSTEM_ROOTS
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok())
            .context("found no system certificate store; name the server's CA with VAULT_CACERT or --ca-file")?,
    };
    Ok(TrustRoots::from_pem(&pem)?)
}

/// The token of a file, else of `VAULT_TOKEN`, else of `~/.vault-token` as Vault's own CLI keeps it.
pub(crate) fn token(file: Option<&Path>) -> Result<Secret> {
    let read = |path: &Path| -> Result<Secret> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read the token file {}", path.display()))?;
        Ok(Secret::from(text.trim().to_owned()))
    };
    if let Some(path) = file {
        return read(path);
    }
    if let Ok(text) = std::env::var("VAULT_TOKEN") {
        return Ok(Secret::from(text));
    }
    match std::env::var_os("HOME").map(|home| Path::new(&home).join(".vault-token")) {
        Some(path) if path.exists() => read(&path),
        _ => bail!("no token: set VAULT_TOKEN, give --token-file, or log in with `vault login`"),
    }
}

/// Where Linux distributions and macOS keep the system's certificate authorities.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
