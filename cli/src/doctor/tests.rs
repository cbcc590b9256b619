//! Checks against made-up observations: a healthy installation, and each thing that can be wrong with it.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::checks::all;
use super::exit_code;
use super::facts::{Check, Facts, Probe, Refusal, Seen, Status, VaultSeen};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A root and a certificate for the webhook that it signed, valid around [`now`].
fn pki(days_left: u64) -> (String, String) {
    let host = "vouchsafe-webhook.vouchsafe.svc";
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    root.distinguished_name.push(rcgen::DnType::CommonName, "root");
    let day = Duration::from_secs(24 * 3600);
    root.not_before = (now() - day).into();
    root.not_after = (now() + 1000 * day).into();
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&root_pem, root_key).unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    leaf.not_before = (now() - 60 * day).into();
    leaf.not_after = (now() + u32::try_from(days_left).unwrap() * day).into();
    (root_pem, leaf.signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap().pem())
}

fn configuration(bundle: &str, policy: &str, expression: &str) -> Value {
    use base64::Engine as _;
    let bundle = base64::engine::general_purpose::STANDARD.encode(bundle);
    json!({"webhooks": [{
        "name": "pods.vouchsafe.dev", "failurePolicy": policy, "matchConditions": [{"name": "asks", "expression": expression}],
        "clientConfig": {"service": {"name": "vouchsafe-webhook", "namespace": "vouchsafe"}, "caBundle": bundle},
    }]})
}

const OURS: &str = "'vouchsafe.dev/inject' in object.metadata.annotations";

fn injected(audience: &str) -> Value {
    json!({"spec": {
        "initContainers": [{"name": "vouchsafe-sidecar"}],
        "volumes": [{"name": "vouchsafe-token", "projected": {"sources": [{"serviceAccountToken": {"audience": audience}}]}}],
    }})
}

fn role(audience: &str) -> Seen<serde_json::Map<String, Value>> {
    Seen::Found(json!({"audience": audience}).as_object().cloned().unwrap())
}

fn healthy() -> Facts {
    let (root, leaf) = pki(60);
    let grant = json!({"metadata": {"name": "g", "namespace": "ci"}, "spec": {"serviceAccounts": ["app"]},
                       "status": {"conditions": [{"type": "Compiled", "status": "True"}]}});
    Facts {
        now: now(),
        installation: "vouchsafe".to_owned(),
        release: "vouchsafe".to_owned(),
        audience: "vouchsafe".to_owned(),
        pods_configuration: Seen::Found(configuration(&root, "Fail", OURS)),
        warnings_configuration: Seen::Found(configuration(&root, "Ignore", OURS)),
        endpoints: Seen::Found(2),
        probe: Probe::Admitted(Box::new(injected("vouchsafe"))),
        probed: Some("ci/g".to_owned()),
        certificates: vec![("vouchsafe-webhook-tls".to_owned(), Seen::Found(leaf))],
        trust: Seen::Found(root),
        policies: Seen::Found(vec![json!({"metadata": {"name": "vouchsafe-pods"}})]),
        bindings: Seen::Found(vec![json!({"spec": {"policyName": "vouchsafe-pods", "validationActions": ["Deny"]}})]),
        lease: Seen::Found(json!({"spec": {"holderIdentity": "one", "renewTime": "2027-01-15T07:59:55.000000Z"}})),
        refusals: Seen::Found(Vec::new()),
        grants: Seen::Found(vec![grant]),
        reviewer: Some(("openbao/openbao".to_owned(), Seen::Found(true))),
        cluster_clock: Seen::Found(1),
        vault: Some(VaultSeen {
            address: "https://bao:8200".to_owned(),
            health: Ok((200, json!({"initialized": true, "sealed": false, "standby": false, "version": "2.4.0"}))),
            clock: Seen::Found(-1),
            roles: vec![("auth/kubernetes/role/vouchsafe.ci.app".to_owned(), role("vouchsafe"))],
        }),
    }
}

#[track_caller]
fn one(facts: &Facts, name: &str) -> Check {
    let checks = all(facts);
    checks.into_iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no check {name}"))
}

#[track_caller]
fn says(facts: &Facts, name: &str, status: Status, said: &str) {
    let check = one(facts, name);
    assert_eq!(check.status, status, "{check:?}");
    assert!(check.said.contains(said), "{check:?}");
    let wants_command = matches!(status, Status::Warn | Status::Fail);
    assert_eq!(wants_command, !check.command.is_empty(), "{check:?}");
}

#[test]
fn a_healthy_installation_passes_every_check() {
    let checks = all(&healthy());
    for check in &checks {
        assert_eq!(check.status, Status::Ok, "{check:?}");
    }
    assert_eq!((checks.len(), exit_code(&checks)), (16, 0));
}

#[test]
fn the_webhook_configuration_is_there_and_as_shipped() {
    let name = "webhook configuration";
    let mut facts = healthy();
    let (root, _) = pki(1);
    facts.pods_configuration = Seen::Found(configuration(&root, "Ignore", OURS));
    says(&facts, name, Status::Fail, "failurePolicy is not Fail");
    facts.pods_configuration = Seen::Found(configuration(&root, "Fail", "true"));
    says(&facts, name, Status::Fail, "every pod depends");
    facts.pods_configuration = Seen::Absent;
    says(&facts, name, Status::Fail, "does not exist");
    facts.pods_configuration = Seen::Unknown("403 forbidden".to_owned());
    says(&facts, name, Status::Skipped, "403");
    facts.warnings_configuration = Seen::Found(configuration(&root, "Fail", OURS));
    says(&facts, "warnings at kubectl apply", Status::Warn, "not Ignore");
    facts.warnings_configuration = Seen::Absent;
    says(&facts, "warnings at kubectl apply", Status::Warn, "does not exist");
}

#[test]
fn the_webhook_has_two_ready_pods() {
    let mut facts = healthy();
    facts.endpoints = Seen::Found(1);
    says(&facts, "webhook pods", Status::Warn, "one pod");
    facts.endpoints = Seen::Found(0);
    says(&facts, "webhook pods", Status::Fail, "annotated pods are refused");
}

#[test]
fn the_dry_run_tells_unreachable_bare_refusing_and_answering_webhooks_apart() {
    let name = "injection (dry run)";
    let mut facts = healthy();
    for (message, status, said) in [
        (
            "failed calling webhook \"pods.vouchsafe.dev\": x509: unknown authority",
            Status::Fail,
            "x509: unknown authority",
        ),
        ("ValidatingAdmissionPolicy 'vouchsafe-pods' denied request: bare", Status::Fail, "was not asked"),
        (
            "admission webhook \"pods.vouchsafe.dev\" denied the request: command is missing",
            Status::Warn,
            "command is missing",
        ),
        ("exceeded quota: team", Status::Skipped, "before it came to the webhook"),
    ] {
        facts.probe = Probe::Refused(message.to_owned());
        says(&facts, name, status, said);
    }
    facts.probe = Probe::Admitted(Box::new(json!({"spec": {"containers": [{"name": "app"}]}})));
    says(&facts, name, Status::Fail, "without being injected");
    facts.probe = Probe::Untried("you may not".to_owned());
    says(&facts, name, Status::Skipped, "you may not");
    facts.probed = None;
    facts.probe =
        Probe::Refused("admission webhook \"pods.vouchsafe.dev\" denied the request: no such Grant".to_owned());
    says(&facts, name, Status::Ok, "the webhook answers");
}

#[test]
fn a_ca_bundle_is_checked_as_the_api_server_does() {
    let mut facts = healthy();
    facts.probe = Probe::Untried(String::new());
    says(&facts, "caBundle", Status::Ok, "vouches for the certificate in Secret vouchsafe-webhook-tls");
    let (foreign, _) = pki(60);
    facts.pods_configuration = Seen::Found(configuration(&foreign, "Fail", OURS));
    says(&facts, "caBundle", Status::Fail, "does not vouch");
    says(&facts, "trust bundle", Status::Warn, "differs from the caBundle");
    facts.pods_configuration = Seen::Found(configuration("", "Fail", OURS));
    says(&facts, "caBundle", Status::Fail, "is empty");
    facts.pods_configuration = healthy().pods_configuration;
    facts.certificates = vec![("vouchsafe-webhook-tls".to_owned(), Seen::Unknown("403".to_owned()))];
    says(&facts, "caBundle", Status::Skipped, "403");
}

#[test]
fn certificates_that_end_or_were_not_renewed_are_told() {
    let mut facts = healthy();
    facts.certificates = vec![("vouchsafe-webhook-tls".to_owned(), Seen::Found(pki(5).1))];
    says(&facts, "certificates' end", Status::Warn, "ends in 5 days and should have been renewed");
    facts.now += Duration::from_secs(6 * 24 * 3600);
    says(&facts, "certificates' end", Status::Fail, "Secret vouchsafe-webhook-tls has expired");
    facts.certificates = vec![("vouchsafe-webhook-tls".to_owned(), Seen::Found("garbage".to_owned()))];
    says(&facts, "certificates' end", Status::Fail, "is no PEM certificate");
}

#[test]
fn a_controller_whose_lease_is_old_or_free_does_not_work() {
    let mut facts = healthy();
    for spec in [
        json!({"holderIdentity": "", "renewTime": "2027-01-15T07:59:55.000000Z"}),
        json!({"holderIdentity": "one", "renewTime": "2027-01-15T07:50:00.000000Z"}),
        json!({}),
    ] {
        facts.lease = Seen::Found(json!({"spec": spec}));
        says(&facts, "controller", Status::Fail, "nobody holds its Lease");
    }
}

#[test]
fn admission_policies_exist_and_deny() {
    let mut facts = healthy();
    facts.bindings =
        Seen::Found(vec![json!({"spec": {"policyName": "vouchsafe-pods", "validationActions": ["Audit"]}})]);
    says(&facts, "admission policies", Status::Fail, "does nothing");
    facts.policies = Seen::Found(Vec::new());
    says(&facts, "admission policies", Status::Fail, "vouchsafe-pods does not exist");
    facts.policies = Seen::Absent;
    says(&facts, "admission policies", Status::Skipped, "no ValidatingAdmissionPolicies");
}

#[test]
fn workloads_in_back_off_because_of_us_are_told_while_it_matters() {
    let refusal =
        |age_seconds| Refusal { namespace: "ci".to_owned(), owner: "ReplicaSet web-1".to_owned(), age_seconds };
    let mut facts = healthy();
    facts.refusals = Seen::Found(vec![refusal(500), refusal(20), refusal(90_000)]);
    says(
        &facts,
        "workloads refused while we were away",
        Status::Warn,
        "2 workloads (the newest: ReplicaSet web-1 in ci, 20 s ago)",
    );
    facts.refusals = Seen::Found(vec![refusal(90_000)]);
    says(&facts, "workloads refused while we were away", Status::Ok, "none in the last hour");
}

#[test]
fn grants_that_are_refused_or_not_looked_at_are_told() {
    let mut facts = healthy();
    let grant =
        |conditions: Value| json!({"metadata": {"name": "g", "namespace": "ci"}, "status": {"conditions": conditions}});
    facts.grants = Seen::Found(vec![grant(json!([{"type": "Compiled", "status": "False", "message": "spec: no"}]))]);
    says(&facts, "Grants", Status::Warn, "Grant ci/g is refused: spec: no");
    facts.grants = Seen::Found(vec![grant(json!([]))]);
    says(&facts, "Grants", Status::Warn, "has no status");
    facts.grants = Seen::Absent;
    says(&facts, "Grants", Status::Fail, "does not exist");
}

#[test]
fn clocks_that_differ_warn_and_then_fail() {
    let mut facts = healthy();
    for (ahead, status) in [
        (9, Status::Ok),
        (-9, Status::Ok),
        (10, Status::Warn),
        (-59, Status::Warn),
        (60, Status::Fail),
        (-9999, Status::Fail),
    ] {
        facts.cluster_clock = Seen::Found(ahead);
        says(&facts, "clock of the API server", status, &format!("by {ahead} s"));
    }
}

#[test]
fn vault_is_told_apart_by_its_health() {
    let mut facts = healthy();
    let mut look = |health: Result<(u16, Value), String>, status, said| {
        facts.vault.as_mut().unwrap().health = health;
        says(&facts, "Vault", status, said);
    };
    look(Err("connection refused".to_owned()), Status::Fail, "connection refused");
    look(Ok((501, json!({"initialized": false, "sealed": true}))), Status::Fail, "not initialised");
    look(Ok((503, json!({"initialized": true, "sealed": true}))), Status::Fail, "sealed");
    look(Ok((429, json!({"initialized": true, "sealed": false, "standby": true}))), Status::Warn, "standby");
    look(Ok((404, json!(null))), Status::Fail, "no Vault or OpenBao");
    facts.vault = None;
    says(&facts, "Vault", Status::Skipped, "VAULT_ADDR");
}

#[test]
fn roles_carry_the_audience_that_pods_really_have() {
    let name = "roles and their audience";
    let mut facts = healthy();
    facts.probe = Probe::Admitted(Box::new(injected("other")));
    says(&facts, name, Status::Fail, "has audience \"vouchsafe\", the injected pod's token has \"other\"");
    let mut facts = healthy();
    facts.vault.as_mut().unwrap().roles = vec![("auth/kubernetes/role/vouchsafe.ci.app".to_owned(), Seen::Absent)];
    says(&facts, name, Status::Fail, "never applied");
    facts.vault.as_mut().unwrap().roles =
        vec![("auth/kubernetes/role/vouchsafe.ci.app".to_owned(), Seen::Unknown("no token".to_owned()))];
    says(&facts, name, Status::Skipped, "no token");
    let Seen::Found(grants) = &mut facts.grants else { panic!() };
    grants[0]["spec"]["vault"] = json!({"audience": "special"});
    facts.vault.as_mut().unwrap().roles = vec![("auth/kubernetes/role/vouchsafe.ci.app".to_owned(), role("special"))];
    says(&facts, name, Status::Ok, "1 roles");
}

#[test]
fn the_reviewer_may_review() {
    let mut facts = healthy();
    facts.reviewer = Some(("openbao/openbao".to_owned(), Seen::Found(false)));
    says(&facts, "reviewer of tokens", Status::Fail, "may not create tokenreviews");
    assert!(one(&facts, "reviewer of tokens").command.contains("--serviceaccount openbao:openbao"));
    facts.reviewer = None;
    says(&facts, "reviewer of tokens", Status::Skipped, "--reviewer");
}

#[test]
fn the_worst_check_decides_the_exit_code() {
    let with = |status| super::checks::check("x", status, "y", "");
    assert_eq!(exit_code(&[with(Status::Ok), with(Status::Skipped)]), 0);
    assert_eq!(exit_code(&[with(Status::Warn), with(Status::Ok)]), 2);
    assert_eq!(exit_code(&[with(Status::Warn), with(Status::Fail)]), 1);
}
