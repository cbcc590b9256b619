//! `exec`: the supervising parent in the app's container.
//!
//! Starts the app unchanged, passes signals on, reaps what init would reap, ends with the app's own exit code, and sends the
//! reload signal when the sidecar asks for it. A signal that the app does not catch is refused: its default action would end
//! the app. It makes no network call and needs no sidecar to start the app (a running pod never depends on us).

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal as Number, WaitOptions, kill_process, wait};
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::control::SOCKET;
use crate::gate::{connect, lines};

/// Why the app did not start, with the exit code that a shell would give.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// Nothing to start.
    #[error("exec: no command; write vouchsafe-sidecar exec -- COMMAND ARGUMENTS")]
    NoCommand,
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
}

impl ExecError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoCommand => 64,
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Start { .. } => 126,
            Self::Signals(_) => 71,
        }
    }
}

/// Runs `command` to its end; gives back its exit code, 128 + n where signal n ended it.
pub(crate) async fn run(folder: &Path, command: &[OsString]) -> Result<u8, ExecError> {
    let (program, arguments) = command.split_first().ok_or(ExecError::NoCommand)?;
    // Handlers come first: a signal between start and handler would end us and orphan the app.
    let mut ended = signal(SignalKind::child()).map_err(ExecError::Signals)?;
    let mut passed = PASSED
        .iter()
        .map(|number| signal(SignalKind::from_raw(number.as_raw())).map(|stream| (*number, stream)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(ExecError::Signals)?;
    let child = Command::new(program)
        .args(arguments)
        .arg0(program)
        .spawn()
        .map_err(|source| ExecError::Start { command: program.to_string_lossy().into_owned(), source })?;
    let app = Pid::from_child(&child);
    let orders = serve(folder, app);
    tokio::pin!(orders);
    loop {
        if let Some(code) = reap(app) {
            return Ok(code);
        }
        tokio::select! {
            _ = ended.recv() => {}
            number = next_signal(&mut passed) => {
                // Fails only where the app has just ended, which the next turn sees.
                let _ = kill_process(app, number);
            }
            () = &mut orders => {}
        }
    }
}

/// Takes in every child that has ended, orphans too where we are PID 1; the app's exit code if it is among them.
fn reap(app: Pid) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == app {
            let exit = status.exit_status().or_else(|| status.terminating_signal().map(|number| 128 + number));
            code = exit.map(|exit| u8::try_from(exit & 0xff).unwrap_or(u8::MAX)).or(code);
        }
    }
    code
}

async fn next_signal(streams: &mut [(Number, Signal)]) -> Number {
    std::future::poll_fn(|context| {
        for (number, stream) in streams.iter_mut() {
            if let std::task::Poll::Ready(Some(())) = stream.poll_recv(context) {
                return std::task::Poll::Ready(*number);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Takes the sidecar's orders for as long as the app runs; connects again when the sidecar was restarted.
async fn serve(folder: &Path, app: Pid) {
    loop {
        // A lost connection is no event for the app.
        let _ = obey(folder, app).await;
        tokio::time::sleep(CONNECT_AGAIN).await;
    }
}

async fn obey(folder: &Path, app: Pid) -> io::Result<()> {
    let (reader, mut writer) = connect(folder, SOCKET).await?.into_split();
    let mut orders = lines(reader);
    while let Some(order) = orders.next_line().await? {
        let answer = match order.strip_prefix("signal ").and_then(reload_signal) {
            None => "failed was to get a signal that the wrapper does not know".to_owned(),
            Some(number) if !catches(app, number) => "failed does not catch the signal (yet)".to_owned(),
            Some(number) => match kill_process(app, number) {
                Ok(()) => "ok".to_owned(),
                Err(errno) => format!("failed cannot be signalled: {errno}"),
            },
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

fn reload_signal(name: &str) -> Option<Number> {
    match name {
        "SIGHUP" => Some(Number::HUP),
        "SIGUSR1" => Some(Number::USR1),
        "SIGUSR2" => Some(Number::USR2),
        _ => None,
    }
}

/// Whether the app has a handler for the signal. Where that cannot be told it is taken for granted.
fn catches(app: Pid, number: Number) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", app.as_raw_nonzero())) else { return true };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(number.as_raw()).ok().and_then(|number| 1_u64.checked_shl(number.saturating_sub(1)));
    match (mask, bit) {
        (Some(mask), Some(bit)) => mask & bit != 0,
        _ => true,
    }
}

/// Signals that the runtime or a terminal sends to the container's first process, which is now us.
const PASSED: [Number; 8] =
    [Number::TERM, Number::INT, Number::HUP, Number::QUIT, Number::USR1, Number::USR2, Number::WINCH, Number::CONT];
/// Pause between attempts to reach the sidecar.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
