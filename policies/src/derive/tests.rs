//! One test per rule of derivation, most with the whole message.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use vouchsafe_model::path::FileMode;
use vouchsafe_model::plan::{Action, Content, Gate, HttpCall, HttpMethod, Restart, Server, ServerKind, Signal};

use super::*;

pub(super) fn installation() -> Installation {
    Installation {
        server: Server {
            kind: ServerKind::Broker,
            address: "https://vouchsafe-broker.vouchsafe.svc:8200".parse().unwrap(),
            namespace: None,
            trust: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        },
        audience: "vouchsafe".parse().unwrap(),
        gate: Gate::Hook,
        wait_seconds: 20,
    }
}

/// Grant `sso` (secrets github, smtp) and Grant `other` (secrets github, extra), both for `app`.
fn grants(deliver: &str) -> String {
    format!(
        "apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {{name: sso, namespace: apps}}
spec:
  serviceAccounts: [app]
  secrets:
  - {{name: github, path: secret/apps/github, keys: [id, token]}}
  - {{name: smtp, path: secret/apps/smtp}}
  deliver: {deliver}
---
apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {{name: other, namespace: apps}}
spec:
  serviceAccounts: [app]
  secrets:
  - {{name: github, path: secret/apps/github2}}
  - {{name: extra, engine: generic, path: db/creds/app}}
"
    )
}

const ONE_FILE: &str = "{files: [{name: token, secret: github, key: token}]}";

fn pod() -> Value {
    json!({"spec": {
        "serviceAccountName": "app",
        "securityContext": {"fsGroup": 1000},
        "containers": [{"name": "app", "args": ["-v"]}],
    }})
}

fn two_containers() -> Value {
    let mut pod = pod();
    pod["spec"]["containers"] = json!([{"name": "app", "command": ["/app"]}, {"name": "log"}]);
    pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
    pod
}

/// Derives; a fault's text comes back as error.
fn run(deliver: &str, pod: &Value, annotations: &[(&str, &str)]) -> Result<Derivation, Vec<String>> {
    run_set(&grants(deliver), pod, annotations)
}

fn run_set(grants: &str, pod: &Value, annotations: &[(&str, &str)]) -> Result<Derivation, Vec<String>> {
    let texts = |faults: Vec<Fault>| faults.iter().map(Fault::to_string).collect::<Vec<_>>();
    let set = GrantSet::read(&[("g.yaml".to_owned(), grants.to_owned())]).map_err(texts)?;
    let mut map = BTreeMap::from([("vouchsafe.dev/inject".to_owned(), "sso".to_owned())]);
    map.extend(annotations.iter().map(|(name, value)| (format!("vouchsafe.dev/{name}"), (*value).to_owned())));
    let ask = Ask::parse(&map).map_err(texts)?.expect("asks");
    let pod = PodFacts::read(pod, &"apps".parse().unwrap()).map_err(texts)?;
    derive(&ask, &pod, &set, &installation()).map_err(texts)
}

fn paths(derivation: &Derivation) -> Vec<String> {
    derivation.delivered.iter().map(|one| format!("{}:{}", one.container, one.path)).collect()
}

#[test]
fn a_grants_deliver_becomes_a_plan() {
    let derivation = run(ONE_FILE, &pod(), &[]).unwrap();
    let plan = &derivation.plan;
    assert_eq!(plan.login.role.as_str(), "vouchsafe.apps.app");
    assert_eq!(
        plan.secrets.iter().map(vouchsafe_model::plan::PlanSecret::api_path).collect::<Vec<_>>(),
        ["secret/data/apps/github"]
    );
    assert_eq!(plan.volumes[0].mount_path.as_str(), "/vouchsafe/secrets");
    assert_eq!(plan.files[0].content, Content::Key { secret: 0, key: "token".parse().unwrap() });
    assert_eq!(plan.files[0].mode, FileMode::READ_GROUP);
    assert_eq!((plan.wait_seconds, plan.gate), (20, Gate::Hook));
    assert_eq!(derivation.audience.as_ref().map(Audience::as_str), Some("vouchsafe"));
    assert_eq!(derivation.warnings, [] as [String; 0]);
    assert_eq!(derivation.delivered[0].secrets, ["sso/github"]);
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), *plan);
}

#[test]
fn a_grant_that_does_not_exist_is_named_with_its_neighbours() {
    assert_eq!(
        run(ONE_FILE, &pod(), &[("inject", "ssso")]).unwrap_err(),
        ["vouchsafe.dev/inject: Grant apps/ssso does not exist; did you mean sso?"]
    );
    assert_eq!(
        run(ONE_FILE, &pod(), &[("inject", "nothing-like-it")]).unwrap_err(),
        ["vouchsafe.dev/inject: Grant apps/nothing-like-it does not exist; that namespace has other, sso"]
    );
    let elsewhere = grants(ONE_FILE).replace("name: other, namespace: apps", "name: other, namespace: far");
    assert_eq!(
        run_set(&elsewhere, &pod(), &[("inject", "other")]).unwrap_err(),
        [
            "vouchsafe.dev/inject: Grant apps/other does not exist; there is one in namespace far (g.yaml:11:1), but a pod \
          uses only Grants of its own namespace: write one there"
        ]
    );
}

#[test]
fn a_service_account_that_is_not_listed_is_refused_with_file_and_line() {
    let mut pod = pod();
    pod["spec"]["serviceAccountName"] = json!("intruder");
    assert_eq!(
        run(ONE_FILE, &pod, &[]).unwrap_err(),
        [
            "vouchsafe.dev/inject: Grant apps/sso (g.yaml:1:1) does not list service account intruder, only app; add it to \
          spec.serviceAccounts there, or run the pod as one of them"
        ]
    );
}

#[test]
fn grants_that_log_in_differently_cannot_be_used_together() {
    let text = grants(ONE_FILE) + "  vault: {authPath: auth/edge}\n";
    assert_eq!(
        run_set(&text, &pod(), &[("inject", "sso, other")]).unwrap_err(),
        [
            "vouchsafe.dev/inject: Grants apps/sso (g.yaml:1:1) and apps/other (g.yaml:11:1) log in differently, but a pod \
          logs in once; make their spec.vault equal"
        ]
    );
}

#[test]
fn a_role_and_audience_of_the_grant_are_used() {
    let text = grants(ONE_FILE).replace("  deliver:", "  vault: {role: legacy, audience: special}\n  deliver:");
    let derivation = run_set(&text, &pod(), &[]).unwrap();
    let audience = derivation.audience.as_ref().map(Audience::as_str);
    assert_eq!((derivation.plan.login.role.as_str(), audience), ("legacy", Some("special")));
}

#[test]
fn the_default_container_is_the_only_one_or_kubectls() {
    let mut pod = two_containers();
    assert_eq!(
        run(ONE_FILE, &pod, &[]).unwrap_err(),
        [
            "g.yaml:9:21: Grant apps/sso spec.deliver.files[0]: the pod has several containers (app, log) and none is the \
          default; name those that get this in containers, or set the annotation \
          kubectl.kubernetes.io/default-container"
        ]
    );
    pod["metadata"] = json!({"annotations": {"kubectl.kubernetes.io/default-container": "log"}});
    assert_eq!(paths(&run(ONE_FILE, &pod, &[]).unwrap()), ["log:/vouchsafe/secrets/token"]);
    pod["metadata"] = json!({"annotations": {"kubectl.kubernetes.io/default-container": "gone"}});
    assert!(
        run(ONE_FILE, &pod, &[]).unwrap_err()[0].contains("names \"gone\", which the pod does not have, only app, log")
    );
}

#[test]
fn containers_may_be_named_by_entry_annotation_and_grant_in_this_order() {
    let deliver = "{containers: [log], files: [{name: a, secret: github, key: id, containers: [migrate]}, {name: b, secret: github, key: id}]}";
    let pod = two_containers();
    assert_eq!(paths(&run(deliver, &pod, &[]).unwrap()), ["migrate:/vouchsafe/secrets/a", "log:/vouchsafe/secrets/b"]);
    assert_eq!(
        paths(&run(deliver, &pod, &[("containers", "[app, log]")]).unwrap()),
        ["migrate:/vouchsafe/secrets/a", "app:/vouchsafe/secrets/b", "log:/vouchsafe/secrets/b"]
    );
}

#[test]
fn a_container_that_does_not_exist_is_refused_with_the_list_of_names() {
    let deliver = "{containers: [lok], files: [{name: a, secret: github, key: id, containers: [zz]}]}";
    assert_eq!(
        run(deliver, &two_containers(), &[("command", "{gone: [x]}")]).unwrap_err(),
        [
            "vouchsafe.dev/command: the pod has no container gone, only migrate, app, log",
            "g.yaml:1:1: Grant apps/sso spec.deliver.containers: the pod has no container lok, only migrate, app, log; \
             did you mean log?",
            "g.yaml:9:40: Grant apps/sso spec.deliver.files[0]: the pod has no container zz, only migrate, app, log",
        ]
    );
}

#[test]
fn an_annotations_file_replaces_the_grants_of_the_same_name_and_container() {
    let files = "- {name: token, secret: smtp, key: password, mode: \"0400\"}";
    let derivation = run(ONE_FILE, &pod(), &[("files", files)]).unwrap();
    assert_eq!(paths(&derivation), ["app:/vouchsafe/secrets/token"]);
    assert_eq!(derivation.delivered[0].secrets, ["sso/smtp"]);
    assert_eq!(derivation.delivered[0].origin, "annotation vouchsafe.dev/files");
    let other = "- {name: second, secret: smtp, key: password}";
    assert_eq!(run(ONE_FILE, &pod(), &[("files", other)]).unwrap().plan.files.len(), 2);
}

#[test]
fn a_secret_name_of_two_grants_must_be_qualified() {
    let file = |secret: &str| format!("[{{name: x, secret: {secret}, key: id}}]");
    assert_eq!(
        run(ONE_FILE, &pod(), &[("inject", "sso, other"), ("files", &file("github"))]).unwrap_err(),
        [
            "vouchsafe.dev/files[0]: secret github is in Grants sso and other; write sso/github, or in a template give one \
          of them another name"
        ]
    );
    let derivation = run(ONE_FILE, &pod(), &[("inject", "sso, other"), ("files", &file("other/github"))]).unwrap();
    let labels: Vec<String> = derivation.plan.secrets.iter().map(vouchsafe_model::plan::PlanSecret::label).collect();
    assert_eq!(labels, ["other/github", "sso/github"]);
    assert_eq!(
        run(ONE_FILE, &pod(), &[("files", &file("other/github"))]).unwrap_err(),
        [
            "vouchsafe.dev/files[0]: secret other/github belongs to a Grant that the pod does not use, only sso; add other \
          to vouchsafe.dev/inject"
        ]
    );
}

#[test]
fn a_key_outside_of_keys_is_refused_for_annotations_too() {
    assert_eq!(
        run(ONE_FILE, &pod(), &[("files", "[{name: x, secret: github, key: private}]")]).unwrap_err(),
        ["vouchsafe.dev/files[0]: secret github of Grant apps/sso (g.yaml:1:1) delivers no key \"private\", only id, \
          token; correct the key or add it to keys"]
    );
}

#[test]
fn templates_must_compile_and_name_secrets_and_keys_of_the_grant() {
    let template = |text: &str| format!("{{files: [{{name: f, template: '{text}'}}]}}");
    let derivation = run(&template("{{ .github.id }}:{{ .smtp.password }}"), &pod(), &[]).unwrap();
    assert_eq!(derivation.delivered[0].secrets, ["sso/github", "sso/smtp"]);
    let Content::Template(planned) = &derivation.plan.files[0].content else { panic!("a template") };
    assert_eq!(planned.roots.len(), 2);
    let refused = |text: &str| run(&template(text), &pod(), &[]).unwrap_err().join("\n");
    assert!(
        refused("{{ if .github.id }}")
            .starts_with("g.yaml:9:41: Grant apps/sso spec.deliver.files[0].template: template f:1:")
    );
    assert_eq!(
        refused("{{ .gihub.id }}"),
        "g.yaml:9:41: Grant apps/sso spec.deliver.files[0].template: Grant apps/sso (g.yaml:1:1) has no secret \"gihub\"; \
         did you mean github?"
    );
    assert!(refused("{{ .github.private }}").contains("delivers no key \"private\", only id, token"));
    assert!(refused("{{ .extra.x }}").contains("has no secret \"extra\""));
}

#[test]
fn a_template_of_an_annotation_sees_all_grants_of_the_pod() {
    let files = "- {name: f, template: '{{ .smtp.password }}{{ .extra.username }}'}";
    let derivation = run("{}", &pod(), &[("inject", "sso, other"), ("files", files)]).unwrap();
    assert_eq!(derivation.delivered[0].secrets, ["other/extra", "sso/smtp"]);
}

#[test]
fn a_mount_path_may_not_overlap_the_containers_own() {
    let mut pod = pod();
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"mountPath": "/data/"}]);
    let at = |path: &str| format!("{{mountPath: {path}, files: [{{name: token, secret: github, key: token}}]}}");
    for path in ["/data", "/data/secrets"] {
        assert_eq!(
            run(&at(path), &pod, &[]).unwrap_err(),
            [format!(
                "g.yaml:9:{}: Grant apps/sso spec.deliver.files[0]: mount path {path} overlaps \"/data/\", which \
                 container app mounts itself; set another mountPath",
                34 + path.len()
            )]
        );
    }
    assert!(run(&at("/database"), &pod, &[]).is_ok());
    let nested = "{files: [{name: a, secret: github, key: id, mountPath: /x}, {name: b, secret: github, key: id, mountPath: /x/y}]}";
    assert!(
        run(nested, &self::pod(), &[]).unwrap_err()[0]
            .contains("mount path /x/y overlaps /x, where container app gets other files")
    );
}

#[test]
fn two_files_of_one_path_are_refused_naming_both() {
    let text = grants(ONE_FILE) + "  deliver: {files: [{name: token, secret: github, key: x}]}\n";
    assert_eq!(
        run_set(&text, &pod(), &[("inject", "sso, other")]).unwrap_err(),
        [
            "g.yaml:19:21: Grant apps/other spec.deliver.files[0]: /vouchsafe/secrets/token in container app is also made by \
          Grant apps/sso spec.deliver.files[0]; give one of them another name"
        ]
    );
}

#[test]
fn a_file_cannot_be_the_folder_of_another() {
    let deliver = "{files: [{name: a, secret: github, key: id}, {name: a/b, secret: github, key: id}]}";
    assert_eq!(
        run(deliver, &pod(), &[]).unwrap_err(),
        [
            "g.yaml:9:57: Grant apps/sso spec.deliver.files[1]: /vouchsafe/secrets/a/b lies in a folder, but Grant apps/sso \
          spec.deliver.files[0] makes a file of that folder's name; rename one of them"
        ]
    );
}

#[test]
fn files_of_two_folders_are_two_volumes_in_a_fixed_order() {
    let deliver = "{files: [{name: b, secret: github, key: id, mountPath: /z}, {name: a, secret: github, key: id, mountPath: /z}, {name: c, secret: github, key: id}]}";
    let plan = run(deliver, &pod(), &[]).unwrap().plan;
    let volumes: Vec<&str> = plan.volumes.iter().map(|volume| volume.mount_path.as_str()).collect();
    assert_eq!(volumes, ["/vouchsafe/secrets", "/z"]);
    let files: Vec<(usize, &str)> = plan.files.iter().map(|file| (file.volume, file.name.as_str())).collect();
    assert_eq!(files, [(0, "c"), (1, "a"), (1, "b")]);
}

#[test]
fn a_path_variable_is_set_once_and_replaces_only_on_purpose() {
    let file =
        |rest: &str| format!("{{files: [{{name: token, secret: github, key: token, pathEnv: TOKEN_FILE{rest}}}]}}");
    let mut pod = pod();
    let derivation = run(&file(""), &pod, &[]).unwrap();
    assert_eq!(derivation.path_env[0].2, "/vouchsafe/secrets/token");
    pod["spec"]["containers"][0]["env"] = json!([{"name": "TOKEN_FILE", "value": "x"}]);
    assert_eq!(
        run(&file(""), &pod, &[]).unwrap_err(),
        [
            "g.yaml:9:21: Grant apps/sso spec.deliver.files[0]: container app already has the variable TOKEN_FILE; remove it \
          there, or set override: true"
        ]
    );
    assert!(run(&file(", override: true"), &pod, &[]).is_ok());
    let twice =
        "{files: [{name: a, secret: github, key: id, pathEnv: X}, {name: b, secret: github, key: id, pathEnv: X}]}";
    assert!(run(twice, &pod, &[]).unwrap_err()[0].contains("the variable X of container app is set by two files"));
}

#[test]
fn the_mode_follows_who_is_known_to_read() {
    let mut pod = pod();
    let shown = |pod: &Value| {
        let derivation = run(ONE_FILE, pod, &[]).unwrap();
        (derivation.plan.files[0].mode.to_string(), derivation.run_as_user, derivation.warnings)
    };
    assert_eq!(shown(&pod), ("0440".to_owned(), None, vec![]));
    pod["spec"]["securityContext"] = json!({"runAsUser": 7});
    assert_eq!(shown(&pod), ("0440".to_owned(), Some(7), vec![]));
    pod["spec"]["securityContext"] = json!({});
    let warning = |why: &str| {
        vec![format!(
            "every process in container app can read token (mode 0444), because {why}; set fsGroup in the pod's \
             securityContext for 0440"
        )]
    };
    let unknown = "the pod has no fsGroup and does not say which user the container runs as";
    assert_eq!(shown(&pod), ("0444".to_owned(), None, warning(unknown)));
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    let root = "the pod has no fsGroup and the container runs as root, which the sidecar does not";
    assert_eq!(shown(&pod), ("0444".to_owned(), None, warning(root)));
}

#[test]
fn a_mode_that_shuts_the_reader_out_is_warned_of() {
    let deliver = "{files: [{name: token, secret: github, key: token, mode: \"0400\"}]}";
    let derivation = run(deliver, &pod(), &[]).unwrap();
    assert_eq!(
        derivation.warnings,
        [
            "file /vouchsafe/secrets/token of container app has mode 0400, but the sidecar owns it and the reader is not \
          known to be its owner or in its group; set fsGroup in the pod's securityContext, or mode: \"0444\""
        ]
    );
    let mut owner = pod();
    owner["spec"]["securityContext"] = json!({"runAsUser": 7});
    assert_eq!(run(deliver, &owner, &[]).unwrap().warnings, [] as [String; 0]);
}

#[test]
fn readers_of_different_users_without_a_group_need_open_files() {
    let mut pod = two_containers();
    pod["spec"]["securityContext"] = json!({});
    pod["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 1});
    pod["spec"]["containers"][1]["securityContext"] = json!({"runAsUser": 2});
    let derivation = run(ONE_FILE, &pod, &[("containers", "[app, log]")]).unwrap();
    assert_eq!(derivation.run_as_user, None);
    assert_eq!(derivation.warnings.len(), 2);
    assert!(derivation.warnings[0].contains("its readers run as different users"));
}

#[test]
fn a_signal_needs_the_containers_command() {
    let deliver = |rest: &str| {
        format!(
            "{{files: [{{name: token, secret: github, key: token}}], onChange: {{action: Signal, signal: SIGHUP}}{rest}}}"
        )
    };
    assert_eq!(
        run(&deliver(""), &pod(), &[]).unwrap_err(),
        [
            "vouchsafe.dev/command: container app has no command, so it is not known what SIGHUP should be sent to; declare \
          what its image runs, as in '{app: [/program]}', here or as deliver.command of the Grant"
        ]
    );
    let derivation = run(&deliver(", command: {app: [/run.sh]}"), &pod(), &[]).unwrap();
    assert_eq!(derivation.supervised[0].command, ["/run.sh", "-v"]);
    assert_eq!(derivation.plan.reactions[0].action, Action::Signal(Signal::Sighup));
    assert_eq!(derivation.plan.reactions[0].files, [0]);
    let by_annotation =
        run(&deliver(", command: {app: [/run.sh]}"), &pod(), &[("command", "{app: [/other]}")]).unwrap();
    assert_eq!(by_annotation.supervised[0].command, ["/other", "-v"]);
    let mut own = pod();
    own["spec"]["containers"][0]["command"] = json!(["/own"]);
    let derivation = run(&deliver(", command: {app: [/run.sh]}"), &own, &[]).unwrap();
    assert_eq!(derivation.supervised[0].command, ["/own", "-v"]);
    assert_eq!(
        derivation.warnings,
        ["container app has a command of its own, which counts; the one declared for it is passed over"]
    );
}

#[test]
fn an_http_call_needs_no_command() {
    let deliver = "{files: [{name: token, secret: github, key: token}], onChange: {action: HTTP, http: {port: 3000, path: /-/reload}}}";
    let derivation = run(deliver, &pod(), &[]).unwrap();
    let call = HttpCall { port: 3000, path: "/-/reload".to_owned(), method: HttpMethod::Post };
    assert_eq!(derivation.plan.reactions[0].action, Action::Http(call));
    assert_eq!(derivation.supervised, []);
    assert_eq!(
        derivation.delivered[0].reaction,
        "the file is replaced and POST http://127.0.0.1:3000/-/reload is called"
    );
}

#[test]
fn one_signal_for_all_files_of_a_container_and_none_for_init_containers() {
    let deliver = "{containers: [migrate, app], files: [{name: a, secret: github, key: id}, {name: b, secret: github, key: id}], onChange: {action: Signal, signal: SIGHUP}}";
    let derivation = run(deliver, &two_containers(), &[]).unwrap();
    assert_eq!(derivation.plan.reactions.len(), 1);
    assert_eq!(derivation.plan.reactions[0].files, [2, 3]);
    assert_eq!(derivation.supervised.len(), 1);
    assert_eq!(derivation.delivered[0].reaction, "nothing: an init container has ended before anything changes");
}

#[test]
fn the_annotations_reaction_replaces_the_grants() {
    let deliver = "{files: [{name: token, secret: github, key: token}], onChange: {action: Restart}}";
    assert_eq!(
        run(deliver, &pod(), &[]).unwrap_err(),
        [
            "vouchsafe.dev/command: container app has no command, so it is not known what should be started again; declare what \
          its image runs, as in '{app: [/program]}', here or as deliver.command of the Grant"
        ]
    );
    let derivation = run(deliver, &pod(), &[("on-change", "{action: None}")]).unwrap();
    assert_eq!(derivation.plan.reactions, []);
    let command = ("command", "{app: [/app]}");
    let derivation = run(ONE_FILE, &pod(), &[("on-change", "{action: Restart}"), command]).unwrap();
    assert_eq!(derivation.plan.reactions[0].action, Action::Restart(Restart { grace_seconds: 30 }));
    let window = "{action: Restart, window: {schedule: \"0 3 * * *\", duration: 1h}}";
    assert_eq!(
        run(ONE_FILE, &pod(), &[("on-change", window), command]).unwrap_err(),
        [
            "vouchsafe.dev/on-change.window: a window is not available yet; leave it out, and the app is started again as soon \
          as a value changes, or use None"
        ]
    );
}

#[test]
fn an_annotations_file_reacts_as_the_grants_behind_it_say() {
    let signal = "{onChange: {action: HTTP, http: {port: 1, path: /r}}}";
    let one = "- {name: x, secret: smtp, key: password}";
    assert_eq!(run(signal, &pod(), &[("files", one)]).unwrap().plan.reactions.len(), 1);
    let both = "- {name: x, template: '{{ .smtp.password }}{{ .extra.username }}'}";
    assert_eq!(
        run(signal, &pod(), &[("inject", "sso, other"), ("files", both)]).unwrap_err(),
        ["vouchsafe.dev/files[0]: its secrets come from Grants other, sso, whose onChange differ; set \
          vouchsafe.dev/on-change"]
    );
}

const ONE_VARIABLE: &str = "{command: {app: [/app]}, env: [{name: TOKEN, secret: github, key: token}]}";

#[test]
fn a_variable_is_a_file_of_an_environment_and_its_container_runs_under_the_wrapper() {
    let deliver = "{command: {app: [/app]}, files: [{name: id, secret: github, key: id}], env: [{name: TOKEN, secret: github, key: token}]}";
    let derivation =
        run(deliver, &pod(), &[("env", "[{name: USER, secret: smtp, key: user, optional: true}]")]).unwrap();
    let plan = &derivation.plan;
    let shown: Vec<(usize, &str, bool)> =
        plan.files.iter().map(|file| (file.volume, file.name.as_str(), file.optional)).collect();
    assert_eq!(shown, [(0, "id", false), (1, "TOKEN", false), (1, "USER", true)]);
    assert_eq!(plan.environments.len(), 1);
    assert_eq!(plan.environment_of(&plan.files[1]), Some(0));
    assert_eq!(derivation.supervised[0].command, ["/app", "-v"]);
    assert_eq!(derivation.delivered[1].path, "variable TOKEN");
    assert_eq!(
        derivation.delivered[1].reaction,
        "TOKEN keeps its value until the container starts again; action: Restart does that"
    );
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).as_ref(), Ok(plan));
}

#[test]
fn variables_alone_need_no_volume_and_an_annotations_entry_replaces_a_grants() {
    let annotation = ("env", "[{name: TOKEN, secret: smtp, key: password}]");
    let derivation = run(ONE_VARIABLE, &pod(), &[annotation]).unwrap();
    assert_eq!(derivation.plan.volumes, []);
    assert_eq!(derivation.plan.files.len(), 1);
    assert_eq!(derivation.plan.secrets[0].name.as_str(), "smtp");
    assert_eq!(derivation.delivered[0].origin, "annotation vouchsafe.dev/env");
}

#[test]
fn a_variable_that_the_container_has_needs_override_and_one_without_command_is_refused() {
    let mut taken = pod();
    taken["spec"]["containers"][0]["env"] = json!([{"name": "TOKEN", "value": "x"}]);
    assert_eq!(
        run(ONE_VARIABLE, &taken, &[]).unwrap_err(),
        [
            "g.yaml:9:43: Grant apps/sso spec.deliver.env[0]: container app already has the variable TOKEN; remove it there, or \
          set override: true"
        ]
    );
    let overrides = "{command: {app: [/app]}, env: [{name: TOKEN, secret: github, key: token, override: true}]}";
    assert!(run(overrides, &taken, &[]).is_ok());
    assert_eq!(
        run("{env: [{name: TOKEN, secret: github, key: token}]}", &pod(), &[]).unwrap_err(),
        [
            "vouchsafe.dev/command: container app has no command, so it is not known what should be started with its variables; \
          declare what its image runs, as in '{app: [/program]}', here or as deliver.command of the Grant"
        ]
    );
}

#[test]
fn what_is_made_of_a_variable_is_put_together_by_the_wrapper() {
    let mut pod = pod();
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "HOST", "value": "db$$1"},
        {"name": "DSN", "value": "u:$(TOKEN)@$(HOST)/$(FROM_A_SERVICE)"},
        {"name": "LONG", "value": "$(DSN)?x"},
        {"name": "PLAIN", "value": "$(HOST) $$(TOKEN)"},
        {"name": "EARLY", "value": "$(LATER)"},
        {"name": "LATER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    let derivation = run(ONE_VARIABLE, &pod, &[]).unwrap();
    let shown: Vec<(&str, &str)> = derivation.plan.environments[0]
        .dependents
        .iter()
        .map(|dependent| (dependent.name.as_str(), dependent.text.as_str()))
        .collect();
    assert_eq!(shown, [("DSN", "u:$(TOKEN)@db$$1/$(FROM_A_SERVICE)"), ("LONG", "$(DSN)?x")]);
}

#[test]
fn arguments_that_would_show_a_value_are_refused_and_probes_that_see_none_are_named() {
    let mut shown = pod();
    shown["spec"]["containers"][0]["args"] = json!(["-v", "--password=$(DSN)"]);
    shown["spec"]["containers"][0]["env"] = json!([{"name": "DSN", "value": "u:$(TOKEN)"}]);
    assert_eq!(
        run(ONE_VARIABLE, &shown, &[]).unwrap_err(),
        [
            "container app args[1]: would show the value of DSN to everybody who may list processes; let the app read the \
          variable itself, or a file"
        ]
    );
    let mut probed = pod();
    probed["spec"]["containers"][0]["livenessProbe"] = json!({"exec": {"command": ["/live"]}});
    assert_eq!(
        run(ONE_VARIABLE, &probed, &[]).unwrap().warnings,
        ["livenessProbe of container app runs beside the app and does not see TOKEN; start its command by \
          /vouchsafe/internal/run/vouchsafe-sidecar exec --env --become --"]
    );
    let wrapper = "/vouchsafe/internal/run/vouchsafe-sidecar";
    let command = json!([wrapper, "exec", "--env", "--become", "--", "/live"]);
    probed["spec"]["containers"][0]["livenessProbe"]["exec"]["command"] = command;
    assert_eq!(run(ONE_VARIABLE, &probed, &[]).unwrap().warnings, [] as [String; 0]);
}

#[test]
fn restart_covers_variables_and_files_of_a_container_at_once() {
    let deliver = "{command: {app: [/app]}, files: [{name: id, secret: github, key: id}], env: [{name: TOKEN, secret: github, key: token}], onChange: {action: Restart}}";
    let derivation = run(deliver, &pod(), &[]).unwrap();
    assert_eq!(derivation.plan.reactions.len(), 1);
    assert_eq!(derivation.plan.reactions[0].files, [0, 1]);
    assert_eq!(derivation.delivered[1].reaction, "the app is ended and started again with the new value");
}

#[test]
fn two_entries_for_one_variable_are_refused() {
    let both = "{command: {app: [/app]}, files: [{name: f, secret: github, key: id, pathEnv: TOKEN}], env: [{name: TOKEN, secret: github, key: token}, {name: TOKEN, secret: smtp, key: x}]}";
    let faults = run(both, &pod(), &[]).unwrap_err();
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults[0].contains("also holds the path of /vouchsafe/secrets/f"), "{faults:#?}");
    assert!(faults[1].contains("is also set by Grant apps/sso spec.deliver.env[0]; remove one"), "{faults:#?}");
}

#[test]
fn a_pod_that_would_get_nothing_is_refused_and_told_what_to_add() {
    assert_eq!(
        run("{}", &pod(), &[]).unwrap_err(),
        ["vouchsafe.dev/inject: nothing would be delivered: sso has no deliver.files and no deliver.env, and the \
          pod no vouchsafe.dev/files; add one, as in {name: id, secret: github, key: id}"]
    );
    let derivation = run(ONE_FILE, &pod(), &[("inject", "sso, other")]).unwrap();
    assert_eq!(
        derivation.warnings,
        ["Grant apps/other (g.yaml:11:1) delivers nothing to this pod; give it deliver.files or deliver.env, or \
          remove it from vouchsafe.dev/inject"]
    );
}

#[test]
fn limits_are_refused_with_their_numbers() {
    let entries = |count: usize, secret: &str| {
        (0..count).map(|index| format!("{{name: f{index}, secret: {secret}, key: id}}")).collect::<Vec<_>>().join(", ")
    };
    let shown = run(&format!("{{files: [{}]}}", entries(257, "github")), &pod(), &[]).unwrap_err();
    assert_eq!(
        shown,
        ["vouchsafe.dev/inject: the pod would get 257 files, the limit is 256; put several values into one file by a \
          template, or name fewer containers"]
    );
    let secrets: Vec<String> = (0..65).map(|index| format!("{{name: s{index}, path: secret/s{index}}}")).collect();
    let files: Vec<String> = (0..65).map(|index| format!("{{name: f{index}, secret: s{index}, key: k}}")).collect();
    let text = format!(
        "apiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {{name: sso, namespace: apps}}\nspec:\n  serviceAccounts: [app]\n  secrets: [{}]\n  deliver: {{files: [{}]}}\n",
        secrets.join(", "),
        files.join(", ")
    );
    assert_eq!(
        run_set(&text, &pod(), &[]).unwrap_err(),
        ["vouchsafe.dev/inject: plan holds 65 secrets, the limit is 64; split the pod's Grants"]
    );
    let large = "x".repeat(60 * 1024);
    let deliver = format!("{{files: [{{name: a, template: {large}}}, {{name: b, template: {large}}}]}}");
    let shown = run(&deliver, &pod(), &[]).unwrap_err().join("\n");
    assert!(
        shown.starts_with("vouchsafe.dev/inject: plan is ")
            && shown.ends_with("the limit is 98304; shorten its templates"),
        "{shown}"
    );
}

#[test]
fn all_faults_come_at_once() {
    let deliver = "{files: [{name: a, secret: github, key: id, containers: [zz]}, {name: b, template: '{{ .nope.x }}'}], env: [{name: X, secret: github, key: id}], onChange: {action: Restart}}";
    let mut pod = pod();
    pod["spec"]["serviceAccountName"] = json!("intruder");
    let shown = run(deliver, &pod, &[]).unwrap_err();
    assert_eq!(shown.len(), 4, "{shown:#?}");
}

proptest! {
    #[test]
    fn the_same_input_gives_the_same_result_whatever_it_is(
        names in proptest::collection::vec("[a-c]{1,2}", 1..6),
        template in "[a-z{}. |]{0,30}",
        mounts in proptest::collection::vec("/?[a-b/]{0,6}", 0..3),
        group in proptest::option::of(0i64..3),
        inject in "sso|sso, other|other",
    ) {
        let files: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(index, name)| match index % 2 {
                0 => format!("{{name: {name}, secret: github, key: id}}"),
                _ => format!("{{name: {name}, template: '{template}', mountPath: /{name}}}"),
            })
            .collect();
        let deliver = format!("{{files: [{}], onChange: {{action: HTTP, http: {{port: 1, path: /}}}}}}", files.join(", "));
        let mut pod = pod();
        pod["spec"]["securityContext"] = json!({"fsGroup": group});
        pod["spec"]["containers"][0]["volumeMounts"] =
            mounts.iter().map(|mount| json!({"mountPath": mount})).collect();
        let first = run(&deliver, &pod, &[("inject", &inject)]);
        prop_assert_eq!(&first, &run(&deliver, &pod, &[("inject", &inject)]));
        match first {
            Ok(derivation) => prop_assert_eq!(derivation.plan.check(), Ok(())),
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }
}
