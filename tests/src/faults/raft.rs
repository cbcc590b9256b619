//! Three OpenBao servers of one raft cluster, as processes in the node's network.
//!
//! `tests/real/openbao.sh` has one server without raft; fail-over needs more. Every server has its port, its folder and its
//! audit log; all share a certificate of the suite. Out of scope: what they hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::smoke::api::Api;
use crate::smoke::cluster::ADDRESS;
use crate::smoke::outcome::{Failure, Outcome, because, ensure};
use crate::smoke::process::{Daemon, QUICK, run, until};
use crate::smoke::world::{BAO_PORT, World};

/// The cluster of servers.
pub(crate) struct Raft {
    nodes: Vec<Node>,
    binary: PathBuf,
    /// The only share of the seal's key.
    key: String,
    root: String,
}

struct Node {
    port: u16,
    folder: PathBuf,
    daemon: Option<Daemon>,
}

impl Raft {
    /// Starts `count` servers, initialises the first and lets the others join.
    pub(crate) fn start(world: &World, count: u16) -> Outcome<Self> {
        world.issue("bao")?;
        let mut build = Command::new(world.repository().join("tests/real/build.sh"));
        let folder = run(build.args(["--path", "openbao"]), "", QUICK)?.good("build.sh")?;
        let node = |number: u16| Node {
            port: BAO_PORT + number * PORTS_APART,
            folder: world.path(&format!("raft-{number}")),
            daemon: None,
        };
        let binary = PathBuf::from(folder.trim()).join("bao");
        let (key, root) = (String::new(), String::new());
        let mut raft = Self { nodes: (0..count).map(node).collect(), binary, key, root };
        for number in 0..raft.nodes.len() {
            raft.configure(world, number)?;
        }
        raft.launch(world, 0)?;
        let body = json!({"secret_shares": 1, "secret_threshold": 1});
        // Once: a second request finds it done, and the keys went with the first one's answer.
        let made = raft.node_api(world, 0, "")?.good("PUT", "/v1/sys/init", Some(&body))?;
        made["keys_base64"][0].as_str().unwrap_or_default().clone_into(&mut raft.key);
        made["root_token"].as_str().unwrap_or_default().clone_into(&mut raft.root);
        raft.unseal(world, 0)?;
        for number in 1..raft.nodes.len() {
            raft.launch(world, number)?;
            raft.unseal(world, number)?;
        }
        raft.await_active(world)?;
        Ok(raft)
    }

    /// Addresses `HOST:PORT` of all servers.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("{ADDRESS}:{}", node.port)).collect()
    }

    /// OpenBao's program.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The active server, asked with the root token.
    pub(crate) fn api(&self, world: &World) -> Outcome<Api> {
        self.node_api(world, self.active(world)?, &self.root)
    }

    /// Number of the active server.
    fn active(&self, world: &World) -> Outcome<usize> {
        for number in 0..self.nodes.len() {
            if self.health(world, number) == Some(ACTIVE) {
                return Ok(number);
            }
        }
        because("no OpenBao server is active")
    }

    /// Waits until one server is active.
    pub(crate) fn await_active(&self, world: &World) -> Outcome {
        until("an OpenBao server is active", START, || self.active(world).map(drop))
    }

    /// Waits until every server has a vote: ten seconds after it joined. Fewer votes bear no failure.
    pub(crate) fn await_votes(&self, world: &World) -> Outcome {
        until("all servers have a vote", START, || {
            let state = self.api(world)?.good("GET", "/v1/sys/storage/raft/configuration", None)?;
            let voters = state["data"]["config"]["servers"].as_array().into_iter().flatten();
            let voters = voters.filter(|server| server["voter"] == true).count();
            ensure(voters == self.nodes.len(), || format!("{voters} have"))
        })
    }

    /// The active server gives its role away.
    pub(crate) fn step_down(&self, world: &World) -> Outcome {
        self.api(world)?.good("PUT", "/v1/sys/step-down", None).map(drop)
    }

    /// SIGKILL for the active server.
    pub(crate) fn kill_active(&mut self, world: &World) -> Outcome {
        let active = self.active(world)?;
        self.kill(active);
        Ok(())
    }

    /// SIGKILL for all servers.
    pub(crate) fn kill_all(&mut self) {
        (0..self.nodes.len()).for_each(|number| self.kill(number));
    }

    /// The active server is sealed by its own API, the others by a restart: all of them run and none is unsealed.
    pub(crate) fn seal_all(&mut self, world: &World) -> Outcome {
        let active = self.active(world)?;
        self.node_api(world, active, &self.root)?.good("PUT", "/v1/sys/seal", None)?;
        for number in (0..self.nodes.len()).filter(|number| *number != active) {
            self.kill(number);
            self.launch(world, number)?;
        }
        for number in 0..self.nodes.len() {
            let status = until("OpenBao answers", START, || {
                self.health(world, number).ok_or_else(|| Failure("it does not".to_owned()))
            })?;
            ensure(status == SEALED, || format!("a sealed server's health is {status}"))?;
        }
        Ok(())
    }

    /// Starts and unseals whatever does not run or is sealed; then one of them is active.
    pub(crate) fn recover(&mut self, world: &World) -> Outcome {
        for number in 0..self.nodes.len() {
            if self.nodes.get(number).is_some_and(|node| node.daemon.is_none()) {
                self.launch(world, number)?;
            }
            self.unseal(world, number)?;
        }
        self.await_active(world)
    }

    /// Responses in all audit logs.
    pub(crate) fn responses(&self) -> Vec<Value> {
        let logs = self.nodes.iter().filter_map(|node| fs::read(node.folder.join("audit.log")).ok());
        logs.flat_map(|log| {
            let text = String::from_utf8_lossy(&log).into_owned();
            let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            records.filter(|record| record["type"] == "response").collect::<Vec<_>>()
        })
        .collect()
    }

    /// Logins so far: those that succeeded, and those that were refused.
    pub(crate) fn logins(&self) -> (usize, usize) {
        let logins: Vec<bool> = self
            .responses()
            .iter()
            .filter(|record| record["request"]["path"] == "auth/kubernetes/login")
            .map(|record| record["error"].is_null())
            .collect();
        let good = logins.iter().filter(|good| **good).count();
        (good, logins.len() - good)
    }

    fn configure(&self, world: &World, number: usize) -> Outcome {
        let node = self.node(number)?;
        let (folder, port) = (node.folder.display(), node.port);
        fs::create_dir_all(node.folder.join("data"))?;
        let tls = world.path("tls-bao");
        let (tls, first) = (tls.display(), BAO_PORT);
        let join = if number == 0 {
            String::new()
        } else {
            format!(
                "retry_join {{\n leader_api_addr = \"https://{ADDRESS}:{first}\"\n leader_ca_cert_file = \"{tls}/ca.crt\"\n }}\n"
            )
        };
        let text = format!(
            "storage \"raft\" {{\n path = \"{folder}/data\"\n node_id = \"node-{number}\"\n {join}}}\n\
             listener \"tcp\" {{\n address = \"{ADDRESS}:{port}\"\n tls_cert_file = \"{tls}/tls.crt\"\n tls_key_file = \"{tls}/tls.key\"\n}}\n\
             api_addr = \"https://{ADDRESS}:{port}\"\ncluster_addr = \"https://{ADDRESS}:{}\"\n\
             audit \"file\" \"file\" {{\n options {{ file_path = \"{folder}/audit.log\" }}\n}}\n",
            port + 1
        );
        Ok(fs::write(node.folder.join("config.hcl"), text)?)
    }

    fn launch(&mut self, world: &World, number: usize) -> Outcome {
        let log = world.path(&format!("log/bao-{number}"));
        let binary = self.binary.clone();
        let node = self.nodes.get_mut(number).ok_or_else(|| Failure(format!("no OpenBao server {number}")))?;
        let mut command = world.cluster.place.command(binary);
        command.arg("server").arg(format!("-config={}", node.folder.join("config.hcl").display()));
        node.daemon = Some(Daemon::start(&format!("openbao {number}"), &mut command, &log)?);
        until("OpenBao answers", START, || {
            self.health(world, number).map(drop).ok_or_else(|| Failure("it does not".to_owned()))
        })
    }

    fn unseal(&self, world: &World, number: usize) -> Outcome {
        let body = json!({"key": self.key});
        // A server that has yet to join the others does not know the key: it says so, and is asked again.
        until(&format!("OpenBao server {number} is unsealed"), START, || {
            let api = self.node_api(world, number, "")?;
            api.request("PUT", "/v1/sys/unseal", Some(&body))?;
            let health = self.health(world, number);
            ensure(matches!(health, Some(ACTIVE | STANDBY)), || format!("its health is {health:?}"))
        })
    }

    fn kill(&mut self, number: usize) {
        if let Some(mut daemon) = self.nodes.get_mut(number).and_then(|node| node.daemon.take()) {
            daemon.kill();
        }
    }

    fn health(&self, world: &World, number: usize) -> Option<u16> {
        let answer = self.node_api(world, number, "").and_then(|api| api.request("GET", "/v1/sys/health", None));
        answer.ok().map(|answer| answer.status)
    }

    fn node_api(&self, world: &World, number: usize, token: &str) -> Outcome<Api> {
        let address = format!("https://{ADDRESS}:{}", self.node(number)?.port);
        Ok(Api::new(&world.cluster.place, &address, &world.path("pki/ca.crt"), token))
    }

    fn node(&self, number: usize) -> Outcome<&Node> {
        self.nodes.get(number).ok_or_else(|| Failure(format!("no OpenBao server {number}")))
    }
}

/// Health of an unsealed server that leads.
const ACTIVE: u16 = 200;
/// Health of an unsealed server that does not.
const STANDBY: u16 = 429;
/// Health of a sealed server.
const SEALED: u16 = 503;
/// Each server has two ports: its own and, one above it, the cluster's.
const PORTS_APART: u16 = 10;
/// A start, an election or a join on a busy machine.
const START: Duration = Duration::from_secs(40);
