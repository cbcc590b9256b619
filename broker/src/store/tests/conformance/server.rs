//! Development servers of OpenBao and Vault on the loopback address, spoken to in plain HTTP/1.0.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Seen;
use super::shape::HEADERS;
use crate::upstream::Operation;

/// Root token of all servers here.
pub(super) const ROOT: &str = "conformance-root";
/// Longest start of a server: Vault reads 350 MB from a cold disk.
const START: Duration = Duration::from_secs(90);
/// How long a mount may be in the middle of becoming version 2.
const UPGRADE: Duration = Duration::from_secs(10);

/// A server that the suite knows.
pub(super) struct ServerKind {
    /// As the report names it.
    pub(super) name: &'static str,
    /// Version that the suite is written for.
    pub(super) version: &'static str,
    variable: &'static str,
}

/// OpenBao.
pub(super) static OPENBAO: ServerKind = ServerKind { name: "OpenBao", version: "2.4.0", variable: "VOUCHSAFE_BAO" };
/// Vault.
pub(super) static VAULT: ServerKind = ServerKind { name: "Vault", version: "1.21.4", variable: "VOUCHSAFE_VAULT" };

/// A running server; it ends with this.
pub(super) struct Server {
    kind: &'static ServerKind,
    child: Child,
    port: u16,
}

impl Server {
    /// Starts the server whose binary the environment names; says so where it names none.
    pub(super) fn start(kind: &'static ServerKind) -> Option<Self> {
        let Some(binary) = std::env::var_os(kind.variable) else {
            println!("skipped: {} names no binary of {} {}", kind.variable, kind.name, kind.version);
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary)
            .args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={ROOT}")])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { kind, child, port };
        let deadline = Instant::now() + START;
        while !server.is_ready() {
            assert!(Instant::now() < deadline, "{} did not start", kind.name);
            std::thread::sleep(Duration::from_millis(100));
        }
        let version = server.send(None, Operation::Read, "sys/health", &Value::Null).body["version"].clone();
        assert_eq!(version, kind.version, "the suite is written for {} {}", kind.name, kind.version);
        Some(server)
    }

    /// What it is.
    pub(super) fn kind(&self) -> &'static ServerKind {
        self.kind
    }

    /// One request; a mount that is just becoming version 2 is asked again.
    pub(super) fn call(&self, token: Option<&str>, operation: Operation, path: &str, body: &Value) -> Seen {
        let deadline = Instant::now() + UPGRADE;
        loop {
            let seen = self.send(token, operation, path, body);
            let is_upgrading = seen.body["errors"][0].as_str().is_some_and(|text| text.starts_with("Upgrading from"));
            if !is_upgrading || Instant::now() > deadline {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_ready(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            && self.send(Some(ROOT), Operation::Read, "secret/config", &Value::Null).status == 200
    }

    fn send(&self, token: Option<&str>, operation: Operation, path: &str, body: &Value) -> Seen {
        let method = match operation {
            Operation::Read => "GET",
            Operation::Head => "HEAD",
            Operation::Write => "POST",
            Operation::Patch => "PATCH",
            Operation::Delete => "DELETE",
            Operation::List => "LIST",
            Operation::Scan => "SCAN",
        };
        let (path, wrap) = path.split_once('#').unwrap_or((path, ""));
        let wrap = if wrap.is_empty() { String::new() } else { format!("X-Vault-Wrap-TTL: {wrap}\r\n") };
        let kind = if operation == Operation::Patch { "application/merge-patch+json" } else { "application/json" };
        let token = token.map(|token| format!("X-Vault-Token: {token}\r\n")).unwrap_or_default();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let message = format!(
            "{method} /v1/{path} HTTP/1.0\r\nHost: server\r\n{token}{wrap}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            return Seen { status: 0, headers: BTreeMap::new(), body: Value::Null };
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = head.lines().skip(1).filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = HEADERS.iter().find(|known| known.eq_ignore_ascii_case(name))?;
            Some((*name, value.trim().to_owned()))
        });
        Seen { status, headers: headers.collect(), body: serde_json::from_str(body.trim()).unwrap_or(Value::Null) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
