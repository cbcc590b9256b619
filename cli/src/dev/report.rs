//! What `dev` tells: for people as it happens, for machines one JSON document at the end. Names only, never values.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use vouchsafe_model::plan::Plan;
use vouchsafe_policies::GrantSet;

use super::change::Changed;
use super::node::RunningPod;
use super::outline;
use super::pods::Pod;
use super::servers::Servers;
use super::setup::Setup;
use super::state::State;
use crate::arguments::Dev;
use crate::audit;
use crate::offline::count;
use crate::output::{Style, line, program};

/// Collects and prints.
pub(crate) struct Report {
    style: Style,
    quiet: bool,
    pods: Vec<Value>,
    changes: Vec<Value>,
    audit: Value,
    failures: usize,
}

/// What became of one pod.
pub(crate) enum PodOutcome<'a> {
    Running { running: &'a RunningPod, plan: &'a Plan },
    Refused { message: String },
    Untouched { advice: String },
    Failed { message: String },
}

impl Report {
    pub(crate) fn new(style: Style, quiet: bool) -> Self {
        Self { style, quiet, pods: Vec::new(), changes: Vec::new(), audit: Value::Null, failures: 0 }
    }

    pub(crate) fn servers(&self, servers: &Servers, state: &State, grants: &GrantSet) {
        let made = if servers.store_is_new { "new" } else { "kept" };
        self.say(self.style.bold("Servers on this machine"));
        self.say(format!("  store    {} ({made}, encrypted)", state.path("store.redb").display()));
        self.say(format!("  broker   {} (the Vault API)", servers.address));
        self.say(format!("  webhook  {}", servers.webhook_address));
        self.say(format!(
            "  grants   {}: {}",
            grants.iter().count(),
            grants.iter().map(vouchsafe_policies::Grant::label).collect::<Vec<_>>().join(", ")
        ));
    }

    /// What this system lacks.
    pub(crate) fn system(&self) {
        if !cfg!(target_os = "linux") {
            self.say(format!(
                "  {} this is no Linux: pods' files lie on disk instead of in memory, reload signals are not checked against the \
                 app's handlers, and changed files are noticed after seconds",
                self.style.warn("note")
            ));
        }
    }

    pub(crate) fn setup(&self, setup: &Setup) {
        self.say(format!("  Vault    {} applied", count(setup.roles, "policy and role")));
        if !setup.filled.is_empty() {
            self.say(format!("  values   random, for {}", setup.filled.join(", ")));
        }
        for note in &setup.notes {
            self.say(format!("  {} {note}", self.style.warn("note")));
        }
    }

    /// A pod that the webhook patched: what is different now.
    pub(crate) fn patched(&self, pod: &Pod, patched: &Value, warnings: &[String]) {
        self.headline(pod);
        for difference in outline::difference(&pod.object, patched, self.style) {
            self.say(format!("    {difference}"));
        }
        for warning in warnings {
            self.say(format!("  {} {warning}", self.style.warn("warning")));
        }
    }

    pub(crate) fn pod(&mut self, pod: &Pod, outcome: &PodOutcome<'_>) {
        let name = format!("{}/{}", pod.identity.namespace, pod.identity.name);
        match outcome {
            PodOutcome::Running { running, plan } => {
                self.say(format!(
                    "  {} the app was held back for {}; its files:",
                    self.style.good("ready"),
                    milliseconds(running.held)
                ));
                let files: Vec<String> = plan
                    .files
                    .iter()
                    .filter_map(|file| {
                        let volume = plan.volumes.get(file.volume)?;
                        Some(format!("{}:{}/{}", volume.container, volume.mount_path, file.name))
                    })
                    .collect();
                for file in &files {
                    self.say(format!("    {file}"));
                }
                let variables: Vec<String> =
                    running.variables.iter().map(|(container, name)| format!("{container}:{name}")).collect();
                for variable in &variables {
                    self.say(format!("    variable {variable}"));
                }
                for note in &running.notes {
                    self.say(format!("  {} {note}", self.style.dim("note")));
                }
                self.pods.push(json!({"pod": name, "owner": pod.owner, "outcome": "running", "heldBackMs": running.held.as_millis(), "files": files, "variables": variables}));
            }
            PodOutcome::Refused { message } => {
                self.headline(pod);
                self.say(format!("  {} {}", self.style.bad("refused"), message.replace('\n', "\n          ")));
                self.failures += 1;
                self.pods.push(json!({"pod": name, "owner": pod.owner, "outcome": "refused", "message": message}));
            }
            PodOutcome::Untouched { advice } => {
                self.headline(pod);
                self.say(format!("  {} {}", self.style.warn("asks for nothing"), advice.replace('\n', "\n    ")));
                self.pods.push(json!({"pod": name, "owner": pod.owner, "outcome": "untouched", "advice": advice}));
            }
            PodOutcome::Failed { message } => {
                self.say(format!("  {} {message}", self.style.bad("failed")));
                self.failures += 1;
                self.pods.push(json!({"pod": name, "owner": pod.owner, "outcome": "failed", "message": message}));
            }
        }
    }

    pub(crate) fn changes(&mut self, changes: &[Changed]) {
        if changes.is_empty() {
            return;
        }
        self.say("");
        self.say(self.style.bold("Every secret changed once"));
        for change in changes {
            self.say(format!("  {} is now version {}", change.path, change.version));
            for (pod, file, delay) in &change.files {
                let told = match delay {
                    Some(delay) => format!("replaced after {}", milliseconds(*delay)),
                    None => self.style.bad("not replaced in time"),
                };
                self.failures += usize::from(delay.is_none());
                self.say(format!("    {pod} {file} {told}"));
            }
            let files: Vec<Value> = change.files.iter().map(|(pod, file, delay)| {
                json!({"pod": pod, "file": file, "replacedAfterMs": delay.map(|delay| delay.as_secs_f64() * 1000.0)})
            }).collect();
            self.changes.push(json!({"path": change.path, "version": change.version, "files": files}));
        }
    }

    /// The newest audit lines, and the proof that the chain is whole.
    pub(crate) fn audit(&mut self, folder: &Path) -> Result<()> {
        self.say("");
        self.say(self.style.bold("Audit log"));
        for shown in audit::newest(folder, AUDIT_LINES)? {
            self.say(format!("  {shown}"));
        }
        let verdict = audit::verdict(folder)?;
        self.failures += usize::from(!verdict.whole);
        let told = if verdict.whole { self.style.good("verified") } else { self.style.bad("damaged") };
        self.say(format!("  {told} {}", verdict.sentence));
        self.audit = json!({"whole": verdict.whole, "records": verdict.records});
        Ok(())
    }

    pub(crate) fn interrupted(&mut self, reason: &str) {
        self.failures += 1;
        self.say(format!("stopped by {reason} before the round was over"));
    }

    pub(crate) fn finish(&self, took: Duration, arguments: &Dev) {
        if self.quiet {
            line(json!({"pods": self.pods, "changes": self.changes, "audit": self.audit, "failures": self.failures, "seconds": took.as_secs_f64()}).to_string());
            return;
        }
        let running =
            self.pods.iter().filter(|pod| pod.get("outcome").and_then(Value::as_str) == Some("running")).count();
        let idle =
            self.pods.iter().filter(|pod| pod.get("outcome").and_then(Value::as_str) == Some("untouched")).count();
        let idle = if idle == 0 { String::new() } else { format!("{} asked for nothing, ", count(idle, "pod")) };
        let told = if self.failures == 0 { self.style.good("done") } else { self.style.bad("done with failures") };
        self.say("");
        self.say(format!(
            "{told}: {} of {} running with their secrets, {idle}{} changed, in {:.1} s",
            running,
            count(self.pods.len(), "pod"),
            count(self.changes.len(), "secret"),
            took.as_secs_f64()
        ));
        let example = self
            .changes
            .first()
            .and_then(|change| change.get("path"))
            .and_then(Value::as_str)
            .unwrap_or("secret/demo/app");
        let state = if arguments.state == Path::new(super::DEFAULT_FOLDER) {
            String::new()
        } else {
            format!(" --state {}", arguments.state.display())
        };
        self.say("Try next:");
        self.say(format!(
            "  {} put {example} --generate{state}{}",
            program(),
            if arguments.once { "      (while `vouchsafe dev` runs)" } else { "" }
        ));
        self.say(format!("  {} dev --pod my.yaml{state}", program()));
    }

    /// How other Vault clients get in.
    pub(crate) fn waiting(&self, servers: &Servers, state: &State) {
        self.say("");
        self.say(self.style.bold("The servers stay up; Ctrl-C ends them. For any Vault client:"));
        self.say(format!("  export VAULT_ADDR={}", servers.address));
        self.say(format!("  export VAULT_CACERT={}", state.path("ca.crt").display()));
        self.say(format!("  export VAULT_TOKEN=$(cat {})", state.path("root-token").display()));
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn headline(&self, pod: &Pod) {
        self.say("");
        self.say(format!(
            "{} {}",
            self.style.bold(&pod.owner),
            self.style.dim(&format!("as service account {}", pod.identity.service_account))
        ));
    }

    fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            line(text);
        }
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// Audit lines shown after a round.
const AUDIT_LINES: usize = 12;
