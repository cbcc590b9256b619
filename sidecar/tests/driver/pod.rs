//! A pod of processes below a folder: the sidecar, its hook, an app.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use vouchsafe_model::plan::Plan;

use crate::vault::Vault;

pub(crate) struct Pod {
    root: TempDir,
    pub(crate) plan: Plan,
    running: Vec<Child>,
}

/// A Plan of `count` secrets with one file each.
pub(crate) fn plan(vault: &Vault, kind: &str, gate: &str, wait_seconds: u32, count: usize) -> Value {
    let secret = |index: usize| {
        json!({"grant": "argocd-sso", "name": format!("s{index}"), "engine": "kv-v2", "mount": "secret",
            "path": format!("app/s{index}")})
    };
    let file = |index: usize| {
        json!({"volume": 0, "name": format!("f{index}"), "mode": "0444",
            "content": {"key": {"secret": index, "key": "password"}}})
    };
    json!({
        "version": 1,
        "workload": {"namespace": "argocd", "serviceAccount": "dex"},
        "server": {"kind": kind, "address": format!("https://127.0.0.1:{}", vault.port), "trust": vault.trust},
        "login": {"authPath": "auth/kubernetes", "role": "vouchsafe.argocd.dex"},
        "gate": gate,
        "waitSeconds": wait_seconds,
        "secrets": (0..count).map(secret).collect::<Vec<_>>(),
        "volumes": [{"container": "dex", "mountPath": "/vouchsafe/secrets"}],
        "files": (0..count).map(file).collect::<Vec<_>>(),
    })
}

impl Pod {
    pub(crate) fn new(plan: &Value) -> Self {
        let root = tempfile::tempdir().unwrap();
        let token = root.path().join("vouchsafe/internal/token");
        std::fs::create_dir_all(&token).unwrap();
        std::fs::write(token.join("token"), "jwt.canary.signature\n").unwrap();
        Self { root, plan: Plan::from_json(&plan.to_string()).unwrap(), running: Vec::new() }
    }

    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.path().join(absolute.trim_start_matches('/'))
    }

    /// Starts a verb in the pod; its standard error goes to a file of the verb's name.
    pub(crate) fn start(&mut self, arguments: &str) -> usize {
        let child = self.command(arguments).spawn().unwrap();
        self.running.push(child);
        self.running.len() - 1
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        command(self.root.path(), self.root.path(), &self.plan, arguments)
    }

    /// Index of the process started last.
    pub(crate) fn last(&self) -> usize {
        self.running.len() - 1
    }

    pub(crate) fn child(&mut self, index: usize) -> &mut Child {
        &mut self.running[index]
    }

    pub(crate) fn signal(&mut self, index: usize, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.running[index]);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Exit code within `bound`; 1000 + n where signal n ended it.
    pub(crate) fn ended(&mut self, index: usize, bound: Duration) -> Option<i32> {
        let end = Instant::now() + bound;
        while Instant::now() < end {
            if let Some(status) = self.running[index].try_wait().unwrap() {
                return status.code().or_else(|| status.signal().map(|signal| 1000 + signal));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    pub(crate) fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path("/vouchsafe/internal/volumes/0").join(name)).ok()
    }

    pub(crate) fn message(&self) -> String {
        std::fs::read_to_string(self.path("/dev/termination-log")).unwrap_or_default()
    }

    pub(crate) fn log(&self, verb: &str) -> String {
        std::fs::read_to_string(self.root.path().join(format!("{verb}.log"))).unwrap_or_default()
    }
}

/// A process that runs a verb with `root` as its file system; its log lies in `logs`.
pub(crate) fn command(root: &Path, logs: &Path, plan: &Plan, arguments: &str) -> Command {
    let verb = arguments.split(' ').next().unwrap();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(logs.join(format!("{verb}.log"))).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "as_sidecar", "--nocapture", "--test-threads=1"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SIDECAR_ARGUMENTS", arguments)
        .env("VOUCHSAFE_PLAN", plan.to_json().unwrap())
        .env("VOUCHSAFE_POD_NAME", "dex-0")
        .env("VOUCHSAFE_LOG", "trace")
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    command
}

impl Drop for Pod {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until `what` holds.
pub(crate) async fn until(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    start.elapsed()
}
