//! `inject`: a pod, the Grants and the installation in; the patch out, or all faults at once.
//!
//! Pure and idempotent: a pod that was injected already is stripped, derived again and compared; equal means no operation,
//! at most our containers move to where another webhook's change makes them belong. Out of scope: AdmissionReviews
//! ([`crate::admit()`]), what Grants allow (policies).

use serde_json::{Value, json};

use vouchsafe_model::name::Namespace;
use vouchsafe_policies::{Ask, Derivation, Fault, GrantSet, PodFacts, derive};

use crate::bare::{Bare, entries, is_injected};
use crate::config::Config;
use crate::judge;
use crate::names::{STATUS_ANNOTATION, STATUS_INJECTED};
use crate::parts::{ContainerParts, Parts};
use crate::patch::{Operation, Patch, Pointer};
use crate::place::{self, Place, is_fit};
use crate::resources::Sizes;
use crate::same;

/// What injection does to a pod.
#[derive(Clone, Debug)]
pub struct Injection {
    /// The patch; empty where the pod is already what injection makes.
    pub operations: Vec<Operation>,
    /// The Plan and where it comes from.
    pub derivation: Derivation,
    /// How large everything may become.
    pub sizes: Sizes,
    /// Number of init containers that stand before ours.
    pub before: usize,
    /// What the pod's owner should know.
    pub warnings: Vec<String>,
}

/// Decides about one pod. `None` means that it does not ask, or is a mirror of a static pod, which runs already.
pub fn inject(
    pod: &Value,
    namespace: &Namespace,
    grants: &GrantSet,
    config: &Config,
) -> Result<Option<Injection>, Vec<Fault>> {
    if judge::is_mirror(pod) {
        return Ok(None);
    }
    let asked = judge::annotations(pod).and_then(|annotations| Ask::parse(&annotations));
    let (ask, mut faults) = match asked {
        Ok(None) => return Ok(None),
        Ok(Some(ask)) => (Some(ask), Vec::new()),
        Err(faults) => (None, faults),
    };
    faults.extend(judge::faults(pod));
    let injected = is_injected(pod);
    let bare = if injected {
        Bare::of(pod)
    } else {
        faults.extend(judge::collisions(pod));
        Bare::untouched(pod)
    };
    let facts = PodFacts::read(&bare.pod, namespace).map_err(|more| faults.extend(more)).ok();
    let derivation = match (&ask, &facts) {
        (Some(ask), Some(facts)) => {
            derive(ask, facts, grants, &config.installation).map_err(|more| faults.extend(more)).ok()
        }
        _ => None,
    };
    let (Some(facts), Some(derivation), Some(spec)) =
        (facts, derivation, bare.pod.get("spec").and_then(Value::as_object))
    else {
        return Err(unique(faults));
    };
    faults.extend(judge::run_folder_collisions(&bare.pod, &derivation));
    let parts = match Parts::of(spec, &facts, &derivation, config) {
        Ok(parts) => parts,
        Err(error) => {
            faults.push(Fault::new(None, "", error.to_string()));
            return Err(unique(faults));
        }
    };
    if injected {
        faults.extend(same::differences(pod, &bare, &parts));
    }
    if !faults.is_empty() {
        return Err(unique(faults));
    }
    let place = place::place(entries(&bare.pod, "initContainers"), &readers(&derivation));
    let patch = if injected { shift(pod, &bare, &derivation, &place) } else { fresh(pod, &parts, &place) };
    let operations = patch.finish().map_err(|error| vec![Fault::new(None, "", error.to_string())])?;
    // Of a pod that was injected already the first pass has said it, and knew more: the wrapper hides which command was
    // the pod's own.
    let mut warnings = if injected { Vec::new() } else { derivation.warnings.clone() };
    warnings.extend(place.warnings);
    warnings.extend(judge::warnings(pod));
    Ok(Some(Injection { operations, derivation, sizes: parts.sizes, before: place.index, warnings }))
}

/// The patch of a pod that has nothing of ours.
fn fresh(pod: &Value, parts: &Parts, place: &Place) -> Patch {
    let mut patch = Patch::default();
    let spec = Pointer::to(&["spec"]);
    patch.set(&Pointer::to(&["metadata", "annotations", STATUS_ANNOTATION]), json!(STATUS_INJECTED));
    let volumes = spec.field("volumes");
    patch.ensure_list(pod.pointer("/spec/volumes"), &volumes);
    for volume in &parts.volumes {
        patch.append(&volumes, volume.clone());
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in entries(pod, list).iter().enumerate() {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            if let Some(wanted) = parts.containers.iter().find(|wanted| wanted.name == name) {
                equip(&mut patch, &spec.field(list).index(index), container, wanted);
            }
        }
    }
    let inits = spec.field("initContainers");
    patch.ensure_list(pod.pointer("/spec/initContainers"), &inits);
    for (offset, init) in parts.inits().enumerate() {
        patch.insert(&inits, place.index + offset, init.clone());
    }
    patch
}

/// What one of the pod's own containers gets.
fn equip(patch: &mut Patch, place: &Pointer, container: &Value, wanted: &ContainerParts) {
    if !wanted.mounts.is_empty() {
        let mounts = place.field("volumeMounts");
        patch.ensure_list(container.get("volumeMounts"), &mounts);
        wanted.mounts.iter().for_each(|mount| patch.append(&mounts, mount.clone()));
    }
    if !wanted.env.is_empty() {
        let env = place.field("env");
        patch.ensure_list(container.get("env"), &env);
        let mut front = 0;
        for variable in &wanted.env {
            // Of two variables with one name the last counts; of $(NAME) only those that stand before.
            if is_named(container.get("env"), variable) {
                patch.append(&env, variable.clone());
            } else {
                patch.insert(&env, front, variable.clone());
                front += 1;
            }
        }
    }
    if let Some(command) = &wanted.command {
        patch.set(&place.field("command"), json!(command));
        if container.get("args").is_some() {
            patch.set(&place.field("args"), json!([]));
        }
    }
}

/// Whether a list has an entry of the same name.
fn is_named(list: Option<&Value>, entry: &Value) -> bool {
    let entries = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    entries.iter().any(|other| other.get("name") == entry.get("name"))
}

/// The moves that bring our containers to their place, if somebody else's change made the present one unfit.
fn shift(pod: &Value, bare: &Bare, derivation: &Derivation, place: &Place) -> Patch {
    let mut patch = Patch::default();
    let foreign = entries(&bare.pod, "initContainers");
    let readers = readers(derivation);
    let scattered = bare.inits.windows(2).any(|pair| matches!(pair, [left, right] if left.0 != right.0));
    if !scattered && bare.inits.iter().all(|(before, _)| is_fit(foreign, &readers, *before)) {
        return patch;
    }
    let names = |list: &[Value]| -> Vec<String> {
        list.iter().map(|init| init.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()).collect()
    };
    let mut current = names(entries(pod, "initContainers"));
    let mut wanted = names(foreign);
    let ours: Vec<Value> = bare.inits.iter().map(|(_, init)| init.clone()).collect();
    for (offset, name) in names(&ours).into_iter().enumerate() {
        wanted.insert((place.index + offset).min(wanted.len()), name);
    }
    let list = Pointer::to(&["spec", "initContainers"]);
    for (target, name) in wanted.iter().enumerate() {
        if let Some(from) = current.iter().position(|other| other == name).filter(|from| *from != target) {
            patch.shift(&list, from, target);
            let moved = current.remove(from);
            current.insert(target, moved);
        }
    }
    patch
}

/// Containers that mount files of ours.
fn readers(derivation: &Derivation) -> Vec<&str> {
    derivation.plan.volumes.iter().map(|volume| volume.container.as_str()).collect()
}

/// Faults that two checks found are reported once, in the order in which they were found.
fn unique(faults: Vec<Fault>) -> Vec<Fault> {
    let mut seen = Vec::new();
    for fault in faults {
        if !seen.contains(&fault) {
            seen.push(fault);
        }
    }
    seen
}
