//! The Vault API of a server, asked with curl.
//!
//! Token and body go by standard input, never as arguments.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::outcome::{Outcome, because, ensure};
use super::process::{Place, run, uptime};

/// A server and who asks it.
pub(crate) struct Api {
    place: Place,
    address: String,
    ca: PathBuf,
    token: String,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Api {
    /// A server at `address` (`https://HOST:PORT`), asked with `token`.
    pub(crate) fn new(place: &Place, address: &str, ca: &Path, token: &str) -> Self {
        Self { place: place.clone(), address: address.to_owned(), ca: ca.to_path_buf(), token: token.to_owned() }
    }

    /// One request.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Outcome<Answer> {
        let mut config = format!(
            "silent\nshow-error\nmax-time = {SECONDS}\nrequest = {method}\ncacert = {}\nurl = {}\nwrite-out = \"\\n%{{http_code}}\"\n",
            quoted(&self.ca.display().to_string()),
            quoted(&format!("{}{path}", self.address)),
        );
        if !self.token.is_empty() {
            let _ = writeln!(config, "header = {}", quoted(&format!("X-Vault-Token: {}", self.token)));
        }
        if let Some(body) = body {
            let _ = writeln!(config, "data-raw = {}", quoted(&body.to_string()));
        }
        let mut curl = self.place.command("curl");
        let limit = Duration::from_secs(SECONDS + 2);
        let text = run(curl.args(["-K", "-"]), &config, limit)?.good(&format!("{method} {}{path}", self.address))?;
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", &text));
        let status = status.parse().unwrap_or_default();
        Ok(Answer { status, body: serde_json::from_str(body).unwrap_or_else(|_| json!(body)) })
    }

    /// One request that must be answered with 200 or 204.
    pub(crate) fn good(&self, method: &str, path: &str, body: Option<&Value>) -> Outcome<Value> {
        let answer = self.request(method, path, body)?;
        match answer.status {
            200 | 204 => Ok(answer.body),
            status => because(format!("{method} {path}: answered {status}: {}", answer.body["errors"])),
        }
    }

    /// Writes a KV v2 secret: its new version, and when the request was sent.
    pub(crate) fn write(&self, path: &str, values: &Value) -> Outcome<(u64, f64)> {
        let (mount, rest) = path.split_once('/').unwrap_or((path, ""));
        let body = json!({"data": values});
        // Before, not after: curl's own end would hide a part of the delay that is measured from here.
        let at = uptime();
        let answer = self.good("POST", &format!("/v1/{mount}/data/{rest}"), Some(&body))?;
        let version = answer["data"]["version"].as_u64().unwrap_or_default();
        ensure(version > 0, || format!("write of {path}: the answer names no version"))?;
        Ok((version, at))
    }

    /// Writes policies and roles of compiled Grants, and mounts what they need.
    pub(crate) fn apply(&self, compiled: &[vouchsafe_policies::Compiled]) -> Outcome {
        for one in compiled {
            let policy = json!({"policy": one.to_json()});
            self.good("POST", &format!("/v1/sys/policies/acl/{}", one.name), Some(&policy))?;
            if let Some(role) = &one.role {
                self.good("POST", &format!("/v1/{}/role/{}", one.auth_path, one.name), Some(role))?;
            }
        }
        Ok(())
    }

    /// Mounts `secret/` as KV v2 and `auth/kubernetes/` where they are missing.
    pub(crate) fn mount(&self) -> Outcome {
        let mounts = self.good("GET", "/v1/sys/mounts", None)?;
        if mounts["data"]["secret/"].is_null() {
            let body = json!({"type": "kv", "options": {"version": "2"}});
            self.good("POST", "/v1/sys/mounts/secret", Some(&body))?;
        }
        let methods = self.good("GET", "/v1/sys/auth", None)?;
        if methods["data"]["kubernetes/"].is_null() {
            self.good("POST", "/v1/sys/auth/kubernetes", Some(&json!({"type": "kubernetes"})))?;
        }
        Ok(())
    }
}

/// A string of curl's configuration file.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Bound of one request: making the keys of a server took more than ten on a busy machine.
const SECONDS: u64 = 30;
