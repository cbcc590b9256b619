//! What has to stand before the sidecar can run: volumes, and the folders of supervised containers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::PathBuf;

use vouchsafe_model::plan::{Action, Plan, RUN_FOLDER, volume_path};
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::tls::TlsError;

use crate::control::Control;
use crate::files::Volume;
use crate::place::Place;

/// Why the sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The state folder cannot be used.
    #[error("use {}: {source}", .folder.display())]
    State {
        /// The folder.
        folder: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Another sidecar runs in this pod.
    #[error("another vouchsafe-sidecar holds {}; a pod needs only one", .0.display())]
    Held(PathBuf),
    /// A volume cannot be opened.
    #[error("volume {index}: {problem}; the pod must mount it where the Plan says")]
    Volume {
        /// Its index in the Plan.
        index: usize,
        /// What is wrong.
        problem: String,
    },
    /// The wrapper of a container cannot be placed.
    #[error("container {container}: place the wrapper: {source}")]
    Control {
        /// The container.
        container: String,
        /// The system's word.
        source: io::Error,
    },
    /// The Plan's trust bundle is none.
    #[error("the Plan's trust bundle: {0}")]
    Trust(#[from] TlsError),
}

/// The Plan's volumes.
pub(crate) fn open_volumes(plan: &Plan, place: &Place) -> Result<Vec<Volume>, StartError> {
    let open = |index: usize| {
        Volume::open(&place.at(&volume_path(index)))
            .map_err(|error| StartError::Volume { index, problem: error.to_string() })
    };
    (0..plan.volumes.len()).map(open).collect()
}

/// Wrapper and socket of every container that gets signals.
pub(crate) fn open_controls(
    plan: &Plan,
    place: &Place,
    lifecycle: &Lifecycle,
) -> Result<BTreeMap<String, Control>, StartError> {
    let mut controls = BTreeMap::new();
    for reaction in plan.reactions.iter().filter(|reaction| matches!(reaction.action, Action::Signal(_))) {
        let container = reaction.container.to_string();
        if let Entry::Vacant(place_of) = controls.entry(container.clone()) {
            let control = Control::listen(&place.at(RUN_FOLDER).join(&container), lifecycle);
            place_of.insert(control.map_err(|source| StartError::Control { container, source })?);
        }
    }
    Ok(controls)
}
