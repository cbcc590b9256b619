//! `inject`: a pod, the Grants and the installation in; the patch out, or all faults at once.
//!
//! Pure and idempotent: a pod that was injected already is stripped, derived again and compared; equal means no operation,
//! at most our containers move to where another webhook's change makes them belong. Out of scope: AdmissionReviews
//! ([`crate::admit()`]), what Grants allow (policies).

use serde_json::{Value, json};

use vouchsafe_model::name::Namespace;
use vouchsafe_model::plan::Injection as Form;
use vouchsafe_policies::dropin::{DropIn, derive_drop_in};
use vouchsafe_policies::{ANNOTATION_PREFIX, Ask, Derivation, Fault, GrantSet, PodFacts, derive};

use crate::bare::{Bare, entries, is_injected};
use crate::classic;
use crate::config::Config;
use crate::dropin;
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
    let (wish, mut faults) = match wish(pod, namespace, config) {
        Ok(None) => return Ok(None),
        Ok(Some(wish)) => (Some(wish), Vec::new()),
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
    let derivation = match (&wish, &facts) {
        (Some(wish), Some(facts)) => {
            let derived = match wish {
                Wish::Own(ask) => derive(ask, facts, grants, &config.installation),
                Wish::DropIn(asked) => {
                    let policy = config.drop_in.as_ref().map(|settings| settings.grants).unwrap_or_default();
                    derive_drop_in(asked, facts, grants, &config.installation, policy)
                }
            };
            derived.map_err(|more| faults.extend(more)).ok()
        }
        _ => None,
    };
    let (Some(facts), Some(mut derivation), Some(spec)) =
        (facts, derivation, bare.pod.get("spec").and_then(Value::as_object))
    else {
        return Err(unique(faults));
    };
    if derivation.drop_in.is_some() {
        dropin::adapt(&mut derivation, spec, config.injection, config.installation.gate);
    }
    if derivation.plan.injection == Form::Native {
        classic::adapt(&mut derivation, spec, config.injection);
    }
    faults.extend(judge::run_folder_collisions(&bare.pod, &derivation));
    faults.extend(judge::lonely_variables(&derivation));
    let mut parts = match Parts::of(spec, &facts, &derivation, config) {
        Ok(parts) => parts,
        Err(error) => {
            faults.push(Fault::new(None, "", error.to_string()));
            return Err(unique(faults));
        }
    };
    let furnished = dropin::furnish(&mut parts, &bare.pod, &derivation).map_err(|more| faults.extend(more));
    if injected {
        faults.extend(same::differences(pod, &bare, &parts));
    }
    if !faults.is_empty() {
        return Err(unique(faults));
    }
    let inits = entries(&bare.pod, "initContainers");
    let place = match &derivation.drop_in {
        None => place::place(inits, &readers(&derivation)),
        // Their own init containers mount the files whether they stand before ours or not, as there.
        Some(asked) if asked.init_first => place::place(inits, &[]),
        Some(_) => place::last(inits),
    };
    let patch = match (injected, &derivation.drop_in) {
        (false, asked) => fresh(pod, &parts, &place, asked.as_deref()),
        (true, None) => shift(pod, &bare, &derivation, &place),
        (true, Some(_)) => Patch::default(),
    };
    let operations = patch.finish().map_err(|error| vec![Fault::new(None, "", error.to_string())])?;
    // Of a pod that was injected already the first pass has said it, and knew more: the wrapper hides which command was
    // the pod's own.
    let mut warnings = if injected { Vec::new() } else { derivation.warnings.clone() };
    warnings.extend(furnished.unwrap_or_default());
    warnings.extend(place.warnings);
    warnings.extend(judge::warnings(pod));
    Ok(Some(Injection { operations, derivation, sizes: parts.sizes, before: place.index, warnings }))
}

/// What a pod asks for, in whichever dialect.
enum Wish {
    Own(Ask),
    DropIn(Box<DropIn>),
}

/// `None`: the pod does not ask. One that asks in both dialects is refused: nobody could say which counts.
fn wish(pod: &Value, namespace: &Namespace, config: &Config) -> Result<Option<Wish>, Vec<Fault>> {
    let annotations = judge::annotations(pod)?;
    let own = Ask::parse(&annotations)?;
    match (own, dropin::asked(&annotations, namespace, config)?) {
        (None, None) => Ok(None),
        (Some(ask), None) => Ok(Some(Wish::Own(ask))),
        (None, Some(asked)) => Ok(Some(Wish::DropIn(Box::new(asked)))),
        (Some(_), Some(asked)) => {
            let message = format!("asks in one dialect and {ANNOTATION_PREFIX}inject in another; remove one of both");
            Err(vec![Fault::new(None, asked.annotation, message)])
        }
    }
}

/// The patch of a pod that has nothing of ours.
fn fresh(pod: &Value, parts: &Parts, place: &Place, asked: Option<&DropIn>) -> Patch {
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
    if let Some(share) = asked.and_then(|asked| asked.container.share_process_namespace) {
        patch.set(&spec.field("shareProcessNamespace"), json!(share));
    }
    let inits = spec.field("initContainers");
    patch.ensure_list(pod.pointer("/spec/initContainers"), &inits);
    for (offset, init) in parts.inits.iter().enumerate() {
        patch.insert(&inits, place.index + offset, init.clone());
    }
    if let Some(beside) = &parts.beside {
        // Last: the pod's first container is the one that kubectl takes where none is named.
        patch.append(&spec.field("containers"), beside.clone());
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

/// Containers that mount files of ours, or get variables.
fn readers(derivation: &Derivation) -> Vec<&str> {
    let plan = &derivation.plan;
    let volumes = plan.volumes.iter().map(|volume| volume.container.as_str());
    volumes.chain(plan.environments.iter().map(|environment| environment.container.as_str())).collect()
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
