//! The real node, by way of `tests/real/cluster.sh`.
//!
//! What is asked often goes straight to kubectl in the node's network; what changes the node goes through the script.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::app::{Block, blocks};
use super::outcome::{Failure, Outcome, because, ensure};
use super::process::{Finished, Place, QUICK, run, until};

/// Address of the node's processes, as pods and the API server reach them.
pub(crate) const ADDRESS: &str = "10.244.0.1";

/// Name of the suite's cluster: `VOUCHSAFE_CLUSTER`, so that suites can stand side by side.
pub(crate) fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| std::env::var("VOUCHSAFE_CLUSTER").unwrap_or_else(|_| "smoke".to_owned()))
}

/// A node that is up.
pub(crate) struct Cluster {
    script: PathBuf,
    /// What the node's components write.
    pub(crate) work: PathBuf,
    /// The node's network.
    pub(crate) place: Place,
    kubeconfig: PathBuf,
    path: String,
}

/// A process of a container on the node.
pub(crate) struct Running {
    pub(crate) process: u32,
    /// Value of `VOUCHSAFE_POD_NAME`.
    pub(crate) pod: String,
    /// When it was started, on the clock of [`super::process::uptime`].
    pub(crate) started: f64,
}

impl Cluster {
    /// Starts the node; `None` where this machine cannot run one (exit code 69 of the script).
    pub(crate) fn up(repository: &Path) -> Outcome<Option<Self>> {
        let script = repository.join("tests/real/cluster.sh");
        let mut up = Command::new(&script);
        let status =
            up.arg("up").env("VOUCHSAFE_CLUSTER", name()).env("VOUCHSAFE_AUDIT_LEVEL", "RequestResponse").status()?;
        if status.code() == Some(UNAVAILABLE) {
            return Ok(None);
        }
        ensure(status.success(), || "the node does not start".to_owned())?;
        let mut env = Command::new(&script);
        let text = run(env.arg("env").env("VOUCHSAFE_CLUSTER", name()), "", QUICK)?.good("cluster.sh env")?;
        let words: BTreeMap<&str, &str> = text.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let word = |name: &str| {
            words
                .get(name)
                .map(|text| (*text).to_owned())
                .ok_or_else(|| Failure(format!("cluster.sh env lacks {name}")))
        };
        Ok(Some(Self {
            script,
            place: Place::node(
                Path::new(&word("VOUCHSAFE_CLUSTER_NETNS")?),
                Path::new(&word("VOUCHSAFE_CLUSTER_WORK")?),
            ),
            work: word("VOUCHSAFE_CLUSTER_WORK")?.into(),
            kubeconfig: word("KUBECONFIG")?.into(),
            path: word("PATH")?.replace('\\', ""),
        }))
    }

    /// A verb of the script.
    pub(crate) fn script(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new(&self.script);
        let finished = run(command.args(arguments).env("VOUCHSAFE_CLUSTER", name()), "", SCRIPT)?;
        finished.good(&format!("cluster.sh {}", arguments.join(" ")))
    }

    /// kubectl as administrator, whatever comes of it.
    pub(crate) fn try_kubectl(&self, arguments: &[&str], input: &str) -> Outcome<Finished> {
        let mut command = self.place.command("kubectl");
        command.env("PATH", &self.path).env("KUBECONFIG", &self.kubeconfig).args(arguments);
        run(&mut command, input, QUICK)
    }

    /// kubectl as administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        self.try_kubectl(arguments, "")?.good(&format!("kubectl {}", arguments.join(" ")))
    }

    /// `kubectl apply` of these objects.
    pub(crate) fn apply(&self, objects: &[Value]) -> Outcome {
        self.try_apply(objects)?.good("kubectl apply").map(drop)
    }

    /// `kubectl apply` of these objects, whatever comes of it.
    pub(crate) fn try_apply(&self, objects: &[Value]) -> Outcome<Finished> {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.try_kubectl(&["apply", "-f", "-"], &list.to_string())
    }

    /// An object as JSON.
    pub(crate) fn object(&self, kind: &str, namespace: &str, name: &str) -> Outcome<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["-n", namespace, "get", kind, name, "-o", "json"])?)?)
    }

    /// The pod with this name.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Outcome<Pod> {
        Ok(Pod(self.object("pod", namespace, name)?))
    }

    /// Waits until a pod is ready.
    pub(crate) fn await_ready(&self, namespace: &str, name: &str, limit: Duration) -> Outcome<Pod> {
        until(&format!("pod {namespace}/{name} ready"), limit, || {
            let pod = self.pod(namespace, name)?;
            if pod.is_ready() { Ok(pod) } else { because(pod.state()) }
        })
    }

    /// Log of a container.
    pub(crate) fn log(&self, namespace: &str, pod: &str, container: &str) -> Outcome<String> {
        self.kubectl(&["-n", namespace, "logs", pod, "-c", container])
    }

    /// What the stand-in app of a pod has said so far.
    pub(crate) fn said(&self, namespace: &str, pod: &str) -> Outcome<Vec<Block>> {
        Ok(blocks(&self.log(namespace, pod, "app")?))
    }
}

/// The running `vouchsafe-sidecar run` of a pod on this node.
pub(crate) fn sidecar_of(pod: &str) -> Outcome<Running> {
    let mut processes =
        fs::read_dir("/proc")?.filter_map(Result::ok).filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = processes.find_map(|process| sidecar(process).filter(|running| running.pod == pod));
    found.ok_or_else(|| Failure(format!("no sidecar of pod {pod} runs")))
}

/// The process, if it is a sidecar of our cluster.
fn sidecar(process: u32) -> Option<Running> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let command = fs::read(folder.join("cmdline")).ok()?;
    if command != b"/vouchsafe-sidecar\0run\0" {
        return None;
    }
    let groups = fs::read_to_string(folder.join("cgroup")).ok()?;
    if !groups.contains(&format!("/vouchsafe-{}/", name())) {
        return None;
    }
    let environment = fs::read(folder.join("environ")).ok()?;
    let pod = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| std::str::from_utf8(entry).ok()?.strip_prefix("VOUCHSAFE_POD_NAME="))?;
    // proc(5): the 22nd field, in ticks of 10 ms; the second is in parentheses and may hold blanks.
    let status = fs::read_to_string(folder.join("stat")).ok()?;
    let ticks: f64 = status.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(Running { process, pod: pod.to_owned(), started: ticks / 100.0 })
}

/// A pod as the API server tells it.
pub(crate) struct Pod(pub(crate) Value);

impl Pod {
    /// Whether its condition Ready is True.
    pub(crate) fn is_ready(&self) -> bool {
        let conditions = self.0.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
    }

    /// Status of one container, of either kind.
    pub(crate) fn container(&self, name: &str) -> &Value {
        ["/status/initContainerStatuses", "/status/containerStatuses"]
            .iter()
            .filter_map(|path| self.0.pointer(path)?.as_array())
            .flatten()
            .find(|status| status["name"] == name)
            .unwrap_or(&Value::Null)
    }

    /// How often a container was started again.
    pub(crate) fn restarts(&self, container: &str) -> u64 {
        self.container(container)["restartCount"].as_u64().unwrap_or_default()
    }

    /// Phase and containers in one line.
    pub(crate) fn state(&self) -> String {
        let one = |name: &str| {
            let status = self.container(name);
            format!("{name}: {} restarts, state {}, last {}", self.restarts(name), status["state"], status["lastState"])
        };
        format!("phase {}; {}; {}", self.0["status"]["phase"], one("vouchsafe-sidecar"), one("app"))
    }
}

/// Exit code of the harness where the machine cannot run it.
const UNAVAILABLE: i32 = 69;
/// A component's start on a busy machine takes up to 25 s.
const SCRIPT: Duration = Duration::from_secs(90);
