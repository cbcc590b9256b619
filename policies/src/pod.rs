//! What derivation needs to know of a pod and of the installation.
//!
//! Out of scope: judging the pod (host namespaces, Windows, names that collide with ours): the webhook does.

use std::collections::BTreeMap;

use serde_json::Value;
use vouchsafe_model::name::{Audience, ContainerName, Namespace, ServiceAccount};
use vouchsafe_model::path::is_below;
use vouchsafe_model::plan::{Gate, RUN_FOLDER, Server};

use crate::fault::Fault;

/// A pod as its author wrote it, before anything is injected: what the Plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Namespace that the pod is made in.
    pub namespace: Namespace,
    /// `spec.serviceAccountName`, `default` where it is absent.
    pub service_account: ServiceAccount,
    /// All containers: `initContainers` first, then `containers`, each in the pod's order.
    pub containers: Vec<ContainerFacts>,
    /// Annotation `kubectl.kubernetes.io/default-container`.
    pub default_container: Option<String>,
    /// `spec.securityContext.fsGroup`.
    pub fs_group: Option<i64>,
    /// `spec.securityContext.runAsUser`.
    pub run_as_user: Option<i64>,
    /// `spec.shareProcessNamespace`.
    pub share_process_namespace: Option<bool>,
    /// Volumes by name; for projected ones the path of the service account's token in them, if they hold one.
    pub volumes: BTreeMap<String, Option<String>>,
}

/// One container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerFacts {
    /// Its name.
    pub name: ContainerName,
    /// When it runs.
    pub kind: ContainerKind,
    /// `command`, if the pod sets one; else the image's entry point runs.
    pub command: Option<Vec<String>>,
    /// `args`.
    pub args: Vec<String>,
    /// `volumeMounts[].mountPath`.
    pub mounts: Vec<String>,
    /// `env[].name`.
    pub env: Vec<String>,
    /// The same with `value`; `None` where a value comes from elsewhere (`valueFrom`).
    pub variables: Vec<(String, Option<String>)>,
    /// Exec probes and hooks that are not started by the wrapper, by name.
    pub probes: Vec<&'static str>,
    /// `securityContext.runAsUser` of the container itself.
    pub run_as_user: Option<i64>,
}

/// When a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    /// An entry of `containers`.
    App,
    /// A plain entry of `initContainers`: it ends before the app starts.
    Init,
    /// An entry of `initContainers` with `restartPolicy: Always`.
    NativeSidecar,
}

/// What the platform decided for every pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Where sidecars read.
    pub server: Server,
    /// Audience of the sidecars' tokens, unless a Grant says otherwise.
    pub audience: Audience,
    /// How apps are held back.
    pub gate: Gate,
    /// How long apps are held back before the wait gives up, in seconds.
    pub wait_seconds: u32,
}

impl PodFacts {
    /// Reads `pod` (a Pod object or a pod template: what counts is `metadata.annotations` and `spec`).
    ///
    /// Lenient where the API server itself would refuse: what is not text is passed over. Names that cannot be names
    /// are faults.
    pub fn read(pod: &Value, namespace: &Namespace) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let spec = pod.get("spec").unwrap_or(&Value::Null);
        let service_account =
            match spec.get("serviceAccountName").and_then(Value::as_str).filter(|name| !name.is_empty()) {
                None => DEFAULT_SERVICE_ACCOUNT,
                Some(name) => name,
            };
        let service_account = service_account
            .parse()
            .map_err(|error| faults.push(Fault::new(None, "spec.serviceAccountName", format!("{error}"))));
        let mut containers = Vec::new();
        for (list, is_init) in [("initContainers", true), ("containers", false)] {
            let entries = spec.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for (index, entry) in entries.iter().enumerate() {
                match container(entry, is_init) {
                    Ok(container) => containers.push(container),
                    Err(problem) => faults.push(Fault::new(None, format!("spec.{list}[{index}].name"), problem)),
                }
            }
        }
        if containers.iter().all(|container| container.kind != ContainerKind::App) {
            faults.push(Fault::new(None, "spec.containers", "the pod has no containers; add one"));
        }
        let security = spec.get("securityContext");
        match (service_account, faults.is_empty()) {
            (Ok(service_account), true) => Ok(Self {
                namespace: namespace.clone(),
                service_account,
                containers,
                default_container: pod
                    .pointer("/metadata/annotations")
                    .and_then(|annotations| annotations.get(DEFAULT_CONTAINER_ANNOTATION))
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                fs_group: security.and_then(|context| context.get("fsGroup")).and_then(Value::as_i64),
                run_as_user: security.and_then(|context| context.get("runAsUser")).and_then(Value::as_i64),
                share_process_namespace: spec.get("shareProcessNamespace").and_then(Value::as_bool),
                volumes: volumes(spec),
            }),
            _ => Err(faults),
        }
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerFacts> {
        self.containers.iter().find(|container| container.name.as_str() == name)
    }

    /// The user that `container` runs as, if the pod says so.
    pub fn uid(&self, container: &ContainerFacts) -> Option<i64> {
        container.run_as_user.or(self.run_as_user)
    }
}

fn container(entry: &Value, is_init: bool) -> Result<ContainerFacts, String> {
    let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
    let always = entry.get("restartPolicy").and_then(Value::as_str) == Some("Always");
    Ok(ContainerFacts {
        name: name.parse().map_err(|error| format!("{error}"))?,
        kind: match (is_init, always) {
            (false, _) => ContainerKind::App,
            (true, true) => ContainerKind::NativeSidecar,
            (true, false) => ContainerKind::Init,
        },
        command: Some(texts(entry.get("command"))).filter(|command| !command.is_empty()),
        args: texts(entry.get("args")),
        mounts: members(entry.get("volumeMounts"), "mountPath"),
        env: members(entry.get("env"), "name"),
        variables: variables(entry.get("env")),
        probes: PROBES.into_iter().filter(|(_, at)| is_bare(entry.pointer(at))).map(|(name, _)| name).collect(),
        run_as_user: entry.pointer("/securityContext/runAsUser").and_then(Value::as_i64),
    })
}

fn volumes(spec: &Value) -> BTreeMap<String, Option<String>> {
    let volumes = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let named = volumes.filter_map(|volume| Some((volume.get("name")?.as_str()?.to_owned(), volume)));
    named
        .map(|(name, volume)| {
            let sources = volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten();
            let mut paths = sources.filter_map(|source| source.pointer("/serviceAccountToken/path")?.as_str());
            (name, paths.next().map(str::to_owned))
        })
        .collect()
}

/// Whether there is a command and it is not started by the wrapper.
fn is_bare(command: Option<&Value>) -> bool {
    texts(command).first().is_some_and(|program| !is_below(program, RUN_FOLDER))
}

fn variables(list: Option<&Value>) -> Vec<(String, Option<String>)> {
    let one = |entry: &Value| {
        let name = entry.get("name").and_then(Value::as_str)?.to_owned();
        let from = entry.get("valueFrom").is_some_and(|from| !from.is_null());
        let value = entry.get("value").and_then(Value::as_str).filter(|value| !(value.is_empty() && from));
        Some((name, value.map(str::to_owned).or_else(|| (!from).then(String::new))))
    };
    list.and_then(Value::as_array).into_iter().flatten().filter_map(one).collect()
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn members(list: Option<&Value>, member: &str) -> Vec<String> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get(member).and_then(Value::as_str))
        .map(str::to_owned)
        .collect()
}

/// Commands that the kubelet runs in a container beside its app.
const PROBES: [(&str, &str); 5] = [
    ("livenessProbe", "/livenessProbe/exec/command"),
    ("readinessProbe", "/readinessProbe/exec/command"),
    ("startupProbe", "/startupProbe/exec/command"),
    ("lifecycle.postStart", "/lifecycle/postStart/exec/command"),
    ("lifecycle.preStop", "/lifecycle/preStop/exec/command"),
];
/// ServiceAccount of a pod that names none.
const DEFAULT_SERVICE_ACCOUNT: &str = "default";
/// What kubectl takes as the container that is meant.
const DEFAULT_CONTAINER_ANNOTATION: &str = "kubectl.kubernetes.io/default-container";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_keep_their_order_and_kind() {
        let pod = json!({"spec": {
            "initContainers": [{"name": "init"}, {"name": "mesh", "restartPolicy": "Always"}],
            "containers": [{"name": "app", "command": ["/app"], "args": ["-x"], "env": [{"name": "A"}],
                            "volumeMounts": [{"mountPath": "/data"}], "securityContext": {"runAsUser": 7}}],
            "securityContext": {"fsGroup": 5, "runAsUser": 6}}});
        let facts = PodFacts::read(&pod, &"ns".parse().unwrap()).unwrap();
        let kinds: Vec<_> = facts.containers.iter().map(|c| (c.name.as_str(), c.kind)).collect();
        assert_eq!(
            kinds,
            [("init", ContainerKind::Init), ("mesh", ContainerKind::NativeSidecar), ("app", ContainerKind::App)]
        );
        assert_eq!(facts.uid(facts.container("app").unwrap()), Some(7));
        assert_eq!(facts.uid(facts.container("init").unwrap()), Some(6));
        assert_eq!(facts.service_account.as_str(), "default");
        assert_eq!(facts.fs_group, Some(5));
    }

    #[test]
    fn a_pod_without_containers_or_with_impossible_names_is_refused_with_all_faults() {
        let pod = json!({"spec": {"serviceAccountName": "A b", "containers": [{"name": "Bad"}]}});
        let faults = PodFacts::read(&pod, &"ns".parse().unwrap()).unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
