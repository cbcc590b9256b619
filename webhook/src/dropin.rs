//! Pods of the drop-in dialect: who asks, where our container stands, and what its annotations want of it.
//!
//! The Plan comes from policies as for any other pod; what stands here is what only these pods have: resources, users, further
//! mounts and JSON patches of our container. Out of scope: what annotations mean (`vouchsafe_policies::dropin`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use vouchsafe_model::name::Namespace;
use vouchsafe_model::plan::{Gate, Injection, LoginMethod};
use vouchsafe_model::text::quoted;
use vouchsafe_policies::dropin::{Asked, ContainerPatch, ContainerWish, DropIn, GIVEN_TOKEN_FOLDER, Method};
use vouchsafe_policies::{Derivation, Fault};

use crate::bare::entries;
use crate::config::{Config, InjectionMode};
use crate::names::{EXTRA_VOLUME, INIT, TLS_VOLUME};
use crate::parts::Parts;

/// What the pod asks for in this dialect; `None` where it does not, where another injector has answered already, or where the
/// installation does not speak it.
pub fn asked(
    annotations: &BTreeMap<String, String>,
    namespace: &Namespace,
    config: &Config,
) -> Result<Option<DropIn>, Vec<Fault>> {
    let Some(settings) = &config.drop_in else { return Ok(None) };
    match DropIn::read(annotations, namespace.as_str(), &settings.defaults, settings.compat)? {
        Asked::Yes(drop_in) => Ok(Some(*drop_in)),
        Asked::No | Asked::ByAnother => Ok(None),
    }
}

/// Fits the Plan to what the cluster and the pod can do.
pub fn adapt(derivation: &mut Derivation, spec: &Map<String, Value>, mode: InjectionMode, usual: Gate) {
    let plan = &mut derivation.plan;
    if plan.injection == Injection::Once {
        if spec.get("restartPolicy").and_then(Value::as_str) == Some("Never") {
            // An init container that fails would fail the pod for good: it waits as long as it takes.
            plan.gate = Gate::Init;
        }
        plan.reactions.clear();
        derivation.supervised.clear();
    } else if mode == InjectionMode::Classic && plan.gate == Gate::Open {
        plan.gate = usual;
    }
}

/// Gives our containers what the pod's annotations want of them. `pod` is the pod without ours.
pub fn furnish(parts: &mut Parts, pod: &Value, derivation: &Derivation) -> Result<Vec<String>, Vec<Fault>> {
    let Some(drop_in) = &derivation.drop_in else { return Ok(Vec::new()) };
    let mut warnings = Vec::new();
    let mounts = mounts(drop_in, derivation, pod, &mut warnings);
    parts.volumes.extend(volumes(drop_in));
    let resources = resources(&drop_in.container, parts.sizes.limit);
    let security = security(&drop_in.container, derivation.run_as_user);
    let mut faults = Vec::new();
    for container in parts.inits.iter_mut().chain(&mut parts.beside) {
        let Some(fields) = container.as_object_mut() else { continue };
        fields.insert("resources".to_owned(), resources.clone());
        match &security {
            Some(context) => fields.insert("securityContext".to_owned(), context.clone()),
            None => fields.remove("securityContext"),
        };
        if let Some(own) = fields.get_mut("volumeMounts").and_then(Value::as_array_mut) {
            own.extend(mounts.iter().cloned());
        }
        if let (Some(level), Some(env)) =
            (drop_in.container.log_level, fields.get_mut("env").and_then(Value::as_array_mut))
        {
            env.push(json!({"name": LOG_VARIABLE, "value": level}));
        }
        for patch in &drop_in.container.patches {
            if let Err(fault) = patched(container, patch, derivation.plan.injection) {
                faults.push(fault);
            }
        }
    }
    if faults.is_empty() { Ok(warnings) } else { Err(faults) }
}

/// Mounts of our container beside those that it always has.
fn mounts(drop_in: &DropIn, derivation: &Derivation, pod: &Value, warnings: &mut Vec<String>) -> Vec<Value> {
    let mut mounts = Vec::new();
    if let Method::Kubernetes { volume: Some(volume), .. } = &drop_in.login
        && let Some(LoginMethod::TokenOf { .. }) = derivation.plan.agent.as_ref().map(|agent| &agent.method)
    {
        mounts.push(json!({"name": volume, "mountPath": GIVEN_TOKEN_FOLDER, "readOnly": true}));
    }
    if drop_in.server.tls_secret.is_some() {
        mounts.push(json!({"name": TLS_VOLUME, "mountPath": "/vault/tls", "readOnly": true}));
    }
    if drop_in.container.extra_secret.is_some() {
        mounts.push(json!({"name": EXTRA_VOLUME, "mountPath": "/vault/custom", "readOnly": true}));
    }
    if let Some(wanted) = &drop_in.container.copy_mounts_of {
        let all = || ["initContainers", "containers"].iter().flat_map(|list| entries(pod, list));
        if let Some(container) = all().find(|container| text(container, "name") == wanted) {
            let theirs = container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
            let copied = theirs.filter(|mount| {
                let path = text(mount, "mountPath");
                let taken = mounts.iter().any(|own| text(own, "mountPath") == path);
                !path.to_ascii_lowercase().contains("serviceaccount") && !is_ours(path) && !taken
            });
            let copied: Vec<Value> = copied.cloned().collect();
            mounts.extend(copied);
        } else {
            let names: Vec<&str> = all().map(|container| text(container, "name")).collect();
            warnings.push(format!(
                "agent-copy-volume-mounts: the pod has no container {}, only {}",
                quoted(wanted),
                names.join(", ")
            ));
        }
    }
    mounts
}

fn is_ours(path: &str) -> bool {
    path.trim_end_matches('/') == "/vouchsafe" || path.starts_with("/vouchsafe/")
}

fn volumes(drop_in: &DropIn) -> Vec<Value> {
    let named = [(TLS_VOLUME, &drop_in.server.tls_secret), (EXTRA_VOLUME, &drop_in.container.extra_secret)];
    let wanted = named.into_iter().filter_map(|(volume, secret)| Some((volume, secret.as_ref()?)));
    wanted.map(|(volume, secret)| json!({"name": volume, "secret": {"secretName": secret}})).collect()
}

/// Requests and limits as the pod has them; the memory limit never below what the pod's files can need, in MiB.
fn resources(wish: &ContainerWish, needed: u64) -> Value {
    let mut resources = Map::new();
    for ((list, resource), quantity) in &wish.resources {
        let mut text = quantity.text.clone();
        if (*list, *resource) == ("limits", "memory") && quantity.thousandths < mebibytes(needed) {
            text = format!("{needed}Mi");
        }
        if let Some(list) = resources.entry((*list).to_owned()).or_insert_with(|| json!({})).as_object_mut() {
            list.insert((*resource).to_owned(), json!(text));
        }
    }
    Value::Object(resources)
}

/// A size in thousandths of a byte, as quantities are compared.
#[expect(clippy::cast_precision_loss, reason = "a limit is a few hundred MiB, which a float holds exactly")]
fn mebibytes(count: u64) -> f64 {
    count as f64 * 1024.0 * 1024.0 * 1000.0
}

/// What vault-k8s gives its containers, and the seccomp profile that Pod Security "restricted" wants.
fn security(wish: &ContainerWish, user: Option<i64>) -> Option<Value> {
    if !wish.user.set {
        return None;
    }
    let user = user.unwrap_or(wish.user.user);
    Some(json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsGroup": wish.user.group,
        "runAsNonRoot": user != 0 && wish.user.group != 0,
        "runAsUser": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }))
}

/// Applies a patch to one of our containers: the init container's to whichever runs before the app, the sidecar's to
/// whichever runs beside it. A native sidecar is both.
fn patched(container: &mut Value, patch: &ContainerPatch, injection: Injection) -> Result<(), Fault> {
    let for_init = patch.annotation.ends_with("/agent-init-json-patch");
    let is_init = text(container, "name") == INIT;
    let concerns = injection == Injection::Native || for_init == is_init;
    if !concerns {
        return Ok(());
    }
    let fault = |message: String| Fault::new(None, patch.annotation.clone(), message);
    for (index, operation) in patch.operations.iter().enumerate() {
        if text(operation, "path").starts_with("/lifecycle/")
            && let Some(fields) = container.as_object_mut()
        {
            fields.entry("lifecycle").or_insert_with(|| json!({}));
        }
        let parsed: json_patch::PatchOperation = serde_json::from_value(operation.clone())
            .map_err(|_| fault(format!("operation {index} is no JSON Patch operation")))?;
        json_patch::patch(container, &[parsed]).map_err(|_| {
            fault(format!("operation {index} does not apply to our container: its path leads nowhere there"))
        })?;
        if container.to_string().len() > CONTAINER_BYTES {
            return Err(fault(format!("operation {index} makes the container larger than {CONTAINER_BYTES} bytes")));
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The sidecar's own variable for the level of its log.
const LOG_VARIABLE: &str = "VOUCHSAFE_LOG";
/// Largest patched container: its Plan (96 KiB) escaped once, and room for what people add.
const CONTAINER_BYTES: usize = 192 * 1024;
