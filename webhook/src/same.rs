//! Whether a pod that was injected already is what injection makes now.
//!
//! "Same" means: every field that we would write is there with our value. What API servers and other webhooks add beside
//! it (defaults, the usual token mount, a proxy variable) is theirs. `resources` are not compared: autoscalers and limit
//! ranges own them too. Out of scope: repairing; a pod that differs is refused, naming both sides.

use serde_json::Value;

use vouchsafe_model::plan::PLAN_VARIABLE;
use vouchsafe_model::text::quoted;
use vouchsafe_policies::Fault;

use crate::bare::{Bare, entries};
use crate::parts::{ContainerParts, Parts};
use crate::review::shape;

/// All differences between what the pod holds of ours and what it should hold; none means the same.
pub fn differences(pod: &Value, bare: &Bare, parts: &Parts) -> Vec<Fault> {
    let mut faults = Vec::new();
    let inits: Vec<&Value> = bare.inits.iter().map(|(_, init)| init).collect();
    ours(&mut faults, "spec.initContainers", &inits, &parts.inits);
    let beside: Vec<&Value> = bare.beside.iter().collect();
    ours(&mut faults, "spec.containers", &beside, parts.beside.as_slice());
    for expected in &parts.volumes {
        let name = text(expected, "name");
        let found = bare.volumes.iter().find(|volume| text(volume, "name") == name);
        covers(&mut faults, &format!("spec.volumes[{name}]"), found, expected);
    }
    surplus(&mut faults, "spec.volumes", bare.volumes.iter(), parts.volumes.iter());
    for list in ["initContainers", "containers"] {
        for container in entries(&bare.pod, list) {
            let name = text(container, "name");
            let place = format!("spec.{list}[{name}]");
            let whole = entries(pod, list).iter().find(|other| text(other, "name") == name);
            let wanted = parts.containers.iter().find(|parts| parts.name == name);
            compare_consumer(&mut faults, &place, whole, bare.mounts.get(name).map(Vec::as_slice), wanted);
        }
    }
    faults
}

/// Our containers of one list: each that is wanted, and none besides.
fn ours(faults: &mut Vec<Fault>, list: &str, found: &[&Value], wanted: &[Value]) {
    for expected in wanted {
        let name = text(expected, "name");
        let there = found.iter().find(|container| text(container, "name") == name).copied();
        compare_container(faults, &format!("{list}[{name}]"), there, expected);
    }
    surplus(faults, list, found.iter().copied(), wanted.iter());
}

fn compare_container(faults: &mut Vec<Fault>, place: &str, found: Option<&Value>, expected: &Value) {
    let (Some(found), Some(fields)) = (found, expected.as_object()) else {
        return faults.push(differs(place, found, expected));
    };
    for (field, wanted) in fields {
        let there = found.get(field);
        let place = format!("{place}.{field}");
        match field.as_str() {
            "resources" => {}
            "env" => each_named(faults, &place, "name", there, wanted),
            "volumeMounts" => each_named(faults, &place, "mountPath", there, wanted),
            _ => covers(faults, &place, there, wanted),
        }
    }
}

/// One of the pod's own containers: our mounts exactly, our variables and the wrapped command.
fn compare_consumer(
    faults: &mut Vec<Fault>,
    place: &str,
    whole: Option<&Value>,
    mounts: Option<&[Value]>,
    wanted: Option<&ContainerParts>,
) {
    let mounts = mounts.unwrap_or_default();
    let Some(wanted) = wanted else {
        return surplus(faults, &format!("{place}.volumeMounts"), mounts.iter(), std::iter::empty());
    };
    for mount in &wanted.mounts {
        let name = text(mount, "name");
        let found = mounts.iter().find(|other| text(other, "name") == name);
        covers(faults, &format!("{place}.volumeMounts[{name}]"), found, mount);
    }
    surplus(faults, &format!("{place}.volumeMounts"), mounts.iter(), wanted.mounts.iter());
    let there = |field: &str| whole.and_then(|container| container.get(field));
    each_named(faults, &format!("{place}.env"), "name", there("env"), &Value::Array(wanted.env.clone()));
    if let Some(command) = &wanted.command {
        let command = Value::Array(command.iter().map(|part| Value::String(part.clone())).collect());
        covers(faults, &format!("{place}.command"), there("command"), &command);
    }
}

/// Each entry of `wanted` is found by its `key` and covered; further entries are somebody else's.
fn each_named(faults: &mut Vec<Fault>, place: &str, key: &str, found: Option<&Value>, wanted: &Value) {
    let there = found.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for entry in wanted.as_array().into_iter().flatten() {
        let name = text(entry, key);
        let same = there.iter().find(|other| text(other, key) == name);
        covers(faults, &format!("{place}[{name}]"), same, entry);
    }
}

/// Names of ours that are there but not wanted.
fn surplus<'a>(
    faults: &mut Vec<Fault>,
    place: &str,
    found: impl Iterator<Item = &'a Value>,
    wanted: impl Iterator<Item = &'a Value>,
) {
    let wanted: Vec<&str> = wanted.map(|value| text(value, "name")).collect();
    for name in found.map(|value| text(value, "name")).filter(|name| !wanted.contains(name)) {
        faults.push(Fault::new(
            None,
            format!("{place}[{name}]"),
            format!("has a name of Vouchsafe's, and injection makes nothing of that name here; {REMOVE}"),
        ));
    }
}

/// Pushes a fault for the first place at which `found` lacks something of `expected`.
fn covers(faults: &mut Vec<Fault>, place: &str, found: Option<&Value>, expected: &Value) {
    match (found, expected) {
        (Some(Value::Object(there)), Value::Object(wanted)) => {
            for (field, value) in wanted {
                covers(faults, &format!("{place}.{field}"), there.get(field), value);
            }
        }
        (Some(Value::Array(there)), Value::Array(wanted)) if there.len() == wanted.len() => {
            for (index, (left, right)) in there.iter().zip(wanted).enumerate() {
                covers(faults, &format!("{place}[{index}]"), Some(left), right);
            }
        }
        (Some(there), wanted) if there == wanted => {}
        (there, wanted) => faults.push(differs(place, there, wanted)),
    }
}

fn differs(place: &str, found: Option<&Value>, expected: &Value) -> Fault {
    let message = if place.ends_with(&format!("[{PLAN_VARIABLE}].value")) {
        format!("is not the Plan that Grants and annotations give now; {REMOVE}")
    } else {
        format!("is {}, injection makes it {}; {REMOVE}", shown(found), shown(Some(expected)))
    };
    Fault::new(None, place, message)
}

/// A value in a message: short texts, numbers and lists of texts as they are, else what it is.
fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => quoted(text),
        Some(scalar @ (Value::Bool(_) | Value::Number(_))) => scalar.to_string(),
        Some(list @ Value::Array(_)) => quoted(&list.to_string()),
        other => shape(other).to_owned(),
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// How to mend a pod that carries something of ours that we would not make.
const REMOVE: &str =
    "remove what Vouchsafe added (containers, volumes and mounts named vouchsafe-*) and let it inject again";
