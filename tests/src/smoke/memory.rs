//! The memory gate: one sidecar with ten secrets, as built for the image, against a broker on this machine. No cluster.
//!
//! The sidecar's paths are absolute, so it runs in a folder of its own as root folder (`chroot`): needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::api::Api;
use super::canary::base64;
use super::outcome::{Failure, Outcome, because, ensure};
use super::process::{Daemon, Place, QUICK, run, until};
use super::programs::Programs;

/// First argument of the program that becomes this gate: `smoke --memory LIMIT_KIB`.
pub(crate) const VERB: &str = "--memory";

/// Measures resident memory after the first files and after ten rounds of changes.
pub(crate) fn measure(repository: &Path, target: &Path, arguments: &[String]) -> Outcome<ExitCode> {
    let limit: u64 =
        arguments.first().and_then(|text| text.parse().ok()).ok_or_else(|| Failure("say a limit in KiB".to_owned()))?;
    let programs = Programs::find(target, false)?;
    let folder = tempfile::Builder::new().prefix("vouchsafe-memory-").tempdir()?;
    let place = Bench { repository: repository.to_path_buf(), folder: folder.path().to_path_buf() };
    let (_broker, api, address) = place.broker(&programs)?;
    place.fill(&api)?;
    let mut sidecar = place.sidecar(&programs, &address)?;
    place.gate(&mut sidecar)?;
    let first = resident(sidecar.id())?;
    for round in 0..ROUNDS {
        write(&api, round)?;
        let name = format!("s0-{round}");
        until("the change arrives", WAIT, || {
            match fs::read_to_string(place.root().join("vouchsafe/internal/volumes/0/s0"))? {
                text if text.ends_with(&name) => Ok(()),
                text => because(format!(
                    "the file ends in {}",
                    text.get(text.len().saturating_sub(8)..).unwrap_or_default()
                )),
            }
        })?;
    }
    let last = resident(sidecar.id())?;
    let files = fs::read_dir(place.root().join("vouchsafe/internal/volumes/0"))?.filter_map(Result::ok);
    let files = files.filter(|entry| !entry.file_name().to_string_lossy().starts_with("..")).count();
    ensure(files == SECRETS, || format!("{files} files instead of {SECRETS}"))?;
    let fits = last.max(first) <= limit;
    let verdict = if fits { "ok   " } else { "FAIL " };
    println!(
        "{verdict} memory: {last} KiB with {SECRETS} secrets after {ROUNDS} rounds of changes, the limit is {limit}"
    );
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where everything of the gate lies.
struct Bench {
    repository: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn script(&self, script: &str) -> Outcome<String> {
        let mut bash = Command::new("bash");
        bash.args(["-euc", script, "script"]).arg(self.repository.join("tests/real/lib.sh")).current_dir(&self.folder);
        run(&mut bash, "", QUICK)?.good("openssl")
    }

    fn broker(&self, programs: &Programs) -> Outcome<(Daemon, Api, String)> {
        self.script(
            "REPO=$1; shift; . \"$REPO\"; issue tls server /CN=localhost IP:127.0.0.1,DNS:localhost
             cd tls; cp server.crt tls.crt; cp server.key tls.key
             openssl genrsa -out issuer.key 2048 2>/dev/null; openssl rsa -in issuer.key -pubout -out issuer.pub 2>/dev/null",
        )?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (listen, address) = (format!("127.0.0.1:{port}"), format!("https://127.0.0.1:{port}"));
        let store = self.folder.join("broker");
        fs::create_dir_all(&store)?;
        let mut command = Command::new(&programs.broker);
        Programs::broker_arguments(&mut command, &store, &self.folder.join("tls"), &listen);
        let mut daemon =
            Daemon::start("broker", command.env("VOUCHSAFE_LOG", "info"), &self.folder.join("broker.log"))?;
        let ca = self.folder.join("tls/ca.crt");
        let probe = Api::new(&Place::default(), &address, &ca, "");
        daemon.await_ready(WAIT, || probe.good("GET", "/v1/sys/health", None).map(drop))?;
        let token = Programs::root_token(&store)?;
        Ok((daemon, Api::new(&Place::default(), &address, &ca, &token), address))
    }

    fn fill(&self, api: &Api) -> Outcome {
        api.mount()?;
        let key = fs::read_to_string(self.folder.join("tls/issuer.pub"))?;
        api.good("POST", "/v1/auth/kubernetes/config", Some(&json!({"pem_keys": [key], "issuer": ISSUER})))?;
        let rules: Vec<(String, Value)> = (0..SECRETS)
            .map(|number| (format!("secret/data/gate/s{number}"), json!({"capabilities": ["read"]})))
            .chain(
                ["lookup-self", "renew-self", "revoke-self"]
                    .map(|verb| (format!("auth/token/{verb}"), json!({"capabilities": ["read", "update"]}))),
            )
            .collect();
        let policy = json!({"path": rules.into_iter().collect::<serde_json::Map<_, _>>()});
        api.good("POST", "/v1/sys/policies/acl/gate", Some(&json!({"policy": policy.to_string()})))?;
        let role = json!({
            "bound_service_account_names": ["gate"], "bound_service_account_namespaces": ["gate"], "audience": "vouchsafe",
            "token_policies": ["gate"], "token_ttl": 3600, "token_no_default_policy": true,
        });
        api.good("POST", "/v1/auth/kubernetes/role/gate", Some(&role))?;
        write(api, usize::MAX)
    }

    /// The sidecar in a root folder of its own, with what the webhook would give it.
    fn sidecar(&self, programs: &Programs, address: &str) -> Outcome<Daemon> {
        let internal = self.root().join("vouchsafe/internal");
        for name in ["state", "token", "volumes/0"] {
            fs::create_dir_all(internal.join(name))?;
        }
        for name in ["dev", "tmp"] {
            fs::create_dir_all(self.root().join(name))?;
        }
        fs::copy(&programs.sidecar, self.root().join("vouchsafe-sidecar"))?;
        fs::write(internal.join("token/token"), self.token()?)?;
        let trust = fs::read_to_string(self.folder.join("tls/ca.crt"))?;
        let mut command = self.chroot("run");
        command.env("VOUCHSAFE_PLAN", plan(address, &trust).to_string());
        command.env("VOUCHSAFE_POD_NAME", "gate").env("VOUCHSAFE_POD_UID", "00000000-0000-4000-8000-000000000000");
        Daemon::start("sidecar", &mut command, &self.folder.join("sidecar.log"))
    }

    fn chroot(&self, verb: &str) -> Command {
        let mut command = Command::new("chroot");
        command
            .arg(self.root())
            .args(["/vouchsafe-sidecar", verb])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// What the kubelet's start hook does; then the files are there.
    fn gate(&self, sidecar: &mut Daemon) -> Outcome {
        let mut wait = self.chroot("wait");
        let log = || fs::read_to_string(self.folder.join("sidecar.log")).unwrap_or_default();
        let finished = run(&mut wait, "", WAIT)?;
        ensure(finished.ok, || format!("the gate: {}{}\n{}", finished.out, finished.err, log()))?;
        sidecar.await_ready(QUICK, || {
            let first = self.root().join("vouchsafe/internal/volumes/0/s0");
            fs::read(first).map(drop).map_err(|error| Failure(format!("s0: {error}")))
        })
    }

    /// A token like the API server's, signed by a key that the store was told of.
    fn token(&self) -> Outcome<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": "system:serviceaccount:gate:gate", "aud": ["vouchsafe"],
            "iat": now, "nbf": now, "exp": now + 3600,
            "kubernetes.io": {
                "namespace": "gate",
                "serviceaccount": {"name": "gate", "uid": "00000000-0000-4000-8000-000000000001"},
                "pod": {"name": "gate", "uid": "00000000-0000-4000-8000-000000000000"},
            },
        });
        let signed =
            format!("{}.{}", url_safe(br#"{"alg":"RS256","kid":"gate"}"#), url_safe(claims.to_string().as_bytes()));
        fs::write(self.folder.join("signed"), &signed)?;
        let signature =
            self.script("openssl dgst -sha256 -sign tls/issuer.key signed | base64 -w0 | tr '+/' '-_' | tr -d =")?;
        Ok(format!("{signed}.{signature}"))
    }
}

/// Writes all secrets; each value is a kilobyte that ends in secret and round.
fn write(api: &Api, round: usize) -> Outcome {
    for number in (0..SECRETS).rev() {
        let value = format!("{}s{number}-{round}", "x".repeat(VALUE_BYTES));
        api.write(&format!("secret/gate/s{number}"), &json!({"value": value}))?;
    }
    Ok(())
}

/// The Plan that the webhook would make.
fn plan(address: &str, trust: &str) -> Value {
    let secrets: Vec<Value> = (0..SECRETS)
        .map(|number| json!({"grant": "gate", "name": format!("s{number}"), "engine": "kv-v2", "mount": "secret", "path": format!("gate/s{number}"), "keys": ["value"]}))
        .collect();
    let files: Vec<Value> = (0..SECRETS)
        .map(|number| match number {
            // Half of the files are templates, so that the engine is in memory too.
            odd if odd % 2 == 1 => json!({"volume": 0, "name": format!("s{odd}"), "mode": "0444", "content": {"template": {
                "text": format!("{{{{ .s{odd}.value | toUpper }}}}"), "roots": {format!("s{odd}"): odd}}}}),
            even => json!({"volume": 0, "name": format!("s{even}"), "mode": "0444", "content": {"key": {"secret": even, "key": "value"}}}),
        })
        .collect();
    json!({
        "version": 1,
        "workload": {"namespace": "gate", "serviceAccount": "gate"},
        "server": {"kind": "broker", "address": address, "trust": trust},
        "login": {"authPath": "auth/kubernetes", "role": "gate"},
        "gate": "hook", "waitSeconds": 20,
        "secrets": secrets,
        "volumes": [{"container": "app", "mountPath": "/vouchsafe/secrets"}],
        "files": files,
        "reactions": [],
    })
}

fn url_safe(bytes: &[u8]) -> String {
    base64(bytes).replace('+', "-").replace('/', "_").replace('=', "")
}

/// Resident memory of a process in KiB.
pub(crate) fn resident(process: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.ok_or_else(|| Failure(format!("process {process} has no resident memory")))
}

/// Secrets of the gate.
const SECRETS: usize = 10;
/// Size of each value.
const VALUE_BYTES: usize = 1024;
/// Rounds of changes: a leak of a value in each would show.
const ROUNDS: usize = 10;
/// Issuer of the gate's tokens.
const ISSUER: &str = "https://kubernetes.default.svc";
/// A start on a busy machine.
const WAIT: Duration = Duration::from_secs(30);
