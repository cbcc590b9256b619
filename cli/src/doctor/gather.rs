//! Asks the cluster, and Vault where the caller named it, for what the checks look at. Thin: what cannot be asked is noted.

use std::time::{Duration, SystemTime};

use http::header::DATE;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret as KubernetesSecret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use vouchsafe_model::Kind;
use vouchsafe_policies::GrantSet;

use super::checks::{text, webhooks};
use super::facts::{Facts, Probe, Refusal, Seen, VaultSeen};
use super::probe;
use crate::arguments::Doctor;
use crate::live::{OptionalVault, health, is_absent, problem};

/// Everything that the checks look at.
pub(crate) async fn facts(client: &Client, vault: Option<&OptionalVault>, arguments: &Doctor) -> Facts {
    let (installation, release) = (arguments.cluster.installation.as_str(), arguments.release.as_str());
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let pods_configuration = seen(configurations.get(release).await);
    let grants = grants(client).await;
    let known: &[Value] = if let Seen::Found(grants) = &grants { grants } else { &[] };
    let chosen = probe::choose(known, arguments.probe_namespace.as_deref());
    let namespace = arguments
        .probe_namespace
        .clone()
        .or_else(|| chosen.map(|grant| text(grant, "/metadata/namespace").to_owned()))
        .unwrap_or_else(|| "default".to_owned());
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), installation);
    let leases: Api<Lease> = Api::namespaced(client.clone(), installation);
    let mut certificates = Vec::new();
    for part in ["webhook", "broker"] {
        let secret = format!("{release}-{part}-tls");
        certificates.push((secret.clone(), certificate(client, installation, &secret).await));
    }
    Facts {
        now: SystemTime::now(),
        installation: installation.to_owned(),
        release: release.to_owned(),
        audience: arguments.cluster.audience.clone(),
        warnings_configuration: seen(configurations.get(&format!("{release}-warn")).await),
        endpoints: endpoints(client, &pods_configuration).await,
        probe: try_pod(&pods, chosen).await,
        probed: chosen.map(|grant| format!("{namespace}/{}", text(grant, "/metadata/name"))),
        certificates,
        trust: trust(&config_maps, &format!("{release}-trust")).await,
        policies: all::<ValidatingAdmissionPolicy>(client).await,
        bindings: all::<ValidatingAdmissionPolicyBinding>(client).await,
        lease: seen(leases.get(&format!("{release}-controller")).await),
        refusals: refusals(client).await,
        reviewer: match &arguments.reviewer {
            Some(account) => Some((account.clone(), reviewer(client, account).await)),
            None => None,
        },
        cluster_clock: cluster_clock(client).await,
        vault: match vault {
            Some(vault) => Some(ask(vault, known, &arguments.cluster.audience).await),
            None => None,
        },
        pods_configuration,
        grants,
    }
}

fn seen<K: Serialize>(answer: kube::Result<K>) -> Seen<Value> {
    match answer {
        Ok(object) => serde_json::to_value(&object).map_or_else(|error| Seen::Unknown(error.to_string()), Seen::Found),
        Err(error) if is_absent(&error) => Seen::Absent,
        Err(error) => Seen::Unknown(problem(&error)),
    }
}

async fn grants(client: &Client) -> Seen<Vec<Value>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("vouchsafe.dev", "v1alpha1", "Grant"));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    values(api.list(&ListParams::default()).await)
}

async fn all<K>(client: &Client) -> Seen<Vec<Value>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + Serialize
        + std::fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    values(api.list(&ListParams::default()).await)
}

fn values<K: Clone + Serialize>(answer: kube::Result<kube::core::ObjectList<K>>) -> Seen<Vec<Value>> {
    match answer {
        Ok(list) => Seen::Found(list.items.iter().filter_map(|one| serde_json::to_value(one).ok()).collect()),
        Err(error) if is_absent(&error) => Seen::Absent,
        Err(error) => Seen::Unknown(problem(&error)),
    }
}

async fn endpoints(client: &Client, configuration: &Seen<Value>) -> Seen<usize> {
    let Seen::Found(configuration) = configuration else {
        return Seen::Unknown("there is no configuration".to_owned());
    };
    let service = webhooks(configuration).next().and_then(|webhook| webhook.pointer("/clientConfig/service"));
    let Some(service) = service else {
        return Seen::Unknown("the webhook is reached by address, not by a Service".to_owned());
    };
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), text(service, "/namespace"));
    let wanted = ListParams::default().labels(&format!("kubernetes.io/service-name={}", text(service, "/name")));
    match api.list(&wanted).await {
        Ok(list) => {
            let all = list.items.iter().flat_map(|slice| &slice.endpoints);
            let ready = all.filter(|one| one.conditions.as_ref().is_none_or(|now| now.ready != Some(false)));
            Seen::Found(ready.map(|one| one.addresses.len()).sum())
        }
        Err(error) => Seen::Unknown(problem(&error)),
    }
}

async fn try_pod(api: &Api<Pod>, grant: Option<&Value>) -> Probe {
    let made: Pod = match serde_json::from_value(probe::pod(grant)) {
        Ok(made) => made,
        Err(error) => return Probe::Untried(error.to_string()),
    };
    let dry = PostParams { dry_run: true, field_manager: None };
    match api.create(&dry, &made).await {
        Ok(pod) => Probe::Admitted(Box::new(serde_json::to_value(&pod).unwrap_or_default())),
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("cannot create resource") => {
            Probe::Untried(format!("you may not try a pod: {}", status.message))
        }
        Err(kube::Error::Api(status)) => Probe::Refused(status.message.clone()),
        Err(error) => Probe::Untried(problem(&error)),
    }
}

/// The certificate of a server's Secret; its key is not looked at.
async fn certificate(client: &Client, namespace: &str, secret: &str) -> Seen<String> {
    let api: Api<KubernetesSecret> = Api::namespaced(client.clone(), namespace);
    match api.get(secret).await {
        Ok(found) => {
            let pem = found.data.unwrap_or_default().remove("tls.crt").and_then(|pem| String::from_utf8(pem.0).ok());
            pem.map_or(Seen::Absent, Seen::Found)
        }
        Err(error) if is_absent(&error) => Seen::Absent,
        Err(error) => Seen::Unknown(problem(&error)),
    }
}

async fn trust(api: &Api<ConfigMap>, name: &str) -> Seen<String> {
    match api.get(name).await {
        Ok(found) => found.data.unwrap_or_default().remove("ca.crt").map_or(Seen::Absent, Seen::Found),
        Err(error) if is_absent(&error) => Seen::Absent,
        Err(error) => Seen::Unknown(problem(&error)),
    }
}

async fn refusals(client: &Client) -> Seen<Vec<Refusal>> {
    let api: Api<Event> = Api::all(client.clone());
    let wanted = ListParams::default().fields("reason=FailedCreate").limit(EVENTS);
    match api.list(&wanted).await {
        Ok(list) => Seen::Found(list.items.iter().filter_map(refusal).collect()),
        Err(error) => Seen::Unknown(problem(&error)),
    }
}

fn refusal(event: &Event) -> Option<Refusal> {
    let message = event.message.as_deref().unwrap_or_default();
    let is_ours = message.contains("failed calling webhook") && message.contains("pods.vouchsafe.dev");
    let last = event.last_timestamp.as_ref().map(|time| time.0).or(event.event_time.as_ref().map(|time| time.0));
    let last = last.or_else(|| event.creation_timestamp().map(|time| time.0))?;
    let age = jiff::Timestamp::now().as_second() - last.as_second();
    let (kind, name) = (event.involved_object.kind.as_deref()?, event.involved_object.name.as_deref()?);
    is_ours.then(|| Refusal {
        namespace: event.involved_object.namespace.clone().unwrap_or_default(),
        owner: format!("{kind} {name}"),
        age_seconds: u64::try_from(age).unwrap_or_default(),
    })
}

async fn reviewer(client: &Client, account: &str) -> Seen<bool> {
    let Some((namespace, name)) = account.split_once('/') else {
        return Seen::Unknown(format!("--reviewer wants NAMESPACE/NAME, not {account}"));
    };
    let asked = json!({"spec": {
        "user": format!("system:serviceaccount:{namespace}:{name}"),
        "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"],
        "resourceAttributes": {"group": "authentication.k8s.io", "resource": "tokenreviews", "verb": "create"},
    }});
    let review: SubjectAccessReview = match serde_json::from_value(asked) {
        Ok(review) => review,
        Err(error) => return Seen::Unknown(error.to_string()),
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    match api.create(&PostParams::default(), &review).await {
        Ok(answer) => Seen::Found(answer.status.is_some_and(|status| status.allowed)),
        Err(error) => Seen::Unknown(problem(&error)),
    }
}

async fn cluster_clock(client: &Client) -> Seen<i64> {
    let request = match http::Request::get("/version").body(kube::client::Body::empty()) {
        Ok(request) => request,
        Err(error) => return Seen::Unknown(error.to_string()),
    };
    match client.send(request).await {
        Ok(response) => ahead(response.headers().get(DATE).and_then(|date| date.to_str().ok())),
        Err(error) => Seen::Unknown(problem(&error)),
    }
}

/// How far a `Date` is ahead of this machine's clock.
fn ahead(date: Option<&str>) -> Seen<i64> {
    let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else { return Seen::Absent };
    let signed = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let now = SystemTime::now();
    Seen::Found(date.duration_since(now).map_or_else(|behind| -signed(behind.duration()), signed))
}

async fn ask(vault: &OptionalVault, grants: &[Value], audience: &str) -> VaultSeen {
    let mut found = VaultSeen {
        address: vault.address.clone(),
        health: Err(String::new()),
        clock: Seen::Absent,
        roles: Vec::new(),
    };
    match health(vault).await {
        Ok((response, body)) => {
            found.clock = ahead(response.header("date"));
            found.health = Ok((response.status, body));
        }
        Err(error) => found.health = Err(error),
    }
    let (set, _) = GrantSet::from_objects(grants.iter().cloned());
    let compiled = match audience.parse() {
        Ok(audience) => vouchsafe_policies::compile_for(&set, &audience),
        Err(_) => vouchsafe_policies::compile(&set),
    };
    for one in compiled.iter().filter(|one| one.role.is_some()).take(ROLES) {
        let path = format!("{}/role/{}", one.auth_path, one.name);
        let role = match &vault.token {
            None => Seen::Unknown("no token: set VAULT_TOKEN to have roles looked at".to_owned()),
            Some(token) => match vault.vault.read(token, &path).await {
                Ok(envelope) => envelope.data.map_or(Seen::Absent, |data| Seen::Found(data.into_inner())),
                Err(error) if error.kind() == Kind::Missing => Seen::Absent,
                Err(error) => Seen::Unknown(error.to_string()),
            },
        };
        found.roles.push((path, role));
    }
    found
}

/// Events that are read at most.
const EVENTS: u32 = 500;
/// Roles that are read at most: a look, not an audit.
const ROLES: usize = 200;
