//! `vouchsafe dev`: the main job on this machine, with the same code that a cluster runs.
//!
//! One round: servers up, Grants applied, each pod through a real admission review, its injected containers as
//! processes, every secret changed once, the audit log shown and verified. Then it stays up, or ends with `--once`.
//! Out of scope: being a cluster. Tokens are issued by this program and only its own store trusts them.

mod change;
mod container;
mod issuer;
mod node;
mod outline;
mod pki;
mod pods;
mod report;
mod servers;
mod setup;
mod state;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use vouchsafe_net::lifecycle::{Lifecycle, termination};

use self::issuer::Issuer;
use self::pods::Pod;
use self::report::{PodOutcome, Report};
use self::servers::Servers;
use self::state::State;
pub(crate) use self::state::{DEFAULT_FOLDER, InUse, running};
use crate::arguments::{Dev, Format};
use crate::grants;
use crate::output::Style;

/// Runs the verb.
pub(crate) async fn run(arguments: Dev, style: Style) -> Result<ExitCode> {
    let begun = Instant::now();
    let state = State::open(&arguments.state)?;
    let grants = grants::read(&arguments.policies)?;
    let pods = pods::read(&chosen_pods(&arguments))?;
    let root = root_folder(arguments.root.as_deref(), &state)?;
    let issuer = Arc::new(Issuer::open(&state)?);
    let lifecycle = Lifecycle::new();
    let mut report = Report::new(style, arguments.output == Format::Json);

    let servers = Servers::start(&state, &arguments, &grants, &lifecycle).await?;
    report.servers(&servers, &state, &grants);
    report.system();
    let setup = setup::prepare(&servers.vault, &servers.root_token, &grants, &issuer).await?;
    report.setup(&setup);
    state.announce(&servers.announcement(&state))?;

    let mut round = Round { running: Vec::new(), tokens: Vec::new(), root: &root.folder, issuer: &issuer };
    tokio::select! {
        outcome = round.run(pods, &servers, &mut report) => outcome?,
        reason = termination() => {
            report.interrupted(reason);
            lifecycle.stop(reason);
        }
    }
    if !lifecycle.is_stopping() {
        report.audit(&servers.audit_folder)?;
        report.finish(begun.elapsed(), &arguments);
        if !arguments.once {
            let tokens = std::mem::take(&mut round.tokens);
            lifecycle.spawn("tokens", node::refresh_tokens(tokens, issuer.clone(), lifecycle.clone()));
            report.waiting(&servers, &state);
            lifecycle.stop(termination().await);
        }
    }
    for pod in round.running {
        pod.stop(POD_GRACE).await;
    }
    lifecycle.stop("the round is over");
    lifecycle.drain(SERVER_GRACE).await.context("stop the servers")?;
    Ok(report.exit_code())
}

/// The pods of one round and what they need.
struct Round<'a> {
    running: Vec<node::RunningPod>,
    tokens: Vec<(PathBuf, vouchsafe_model::Workload, String)>,
    root: &'a Path,
    issuer: &'a Issuer,
}

impl Round<'_> {
    async fn run(&mut self, pods: Vec<Pod>, servers: &Servers, report: &mut Report) -> Result<()> {
        let mut plans = Vec::new();
        for pod in pods {
            let answer = servers.admit(&pods::review(&pod), &pod.object).await?;
            let patched = match answer {
                servers::Admission::Refused { message } => {
                    report.pod(&pod, &PodOutcome::Refused { message });
                    continue;
                }
                servers::Admission::Untouched => {
                    report.pod(&pod, &PodOutcome::Untouched { advice: servers.explain(&pod.manifest) });
                    continue;
                }
                servers::Admission::Patched { pod: patched, warnings } => {
                    report.patched(&pod, &patched, &warnings);
                    patched
                }
            };
            self.tokens.extend(node::projected_tokens(&patched, &pod.workload, &pod.identity, self.root));
            match node::start(&patched, &pod.workload, pod.identity.clone(), self.root, self.issuer).await {
                Ok(running) => {
                    let plan = change::plan_of(&patched)?;
                    report.pod(&pod, &PodOutcome::Running { running: &running, plan: &plan });
                    plans.push((self.running.len(), plan));
                    self.running.push(running);
                }
                Err(error) => report.pod(&pod, &PodOutcome::Failed { message: format!("{error:#}") }),
            }
        }
        let changes = change::change_each_once(servers, &plans, &self.running).await?;
        report.changes(&changes);
        Ok(())
    }
}

/// The pods asked for, else the examples.
fn chosen_pods(arguments: &Dev) -> Vec<PathBuf> {
    if arguments.pod.is_empty() { vec![PathBuf::from(EXAMPLES)] } else { arguments.pod.clone() }
}

/// Folder below which the pods' file systems stand.
struct Root {
    folder: PathBuf,
    temporary: bool,
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The folder asked for, else a private one in memory, else one in the state folder.
fn root_folder(asked: Option<&Path>, state: &State) -> Result<Root> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(folder) = asked {
        std::fs::create_dir_all(folder).with_context(|| format!("create the root folder {}", folder.display()))?;
        return Ok(Root { folder: folder.canonicalize()?, temporary: false });
    }
    let memory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).into_iter().chain([PathBuf::from("/dev/shm")]);
    for candidate in memory.chain([state.path("pods")]) {
        let folder = candidate.join(format!("vouchsafe-dev-{}", std::process::id()));
        if std::fs::DirBuilder::new().mode(0o700).create(&folder).is_ok() {
            return Ok(Root { folder, temporary: true });
        }
    }
    let folder = state.path("pods").join(std::process::id().to_string());
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("create the root folder {}; name one with --root DIR", folder.display()))?;
    Ok(Root { folder, temporary: true })
}

/// What runs when no pod is named.
const EXAMPLES: &str = "deploy/examples";
/// How long a pod's containers get between SIGTERM and SIGKILL.
const POD_GRACE: Duration = Duration::from_secs(5);
/// How long the servers get to finish their requests.
const SERVER_GRACE: Duration = Duration::from_secs(5);
