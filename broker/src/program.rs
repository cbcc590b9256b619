//! The program: leaves no core file, exits 0 after SIGTERM. Also a hidden verb of the CLI.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::config::{Config, run};

/// Runs the broker until SIGTERM or SIGINT.
pub fn start(config: Config) -> ExitCode {
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "vouchsafe-broker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    vouchsafe_net::log::start("vouchsafe-broker", std::env::var("VOUCHSAFE_LOG").ok().as_deref())?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(run(config));
    // A disk that hangs must not keep the program from ending.
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

/// What a blocking call may still take at the end.
const SHUTDOWN: Duration = Duration::from_secs(2);
