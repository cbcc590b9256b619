//! `Installation`: the node, OpenBao and the chart on it, set up once for all scenarios.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use vouchsafe_policies::{GrantSet, compile};

use super::helm::{CHART, Helm};
use crate::smoke::api::Api;
use crate::smoke::app::Block;
use crate::smoke::canary::Canaries;
use crate::smoke::cluster::{ADDRESS, Cluster, name};
use crate::smoke::objects;
use crate::smoke::outcome::{Failure, Outcome, because, ensure};
use crate::smoke::process::{QUICK, run, tail, until};
use crate::smoke::suite::Stage;
use crate::smoke::target;

/// The node with the chart installed.
pub(crate) struct Installation {
    pub(crate) cluster: Cluster,
    pub(crate) helm: Helm,
    /// OpenBao, asked with its root token.
    pub(crate) bao: Api,
    pub(crate) repository: PathBuf,
    canaries: Canaries,
    /// Newest values by Vault path.
    values: BTreeMap<String, BTreeMap<String, String>>,
    folder: tempfile::TempDir,
}

/// Namespaces of the suite's pods and what Pod Security enforces there.
const NAMESPACES: [(&str, &str); 7] = [
    ("argocd", "restricted"),
    ("clickhouse", "baseline"),
    ("monitoring", "restricted"),
    ("observability", "restricted"),
    ("ci", "restricted"),
    ("odd", "restricted"),
    ("quota", "baseline"),
];
/// Service accounts of the suite's pods.
const ACCOUNTS: [(&str, &str); 7] = [
    ("argocd", "argocd-dex-server"),
    ("clickhouse", "clickhouse"),
    ("monitoring", "grafana"),
    ("observability", "otel-collector"),
    ("ci", "terraform"),
    ("odd", "odd"),
    ("quota", "odd"),
];

impl Installation {
    /// Sets everything up; `None` where this machine cannot run a node.
    pub(crate) fn build(repository: &Path) -> Outcome<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("vouchsafe-install-").tempdir()?;
        let Some(cluster) = Cluster::up(repository)? else { return Ok(None) };
        cluster.script(&["dns"])?;
        let helm = Helm::find(repository, &cluster, folder.path())?;
        let nobody = Api::new(&cluster.place, "https://localhost", Path::new("/dev/null"), "");
        let mut installation = Self {
            cluster,
            helm,
            bao: nobody,
            repository: repository.to_path_buf(),
            canaries: Canaries::new()?,
            values: BTreeMap::new(),
            folder,
        };
        installation.images()?;
        installation.start_bao()?;
        installation.namespaces()?;
        installation.install("upstream")?;
        installation.grants()?;
        Ok(Some(installation))
    }

    /// A path in the suite's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Our images as `deploy/images/build` has made them, and the stand-ins.
    fn images(&self) -> Outcome {
        let ours = target(&self.repository).join("images-test");
        let out = self.path("images");
        let mut standins = Command::new(self.repository.join("tests/install/images.sh"));
        run(standins.arg(&out), "", QUICK)?.good("images.sh")?;
        let mut app = Command::new(self.repository.join("tests/real/images.sh"));
        run(app.arg(&out).args(["app", "busybox"]), "", QUICK)?.good("images.sh")?;
        let mut archives = Vec::new();
        for folder in [&ours, &out] {
            let entries = fs::read_dir(folder).map_err(|error| {
                Failure(format!("{}: {error}: start this suite by tests/install/run.sh", folder.display()))
            })?;
            archives.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        }
        let archives = archives.iter().filter(|path| path.extension().is_some_and(|extension| extension == "tar"));
        let archives: Vec<String> = archives.map(|path| path.display().to_string()).collect();
        let mut arguments = vec!["import"];
        arguments.extend(archives.iter().map(String::as_str));
        self.cluster.script(&arguments).map(drop)
    }

    fn start_bao(&mut self) -> Outcome {
        let script = |arguments: &[&str]| {
            let mut command = Command::new(self.repository.join("tests/real/openbao.sh"));
            command.env("VOUCHSAFE_CLUSTER", name()).env("VOUCHSAFE_BAO", name()).args(arguments);
            run(&mut command, "", START)?.good("openbao.sh")
        };
        script(&["start"])?;
        script(&["kubernetes-auth"])?;
        let token = fs::read_to_string(self.bao_folder().join("root-token"))?;
        let address = format!("https://{ADDRESS}:8200");
        self.bao = Api::new(&self.cluster.place, &address, &self.bao_folder().join("pki/ca.crt"), token.trim());
        self.bao.mount()
    }

    /// What OpenBao writes.
    fn bao_folder(&self) -> PathBuf {
        self.cluster.work.with_file_name(format!("bao-{}", name()))
    }

    fn namespaces(&self) -> Outcome {
        let enforce = |level: &str| json!({"pod-security.kubernetes.io/enforce": level});
        let mut wanted = vec![objects::namespace("vouchsafe", &enforce("restricted"))];
        wanted.extend(NAMESPACES.iter().map(|(name, level)| objects::namespace(name, &enforce(level))));
        wanted.extend(ACCOUNTS.iter().map(|(namespace, name)| objects::service_account(namespace, name)));
        let ca = fs::read_to_string(self.bao_folder().join("pki/ca.crt"))?;
        wanted.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "vouchsafe", "name": "vault-ca"},
            "data": {"ca.crt": ca},
        }));
        wanted.extend((0..VOLUMES).map(|number| self.volume(number)).collect::<Outcome<Vec<_>>>()?);
        self.cluster.apply(&wanted)
    }

    /// A volume on the node's disk, since nothing makes volumes there.
    fn volume(&self, number: usize) -> Outcome<Value> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.cluster.work.join(format!("volumes/{number}"));
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        Ok(json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("volume-{number}")},
            "spec": {
                "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": folder.display().to_string()},
            },
        }))
    }

    /// The values file of a mode.
    pub(crate) fn values(&self, mode: &str) -> Outcome<PathBuf> {
        let mut values = json!({
            "mode": mode,
            "image": {"registry": "localhost", "tag": "dev", "pullPolicy": "Never"},
            "sidecar": {"pullPolicy": "Never"},
            "broker": {"audit": {"size": "1Gi"}, "store": {"size": "1Gi"}},
        });
        if mode != "store" {
            values["upstream"] = json!({"address": format!("https://{ADDRESS}:8200"), "ca": {"name": "vault-ca"}});
        }
        let file = self.path(&format!("values-{mode}.json"));
        fs::write(&file, values.to_string())?;
        Ok(file)
    }

    /// Installs or upgrades the release to a mode and waits until everything is ready.
    pub(crate) fn install(&self, mode: &str) -> Outcome {
        let values = self.values(mode)?.display().to_string();
        let mut arguments = vec!["upgrade", "--install", "vouchsafe", CHART, "-n", "vouchsafe", "-f", &values];
        arguments.extend(["--wait", "--timeout", "180s"]);
        let installed = self.helm.run(&self.cluster, &arguments)?;
        ensure(installed.contains("helm test vouchsafe"), || {
            format!("the notes do not say what to do next: {installed}")
        })?;
        // An API server goes on using its connections to replicas that are on their way out, and those inject as before.
        until("the old webhooks are gone", START, || {
            let label = "app.kubernetes.io/component=webhook";
            let text = self.cluster.kubectl(&["-n", "vouchsafe", "get", "pods", "-l", label, "-o", "json"])?;
            let pods: Value = serde_json::from_str(&text)?;
            let leaving = pods["items"].as_array().into_iter().flatten();
            let leaving = leaving.filter(|pod| pod["metadata"]["deletionTimestamp"].is_string()).count();
            ensure(leaving == 0, || format!("{leaving} are still there"))
        })?;
        // It follows changes of webhook configurations by a watch of its own.
        until("the API server asks the webhook", QUICK * 2, || {
            let pod =
                objects::pod("odd", "probe", "no-such-grant", &objects::restricted_spec("odd", &["/app", "sleep"]));
            let answer = self.dry_run(&pod)?;
            ensure(answer.err.contains("no-such-grant"), || answer.err)
        })
    }

    /// Removes the release; Grants and volumes stay.
    pub(crate) fn uninstall(&self) -> Outcome {
        // Harmless where there is none.
        self.helm.attempt(&self.cluster, &["uninstall", "vouchsafe", "-n", "vouchsafe", "--wait"]).map(drop)
    }

    /// Where kubectl is.
    pub(crate) fn kubectl(&self) -> Outcome<PathBuf> {
        let mut build = Command::new(self.repository.join("tests/real/build.sh"));
        let folder = run(build.args(["--path", "kubernetes"]), "", QUICK)?.good("build.sh --path kubernetes")?;
        Ok(PathBuf::from(folder.trim()).join("kubectl"))
    }

    /// Creates nothing, but asks everybody who has a say.
    pub(crate) fn dry_run(&self, object: &Value) -> Outcome<crate::smoke::process::Finished> {
        self.cluster.try_kubectl(&["create", "--dry-run=server", "-f", "-"], &object.to_string())
    }

    /// The platform's Grants and the suite's own, in the cluster and in OpenBao, with values.
    fn grants(&mut self) -> Outcome {
        let folders = [self.repository.join("policies/platform"), self.repository.join("tests/install/grants")];
        for folder in &folders {
            let grants = GrantSet::read_folder(folder);
            let grants = grants
                .map_err(|faults| Failure(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
            self.bao.apply(&compile(&grants))?;
            for grant in grants.iter() {
                for secret in &grant.secrets {
                    let path = format!("{}/{}", secret.mount, secret.path);
                    let keys: Vec<String> = secret.keys.iter().map(ToString::to_string).collect();
                    self.write(&path, &keys)?;
                }
            }
            self.cluster.kubectl(&["apply", "-f", &folder.display().to_string()])?;
        }
        Ok(())
    }

    fn write(&mut self, path: &str, keys: &[String]) -> Outcome {
        let mut values = BTreeMap::new();
        for key in keys {
            values.insert(key.clone(), self.canaries.next()?);
        }
        self.bao.write(path, &json!(values))?;
        self.values.insert(path.to_owned(), values);
        Ok(())
    }

    /// What lies at a path of OpenBao now, asked of OpenBao.
    pub(crate) fn stored(&self, path: &str) -> Outcome<BTreeMap<String, String>> {
        let (mount, rest) = path.split_once('/').unwrap_or((path, ""));
        let answer = self.bao.good("GET", &format!("/v1/{mount}/data/{rest}"), None)?;
        Ok(serde_json::from_value(answer["data"]["data"].clone())?)
    }

    /// Values that the suite has put, for a second server.
    pub(crate) fn put(&self, path: &str) -> Outcome<&BTreeMap<String, String>> {
        self.values.get(path).ok_or_else(|| Failure(format!("nothing was put to {path}")))
    }

    /// Applies a pod and waits until it is ready; what kubectl said beside is given too.
    pub(crate) fn start(&self, pod: &Value) -> Outcome<(Value, String)> {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let answer = until(&format!("pod {namespace}/{name} is admitted"), QUICK, || {
            let answer = self.cluster.try_apply(std::slice::from_ref(pod))?;
            if answer.ok { Ok(answer) } else { because(answer.err) }
        })?;
        let ready = self.cluster.await_ready(namespace, name, START)?;
        Ok((ready.0, answer.err))
    }

    /// What the app of a pod found at its first instruction.
    pub(crate) fn first_block(&self, namespace: &str, pod: &str, container: &str) -> Outcome<Block> {
        let log = self.cluster.log(namespace, pod, container)?;
        let first = crate::smoke::app::blocks(&log).into_iter().next();
        match first {
            Some(block) if block.ended => Ok(block),
            _ => because(format!(
                "container {container} of {namespace}/{pod} has not said what it found: {}",
                tail(&log, 5)
            )),
        }
    }
}

impl Stage for Installation {
    fn evidence(&self, namespace: &str, pod: &str) -> String {
        let ask = |arguments: &[&str]| match self.cluster.try_kubectl(arguments, "") {
            Ok(finished) => format!("{}{}", tail(&finished.out, 60), tail(&finished.err, 5)),
            Err(error) => error.to_string(),
        };
        let mut text = format!("--- pods\n{}\n", ask(&["get", "pods", "-A", "-o", "wide"]));
        text += &format!("--- events\n{}\n", tail(&ask(&["get", "events", "-A", "--field-selector=type=Warning"]), 15));
        for role in ["webhook", "broker", "controller"] {
            let label = format!("app.kubernetes.io/component={role}");
            text += &format!(
                "--- log of {role}\n{}\n",
                ask(&["-n", "vouchsafe", "logs", "-l", &label, "--tail=8", "--prefix"])
            );
        }
        if !pod.is_empty() {
            text += &format!("--- describe {namespace}/{pod}\n{}\n", ask(&["-n", namespace, "describe", "pod", pod]));
        }
        text
    }

    fn mend(&mut self) -> Outcome {
        // A failed scenario may have taken away what the next one needs, or have left another mode, whose broker has other volumes.
        self.uninstall()?;
        self.install("upstream")
    }
}

/// SHA-256 of a text in hexadecimal digits.
pub(crate) fn digest(text: &str) -> Outcome<String> {
    let sum = run(&mut Command::new("sha256sum"), text, QUICK)?.good("sha256sum")?;
    Ok(sum.split(' ').next().unwrap_or_default().to_owned())
}

/// From creation to readiness, and a server's start, on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(90);
/// Two brokers' audit logs, the embedded store with its own, ClickHouse's data, and some to spare.
const VOLUMES: usize = 10;
