//! Annotations and surveys.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::table::{ANNOTATIONS, NEW_PREFIX, OLD_PREFIX, Verdict};
use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(pairs: &[(&str, &str)]) -> Result<BankVaults, Vec<String>> {
    match Asked::read(&map(pairs), &BTreeMap::new()) {
        Ok(Asked::Yes(wanted)) => Ok(*wanted),
        Ok(Asked::Skip) => panic!("skipped"),
        Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
    }
}

fn none(_: &str, _: &str) -> Option<BTreeMap<String, String>> {
    None
}

#[test]
fn names_are_unique_under_each_prefix_and_what_works_is_used() {
    for (at, entry) in ANNOTATIONS.iter().enumerate() {
        assert!(!entry.new.is_empty());
        for other in &ANNOTATIONS[..at] {
            assert_ne!(entry.new, other.new);
            assert!(entry.old.is_empty() || entry.old != other.old);
        }
    }
}

#[test]
fn every_annotation_is_taken_under_each_of_its_names_or_refused() {
    for entry in ANNOTATIONS {
        let value = match entry.kind {
            table::Kind::Bool => "true",
            table::Kind::Id | table::Kind::Setting => "7",
            table::Kind::Address => "https://vault.test:8200",
            table::Kind::Method => "kubernetes",
            table::Kind::Provider => "bao",
            _ => "some",
        };
        let value = if entry.setting == "VAULT_ENV_DELAY" { "3s" } else { value };
        for name in [format!("{OLD_PREFIX}{}", entry.old), format!("{NEW_PREFIX}{}", entry.new)] {
            if name == OLD_PREFIX {
                continue;
            }
            let result = read(&[(&name, value)]);
            assert_eq!(result.is_err(), entry.verdict == Verdict::Refused, "{name}: {result:?}");
            if let (Ok(wanted), Verdict::Works) = (result, entry.verdict) {
                let changes = wanted != BankVaults::default();
                assert!(changes || matches!(entry.new, "provider" | "vault-auth-method"), "{name} changes nothing");
            }
        }
    }
}

#[test]
fn settings_reach_the_wrapper_by_old_and_new_names() {
    let old = read(&[
        ("vault.security.banzaicloud.io/vault-env-from-path", "secret/data/a, secret/data/b#2"),
        ("vault.security.banzaicloud.io/vault-env-daemon", "true"),
        ("vault.security.banzaicloud.io/vault-env-delay", "3s"),
        ("vault.security.banzaicloud.io/transit-key-id", "k1"),
        ("vault.security.banzaicloud.io/vault-path", "/kube/"),
    ])
    .unwrap();
    let new = read(&[
        ("secrets-webhook.security.bank-vaults.io/vault-from-path", "secret/data/a, secret/data/b#2"),
        ("secrets-webhook.security.bank-vaults.io/secret-init-daemon", "true"),
        ("secrets-webhook.security.bank-vaults.io/secret-init-delay", "3s"),
        ("secrets-webhook.security.bank-vaults.io/bao-transit-key-id", "k1"),
        ("secrets-webhook.security.bank-vaults.io/bao-path", "auth/kube"),
    ])
    .unwrap();
    assert_eq!(old, new);
    assert_eq!(old.settings.from_path, ["secret/data/a", "secret/data/b#2"]);
    assert!(old.settings.daemon && old.settings.delay.as_secs() == 3);
    assert_eq!(old.wish.auth_path.unwrap().as_str(), "auth/kube");
}

#[test]
fn faults_come_all_at_once_with_what_is_wrong_and_what_to_do() {
    let faults = read(&[
        ("vault.security.banzaicloud.io/vault-skip-verify", "true"),
        ("vault.security.banzaicloud.io/vault-addr", "http://vault:8200"),
        ("vault.security.banzaicloud.io/vault-auth-method", "aws-iam"),
        ("vault.security.banzaicloud.io/vault-env-daemon", "maybe"),
        ("vault.security.banzaicloud.io/run-as-user", "0"),
        ("vault.security.banzaicloud.io/transit-batch-size", "-5"),
    ])
    .unwrap_err();
    let prefixed: Vec<String> = faults.iter().map(|fault| fault.replace(OLD_PREFIX, "")).collect();
    assert_eq!(
        prefixed,
        [
            "vault-addr: server address \"http://vault:8200\": must start with https://",
            "vault-auth-method: \"aws-iam\" is not offered: aws, gcp, azure and namespaced are refused: a Kubernetes token proves the same without cloud credentials; use kubernetes",
            "vault-skip-verify: is refused (asks not to check the server's certificate): it is always checked; remove it",
            "vault-env-daemon: \"maybe\" is no truth value; write true or false",
            "transit-batch-size: \"-5\" is no number of ciphertexts from 1 to 1000; write it as in 25",
            "run-as-user: 0 is root; our container never runs as root",
        ]
    );
    assert!(read(&[("vault.security.banzaicloud.io/vault-skip-verify", "false")]).unwrap().warnings.is_empty());
}

#[test]
fn odd_annotations_are_warned_about() {
    let wanted = read(&[
        ("vault.security.banzaicloud.io/vault-roel", "x"),
        ("vault.security.banzaicloud.io/ttl-terminate-foo", "x"),
        ("vault.security.banzaicloud.io/vault-role", "old"),
        ("secrets-webhook.security.bank-vaults.io/vault-role", "new"),
        ("vault.security.banzaicloud.io/mutate", "true"),
        ("vault.security.banzaicloud.io/vault-agent", "true"),
    ])
    .unwrap();
    assert_eq!(wanted.wish.role.unwrap().as_str(), "new");
    assert_eq!(wanted.warnings.len(), 5, "{:#?}", wanted.warnings);
    assert!(wanted.warnings.iter().any(|warning| warning.ends_with("did you mean vault-role?")));
}

#[test]
fn a_pod_is_left_alone_by_annotation_or_label_whatever_else_it_says() {
    let bad = ("vault.security.banzaicloud.io/vault-skip-verify", "true");
    let skip = ("vault.security.banzaicloud.io/mutate", "skip");
    assert_eq!(Asked::read(&map(&[skip, bad]), &BTreeMap::new()), Ok(Asked::Skip));
    for label in ["security.banzaicloud.io/mutate", "security.bank-vaults.io/mutate"] {
        assert_eq!(Asked::read(&map(&[bad]), &map(&[(label, "skip")])), Ok(Asked::Skip));
    }
}

#[test]
fn a_survey_sees_references_as_the_kubelet_leaves_them() {
    let pod = json!({"spec": {"initContainers": [{"name": "plain", "env": [{"name": "A", "value": "x"}]}], "containers": [{
        "name": "app",
        "command": ["/app", "--dsn=$(DSN)"],
        "args": ["$$(PASS)"],
        "envFrom": [{"configMapRef": {"name": "cfg"}, "prefix": "C_"}, {"secretRef": {"name": "gone"}}],
        "env": [
            {"name": "PASS", "value": "vault:secret/data/db#pass"},
            {"name": "DSN", "value": "pg://u:$(PASS)@$(C_HOST)"},
            {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "BAD", "value": "vault:secret/data/db"},
            {"name": "ODD", "value": " vault:secret/data/db#x"},
            {"name": "WRITE", "value": "${>>vault:pki/issue/web#certificate}"},
        ],
        "livenessProbe": {"exec": {"command": ["/live"]}},
        "startupProbe": {"httpGet": {"path": "/up", "port": 80}},
        "lifecycle": {"preStop": {"exec": {"command": ["/bye"]}}},
    }]}});
    let objects = |kind: &str, name: &str| {
        (kind == "ConfigMap" && name == "cfg")
            .then(|| map(&[("HOST", "db$(X)"), ("TOKEN", "vault:secret/data/mail#host")]))
    };
    let surveys = survey(&pod, &objects);
    assert!(!surveys[0].needs_wrapper);
    let app = &surveys[1];
    assert!(app.needs_wrapper && app.has_command);
    assert_eq!(app.resolved, ["C_TOKEN", "PASS", "WRITE"]);
    assert_eq!(app.dependent, [("DSN".to_owned(), "pg://u:$(PASS)@db$$(X)".to_owned())]);
    assert_eq!(app.unknown, ["* of Secret gone", "FROM"]);
    assert_eq!(app.requests, ["read secret/data/mail", "read secret/data/db", "write pki/issue/web"]);
    assert_eq!(app.probes.iter().map(|probe| probe.name).collect::<Vec<_>>(), ["livenessProbe", "lifecycle.preStop"]);
    let kinds: Vec<&str> = app
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::Refused(_) => "refused",
            Finding::Argv(_) => "argv",
            Finding::Odd(_) => "odd",
        })
        .collect();
    assert_eq!(kinds, ["refused", "odd", "argv"], "{:#?}", app.findings);
    assert!(
        matches!(&app.findings[2], Finding::Argv(text) if text.starts_with("command[1] holds the value of DSN, which everybody"))
    );
}

#[test]
fn a_pod_that_bank_vaults_changed_is_known_by_its_volume() {
    assert!(is_marked(&json!({"spec": {"volumes": [{"name": "data"}, {"name": "vault-env"}]}})));
    assert!(!is_marked(&json!({"spec": {"volumes": [{"name": "data"}]}})));
}

#[test]
fn the_shared_cases_of_the_webhook_are_read_as_far_as_annotations_and_references_decide() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../../../crates/template/tests/cases/bankvaults.json")).unwrap();
    let mut ran = 0;
    for case in cases.iter().filter(|case| case["suite"] == "webhook-pod") {
        let name = case["name"].as_str().unwrap();
        let texts = |value: &Value| -> BTreeMap<String, String> { serde_json::from_value(value.clone()).unwrap() };
        let mut container = case["given"]["container"].clone();
        container["name"] = json!("app");
        container["env"] =
            texts(&case["env"]).iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let volumes = case["given"]["volumes"].clone();
        let pod = json!({"spec": {"containers": [container], "volumes": volumes}});
        let objects = |_: &str, name: &str| Some(texts(case["given"]["configMaps"].get(name)?));
        let surveys = survey(&pod, &objects);
        let asked = Asked::read(&texts(&case["annotations"]), &BTreeMap::new());
        let expect = &case["expect"];
        if let Some(mutated) = expect["mutated"].as_bool() {
            assert_eq!(surveys[0].needs_wrapper && !is_marked(&pod), mutated, "{name}");
        }
        if name == "pod/token-auth-mount" {
            assert!(asked.is_err(), "a foreign token is refused here");
        } else {
            let Ok(Asked::Yes(wanted)) = asked else { panic!("{name}: {asked:?}") };
            for (variable, value) in expect["env_values"].as_object().into_iter().flatten() {
                let value = value.as_str().unwrap();
                let settings = &wanted.settings;
                match variable.as_str() {
                    "VAULT_ENV_DAEMON" | "SECRET_INIT_DAEMON" => assert_eq!(settings.daemon.to_string(), value),
                    "VAULT_ENV_DELAY" => assert_eq!(format!("{}s", settings.delay.as_secs()), value),
                    "VAULT_NAMESPACE" => assert_eq!(wanted.wish.namespace.as_ref().unwrap().as_str(), value),
                    "VAULT_ENV_PASSTHROUGH" => assert_eq!(settings.passthrough.join(","), value),
                    "VAULT_TRANSIT_KEY_ID" => assert_eq!(settings.transit_key.as_deref(), Some(value)),
                    "VAULT_FROM_PATH" => assert_eq!(settings.from_path.join(","), value),
                    _ => {}
                }
            }
            if expect.get("livenessProbe.exec.command").is_some() {
                assert!(wanted.probes);
                assert_eq!(surveys[0].probes.len(), 3);
            }
        }
        ran += 1;
    }
    assert!(ran >= 10, "{ran}");
}

proptest! {
    #[test]
    fn no_annotation_and_no_variable_makes_the_readers_panic(
        name in "[a-z-]{0,20}", value in "\\PC{0,30}", text in "(vault:|\\$\\{|\\}|#|>>|\\$\\(A\\)|[a-z/.]){0,8}",
    ) {
        for prefix in [OLD_PREFIX, NEW_PREFIX] {
            let _ = Asked::read(&map(&[(&format!("{prefix}{name}"), &value)]), &BTreeMap::new());
        }
        let pod = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": text}, {"name": "B", "value": value}], "args": [text]}]}});
        prop_assert_eq!(survey(&pod, &none).len(), 1);
    }
}
