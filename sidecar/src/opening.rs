//! What has to stand before the sidecar can run: volumes, and the folders of supervised containers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::{Path, PathBuf};

use vouchsafe_model::plan::{Action, Content, Plan, PlanEnvironment, RUN_FOLDER, volume_path};
use vouchsafe_model::{Kind, Secret, Workload};
use vouchsafe_net::client::Client;
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::tls::{TlsError, TrustRoots};

use crate::cause::{ANNOTATIONS, Cause};
use crate::control::Control;
use crate::driver::Ending;
use crate::environment::Environment;
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
    /// A file that the Plan names cannot be read.
    #[error("read {}: {source}; mount what holds it by agent-extra-secret, tls-secret or agent-copy-volume-mounts", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The Plan's trust bundle is none.
    #[error("the Plan's trust bundle: {0}")]
    Trust(#[from] TlsError),
}

/// What a pod ends with whose annotations cannot be carried out: the app must not start without what they ask for.
pub(crate) fn hopeless(plan: &Plan, workload: &Workload) -> Option<Ending> {
    let problems =
        plan.agent.as_ref().map(|agent| agent.hopeless.as_slice()).filter(|problems| !problems.is_empty())?;
    let remedy = "correct the annotation; 'vouchsafe check --drop-in' shows it without a pod";
    let cause = Cause::new(ANNOTATIONS, "carry out the pod's annotations", problems.join("; "), remedy);
    Some(Ending { code: Kind::Invalid.exit_code(), cause: Some(cause), workload: workload.clone() })
}

/// Reads what the Plan names by file: templates, and certificates to trust. Gives back the roots.
pub(crate) fn complete(plan: &mut Plan, place: &Place) -> Result<TrustRoots, StartError> {
    for file in &mut plan.files {
        if let Content::Agent(template) = &mut file.content
            && let Some(source) = template.source.take()
        {
            template.text = text(&place.at(&source))?;
        }
    }
    let Some(agent) = &plan.agent else { return Ok(TrustRoots::from_pem(&plan.server.trust)?) };
    for path in &agent.trust_files {
        for file in files_of(&place.at(path))? {
            plan.server.trust.push('\n');
            plan.server.trust.push_str(&text(&file)?);
        }
    }
    let roots = TrustRoots::from_pem(&plan.server.trust)?;
    match &agent.client_certificate {
        Some((certificate, key)) => {
            let key = Secret::from(text(&place.at(key))?);
            Ok(roots.with_identity(&text(&place.at(certificate))?, &key)?)
        }
        None => Ok(roots),
    }
}

/// A client of the Plan's server.
pub(crate) fn client(plan: &Plan, roots: &TrustRoots) -> Client {
    let client = Client::new(plan.server.address.clone(), roots);
    match plan.agent.as_ref().and_then(|agent| agent.server_name.as_ref()) {
        Some(name) => client.with_server_name(name),
        None => client,
    }
}

/// A file itself, or the files of a folder in the order of their names.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, StartError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| StartError::File { file: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn text(file: &Path) -> Result<String, StartError> {
    let failed = |source| StartError::File { file: file.to_owned(), source };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    io::Read::read_to_string(&mut io::Read::take(opened, FILE_BYTES), &mut text).map_err(failed)?;
    Ok(text)
}

/// Largest template or certificate file that is read.
const FILE_BYTES: u64 = 1 << 20;

/// The Plan's volumes.
pub(crate) fn open_volumes(plan: &Plan, place: &Place) -> Result<Vec<Volume>, StartError> {
    let open = |index: usize| {
        Volume::open(&place.at(&volume_path(index)))
            .map_err(|error| StartError::Volume { index, problem: error.to_string() })
    };
    (0..plan.volumes.len()).map(open).collect()
}

/// Wrapper and socket of every container that is sent signals, started again or given variables.
pub(crate) fn open_controls(
    plan: &Plan,
    place: &Place,
    lifecycle: &Lifecycle,
) -> Result<BTreeMap<String, Control>, StartError> {
    let told =
        plan.reactions.iter().filter(|reaction| matches!(reaction.action, Action::Signal(_) | Action::Restart(_)));
    let names = told.map(|reaction| &reaction.container);
    let names = names.chain(plan.environments.iter().map(|environment| &environment.container));
    let mut controls = BTreeMap::new();
    for container in names.map(ToString::to_string) {
        if let Entry::Vacant(place_of) = controls.entry(container.clone()) {
            let control = Control::listen(&place.at(RUN_FOLDER).join(&container), lifecycle);
            place_of.insert(control.map_err(|source| StartError::Control { container, source })?);
        }
    }
    Ok(controls)
}

/// The socket of every container that is given variables, in the Plan's order.
pub(crate) fn open_environments(
    plan: &Plan,
    place: &Place,
    lifecycle: &Lifecycle,
) -> Result<Vec<Environment>, StartError> {
    let open = |environment: &PlanEnvironment| {
        let container = environment.container.to_string();
        Environment::listen(&place.at(RUN_FOLDER).join(&container), lifecycle)
            .map_err(|source| StartError::Control { container, source })
    };
    plan.environments.iter().map(open).collect()
}
