//! The platform's Grants and the example pods, as users get them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tests::installation;
use super::*;
use crate::manifest;

fn folder(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Every workload of the examples with what it gets.
fn derivations() -> Vec<(String, Derivation)> {
    let grants = GrantSet::read_folder(&folder("platform")).expect("platform Grants are sound");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder("../deploy/examples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut derived = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        for found in manifest::read(&name, &text).expect("examples are sound manifests") {
            let Some(template) = &found.pod_template else { continue };
            assert_eq!(manifest::check_workload(&found), [], "{name}");
            let annotations: BTreeMap<String, String> =
                serde_json::from_value(template["metadata"]["annotations"].clone()).unwrap();
            let ask = Ask::parse(&annotations).unwrap().expect("every example asks");
            let pod = PodFacts::read(template, found.namespace.as_ref().unwrap()).unwrap();
            let result = derive(&ask, &pod, &grants, &installation());
            derived.push((name.clone(), result.unwrap_or_else(|faults| panic!("{name}: {faults:#?}"))));
        }
    }
    derived
}

#[test]
fn every_example_gets_its_files_without_faults_and_warnings() {
    let shown: Vec<String> = derivations()
        .iter()
        .flat_map(|(name, derivation)| {
            assert_eq!(derivation.warnings, [] as [String; 0], "{name}");
            derivation.plan.files.iter().zip(&derivation.delivered).map(move |(file, delivered)| {
                format!(
                    "{name}: {} {} {} {}",
                    delivered.container,
                    delivered.path,
                    file.mode,
                    delivered.secrets.join(",")
                )
            })
        })
        .collect();
    assert_eq!(
        shown,
        [
            "argocd-dex.yaml: dex /vouchsafe/dex/config.yaml 0440 argocd-sso/github",
            "clickhouse.yaml: clickhouse /vouchsafe/secrets/ch_users.xml 0444 clickhouse-users/users",
            "grafana.yaml: grafana /vouchsafe/secrets/github_client_secret 0440 grafana-sso/github",
            "grafana.yaml: grafana variable GF_SMTP_PASSWORD 0440 grafana-sso/smtp",
            "otel-collector.yaml: opentelemetry-collector /vouchsafe/secrets/otlp_token 0440 otel-export/export",
            "terraform-job.yaml: terraform /vouchsafe/secrets/secrets.tfvars.json 0440 terraform/cloudflare",
        ]
    );
}

#[test]
fn grafana_learns_the_path_and_runs_under_the_wrapper_as_the_collector_does() {
    let derived: BTreeMap<String, Derivation> = derivations().into_iter().collect();
    let (container, variable, path) = &derived["grafana.yaml"].path_env[0];
    assert_eq!(
        (container.as_str(), variable.as_str(), path.as_str()),
        ("grafana", "GF_AUTH_GITHUB_CLIENT_SECRET__FILE", "/vouchsafe/secrets/github_client_secret")
    );
    let supervised = &derived["otel-collector.yaml"].supervised;
    assert_eq!(supervised[0].command, ["/otelcol-k8s", "--config=/conf/relay.yaml"]);
    assert_eq!(derived["grafana.yaml"].supervised[0].command, ["/run.sh"]);
    let under = |name: &str| ["otel-collector.yaml", "grafana.yaml"].contains(&name);
    assert!(derived.iter().all(|(name, one)| under(name) || one.supervised.is_empty()));
}

#[test]
fn the_platform_compiles_to_one_role_for_each_reader() {
    let grants = GrantSet::read_folder(&folder("platform")).unwrap();
    let compiled = crate::compile(&grants);
    let names: Vec<&str> = compiled.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "vouchsafe.argocd.argocd-dex-server",
            "vouchsafe.ci.terraform",
            "vouchsafe.clickhouse.clickhouse",
            "vouchsafe.monitoring.grafana",
            "vouchsafe.observability.otel-collector",
        ]
    );
    assert!(compiled.iter().all(|one| one.role.as_ref().is_some_and(Value::is_object)));
}

#[test]
fn the_platform_grants_share_no_path() {
    let grants = GrantSet::read_folder(&folder("platform")).unwrap();
    let shown: Vec<String> = crate::lint(&grants).iter().map(ToString::to_string).collect();
    assert!(shown.iter().all(|finding| finding.contains("ch_users.xml has mode 0444")), "{shown:#?}");
}
