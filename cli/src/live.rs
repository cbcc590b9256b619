//! What `doctor` and `why` share: a cluster by the caller's kubeconfig, and a Vault server that may be left out.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use vouchsafe_model::Secret;
use vouchsafe_model::path::ServerAddress;
use vouchsafe_net::http::{Method, Request, Response};
use vouchsafe_net::vault::Vault;

use crate::arguments::OptionalServer;
use crate::server;

/// A cluster, and the namespace of the kubeconfig's context.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) default_namespace: String,
}

/// A Vault or OpenBao server; without a token only its health can be asked.
pub(crate) struct OptionalVault {
    pub(crate) vault: Vault,
    pub(crate) token: Option<Secret>,
    pub(crate) address: String,
}

/// Why something could not be asked, for people: the status first, then the server's words.
pub(crate) fn problem(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.message),
        other => other.to_string(),
    }
}

/// Whether the API server says that there is no such thing.
pub(crate) fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Connects with the caller's own kubeconfig.
pub(crate) async fn cluster(context: Option<&str>) -> Result<Cluster> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = match context {
        None => Config::infer().await.context("find the cluster; set KUBECONFIG or log in with kubectl")?,
        Some(name) => {
            let options = KubeConfigOptions { context: Some(name.to_owned()), ..KubeConfigOptions::default() };
            let file = Kubeconfig::read().context("read the kubeconfig; set KUBECONFIG")?;
            Config::from_custom_kubeconfig(file, &options)
                .await
                .with_context(|| format!("use context {name} of the kubeconfig"))?
        }
    };
    config.read_timeout = Some(ANSWER);
    config.connect_timeout = Some(ANSWER);
    let default_namespace = config.default_namespace.clone();
    Ok(Cluster { client: Client::try_from(config).context("use the kubeconfig")?, default_namespace })
}

/// The server that the caller named, if any.
pub(crate) fn vault(server: &OptionalServer) -> Result<Option<OptionalVault>> {
    let Some(address) = &server.address else { return Ok(None) };
    let address: ServerAddress = address.parse()?;
    let roots = server::trust(server.ca_file.as_deref())?;
    let namespace = server.vault_namespace.as_deref().map(str::parse).transpose()?;
    let token = server::token(server.token_file.as_deref()).ok();
    let client = vouchsafe_net::client::Client::new(address.clone(), &roots);
    Ok(Some(OptionalVault { vault: Vault::new(client, namespace), token, address: address.to_string() }))
}

/// Asks the server for its health, which takes no token: the answer and its body.
pub(crate) async fn health(vault: &OptionalVault) -> Result<(Response, Value), String> {
    let request = Request::new(Method::GET, "/v1/sys/health");
    let response = vault.vault.client().send(request, ANSWER).await.map_err(|error| error.to_string())?;
    // EXPOSE: the health of a server, which is public.
    let body = serde_json::from_slice(response.body.expose()).unwrap_or(Value::Null);
    Ok((response, body))
}

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(15);
