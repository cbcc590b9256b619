//! Variables: from the server into the app's environment, over the socket, and again after a change.

use std::path::{Path, PathBuf};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pod::{self, Pod, until};
use crate::vault::{Mode, Vault};
use crate::{SOON, plan, ready, vault};

/// A container whose run folder is the one that the sidecar made for it.
struct App {
    root: TempDir,
    child: Option<Child>,
}

impl App {
    fn new(pod: &Pod) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("vouchsafe/internal")).unwrap();
        let run = pod.path("/vouchsafe/internal/run/dex");
        std::os::unix::fs::symlink(run, root.path().join("vouchsafe/internal/run")).unwrap();
        Self { root, child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn start(&mut self, pod: &Pod, options: &str, script: &str) {
        std::fs::write(self.path("app.sh"), script).unwrap();
        let arguments = format!("exec {options} -- /bin/sh {}", self.path("app.sh").display());
        let mut command = pod::command(self.root.path(), self.root.path(), &pod.plan, &arguments);
        command.env("HOST", "db").env("DSN", "not yet").env("GENERATION", "0");
        self.child = Some(command.spawn().unwrap());
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    async fn ends(&mut self) -> Option<i32> {
        let child = self.child.as_mut().unwrap();
        until("the app ends", SOON, || child.try_wait().unwrap().is_some()).await;
        child.wait().unwrap().code()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One variable, one that is made of it, and what happens after a change.
fn with_variable(vault: &Vault, reaction: &Value) -> Value {
    let mut text = plan(vault, "broker", "hook", 20, 1);
    text["volumes"] = json!([]);
    text["files"][0]["name"] = json!("TOKEN");
    text["environments"] =
        json!([{"container": "dex", "dependents": [{"name": "DSN", "text": "u:$(TOKEN)@$(HOST)/$$"}]}]);
    if !reaction.is_null() {
        text["reactions"] = json!([{"container": "dex", "files": [0], "action": reaction}]);
    }
    text
}

const SHOW: &str = "printf '%s|%s' \"$TOKEN\" \"$DSN\" > shown.new && mv shown.new shown\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_wrapper_becomes_the_app_with_its_variables_and_needs_no_server_to_do_it_again() {
    let vault = vault(true, 1).await;
    let mut pod = Pod::new(&with_variable(&vault, &Value::Null));
    ready(&mut pod).await;
    vault.set(Mode::Sealed);
    for _ in 0..2 {
        let mut app = App::new(&pod);
        app.start(&pod, "--env --become", &format!("{SHOW}echo $$ > pid\nexit 7\n"));
        let pid = app.pid().as_raw_nonzero().to_string();
        assert_eq!(app.ends().await, Some(7), "{}", app.text("exec.log"));
        assert_eq!(app.text("shown"), "canary-value-0|u:canary-value-0@db/$");
        assert_eq!(app.text("pid").trim(), pid, "the same process");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_variables_no_app_starts_and_the_exit_code_says_so() {
    let vault = vault(true, 1).await;
    let pod = Pod::new(&with_variable(&vault, &Value::Null));
    std::fs::create_dir_all(pod.path("/vouchsafe/internal/run/dex")).unwrap();
    let mut app = App::new(&pod);
    app.start(&pod, "--env --become", "touch started\n");
    let child = app.child.as_mut().unwrap();
    until("the wrapper gives up", SOON * 4, || child.try_wait().unwrap().is_some()).await;
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(!Path::new(&app.path("started")).exists());
    assert!(app.text("exec.log").contains("(E-ENV-001)"), "{}", app.text("exec.log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_sidecar_hands_out_variables_without_its_server() {
    let vault = vault(true, 1).await;
    let mut pod = Pod::new(&with_variable(&vault, &Value::Null));
    let sidecar = ready(&mut pod).await;
    pod.signal(sidecar, Signal::KILL);
    pod.ended(sidecar, SOON);
    vault.set(Mode::Sealed);
    pod.start("run");
    let mut app = App::new(&pod);
    app.start(&pod, "--env --become", SHOW);
    assert_eq!(app.ends().await, Some(0), "{}{}", app.text("exec.log"), pod.log("run"));
    assert_eq!(app.text("shown"), "canary-value-0|u:canary-value-0@db/$");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_value_starts_the_app_again_and_a_bad_one_is_rolled_back() {
    let vault = vault(true, 1).await;
    let mut pod = Pod::new(&with_variable(&vault, &json!({"restart": {"graceSeconds": 5}})));
    ready(&mut pod).await;
    let mut app = App::new(&pod);
    let script = format!(
        "trap 'echo ended >> ends; exit 0' TERM\n[ \"$TOKEN\" = bad ] && exit 3\n{SHOW}while :; do sleep 0.05; done\n"
    );
    app.start(&pod, "--env", &script);
    until("the app runs", SOON, || app.text("shown").starts_with("canary-value-0|")).await;
    vault.put("secret/app/s0", json!({"password": "new"}));
    let delay = until("the app runs with the new value", SOON, || app.text("shown") == "new|u:new@db/$").await;
    eprintln!("change to restarted app: {delay:?}");
    assert_eq!(app.text("ends"), "ended\n");
    vault.put("secret/app/s0", json!({"password": "bad"}));
    std::fs::remove_file(app.path("shown")).unwrap();
    until("the app runs with the old value again", SOON * 2, || app.text("shown") == "new|u:new@db/$").await;
    until("the failure is reported", SOON, || pod.log("run").contains("E-APP-004")).await;
    assert!(pod.log("run").contains("ended at once (exit code 3)"), "{}", pod.log("run"));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(app.text("ends"), "ended\nended\n", "a value that does not start the app is not tried again");
    vault.put("secret/app/s0", json!({"password": "good"}));
    until("the next value is tried", SOON, || app.text("shown") == "good|u:good@db/$").await;
    kill_process(app.pid(), Signal::TERM).unwrap();
    assert_eq!(app.ends().await, Some(0));
    assert!(!pod.log("run").contains("canary") && !app.text("exec.log").contains("canary"));
}
