//! What lasts beyond one process: the classic form's hand-over, leases, and tokens of the kubelet that are replaced.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::pod::{Pod, plan, until};
use crate::vault::{Mode, Vault};
use crate::{SOON, ready, vault};

/// A Plan whose first secret is a credential with a lease.
fn leased(vault: &Vault, kind: &str, injection: &str) -> Value {
    let mut plan = plan(vault, kind, "hook", 20, 2);
    plan["injection"] = json!(injection);
    plan["secrets"][0]["engine"] = json!("generic");
    plan["secrets"][0]["mount"] = json!("creds");
    plan["secrets"][0]["path"] = json!("app");
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_sidecar_goes_on_from_its_init_container_without_login_or_new_credential() {
    let vault = vault(true, 2).await;
    let mut pod = Pod::new(&leased(&vault, "broker", "classic"));
    let init = pod.start("init");
    assert_eq!(pod.ended(init, SOON), Some(0), "{}", pod.log("init"));
    assert_eq!(pod.file("f0").as_deref(), Some("canary-minted-1"));
    assert_eq!(vault.count("POST vouchsafe/goodbye"), 0, "the pod has only begun");
    let sidecar = pod.start("run");
    until("a watch is held", SOON, || vault.count("POST vouchsafe/watch") >= 1).await;
    assert_eq!(vault.count("POST auth/kubernetes/login"), 1);
    assert_eq!(vault.count("GET creds/app"), 1);
    vault.put("secret/app/s1", json!({"password": "new"}));
    until("a change arrives", SOON, || pod.file("f1").as_deref() == Some("new")).await;
    pod.signal(sidecar, Signal::TERM);
    assert_eq!(pod.ended(sidecar, SOON), Some(0));
    assert_eq!(vault.count("POST vouchsafe/goodbye"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_container_that_gets_nothing_says_why_and_is_tried_again() {
    let vault = vault(true, 2).await;
    vault.set(Mode::Sealed);
    let mut text = leased(&vault, "broker", "classic");
    text["waitSeconds"] = json!(1);
    let mut pod = Pod::new(&text);
    let init = pod.start("init");
    assert_eq!(pod.ended(init, SOON), Some(69));
    assert!(pod.message().ends_with("(E-VLT-001)"), "{}", pod.message());
    assert!(pod.file("f0").is_none());
    vault.set(Mode::Works);
    let again = pod.start("init");
    assert_eq!(pod.ended(again, SOON), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_sidecar_follows_the_token_is_given_up_unless_a_lease_hangs_on_it() {
    for (kind, parting) in [("broker", "POST vouchsafe/goodbye"), ("direct", "POST auth/token/revoke-self")] {
        let vault = vault(kind == "broker", 2).await;
        let mut text = plan(&vault, kind, "hook", 20, 2);
        text["injection"] = json!("once");
        let mut pod = Pod::new(&text);
        let init = pod.start("init");
        assert_eq!(pod.ended(init, SOON), Some(0), "{}", pod.log("init"));
        assert_eq!(vault.count(parting), 1, "{:?}", vault.log());
        let mut pod = Pod::new(&leased(&vault, kind, "once"));
        let init = pod.start("init");
        assert_eq!(pod.ended(init, SOON), Some(0));
        assert_eq!(vault.count(parting), 1, "the app has only begun to use its credential");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sidecar_makes_no_new_credential() {
    let vault = vault(false, 2).await;
    let mut pod = Pod::new(&leased(&vault, "direct", "native"));
    let sidecar = ready(&mut pod).await;
    pod.signal(sidecar, Signal::KILL);
    pod.ended(sidecar, SOON);
    let again = ready(&mut pod).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((vault.count("GET creds/app"), vault.count("POST auth/kubernetes/login")), (1, 1));
    assert_eq!(pod.file("f0").as_deref(), Some("canary-minted-1"));
    // Straight to Vault a lease is never taken from an app that may still run.
    pod.signal(again, Signal::TERM);
    assert_eq!(pod.ended(again, SOON), Some(0));
    assert_eq!(vault.count("POST auth/token/revoke-self"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_login_takes_the_token_that_the_kubelet_has_put_there_since() {
    let vault = vault(false, 2).await;
    vault.set_lease(12);
    let mut pod = Pod::new(&leased(&vault, "direct", "native"));
    ready(&mut pod).await;
    std::fs::write(pod.path("/vouchsafe/internal/token/token"), "jwt.second.signature\n").unwrap();
    // Near the token's end its server grants no more: the sidecar logs in anew, and its leases come along.
    vault.set_lease(1);
    until("a new login", SOON, || vault.count("POST auth/kubernetes/login") >= 2).await;
    vault.set_lease(3600);
    assert_eq!(
        vault.jwts().get(..2),
        Some(["jwt.canary.signature".to_owned(), "jwt.second.signature".to_owned()].as_slice())
    );
    until("a new credential", SOON, || pod.file("f0").is_some_and(|value| value != "canary-minted-1")).await;
}
