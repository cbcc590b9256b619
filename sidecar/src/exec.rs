//! `exec`: the wrapper in the app's container.
//!
//! ```text
//! exec [--env] [--become] -- COMMAND ARGUMENTS
//! ```
//! With `--env` it asks the sidecar for the container's variables, over a socket, and starts the app with them: never without.
//! With `--become` it then becomes the app: same process, no memory of ours. Otherwise it stays as supervising parent: passes
//! signals on, reaps what init would reap, ends with the app's own exit code, and when the sidecar asks for it sends the reload
//! signal or starts the app again. A signal that the app does not catch is refused: its default action would end the app. It
//! makes no network call, and without `--env` it needs no sidecar to start the app.

mod orders;
mod supervise;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use vouchsafe_model::Secret;
use vouchsafe_model::plan::RUN_FOLDER;

use crate::environment;
use crate::place::Place;

/// How the app is started.
#[derive(Debug)]
pub(crate) struct Start {
    /// Its variables come from the sidecar.
    variables: bool,
    /// It takes our place.
    becomes: bool,
    /// Program and arguments.
    command: Vec<OsString>,
}

/// Why the app did not start, with the exit code that a shell would give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// Nothing to start.
    #[error("exec: no command; write vouchsafe-sidecar exec [--env] [--become] -- COMMAND ARGUMENTS")]
    NoCommand,
    /// The sidecar gave no variables.
    #[error("exec: {0}")]
    NoVariables(String),
    /// The command cannot be started.
    #[error("exec: start {command}: {source}")]
    Start {
        /// The command.
        command: String,
        /// The system's word.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("exec: receive signals: {0}")]
    Signals(io::Error),
    /// There is no runtime to wait in.
    #[error("exec: {0}")]
    Runtime(io::Error),
}

impl ExecError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoCommand => 64,
            Self::NoVariables(_) => 75,
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Start { .. } => 126,
            Self::Signals(_) | Self::Runtime(_) => 71,
        }
    }
}

impl Start {
    /// Reads what stands behind the verb.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, ExecError> {
        let mut start = Self { variables: false, becomes: false, command: Vec::new() };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next_if(|argument| OPTIONS.iter().any(|option| argument == option)) {
            match argument.to_str() {
                Some("--env") => start.variables = true,
                Some("--become") => start.becomes = true,
                _ => break,
            }
        }
        start.command = arguments.collect();
        if start.command.is_empty() { Err(ExecError::NoCommand) } else { Ok(start) }
    }

    /// Starts the app; gives back its exit code, 128 + n where signal n ended it.
    pub(crate) fn run(&self, place: &Place) -> Result<u8, ExecError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ExecError::Runtime)?;
        let answer = runtime.block_on(self.ask(place, FIRST))?;
        if !self.becomes {
            return runtime.block_on(supervise::supervise(self, place, answer));
        }
        // Nothing of ours may be left: neither handles nor the value itself.
        drop(runtime);
        let mut command = self.command(place, answer.as_ref())?;
        drop(answer);
        let source = command.exec();
        Err(self.failed(source))
    }

    /// The variables of now; `None` where none come from the sidecar.
    async fn ask(&self, place: &Place, bound: Duration) -> Result<Option<Secret>, ExecError> {
        if !self.variables {
            return Ok(None);
        }
        environment::ask(&place.at(RUN_FOLDER), bound).await.map(Some).map_err(ExecError::NoVariables)
    }

    /// The app's command with its environment.
    fn command(&self, place: &Place, answer: Option<&Secret>) -> Result<Command, ExecError> {
        let (program, arguments) = self.command.split_first().ok_or(ExecError::NoCommand)?;
        let mut command = Command::new(place.program(program));
        command.args(arguments).arg0(program);
        if let Some(answer) = answer {
            command.env_clear().envs(environment::apply(std::env::vars_os(), answer));
        }
        Ok(command)
    }

    fn failed(&self, source: io::Error) -> ExecError {
        let command = self.command.first().map(OsString::as_os_str).unwrap_or_default();
        ExecError::Start { command: OsStr::to_string_lossy(command).into_owned(), source }
    }
}

const OPTIONS: [&str; 3] = ["--env", "--become", "--"];
/// Longest wait for the first variables: what `wait` waits by default, and a reserve. The kubelet tries again.
const FIRST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<(bool, bool, Vec<String>), String> {
        let start = Start::parse(words.iter().map(OsString::from)).map_err(|error| error.to_string())?;
        let command = start.command.into_iter().map(|word| word.into_string().unwrap()).collect();
        Ok((start.variables, start.becomes, command))
    }

    #[test]
    fn options_end_at_two_dashes_or_at_the_command() {
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(parse(&["--", "app", "--env"]), Ok((false, false, command(&["app", "--env"]))));
        assert_eq!(parse(&["--env", "--become", "--", "--", "x"]), Ok((true, true, command(&["--", "x"]))));
        assert_eq!(parse(&["app", "--"]), Ok((false, false, command(&["app", "--"]))));
        assert!(parse(&["--env", "--"]).is_err() && parse(&[]).is_err());
    }
}
