//! One test per rule of the Grant's format, most with the whole message.

use proptest::prelude::*;

use super::*;
use crate::fault::Fault;

const HEAD: &str = "apiVersion: vouchsafe.dev/v1alpha1\nkind: Grant\nmetadata: {name: app, namespace: apps}\n";

/// A Grant whose `spec` begins in line 5.
fn read(spec: &str) -> Result<Grant, Vec<String>> {
    read_whole(&format!("{HEAD}spec:\n{spec}"))
}

fn read_whole(text: &str) -> Result<Grant, Vec<String>> {
    match GrantSet::read(&[("g.yaml".to_owned(), text.to_owned())]) {
        Ok(set) => Ok(set.iter().next().expect("one Grant").clone()),
        Err(faults) => Err(faults.iter().map(Fault::to_string).collect()),
    }
}

/// A sound Grant with this line among its secrets (line 7) and this `deliver` (from line 8).
fn with(secret: &str, deliver: &str) -> Result<Grant, Vec<String>> {
    read(&format!("  serviceAccounts: [app]\n  secrets:\n  - {secret}\n{deliver}"))
}

fn faults(result: Result<Grant, Vec<String>>) -> Vec<String> {
    result.expect_err("faults")
}

const GITHUB: &str = "{name: github, path: secret/app/github, keys: [token]}";

#[test]
fn a_whole_grant_is_read_with_its_defaults() {
    let grant = with(GITHUB, "  deliver: {files: [{name: token, secret: github, key: token}]}\n").unwrap();
    assert_eq!(grant.label(), "apps/app");
    assert_eq!(grant.at.as_ref().unwrap().to_string(), "g.yaml:1:1");
    assert_eq!(
        grant.vault,
        VaultSettings { role: None, auth_path: "auth/kubernetes".parse().unwrap(), audience: None }
    );
    let secret = &grant.secrets[0];
    assert_eq!((secret.mount.as_str(), secret.path.as_str(), secret.engine), ("secret", "app/github", Engine::KvV2));
    assert_eq!(grant.deliver.on_change, None);
    assert_eq!(grant.deliver.files[0].field, "spec.deliver.files[0]");
}

#[test]
fn an_unknown_field_is_a_fault_with_its_place_and_the_nearest_name() {
    assert_eq!(
        faults(read("  serviceAcounts: [app]\n  secrets:\n  - {name: github, path: secret/x, key: [a]}\n")),
        [
            "g.yaml:5:3: spec.serviceAccounts: is missing; write it as in serviceAccounts: [app]",
            "g.yaml:7:36: spec.secrets[0]: unknown field \"key\"; did you mean keys?",
            "g.yaml:5:3: spec: unknown field \"serviceAcounts\"; did you mean serviceAccounts?",
        ]
    );
    assert_eq!(
        faults(read_whole(&format!("{HEAD}zzz: 1\nspec: {{serviceAccounts: [a], secrets: [{{name: a, path: s/a}}]}}"))),
        ["g.yaml:4:1: unknown field \"zzz\"; known are kind, apiVersion, metadata, spec, status"]
    );
}

#[test]
fn data_after_the_mount_is_a_fault_that_shows_the_right_path() {
    assert_eq!(
        faults(with("{name: a, path: secret/data/app/github}", "")),
        ["g.yaml:7:21: spec.secrets[0].path: \"secret/data/app/github\" holds data/ after the mount, which Vouchsafe \
          adds itself; write secret/app/github"]
    );
    assert!(with("{name: a, engine: kv-v1, path: secret/data/x}", "").is_ok());
    assert!(with("{name: a, path: secret/app/data/x}", "").is_ok());
    assert!(with("{name: a, path: secret/database/x}", "").is_ok());
}

#[test]
fn the_mount_is_the_first_segment_unless_said_otherwise() {
    let grant = with("{name: a, mount: team/kv, path: team/kv/app/x}", "").unwrap();
    assert_eq!((grant.secrets[0].mount.as_str(), grant.secrets[0].path.as_str()), ("team/kv", "app/x"));
    assert_eq!(
        faults(with("{name: a, mount: team/kv, path: app/x}", "")),
        ["g.yaml:7:37: spec.secrets[0].path: does not begin with the mount; write it whole: team/kv/app/x"]
    );
    assert_eq!(
        faults(with("{name: a, path: github}", "")),
        ["g.yaml:7:21: spec.secrets[0].path: \"github\" names a mount only; write mount and path, as in secret/github"]
    );
}

#[test]
fn the_servers_own_mounts_are_out_of_reach() {
    for path in ["sys/policies/x", "auth/token/create", "identity/x", "cubbyhole/x"] {
        let shown = faults(with(&format!("{{name: a, engine: generic, path: {path}}}"), "")).join("");
        assert!(shown.contains("belongs to the server itself"), "{shown}");
    }
}

#[test]
fn wildcards_escapes_and_odd_characters_in_paths_are_refused() {
    for path in [
        "secret/*",
        "secret/+/x",
        "secret/../x",
        "secret//x",
        "/secret/x",
        "secret/x/",
        "'secret/%2e'",
        "'secret/{{x}}'",
        "'secret/a b'",
    ] {
        assert_eq!(faults(with(&format!("{{name: a, path: {path}}}"), "")).len(), 1, "{path}");
    }
}

#[test]
fn wildcard_readers_are_refused() {
    assert_eq!(
        faults(read("  serviceAccounts: [\"*\"]\n  secrets: [{name: a, path: s/a}]\n")),
        ["g.yaml:5:21: spec.serviceAccounts[0]: a wildcard would let every pod read; name each service account"]
    );
    assert_eq!(faults(read("  serviceAccounts: []\n  secrets: [{name: a, path: s/a}]\n")).len(), 1);
}

#[test]
fn names_of_secrets_are_unique_and_engines_known() {
    let twice = format!("{GITHUB}\n  - {GITHUB}");
    assert_eq!(
        faults(with(&twice, "")),
        ["g.yaml:8:5: spec.secrets[1]: secret github stands twice; give one of them another name"]
    );
    assert_eq!(
        faults(with("{name: a, engine: kv-2, path: s/a}", "")),
        [
            "g.yaml:7:23: spec.secrets[0].engine: no engine is called \"kv-2\"; did you mean kv-v2? use kv-v2, kv-v1 or generic"
        ]
    );
}

#[test]
fn version_and_parameters_go_with_their_engines() {
    assert_eq!(with("{name: a, path: s/a, version: 3}", "").unwrap().secrets[0].version, Some(3));
    assert_eq!(faults(with("{name: a, path: s/a, version: 0}", "")).len(), 1);
    assert_eq!(faults(with("{name: a, engine: kv-v1, path: s/a, version: 1}", "")).len(), 1);
    assert_eq!(
        faults(with("{name: a, path: s/a, parameters: {x: 1}}", "")),
        [
            "g.yaml:7:38: spec.secrets[0].parameters: parameters make the read a write, which only engine: generic allows; \
          set that or remove them"
        ]
    );
    let grant = with("{name: a, engine: generic, path: s/a, parameters: {x: {y: [1]}}}", "").unwrap();
    assert_eq!(serde_json::to_string(&grant.secrets[0].parameters).unwrap(), r#"{"x":{"y":[1]}}"#);
}

fn file(fields: &str) -> Result<Grant, Vec<String>> {
    with(GITHUB, &format!("  deliver:\n    files:\n    - {{name: f, {fields}}}\n"))
}

#[test]
fn a_file_takes_exactly_one_of_key_and_template() {
    let place = "g.yaml:10:";
    for (fields, expected) in [
        ("mode: \"0440\"", "7: spec.deliver.files[0]: says not what the file holds; add secret and key, or template"),
        ("secret: github", "25: spec.deliver.files[0].secret: needs a key beside it, as in key: client_secret"),
        ("key: token", "22: spec.deliver.files[0].key: needs a secret beside it, as in secret: github"),
        (
            "key: token, template: x",
            "22: spec.deliver.files[0].key: a file takes key or template, not both; remove one",
        ),
        (
            "secret: github, template: x",
            "25: spec.deliver.files[0].secret: a template names its secrets itself, as in {{ .github.client_secret }}; \
             remove the field",
        ),
        (
            "secret: github, key: token, delimiters: [a, b]",
            "57: spec.deliver.files[0].delimiters: delimiters go with template; remove them",
        ),
        (
            "template: x, delimiters: [\"<<\"]",
            "42: spec.deliver.files[0].delimiters: must be two texts, as in [\"<<\", \">>\"]",
        ),
    ] {
        assert_eq!(faults(file(fields)), [format!("{place}{expected}")], "{fields}");
    }
    assert!(file("template: x, delimiters: [\"<<\", \">>\"]").is_ok());
}

#[test]
fn a_mode_is_quoted_text_and_a_number_is_refused() {
    assert_eq!(
        faults(file("secret: github, key: token, mode: 0440")),
        [
            "g.yaml:10:51: spec.deliver.files[0].mode: 0440 is a number, which readers of YAML take for octal or decimal; \
          quote it: \"0440\""
        ]
    );
    assert_eq!(
        faults(file("secret: github, key: token, mode: \"4777\"")),
        ["g.yaml:10:51: spec.deliver.files[0].mode: mode \"4777\": setuid, setgid and sticky bits are refused; \
          use \"0440\" or \"0444\""]
    );
    assert_eq!(
        file("secret: github, key: token, mode: \"0440\"").unwrap().deliver.files[0].mode,
        Some(FileMode::READ_GROUP)
    );
}

#[test]
fn file_names_and_mount_paths_stay_in_their_folder() {
    for name in ["../x", "/abs", "a/../b", "..data", "-rf"] {
        let text = format!("  deliver: {{files: [{{name: {name}, secret: github, key: token}}]}}\n");
        assert_eq!(faults(with(GITHUB, &text)).len(), 1, "{name}");
    }
    for path in ["/", "etc", "/etc/app", "/proc/1", "/var/run/secrets/x", "/vouchsafe/internal/x"] {
        assert_eq!(faults(file(&format!("secret: github, key: token, mountPath: {path}"))).len(), 1, "{path}");
    }
}

#[test]
fn a_delivered_key_must_be_among_the_secrets_keys() {
    assert_eq!(
        faults(file("secret: github, key: tokn")),
        ["g.yaml:10:7: spec.deliver.files[0]: secret github of Grant apps/app (g.yaml:1:1) delivers no key \"tokn\", \
          only token; correct the key or add it to keys"]
    );
    assert_eq!(
        faults(file("secret: gihub, key: token")),
        [
            "g.yaml:10:7: spec.deliver.files[0]: Grant apps/app (g.yaml:1:1) has no secret \"gihub\"; did you mean github?"
        ]
    );
}

#[test]
fn a_grant_never_names_another_one() {
    assert_eq!(
        faults(file("secret: other/github, key: token")),
        ["g.yaml:10:25: spec.deliver.files[0].secret: \"other/github\" names another Grant; a Grant delivers its own \
          secrets only"]
    );
}

#[test]
fn variables_are_read_and_checked_though_they_are_not_delivered_yet() {
    let text = "  deliver: {env: [{name: GITHUB_TOKEN, secret: github, key: token, override: true}]}\n";
    assert_eq!(with(GITHUB, text).unwrap().deliver.env[0].name.as_str(), "GITHUB_TOKEN");
    let bad = "  deliver: {env: [{name: 2X, secret: github, key: token, containers: []}, {name: X, value: y}]}\n";
    assert_eq!(faults(with(GITHUB, bad)).len(), 5);
}

#[test]
fn commands_are_lists_since_no_shell_takes_texts_apart() {
    let command = |text: &str| with(GITHUB, &format!("  deliver: {{command: {{app: {text}}}}}\n"));
    assert_eq!(command("[/run.sh, -x]").unwrap().deliver.command["app"], ["/run.sh", "-x"]);
    assert_eq!(
        faults(command("/run.sh -x; rm")),
        [
            "g.yaml:8:28: spec.deliver.command.app: must be a list, since no shell takes it apart; write [/run.sh, -x;, rm]"
        ]
    );
    assert_eq!(
        faults(command("[]")),
        ["g.yaml:8:28: spec.deliver.command.app: is empty; write the program and its arguments, as in [/run.sh]"]
    );
    assert_eq!(faults(command("[1]")).len(), 1);
}

fn change(text: &str) -> Result<Option<OnChange>, Vec<String>> {
    with(GITHUB, &format!("  deliver: {{onChange: {text}}}\n")).map(|grant| grant.deliver.on_change)
}

#[test]
fn every_reaction_is_read() {
    use vouchsafe_model::plan::{HttpCall, HttpMethod, Signal};
    assert_eq!(change("{action: None}"), Ok(Some(OnChange::Nothing)));
    assert_eq!(change("{action: Signal, signal: SIGUSR2}"), Ok(Some(OnChange::Act(Action::Signal(Signal::Sigusr2)))));
    let call = HttpCall { port: 3000, path: "/-/reload".to_owned(), method: HttpMethod::Post };
    assert_eq!(
        change("{action: HTTP, http: {port: 3000, path: /-/reload, method: POST}}"),
        Ok(Some(OnChange::Act(Action::Http(call))))
    );
    assert_eq!(change("{action: Restart}"), Ok(Some(OnChange::Restart(None))));
    let window = Window { schedule: "0 3 * * *".to_owned(), seconds: 3600, time_zone: "America/Toronto".to_owned() };
    assert_eq!(
        change("{action: Restart, window: {schedule: \"0 3 * * *\", duration: 1h, timeZone: America/Toronto}}"),
        Ok(Some(OnChange::Restart(Some(window))))
    );
}

#[test]
fn reactions_with_wrong_or_missing_parts_are_refused() {
    for (text, expected) in [
        ("Restart", "must be a map; write {action: Restart}"),
        ("{action: Reload}", "action: no action is called \"Reload\"; use None, Signal, HTTP or Restart"),
        (
            "{action: signal}",
            "action: no action is called \"signal\"; did you mean Signal? use None, Signal, HTTP or Restart",
        ),
        ("{action: null}", "action: is empty; write None, Signal, HTTP or Restart"),
        ("{action: Signal}", "action: Signal needs a signal, as in {action: Signal, signal: SIGHUP}"),
        ("{action: Signal, signal: SIGKILL}", "signal: \"SIGKILL\" is not offered; use SIGHUP, SIGUSR1 or SIGUSR2"),
        ("{action: HTTP}", "action: HTTP needs http, as in {action: HTTP, http: {port: 3000, path: /-/reload}}"),
        ("{action: HTTP, http: {port: 0, path: /x}}", "port: must be a whole number from 1 to 65535"),
        (
            "{action: HTTP, http: {port: 1, path: \"http://x/\"}}",
            "path: \"http://x/\" is no request path; write it as in /-/reload, without host and fragment",
        ),
        (
            "{action: HTTP, http: {port: 1, path: /x, method: DELETE}}",
            "method: \"DELETE\" is not offered; use POST, PUT or GET",
        ),
        ("{action: None, signal: SIGHUP}", "signal: goes with action: Signal, not with None; remove it"),
        (
            "{action: Signal, signal: SIGHUP, window: {schedule: \"* * * * *\", duration: 1h}}",
            "window: goes with action: Restart, not with Signal; remove it",
        ),
        (
            "{action: Restart, window: {schedule: \"0 3 * *\", duration: 1h}}",
            "schedule: \"0 3 * *\" has 4 fields instead of 5; write minute hour day month weekday, as in \"0 3 * * *\"",
        ),
    ] {
        let shown = change(text).unwrap_err();
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert!(shown[0].ends_with(expected), "{text}: {}", shown[0]);
    }
}

#[test]
fn vault_settings_are_read_strictly() {
    let grant = with(GITHUB, "  vault: {role: legacy, authPath: auth/edge, audience: \"https://vault\"}\n").unwrap();
    assert_eq!(grant.vault.role.unwrap().as_str(), "legacy");
    for text in [
        "{authPath: ../x}",
        "{authPath: auth//k8s}",
        "{authPath: kubernetes}",
        "{audience: \"\"}",
        "{role: \"a b\"}",
        "{mount: x}",
    ] {
        assert_eq!(faults(with(GITHUB, &format!("  vault: {text}\n"))).len(), 1, "{text}");
    }
}

#[test]
fn what_looks_like_a_secret_does_not_belong_into_a_grant() {
    let token = format!("hvs.{}", "a1B2".repeat(6));
    let shown =
        faults(with(GITHUB, &format!("  deliver: {{files: [{{name: f, template: \"{token}\"}}]}}\n"))).join("\n");
    assert!(shown.contains("spec.deliver.files[0].template: looks like a Vault token"), "{shown}");
    assert!(!shown.contains(&token));
}

#[test]
fn only_grants_of_our_version_may_stand_in_a_folder_of_grants() {
    for (text, expected) in [
        (
            "kind: ConfigMap\napiVersion: v1",
            "kind: \"ConfigMap\" may not stand here; only Grants are read from this place",
        ),
        ("kind: grant\napiVersion: vouchsafe.dev/v1alpha1", "kind: \"grant\" is unknown; did you mean Grant?"),
        (
            "kind: Grant\napiVersion: vouchsafe.dev/v1",
            "apiVersion: \"vouchsafe.dev/v1\" is unknown; write vouchsafe.dev/v1alpha1",
        ),
        ("[]", "must be a map, it is a list"),
    ] {
        let shown = faults(read_whole(text)).join("\n");
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn a_grant_stands_once_and_the_first_place_is_named() {
    let one = format!("{HEAD}spec: {{serviceAccounts: [a], secrets: [{{name: a, path: s/a}}]}}\n");
    let sources = [("a.yaml".to_owned(), one.clone()), ("b.yaml".to_owned(), one)];
    let shown = GrantSet::read(&sources).unwrap_err();
    assert_eq!(
        shown[0].to_string(),
        "b.yaml:1:1: metadata.name: Grant apps/app stands twice, first at a.yaml:1:1; remove one"
    );
}

#[test]
fn grants_of_one_reader_agree_on_its_audience() {
    let one = format!("{HEAD}spec: {{serviceAccounts: [a], secrets: [{{name: a, path: s/a}}]}}\n");
    let two = one.replace("name: app", "name: other").replace("spec: {", "spec: {vault: {audience: x}, ");
    let sources = [("a.yaml".to_owned(), one), ("b.yaml".to_owned(), two)];
    let shown = GrantSet::read(&sources).unwrap_err();
    assert_eq!(
        shown[0].to_string(),
        "b.yaml:1:1: spec.vault.audience: audience is x here and the installation's in Grant apps/app (a.yaml:1:1), \
         but both make the role of the same service account; make them equal"
    );
}

#[test]
fn objects_of_the_api_are_taken_one_by_one() {
    let object = |name: &str, account: &str| {
        serde_json::json!({
            "apiVersion": "vouchsafe.dev/v1alpha1", "kind": "Grant",
            "metadata": {"name": name, "namespace": "apps", "uid": "1", "resourceVersion": "2", "managedFields": []},
            "spec": {"serviceAccounts": [account], "secrets": [{"name": "a", "path": "s/a"}]},
            "status": {"applied": true},
        })
    };
    let (set, faults) = GrantSet::from_objects([object("good", "a"), object("bad", "*"), object("fine", "b")]);
    assert_eq!(set.iter().map(Grant::label).collect::<Vec<_>>(), ["apps/fine", "apps/good"]);
    assert_eq!(
        faults.iter().map(Fault::to_string).collect::<Vec<_>>(),
        ["spec.serviceAccounts[0]: a wildcard would let every pod read; name each service account (Grant apps/bad)"]
    );
    let account = "b".parse().unwrap();
    assert_eq!(set.allowing(&"apps".parse().unwrap(), &account).count(), 1);
    assert_eq!(set.allowing(&"other".parse().unwrap(), &account).count(), 0);
}

#[test]
fn a_folder_is_read_whole_and_hidden_names_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let grant = |name: &str| {
        format!("{HEAD}spec: {{serviceAccounts: [a], secrets: [{{name: a, path: s/a}}]}}\n")
            .replace("name: app", &format!("name: {name}"))
    };
    std::fs::create_dir_all(folder.path().join("team/..data")).unwrap();
    std::fs::write(folder.path().join("one.yaml"), grant("one")).unwrap();
    std::fs::write(folder.path().join("team/two.yml"), grant("two")).unwrap();
    std::fs::write(folder.path().join("team/..data/three.yaml"), "not: a grant").unwrap();
    std::fs::write(folder.path().join("README.md"), "words").unwrap();
    assert_eq!(GrantSet::read_folder(folder.path()).unwrap().len(), 2);
    std::fs::write(folder.path().join("latin.yaml"), [b'a', 0xff]).unwrap();
    std::fs::create_dir(folder.path().join("trap.yaml")).unwrap();
    std::fs::write(folder.path().join("trap.yaml/bad.yaml"), "kind: x").unwrap();
    let shown: Vec<String> = GrantSet::read_folder(folder.path()).unwrap_err().iter().map(Fault::to_string).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].ends_with("latin.yaml: is not UTF-8 (byte 2); save it as UTF-8 text"), "{}", shown[0]);
    assert!(GrantSet::read_folder(&folder.path().join("nowhere")).is_err());
}

proptest! {
    #[test]
    fn no_grant_makes_the_reader_panic(
        field in "serviceAccounts|secrets|deliver|vault|[a-z]{1,8}",
        value in "[a-z0-9:{}\\[\\], \"'|>-]{0,60}",
    ) {
        let _ = read(&format!("  {field}: {value}\n"));
        let _ = with(GITHUB, &format!("  deliver: {{files: {value}}}\n"));
        let _ = with(GITHUB, &format!("  deliver: {{onChange: {{{field}: {value}}}}}\n"));
    }

    #[test]
    fn no_json_object_makes_the_reader_panic(text in any::<String>(), number in any::<f64>()) {
        for pointer in ["serviceAccounts", "secrets", "deliver", "vault"] {
            let object = serde_json::json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": text, "namespace": "a"},
                "spec": {pointer: [text, number, {text.clone(): null}]}});
            let _ = GrantSet::from_objects([object]);
        }
    }
}
