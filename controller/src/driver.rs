//! The loop around [`crate::repair`]: look, patch, wait.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use vouchsafe_net::lifecycle::Lifecycle;

use crate::bundle::repair;
use crate::config::{Arguments, LOOK_EVERY};

/// The program: logs, runtime, signals, exit code.
pub fn start(arguments: Arguments) -> ExitCode {
    if let Err(error) =
        vouchsafe_net::log::start("vouchsafe-controller", std::env::var("VOUCHSAFE_LOG").ok().as_deref())
    {
        let _ = writeln!(std::io::stderr(), "vouchsafe-controller: {error}");
        return ExitCode::from(64);
    }
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
        let outcome = run(arguments, lifecycle.clone()).await;
        lifecycle.stop("ended");
        let _ = lifecycle.drain(Duration::from_secs(5)).await;
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "vouchsafe-controller ends");
                ExitCode::from(69)
            }
        }
    })
}

/// Looks after the caBundle until `lifecycle` stops. Failures are logged once per change and tried again.
pub async fn run(arguments: Arguments, lifecycle: Lifecycle) -> Result<()> {
    let client =
        Client::try_default().await.context("find the Kubernetes API: run inside a cluster, or set KUBECONFIG")?;
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let mut last_failure = String::new();
    while !lifecycle.is_stopping() {
        let failure = look(&api, &arguments).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        if failure != last_failure {
            report(&failure);
            last_failure = failure;
        }
        tokio::select! {
            () = lifecycle.stopping() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    Ok(())
}

/// One look at the configuration, and the repair where it is due.
async fn look(api: &Api<MutatingWebhookConfiguration>, arguments: &Arguments) -> Result<()> {
    let authority = std::fs::read_to_string(&arguments.ca_file)
        .with_context(|| format!("read the CA file {}", arguments.ca_file.display()))?;
    let name = &arguments.webhook_configuration;
    let found = api.get(name).await.with_context(|| format!("read MutatingWebhookConfiguration {name}"))?;
    let Some(repair) = repair(&serde_json::to_value(&found)?, &authority) else { return Ok(()) };
    let patch: json_patch::Patch = serde_json::from_value(repair.patch)?;
    api.patch(name, &PatchParams::default(), &Patch::Json::<()>(patch))
        .await
        .with_context(|| format!("patch MutatingWebhookConfiguration {name}"))?;
    tracing::info!(configuration = %name, webhooks = repair.webhooks.len(), "repaired the caBundle");
    Ok(())
}

fn report(failure: &str) {
    if failure.is_empty() {
        tracing::info!("the Kubernetes API answers again");
    } else {
        tracing::warn!(error = %failure, "look after the caBundle");
    }
}
