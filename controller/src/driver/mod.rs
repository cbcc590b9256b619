//! The tasks of the running controller: the Lease, certificates, statuses, probes. Decisions are made elsewhere.

mod certificates;
mod cluster;
mod leader;
mod statuses;

use std::io::Write as _;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::StreamExt as _;
use kube::Client;
use kube::api::WatchParams;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use vouchsafe_net::lifecycle::Lifecycle;

use self::certificates::Keeper;
use self::cluster::{Cluster, failed};
use self::leader::Candidate;
use self::statuses::Statuses;
use crate::config::{Arguments, LOOK_AT_ALL_EVERY, LOOK_EVERY, Source};
use crate::metrics::Metrics;
use crate::server::{Face, Health, limits};

/// The program: logs, runtime, signals, exit code.
pub fn start(arguments: Arguments) -> ExitCode {
    if let Err(error) =
        vouchsafe_net::log::start("vouchsafe-controller", std::env::var("VOUCHSAFE_LOG").ok().as_deref())
    {
        let _ = writeln!(std::io::stderr(), "vouchsafe-controller: {error}");
        return ExitCode::from(64);
    }
    let source = match arguments.certificates.source() {
        Ok(source) => source,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "vouchsafe-controller: {error}");
            return ExitCode::from(64);
        }
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(error = %error, "start the runtime");
            return ExitCode::from(70);
        }
    };
    runtime.block_on(async {
        let lifecycle = Lifecycle::new();
        let stopper = lifecycle.clone();
        lifecycle.spawn("signals", async move {
            tokio::select! {
                reason = vouchsafe_net::lifecycle::termination() => stopper.stop(reason),
                () = stopper.stopping() => {}
            }
        });
        let outcome = run(arguments, source, lifecycle.clone()).await;
        lifecycle.stop("ended");
        let _ = lifecycle.drain(GRACE).await;
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "vouchsafe-controller ends");
                ExitCode::from(69)
            }
        }
    })
}

/// Works until `lifecycle` stops. Failures are logged once per change and tried again.
pub async fn run(arguments: Arguments, source: Source, lifecycle: Lifecycle) -> Result<()> {
    let client =
        Client::try_default().await.context("find the Kubernetes API: run inside a cluster, or set KUBECONFIG")?;
    let cluster = Cluster::new(client, arguments.namespace.as_str());
    let listener =
        TcpListener::bind(arguments.listen).await.with_context(|| format!("listen on {}", arguments.listen))?;
    let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::new()));
    let face = Arc::new(Face { health: Arc::clone(&health), metrics: Arc::clone(&metrics) });
    lifecycle.spawn("probes", vouchsafe_net::server::serve(listener, None, limits(), face, lifecycle.clone()));
    let (until, working) = watch::channel(None);
    let candidate = Candidate {
        cluster: cluster.clone(),
        lease: arguments.lease.clone(),
        identity: identity(&arguments),
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
        until,
    };
    lifecycle.spawn("lease", candidate.run(lifecycle.clone()));
    let statuses = Statuses { cluster: cluster.clone(), metrics: Arc::clone(&metrics), until: working.clone() };
    lifecycle.spawn("grants", statuses.run(lifecycle.clone()));
    let changed = Arc::new(Notify::new());
    for name in arguments.webhook_configuration.clone() {
        lifecycle.spawn("configuration watch", follow(cluster.clone(), name, Arc::clone(&changed), lifecycle.clone()));
    }
    tracing::info!(address = %arguments.listen, identity = %identity(&arguments), "serving");
    let keeper = Keeper::new(cluster, source, &arguments, Arc::clone(&metrics));
    keep(keeper, &working, &health, &changed, &lifecycle).await;
    Ok(())
}

/// Looks at certificates and caBundles for as long as this replica leads.
async fn keep(
    mut keeper: Keeper,
    working: &watch::Receiver<Option<Instant>>,
    health: &Health,
    changed: &Notify,
    lifecycle: &Lifecycle,
) {
    let mut complaint = Complaint::new("look after certificates");
    let mut news = working.clone();
    let mut looked: Option<Instant> = None;
    let every = look_at_all_every(&keeper.source);
    while !lifecycle.is_stopping() {
        if leads(working) {
            let is_full = looked.is_none_or(|looked| looked.elapsed() >= every);
            let problems = if is_full { keeper.look_at_all().await } else { keeper.look_at_configurations().await };
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            if !problems.is_empty() {
                keeper.metrics.failed("certificates");
            }
            // After a failure everything is looked at again next time.
            looked =
                if problems.is_empty() { looked.filter(|_| !is_full).or_else(|| Some(Instant::now())) } else { None };
            complaint.tell(Some(problems.join("; ")).filter(|text| !text.is_empty()));
            health.looked(problems);
        } else {
            keeper.forget();
            looked = None;
        }
        tokio::select! {
            () = lifecycle.stopping() => {}
            () = changed.notified() => {}
            _ = news.changed(), if looked.is_none() => {}
            () = tokio::time::sleep(LOOK_EVERY.min(every)) => {}
        }
    }
}

/// Follows one webhook configuration; wakes [`keep`] when it changes. A watch that fails is begun again: the periodic look
/// does its work meanwhile.
async fn follow(cluster: Cluster, name: String, changed: Arc<Notify>, lifecycle: Lifecycle) {
    let mut complaint = Complaint::new("watch a webhook configuration");
    while !lifecycle.is_stopping() {
        let round = async {
            let parameters = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
            let object = format!("MutatingWebhookConfiguration {name}");
            let configurations = cluster.configurations();
            let events = configurations.watch(&parameters, "0").await;
            let mut events = pin!(events.map_err(|error| failed("watch", object.clone(), &error))?);
            while let Some(event) = tokio::time::timeout(WATCH_SILENCE, events.next()).await.unwrap_or_default() {
                event.map_err(|error| failed("watch", object.clone(), &error))?;
                changed.notify_one();
            }
            Ok::<(), cluster::ClusterError>(())
        };
        let ended = tokio::select! {
            () = lifecycle.stopping() => return,
            ended = round => ended,
        };
        complaint.tell(ended.err().map(|error| error.to_string()));
        tokio::select! {
            () = lifecycle.stopping() => return,
            () = tokio::time::sleep(WATCH_RETRY) => {}
        }
    }
}

/// Logs a failure when it begins, changes or ends, not each time.
struct Complaint {
    what: &'static str,
    last: Option<String>,
}

impl Complaint {
    fn new(what: &'static str) -> Self {
        Self { what, last: None }
    }

    fn tell(&mut self, failure: Option<String>) {
        if failure == self.last {
            return;
        }
        if let Some(error) = &failure {
            tracing::warn!(%error, "{}", self.what);
        } else {
            tracing::info!("{}: works again", self.what);
        }
        self.last = failure;
    }
}

/// Whether this replica may work now.
fn leads(until: &watch::Receiver<Option<Instant>>) -> bool {
    until.borrow().is_some_and(|until| Instant::now() < until)
}

/// Short-lived certificates, as tests use them, are looked at more often.
fn look_at_all_every(source: &Source) -> Duration {
    match source {
        Source::Made { terms, .. } => LOOK_AT_ALL_EVERY.min(terms.leaf_lifetime().min(terms.overlap()) / LOOKS_A_LIFE),
        Source::File(_) => LOOK_AT_ALL_EVERY,
    }
}

fn identity(arguments: &Arguments) -> String {
    arguments.identity.clone().unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

fn now_text() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// How often in a certificate's life everything is looked at, at the least.
const LOOKS_A_LIFE: u32 = 30;
/// Time for tasks to end: the Lease is given back, requests in flight are answered.
const GRACE: Duration = Duration::from_secs(5);
/// Length of one watch.
const WATCH_SECONDS: u32 = 240;
/// A watch that is silent for longer has died unnoticed.
const WATCH_SILENCE: Duration = Duration::from_secs(270);
/// Pause before a watch is begun again.
const WATCH_RETRY: Duration = Duration::from_secs(2);
