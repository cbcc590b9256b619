//! What a pod must be before injection can touch it: of the right shape, for Linux, without names and mounts of ours.
//!
//! Out of scope: annotations and Grants (policies); whether injection already happened ([`crate::bare`]).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use vouchsafe_model::path::is_below;
use vouchsafe_model::plan::{Injection, RUN_FOLDER};
use vouchsafe_model::text::quoted;
use vouchsafe_policies::{ANNOTATION_PREFIX, Derivation, Fault};

use crate::bare::{entries, is_our_volume};
use crate::names::MIRROR_ANNOTATION;
use crate::place::is_ours;
use crate::review::shape;

/// Annotations that are text. One of ours that is no text is a fault.
pub fn annotations(pod: &Value) -> Result<BTreeMap<String, String>, Vec<Fault>> {
    let found = match pod.pointer("/metadata/annotations") {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(found)) => found,
        other => {
            let message = format!("is {}; write an object of texts", shape(other));
            return Err(vec![Fault::new(None, "metadata.annotations", message)]);
        }
    };
    let mut texts = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, value) in found {
        match value {
            Value::String(text) => {
                texts.insert(name.clone(), text.clone());
            }
            other if name.starts_with(ANNOTATION_PREFIX) => {
                let message = format!("is {}; annotations are texts, so put the value in quotes", shape(Some(other)));
                faults.push(Fault::new(None, name.clone(), message));
            }
            _ => {}
        }
    }
    if faults.is_empty() { Ok(texts) } else { Err(faults) }
}

/// Whether a kubelet made this pod from a file of its own: it runs already, whatever an API server says.
pub fn is_mirror(pod: &Value) -> bool {
    pod.pointer("/metadata/annotations").and_then(|annotations| annotations.get(MIRROR_ANNOTATION)).is_some()
}

/// Everything about the pod itself that stands in injection's way.
pub fn faults(pod: &Value) -> Vec<Fault> {
    let Some(spec) = pod.get("spec").and_then(Value::as_object) else {
        let message = format!("is {}; a pod needs an object with containers", shape(pod.get("spec")));
        return vec![Fault::new(None, "spec", message)];
    };
    let mut faults = Vec::new();
    named_list(&mut faults, spec, "spec", "volumes");
    for list in ["initContainers", "containers"] {
        named_list(&mut faults, spec, "spec", list);
        for (index, container) in entries(pod, list).iter().enumerate() {
            let Some(container) = container.as_object() else { continue };
            let place = format!("spec.{list}[{index}]");
            named_list(&mut faults, container, &place, "env");
            for field in ["volumeMounts", "command", "args"] {
                list_of(&mut faults, container, &place, field);
            }
        }
    }
    windows(&mut faults, spec);
    faults
}

/// Names of ours in a pod that was not injected.
pub fn collisions(pod: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut taken = |place: String, ours: &str| {
        let message = format!("has the name {} that Vouchsafe gives to {ours}; choose another", quoted_tail(&place));
        faults.push(Fault::new(None, place, message));
    };
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in entries(pod, list) {
            let name = text(container, "name");
            if is_ours(container) {
                taken(format!("spec.{list}[{name}]"), "its own containers");
            }
        }
    }
    for name in entries(pod, "volumes").iter().map(|volume| text(volume, "name")) {
        if is_our_volume(name) {
            taken(format!("spec.volumes[{name}]"), "its memory volumes");
        }
    }
    faults
}

/// Variables of a pod beside which no sidecar runs: nobody would hand them out.
pub fn lonely_variables(derivation: &Derivation) -> Vec<Fault> {
    if derivation.plan.injection != Injection::Once {
        return Vec::new();
    }
    let fault = |container: &str| {
        Fault::new(
            None,
            format!("container {container}"),
            "its variables come from a sidecar, which would keep this pod from ending here; deliver files with pathEnv, or start \
             the webhook with --injection native where every node runs Kubernetes 1.29 or later",
        )
    };
    derivation.plan.environments.iter().map(|environment| fault(environment.container.as_str())).collect()
}

/// Mounts of a supervised container that lie where its wrapper is going to be mounted.
pub fn run_folder_collisions(pod: &Value, derivation: &Derivation) -> Vec<Fault> {
    let supervised: Vec<&str> = derivation.supervised.iter().map(|one| one.container.as_str()).collect();
    let mut faults = Vec::new();
    for list in ["initContainers", "containers"] {
        for container in entries(pod, list).iter().filter(|one| supervised.contains(&text(one, "name"))) {
            let mounts = container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
            for path in mounts.map(|mount| text(mount, "mountPath")).filter(|path| overlaps(path)) {
                let name = text(container, "name");
                let message = format!(
                    "{} collides with {RUN_FOLDER}, where Vouchsafe mounts the wrapper of container {}; mount it elsewhere",
                    quoted(path),
                    quoted(name),
                );
                faults.push(Fault::new(None, format!("spec.{list}[{name}].volumeMounts"), message));
            }
        }
    }
    faults
}

/// What the owner of an unusual pod should know.
pub fn warnings(pod: &Value) -> Vec<String> {
    let is_set = |field: &str| pod.pointer(&format!("/spec/{field}")).and_then(Value::as_bool).unwrap_or(false);
    let mut warnings = Vec::new();
    if is_set("hostPID") {
        warnings.push(
            "hostPID: true lets every process of the node with the same user look into the app and the sidecar, secrets included; \
             leave it out if the app works without"
                .to_owned(),
        );
    }
    if is_set("shareProcessNamespace") {
        warnings.push(
            "shareProcessNamespace: true lets the pod's containers see each other's processes and, with the same user, read their \
             files through /proc, secrets included; leave it out if the app works without"
                .to_owned(),
        );
    }
    let policy = pod.pointer("/spec/dnsPolicy").and_then(Value::as_str);
    if is_set("hostNetwork") && policy.is_none_or(|policy| policy == "ClusterFirst") {
        warnings.push(
            "hostNetwork: true makes the pod use the node's DNS, which does not know the cluster's services; set dnsPolicy: \
             ClusterFirstWithHostNet so that the sidecar finds its server"
                .to_owned(),
        );
    }
    warnings
}

fn windows(faults: &mut Vec<Fault>, spec: &Map<String, Value>) {
    let os = spec.get("os").map_or("", |os| text(os, "name"));
    let node = spec.get("nodeSelector").map_or("", |selector| text(selector, "kubernetes.io/os"));
    for (field, value) in [("spec.os.name", os), ("spec.nodeSelector[kubernetes.io/os]", node)] {
        if value.eq_ignore_ascii_case("windows") {
            let message =
                "is windows; the sidecar runs on Linux only, so remove the vouchsafe.dev/ annotations from this pod";
            faults.push(Fault::new(None, field, message));
        }
    }
}

/// A list whose entries are objects with a name.
fn named_list(faults: &mut Vec<Fault>, holder: &Map<String, Value>, place: &str, field: &str) {
    for (index, entry) in list_of(faults, holder, place, field).iter().enumerate() {
        let problem = match entry {
            Value::Object(fields) => match fields.get("name") {
                Some(Value::String(name)) if !name.is_empty() => continue,
                other => format!("has as name {}; give it one", shape(other)),
            },
            other => format!("is {}; write an object with a name", shape(Some(other))),
        };
        faults.push(Fault::new(None, format!("{place}.{field}[{index}]"), problem));
    }
}

fn list_of<'a>(faults: &mut Vec<Fault>, holder: &'a Map<String, Value>, place: &str, field: &str) -> &'a [Value] {
    match holder.get(field) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(list)) => list,
        other => {
            faults.push(Fault::new(None, format!("{place}.{field}"), format!("is {}; write a list", shape(other))));
            &[]
        }
    }
}

fn overlaps(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    is_below(path, RUN_FOLDER) || (!path.is_empty() && is_below(RUN_FOLDER, path))
}

/// The name inside the last brackets of a place.
fn quoted_tail(place: &str) -> String {
    let name = place.rsplit_once('[').map_or(place, |(_, rest)| rest.trim_end_matches(']'));
    quoted(name)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}
