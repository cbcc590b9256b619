//! `Parts`: everything that injection adds to a pod, as JSON, in one place.
//!
//! Both directions use it: [`crate::inject()`] turns it into a patch, [`crate::same`] compares it with a pod that was
//! injected already. Everything is spelt canonically (no field with a default value), so that what an API server stores and
//! hands to the next webhook still covers it. Meets Pod Security "restricted" by itself, whatever the pod does.
//! Out of scope: where containers stand ([`crate::place`]), how much they may use ([`crate::resources`]).

use serde_json::{Map, Value, json};

use vouchsafe_model::plan::{
    Gate, PLAN_VARIABLE, POD_NAME_VARIABLE, POD_UID_VARIABLE, PlanError, RUN_FOLDER, STATE_FOLDER, TOKEN_FOLDER,
    volume_path,
};
use vouchsafe_policies::{Derivation, PodFacts};

use crate::config::{Config, SidecarUser};
use crate::names::{PROGRAM, SIDECAR, STATE_VOLUME, TOKEN_VOLUME, WAIT, WRAPPER, files_volume, run_volume};
use crate::resources::{Quality, Sizes, mebibytes, resources};

/// Everything that injection adds to a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// The native sidecar.
    pub sidecar: Value,
    /// The waiting init container of `gate: init`.
    pub wait: Option<Value>,
    /// Volumes of the pod.
    pub volumes: Vec<Value>,
    /// What the pod's own containers get.
    pub containers: Vec<ContainerParts>,
    /// How large everything may become.
    pub sizes: Sizes,
}

/// What one of the pod's own containers gets.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerParts {
    /// The container.
    pub name: String,
    /// Read-only mounts.
    pub mounts: Vec<Value>,
    /// Variables that hold paths of files.
    pub env: Vec<Value>,
    /// The command under the wrapper; it takes the place of `command` and `args`.
    pub command: Option<Vec<String>>,
}

impl Parts {
    /// Parts for a bare pod (without ours) whose Plan was derived.
    pub fn of(
        spec: &Map<String, Value>,
        facts: &PodFacts,
        derivation: &Derivation,
        config: &Config,
    ) -> Result<Self, PlanError> {
        let plan = derivation.plan.to_json()?;
        let sizes = Sizes::of(&derivation.plan, derivation.supervised.len());
        let containers = container_parts(derivation);
        let common = Common {
            config,
            resources: resources(Quality::of(spec), sizes.limit, config.cpu),
            security: security_context(spec, facts, derivation, config),
            plan: &plan,
        };
        let wait = match derivation.plan.gate {
            Gate::Hook => None,
            Gate::Init => Some(common.wait()),
        };
        Ok(Self { sidecar: common.sidecar(derivation), wait, volumes: volumes(derivation, &sizes), containers, sizes })
    }

    /// Our init containers in the order in which they stand.
    pub fn inits(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(&self.sidecar).chain(&self.wait)
    }
}

/// What sidecar and waiting container share.
struct Common<'a> {
    config: &'a Config,
    resources: Value,
    security: Value,
    plan: &'a str,
}

impl Common<'_> {
    fn sidecar(&self, derivation: &Derivation) -> Value {
        let mut mounts = vec![
            json!({"name": STATE_VOLUME, "mountPath": STATE_FOLDER}),
            json!({"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": true}),
        ];
        mounts.extend(
            (0..derivation.plan.volumes.len())
                .map(|index| json!({"name": files_volume(index), "mountPath": volume_path(index)})),
        );
        mounts.extend(derivation.supervised.iter().map(|supervised| {
            let container = supervised.container.as_str();
            json!({"name": run_volume(container), "mountPath": format!("{RUN_FOLDER}/{container}")})
        }));
        let mut sidecar = self.container(SIDECAR, "run", mounts);
        sidecar.insert("restartPolicy".to_owned(), json!("Always"));
        if derivation.plan.gate == Gate::Hook {
            sidecar.insert("lifecycle".to_owned(), json!({"postStart": {"exec": {"command": [PROGRAM, "wait"]}}}));
        }
        Value::Object(sidecar)
    }

    fn wait(&self) -> Value {
        let mounts = vec![json!({"name": STATE_VOLUME, "mountPath": STATE_FOLDER})];
        Value::Object(self.container(WAIT, "wait", mounts))
    }

    fn container(&self, name: &str, verb: &str, mounts: Vec<Value>) -> Map<String, Value> {
        let mut container = Map::new();
        let mut put = |name: &str, value: Value| container.insert(name.to_owned(), value);
        put("name", json!(name));
        put("image", json!(self.config.image));
        put("imagePullPolicy", json!(self.config.pull_policy.as_str()));
        put("command", json!([PROGRAM, verb]));
        put(
            "env",
            json!([
                {"name": PLAN_VARIABLE, "value": self.plan},
                {"name": POD_NAME_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": POD_UID_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            ]),
        );
        put("resources", self.resources.clone());
        put("securityContext", self.security.clone());
        put("volumeMounts", Value::Array(mounts));
        container
    }
}

/// Pod Security "restricted". Never an fsGroup: it re-owns the pod's other volumes.
fn security_context(spec: &Map<String, Value>, facts: &PodFacts, derivation: &Derivation, config: &Config) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if let (Some(user), Some(fields)) = (user(facts, derivation, config), context.as_object_mut()) {
        fields.insert("runAsUser".to_owned(), json!(user));
        let group = spec.get("securityContext").and_then(|context| context.get("runAsGroup"));
        if group.is_none_or(Value::is_null) {
            fields.insert("runAsGroup".to_owned(), json!(user));
        }
    }
    context
}

/// The user to set: the one whom derivation found to be every reader's, so that files need not be readable by everybody;
/// none where the pod's own setting or the platform decides; else the configured one.
fn user(facts: &PodFacts, derivation: &Derivation, config: &Config) -> Option<i64> {
    let inherited = facts.run_as_user.filter(|user| *user != ROOT);
    match (derivation.run_as_user.filter(|user| *user != ROOT), inherited, config.user) {
        (Some(reader), inherited, _) => Some(reader).filter(|reader| inherited != Some(*reader)),
        (None, Some(_), _) | (None, None, SidecarUser::Platform) => None,
        (None, None, SidecarUser::Fixed(user)) => Some(user),
    }
}

fn volumes(derivation: &Derivation, sizes: &Sizes) -> Vec<Value> {
    let memory =
        |name: &str, size: u64| json!({"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": mebibytes(size)}});
    let token = json!({"serviceAccountToken": {
        "audience": derivation.audience.as_str(), "expirationSeconds": TOKEN_SECONDS, "path": TOKEN_FILE}});
    let mut all =
        vec![memory(STATE_VOLUME, sizes.state), json!({"name": TOKEN_VOLUME, "projected": {"sources": [token]}})];
    all.extend(sizes.volumes.iter().enumerate().map(|(index, size)| memory(&files_volume(index), *size)));
    all.extend(
        derivation.supervised.iter().map(|supervised| memory(&run_volume(supervised.container.as_str()), sizes.run)),
    );
    all
}

/// One entry for each container that gets anything, in the order in which the Plan first names it.
fn container_parts(derivation: &Derivation) -> Vec<ContainerParts> {
    let mut all: Vec<ContainerParts> = Vec::new();
    for (index, volume) in derivation.plan.volumes.iter().enumerate() {
        let mount = json!({"name": files_volume(index), "mountPath": volume.mount_path.as_str(), "readOnly": true});
        entry(&mut all, volume.container.as_str(), |parts| parts.mounts.push(mount));
    }
    for (container, name, path) in &derivation.path_env {
        let variable = json!({"name": name.as_str(), "value": path});
        entry(&mut all, container.as_str(), |parts| parts.env.push(variable));
    }
    for supervised in &derivation.supervised {
        let name = supervised.container.as_str();
        let mount = json!({"name": run_volume(name), "mountPath": RUN_FOLDER, "readOnly": true});
        entry(&mut all, name, |parts| {
            parts.mounts.push(mount);
            let wrapped = wrapper().into_iter().chain(supervised.command.iter().cloned());
            parts.command = Some(wrapped.collect());
        });
    }
    all
}

fn entry(all: &mut Vec<ContainerParts>, name: &str, change: impl FnOnce(&mut ContainerParts)) {
    if let Some(parts) = all.iter_mut().find(|parts| parts.name == name) {
        return change(parts);
    }
    let mut parts = ContainerParts { name: name.to_owned(), mounts: Vec::new(), env: Vec::new(), command: None };
    change(&mut parts);
    all.push(parts);
}

/// What stands before the original command of a supervised container.
pub fn wrapper() -> [String; 3] {
    [format!("{RUN_FOLDER}/{WRAPPER}"), "exec".to_owned(), "--".to_owned()]
}

/// The superuser's uid, which Pod Security "restricted" forbids.
const ROOT: i64 = 0;
/// Lifetime of the projected token; the kubelet renews it after 80 % of that, and 600 s is the least it grants.
const TOKEN_SECONDS: u32 = 3600;
/// File of the token in its volume.
const TOKEN_FILE: &str = "token";
