//! Commands and long-running programs of the suite, each with a bound in time.
//!
//! Out of scope: what they mean.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::outcome::{Failure, Outcome, because};

/// What a command left behind.
pub(crate) struct Finished {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// Its output, if it ended well.
    pub(crate) fn good(self, what: &str) -> Outcome<String> {
        if self.ok { Ok(self.out) } else { because(format!("{what}: {}{}", self.err.trim_end(), tail(&self.out, 5))) }
    }
}

/// Runs a command to its end; when it takes longer than `limit` it is killed.
pub(crate) fn run(command: &mut Command, input: &str, limit: Duration) -> Outcome<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure(format!("start {name}: {error}")))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let out = scope.spawn(move || text_of(stdout));
        let err = scope.spawn(move || text_of(stderr));
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        let status = ended_within(&mut child, limit);
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
        match status {
            Some(ok) => Ok(Finished { ok, out, err }),
            None => because(format!("{name} did not end within {limit:?}: {err}{}", tail(&out, 5))),
        }
    })
}

fn text_of(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn ended_within(child: &mut Child, limit: Duration) -> Option<bool> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Err(_) => return None,
            Ok(None) if Instant::now() >= deadline => return None,
            Ok(None) => std::thread::sleep(TICK),
        }
    }
}

/// A program that runs until it is ended; its output goes to a file. Dropping it kills it.
pub(crate) struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program; both of its outputs are appended to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Outcome<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        let child = child.map_err(|error| Failure(format!("start {name}: {error}")))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf() })
    }

    /// Its process id on this machine.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` succeeds; at once an error when the program has ended.
    pub(crate) fn await_ready(&mut self, limit: Duration, ready: impl Fn() -> Outcome) -> Outcome {
        let deadline = Instant::now() + limit;
        loop {
            let Err(why) = ready() else { return Ok(()) };
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() >= deadline {
                let how = ended.map_or("still runs".to_owned(), |status| status.to_string());
                let log = tail(&std::fs::read_to_string(&self.log).unwrap_or_default(), 20);
                return because(format!("{} is not ready after {limit:?} ({how}): {why}\n{log}", self.name));
            }
            std::thread::sleep(TICK * 5);
        }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for a good end.
    pub(crate) fn terminate(&mut self) -> Outcome {
        signal("TERM", self.id())?;
        match ended_within(&mut self.child, TERMINATION) {
            Some(true) => Ok(()),
            Some(false) => because(format!("{} ended badly after SIGTERM", self.name)),
            None => because(format!("{} did not end within {TERMINATION:?} of SIGTERM", self.name)),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where a command runs: in the node's network, or simply here.
#[derive(Clone, Default)]
pub(crate) struct Place {
    /// The network namespace, and the mark by which `cluster.sh down` finds what runs in it.
    node: Option<(PathBuf, PathBuf)>,
}

impl Place {
    /// In the network namespace of a node whose state lies in `work`.
    pub(crate) fn node(netns: &Path, work: &Path) -> Self {
        Self { node: Some((netns.to_path_buf(), work.to_path_buf())) }
    }

    /// A command there.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.node {
            None => Command::new(program),
            Some((netns, work)) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", netns.display())).arg(program).env("VOUCHSAFE_GUEST_OF", work);
                command
            }
        };
        // No proxy of this machine knows the node's addresses.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name);
        }
        command
    }
}

/// Sends a signal by name.
pub(crate) fn signal(name: &str, process: u32) -> Outcome {
    let mut kill = Command::new("kill");
    run(kill.args(["-s", name, &process.to_string()]), "", QUICK)?.good("kill").map(drop)
}

/// Tries until it works; the error is that of the last try.
pub(crate) fn until<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Outcome<T>) -> Outcome<T> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(why) if Instant::now() >= deadline => return because(format!("{what}: not within {limit:?}: {why}")),
            Err(_) => std::thread::sleep(TICK * 5),
        }
    }
}

/// Seconds since the machine's start: one clock with the containers, in steps of 10 ms.
pub(crate) fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// How often a state is looked at.
const TICK: Duration = Duration::from_millis(10);
/// Programs of ours give running requests 10 s and then end.
const TERMINATION: Duration = Duration::from_secs(15);
/// For a command that only asks or tells.
pub(crate) const QUICK: Duration = Duration::from_secs(20);
