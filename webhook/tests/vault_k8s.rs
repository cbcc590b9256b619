//! The cases of vault-k8s: pod and annotations in, checks on the answer out, in both forms of injection.
//!
//! Checks of level `contract` hold here; `shape` describes vault-k8s' own containers and configuration, which are not ours. Where
//! a case says that vault-k8s is wrong (`divergence`) and a contract check describes just that, [`BETTER`] says what holds.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite fails by panicking")]

mod common;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use vouchsafe_model::plan::{Content, Gate, Injection, LoginMethod, Plan, ServerKind};
use vouchsafe_policies::dropin::{Compat, Defaults};
use vouchsafe_webhook::config::DropInSettings;
use vouchsafe_webhook::{Answer, Config, InjectionMode, admit};

use common::{config, fixture, grants, is_allowed, message, patch, patched, review};

/// Contract checks (case, operation) that a divergence of the same case replaces, and what holds instead.
const BETTER: [(&str, &str, &str); 2] = [
    ("service-account-missing-refused", "allowed", "the sidecar has a projected token of its own"),
    ("security-context-defaults", "eq", "the same and a seccomp profile"),
];

fn cases() -> Vec<Value> {
    serde_json::from_str(&fixture("vault-k8s-cases.json")).unwrap()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn drop_in(environment: &Value, injection: InjectionMode) -> Config {
    let environment: BTreeMap<String, String> = environment
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    let mut config = config();
    config.injection = injection;
    let defaults = Defaults::read(&environment, &BTreeMap::new()).unwrap();
    config.drop_in = Some(DropInSettings { defaults, ..DropInSettings::default() });
    config
}

fn post(namespace: &str, pod: &Value, config: &Config) -> Answer {
    admit(review(namespace, pod).to_string().as_bytes(), &grants(), config)
}

/// What vault-k8s calls its containers, here.
fn ours(name: &str, injection: InjectionMode) -> &str {
    match (name, injection) {
        ("vault-agent-init", InjectionMode::Classic) => "vouchsafe-init",
        ("vault-agent-init" | "vault-agent", _) => "vouchsafe-sidecar",
        (other, _) => other,
    }
}

/// A JSON pointer in which `[name=x]` picks from a list.
fn at<'a>(pod: &'a Value, path: &str, injection: InjectionMode) -> Option<&'a Value> {
    let mut place = pod;
    for part in path.split('/').skip(1) {
        place = match part.strip_prefix("[name=").and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => place.as_array()?.iter().find(|entry| text(entry, "name") == ours(name, injection))?,
            None if place.is_array() => place.get(part.parse::<usize>().ok()?)?,
            None => place.get(part)?,
        };
    }
    Some(place)
}

/// Their sidecar stands among the containers; a native one of ours among the init containers.
fn place_of(path: &str, injection: InjectionMode) -> String {
    match injection {
        InjectionMode::Native => {
            path.replace("/spec/containers/[name=vault-agent]", "/spec/initContainers/[name=vault-agent]")
        }
        InjectionMode::Classic => path.to_owned(),
    }
}

fn container<'a>(pod: &'a Value, name: &str, injection: InjectionMode) -> Option<&'a Value> {
    ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten())
        .find(|container| text(container, "name") == ours(name, injection))
}

fn mount<'a>(pod: &'a Value, check: &Value, injection: InjectionMode) -> Option<&'a Value> {
    let container = container(pod, text(check, "container"), injection)?;
    let mounts = container["volumeMounts"].as_array()?;
    mounts.iter().find(|mount| mount["mountPath"] == check["mountPath"])
}

/// `expected`, or the same with more fields.
fn covers(found: Option<&Value>, expected: &Value) -> bool {
    match (found, expected) {
        (Some(Value::Object(found)), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| covers(found.get(name), value))
        }
        (found, expected) => found == Some(expected),
    }
}

/// Why a check fails; `None` where it holds.
fn failure(case: &str, check: &Value, answer: &Answer, pod: &Value, injection: InjectionMode) -> Option<String> {
    let holds = match text(check, "op") {
        "allowed" if BETTER.iter().any(|(name, op, _)| *name == case && *op == "allowed") => is_allowed(answer),
        "allowed" => {
            let says_why = is_allowed(answer) || !message(answer).is_empty();
            json!(is_allowed(answer)) == check["value"] && says_why
        }
        "no_patch" => patch(answer).is_none(),
        "names" => {
            let names: Vec<&str> =
                at(pod, text(check, "path"), injection)?.as_array()?.iter().map(|one| text(one, "name")).collect();
            let wanted: Vec<&str> =
                check["value"].as_array()?.iter().map(|name| ours(name.as_str().unwrap(), injection)).collect();
            names == wanted
        }
        "eq" => {
            let found = at(pod, &place_of(text(check, "path"), injection), injection);
            if BETTER.iter().any(|(name, op, _)| *name == case && *op == "eq") {
                covers(found, &check["value"]) && found?["seccompProfile"]["type"] == "RuntimeDefault"
            } else {
                found == Some(&check["value"])
            }
        }
        // One native sidecar is both of their containers: what only one of them may lack is looked at in the classic form.
        "absent" => {
            let found = at(pod, text(check, "path"), injection);
            // Ours always say when their image is pulled; not patched means that they say what the installation does.
            injection == InjectionMode::Native || found.is_none_or(|found| found == "IfNotPresent")
        }
        "memory_mount_at" => mount(pod, check, injection).is_some_and(|mount| {
            let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
            volumes
                .filter(|volume| volume["name"] == mount["name"])
                .any(|volume| volume["emptyDir"]["medium"] == "Memory")
        }),
        "no_mount_at" => mount(pod, check, injection).is_none(),
        "mount" => mount(pod, check, injection).is_some_and(|mount| {
            let read_only = check.get("readOnly").is_none_or(|wanted| mount.get("readOnly") == Some(wanted));
            mount["name"] == check["volume"] && read_only
        }),
        other => return Some(format!("the check {other} is not known")),
    };
    (!holds).then(|| format!("{injection:?}: {case}: {} ({})\n{:#}", text(check, "text"), message(answer), pod["spec"]))
}

#[test]
fn every_shared_case_holds_at_level_contract_in_both_forms_of_injection() {
    let mut failures = Vec::new();
    let mut checked = 0;
    for case in cases().iter().filter(|case| case["kind"] == "admission") {
        for injection in [InjectionMode::Native, InjectionMode::Classic] {
            let config = drop_in(&case["injector_env"], injection);
            let answer = post(text(case, "namespace"), &case["pod"], &config);
            let pod = patched(&case["pod"], &answer);
            let checks = case["checks"].as_array().unwrap().iter().filter(|check| check["level"] == "contract");
            for check in checks {
                checked += 1;
                failures.extend(failure(text(case, "name"), check, &answer, &pod, injection));
            }
            let again = post(text(case, "namespace"), &pod, &config);
            assert!(
                !is_allowed(&answer) || patch(&again).is_none_or(|patch| patch == json!([])),
                "{}",
                message(&again)
            );
            assert_eq!(is_allowed(&answer), is_allowed(&again), "{}: {}", text(case, "name"), message(&again));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(checked >= 80, "{checked}");
}

#[test]
fn the_same_pod_gives_the_same_answer_to_the_byte() {
    for case in cases().iter().filter(|case| case["kind"] == "admission") {
        let config = drop_in(&case["injector_env"], InjectionMode::Native);
        let bodies: Vec<String> =
            (0..3).map(|_| post(text(case, "namespace"), &case["pod"], &config).body.to_string()).collect();
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{}", text(case, "name"));
    }
}

#[test]
fn http_cases_hold() {
    let config = drop_in(&json!({}), InjectionMode::Native);
    assert_eq!(admit(b"{\"apiVersion\":", &grants(), &config).status, 400);
    let pod = plain(&[("agent-inject", "true"), ("role", "demo")]);
    for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
        let mut asked = review("demo", &pod);
        asked["apiVersion"] = json!(version);
        let answer = admit(asked.to_string().as_bytes(), &grants(), &config);
        assert_eq!(answer.body["apiVersion"], json!(version));
        assert_eq!(answer.body["response"]["uid"], asked["request"]["uid"]);
        assert!(is_allowed(&answer) && patch(&answer).is_some(), "{}", message(&answer));
    }
    let mut list = review("demo", &pod);
    list["request"]["object"] = json!([]);
    let answer = admit(list.to_string().as_bytes(), &grants(), &config);
    assert_eq!((answer.status, is_allowed(&answer)), (200, false));
    assert!(message(&answer).contains("is a list"), "{}", message(&answer));
}

/// The plain pod of the cases with these annotations, names without prefix.
fn plain(annotations: &[(&str, &str)]) -> Value {
    let mut pod = cases().iter().find(|case| case["name"] == "opt-in-absent").unwrap()["pod"].clone();
    for (name, value) in annotations {
        let name = if name.contains('/') { (*name).to_owned() } else { format!("vault.hashicorp.com/{name}") };
        pod["metadata"]["annotations"][name] = json!(value);
    }
    pod
}

/// The injected pod and its Plan.
fn injected(annotations: &[(&str, &str)], change: impl Fn(&mut Value)) -> (Value, Plan) {
    let mut pod = plain(&[("agent-inject", "true"), ("role", "demo")]);
    for (name, value) in annotations {
        pod["metadata"]["annotations"][format!("vault.hashicorp.com/{name}")] = json!(value);
    }
    change(&mut pod);
    let config = drop_in(&json!({"AGENT_INJECT_VAULT_ADDR": "https://vault.vault.svc:8200"}), InjectionMode::Native);
    let answer = post("demo", &pod, &config);
    assert!(is_allowed(&answer), "{}", message(&answer));
    let pod = patched(&pod, &answer);
    let first = &pod["spec"]["initContainers"][0];
    let env = first["env"].as_array().unwrap().iter().find(|one| one["name"] == "VOUCHSAFE_PLAN").unwrap();
    let plan = Plan::from_json(env["value"].as_str().unwrap()).unwrap();
    (pod, plan)
}

#[test]
fn the_plan_goes_straight_to_vault_and_names_what_templates_surely_read() {
    let (pod, plan) = injected(
        &[
            ("agent-inject-secret-db", "secret/data/db"),
            ("agent-inject-secret-app", "kv/app"),
            (
                "agent-inject-template-app",
                "{{ with secret \"kv/app\" }}{{ .Data.x }}{{ end }}{{ with secret \"secret/data/db\" }}{{ end }}",
            ),
            ("agent-inject-perms-app", "0755"),
            ("secret-volume-path-app", "/etc/app"),
        ],
        |_| {},
    );
    assert_eq!((plan.server.kind, plan.server.address.host()), (ServerKind::Direct, "vault.vault.svc"));
    let mut paths: Vec<String> = plan.secrets.iter().map(vouchsafe_model::plan::PlanSecret::api_path).collect();
    paths.sort();
    assert_eq!(paths, ["kv/app", "secret/data/db"]);
    let files: Vec<String> = plan.files.iter().map(|file| format!("{} {}", file.name, file.mode)).collect();
    assert_eq!(files, ["app 0755", "db 0644"]);
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let token = volumes.iter().find(|volume| volume["name"] == "vouchsafe-token").unwrap();
    assert_eq!(token["projected"]["sources"][0]["serviceAccountToken"].get("audience"), None);
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    let folders: Vec<&str> = mounts.iter().skip(1).map(|mount| text(mount, "mountPath")).collect();
    assert_eq!(folders, ["/etc/app", "/vault/secrets"]);
}

#[test]
fn moments_and_token_files_arrive_in_the_plan() {
    let (pod, plan) = injected(&[("agent-pre-populate-only", "true"), ("agent-inject-token", "true")], |_| {});
    assert_eq!((plan.injection, plan.files[0].content == Content::Token), (Injection::Once, true));
    assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 1);
    assert_eq!(pod["spec"]["initContainers"][0].get("restartPolicy"), None);
    let (pod, plan) = injected(&[("agent-pre-populate", "false")], |_| {});
    assert_eq!(plan.gate, Gate::Open);
    assert_eq!(pod["spec"]["initContainers"][0].get("lifecycle"), None);
    let (_, plan) =
        injected(&[("agent-pre-populate-only", "true")], |pod| pod["spec"]["restartPolicy"] = json!("Never"));
    assert_eq!(plan.gate, Gate::Init);
}

#[test]
fn a_named_token_volume_is_mounted_by_our_container_alone() {
    let (pod, plan) = injected(&[("agent-service-account-token-volume-name", "vt")], |pod| {
        let volume =
            json!({"name": "vt", "projected": {"sources": [{"serviceAccountToken": {"path": "vault-token"}}]}});
        pod["spec"]["volumes"].as_array_mut().unwrap().push(volume);
    });
    let folder = "/var/run/secrets/vault.hashicorp.com/serviceaccount";
    assert_eq!(plan.agent.unwrap().method, LoginMethod::TokenOf { file: format!("{folder}/vault-token") });
    let mounts = pod["spec"]["initContainers"][0]["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["name"] == "vt" && mount["mountPath"] == folder));
}

#[test]
fn what_cannot_be_carried_out_is_admitted_and_waits_with_its_reason_or_is_refused_by_strict() {
    let annotations = [("agent-inject-template-a", "{{ with secret \"p\" }}"), ("agent-inject-secret-b", "p")];
    let (_, plan) = injected(&annotations, |_| {});
    let problems = plan.agent.unwrap().hopeless;
    assert!(problems[0].contains("agent-inject-template-a") && problems[0].contains("template a:1:"), "{problems:?}");
    assert!(plan.files.is_empty());
    let mut config = drop_in(&json!({}), InjectionMode::Native);
    config.drop_in.as_mut().unwrap().compat = Compat::Strict;
    let mut pod = plain(&[("agent-inject", "true"), ("role", "demo")]);
    pod["metadata"]["annotations"]["vault.hashicorp.com/agent-inject-template-a"] = json!("{{ with secret \"p\" }}");
    let answer = post("demo", &pod, &config);
    assert!(!is_allowed(&answer) && message(&answer).contains("agent-inject-template-a"), "{}", message(&answer));
}

#[test]
fn a_pod_that_asks_in_both_dialects_is_refused() {
    let config = drop_in(&json!({}), InjectionMode::Native);
    let mut pod = plain(&[("agent-inject", "true"), ("role", "demo")]);
    pod["metadata"]["annotations"]["vouchsafe.dev/inject"] = json!("grafana-sso");
    let answer = post("demo", &pod, &config);
    assert!(
        message(&answer).contains("asks in one dialect and vouchsafe.dev/inject in another"),
        "{}",
        message(&answer)
    );
}

#[test]
fn without_the_switch_such_pods_are_left_alone() {
    let pod = plain(&[("agent-inject", "true"), ("role", "demo")]);
    let answer = post("demo", &pod, &config());
    assert!(is_allowed(&answer) && patch(&answer).is_none());
}
