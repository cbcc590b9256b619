//! The sidecar: brings a pod's secrets into its files before the app starts, and keeps them fresh until it ends.
//!
//! [`machine`] decides, purely; the driver does what it says. Verbs: `run` (the sidecar), `init` (the same up to the first
//! complete generation, for clusters without native sidecars), `wait` (the gate's hook), `exec` (the wrapper
//! that starts the app), `status` (names, versions and ages, never values).
//! Out of scope: what the Plan says (policies), the template language (template), HTTP and TLS (net).

mod agent;
pub mod cause;
mod content;
mod control;
mod credentials;
mod driver;
mod environment;
mod exec;
mod files;
mod gate;
mod harden;
pub mod machine;
pub mod moment;
mod opening;
mod place;
mod react;
mod server;
mod settings;
mod state;
mod wait;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use vouchsafe_model::plan::STATE_FOLDER;
use vouchsafe_model::{Kind, Workload};

use crate::cause::{CONFIGURATION, Cause, MESSAGE_BYTES};
use crate::exec::Start;
use crate::machine::Role;
use crate::place::Place;
use crate::settings::{Settings, SettingsError};
use crate::wait::Outcome;

/// Runs one verb. Every absolute path resolves below `root`: `/` in a container. `arguments` begin with the verb.
pub fn main_with(root: &Path, arguments: Vec<OsString>, environment: impl Fn(&str) -> Option<String>) -> ExitCode {
    let place = Place::new(root);
    let mut arguments = arguments.into_iter();
    let verb = arguments.next().unwrap_or_default();
    let code = match verb.to_str() {
        Some("run") => run(&place, Role::Keeper, &environment),
        Some("init") => run(&place, Role::First, &environment),
        Some("wait") => wait(&place, &environment),
        Some("exec") => exec(&place, arguments),
        Some("status") => status(&place),
        _ => {
            say("usage: vouchsafe-sidecar run | init | wait | status | exec [--env] [--become] -- COMMAND ARGUMENTS");
            USAGE
        }
    };
    ExitCode::from(code)
}

fn run(place: &Place, role: Role, environment: &dyn Fn(&str) -> Option<String>) -> u8 {
    harden::holder();
    if let Err(error) = vouchsafe_net::log::start("vouchsafe-sidecar", environment(LOG_VARIABLE).as_deref()) {
        say(&error.to_string());
    }
    let settings = match Settings::read(environment) {
        Ok(settings) => settings,
        Err(error) => return misconfigured(place, None, &error),
    };
    let workload = settings.workload.clone();
    match block_on(driver::run(settings, role, place)) {
        Ok(Ok(ending)) => {
            if let Some(cause) = &ending.cause {
                leave_message(place, &cause.message(&ending.workload));
            }
            ending.code
        }
        Ok(Err(error)) => misconfigured(place, Some(&workload), &error),
        Err(error) => misconfigured(place, Some(&workload), &error),
    }
}

fn wait(place: &Place, environment: &dyn Fn(&str) -> Option<String>) -> u8 {
    harden::unreadable();
    let settings = match Settings::read(environment) {
        Ok(settings) => Some(settings),
        // A container that only waits may have no Plan: then it waits as the strict gate does.
        Err(SettingsError::NoPlan) => None,
        Err(error) => {
            say(&format!("vouchsafe-sidecar: wait: {error}"));
            return Kind::Invalid.exit_code();
        }
    };
    let bound = settings.as_ref().and_then(Settings::wait_bound);
    let strict = bound.is_none();
    let reason = |text: &str| {
        if strict {
            say(&format!("vouchsafe-sidecar: waiting: {text}"));
        }
    };
    match block_on(wait::wait(&place.at(STATE_FOLDER), bound, reason)) {
        Ok(Outcome::Ready) => 0,
        Ok(Outcome::GaveUp(reason)) => {
            say(&format!("vouchsafe-sidecar: wait: {reason}"));
            Kind::Unavailable.exit_code()
        }
        Err(error) => {
            say(&format!("vouchsafe-sidecar: wait: {error}"));
            Kind::Internal.exit_code()
        }
    }
}

fn exec(place: &Place, arguments: impl Iterator<Item = OsString>) -> u8 {
    harden::unreadable();
    match Start::parse(arguments).and_then(|start| start.run(place)) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("vouchsafe-sidecar: {error}"));
            error.exit_code()
        }
    }
}

fn status(place: &Place) -> u8 {
    harden::unreadable();
    let folder = place.at(STATE_FOLDER);
    let ask = async {
        let (reader, mut writer) = gate::connect(&folder, gate::SOCKET).await?.into_split();
        writer.write_all(b"status\n").await?;
        gate::lines(reader).next_line().await
    };
    if let Ok(Ok(Ok(Some(line)))) = block_on(async { tokio::time::timeout(STATUS, ask).await }) {
        let _ = writeln!(io::stdout(), "{line}");
        return 0;
    }
    say(&format!("vouchsafe-sidecar: status: no sidecar answers in {}", folder.display()));
    Kind::Unavailable.exit_code()
}

/// Ends because the pod is not what the webhook makes.
fn misconfigured(place: &Place, workload: Option<&Workload>, error: &dyn std::error::Error) -> u8 {
    let remedy = "create the pod anew, with webhook and sidecar of one release";
    let cause = Cause::new(CONFIGURATION, "start", error.to_string(), remedy);
    let message = match workload {
        Some(workload) => cause.message(workload),
        None => format!("{} vouchsafe-sidecar: {cause}", cause.code),
    };
    leave_message(place, &message);
    Kind::Invalid.exit_code()
}

/// Writes the termination message, which the pod's status shows, and the same to stderr.
fn leave_message(place: &Place, message: &str) {
    say(message);
    let path = place.at(TERMINATION_MESSAGE);
    if let Some(folder) = path.parent() {
        // In a container it is there; elsewhere the message is only for those who look.
        let _ = std::fs::create_dir_all(folder);
    }
    let end = (0..=message.len().min(MESSAGE_BYTES)).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    let _ = std::fs::write(path, message.get(..end).unwrap_or_default());
}

fn say(line: &str) {
    // Where stderr is gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

/// Where the kubelet reads a container's last words (`terminationMessagePath`).
const TERMINATION_MESSAGE: &str = "/dev/termination-log";
/// Level of the log.
const LOG_VARIABLE: &str = "VOUCHSAFE_LOG";
/// sysexits.h: the command was used wrongly.
const USAGE: u8 = 64;
/// How long `status` waits for an answer.
const STATUS: Duration = Duration::from_secs(2);
