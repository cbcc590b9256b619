//! The whole sidecar as processes, against a fake Vault over TLS that fails as told.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

mod lasting;
mod pod;
mod variables;
mod vault;

use std::process::ExitCode;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::pod::{Pod, plan, until};
use crate::vault::{Mode, Vault};

const SOON: Duration = Duration::from_secs(20);
const CANARY: &str = "canary-value";

/// Not a test: what the tests start as sidecar, hook and wrapper, with the working folder as root.
#[test]
#[ignore = "started by the other tests as a process of its own"]
fn as_sidecar() {
    let Ok(arguments) = std::env::var("SIDECAR_ARGUMENTS") else { return };
    let arguments = arguments.split(' ').map(Into::into).collect();
    let root = std::env::current_dir().unwrap();
    let code = vouchsafe_sidecar::main_with(&root, arguments, |name| std::env::var(name).ok());
    let number = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code).unwrap();
    std::process::exit(number.into());
}

async fn vault(broker: bool, secrets: usize) -> std::sync::Arc<Vault> {
    let vault = Vault::start(broker).await;
    for index in 0..secrets {
        vault.put(&format!("secret/app/s{index}"), json!({"password": format!("{CANARY}-{index}")}));
    }
    vault
}

async fn ready(pod: &mut Pod) -> usize {
    let sidecar = pod.start("run");
    let hook = pod.start("wait");
    until("the hook ends", SOON, || pod.child(hook).try_wait().unwrap().is_some()).await;
    assert_eq!(pod.ended(hook, SOON), Some(0), "{}", pod.log("run"));
    sidecar
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_there_when_the_hook_ends_and_a_change_replaces_them() {
    let vault = vault(true, 10).await;
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 20, 10));
    ready(&mut pod).await;
    assert_eq!(pod.file("f7").as_deref(), Some("canary-value-7"));
    assert_eq!(vault.count("POST auth/kubernetes/login"), 1);
    assert_eq!(vault.count("GET secret/data/"), 10);
    until("a watch is held", SOON, || vault.count("POST vouchsafe/watch") >= 1).await;
    vault.put("secret/app/s7", json!({"password": "new"}));
    let delay = until("the file is replaced", SOON, || pod.file("f7").as_deref() == Some("new")).await;
    eprintln!("change to file: {delay:?}");
    assert!(delay < Duration::from_secs(3), "{delay:?}");
    until("the broker learns it", SOON, || vault.count("POST vouchsafe/ack") >= 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sidecar_is_ready_again_without_a_login_and_without_network() {
    let vault = vault(true, 2).await;
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 20, 2));
    let sidecar = ready(&mut pod).await;
    pod.signal(sidecar, Signal::KILL);
    assert_eq!(pod.ended(sidecar, SOON), Some(1009));
    let again = ready(&mut pod).await;
    assert_eq!(vault.count("POST auth/kubernetes/login"), 1);
    assert_eq!(vault.count("GET secret/data/"), 2);
    pod.signal(again, Signal::KILL);
    pod.ended(again, SOON);
    vault.stop().await;
    ready(&mut pod).await;
    assert_eq!(pod.file("f1").as_deref(), Some("canary-value-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_leaves_code_reason_and_command_and_the_state() {
    let vault = vault(true, 1).await;
    vault.set(Mode::NoRole);
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 1, 1));
    let sidecar = pod.start("run");
    let hook = pod.start("wait");
    assert_eq!(pod.ended(hook, SOON), Some(69));
    assert!(pod.log("wait").contains("run 'vouchsafe apply' (E-VLT-010)"), "{}", pod.log("wait"));
    assert_eq!(pod.ended(sidecar, Duration::from_millis(200)), None, "it waits for the SIGTERM");
    pod.signal(sidecar, Signal::TERM);
    assert_eq!(pod.ended(sidecar, SOON), Some(69));
    assert_eq!(
        pod.message(),
        "E-VLT-010 vouchsafe-sidecar: argocd/dex-0: login: Vault has no role \"vouchsafe.argocd.dex\"; Grant argocd/argocd-sso \
         exists but was never applied: run 'vouchsafe apply' (E-VLT-010)"
    );
    assert_eq!(vault.count("POST vouchsafe/goodbye"), 0);
    vault.set(Mode::Works);
    ready(&mut pod).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_hook_ends_a_sidecar_without_files() {
    let vault = vault(true, 1).await;
    vault.set(Mode::Sealed);
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 20, 1));
    let sidecar = pod.start("run");
    let hook = pod.start("wait");
    until("the hook is held", SOON, || vault.requests() > 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    pod.signal(hook, Signal::KILL);
    assert_eq!(pod.ended(sidecar, SOON), Some(69));
    assert!(pod.message().ends_with("(E-GAT-002)"), "{}", pod.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_without_a_hook_ends_within_seconds() {
    let vault = vault(true, 1).await;
    vault.set(Mode::Sealed);
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 20, 1));
    let sidecar = pod.start("run");
    assert_eq!(pod.ended(sidecar, SOON), Some(69));
    assert!(pod.message().ends_with("(E-GAT-001)"), "{}", pod.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_strict_gate_waits_through_an_outage_and_says_why() {
    let vault = vault(true, 1).await;
    vault.set(Mode::Sealed);
    let mut pod = Pod::new(&plan(&vault, "broker", "init", 1, 1));
    let sidecar = pod.start("run");
    let waiting = pod.start("wait");
    until("the reason is said", SOON, || pod.log("wait").contains("Vault is sealed")).await;
    assert_eq!(pod.ended(waiting, Duration::from_millis(1500)), None);
    vault.set(Mode::Works);
    assert_eq!(pod.ended(waiting, SOON), Some(0));
    assert_eq!(pod.ended(sidecar, Duration::from_millis(10)), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_the_server_takes_files_away_or_makes_a_storm() {
    let vault = vault(true, 2).await;
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 20, 2));
    ready(&mut pod).await;
    for (number, mode) in [Mode::Sealed, Mode::Garbage, Mode::Html, Mode::Denies, Mode::Hangs].into_iter().enumerate() {
        let before = vault.requests();
        vault.set(mode);
        vault.put("secret/app/s0", json!({"password": number.to_string()}));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(vault.requests() - before < 40, "{mode:?}: {:?}", &vault.log()[before..]);
        assert_eq!(pod.file("f1").as_deref(), Some("canary-value-1"), "{mode:?}");
    }
    vault.set(Mode::Works);
    vault.put("secret/app/s1", json!({"password": "healed"}));
    let delay = until("it heals", Duration::from_secs(100), || pod.file("f1").as_deref() == Some("healed")).await;
    eprintln!("healed after {delay:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_gets_a_goodbye_and_vault_a_revocation() {
    for (broker, kind, parting) in
        [(true, "broker", "POST vouchsafe/goodbye"), (false, "direct", "POST auth/token/revoke-self")]
    {
        let vault = vault(broker, 1).await;
        let mut pod = Pod::new(&plan(&vault, kind, "hook", 20, 1));
        let sidecar = ready(&mut pod).await;
        pod.signal(sidecar, Signal::TERM);
        assert_eq!(pod.ended(sidecar, SOON), Some(0));
        assert_eq!(vault.count(parting), 1, "{:?}", vault.log());
        assert_eq!(pod.file("f0").as_deref(), Some("canary-value-0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_hold_up_the_pod_s_end() {
    let vault = vault(true, 1).await;
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 20, 1));
    let sidecar = ready(&mut pod).await;
    vault.set(Mode::Hangs);
    pod.signal(sidecar, Signal::TERM);
    assert_eq!(pod.ended(sidecar, Duration::from_secs(6)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_is_signalled_through_its_wrapper_and_its_exit_code_is_passed_on() {
    let vault = vault(true, 1).await;
    let mut text = plan(&vault, "broker", "hook", 20, 1);
    text["reactions"] = json!([{"container": "dex", "files": [0], "action": {"signal": "SIGHUP"}}]);
    let mut pod = Pod::new(&text);
    ready(&mut pod).await;
    let app_root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(app_root.path().join("vouchsafe/internal")).unwrap();
    let run = pod.path("/vouchsafe/internal/run/dex");
    assert!(run.join("vouchsafe-sidecar").exists());
    std::os::unix::fs::symlink(&run, app_root.path().join("vouchsafe/internal/run")).unwrap();
    let script = app_root.path().join("app.sh");
    std::fs::write(
        &script,
        "trap 'echo told >> told' HUP\ntrap 'exit 7' TERM\ntouch up\nwhile :; do sleep 0.05; done\n",
    )
    .unwrap();
    let mut app =
        pod::command(app_root.path(), app_root.path(), &pod.plan, &format!("exec -- /bin/sh {}", script.display()))
            .spawn()
            .unwrap();
    until("the app runs", SOON, || app_root.path().join("up").exists()).await;
    vault.put("secret/app/s0", json!({"password": "new"}));
    until("the app is told", SOON, || app_root.path().join("told").exists()).await;
    assert_eq!(pod.file("f0").as_deref(), Some("new"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&app), Signal::TERM).unwrap();
    until("the app ends", SOON, || app.try_wait().unwrap().is_some()).await;
    assert_eq!(app.wait().unwrap().code(), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_is_called_by_http_and_called_again_when_it_refuses() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let vault = vault(true, 1).await;
    let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut text = plan(&vault, "broker", "hook", 20, 1);
    let call = json!({"port": app.local_addr().unwrap().port(), "path": "/-/reload", "method": "POST"});
    text["reactions"] = json!([{"container": "dex", "files": [0], "action": {"http": call}}]);
    let mut pod = Pod::new(&text);
    ready(&mut pod).await;
    vault.put("secret/app/s0", json!({"password": "new"}));
    for answer in ["HTTP/1.1 503 no\r\n\r\n", "HTTP/1.1 204 yes\r\n\r\n"] {
        let (mut stream, _) = tokio::time::timeout(SOON, app.accept()).await.unwrap().unwrap();
        let mut head = [0; 17];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"POST /-/reload HT");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    assert!(tokio::time::timeout(Duration::from_secs(1), app.accept()).await.is_err(), "told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_message_status_or_argument_holds_a_value_token_or_jwt() {
    let vault = vault(true, 2).await;
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 20, 2));
    let sidecar = ready(&mut pod).await;
    vault.put("secret/app/s0", json!({"other": CANARY}));
    until("the missing key is reported", SOON, || pod.log("run").contains("E-SEC-002")).await;
    let status = pod.command("status").output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("\"ready\":true") && status.contains("argocd-sso/s1"), "{status}");
    let arguments = std::fs::read(format!("/proc/{}/cmdline", pod.child(sidecar).id())).unwrap_or_default();
    pod.signal(sidecar, Signal::TERM);
    pod.ended(sidecar, SOON);
    let all = format!(
        "{}{}{status}{}{}",
        pod.log("run"),
        pod.log("wait"),
        pod.message(),
        String::from_utf8_lossy(&arguments)
    );
    assert!(!all.contains("canary"), "{all}");
    assert!(all.contains("ready"), "the log is there at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_killed_again_and_again_never_shows_a_mixture() {
    let vault = vault(true, 3).await;
    let mut pod = Pod::new(&plan(&vault, "broker", "hook", 20, 3));
    ready(&mut pod).await;
    for round in 0..6_u64 {
        for index in 0..3 {
            vault.put(&format!("secret/app/s{index}"), json!({"password": format!("r{round}")}));
        }
        tokio::time::sleep(Duration::from_millis(7 * round)).await;
        let last = if round == 0 { 0 } else { pod.last() };
        pod.signal(last, Signal::KILL);
        pod.ended(last, SOON);
        let generation = std::fs::read_link(pod.path("/vouchsafe/internal/volumes/0/..data")).unwrap();
        for name in ["f0", "f1", "f2"] {
            assert!(pod.path("/vouchsafe/internal/volumes/0").join(&generation).join(name).exists());
        }
        pod.start("wait");
        pod.start("run");
        let files = || (0..3).all(|index| pod.file(&format!("f{index}")) == Some(format!("r{round}")));
        until("the newest is there after the kill", SOON, files).await;
    }
    assert_eq!(vault.count("POST auth/kubernetes/login"), 1);
}
