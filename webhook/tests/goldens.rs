//! Whole patches and explanations, reviewed by eye and kept as goldens.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite fails by panicking")]

mod common;

use common::{classic, config, fixture, grants, message, patch, patched, pod_of, post, review, strict};
use vouchsafe_policies::{GrantSet, manifest};
use vouchsafe_webhook::{Config, admit, explain};

/// Grants and example of the platform, as they stand in the repository.
fn platform(example: &str, grant: &str) -> (GrantSet, String) {
    let read = |path: &str| {
        let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let grants = GrantSet::read(&[(grant.to_owned(), read(grant))]).unwrap();
    (grants, read(example))
}

fn golden_of(grants: &GrantSet, text: &str, config: &Config) -> String {
    let (namespace, pod) = pod_of(text);
    let answer = admit(review(&namespace, &pod).to_string().as_bytes(), grants, config);
    let operations = patch(&answer).unwrap_or_else(|| panic!("{}", message(&answer)));
    // A second pass over the patched pod changes nothing.
    let again = admit(review(&namespace, &patched(&pod, &answer)).to_string().as_bytes(), grants, config);
    assert_eq!(patch(&again), None, "{}", message(&again));
    assert!(common::is_allowed(&again), "{}", message(&again));
    serde_json::to_string_pretty(&operations).unwrap()
}

#[test]
fn platform_examples_get_these_patches() {
    for (name, example, grant) in [
        ("argocd-dex", "deploy/examples/argocd-dex.yaml", "policies/platform/argocd.yaml"),
        ("grafana", "deploy/examples/grafana.yaml", "policies/platform/grafana.yaml"),
        ("clickhouse", "deploy/examples/clickhouse.yaml", "policies/platform/clickhouse.yaml"),
        ("otel-collector", "deploy/examples/otel-collector.yaml", "policies/platform/otel-collector.yaml"),
        ("terraform-job", "deploy/examples/terraform-job.yaml", "policies/platform/terraform.yaml"),
    ] {
        let (grants, text) = platform(example, grant);
        insta::assert_snapshot!(format!("patch-{name}"), golden_of(&grants, &text, &config()));
    }
}

#[test]
fn platform_examples_are_explained_in_words() {
    for (name, example, grant) in [
        ("argocd-dex", "deploy/examples/argocd-dex.yaml", "policies/platform/argocd.yaml"),
        ("otel-collector", "deploy/examples/otel-collector.yaml", "policies/platform/otel-collector.yaml"),
    ] {
        let (grants, text) = platform(example, grant);
        let manifests = manifest::read(example, &text).unwrap();
        let words: String = manifests.iter().map(|one| explain(one, &grants, &config()).to_string()).collect();
        insta::assert_snapshot!(format!("explain-{name}"), words);
    }
}

#[test]
fn pod_shapes_get_these_patches() {
    for name in ["kuma-native.yaml", "kuma-classic.yaml", "supervised-guaranteed.yaml", "job.yaml", "bare-minimum.json"]
    {
        insta::assert_snapshot!(format!("patch-{name}"), golden_of(&grants(), &fixture(name), &config()));
    }
    let operations = golden_of(&grants(), &fixture("kuma-native.yaml"), &strict());
    insta::assert_snapshot!("patch-kuma-native-strict", operations);
}

#[test]
fn pods_of_clusters_without_native_sidecars_get_these_patches() {
    for name in ["kuma-classic.yaml", "supervised-guaranteed.yaml", "job.yaml"] {
        insta::assert_snapshot!(format!("patch-classic-{name}"), golden_of(&grants(), &fixture(name), &classic()));
    }
    let mut words = String::new();
    for name in ["supervised-guaranteed.yaml", "job.yaml"] {
        let manifests = manifest::read(name, &fixture(name)).unwrap();
        words.extend(manifests.iter().map(|one| explain(one, &grants(), &classic()).to_string()));
    }
    insta::assert_snapshot!("explain-classic", words);
}

#[test]
fn who_does_not_ask_is_told_what_to_add() {
    let text = fixture("kuma-classic.yaml").replace(", vouchsafe.dev/inject: web", "");
    let known = explain(&manifest::read("web.yaml", &text).unwrap()[0], &grants(), &config());
    insta::assert_snapshot!("explain-not-asked", known.to_string());
    let text = text.replace("serviceAccountName: web", "serviceAccountName: newcomer");
    let unknown = explain(&manifest::read("web.yaml", &text).unwrap()[0], &grants(), &config());
    insta::assert_snapshot!("explain-no-grant", unknown.to_string());
    let text = fixture("kuma-classic.yaml").replace("vouchsafe.dev/inject: web", "vouchsafe.dev/inject: other");
    let refused = explain(&manifest::read("web.yaml", &text).unwrap()[0], &grants(), &config());
    insta::assert_snapshot!("explain-refused", refused.to_string());
}

#[test]
fn a_whole_answer_looks_like_this() {
    let text = fixture("review.json");
    let answer = post(&serde_json::from_str(&text).unwrap(), &config());
    let mut body = answer.body.clone();
    body["response"]["patch"] = patch(&answer).unwrap();
    insta::assert_snapshot!("answer", serde_json::to_string_pretty(&body).unwrap());
    insta::assert_snapshot!("decision-line", answer.line.to_line(0));
}
