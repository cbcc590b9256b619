//! The program `vouchsafe`: one binary for people, and for `cargo run`; each role is a hidden verb of it.
//!
//! Started under the name `vouchsafe-sidecar` it is the sidecar with the current folder as its root: that is how `dev`
//! runs containers as processes with unchanged argv and environment.

mod apply;
mod arguments;
mod audit;
mod dev;
mod doctor;
mod grants;
mod kubernetes;
mod live;
mod offline;
mod output;
mod preflight;
mod probe;
mod put;
mod server;
mod template;
mod why;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser as _};
use zeroizing_alloc::ZeroAlloc;

use crate::arguments::{Arguments, Verb};
use crate::output::{Style, note};

/// Wipes every block on release: values pass through buffers that no type of ours owns.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let called = words.next().unwrap_or_default();
    if Path::new(&called).file_name().is_some_and(|name| name == SIDECAR) {
        return sidecar(words.collect(), Path::new("."));
    }
    let arguments = Arguments::parse();
    let style = Style::new(arguments.color);
    run(arguments.verb, style).unwrap_or_else(|error| {
        note(format!("vouchsafe: {error:#}"));
        ExitCode::from(exit_code(&error))
    })
}

fn run(verb: Verb, style: Style) -> Result<ExitCode> {
    match verb {
        Verb::Dev(arguments) => asynchronous(dev::run(arguments, style)),
        Verb::Put(arguments) => asynchronous(put::run(arguments)),
        Verb::Admit(arguments) => offline::admit(&arguments),
        Verb::Explain(arguments) => offline::explain(&arguments, style),
        Verb::Check(arguments) => offline::check(&arguments, style),
        Verb::Lint(arguments) => offline::lint(&arguments),
        Verb::Compile(arguments) => offline::compile(&arguments),
        Verb::Apply(arguments) => asynchronous(apply::run(arguments, style)),
        Verb::Doctor(arguments) => asynchronous(doctor::run(arguments, style)),
        Verb::Why(arguments) => asynchronous(why::run(arguments, style)),
        Verb::Audit(arguments) => audit::run(&arguments.verb, style),
        Verb::Template(arguments) => template::run(&arguments.verb),
        Verb::Probe(arguments) => asynchronous(probe::run(arguments)),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "vouchsafe", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Webhook(arguments) => Ok(vouchsafe_webhook::start(arguments)),
        Verb::Broker(arguments) => Ok(vouchsafe_broker::start(arguments)),
        Verb::Controller(arguments) => Ok(vouchsafe_controller::start(arguments)),
        Verb::Sidecar { arguments } => Ok(sidecar(arguments, Path::new("/"))),
    }
}

fn sidecar(arguments: Vec<OsString>, root: &Path) -> ExitCode {
    vouchsafe_sidecar::main_with(root, arguments, |name| std::env::var(name).ok())
}

fn asynchronous(task: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(task)
}

/// The exit code that the innermost known error stands for; 65 for wrong input otherwise.
fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(vault) = cause.downcast_ref::<vouchsafe_net::vault::VaultError>() {
            return vault.kind().exit_code();
        }
        if cause.is::<dev::InUse>() {
            return vouchsafe_model::Kind::Conflict.exit_code();
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return if io.kind() == std::io::ErrorKind::NotFound { 66 } else { 74 };
        }
    }
    vouchsafe_model::Kind::Invalid.exit_code()
}

/// Name under which this program is the sidecar.
const SIDECAR: &str = "vouchsafe-sidecar";
