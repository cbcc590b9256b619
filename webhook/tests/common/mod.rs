//! What the suites share: an installation, Grants, reviews around pods, and the answer taken apart.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each suite uses its part, so an expectation would fail in some"
)]

use base64::Engine as _;
use serde_json::{Value, json};

use vouchsafe_model::plan::{Gate, Server, ServerKind};
use vouchsafe_policies::{GrantSet, Installation, manifest};
use vouchsafe_webhook::{Answer, Config, InjectionMode, admit};

pub(crate) fn config() -> Config {
    let installation = Installation {
        server: Server {
            kind: ServerKind::Broker,
            address: "https://vouchsafe-broker.vouchsafe.svc:8200".parse().unwrap(),
            namespace: None,
            trust: "-----BEGIN CERTIFICATE-----\nTEST\n-----END CERTIFICATE-----\n".to_owned(),
        },
        audience: "vouchsafe".parse().unwrap(),
        gate: Gate::Hook,
        wait_seconds: 20,
    };
    Config::new(installation, "registry.example/vouchsafe-sidecar@sha256:0123")
}

pub(crate) fn strict() -> Config {
    let mut config = config();
    config.installation.gate = Gate::Init;
    config
}

pub(crate) fn classic() -> Config {
    let mut config = config();
    config.injection = InjectionMode::Classic;
    config
}

/// A fixture's text, by its name below `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub(crate) fn grants() -> GrantSet {
    GrantSet::read(&[("grants.yaml".to_owned(), fixture("grants.yaml"))]).unwrap()
}

/// The pod of a manifest that makes exactly one.
pub(crate) fn pod_of(text: &str) -> (String, Value) {
    let manifest = manifest::read("fixture", text).unwrap().into_iter().find(|one| one.pod_template.is_some()).unwrap();
    let namespace = manifest.namespace.unwrap().as_str().to_owned();
    let mut pod = manifest.pod_template.unwrap();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["generateName"] = json!(format!("{}-", manifest.name));
    (namespace, pod)
}

/// A review of a pod's creation.
pub(crate) fn review(namespace: &str, pod: &Value) -> Value {
    let mut review: Value = serde_json::from_str(&fixture("review.json")).unwrap();
    review["request"]["namespace"] = json!(namespace);
    review["request"]["object"] = pod.clone();
    review
}

pub(crate) fn post(review: &Value, config: &Config) -> Answer {
    admit(review.to_string().as_bytes(), &grants(), config)
}

/// The decoded patch of an answer; `None` where it carries none.
pub(crate) fn patch(answer: &Answer) -> Option<Value> {
    let encoded = answer.body.pointer("/response/patch")?.as_str().unwrap();
    assert_eq!(answer.body["response"]["patchType"], "JSONPatch");
    let text = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// The pod after the patch.
pub(crate) fn patched(pod: &Value, answer: &Answer) -> Value {
    let mut pod = pod.clone();
    if let Some(operations) = patch(answer) {
        let operations: json_patch::Patch = serde_json::from_value(operations).unwrap();
        json_patch::patch(&mut pod, &operations).unwrap();
    }
    pod
}

pub(crate) fn message(answer: &Answer) -> &str {
    let status = if answer.status == 200 { &answer.body["response"]["status"] } else { &answer.body };
    status["message"].as_str().unwrap_or_default()
}

pub(crate) fn is_allowed(answer: &Answer) -> bool {
    answer.status == 200 && answer.body["response"]["allowed"] == json!(true)
}
