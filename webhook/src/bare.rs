//! `Bare`: a pod as its author wrote it, with what injection made taken out again.
//!
//! API servers call webhooks again when another one changed the pod, and people copy pods that were injected. Such a pod
//! is not trusted for having our names: it is stripped to what it was, derived again, and compared.
//! Out of scope: the comparison ([`crate::same`]).

use std::collections::BTreeMap;

use serde_json::Value;

use vouchsafe_model::path::is_below;

use crate::names::{EXTRA_VOLUME, INIT, SIDECAR, STATE_VOLUME, TLS_VOLUME, TOKEN_VOLUME};
use crate::parts::wrapper_words;
use crate::place::is_ours;

/// A pod without what injection makes, and what was taken out.
#[derive(Clone, Debug, PartialEq)]
pub struct Bare {
    /// The pod without ours.
    pub pod: Value,
    /// Our init containers, with the number of foreign ones before each.
    pub inits: Vec<(usize, Value)>,
    /// Our ordinary containers.
    pub beside: Vec<Value>,
    /// Our volumes.
    pub volumes: Vec<Value>,
    /// Mounts of our volumes, by container.
    pub mounts: BTreeMap<String, Vec<Value>>,
}

/// Whether injection seems to have happened: our first container stands among the init containers.
pub fn is_injected(pod: &Value) -> bool {
    entries(pod, "initContainers").iter().any(|init| matches!(text(init, "name"), SIDECAR | INIT))
}

/// Whether a volume has one of the names that injection makes.
pub fn is_our_volume(name: &str) -> bool {
    name == STATE_VOLUME
        || name == TOKEN_VOLUME
        || name == TLS_VOLUME
        || name == EXTRA_VOLUME
        || name.starts_with("vouchsafe-run-")
        || name.strip_prefix("vouchsafe-files-").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Entries of a list of the pod's spec.
pub fn entries<'a>(pod: &'a Value, list: &str) -> &'a [Value] {
    pod.get("spec").and_then(|spec| spec.get(list)).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Bare {
    /// A pod that has nothing of ours.
    pub fn untouched(pod: &Value) -> Self {
        Self { pod: pod.clone(), inits: Vec::new(), beside: Vec::new(), volumes: Vec::new(), mounts: BTreeMap::new() }
    }

    /// Takes out of `pod` what injection makes.
    pub fn of(pod: &Value) -> Self {
        let mut bare = Self::untouched(pod);
        let Some(spec) = bare.pod.get_mut("spec").and_then(Value::as_object_mut) else { return bare };
        if let Some(inits) = spec.get_mut("initContainers").and_then(Value::as_array_mut) {
            let mut foreign = 0;
            inits.retain(|init| {
                let ours = is_ours(init);
                if ours {
                    bare.inits.push((foreign, init.clone()));
                } else {
                    foreign += 1;
                }
                !ours
            });
        }
        if let Some(containers) = spec.get_mut("containers").and_then(Value::as_array_mut) {
            bare.beside.extend(containers.extract_if(.., |container| is_ours(container)));
        }
        if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
            volumes.retain(|volume| {
                let ours = is_our_volume(text(volume, "name"));
                if ours {
                    bare.volumes.push(volume.clone());
                }
                !ours
            });
        }
        for list in ["initContainers", "containers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let name = text(container, "name").to_owned();
                let mounts = strip(container);
                if !mounts.is_empty() {
                    bare.mounts.insert(name, mounts);
                }
            }
        }
        bare
    }
}

/// Takes our mounts, path variables and wrapper out of a container; returns the mounts.
fn strip(container: &mut Value) -> Vec<Value> {
    let mut taken = Vec::new();
    if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
        mounts.retain(|mount| {
            let ours = is_our_volume(text(mount, "name"));
            if ours {
                taken.push(mount.clone());
            }
            !ours
        });
    }
    if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
        env.retain(|variable| {
            let value = text(variable, "value");
            !taken.iter().any(|mount| !value.is_empty() && is_below(value, text(mount, "mountPath")))
        });
    }
    if let Some(command) = container.get_mut("command").and_then(Value::as_array_mut) {
        command.drain(..wrapper_words(command));
    }
    taken
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}
