//! What pods of this dialect get: one test per rule, over small pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vouchsafe_model::plan::{Action, Content, Gate, LoginMethod, Plan, Server, ServerKind, Signal};

use super::*;
use crate::derive::Derivation;
use crate::grant::GrantSet;
use crate::pod::{Installation, PodFacts};

fn installation() -> Installation {
    Installation {
        server: Server {
            kind: ServerKind::Broker,
            address: "https://broker:8200".parse().unwrap(),
            namespace: None,
            trust: "ours".to_owned(),
        },
        audience: "vouchsafe".parse().unwrap(),
        gate: Gate::Hook,
        wait_seconds: 20,
    }
}

fn grants() -> GrantSet {
    let text = "apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {name: db, namespace: shop}
spec:
  serviceAccounts: [web]
  secrets:
  - {name: db, path: secret/db}
";
    GrantSet::read(&[("grants.yaml".to_owned(), text.to_owned())]).unwrap()
}

/// Derives for a pod of namespace `shop`, service account `web`, with one container `app`, changed by `change`.
fn derive_with(
    more: &[(&str, &str)],
    policy: GrantPolicy,
    change: impl Fn(&mut Value),
) -> Result<Derivation, Vec<Fault>> {
    let mut annotations: BTreeMap<String, String> = BTreeMap::from([
        ("vault.hashicorp.com/agent-inject".to_owned(), "true".to_owned()),
        ("vault.hashicorp.com/role".to_owned(), "demo".to_owned()),
    ]);
    annotations.extend(more.iter().map(|(name, value)| (format!("vault.hashicorp.com/{name}"), (*value).to_owned())));
    let Ok(Asked::Yes(asked)) = DropIn::read(&annotations, "shop", &Defaults::default(), Compat::Warn) else {
        panic!("{more:?}")
    };
    let mut pod = json!({"spec": {"serviceAccountName": "web", "containers": [{"name": "app"}]}});
    change(&mut pod);
    let facts = PodFacts::read(&pod, &"shop".parse().unwrap()).unwrap();
    derive_drop_in(&asked, &facts, &grants(), &installation(), policy)
}

fn derived(more: &[(&str, &str)], change: impl Fn(&mut Value)) -> Derivation {
    derive_with(more, GrantPolicy::Off, change).unwrap()
}

fn refused(more: &[(&str, &str)], change: impl Fn(&mut Value)) -> String {
    let faults = derive_with(more, GrantPolicy::Off, change).unwrap_err();
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn survives_the_wire(plan: &Plan) {
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), *plan);
}

#[test]
fn every_folder_is_one_volume_of_all_readers_and_every_path_is_read_once() {
    let derivation = derived(
        &[
            ("agent-inject-secret-a", "secret/data/db"),
            ("agent-inject-secret-b", "secret/data/db"),
            ("agent-inject-secret-.env", "kv/env"),
            ("secret-volume-path-b", "/etc/b"),
            ("agent-inject-containers", "app"),
        ],
        |pod| {
            pod["spec"]["containers"] = json!([{"name": "app"}, {"name": "proxy"}]);
            pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
        },
    );
    let plan = &derivation.plan;
    let volumes: Vec<String> = plan
        .volumes
        .iter()
        .map(|volume| format!("{} {} {:?}", volume.mount_path, volume.container, volume.also))
        .collect();
    assert_eq!(volumes, ["/etc/b migrate [\"app\"]", "/vault/secrets migrate [\"app\"]"]);
    let mut paths: Vec<String> = plan.secrets.iter().map(vouchsafe_model::plan::PlanSecret::api_path).collect();
    paths.sort();
    assert_eq!(paths, ["kv/env", "secret/data/db"]);
    assert!(plan.files.iter().any(|file| file.name.as_str() == ".env"));
    survives_the_wire(plan);
}

#[test]
fn reads_that_may_not_be_needed_or_are_computed_are_left_to_the_sidecar() {
    let template = "{{ if false }}{{ with secret \"kv/a\" }}{{ end }}{{ end }}{{ with secret (printf \"kv/%s\" \"b\") }}{{ end }}{{ with secret \"kv/c\" }}{{ end }}{{ range secrets \"kv/d/\" }}{{ end }}";
    let plan = derived(&[("agent-inject-template-x", template)], |_| {}).plan;
    let paths: Vec<String> = plan.secrets.iter().map(vouchsafe_model::plan::PlanSecret::label).collect();
    assert_eq!(paths, ["kv/c", "kv/d"]);
    survives_the_wire(&plan);
}

#[test]
fn grants_are_compared_as_far_as_the_installation_wants() {
    let both = [("agent-inject-secret-a", "secret/data/db"), ("agent-inject-secret-b", "kv/other")];
    assert_eq!(derive_with(&both, GrantPolicy::Off, |_| {}).unwrap().warnings, Vec::<String>::new());
    let warned = derive_with(&both, GrantPolicy::Warn, |_| {}).unwrap();
    assert!(warned.warnings[0].contains("read \"kv/other\";"), "{:?}", warned.warnings);
    assert_eq!(warned.plan.secrets.iter().filter(|secret| secret.grant.as_str() == "db").count(), 1);
    assert!(derive_with(&both, GrantPolicy::Enforce, |_| {}).is_err());
    assert!(derive_with(&both[..1], GrantPolicy::Enforce, |_| {}).is_ok());
}

#[test]
fn a_signal_goes_to_the_app_that_its_command_names() {
    let asked = [("agent-inject-secret-a", "p"), ("agent-inject-command-a", "pkill -HUP nginx")];
    let two = |pod: &mut Value| {
        pod["spec"]["containers"] = json!([{"name": "app", "command": ["/bin/app"]}, {"name": "web", "command": ["/usr/sbin/nginx"], "args": ["-g"]}]);
    };
    let derivation = derived(&asked, two);
    let reaction = &derivation.plan.reactions[0];
    assert_eq!((reaction.container.as_str(), &reaction.action), ("web", &Action::Signal(Signal::Sighup)));
    assert_eq!(derivation.supervised[0].command, ["/usr/sbin/nginx", "-g"]);
    let without = derived(&asked, |_| {});
    assert!(without.plan.reactions.is_empty());
    assert!(without.warnings.iter().any(|warning| warning.contains("has no command")), "{:?}", without.warnings);
}

#[test]
fn a_folder_that_a_container_mounts_itself_is_refused() {
    let mounted = |pod: &mut Value| {
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "x", "mountPath": "/vault/secrets/"}]);
    };
    assert!(refused(&[], mounted).contains("mounts \"/vault/secrets\" itself"));
}

#[test]
fn the_same_user_is_the_first_apps_unless_that_is_root_or_unknown() {
    let same = [("agent-run-as-same-user", "true")];
    let with = |uid: i64| move |pod: &mut Value| pod["spec"]["securityContext"] = json!({"runAsUser": uid});
    assert_eq!(derived(&same, with(472)).run_as_user, Some(472));
    assert!(refused(&same, with(0)).contains("not allowed to run as root"));
    assert!(refused(&same, |_| {}).contains("does not say which user"));
    assert_eq!(derived(&[], |_| {}).run_as_user, Some(100));
}

#[test]
fn token_volumes_must_be_projected_ones_of_the_pod() {
    let asked = [("agent-service-account-token-volume-name", "vt")];
    let projected = |pod: &mut Value| {
        pod["spec"]["volumes"] =
            json!([{"name": "vt", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]);
    };
    let method = derived(&asked, projected).plan.agent.unwrap().method;
    assert_eq!(method, LoginMethod::TokenOf { file: format!("{GIVEN_TOKEN_FOLDER}/t") });
    assert!(refused(&asked, |_| {}).contains("failed to find service account volume \"vt\""));
    assert!(
        refused(&asked, |pod| pod["spec"]["volumes"] = json!([{"name": "vt", "emptyDir": {}}]))
            .contains("not projected")
    );
}

#[test]
fn the_process_namespace_may_not_be_contradicted() {
    let closed = |pod: &mut Value| pod["spec"]["shareProcessNamespace"] = json!(false);
    assert!(refused(&[("agent-share-process-namespace", "true")], closed).contains("make them equal"));
    derived(&[("agent-share-process-namespace", "false")], closed);
}

#[test]
fn a_server_of_its_own_is_reached_directly_and_trusted_beside_the_installations() {
    let plan = derived(
        &[
            ("service", "https://vault:8200"),
            ("namespace", "team"),
            ("auth-path", "sub/auth/k8s"),
            ("ca-cert", "/vault/tls/ca.crt"),
        ],
        |_| {},
    )
    .plan;
    assert_eq!((plan.server.kind, plan.server.address.host()), (ServerKind::Direct, "vault"));
    let agent = plan.agent.as_ref().unwrap();
    assert_eq!(agent.login_namespace.as_ref().unwrap().as_str(), "team/sub");
    assert_eq!(agent.trust_files, ["/vault/tls/ca.crt"]);
    assert_eq!(derived(&[], |_| {}).plan.server.kind, ServerKind::Broker);
    survives_the_wire(&plan);
}

#[test]
fn more_secrets_than_a_pod_may_have_make_it_wait_with_that_reason() {
    let many: Vec<(String, String)> =
        (0..300).map(|index| (format!("agent-inject-secret-s{index}"), format!("kv/s{index}"))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
    let plan = derived(&many, |_| {}).plan;
    assert!(plan.agent.as_ref().unwrap().hopeless[0].contains("300 files of 300 secrets"));
    assert!(plan.files.is_empty() && plan.secrets.is_empty());
}

#[test]
fn the_tokens_own_file_has_an_agents_mode() {
    let plan = derived(&[("agent-inject-token", "true")], |_| {}).plan;
    assert_eq!((plan.files[0].name.as_str(), plan.files[0].mode.bits()), ("token", 0o640));
    assert_eq!(plan.files[0].content, Content::Token);
}
