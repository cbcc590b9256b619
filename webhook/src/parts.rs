//! `Parts`: everything that injection adds to a pod, as JSON, in one place.
//!
//! Both directions use it: [`crate::inject()`] turns it into a patch, [`crate::same`] compares it with a pod that was
//! injected already. Everything is spelt canonically (no field with a default value), so that what an API server stores and
//! hands to the next webhook still covers it. Meets Pod Security "restricted" by itself, whatever the pod does.
//! Out of scope: where containers stand ([`crate::place`]), how much they may use ([`crate::resources`]).

use serde_json::{Map, Value, json};

use vouchsafe_model::plan::{
    Action, Gate, Injection, PLAN_VARIABLE, POD_NAME_VARIABLE, POD_UID_VARIABLE, Plan, PlanError, RUN_FOLDER, Reaction,
    STATE_FOLDER, TOKEN_FOLDER, volume_path,
};
use vouchsafe_policies::{Derivation, PodFacts};

use crate::config::{Config, SidecarUser};
use crate::names::{INIT, PROGRAM, SIDECAR, STATE_VOLUME, TOKEN_VOLUME, WAIT, files_volume, run_volume};
use crate::resources::{Quality, Sizes, mebibytes, resources};

/// Everything that injection adds to a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Our init containers in the order in which they stand: the native sidecar and what waits for it with `gate: init`,
    /// or the classic form's one.
    pub inits: Vec<Value>,
    /// The classic form's ordinary container.
    pub beside: Option<Value>,
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
        let (inits, beside) = match (derivation.plan.injection, derivation.plan.gate) {
            (Injection::Native, Gate::Hook | Gate::Open) => (vec![common.native(derivation)], None),
            (Injection::Native, Gate::Init) => (vec![common.native(derivation), common.wait()], None),
            (Injection::Classic, _) => {
                (vec![common.holder(derivation, INIT, "init")], Some(common.holder(derivation, SIDECAR, "run")))
            }
            (Injection::Once, _) => (vec![common.holder(derivation, INIT, "init")], None),
        };
        let (inits, beside) = (inits.into_iter().map(Value::Object).collect(), beside.map(Value::Object));
        Ok(Self { inits, beside, volumes: volumes(derivation, &sizes), containers, sizes })
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
    /// The sidecar as a restartable init container.
    fn native(&self, derivation: &Derivation) -> Map<String, Value> {
        let mut sidecar = self.holder(derivation, SIDECAR, "run");
        sidecar.insert("restartPolicy".to_owned(), json!("Always"));
        if derivation.plan.gate == Gate::Hook {
            sidecar.insert("lifecycle".to_owned(), json!({"postStart": {"exec": {"command": [PROGRAM, "wait"]}}}));
        }
        sidecar
    }

    /// A container that holds token, state and files. No probe: a pod's readiness must not depend on Vault's.
    fn holder(&self, derivation: &Derivation, name: &str, verb: &str) -> Map<String, Value> {
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
        self.container(name, verb, mounts)
    }

    fn wait(&self) -> Map<String, Value> {
        let mounts = vec![json!({"name": STATE_VOLUME, "mountPath": STATE_FOLDER})];
        self.container(WAIT, "wait", mounts)
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
    let mut token = Map::new();
    if let Some(audience) = &derivation.audience {
        token.insert("audience".to_owned(), json!(audience.as_str()));
    }
    token.insert("expirationSeconds".to_owned(), json!(TOKEN_SECONDS));
    token.insert("path".to_owned(), json!(TOKEN_FILE));
    let token = json!({"serviceAccountToken": token});
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
        let mut mount = json!({"name": files_volume(index), "mountPath": volume.mount_path.as_str(), "readOnly": true});
        if derivation.drop_in.is_some() {
            // As there: apps that tidy up in the folder find it writable.
            mount.as_object_mut().map(|fields| fields.remove("readOnly"));
        }
        for container in std::iter::once(&volume.container).chain(&volume.also) {
            entry(&mut all, container.as_str(), |parts| parts.mounts.push(mount.clone()));
        }
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
            let words = wrapper(&derivation.plan, name);
            let wrapped = words.into_iter().map(str::to_owned).chain(supervised.command.iter().cloned());
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

/// What stands before the original command of a container that the wrapper starts. Without anything to tell the app later the
/// wrapper becomes the app.
fn wrapper(plan: &Plan, container: &str) -> Vec<&'static str> {
    let has_variables = plan.environments.iter().any(|environment| environment.container.as_str() == container);
    let is_told = |reaction: &Reaction| {
        reaction.container.as_str() == container && matches!(reaction.action, Action::Signal(_) | Action::Restart(_))
    };
    let mut words = vec![WRAPPER_PATH, WRAPPER_VERB];
    if has_variables {
        words.push("--env");
        if !plan.reactions.iter().any(is_told) {
            words.push("--become");
        }
    }
    words.push(WRAPPER_END);
    words
}

/// How many words of a command are the wrapper's.
pub fn wrapper_words(command: &[Value]) -> usize {
    let mut words = command.iter().map(Value::as_str);
    if words.next() != Some(Some(WRAPPER_PATH)) || words.next() != Some(Some(WRAPPER_VERB)) {
        return 0;
    }
    words.position(|word| word == Some(WRAPPER_END)).map_or(0, |options| options + 3)
}

/// The wrapper in a container's run folder.
const WRAPPER_PATH: &str = "/vouchsafe/internal/run/vouchsafe-sidecar";
/// Its verb.
const WRAPPER_VERB: &str = "exec";
/// Ends its options.
const WRAPPER_END: &str = "--";
/// The superuser's uid, which Pod Security "restricted" forbids.
const ROOT: i64 = 0;
/// Lifetime of the projected token; the kubelet renews it after 80 % of that, and 600 s is the least it grants.
const TOKEN_SECONDS: u32 = 3600;
/// File of the token in its volume.
const TOKEN_FILE: &str = "token";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::WRAPPER;

    #[test]
    fn the_wrappers_words_are_told_from_the_apps() {
        assert_eq!(WRAPPER_PATH, format!("{RUN_FOLDER}/{WRAPPER}"));
        let words = |words: &[&str]| wrapper_words(&words.iter().map(|word| json!(word)).collect::<Vec<_>>());
        assert_eq!(words(&[WRAPPER_PATH, "exec", "--", "app", "--"]), 3);
        assert_eq!(words(&[WRAPPER_PATH, "exec", "--env", "--become", "--", "app"]), 5);
        for other in [&["app", "exec", "--"] as &[&str], &[WRAPPER_PATH, "run", "--"], &[WRAPPER_PATH, "exec"], &[]] {
            assert_eq!(words(other), 0);
        }
    }
}
