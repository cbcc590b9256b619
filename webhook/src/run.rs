//! The running webhook: starts its tasks and serves until it is told to stop.
//!
//! `dev` calls [`run`] with an own listener and certificate; the program with what [`crate::options`] read.
//! Out of scope: what a request means ([`crate::server`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;

use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::server::serve;
use vouchsafe_net::tls::{Identity, TlsError, TrustRoots, server_config};
use vouchsafe_net::watch::FolderWatch;

use crate::config::Config;
use crate::grants::folder::{Folder, Reading};
use crate::grants::{Grants, Source, kubernetes};
use crate::metrics::Metrics;
use crate::server::{DecisionLog, Webhook, limits};

/// Everything that a webhook needs.
pub struct Setup {
    /// Settings.
    pub config: Config,
    /// Where Grants come from.
    pub source: Source,
    /// Serving certificate; hot reload is the caller's choice (`Identity::follow`).
    pub identity: Identity,
    /// File whose PEM text replaces `config.installation.server.trust` whenever it changes.
    pub trust_file: Option<PathBuf>,
    /// Where decisions go, one line each.
    pub decisions: DecisionLog,
}

/// Serves until the lifecycle stops.
pub async fn run(setup: Setup, listener: TcpListener, lifecycle: Lifecycle) {
    let metrics = Arc::new(Metrics::new());
    let grants = Grants::new();
    let config = Arc::new(ArcSwap::from_pointee(setup.config));
    follow_grants(setup.source, &grants, &metrics, &lifecycle);
    if let Some(file) = setup.trust_file {
        lifecycle.spawn("trust bundle", follow_trust(file, Arc::clone(&config), lifecycle.clone()));
    }
    let tls = server_config(&setup.identity);
    let webhook =
        Arc::new(Webhook { config, grants, identity: Some(setup.identity), metrics, decisions: setup.decisions });
    serve(listener, Some(tls), limits(), webhook, lifecycle).await;
}

/// Reads what can be read at once and starts the task that follows changes.
fn follow_grants(source: Source, grants: &Grants, metrics: &Arc<Metrics>, lifecycle: &Lifecycle) {
    let (grants, metrics) = (grants.clone(), Arc::clone(metrics));
    match source {
        Source::Fixed(set) => {
            grants.replace(set, Vec::new());
            metrics.grants_read.set(unix_now());
        }
        Source::Folder(path) => {
            let mut folder = Folder::new(&path);
            take_reading(folder.read(), &grants, &metrics);
            lifecycle.spawn("grants folder", follow_folder(folder, grants, metrics, lifecycle.clone()));
        }
        Source::Kubernetes => {
            let take = move |news: Result<&_, kubernetes::WatchError>| match news {
                Ok(mirror) => take_mirror(mirror, &grants, &metrics),
                Err(error) => take_faults(vec![error.to_string()], &grants),
            };
            lifecycle.spawn("grants watch", kubernetes::follow(kubernetes::Access::Inferred, lifecycle.clone(), take));
        }
    }
}

async fn follow_folder(mut folder: Folder, grants: Grants, metrics: Arc<Metrics>, lifecycle: Lifecycle) {
    let path = folder.path().to_owned();
    let mut watch = None;
    loop {
        tokio::select! {
            () = lifecycle.stopping() => return,
            () = changed(&mut watch, &path) => {}
        }
        take_reading(folder.read(), &grants, &metrics);
    }
}

async fn follow_trust(file: PathBuf, config: Arc<ArcSwap<Config>>, lifecycle: Lifecycle) {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let mut watch = None;
    loop {
        tokio::select! {
            () = lifecycle.stopping() => return,
            () = changed(&mut watch, &folder) => {}
        }
        take_trust(&file, &config);
    }
}

/// A folder's changes, or the minute's belt while the folder cannot be watched.
async fn changed(watch: &mut Option<FolderWatch>, folder: &Path) {
    if watch.is_none() {
        *watch = FolderWatch::new(folder).ok();
    }
    match watch {
        Some(watch) => watch.changed().await,
        None => tokio::time::sleep(RETRY).await,
    }
}

fn take_reading(reading: Reading, grants: &Grants, metrics: &Metrics) {
    match reading.set {
        Some(set) => {
            metrics.grants_read.set(unix_now());
            note(grants.replace(set, reading.faults), grants);
        }
        None => take_faults(reading.faults, grants),
    }
}

fn take_mirror(mirror: &crate::grants::mirror::Mirror, grants: &Grants, metrics: &Metrics) {
    let (set, faults) = mirror.grants();
    metrics.grants_read.set(unix_now());
    note(grants.replace(set, faults), grants);
}

fn take_faults(faults: Vec<String>, grants: &Grants) {
    note(grants.report(faults), grants);
}

/// Logs a new state once.
fn note(changed: bool, grants: &Grants) {
    if !changed {
        return;
    }
    let state = grants.state();
    let count = state.set.as_ref().map_or(0, |set| set.len());
    tracing::info!(grants = count, faults = state.faults.len(), "Grants read");
    for fault in state.faults.iter().take(LOGGED_FAULTS) {
        tracing::warn!(fault, "Grants: fault in the source");
    }
}

/// Replaces the trust bundle if the file holds another good one.
fn take_trust(file: &Path, config: &ArcSwap<Config>) {
    match read_trust(file) {
        Ok(trust) if trust == config.load().installation.server.trust => {}
        Ok(trust) => {
            let mut next = Config::clone(&config.load());
            next.installation.server.trust = trust;
            config.store(Arc::new(next));
            tracing::info!(file = %file.display(), "trust bundle replaced; new pods get it");
        }
        Err(error) => tracing::warn!(%error, "trust bundle not replaced; the last good one stays in use"),
    }
}

/// Why a trust bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("read trust file {file}: {cause}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// It is too large for a Plan.
    #[error("trust file {file} is {bytes} bytes, the limit is {TRUST_BYTES}; keep only the root and its successor")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: usize,
    },
    /// It holds no certificates.
    #[error("trust file {file}: {cause}")]
    Certificates {
        /// The file.
        file: String,
        /// What is wrong.
        cause: TlsError,
    },
}

/// Reads and checks a bundle of PEM certificates.
pub fn read_trust(file: &Path) -> Result<String, TrustError> {
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|cause| TrustError::Read { file: name(), cause })?;
    if text.len() > TRUST_BYTES {
        return Err(TrustError::TooLarge { file: name(), bytes: text.len() });
    }
    TrustRoots::from_pem(&text).map_err(|cause| TrustError::Certificates { file: name(), cause })?;
    Ok(text)
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Pause between tries to watch a folder that is not there.
const RETRY: Duration = Duration::from_secs(5);
/// Largest trust bundle: it travels in every Plan (96 KiB), and holds a root and its successor (2 KiB each).
const TRUST_BYTES: usize = 32 * 1024;
/// Faults that are logged after one reading.
const LOGGED_FAULTS: usize = 20;
