//! Any bytes as an AdmissionReview, and any text as a pod's annotations: never a panic, always a whole answer.
#![no_main]
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vouchsafe_model::plan::{Gate, Server, ServerKind};
use vouchsafe_policies::{GrantSet, Installation};
use vouchsafe_webhook::{Config, admit};

static GRANTS: LazyLock<GrantSet> = LazyLock::new(|| {
    let grant = "apiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {name: g, namespace: default}\nspec:\n  serviceAccounts: [default]\n  secrets:\n  - {name: s, path: secret/a/b, keys: [k]}\n  deliver:\n    files:\n    - {name: f, secret: s, key: k}\n";
    GrantSet::read(&[("g.yaml".to_owned(), grant.to_owned())]).expect("a good Grant")
});

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let server = Server {
        kind: ServerKind::Broker,
        address: "https://broker:8200".parse().expect("an address"),
        namespace: None,
        trust: String::new(),
    };
    let installation =
        Installation { server, audience: "vouchsafe".parse().expect("an audience"), gate: Gate::Hook, wait_seconds: 20 };
    Config::new(installation, "vouchsafe-sidecar:fuzz")
});

fuzz_target!(|bytes: &[u8]| {
    let _ = admit(bytes, &GRANTS, &CONFIG);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let review = serde_json::json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "1", "operation": "CREATE", "namespace": "default",
                "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
                "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default",
                    "annotations": {"vouchsafe.dev/inject": "g", "vouchsafe.dev/files": text}},
                    "spec": {"containers": [{"name": "app", "image": "app"}]}}}
        });
        let _ = admit(review.to_string().as_bytes(), &GRANTS, &CONFIG);
    }
});
