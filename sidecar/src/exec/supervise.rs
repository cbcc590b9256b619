//! The supervising parent: one app at a time, its signals, its end, and its start again.

use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal as Number, WaitOptions, kill_process, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use vouchsafe_model::Secret;
use vouchsafe_model::plan::RUN_FOLDER;

use super::orders::{Order, Wanted, take};
use super::{ExecError, Start};
use crate::place::Place;

/// The parent and what it holds.
struct Parent<'a> {
    start: &'a Start,
    place: &'a Place,
    app: Pid,
    /// The variables that the app runs with: those of before are tried again where new ones do not start it.
    answer: Option<Secret>,
    ended: Signal,
    passed: Vec<(Number, Signal)>,
    /// Somebody wants the container to end: the app is not started again.
    stopping: bool,
}

/// How an app ended, or did not.
enum End {
    Code(u8),
    /// The time is over and it still runs.
    Late,
}

/// Starts the app and supervises it to its end.
pub(super) async fn supervise(start: &Start, place: &Place, answer: Option<Secret>) -> Result<u8, ExecError> {
    // Handlers come first: a signal between start and handler would end us and orphan the app.
    let ended = signal(SignalKind::child()).map_err(ExecError::Signals)?;
    let passed = PASSED
        .iter()
        .map(|number| signal(SignalKind::from_raw(number.as_raw())).map(|stream| (*number, stream)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(ExecError::Signals)?;
    let app = spawn(start, place, answer.as_ref())?;
    let mut parent = Parent { start, place, app, answer, ended, passed, stopping: false };
    let (sender, mut orders) = mpsc::channel(ORDERS);
    let folder = place.at(RUN_FOLDER);
    let taking = take(&folder, sender);
    let supervising = parent.run(&mut orders);
    tokio::select! {
        code = supervising => code,
        () = taking => Ok(0),
    }
}

fn spawn(start: &Start, place: &Place, answer: Option<&Secret>) -> Result<Pid, ExecError> {
    let child: Child = start.command(place, answer)?.spawn().map_err(|source| start.failed(source))?;
    Ok(Pid::from_child(&child))
}

impl Parent<'_> {
    async fn run(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<u8, ExecError> {
        loop {
            if let Some(code) = reap(self.app) {
                return Ok(code);
            }
            tokio::select! {
                _ = self.ended.recv() => {}
                number = next_signal(&mut self.passed) => self.pass(number),
                Some(Order { wanted, answer }) = orders.recv() => {
                    let (result, end) = match wanted {
                        Wanted::Signal(number) => (self.signal(number), None),
                        Wanted::Restart(grace) => self.restart(grace).await,
                    };
                    // The sidecar may have gone meanwhile.
                    let _ = answer.send(result);
                    if let Some(code) = end {
                        return Ok(code);
                    }
                }
            }
        }
    }

    fn pass(&mut self, number: Number) {
        self.stopping |= [Number::TERM, Number::INT, Number::QUIT].contains(&number);
        // Fails only where the app has just ended, which the next turn sees.
        let _ = kill_process(self.app, number);
    }

    fn signal(&self, number: Number) -> Result<(), String> {
        if !catches(self.app, number) {
            return Err("does not catch the signal (yet)".to_owned());
        }
        kill_process(self.app, number).map_err(|errno| format!("cannot be signalled: {errno}"))
    }

    /// Ends the app and starts it again with the variables of now; the exit code where it is over for good.
    async fn restart(&mut self, grace: Duration) -> (Result<(), String>, Option<u8>) {
        let fresh = match self.start.ask(self.place, AGAIN).await {
            Ok(fresh) => fresh,
            Err(error) => return (Err(format!("was not restarted: {error}")), None),
        };
        let _ = kill_process(self.app, Number::TERM);
        let mut end = self.until_end(grace).await;
        if matches!(end, End::Late) {
            let _ = kill_process(self.app, Number::KILL);
            end = self.until_end(KILLED).await;
        }
        let code = match end {
            End::Code(code) => code,
            End::Late => return (Err("cannot be ended, not even by SIGKILL".to_owned()), None),
        };
        if self.stopping {
            return (Err("was being ended".to_owned()), Some(code));
        }
        let before = std::mem::replace(&mut self.answer, fresh);
        let problem = match self.start_and_settle().await {
            Ok(end) => return (Ok(()), end),
            Err(problem) => problem,
        };
        if self.stopping {
            return (Err(problem), Some(code));
        }
        self.answer = before;
        match self.start_and_settle().await {
            Ok(end) => {
                (Err(format!("{problem} with its new variables and files, and runs with the variables of before")), end)
            }
            Err(again) => {
                (Err(format!("{problem} with its new variables, and {again} with those of before")), Some(code.max(1)))
            }
        }
    }

    /// Starts the app and watches its first moments: `Ok` where it runs on, or has done its work (with its exit code).
    async fn start_and_settle(&mut self) -> Result<Option<u8>, String> {
        self.app =
            spawn(self.start, self.place, self.answer.as_ref()).map_err(|error| format!("did not start ({error})"))?;
        match self.until_end(SETTLED).await {
            End::Late => Ok(None),
            End::Code(0) => Ok(Some(0)),
            End::Code(code) if self.stopping => Ok(Some(code)),
            End::Code(code) => Err(format!("ended at once (exit code {code})")),
        }
    }

    /// Waits for the app's end and passes signals on meanwhile.
    async fn until_end(&mut self, bound: Duration) -> End {
        let deadline = tokio::time::Instant::now() + bound;
        loop {
            if let Some(code) = reap(self.app) {
                return End::Code(code);
            }
            tokio::select! {
                _ = self.ended.recv() => {}
                number = next_signal(&mut self.passed) => self.pass(number),
                () = tokio::time::sleep_until(deadline) => return End::Late,
            }
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
/// Orders waiting: the sidecar gives one at a time.
const ORDERS: usize = 4;
/// Longest wait for the variables of a restart: the sidecar that gave the order has them.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a killed process may take to vanish.
const KILLED: Duration = Duration::from_secs(5);
/// An app that cannot use its variables ends within this time.
const SETTLED: Duration = Duration::from_secs(3);
