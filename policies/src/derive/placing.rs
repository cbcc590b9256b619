//! Where files lie: volumes, clashes of paths, variables that hold them.

use std::collections::BTreeMap;

use vouchsafe_model::name::{ContainerName, EnvName};
use vouchsafe_model::path::is_below;
use vouchsafe_model::plan::PlanVolume;
use vouchsafe_model::text::quoted;

use super::wanted::Wanted;
use crate::fields::Faults;
use crate::pod::PodFacts;

/// One volume per container and mount path, in the order of `wanted`; a mount path that overlaps another is a fault.
pub(super) fn volumes(wanted: &[Wanted<'_>], pod: &PodFacts, faults: &mut Faults) -> Vec<PlanVolume> {
    let mut volumes: Vec<PlanVolume> = Vec::new();
    for file in wanted {
        if volumes.iter().any(|volume| file.is_in(volume)) {
            continue;
        }
        let ours = file.mount_path.as_str();
        for theirs in pod.container(file.container.name.as_str()).iter().flat_map(|container| &container.mounts) {
            if overlaps(ours, theirs) {
                let message = format!(
                    "mount path {ours} overlaps {}, which container {} mounts itself; set another mountPath",
                    quoted(theirs),
                    file.container.name
                );
                faults.push(file.fault(message));
            }
        }
        let nested = volumes
            .iter()
            .find(|volume| volume.container == file.container.name && overlaps(ours, volume.mount_path.as_str()));
        if let Some(other) = nested {
            let message = format!(
                "mount path {ours} overlaps {}, where container {} gets other files; use one of them for both, or folders beside each other",
                other.mount_path, file.container.name
            );
            faults.push(file.fault(message));
        }
        volumes.push(PlanVolume {
            container: file.container.name.clone(),
            mount_path: file.mount_path.clone(),
            also: Vec::new(),
        });
    }
    volumes
}

fn overlaps(left: &str, right: &str) -> bool {
    let right = right.trim_end_matches('/');
    is_below(left, right) || is_below(right, left)
}

/// That no two files have one path, and none is the folder of another.
pub(super) fn check_names(wanted: &[Wanted<'_>], faults: &mut Faults) {
    let mut seen: BTreeMap<(&ContainerName, String), &Wanted<'_>> = BTreeMap::new();
    for file in wanted {
        let path = file.path();
        if let Some(first) = seen.get(&(&file.container.name, path.clone())) {
            let message = format!(
                "{path} in container {} is also made by {}; give one of them another name",
                file.container.name,
                first.field()
            );
            faults.push(file.fault(message));
            continue;
        }
        seen.insert((&file.container.name, path), file);
    }
    for ((container, path), file) in &seen {
        for (end, _) in path.match_indices('/').skip(1) {
            let folder = path.get(..end).unwrap_or_default();
            if let Some(other) = seen.get(&(*container, folder.to_owned())) {
                let message = format!(
                    "{path} lies in a folder, but {} makes a file of that folder's name; rename one of them",
                    other.field()
                );
                faults.push(file.fault(message));
            }
        }
    }
}

/// Variables that hold a file's path, in the order of `wanted`.
pub(super) fn path_env(
    wanted: &[Wanted<'_>],
    pod: &PodFacts,
    faults: &mut Faults,
) -> Vec<(ContainerName, EnvName, String)> {
    let mut variables: Vec<(ContainerName, EnvName, String)> = Vec::new();
    for file in wanted {
        let Some(name) = &file.entry.path_env else { continue };
        let container = &file.container.name;
        let exists = pod
            .container(container.as_str())
            .is_some_and(|container| container.env.iter().any(|variable| variable == name.as_str()));
        if exists && !file.entry.overrides {
            let message = format!(
                "container {container} already has the variable {name}; remove it there, or set override: true"
            );
            faults.push(file.fault(message));
        }
        if variables.iter().any(|(other, variable, _)| other == container && variable == name) {
            let message = format!("the variable {name} of container {container} is set by two files; rename one");
            faults.push(file.fault(message));
            continue;
        }
        variables.push((container.clone(), name.clone(), file.path()));
    }
    variables
}
