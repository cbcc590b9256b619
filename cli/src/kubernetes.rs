//! The one thing the CLI asks a cluster for: a key of a Kubernetes Secret that is to move into Vault.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Secret as KubernetesSecret;
use kube::{Api, Client};
use vouchsafe_model::Secret;
use vouchsafe_model::name::Namespace;

/// The value behind `NAMESPACE/NAME:KEY`, read with the caller's own kubeconfig.
pub(crate) async fn secret_value(reference: &str) -> Result<Secret> {
    let (namespace, name, key) = split(reference)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default().await.context("find the cluster; set KUBECONFIG or log in with kubectl")?;
    let api: Api<KubernetesSecret> = Api::namespaced(client, namespace.as_str());
    let found = api.get(name).await.with_context(|| format!("read Secret {namespace}/{name}"))?;
    let mut data = found.data.unwrap_or_default();
    if let Some(value) = data.remove(key) {
        Ok(Secret::new(value.0))
    } else {
        let keys: Vec<&str> = data.keys().map(String::as_str).collect();
        bail!("Secret {namespace}/{name} has no key {key:?}; it has: {}", keys.join(", "))
    }
}

fn split(reference: &str) -> Result<(Namespace, &str, &str)> {
    let parts = reference.split_once('/').and_then(|(namespace, rest)| {
        let (name, key) = rest.split_once(':')?;
        Some((namespace, name, key))
    });
    match parts {
        Some((namespace, name, key)) if !name.is_empty() && !key.is_empty() => Ok((namespace.parse()?, name, key)),
        _ => bail!("--from-secret wants NAMESPACE/NAME:KEY, as in argocd/argocd-secret:dex.github.clientSecret"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_namespace_secret_and_key() {
        let (namespace, name, key) = split("argocd/argocd-secret:dex.github.clientSecret").unwrap();
        assert_eq!((namespace.as_str(), name, key), ("argocd", "argocd-secret", "dex.github.clientSecret"));
        for bad in ["argocd", "argocd/x", "argocd/:k", "argocd/x:", "Argo/x:k"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
