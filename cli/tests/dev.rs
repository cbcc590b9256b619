//! `vouchsafe dev` and its companions as a person runs them: the built program, real servers, real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn vouchsafe(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe"));
    command
        .args(arguments)
        .current_dir(workspace())
        .env_remove("VAULT_ADDR")
        .env_remove("VAULT_TOKEN")
        .stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// Waits for something to become true, at most half a minute.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A `dev` that stays up; killed when the test ends badly.
struct Dev {
    child: Child,
    folder: tempfile::TempDir,
}

impl Dev {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("dev.log")).unwrap();
        let child = vouchsafe(&["dev"])
            .args(arguments)
            .arg("--state")
            .arg(folder.path().join("state"))
            .arg("--root")
            .arg(folder.path().join("root"))
            .env("VOUCHSAFE_LOG", "trace")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let dev = Self { child, folder };
        until("dev stays up", || dev.log().contains("servers stay up"));
        dev
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("dev.log")).unwrap_or_default()
    }

    fn state(&self) -> String {
        self.folder.path().join("state").display().to_string()
    }

    /// Ctrl-C, and the exit code.
    fn interrupt(&mut self) -> Option<i32> {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn one_round_works_twice_in_a_row_and_keeps_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").display().to_string();
    for expected_version in [2, 3] {
        let output = vouchsafe(&["dev", "--once", "-o", "json", "--state", &state]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["failures"], 0, "{summary}");
        assert!(summary["pods"].as_array().unwrap().len() >= 5);
        assert!(summary["pods"].as_array().unwrap().iter().all(|pod| pod["outcome"] == "running"), "{summary}");
        for change in summary["changes"].as_array().unwrap() {
            assert_eq!(change["version"], expected_version, "{change}");
            assert!(
                change["files"].as_array().unwrap().iter().all(|file| file["replacedAfterMs"].is_number()),
                "{change}"
            );
        }
        assert_eq!(summary["audit"]["whole"], true);
    }
    let verified = vouchsafe(&["audit", "verify", &format!("{state}/audit")]).output().unwrap();
    assert!(verified.status.success(), "{}", text(&verified));
    let asked = ["audit", "query", &format!("{state}/audit"), "--path", "secret/grafana"].map(str::to_owned);
    let found = vouchsafe(&asked.each_ref().map(String::as_str)).output().unwrap();
    assert!(text(&found).contains("read secret/data/grafana/github-oauth"), "{}", text(&found));
    assert!(!text(&found).contains("clickhouse"), "{}", text(&found));
}

#[test]
fn a_value_that_is_put_reaches_the_file_and_nothing_else() {
    const CANARY: &str = "canary-7Qx1vTz9-Wm4Kb8Rs2Lp6";
    let mut dev = Dev::start(&[]);
    let second = vouchsafe(&["dev", "--once", "--state", &dev.state()]).output().unwrap();
    assert_eq!(second.status.code(), Some(75), "{}", text(&second));
    assert!(text(&second).contains("is in use by process"), "{}", text(&second));

    let mut put =
        vouchsafe(&["put", "secret/grafana/github-oauth", "client_secret", "--stdin", "--state", &dev.state()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    put.stdin.take().unwrap().write_all(CANARY.as_bytes()).unwrap();
    let put = put.wait_with_output().unwrap();
    assert!(put.status.success() && !text(&put).contains(CANARY), "{}", text(&put));
    let volumes = dev.folder.path().join("root/monitoring");
    let delivered = || {
        let pod = fs::read_dir(&volumes).unwrap().next().unwrap().unwrap().path();
        fs::read_to_string(pod.join("volumes/vouchsafe-files-0/github_client_secret")).unwrap_or_default()
    };
    until("the file holds the new value", || delivered() == CANARY);

    let hits = files_with(dev.folder.path(), CANARY.as_bytes());
    let foreign: Vec<&PathBuf> = hits
        .iter()
        .filter(|path| !path.components().any(|part| part.as_os_str() == "volumes" || part.as_os_str() == "containers"))
        .collect();
    assert!(!hits.is_empty() && foreign.is_empty(), "the value also stands in {foreign:?}");
    assert_eq!(dev.interrupt(), Some(0), "{}", dev.log());
    assert!(!Path::new(&dev.state()).join("dev.json").exists());
}

/// Files below `folder` that hold `needle` in clear, in base64 or as JSON text; symbolic links are not followed.
fn files_with(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).unwrap();
                if bytes.windows(needle.len()).any(|window| window == needle) {
                    found.push(entry.path());
                }
            }
        }
    }
    found
}

const BARE_POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: app, namespace: demo}\nspec:\n  serviceAccountName: app\n  containers:\n  - {name: app, image: app}\n";
const GRANT: &str = "apiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {name: app, namespace: demo}\nspec:\n  serviceAccounts: [app]\n  secrets:\n  - {name: db, path: secret/demo/db, keys: [password]}\n  deliver:\n    files:\n    - {name: password, secret: db, key: password}\n";

#[test]
fn a_pod_that_asks_for_nothing_is_told_what_to_add() {
    let folder = tempfile::tempdir().unwrap();
    let pod = write(folder.path(), "pod.yaml", BARE_POD);
    let policies = folder.path().join("grants");
    fs::create_dir(&policies).unwrap();
    write(&policies, "grant.yaml", GRANT);
    let state = folder.path().join("state").display().to_string();
    let policies = policies.display().to_string();
    let output =
        vouchsafe(&["dev", "--once", "--pod", &pod, "--policies", &policies, "--state", &state]).output().unwrap();
    assert!(text(&output).contains("vouchsafe.dev/inject"), "{}", text(&output));
    assert!(text(&output).contains("asks for nothing"), "{}", text(&output));
}

#[test]
fn a_pod_that_asks_for_an_unknown_grant_is_refused_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let asking = BARE_POD.replace("namespace: demo}", "namespace: demo, annotations: {vouchsafe.dev/inject: nope}}");
    let pod = write(folder.path(), "pod.yaml", &asking);
    let state = folder.path().join("state").display().to_string();
    let output = vouchsafe(&["dev", "--once", "--pod", &pod, "--state", &state]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("\"nope\"") || text(&output).contains("nope"), "{}", text(&output));
    let checked = vouchsafe(&["check", &pod]).output().unwrap();
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked));
}

#[test]
fn the_offline_verbs_accept_what_ships() {
    for arguments in [
        &["check", "policies/platform", "deploy/examples"][..],
        &["explain", "deploy/examples/grafana.yaml"],
        &["lint"],
        &["compile", "-o", "json"],
        &["completions", "bash"],
    ] {
        let output = vouchsafe(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn unreadable_input_exits_with_its_own_code_and_names_the_file() {
    let output = vouchsafe(&["explain", "no-such-file.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(66), "{}", text(&output));
    assert!(text(&output).contains("no-such-file.yaml"));
    let output = vouchsafe(&["put", "secret/data/a/b", "k", "--generate"]).output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    assert!(text(&output).contains("secret/a/b"), "{}", text(&output));
}
