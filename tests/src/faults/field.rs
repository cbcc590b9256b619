//! `Field`: a node with our broker in front of a real OpenBao cluster, and the fault proxy between the two.
//!
//! ```text
//! pods of `hook` (webhook 8443, start hook)  ─┐
//! pods of `init` (webhook 8444, strict gate) ─┴─ broker 8200 ── fault proxy 8290 ── OpenBao 8300, 8310, 8320 (raft)
//! ```
//! Out of scope: what goes wrong on it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::dice::Dice;
use super::mode::Mode;
use super::proxy;
use super::raft::Raft;
use crate::smoke::api::Api;
use crate::smoke::cluster::ADDRESS;
use crate::smoke::objects;
use crate::smoke::outcome::{Outcome, ensure};
use crate::smoke::process::{Daemon, tail, until};
use crate::smoke::programs::Programs;
use crate::smoke::suite::Stage;
use crate::smoke::world::{BAO_PORT, BROKER_PORT, Webhook, World};

/// The node with everything on it.
pub(crate) struct Field {
    pub(crate) world: World,
    pub(crate) raft: Raft,
    pub(crate) seed: u64,
    /// Port of what the broker stands before.
    upstream: u16,
    broker: Option<Daemon>,
    proxy: Daemon,
    mode: Mode,
}

/// Namespaces and their gates. Two hundred pods must fit on two cores, by what they request.
pub(crate) const WEBHOOKS: [Webhook; 2] = [
    Webhook { namespace: "hook", port: 8443, flags: &["--wait-seconds", "8", "--cpu-request-millis", "5"] },
    Webhook { namespace: "init", port: 8444, flags: &["--gate", "init", "--cpu-request-millis", "5"] },
];

/// Grants, each read by the service account of the same name.
pub(crate) const GRANTS: [(&str, &str); 5] =
    [("hook", "web"), ("init", "web"), ("hook", "steady"), ("init", "late"), ("hook", "storm")];

impl Field {
    /// Sets everything up, with so many OpenBao servers; `None` where this machine cannot run a node.
    pub(crate) fn build(repository: &Path, programs: Programs, servers: u16) -> Outcome<Option<Self>> {
        let Some(world) = World::bare(repository, programs)? else { return Ok(None) };
        let mut objects = vec![objects::namespace("vouchsafe", &json!({})), objects::namespace("other", &json!({}))];
        objects.extend(WEBHOOKS.iter().map(|webhook| objects::namespace(webhook.namespace, &json!({}))));
        objects.extend(GRANTS.iter().map(|(namespace, name)| objects::service_account(namespace, name)));
        objects.extend(objects::reviewer());
        world.cluster.apply(&objects)?;
        for (namespace, name) in GRANTS {
            world.grant("grants", namespace, name, "{action: None}")?;
        }
        let raft = Raft::start(&world, servers)?;
        let seed = Dice::seed();
        let proxy = start_proxy(&world, &raft, seed)?;
        // Where there is only one server nothing is to fail: the benchmark's broker asks it itself.
        let upstream = if servers > 1 { PROXY_PORT } else { BAO_PORT };
        let mut field = Self { world, raft, seed, upstream, broker: None, proxy, mode: Mode::Pass };
        field.start_broker()?;
        field.configure()?;
        for webhook in &WEBHOOKS {
            field.world.start_webhook(webhook)?;
        }
        field.world.configure_webhooks(&WEBHOOKS)?;
        Ok(Some(field))
    }

    /// Has the proxy do something else from now on.
    pub(crate) fn fault(&mut self, mode: Mode) -> Outcome {
        let folder = self.world.path(PROXY_FOLDER);
        let next = folder.join("mode.next");
        fs::write(&next, mode.to_string())?;
        fs::rename(next, folder.join(proxy::MODE))?;
        self.mode = mode;
        // It looks every 5 ms; what counts from here is what comes after.
        std::thread::sleep(TAKEN_UP);
        Ok(())
    }

    /// How many connections the proxy has accepted so far.
    pub(crate) fn calls(&self) -> usize {
        let calls = fs::read_to_string(self.world.path(PROXY_FOLDER).join(proxy::CALLS)).unwrap_or_default();
        calls.lines().count()
    }

    /// Broker in front of the proxy.
    pub(crate) fn start_broker(&mut self) -> Outcome {
        let folder = self.world.path("broker");
        fs::create_dir_all(&folder)?;
        let (tls, ca) = (self.world.path("tls-broker"), self.world.path("pki/ca.crt"));
        let mut command = self.world.cluster.place.command(&self.world.programs.broker);
        command.args(["--listen", &format!("{ADDRESS}:{BROKER_PORT}")]).arg("--tls-folder").arg(tls);
        command.arg("--trust-bundle").arg(&ca).arg("--upstream-ca").arg(&ca);
        command.args(["--upstream", &format!("https://{ADDRESS}:{}", self.upstream)]);
        command.arg("--audit-folder").arg(Programs::audit_folder(&folder)).env("VOUCHSAFE_LOG", "debug");
        let mut daemon = Daemon::start("broker", &mut command, &self.world.path("log/broker"))?;
        let probe = Api::new(&self.world.cluster.place, &format!("https://{ADDRESS}:{BROKER_PORT}"), &ca, "");
        daemon.await_ready(START, || probe.request("GET", "/v1/vouchsafe/trust", None).map(drop))?;
        self.broker = Some(daemon);
        Ok(())
    }

    /// Writes new values at a Grant's path, at the active server; gives when the request was sent.
    pub(crate) fn write(&mut self, path: &str) -> Outcome<f64> {
        until("a write is accepted", START, || {
            self.world.bao = self.raft.api(&self.world)?;
            Ok(self.world.change_in(path, true)?.1)
        })
    }

    /// Brings everything back: servers, proxy, broker.
    pub(crate) fn recover(&mut self) -> Outcome {
        self.raft.recover(&self.world)?;
        self.fault(Mode::Pass)?;
        if self.broker.is_none() { self.start_broker() } else { Ok(()) }
    }

    /// Ends what must end well.
    pub(crate) fn end(&mut self) -> Outcome {
        for webhook in self.world.webhooks.values_mut() {
            webhook.terminate()?;
        }
        self.broker.as_mut().map_or(Ok(()), Daemon::terminate)?;
        self.proxy.kill();
        self.raft.kill_all();
        self.world.keep_logs_if_wanted()
    }

    /// Mounts, roles and first values.
    fn configure(&mut self) -> Outcome {
        let api = self.raft.api(&self.world)?;
        api.mount()?;
        api.good("POST", "/v1/auth/kubernetes/config", Some(&self.world.review()?))?;
        api.apply(&self.world.compiled("grants")?)?;
        for (namespace, name) in GRANTS {
            self.write(&format!("secret/{namespace}/{name}"))?;
        }
        Ok(())
    }
}

impl Stage for Field {
    fn evidence(&self, namespace: &str, pod: &str) -> String {
        let openbao = tail(&self.world.program_log("bao-0"), 8);
        format!(
            "{}--- the proxy is told: {}\n--- log of bao-0\n{openbao}",
            self.world.evidence(namespace, pod),
            self.mode
        )
    }

    fn mend(&mut self) -> Outcome {
        let kubelet = self.world.cluster.script(&["pid", "kubelet"]);
        if kubelet.is_err() {
            self.world.cluster.script(&["start", "containerd"])?;
            self.world.cluster.script(&["kubelet-start"])?;
        }
        self.recover()
    }
}

fn start_proxy(world: &World, raft: &Raft, seed: u64) -> Outcome<Daemon> {
    let folder = world.path(PROXY_FOLDER);
    fs::create_dir_all(&folder)?;
    for file in ["tls.crt", "tls.key"] {
        fs::copy(world.path("tls-bao").join(file), folder.join(file))?;
    }
    fs::write(folder.join(proxy::MODE), Mode::Pass.to_string())?;
    let mut command = world.cluster.place.command(std::env::current_exe()?);
    command.args([proxy::VERB, &format!("{ADDRESS}:{PROXY_PORT}")]).arg(&folder).arg(seed.to_string());
    let mut proxy = Daemon::start("fault proxy", command.args(raft.addresses()), &world.path("log/proxy"))?;
    let ca = world.path("pki/ca.crt");
    let probe = Api::new(&world.cluster.place, &format!("https://{ADDRESS}:{PROXY_PORT}"), &ca, "");
    proxy.await_ready(START, || {
        let status = probe.request("GET", "/v1/sys/health", None)?.status;
        ensure(status == 200, || format!("OpenBao's health through the proxy is {status}"))
    })?;
    Ok(proxy)
}

/// Where the fault proxy listens.
const PROXY_PORT: u16 = 8290;
/// Its folder in the suite's.
const PROXY_FOLDER: &str = "proxy";
/// A program's start on a busy machine.
const START: Duration = Duration::from_secs(30);
/// Several looks of the proxy.
const TAKEN_UP: Duration = Duration::from_millis(100);
