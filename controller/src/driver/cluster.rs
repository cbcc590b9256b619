//! The objects that the controller reads and writes, each by name, each with a bound on the wait.
//!
//! Writes are merge patches that name the version they are based on: whoever was faster wins, and the other looks again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Secret as KubernetesSecret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Map, Value, json};
use vouchsafe_model::Secret;

use crate::authority::{Changes, Data};
use crate::election::{LEASE, View};
use crate::grants::StatusPatch;

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClusterError {
    #[error(
        "{0} does not exist; the chart makes it empty, and the controller may only fill it: install the chart again"
    )]
    Absent(String),
    #[error("{0} was changed by somebody else meanwhile; it is looked at again")]
    Conflict(String),
    #[error("may not {verb} {object}: {cause}; give the controller's service account that right, as the chart does")]
    Forbidden { verb: &'static str, object: String, cause: String },
    #[error("{verb} {object}: {cause}")]
    Failed { verb: &'static str, object: String, cause: String },
    #[error("{verb} {object}: no answer within {} s; is the Kubernetes API overloaded, or a network policy in the way?",
            REQUEST.as_secs())]
    Silent { verb: &'static str, object: String },
}

/// An object's content and the version that it was read at.
pub(super) struct Stored<T> {
    pub(super) version: String,
    pub(super) content: T,
}

/// Access to the objects.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    pub(super) async fn secret(&self, name: &str) -> Result<Stored<Data>, ClusterError> {
        let api: Api<KubernetesSecret> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = request("get", self.named("Secret", name), api.get(name)).await?;
        let version = found.resource_version().unwrap_or_default();
        let content = found.data.unwrap_or_default().into_iter().map(|(key, value)| (key, Secret::new(value.0)));
        Ok(Stored { version, content: content.collect() })
    }

    pub(super) async fn write_secret(&self, name: &str, version: &str, changes: &Changes) -> Result<(), ClusterError> {
        let api: Api<KubernetesSecret> = Api::namespaced(self.client.clone(), &self.namespace);
        let data: Map<String, Value> = changes
            .iter()
            .map(|(key, value)| {
                // EXPOSE: this is the one place where certificates and their keys go, the Kubernetes Secret.
                (key.clone(), value.as_ref().map_or(Value::Null, |value| json!(STANDARD.encode(value.expose()))))
            })
            .collect();
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "data": data}));
        let parameters = PatchParams::default();
        request("patch", self.named("Secret", name), api.patch(name, &parameters, &patch)).await?;
        Ok(())
    }

    /// The trust bundle of a ConfigMap; empty where it has none.
    pub(super) async fn trust(&self, name: &str) -> Result<Stored<String>, ClusterError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = request("get", self.named("ConfigMap", name), api.get(name)).await?;
        let version = found.resource_version().unwrap_or_default();
        Ok(Stored { version, content: found.data.unwrap_or_default().remove(TRUST_KEY).unwrap_or_default() })
    }

    pub(super) async fn write_trust(&self, name: &str, version: &str, bundle: &str) -> Result<(), ClusterError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "data": {TRUST_KEY: bundle}}));
        let parameters = PatchParams::default();
        request("patch", self.named("ConfigMap", name), api.patch(name, &parameters, &patch)).await?;
        Ok(())
    }

    pub(super) fn configurations(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }

    pub(super) async fn configuration(&self, name: &str) -> Result<Value, ClusterError> {
        let object = format!("MutatingWebhookConfiguration {name}");
        let found = request("get", object.clone(), self.configurations().get(name)).await?;
        serde_json::to_value(&found).map_err(|error| ClusterError::Failed {
            verb: "read",
            object,
            cause: error.to_string(),
        })
    }

    pub(super) async fn patch_configuration(&self, name: &str, patch: Value) -> Result<(), ClusterError> {
        let object = format!("MutatingWebhookConfiguration {name}");
        let patch: json_patch::Patch = serde_json::from_value(patch).map_err(|error| ClusterError::Failed {
            verb: "patch",
            object: object.clone(),
            cause: error.to_string(),
        })?;
        let (api, parameters) = (self.configurations(), PatchParams::default());
        request("patch", object, api.patch(name, &parameters, &Patch::Json::<()>(patch))).await?;
        Ok(())
    }

    pub(super) async fn lease(&self, name: &str) -> Result<View, ClusterError> {
        let found = request("get", self.named("Lease", name), self.leases().get(name)).await?;
        let version = found.resource_version().unwrap_or_default();
        let spec = found.spec.unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(View {
            version,
            holder: spec.holder_identity.unwrap_or_default(),
            duration: seconds.map_or(LEASE, Duration::from_secs),
            transitions: spec.lease_transitions.unwrap_or_default(),
        })
    }

    /// Writes a holder (empty: nobody) over `seen`.
    pub(super) async fn write_lease(
        &self,
        name: &str,
        seen: &View,
        holder: &str,
        now: jiff::Timestamp,
    ) -> Result<(), ClusterError> {
        let api = self.leases();
        let mut lease = request("get", self.named("Lease", name), api.get(name)).await?;
        if lease.resource_version().unwrap_or_default() != seen.version {
            return Err(ClusterError::Conflict(self.named("Lease", name)));
        }
        let changes_hands = seen.holder != holder;
        let before = lease.spec.take().unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: if changes_hands { Some(MicroTime(now)) } else { before.acquire_time },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(seen.transitions.saturating_add(i32::from(changes_hands && !holder.is_empty()))),
            ..LeaseSpec::default()
        });
        request("update", self.named("Lease", name), api.replace(name, &PostParams::default(), &lease)).await?;
        Ok(())
    }

    pub(super) fn grants(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &grant_resource())
    }

    pub(super) async fn write_status(&self, patch: &StatusPatch) -> Result<(), ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &patch.namespace, &grant_resource());
        let object = format!("status of Grant {}/{}", patch.namespace, patch.name);
        let (parameters, body) = (PatchParams::default(), Patch::Merge(&patch.patch));
        request("patch", object, api.patch_status(&patch.name, &parameters, &body)).await?;
        Ok(())
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn named(&self, kind: &str, name: &str) -> String {
        format!("{kind} {}/{name}", self.namespace)
    }
}

/// Waits for an answer, but not for ever, and says in words what failed.
pub(super) async fn request<T>(
    verb: &'static str,
    object: String,
    answer: impl Future<Output = kube::Result<T>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(REQUEST, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(verb, object, &error)),
        Err(_) => Err(ClusterError::Silent { verb, object }),
    }
}

pub(super) fn failed(verb: &'static str, object: String, error: &kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) => match status.code {
            404 => ClusterError::Absent(object),
            409 => ClusterError::Conflict(object),
            401 | 403 => ClusterError::Forbidden { verb, object, cause: status.message.clone() },
            _ => ClusterError::Failed { verb, object, cause: status.message.clone() },
        },
        other => ClusterError::Failed { verb, object, cause: other.to_string() },
    }
}

fn grant_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("vouchsafe.dev", "v1alpha1", "Grant"))
}

/// Longest wait for one answer: a holder of the Lease that waits longer has lost it anyway.
pub(super) const REQUEST: Duration = Duration::from_secs(5);
/// Key of the trust bundle.
const TRUST_KEY: &str = "ca.crt";
