//! Asks the cluster, and Vault where the caller named it, for what [`super::judge`] wants to know. Thin: what cannot be
//! asked is noted, not guessed.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Event as KubernetesEvent, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::{Metadata, NamespaceResourceScope, Resource};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vouchsafe_model::Kind;

use super::explain::{auth_path, role_name};
use super::facts::{Event, Facts, Look, VaultFacts};
use super::pick::{controller, is_limited, pick};
use crate::live::{OptionalVault, health, is_absent, problem};

/// Where to look.
pub(crate) struct Gather<'a> {
    pub(crate) client: &'a Client,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl Gather<'_> {
    /// Everything about the pod, or about the workload of that name.
    pub(crate) async fn facts(&self, vault: Option<&OptionalVault>, audience: &str) -> Result<Facts, kube::Error> {
        let mut facts = Facts {
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            audience: audience.to_owned(),
            ..Facts::default()
        };
        let mut below = Vec::new();
        match self.one::<Pod>(self.name).await? {
            Some(pod) => facts.pod = Some(pod),
            None => below = self.workload(&mut facts).await?,
        }
        if let Some(pod) = &facts.pod {
            facts.name = super::facts::text(pod, "/metadata/name").to_owned();
            facts.owners = self.owners(pod.clone()).await?;
        }
        let mut names: Vec<String> = std::iter::once(facts.name.clone()).chain(below).collect();
        names.extend(facts.owners.iter().map(|owner| super::facts::text(owner, "/metadata/name").to_owned()));
        self.events(names, &mut facts).await;
        self.grants(&mut facts).await;
        self.policies(&mut facts).await;
        if let Some(vault) = vault {
            facts.vault = Some(ask(vault, &facts).await);
        } else {
            facts.unknown.push("Vault was not asked: set VAULT_ADDR (and VAULT_TOKEN) to include it".to_owned());
        }
        Ok(facts)
    }

    /// A workload of that name: the pod of it that is worst off, or none where pods were refused.
    async fn workload(&self, facts: &mut Facts) -> Result<Vec<String>, kube::Error> {
        let found = [
            self.one::<Deployment>(self.name).await?,
            self.one::<StatefulSet>(self.name).await?,
            self.one::<DaemonSet>(self.name).await?,
            self.one::<Job>(self.name).await?,
            self.one::<ReplicaSet>(self.name).await?,
            self.one::<CronJob>(self.name).await?,
        ];
        let Some(owner) = found.into_iter().flatten().next() else { return Ok(Vec::new()) };
        let mut below = self.all::<ReplicaSet>().await?;
        below.extend(self.all::<Job>().await?);
        let picked = pick(&owner, &below, &self.all::<Pod>().await?);
        facts.pod = picked.pod;
        facts.owners = vec![owner];
        Ok(picked.below)
    }

    async fn owners(&self, object: Value) -> Result<Vec<Value>, kube::Error> {
        let mut owners = Vec::new();
        let mut object = object;
        while let Some((kind, name)) = controller(&object).filter(|_| owners.len() < OWNERS) {
            let found = match kind.as_str() {
                "ReplicaSet" => self.one::<ReplicaSet>(&name).await?,
                "Deployment" => self.one::<Deployment>(&name).await?,
                "StatefulSet" => self.one::<StatefulSet>(&name).await?,
                "DaemonSet" => self.one::<DaemonSet>(&name).await?,
                "Job" => self.one::<Job>(&name).await?,
                "CronJob" => self.one::<CronJob>(&name).await?,
                _ => None,
            };
            let Some(found) = found else { break };
            owners.push(found.clone());
            object = found;
        }
        Ok(owners)
    }

    async fn events(&self, names: Vec<String>, facts: &mut Facts) {
        let api: Api<KubernetesEvent> = Api::namespaced(self.client.clone(), self.namespace);
        for name in names {
            let wanted = ListParams::default().fields(&format!("involvedObject.name={name}")).limit(EVENTS);
            match api.list(&wanted).await {
                Ok(list) => facts.events.extend(list.items.into_iter().map(event)),
                Err(error) => {
                    facts.unknown.push(format!("events were not read: {}", problem(&error)));
                    break;
                }
            }
        }
        facts.events.sort_by(|left, right| right.last.cmp(&left.last));
    }

    async fn grants(&self, facts: &mut Facts) {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("vouchsafe.dev", "v1alpha1", "Grant"));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        match api.list(&ListParams::default()).await {
            Ok(list) => {
                facts.grants = Some(list.items.iter().filter_map(|one| serde_json::to_value(one).ok()).collect());
            }
            Err(error) => facts.unknown.push(format!("Grants were not read: {}", problem(&error))),
        }
    }

    async fn policies(&self, facts: &mut Facts) {
        match self.all::<NetworkPolicy>().await {
            Ok(policies) => facts.egress_is_limited = Some(is_limited(&policies, facts.pod.as_ref())),
            Err(error) => facts.unknown.push(format!("NetworkPolicies were not read: {}", problem(&error))),
        }
    }

    async fn one<K>(&self, name: &str) -> Result<Option<Value>, kube::Error>
    where
        K: Object,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        match api.get(name).await {
            Ok(object) => Ok(serde_json::to_value(&object).ok()),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn all<K>(&self) -> Result<Vec<Value>, kube::Error>
    where
        K: Object,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let list = api.list(&ListParams::default()).await?;
        Ok(list.items.iter().filter_map(|one| serde_json::to_value(one).ok()).collect())
    }
}

/// What a typed object of a namespace needs, in one word.
trait Object:
    Resource<Scope = NamespaceResourceScope>
    + Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>
    + Clone
    + DeserializeOwned
    + Serialize
    + std::fmt::Debug
    + Send
    + Sync
{
}

impl<K> Object for K where
    K: Resource<Scope = NamespaceResourceScope>
        + Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug
        + Send
        + Sync
{
}

fn event(event: KubernetesEvent) -> Event {
    let micro = event.event_time.as_ref().map(|time| time.0.to_string());
    let last = event.last_timestamp.as_ref().map(|time| time.0.to_string());
    let made = event.creation_timestamp().map(|time| time.0.to_string());
    Event {
        kind: event.involved_object.kind.unwrap_or_default(),
        last: last.or(micro).or(made).unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
    }
}

/// The server's health, and the pod's role and policy where there is a token.
async fn ask(vault: &OptionalVault, facts: &Facts) -> VaultFacts {
    let sealed = match health(vault).await {
        Ok((_, body)) => body.get("sealed").and_then(Value::as_bool),
        Err(_) => None,
    };
    let mut found = VaultFacts { address: vault.address.clone(), sealed, ..VaultFacts::default() };
    if let Some(token) = &vault.token {
        let name = role_name(facts);
        found.role = look(vault, token, &format!("{}/role/{name}", auth_path(facts))).await;
        found.policy = look(vault, token, &format!("sys/policies/acl/{name}")).await;
    }
    found
}

async fn look(vault: &OptionalVault, token: &vouchsafe_model::Secret, path: &str) -> Look {
    match vault.vault.read(token, path).await {
        Ok(envelope) => envelope.data.map_or(Look::Unknown, |data| Look::Found(data.into_inner())),
        Err(error) if error.kind() == Kind::Missing => Look::Absent,
        Err(_) => Look::Unknown,
    }
}

/// Longest chain of owners: pod, Job, CronJob, and one more.
const OWNERS: usize = 4;
/// Events that are read of one object.
const EVENTS: u32 = 100;
