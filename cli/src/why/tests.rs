//! A table of causes: what the cluster shows, and what is said about it.

use serde_json::{Map, Value, json};

use super::facts::{Event, Facts, Look, VaultFacts, Verdict};
use super::judge::{code_in, judge};

/// An injected pod that runs as `app`, with the given statuses of the sidecar and the app.
fn pod(sidecar: &Value, app: &Value) -> Value {
    json!({
        "metadata": {"name": "web-1", "namespace": "ci", "annotations": {"vouchsafe.dev/inject": "web"}},
        "spec": {"serviceAccountName": "web", "initContainers": [{"name": "vouchsafe-sidecar"}], "containers": [{"name": "app"}]},
        "status": {"phase": "Pending", "initContainerStatuses": [sidecar], "containerStatuses": [app]},
    })
}

fn waiting(name: &str, reason: &str) -> Value {
    json!({"name": name, "image": "registry.example/image:1", "ready": false, "state": {"waiting": {"reason": reason, "message": "told"}}})
}

fn running(name: &str) -> Value {
    json!({"name": name, "ready": true, "started": true, "state": {"running": {}}})
}

/// A sidecar that ended with a message and is tried again.
fn ended(message: &str) -> Value {
    json!({"name": "vouchsafe-sidecar", "ready": false, "started": false,
           "state": {"waiting": {"reason": "CrashLoopBackOff"}},
           "lastState": {"terminated": {"exitCode": 69, "reason": "Error", "message": message}}})
}

fn grant(compiled: Option<&str>) -> Value {
    let condition = compiled.map(|message| json!([{"type": "Compiled", "status": "False", "message": message}]));
    json!({"metadata": {"name": "web", "namespace": "ci"}, "spec": {"serviceAccounts": ["web"]}, "status": {"conditions": condition}})
}

fn facts(pod: Value) -> Facts {
    Facts {
        namespace: "ci".to_owned(),
        name: "web-1".to_owned(),
        pod: Some(pod),
        grants: Some(vec![grant(None)]),
        audience: "vouchsafe".to_owned(),
        ..Facts::default()
    }
}

fn failing(message: &str) -> Facts {
    facts(pod(&ended(message), &waiting("app", "PodInitializing")))
}

fn workload(message: &str) -> Facts {
    let template =
        json!({"metadata": {"annotations": {"vouchsafe.dev/inject": "web"}}, "spec": {"serviceAccountName": "web"}});
    Facts {
        pod: None,
        name: "web".to_owned(),
        owners: vec![json!({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template}})],
        events: vec![Event {
            reason: "FailedCreate".to_owned(),
            message: message.to_owned(),
            kind: "ReplicaSet".to_owned(),
            last: String::new(),
        }],
        ..facts(Value::Null)
    }
}

fn with_vault(mut facts: Facts, role: Look, policy: Look) -> Facts {
    facts.vault = Some(VaultFacts { address: "https://bao:8200".to_owned(), sealed: Some(false), role, policy });
    facts
}

fn found(value: &Value) -> Look {
    Look::Found(value.as_object().cloned().unwrap_or_else(Map::new))
}

#[track_caller]
fn says(facts: &Facts, code: Option<&str>, cause: &str, command: &str) {
    let verdict: Verdict = judge(facts);
    assert!(!verdict.is_fine, "{verdict:?}");
    assert_eq!(verdict.code.as_deref(), code, "{verdict:?}");
    assert!(verdict.cause.contains(cause), "{verdict:?}");
    assert!(verdict.command.contains(command), "{verdict:?}");
    assert!(!verdict.cause.contains('\n') && !verdict.command.is_empty() && !verdict.seen.is_empty());
}

#[test]
fn a_pod_without_annotation_asks_for_nothing() {
    let plain = json!({"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "app"}]}, "status": {}});
    says(&facts(plain), None, "asks for no secrets", "get pod/web-1");
}

#[test]
fn an_annotation_on_the_workload_itself_is_pointed_at() {
    let plain = json!({"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "app"}]}, "status": {}});
    let mut facts = facts(plain);
    facts.owners =
        vec![json!({"kind": "Deployment", "metadata": {"name": "web", "annotations": {"vouchsafe.dev/inject": "web"}},
                               "spec": {"template": {"spec": {}}}})];
    says(&facts, None, "stands on the Deployment itself", "patch deployment/web --type merge");
}

#[test]
fn a_pod_older_than_its_annotation_wants_a_restart() {
    let plain = json!({"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "app"}]}, "status": {}});
    let mut facts = facts(plain);
    facts.owners = workload("").owners;
    says(&facts, None, "older than the annotation", "rollout restart deployment/web");
}

#[test]
fn an_annotated_pod_without_our_container_was_not_injected() {
    let mut bare = pod(&running("x"), &running("app"));
    bare["spec"]["initContainers"] = json!([]);
    says(&facts(bare), None, "was not injected", "delete pod web-1");
}

#[test]
fn a_webhook_that_could_not_be_asked_is_found_in_the_owners_events() {
    let facts = workload(
        "Internal error occurred: failed calling webhook \"pods.vouchsafe.dev\": failed to call webhook: Post \"https://x\": dial tcp: \
         connection refused",
    );
    says(&facts, Some("failed calling webhook \"pods.vouchsafe.dev\""), "connection refused", "vouchsafe doctor");
}

#[test]
fn a_refusal_of_the_webhook_is_told_in_its_own_words() {
    let denied = "admission webhook \"pods.vouchsafe.dev\" denied the request: vouchsafe.dev/inject: Grant \"web\" does not exist in ci";
    let mut facts = workload(denied);
    facts.grants = Some(Vec::new());
    says(&facts, None, "the webhook refused the pod: vouchsafe.dev/inject: Grant", "kubectl -n ci get grants");
    facts.grants = Some(vec![grant(None)]);
    says(&facts, None, "the webhook refused the pod", "vouchsafe explain");
}

#[test]
fn an_admission_policy_that_refused_means_that_the_webhook_is_not_configured() {
    let facts = workload(
        "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'vouchsafe-pods' with binding 'x' denied request: not injected",
    );
    says(&facts, None, "the webhook configuration is gone", "vouchsafe doctor");
}

#[test]
fn a_full_quota_is_told() {
    let facts = workload("pods \"web-x\" is forbidden: exceeded quota: team, requested: memory=1Gi");
    says(&facts, None, "quota has no room", "describe resourcequota");
}

#[test]
fn pod_security_that_refuses_is_told() {
    let facts = workload("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true");
    says(&facts, None, "runAsNonRoot", "get namespace ci");
}

#[test]
fn a_workload_that_is_scaled_to_nothing_has_no_pod() {
    let mut facts = workload("");
    facts.events.clear();
    facts.owners[0]["spec"]["replicas"] = json!(0);
    says(&facts, None, "scaled to 0", "--replicas=1");
}

#[test]
fn what_is_not_there_is_not_there() {
    let mut facts = facts(Value::Null);
    facts.pod = None;
    says(&facts, None, "there is no pod or workload web-1", "get pods");
}

const NO_ROLE: &str =
    "vouchsafe-sidecar: ci/web-1: login: Vault has no role \"vouchsafe.ci.web\"; run 'vouchsafe apply' (E-VLT-010)";

#[test]
fn a_missing_role_is_a_missing_grant_a_refused_one_or_one_that_was_never_applied() {
    let mut facts = failing(NO_ROLE);
    says(&facts, Some("E-VLT-010"), "was never applied", "vouchsafe apply");
    facts.grants = Some(Vec::new());
    says(&facts, Some("E-VLT-010"), "Grant ci/web, which the pod names, does not exist", "get grants");
    facts.grants = Some(vec![grant(Some("spec.secrets[0].path: no data/ here"))]);
    says(&facts, Some("E-VLT-010"), "is refused: spec.secrets[0].path", "edit grant web");
    let facts = with_vault(failing(NO_ROLE), Look::Absent, Look::Absent);
    says(&facts, Some("E-VLT-010"), "role vouchsafe.ci.web is not", "vouchsafe apply");
    let facts = with_vault(failing(NO_ROLE), found(&json!({})), Look::Absent);
    says(&facts, Some("E-VLT-010"), "exists by now", "delete pod web-1");
}

#[test]
fn a_refused_login_names_the_field_that_does_not_fit() {
    let message = "login: Vault refuses ci/web as role \"vouchsafe.ci.web\" (invalid audience) (E-VLT-011)";
    let role = |names: Value, namespaces: Value, audience: &str| {
        found(
            &json!({"bound_service_account_names": names, "bound_service_account_namespaces": namespaces, "audience": audience}),
        )
    };
    for (role, cause) in [
        (role(json!(["other"]), json!(["ci"]), "vouchsafe"), "not for service account web"),
        (role(json!(["web"]), json!(["x"]), "vouchsafe"), "not for namespace ci"),
        (role(json!(["web"]), json!(["ci"]), "vault"), "wants audience \"vault\", the pod's token has \"vouchsafe\""),
    ] {
        let facts = with_vault(failing(message), role, Look::Unknown);
        says(&facts, Some("E-VLT-011"), cause, "vouchsafe apply --policies GRANTS --dry-run");
    }
    let facts = with_vault(failing(message), role(json!(["*"]), json!(["ci"]), ""), Look::Unknown);
    says(&facts, Some("E-VLT-011"), "reviewer", "vouchsafe doctor --reviewer");
    says(&failing(message), Some("E-VLT-011"), "invalid audience", "--dry-run");
}

#[test]
fn a_denied_read_is_a_policy_that_is_missing_or_old_or_a_grant_for_somebody_else() {
    let message = "read web/db: Vault denies \"secret/data/ci/db\" to role \"vouchsafe.ci.web\"; run 'vouchsafe apply' (E-VLT-020)";
    says(&failing(message), Some("E-VLT-020"), "Vault denies", "vouchsafe apply");
    says(
        &with_vault(failing(message), Look::Unknown, Look::Absent),
        Some("E-VLT-020"),
        "does not exist on the server",
        "apply",
    );
    says(
        &with_vault(failing(message), Look::Unknown, found(&json!({}))),
        Some("E-VLT-020"),
        "older than the Grant",
        "apply",
    );
    let mut facts = failing(message);
    facts.grants.as_mut().unwrap()[0]["spec"]["serviceAccounts"] = json!(["other"]);
    says(&facts, Some("E-VLT-020"), "does not name service account web", "edit grant web");
}

#[test]
fn missing_secrets_and_keys_come_with_the_line_that_puts_them() {
    let secret = "read web/db: there is nothing at secret/ci/db; run 'vouchsafe put secret/ci/db password' (E-SEC-001)";
    says(&failing(secret), Some("E-SEC-001"), "nothing at secret/ci/db", "vouchsafe put secret/ci/db password");
    let key = "E-SEC-002 read web/db: has no key password; run 'vouchsafe put secret/ci/db password'";
    says(&failing(key), Some("E-SEC-002"), "no key password", "vouchsafe put secret/ci/db password");
}

#[test]
fn an_unreachable_server_points_at_the_egress_rule_where_egress_is_limited() {
    let message = "login: https://vouchsafe-broker.vouchsafe.svc:8200 does not answer in time (E-NET-003)";
    let mut facts = failing(message);
    says(&facts, Some("E-NET-003"), "or a NetworkPolicy lacks egress", "get networkpolicy");
    facts.egress_is_limited = Some(true);
    says(
        &facts,
        Some("E-NET-003"),
        "limits egress: allow egress to the server's port (8200)",
        "egress rule of docs/install.md",
    );
    facts.egress_is_limited = Some(false);
    says(&facts, Some("E-NET-003"), "no NetworkPolicy of its namespace limits egress", "vouchsafe doctor");
    let mut facts = failing("login: no address for vouchsafe-broker (E-NET-001)");
    facts.egress_is_limited = Some(true);
    says(&facts, Some("E-NET-001"), "DNS (port 53)", "egress rule");
}

#[test]
fn a_sealed_server_wants_to_be_unsealed() {
    says(&failing("login: Vault is sealed (E-VLT-001)"), Some("E-VLT-001"), "sealed", "operator unseal");
    let mut facts = with_vault(failing("login: no answer (E-NET-003)"), Look::Unknown, Look::Unknown);
    facts.vault.as_mut().unwrap().sealed = Some(true);
    says(&facts, Some("E-NET-003"), "the server is sealed", "operator unseal");
}

#[test]
fn images_that_cannot_be_pulled_are_told_apart_by_whose_they_are() {
    let ours = facts(pod(&waiting("vouchsafe-sidecar", "ImagePullBackOff"), &waiting("app", "PodInitializing")));
    says(&ours, None, "the sidecar's image cannot be pulled", "imagePullSecrets");
    let apps = facts(pod(&running("vouchsafe-sidecar"), &waiting("app", "ErrImagePull")));
    says(&apps, None, "an image of the app cannot be pulled", "describe pod web-1");
}

#[test]
fn a_pod_that_no_node_takes_is_told_with_the_schedulers_words() {
    let mut waits = pod(&waiting("vouchsafe-sidecar", ""), &waiting("app", ""));
    waits["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: Insufficient memory"}]});
    says(&facts(waits), None, "Insufficient memory", "describe pod web-1");
}

#[test]
fn a_volume_that_cannot_be_mounted_is_told() {
    let mut facts = facts(pod(&waiting("vouchsafe-sidecar", "PodInitializing"), &waiting("app", "PodInitializing")));
    facts.events = vec![Event {
        reason: "FailedMount".to_owned(),
        message: "MountVolume.SetUp failed for volume \"config\"".to_owned(),
        kind: "Pod".to_owned(),
        last: String::new(),
    }];
    says(&facts, None, "volume \"config\"", "describe pod web-1");
}

#[test]
fn a_sidecar_out_of_memory_and_one_still_at_work_are_told_apart() {
    let mut killed = ended("");
    killed["lastState"]["terminated"]["reason"] = json!("OOMKilled");
    says(
        &facts(pod(&killed, &waiting("app", "PodInitializing"))),
        None,
        "more memory than its limit",
        "delete pod web-1",
    );
    let young = json!({"name": "vouchsafe-sidecar", "ready": false, "started": false, "state": {"running": {}}});
    says(&facts(pod(&young, &waiting("app", "PodInitializing"))), Some("E-GAT-003"), "still at work", "logs web-1");
}

#[test]
fn other_codes_are_told_in_the_containers_own_words() {
    says(
        &failing("template ch.xml: line 3: no such key (E-TPL-001)"),
        Some("E-TPL-001"),
        "line 3",
        "logs web-1 -c vouchsafe-sidecar",
    );
}

#[test]
fn what_is_fine_is_fine_and_an_app_that_fails_by_itself_is_not_our_cause() {
    let verdict = judge(&facts(pod(&running("vouchsafe-sidecar"), &running("app"))));
    assert!(verdict.is_fine && verdict.cause == "the pod has its secrets", "{verdict:?}");
    let mut crashing = waiting("app", "CrashLoopBackOff");
    crashing["lastState"] = json!({"terminated": {"exitCode": 3}});
    let verdict = judge(&facts(pod(&running("vouchsafe-sidecar"), &crashing)));
    assert!(verdict.is_fine && verdict.cause.contains("container app ends by itself: exit code 3"), "{verdict:?}");
    assert!(verdict.command.ends_with("-c app --previous"));
}

#[test]
fn an_old_message_of_a_sidecar_that_works_again_is_history() {
    let mut recovered = running("vouchsafe-sidecar");
    recovered["lastState"] = json!({"terminated": {"exitCode": 69, "message": "login: Vault is sealed (E-VLT-001)"}});
    assert!(judge(&facts(pod(&recovered, &running("app")))).is_fine);
}

#[test]
fn what_the_verdict_says_anyway_is_not_said_twice() {
    for message in [
        "vouchsafe-sidecar: ci/web-1: read web/db: it is gone (E-SEC-003)",
        "E-SEC-003 vouchsafe-sidecar: ci/web-1: read web/db: it is gone",
        "E-SEC-003: read web/db: it is gone",
    ] {
        assert_eq!(judge(&failing(message)).cause, "read web/db: it is gone");
    }
}

#[test]
fn texts_of_others_are_one_bounded_line() {
    let verdict = judge(&failing(&format!("x\u{1b}[31m\n{} (E-TPL-001)", "y".repeat(2000))));
    assert!(verdict.cause.len() < 500 && !verdict.cause.contains(['\u{1b}', '\n']), "{verdict:?}");
}

#[test]
fn codes_are_found_anywhere_and_nothing_else_is_one() {
    assert_eq!(code_in("a: b (E-VLT-010)").as_deref(), Some("E-VLT-010"));
    assert_eq!(code_in("E-SEC-001 a: b").as_deref(), Some("E-SEC-001"));
    for none in ["", "E-VLT", "E-vlt-010", "E-VLT-0100", "PRE-E-VLT-010x", "E-VLT-010-1"] {
        assert_eq!(code_in(none), None, "{none}");
    }
}
