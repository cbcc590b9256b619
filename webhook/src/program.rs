//! The program: reads certificates and the trust bundle, then serves until SIGTERM. Also a hidden verb of the CLI.
//!
//! Out of scope: everything but wiring.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;

use vouchsafe_net::lifecycle::{Lifecycle, termination};
use vouchsafe_net::log;
use vouchsafe_net::tls::Identity;

use crate::config::DropInSettings;
use crate::options::Options;
use crate::run::{Setup, read_trust, run};

/// Runs the webhook; the exit code is 0 after SIGTERM.
pub fn start(options: Options) -> ExitCode {
    match serve_blocking(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "vouchsafe-webhook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve_blocking(options: Options) -> anyhow::Result<()> {
    log::start("vouchsafe-webhook", std::env::var("VOUCHSAFE_LOG").ok().as_deref())?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let trust = read_trust(&options.server.trust_file)?;
    let identity = Identity::from_folder(&options.tls_folder)
        .with_context(|| format!("read certificate from {}", options.tls_folder.display()))?;
    let listener = TcpListener::bind(options.listen).await.with_context(|| format!("listen on {}", options.listen))?;
    let lifecycle = Lifecycle::new();
    identity.follow(&options.tls_folder, &lifecycle);
    let mut config = options.config(trust);
    config.drop_in = drop_in(&options)?;
    let setup = Setup {
        config,
        source: options.source(),
        identity,
        trust_file: Some(options.server.trust_file.clone()),
        decisions: Box::new(print_line),
    };
    lifecycle.spawn("server", run(setup, listener, lifecycle.clone()));
    tracing::info!(address = %options.listen, "serving");
    tokio::select! {
        signal = termination() => lifecycle.stop(signal),
        () = lifecycle.stopping() => {}
    }
    tracing::info!(reason = lifecycle.reason().unwrap_or_default(), "stopping");
    lifecycle.drain(GRACE).await.context("stop")
}

/// What holds for pods of vault-k8s' dialect; all wrong variables at once.
fn drop_in(options: &Options) -> anyhow::Result<Option<DropInSettings>> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let settings = options.drop_in.settings(&environment).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("read the settings of vault-k8s: {}", lines.join("; "))
    })?;
    for warning in settings.iter().flat_map(|settings| &settings.defaults.warnings) {
        tracing::warn!("{warning}");
    }
    Ok(settings)
}

/// One line on standard output. A reader that is gone is no reason to refuse pods.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A review takes well under a millisecond; two threads keep one slow body from holding up the others.
const WORKERS: usize = 2;
/// API servers wait 10 s for an answer; whoever was accepted gets it.
const GRACE: Duration = Duration::from_secs(10);
