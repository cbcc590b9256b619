//! `Ground`: a node with our broker before a real OpenBao whose engines make credentials that end.
//!
//! ```text
//! pods of `native`  (webhook 8443)                       ─┐
//! pods of `classic` (webhook 8444, --injection classic)  ─┴─ broker 8200 ── OpenBao 8300 ── stand-in for RabbitMQ 15672
//! ```
//! Out of scope: what is shown on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{audit, queue};
use crate::smoke::api::Api;
use crate::smoke::cluster::{self, ADDRESS};
use crate::smoke::objects;
use crate::smoke::outcome::{Outcome, ensure};
use crate::smoke::process::{Daemon, run, tail};
use crate::smoke::programs::Programs;
use crate::smoke::suite::Stage;
use crate::smoke::world::{BAO_PORT, BROKER_PORT, Webhook, World};

/// The node with everything on it.
pub(crate) struct Ground {
    pub(crate) world: World,
    broker: Option<Daemon>,
    queue: Option<Daemon>,
}

/// Namespaces and how their pods are injected.
const WEBHOOKS: [Webhook; 2] = [
    Webhook { namespace: "native", port: 8443, flags: &[] },
    Webhook { namespace: "classic", port: 8444, flags: &["--injection", "classic"] },
];

/// Service accounts, each with the Grant of its name.
const ACCOUNTS: [(&str, &str); 6] = [
    ("native", "many"),
    ("native", "leased"),
    ("native", "brief"),
    ("native", "certified"),
    ("classic", "leased"),
    ("classic", "once"),
];

impl Ground {
    /// Sets everything up; `None` where this machine cannot run a node.
    pub(crate) fn build(repository: &Path, programs: Programs) -> Outcome<Option<Self>> {
        let Some(world) = World::bare(repository, programs)? else { return Ok(None) };
        let mut ground = Self { world, broker: None, queue: None };
        ground.objects()?;
        ground.start_queue()?;
        ground.start_bao()?;
        ground.engines()?;
        ground.start_broker()?;
        for webhook in &WEBHOOKS {
            ground.world.start_webhook(webhook)?;
        }
        ground.world.configure_webhooks(&WEBHOOKS)?;
        Ok(Some(ground))
    }

    /// Ends what must end well.
    pub(crate) fn end(&mut self) -> Outcome {
        for webhook in self.world.webhooks.values_mut() {
            webhook.terminate()?;
        }
        self.broker.as_mut().map_or(Ok(()), Daemon::terminate)
    }

    /// Makes a pod that runs as `account` with the Grant of the same name, and waits until it is ready.
    pub(crate) fn start(&self, namespace: &str, account: &str) -> Outcome {
        let spec = objects::spec(account, &["watch"]);
        self.world.cluster.apply(&[objects::pod(namespace, account, account, &spec)])?;
        self.world.cluster.await_ready(namespace, account, START).map(drop)
    }

    /// Runs a script in a pod's app, in the folder of one generation of its files.
    pub(crate) fn in_app(&self, pod: (&str, &str), script: &str) -> Outcome<String> {
        let (namespace, name) = pod;
        let script = format!("cd -P /vouchsafe/secrets/..data && {script}");
        self.world.cluster.kubectl(&["-n", namespace, "exec", name, "-c", "app", "--", "sh", "-c", &script])
    }

    /// What a service account asked of OpenBao.
    pub(crate) fn asked(&self, namespace: &str, account: &str) -> Vec<String> {
        audit::asked(&self.world.bao_folder().join("audit.log"), namespace, account)
    }

    /// Users that the message broker takes now.
    pub(crate) fn users(&self) -> BTreeSet<String> {
        queue::users(&self.queue_file())
    }

    /// How many users were ever made.
    pub(crate) fn made(&self) -> usize {
        queue::made(&self.queue_file())
    }

    fn queue_file(&self) -> PathBuf {
        self.world.path("users")
    }

    fn objects(&self) -> Outcome {
        let mut objects = vec![objects::namespace("vouchsafe", &json!({}))];
        objects.extend(WEBHOOKS.iter().map(|webhook| objects::namespace(webhook.namespace, &json!({}))));
        objects.extend(ACCOUNTS.iter().map(|(namespace, name)| objects::service_account(namespace, name)));
        objects.extend(objects::reviewer());
        self.world.cluster.apply(&objects)?;
        let folder = self.world.path("grants");
        fs::create_dir_all(&folder)?;
        fs::copy(self.world.repository().join("tests/dynamic/grants.yaml"), folder.join("grants.yaml"))?;
        Ok(())
    }

    fn start_queue(&mut self) -> Outcome {
        let mut command = self.world.cluster.place.command(std::env::current_exe()?);
        command.args([queue::VERB, QUEUE]).arg(self.queue_file());
        let mut daemon = Daemon::start("queue", &mut command, &self.world.path("log/queue"))?;
        let probe = Api::new(&self.world.cluster.place, &format!("http://{QUEUE}"), Path::new("/dev/null"), "");
        daemon.await_ready(START, || probe.good("GET", "/api/overview", None).map(drop))?;
        self.queue = Some(daemon);
        Ok(())
    }

    fn start_bao(&mut self) -> Outcome {
        for verb in ["start", "kubernetes-auth"] {
            let mut command = Command::new(self.world.repository().join("tests/real/openbao.sh"));
            command.env("VOUCHSAFE_CLUSTER", cluster::name()).env("VOUCHSAFE_BAO", cluster::name());
            command.env("VOUCHSAFE_BAO_PORT", BAO_PORT.to_string()).arg(verb);
            run(&mut command, "", START)?.good("openbao.sh")?;
        }
        let folder = self.world.bao_folder();
        let token = fs::read_to_string(folder.join("root-token"))?;
        let address = format!("https://{ADDRESS}:{BAO_PORT}");
        self.world.bao = Api::new(&self.world.cluster.place, &address, &folder.join("pki/ca.crt"), token.trim());
        Ok(())
    }

    /// Engines, roles, policies, and first values.
    fn engines(&mut self) -> Outcome {
        let post = |world: &World, path: &str, body: Value| world.bao.good("POST", path, Some(&body)).map(drop);
        self.world.bao.mount()?;
        post(&self.world, "/v1/sys/mounts/kv", json!({"type": "kv", "options": {"version": "1"}}))?;
        for (mount, seconds) in [("rabbitmq", LEASE), ("rabbitmq-long", LONG_LEASE)] {
            let path = |rest: &str| format!("/v1/{mount}/{rest}");
            post(&self.world, &format!("/v1/sys/mounts/{mount}"), json!({"type": "rabbitmq"}))?;
            let connection = json!({"connection_uri": format!("http://{QUEUE}"), "username": "admin", "password": "admin",
                "verify_connection": false});
            post(&self.world, &path("config/connection"), connection)?;
            post(&self.world, &path("config/lease"), json!({"ttl": seconds, "max_ttl": seconds * RENEWALS}))?;
            post(&self.world, &path("roles/app"), json!({"vhosts": r#"{"/":{"write":".*","read":".*"}}"#}))?;
        }
        post(&self.world, "/v1/sys/mounts/pki", json!({"type": "pki"}))?;
        post(&self.world, "/v1/pki/root/generate/internal", json!({"common_name": "dynamic", "ttl": "24h"}))?;
        let role = json!({"allowed_domains": "app.test", "allow_bare_domains": true, "ttl": LEASE, "max_ttl": LEASE,
            "key_type": "ec", "key_bits": 256});
        post(&self.world, "/v1/pki/roles/app", role)?;
        let compiled = self.world.compiled("grants")?;
        self.world.bao.apply(&compiled)?;
        // The same role with a token that ends soon: a day is too long to be waited for.
        let name = "vouchsafe.native.brief";
        let mut brief =
            compiled.iter().find(|one| one.name == name).and_then(|one| one.role.clone()).unwrap_or_default();
        brief["token_ttl"] = json!(BRIEF_TTL);
        brief["token_max_ttl"] = json!(BRIEF_MAX);
        post(&self.world, &format!("/v1/auth/kubernetes/role/{name}"), brief)?;
        for number in 0..SECRETS {
            self.world.bao.write(&format!("secret/many/s{number}"), &json!({"value": format!("first-{number}")}))?;
        }
        post(&self.world, "/v1/kv/once", json!({"value": "first"}))
    }

    fn start_broker(&mut self) -> Outcome {
        let folder = self.world.path("broker");
        fs::create_dir_all(&folder)?;
        let ca = self.world.path("pki/ca.crt");
        let mut command = self.world.cluster.place.command(&self.world.programs.broker);
        command.args(["--listen", &format!("{ADDRESS}:{BROKER_PORT}")]).arg("--tls-folder");
        command.arg(self.world.path("tls-broker")).arg("--trust-bundle").arg(&ca);
        command.arg("--upstream-ca").arg(self.world.bao_folder().join("pki/ca.crt"));
        command.args(["--upstream", &format!("https://{ADDRESS}:{BAO_PORT}")]);
        command.arg("--audit-folder").arg(Programs::audit_folder(&folder)).env("VOUCHSAFE_LOG", "debug");
        let mut daemon = Daemon::start("broker", &mut command, &self.world.path("log/broker"))?;
        let probe = Api::new(&self.world.cluster.place, &format!("https://{ADDRESS}:{BROKER_PORT}"), &ca, "");
        daemon.await_ready(START, || {
            let status = probe.request("GET", "/v1/sys/health", None)?.status;
            ensure(status == 200, || format!("OpenBao's health through the broker is {status}"))
        })?;
        self.broker = Some(daemon);
        Ok(())
    }
}

impl Stage for Ground {
    fn evidence(&self, namespace: &str, pod: &str) -> String {
        let asked = self.asked(namespace, pod);
        let last = asked.get(asked.len().saturating_sub(30)..).unwrap_or_default().join("\n");
        let init = self.world.cluster.log(namespace, pod, "vouchsafe-init").unwrap_or_default();
        format!(
            "{}--- log of vouchsafe-init\n{}\n--- asked of OpenBao\n{last}\n--- users\n{:?}",
            self.world.evidence(namespace, pod),
            tail(&init, 20),
            self.users()
        )
    }

    fn mend(&mut self) -> Outcome {
        if self.broker.is_none() { self.start_broker() } else { Ok(()) }
    }
}

/// Where the stand-in for RabbitMQ listens.
const QUEUE: &str = "10.244.0.1:15672";
/// Life of credentials and certificates in seconds: what the issue asks for.
pub(crate) const LEASE: u64 = 20;
/// How many times that a credential lives with all renewals.
pub(crate) const RENEWALS: u64 = 3;
/// Life of credentials that only the end of their token ends, in seconds.
const LONG_LEASE: u64 = 1800;
/// Life of the brief token between renewals, in seconds.
const BRIEF_TTL: u64 = 30;
/// Life of the brief token with all renewals, in seconds.
pub(crate) const BRIEF_MAX: u64 = 60;
/// Secrets of the pod with many.
pub(crate) const SECRETS: usize = 10;
/// A pod's or program's start on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(90);
