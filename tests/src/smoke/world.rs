//! `World`: the node with everything of ours on it, set up once for all scenarios.
//!
//! ```text
//! namespace   webhook (port)                          server
//! apps        8443, Grants from a folder, hook        broker + embedded store, 8200
//! strict      8444, Grants from a folder, init        the same
//! watched     8445, Grants from the cluster, hook     the same
//! direct      8446, Grants from a folder, hook        OpenBao, 8300
//! ```
//! All of them run with VOUCHSAFE_LOG=trace, so that the search for canaries sees as much as there is to see.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use vouchsafe_policies::GrantSet;

use super::api::Api;
use super::canary::Canaries;
use super::cluster::{ADDRESS, Cluster};
use super::objects;
use super::outcome::{Failure, Outcome, because, ensure};
use super::process::{Daemon, QUICK, run, tail, until};
use super::programs::Programs;

/// A webhook of the suite: which namespace it serves, where, and how it differs.
pub(crate) struct Webhook {
    pub(crate) namespace: &'static str,
    pub(crate) port: u16,
    pub(crate) flags: &'static [&'static str],
}

/// All webhooks.
pub(crate) const WEBHOOKS: [Webhook; 4] = [
    Webhook { namespace: "apps", port: 8443, flags: &["--wait-seconds", "8"] },
    Webhook { namespace: "strict", port: 8444, flags: &["--gate", "init"] },
    Webhook { namespace: "watched", port: 8445, flags: &["--grants", "kubernetes"] },
    Webhook { namespace: "direct", port: 8446, flags: &["--server-kind", "direct"] },
];

/// Grants of the suite, each read by the service account of the same name: `namespace/name` and what it does on a change.
const GRANTS: [(&str, &str, &str); 11] = [
    ("apps", "web", "{action: None}"),
    ("apps", "once", "{action: None}"),
    ("apps", "changing", "{action: None}"),
    ("apps", "killed", "{action: None}"),
    ("apps", "gate", "{action: None}"),
    ("apps", "late", "{action: None}"),
    ("apps", "steady", "{action: None}"),
    ("strict", "signalled", "{action: Signal, signal: SIGHUP}"),
    ("strict", "called", "{action: HTTP, http: {port: 8080, path: /reload}}"),
    ("watched", "watched", "{action: None}"),
    ("direct", "direct", "{action: None}"),
];

/// The node with everything of ours on it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) programs: Programs,
    pub(crate) canaries: Canaries,
    pub(crate) api: Api,
    pub(crate) bao: Api,
    pub(crate) broker: Option<Daemon>,
    pub(crate) webhooks: BTreeMap<&'static str, Daemon>,
    /// Newest values by Vault path.
    values: BTreeMap<String, BTreeMap<String, String>>,
    /// What outlives one scenario: names and times for a later one.
    pub(crate) notes: BTreeMap<&'static str, f64>,
    folder: tempfile::TempDir,
    repository: PathBuf,
}

impl World {
    /// Sets everything up; `None` where this machine cannot run a node.
    pub(crate) fn build(repository: &Path, programs: Programs) -> Outcome<Option<Self>> {
        let Some(mut world) = Self::bare(repository, programs)? else { return Ok(None) };
        world.objects()?;
        world.grants()?;
        world.start_broker()?;
        world.configure_broker()?;
        world.start_bao()?;
        for webhook in &WEBHOOKS {
            world.start_webhook(webhook)?;
        }
        world.configure_webhooks(&WEBHOOKS)?;
        Ok(Some(world))
    }

    /// A node with our images and certificates, and nothing of ours that runs: what further suites build upon.
    pub(crate) fn bare(repository: &Path, programs: Programs) -> Outcome<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("vouchsafe-smoke-").tempdir()?;
        let Some(cluster) = Cluster::up(repository)? else { return Ok(None) };
        images(repository, folder.path(), &programs)?;
        let nobody = Api::new(&cluster.place, "https://localhost", Path::new("/dev/null"), "");
        let bao = Api::new(&cluster.place, "https://localhost", Path::new("/dev/null"), "");
        let world = Self {
            cluster,
            programs,
            canaries: Canaries::new()?,
            api: nobody,
            bao,
            broker: None,
            webhooks: BTreeMap::new(),
            values: BTreeMap::new(),
            notes: BTreeMap::new(),
            folder,
            repository: repository.to_path_buf(),
        };
        let tars = world.path("images");
        let tar = |name: &str| tars.join(name).display().to_string();
        world.cluster.script(&["import", &tar("app.tar"), &tar("busybox.tar"), &tar("sidecar.tar")])?;
        world.certificates()?;
        Ok(Some(world))
    }

    /// Root folder of the sources.
    pub(crate) fn repository(&self) -> &Path {
        &self.repository
    }

    /// A path in the suite's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Log of a program of ours.
    pub(crate) fn program_log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("log/{name}"))).unwrap_or_default()
    }

    fn certificates(&self) -> Outcome {
        fs::create_dir_all(self.path("log"))?;
        ["broker", "webhook"].iter().try_for_each(|name| self.issue(name))
    }

    /// A certificate of the suite's authority for the node's address; with its key and that authority in `tls-NAME`.
    pub(crate) fn issue(&self, name: &str) -> Outcome {
        let script = ". \"$1/lib.sh\"; issue \"$2\" \"$3\" \"/CN=$3\" \"IP:$4\"";
        let mut bash = Command::new("bash");
        bash.args(["-c", script, "issue"]).arg(self.repository.join("tests/real"));
        run(bash.arg(self.path("pki")).args([name, ADDRESS]), "", QUICK)?.good("issue")?;
        let folder = self.path(&format!("tls-{name}"));
        fs::create_dir_all(&folder)?;
        fs::copy(self.path(&format!("pki/{name}.crt")), folder.join("tls.crt"))?;
        fs::copy(self.path(&format!("pki/{name}.key")), folder.join("tls.key"))?;
        fs::copy(self.path("pki/ca.crt"), folder.join("ca.crt"))?;
        Ok(())
    }

    fn objects(&self) -> Outcome {
        let mut objects = vec![
            objects::namespace("vouchsafe", &json!({})),
            objects::namespace("strict", &json!({"pod-security.kubernetes.io/enforce": "restricted"})),
        ];
        objects.extend(["apps", "watched", "direct"].map(|name| objects::namespace(name, &json!({}))));
        objects.extend(GRANTS.iter().map(|(namespace, name, _)| objects::service_account(namespace, name)));
        objects.extend(objects::reviewer());
        objects.push(objects::service_account("vouchsafe", "webhook"));
        objects.push(objects::binding("vouchsafe-webhook", "vouchsafe-webhook", "vouchsafe", "webhook"));
        self.cluster.apply(&objects)?;
        let file = |name: &str| self.repository.join("tests/smoke").join(name).display().to_string();
        self.cluster.kubectl(&["apply", "-f", &file("crd.yaml")])?;
        let token = self.token("webhook")?;
        let ca = self.cluster.work.join("pki/ca.crt").display().to_string();
        fs::write(self.path("webhook.kubeconfig"), objects::kubeconfig(&ca, &token).to_string())?;
        Ok(())
    }

    /// A token of one of our own service accounts.
    pub(crate) fn token(&self, account: &str) -> Outcome<String> {
        let token = self.cluster.kubectl(&["-n", "vouchsafe", "create", "token", account, "--duration=2h"])?;
        Ok(token.trim().to_owned())
    }

    /// Grants as files, one folder for the webhooks that read a folder; that of the cluster stands apart.
    fn grants(&mut self) -> Outcome {
        for (namespace, name, on_change) in GRANTS {
            self.grant(if namespace == "watched" { "grants-watched" } else { "grants" }, namespace, name, on_change)?;
        }
        Ok(())
    }

    /// Writes the suite's Grant for a service account into a folder.
    pub(crate) fn grant(&self, folder: &str, namespace: &str, name: &str, on_change: &str) -> Outcome {
        let template = fs::read_to_string(self.repository.join("tests/smoke/grant.yaml"))?;
        let folder = self.path(folder);
        fs::create_dir_all(&folder)?;
        let text = template.replace("NAMESPACE", namespace).replace("NAME", name).replace("ON_CHANGE", on_change);
        Ok(fs::write(folder.join(format!("{namespace}-{name}.yaml")), text)?)
    }

    /// Policies and roles of the Grants in a folder.
    pub(crate) fn compiled(&self, folder: &str) -> Outcome<Vec<vouchsafe_policies::Compiled>> {
        let set = GrantSet::read_folder(&self.path(folder));
        let set =
            set.map_err(|faults| Failure(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        Ok(vouchsafe_policies::compile(&set))
    }

    /// Broker and store, one process.
    pub(crate) fn start_broker(&mut self) -> Outcome {
        let folder = self.path("broker");
        let is_new = !folder.exists();
        fs::create_dir_all(&folder)?;
        let mut command = self.cluster.place.command(&self.programs.broker);
        Programs::broker_arguments(
            &mut command,
            &folder,
            &self.path("tls-broker"),
            &format!("{ADDRESS}:{BROKER_PORT}"),
        );
        let mut daemon = Daemon::start("broker", &mut command, &self.path("log/broker"))?;
        let address = format!("https://{ADDRESS}:{BROKER_PORT}");
        let ca = self.path("pki/ca.crt");
        let probe = Api::new(&self.cluster.place, &address, &ca, "");
        daemon.await_ready(START, || probe.good("GET", "/v1/sys/health", None).map(drop))?;
        self.broker = Some(daemon);
        if is_new {
            let token = Programs::root_token(&folder)?;
            self.api = Api::new(&self.cluster.place, &address, &ca, &token);
        }
        Ok(())
    }

    /// SIGKILL for broker and store.
    pub(crate) fn kill_broker(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            broker.kill();
        }
    }

    fn configure_broker(&mut self) -> Outcome {
        self.api.mount()?;
        self.api.good("POST", "/v1/auth/kubernetes/config", Some(&self.review()?))?;
        for folder in ["grants", "grants-watched"] {
            self.api.apply(&self.compiled(folder)?)?;
        }
        for (namespace, name, _) in GRANTS.iter().filter(|grant| grant.0 != "direct") {
            self.change(&format!("secret/{namespace}/{name}"))?;
        }
        Ok(())
    }

    /// Configuration of Kubernetes auth: which API server reviews tokens, and as whom it is asked.
    pub(crate) fn review(&self) -> Outcome<Value> {
        Ok(json!({
            "kubernetes_host": format!("https://{ADDRESS}:6443"),
            "kubernetes_ca_cert": fs::read_to_string(self.cluster.work.join("pki/ca.crt"))?,
            "token_reviewer_jwt": self.token("reviewer")?,
            "disable_local_ca_jwt": true,
        }))
    }

    fn start_bao(&mut self) -> Outcome {
        let script = |arguments: &[&str]| {
            let mut command = Command::new(self.repository.join("tests/real/openbao.sh"));
            command.env("VOUCHSAFE_CLUSTER", super::cluster::name()).env("VOUCHSAFE_BAO", super::cluster::name());
            command.env("VOUCHSAFE_BAO_PORT", BAO_PORT.to_string()).args(arguments);
            run(&mut command, "", START * 4)?.good("openbao.sh")
        };
        script(&["start"])?;
        script(&["kubernetes-auth"])?;
        let folder = self.bao_folder();
        let token = fs::read_to_string(folder.join("root-token"))?;
        self.bao = Api::new(
            &self.cluster.place,
            &format!("https://{ADDRESS}:{BAO_PORT}"),
            &folder.join("pki/ca.crt"),
            token.trim(),
        );
        self.bao.mount()?;
        let compiled = self.compiled("grants")?;
        let direct: Vec<_> = compiled.into_iter().filter(|one| one.name.starts_with("vouchsafe.direct.")).collect();
        self.bao.apply(&direct)?;
        self.change_in("secret/direct/direct", true).map(drop)
    }

    /// What OpenBao writes.
    pub(crate) fn bao_folder(&self) -> PathBuf {
        self.cluster.work.with_file_name(format!("bao-{}", super::cluster::name()))
    }

    /// Starts a webhook and waits until it is ready.
    pub(crate) fn start_webhook(&mut self, webhook: &Webhook) -> Outcome {
        if webhook.namespace == "direct" {
            return self.start_webhook_for(webhook, BAO_PORT, &self.bao_folder().join("pki/ca.crt"));
        }
        self.start_webhook_for(webhook, BROKER_PORT, &self.path("pki/ca.crt"))
    }

    /// The same, for a server at this port whose certificate ends in `trust`.
    pub(crate) fn start_webhook_for(&mut self, webhook: &Webhook, port: u16, trust: &Path) -> Outcome {
        let listen = format!("{ADDRESS}:{}", webhook.port);
        let mut command = self.cluster.place.command(&self.programs.webhook);
        command.args(["--listen", &listen, "--server-address", &format!("https://{ADDRESS}:{port}")]);
        command.arg("--tls-folder").arg(self.path("tls-webhook")).arg("--trust-file").arg(trust);
        command.args(["--image", "localhost/vouchsafe-sidecar:dev", "--image-pull-policy", "Never"]);
        command.args(webhook.flags).env("VOUCHSAFE_LOG", "trace").env("KUBECONFIG", self.path("webhook.kubeconfig"));
        if !webhook.flags.contains(&"kubernetes") {
            command.arg("--grants").arg(self.path("grants"));
        }
        let log = self.path(&format!("log/webhook-{}", webhook.namespace));
        let mut daemon = Daemon::start(&format!("webhook {}", webhook.namespace), &mut command, &log)?;
        let probe = Api::new(&self.cluster.place, &format!("https://{listen}"), &self.path("pki/ca.crt"), "");
        daemon.await_ready(START, || probe.good("GET", "/readyz", None).map(drop))?;
        self.webhooks.insert(webhook.namespace, daemon);
        Ok(())
    }

    /// Tells the API server of the webhooks, and waits until it asks them.
    pub(crate) fn configure_webhooks(&self, webhooks: &[Webhook]) -> Outcome {
        let ca = fs::read_to_string(self.path("pki/ca.crt"))?;
        let configure = |webhook: &Webhook| {
            objects::webhook_configuration(
                &format!("vouchsafe-{}", webhook.namespace),
                webhook.port,
                webhook.namespace,
                &ca,
            )
        };
        self.cluster.apply(&webhooks.iter().map(configure).collect::<Vec<_>>())?;
        for namespace in webhooks.iter().map(|webhook| webhook.namespace) {
            let unknown = objects::pod(namespace, "probe", "no-such-grant", &objects::restricted_spec("default", &[]));
            until(&format!("the API server asks the webhook of {namespace}"), QUICK, || {
                let input = unknown.to_string();
                let answer = self.cluster.try_kubectl(&["create", "--dry-run=server", "-f", "-"], &input)?;
                ensure(answer.err.contains("no-such-grant"), || answer.err)
            })?;
        }
        Ok(())
    }

    /// Writes new values to a path of the broker; gives the version and when the request was sent.
    pub(crate) fn change(&mut self, path: &str) -> Outcome<(u64, f64)> {
        self.change_in(path, false)
    }

    /// The same in OpenBao.
    pub(crate) fn change_in(&mut self, path: &str, bao: bool) -> Outcome<(u64, f64)> {
        let mut values = BTreeMap::new();
        for key in KEYS {
            values.insert(key.to_owned(), self.canaries.next()?);
        }
        let api = if bao { &self.bao } else { &self.api };
        let written = api.write(path, &json!(values))?;
        self.values.insert(path.to_owned(), values);
        Ok(written)
    }

    /// SHA-256 of the files that a pod of the Grant at `path` must have now, by name.
    pub(crate) fn expected(&self, path: &str) -> Outcome<BTreeMap<String, String>> {
        let values = self.values.get(path).ok_or_else(|| Failure(format!("nothing was written to {path}")))?;
        let value = |key: &str| values.get(key).cloned().unwrap_or_default();
        let (username, password) = (value("username"), value("password"));
        let ini = format!("[login]\nuser = {username}\npassword = {password}\n");
        Ok(BTreeMap::from([
            ("config.ini".to_owned(), digest(&ini)?),
            ("password".to_owned(), digest(&password)?),
            ("username".to_owned(), digest(&username)?),
        ]))
    }

    /// What a pod's app finds in its folder now.
    pub(crate) fn files_now(&self, namespace: &str, pod: &str) -> Outcome<BTreeMap<String, String>> {
        let script =
            "cd /vouchsafe/secrets && for f in *; do sha256sum <\"$f\" | { read -r s _; echo \"$f $s\"; }; done";
        let text = self.cluster.kubectl(&["-n", namespace, "exec", pod, "-c", "app", "--", "sh", "-c", script])?;
        Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
    }

    /// The first block of an app's log, which must show the newest files of `path`.
    pub(crate) fn started_with_files(&self, namespace: &str, pod: &str, path: &str) -> Outcome<f64> {
        // On a busy machine it is still looking at its files when the pod is ready.
        let first = until(&format!("the app of {namespace}/{pod} has said what it found"), QUICK, || {
            let first = self.cluster.said(namespace, pod)?.into_iter().next().filter(|first| first.ended);
            first.ok_or_else(|| Failure("it has not".to_owned()))
        })?;
        ensure(first.files == self.expected(path)?, || {
            format!("the app of {namespace}/{pod} found {:?} at its first instruction", first.files)
        })?;
        Ok(first.at)
    }

    /// Audit records of the broker.
    pub(crate) fn records(&self) -> Outcome<Vec<Value>> {
        let mut files: Vec<PathBuf> = fs::read_dir(Programs::audit_folder(&self.path("broker")))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        let mut records = Vec::new();
        for file in files {
            let text = fs::read(file)?;
            let text = String::from_utf8_lossy(&text);
            records.extend(text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        }
        if records.is_empty() { because("the broker's audit log holds no record") } else { Ok(records) }
    }

    /// How often a pod's sidecar has logged in, as the audit log tells.
    pub(crate) fn logins(&self, pod: &str) -> Outcome<usize> {
        let is_login = |record: &&Value| {
            record["operation"] == "login" && record["phase"] == "outcome" && record["workload"]["pod"] == pod
        };
        Ok(self.records()?.iter().filter(is_login).count())
    }

    /// What helps to understand a failure: pods, their sidecars, the ends of our programs' logs.
    pub(crate) fn evidence(&self, namespace: &str, pod: &str) -> String {
        let ask = |arguments: &[&str]| match self.cluster.try_kubectl(arguments, "") {
            Ok(finished) => format!("{}{}", tail(&finished.out, 45), tail(&finished.err, 5)),
            Err(error) => error.to_string(),
        };
        let mut text = format!("--- pods\n{}\n", ask(&["get", "pods", "-A", "-o", "wide"]));
        if !pod.is_empty() {
            text += &format!("--- describe {namespace}/{pod}\n{}\n", ask(&["-n", namespace, "describe", "pod", pod]));
            for (container, more) in
                [("vouchsafe-sidecar", "--previous"), ("vouchsafe-sidecar", "--tail=30"), ("app", "--tail=15")]
            {
                let log = ask(&["-n", namespace, "logs", pod, "-c", container, more]);
                text += &format!("--- log of {container} {more}\n{}\n", tail(&log, 30));
            }
        }
        for (name, lines) in [("broker".to_owned(), 25), (format!("webhook-{namespace}"), 10)] {
            text += &format!("--- log of {name}\n{}\n", tail(&self.program_log(&name), lines));
        }
        text
    }
}

/// Images of the app and of the sidecar; the latter says all that it can.
fn images(repository: &Path, folder: &Path, programs: &Programs) -> Outcome {
    let out = folder.join("images");
    let mut script = Command::new(repository.join("tests/real/images.sh"));
    run(script.arg(&out).args(["app", "busybox"]), "", QUICK)?.good("images.sh")?;
    let mut image = Command::new(repository.join("tests/real/image.py"));
    image.arg(out.join("sidecar.tar")).args(["localhost/vouchsafe-sidecar:dev", "--user", "65532:65532"]);
    image.args(["--env", "VOUCHSAFE_LOG=trace", "--file"]);
    image.arg(format!("/vouchsafe-sidecar={}:555", programs.sidecar.display())).args(["--", "/vouchsafe-sidecar"]);
    run(&mut image, "", QUICK)?.good("image.py").map(drop)
}

/// SHA-256 in hex.
pub(crate) fn digest(text: &str) -> Outcome<String> {
    let sum = run(&mut Command::new("sha256sum"), text, QUICK)?.good("sha256sum")?;
    Ok(sum.split(' ').next().unwrap_or_default().to_owned())
}

/// Where broker and store listen.
pub(crate) const BROKER_PORT: u16 = 8200;
/// Where OpenBao listens.
pub(crate) const BAO_PORT: u16 = 8300;
/// Keys of each secret.
const KEYS: [&str; 2] = ["username", "password"];
/// A program's start on a busy machine.
const START: Duration = Duration::from_secs(20);
