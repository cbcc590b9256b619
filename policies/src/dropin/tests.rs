//! What a pod's annotations come to: the shared cases as far as annotations alone decide them, edges, hostile input.

use proptest::prelude::*;
use vouchsafe_model::plan::Signal;

use super::*;

const VAULT: &str = "vault.hashicorp.com/";

/// Annotations of a pod that asks with role `demo`, and more; names without prefix.
fn annotations(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        (format!("{VAULT}agent-inject"), "true".to_owned()),
        (format!("{VAULT}role"), "demo".to_owned()),
    ]);
    for (name, value) in more {
        let name = if name.contains('/') { (*name).to_owned() } else { format!("{VAULT}{name}") };
        all.insert(name, (*value).to_owned());
    }
    all
}

fn ask(more: &[(&str, &str)], compat: Compat) -> Result<Asked, Vec<Fault>> {
    DropIn::read(&annotations(more), "demo", &Defaults::default(), compat)
}

fn admitted(more: &[(&str, &str)]) -> DropIn {
    match ask(more, Compat::Warn) {
        Ok(Asked::Yes(drop_in)) => *drop_in,
        other => panic!("{more:?}: {other:?}"),
    }
}

/// Admitted without a word.
fn plain(more: &[(&str, &str)]) -> DropIn {
    let drop_in = admitted(more);
    assert_eq!(drop_in.warnings, Vec::<String>::new(), "{more:?}");
    drop_in
}

fn refused(more: &[(&str, &str)]) -> String {
    match ask(more, Compat::Warn) {
        Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        other => panic!("{more:?}: {other:?}"),
    }
}

/// Admitted with a warning by `warn`, refused with the same words by `strict`.
fn odd(more: &[(&str, &str)], words: &str) -> DropIn {
    let drop_in = admitted(more);
    assert!(drop_in.warnings.iter().any(|warning| warning.contains(words)), "{:?}", drop_in.warnings);
    let faults = ask(more, Compat::Strict).unwrap_err();
    assert!(faults.iter().any(|fault| fault.to_string().contains(words)), "{faults:?}");
    drop_in
}

/// The same, and the pod cannot start.
fn hopeless(more: &[(&str, &str)], words: &str) {
    let drop_in = odd(more, words);
    assert!(drop_in.hopeless.iter().any(|message| message.contains(words)), "{:?}", drop_in.hopeless);
}

fn places(drop_in: &DropIn) -> Vec<String> {
    drop_in.files.iter().map(|file| format!("{}/{}", file.folder, file.file)).collect()
}

#[test]
fn a_pod_asks_by_gos_truth_values_and_nothing_else() {
    for yes in ["true", "1", "t", "T", "TRUE", "True"] {
        assert!(matches!(ask(&[("agent-inject", yes)], Compat::Warn), Ok(Asked::Yes(_))), "{yes}");
    }
    for no in ["false", "0", "f", "F", "FALSE", "False", ""] {
        assert_eq!(ask(&[("agent-inject", no)], Compat::Strict), Ok(Asked::No), "{no}");
    }
    for bad in ["yes", "tRuE", " true", "maybe", "on"] {
        let message = refused(&[("agent-inject", bad)]);
        assert!(message.contains("vault.hashicorp.com/agent-inject: ") && message.contains(bad), "{message}");
    }
    let others = BTreeMap::from([(format!("{VAULT}role"), "demo".to_owned()), ("x".to_owned(), "y".to_owned())]);
    assert_eq!(DropIn::read(&others, "demo", &Defaults::default(), Compat::Strict), Ok(Asked::No));
}

#[test]
fn only_the_exact_word_of_another_injector_stops_injection() {
    let status = |text: &str| ask(&[("agent-inject-status", text)], Compat::Warn);
    assert_eq!(status("injected"), Ok(Asked::ByAnother));
    assert_eq!(ask(&[("openbao.org/agent-inject-status", "injected")], Compat::Warn), Ok(Asked::ByAnother));
    for other in ["INJECTED", " injected", "update", ""] {
        assert!(matches!(status(other), Ok(Asked::Yes(_))), "{other}");
    }
}

#[test]
fn the_systems_own_namespaces_are_refused_and_only_those() {
    let at = |namespace: &str| DropIn::read(&annotations(&[]), namespace, &Defaults::default(), Compat::Warn);
    for namespace in ["kube-system", "kube-public"] {
        assert!(at(namespace).unwrap_err()[0].to_string().contains(namespace));
    }
    assert!(matches!(at("kube-node-lease"), Ok(Asked::Yes(_))));
    let injected = annotations(&[("agent-inject-status", "injected")]);
    assert_eq!(DropIn::read(&injected, "kube-system", &Defaults::default(), Compat::Warn), Ok(Asked::ByAnother));
}

#[test]
fn both_prefixes_mean_the_same_and_may_not_contradict_each_other() {
    let bao = BTreeMap::from([
        ("openbao.org/agent-inject".to_owned(), "true".to_owned()),
        ("openbao.org/role".to_owned(), "demo".to_owned()),
        ("openbao.org/agent-inject-secret-db".to_owned(), "kv/db".to_owned()),
    ]);
    let Ok(Asked::Yes(drop_in)) = DropIn::read(&bao, "demo", &Defaults::default(), Compat::Strict) else { panic!() };
    assert_eq!(places(&drop_in), ["/vault/secrets/db"]);
    plain(&[("openbao.org/role", "demo"), ("openbao.org/agent-inject", "true")]);
    let message = refused(&[("openbao.org/role", "other")]);
    assert!(message.contains("vault.hashicorp.com/role: is \"demo\", but openbao.org/role is \"other\""), "{message}");
    let message = refused(&[("openbao.org/agent-inject", "false")]);
    assert!(message.contains("openbao.org/agent-inject"), "{message}");
    let message = refused(&[("agent-inject-secret-a", "x"), ("openbao.org/agent-inject-secret-a", "y")]);
    assert!(message.contains("openbao.org/agent-inject-secret-a"), "{message}");
}

#[test]
fn file_names_are_in_lower_case_unless_the_pod_says_otherwise() {
    assert_eq!(places(&plain(&[("agent-inject-secret-FOO", "p")])), ["/vault/secrets/foo"]);
    let kept =
        [("agent-inject-secret-FOO", "p"), ("agent-inject-secret-Bar", "p"), ("preserve-secret-case-FOO", "true")];
    assert_eq!(places(&plain(&kept)), ["/vault/secrets/FOO", "/vault/secrets/bar"]);
    let all = [("agent-inject-secret-FOO", "p"), ("preserve-secret-case", "true")];
    assert_eq!(places(&plain(&all)), ["/vault/secrets/FOO"]);
    let wrong = [("agent-inject-secret-FOO", "p"), ("preserve-secret-case", "yes")];
    assert_eq!(places(&plain(&wrong)), ["/vault/secrets/foo"]);
}

#[test]
fn a_file_goes_where_its_annotations_say_and_never_out_of_its_folder() {
    let at = |file: &str| places(&plain(&[("agent-inject-secret-foo", "p"), ("agent-inject-file-foo", file)]));
    assert_eq!(at("nested/foofile"), ["/vault/secrets/nested/foofile"]);
    assert_eq!(at("/abs/x"), ["/vault/secrets/abs/x"]);
    assert_eq!(at("a/../.env"), ["/vault/secrets/.env"]);
    assert_eq!(at(""), ["/vault/secrets/foo"]);
    assert_eq!(at("-rf"), ["/vault/secrets/-rf"]);
    for out in ["../x", "..", "a/../../b", "/../x"] {
        let message = refused(&[("agent-inject-secret-foo", "p"), ("agent-inject-file-foo", out)]);
        assert!(message.contains("agent-inject-file-foo") && message.contains("leaves the volume path"), "{message}");
    }
    for bad in ["..data", ".", "/", "a\0b", "a\nb", &"x".repeat(256)] {
        hopeless(&[("agent-inject-secret-foo", "p"), ("agent-inject-file-foo", bad)], "agent-inject-file-foo");
    }
    let folders = [
        ("agent-inject-secret-a", "p"),
        ("agent-inject-secret-b", "p"),
        ("secret-volume-path", "/etc/app/"),
        ("secret-volume-path-b", "/run//secrets/./b"),
    ];
    assert_eq!(places(&plain(&folders)), ["/etc/app/a", "/run/secrets/b/b"]);
    for bad in ["", "relative", "/", "/a/../b", "/proc/x", "/dev", "/vouchsafe/internal/state", "/a:b"] {
        hopeless(&[("agent-inject-secret-a", "p"), ("secret-volume-path", bad)], "secret-volume-path");
    }
}

#[test]
fn templates_win_over_template_files_and_those_over_the_default() {
    let of = |more: &[(&str, &str)]| plain(more).files[0].template.clone();
    let form = DefaultTemplate::Map;
    let path = "secret/data/db".to_owned();
    assert_eq!(of(&[("agent-inject-secret-db", "secret/data/db")]), FileTemplate::Default { path: path.clone(), form });
    let json = [("agent-inject-secret-db", "/secret/data/db/"), ("agent-inject-default-template", "JSON")];
    assert_eq!(of(&json), FileTemplate::Default { path: path.clone(), form: DefaultTemplate::Json });
    let both = [
        ("agent-inject-secret-db", "secret/data/db"),
        ("agent-inject-template-db", "x"),
        ("agent-inject-template-file-db", "/vault/custom/db.tmpl"),
    ];
    assert_eq!(of(&both), FileTemplate::Inline("x".to_owned()));
    assert_eq!(of(&[("agent-inject-template-db", "x")]), FileTemplate::Inline("x".to_owned()));
    let file =
        [("agent-inject-secret-db", "p"), ("agent-inject-template-file-db", "/t"), ("agent-inject-template-db", "")];
    assert_eq!(of(&file), FileTemplate::File("/t".to_owned()));
    // The families' names begin alike: an empty suffix of the longer one is a suffix of the shorter.
    assert_eq!(plain(&[("agent-inject-template-file-", "x")]).files[0].name, "file-");
    assert!(refused(&[("agent-inject-default-template", "yaml")]).contains("write map or json"));
    assert!(refused(&[("agent-inject-default-template", "")]).contains("agent-inject-default-template"));
    assert_eq!(plain(&[("agent-inject-secret-db", "")]).files, []);
}

#[test]
fn the_default_template_cannot_be_broken_out_of_by_a_path() {
    for path in ["a\" }}{{ env \"HOME\" }}{{ \"", "a`}}", "a\\", "a\n", "{{ a }}", "é"] {
        for form in [DefaultTemplate::Map, DefaultTemplate::Json] {
            let text = default_template(path, form);
            let compiled = vouchsafe_template::Template::compile("t", &text, &files::options(None, false)).unwrap();
            let reads = compiled.static_reads();
            assert_eq!(reads.len(), 1, "{text}");
            assert_eq!(reads[0].path, path.trim());
        }
    }
}

#[test]
fn side_annotations_belong_to_the_suffix_with_its_case() {
    let drop_in = odd(
        &[("agent-inject-secret-foo", "p"), ("agent-inject-file-bar", "x"), ("agent-inject-perms-bar", "0600")],
        "no secret is called \"bar\"",
    );
    assert_eq!(places(&drop_in), ["/vault/secrets/foo"]);
    assert_eq!(drop_in.files[0].mode, 0o644);
    odd(
        &[("agent-inject-secret-foo", "p"), ("agent-inject-file-Foo", "x")],
        "did you mean vault.hashicorp.com/agent-inject-file-foo?",
    );
    // A truth value that is none refuses only where it belongs to a secret.
    let message = refused(&[("agent-inject-secret-foo", "p"), ("error-on-missing-key-foo", "unknown")]);
    assert!(message.contains("error-on-missing-key-foo: \"unknown\""), "{message}");
    odd(&[("agent-inject-secret-foo", "p"), ("error-on-missing-key-bar", "unknown")], "no secret is called");
    assert!(plain(&[("agent-inject-secret-foo", "p"), ("error-on-missing-key-foo", "1")]).files[0].strict);
}

#[test]
fn delimiters_and_faulty_templates_are_known_at_admission() {
    let drop_in = plain(&[
        ("agent-inject-template-foo", "[[ with secret \"p\" ]]{{ x [[ end ]]"),
        ("agent-template-left-delim-foo", "[["),
        ("agent-template-right-delim-foo", "]]"),
    ]);
    assert_eq!(drop_in.files[0].delimiters, Some(("[[".to_owned(), "]]".to_owned())));
    hopeless(&[("agent-inject-template-foo", "x\n{{ with secret \"p\" }}")], "template foo:2:");
    hopeless(&[("agent-inject-template-foo", "{{ quote 1 }}")], "quote");
}

#[test]
fn modes_are_octal_and_never_special() {
    let mode = |text: &str| plain(&[("agent-inject-secret-a", "p"), ("agent-inject-perms-a", text)]).files[0].mode;
    assert_eq!((mode("0440"), mode("600"), mode("0755"), mode("")), (0o440, 0o600, 0o755, 0o644));
    for special in ["4755", "2644", "1777", "04755"] {
        let message = refused(&[("agent-inject-secret-a", "p"), ("agent-inject-perms-a", special)]);
        assert!(message.contains("setuid"), "{message}");
    }
    for bad in ["abc", "0o644", "u=rw", "99999", "+644", "0888"] {
        hopeless(&[("agent-inject-secret-a", "p"), ("agent-inject-perms-a", bad)], "is no mode");
    }
    odd(&[("agent-inject-secret-a", "p"), ("agent-inject-perms-a", "0666")], "everybody write");
    odd(&[("agent-inject-secret-a", "p"), ("agent-inject-perms-a", "0000")], "nobody read");
}

#[test]
fn two_secrets_for_one_file_are_named_both_and_the_first_counts() {
    let drop_in = odd(
        &[("agent-inject-secret-Foo", "a"), ("agent-inject-secret-foo", "b")],
        "agent-inject-secret-Foo, which counts",
    );
    assert_eq!(drop_in.files.len(), 1);
    assert_eq!(drop_in.files[0].name, "Foo");
    hopeless(
        &[("agent-inject-secret-a", "p"), ("agent-inject-secret-b", "p"), ("agent-inject-file-b", "a/x")],
        "needs a folder of that name",
    );
    odd(&[("agent-inject-secret-token", "p"), ("agent-inject-token", "true")], "rename that secret");
    assert_eq!(
        plain(&[("agent-inject-token", "true"), ("secret-volume-path", "/t")]).token_folder.as_deref(),
        Some("/t")
    );
}

#[test]
fn commands_become_signals_or_are_named_with_what_to_do_instead() {
    let command =
        |text| admitted(&[("agent-inject-secret-a", "p"), ("agent-inject-command-a", text)]).files[0].command.clone();
    assert_eq!(
        command("pkill -HUP nginx"),
        Command::Signal { signal: Signal::Sighup, program: Some("nginx".to_owned()) }
    );
    assert_eq!(command("true"), Command::Nothing);
    odd(&[("agent-inject-secret-a", "p"), ("agent-inject-command-a", "sh -c 'cp a b; x'")], "is shell text");
}

#[test]
fn what_vault_k8s_refuses_is_refused_with_name_and_value() {
    for (name, value, words) in [
        ("service", "", "no Vault address found"),
        ("role", "", "no Vault role found"),
        ("auth-type", "", "auth-type: \"\" is empty"),
        ("auth-path", "", "auth-path: \"\" is empty"),
        ("agent-image", "", "agent-image: \"\" is empty"),
        ("agent-request-namespace", "", "agent-request-namespace"),
        ("agent-pre-populate", "maybe", "agent-pre-populate: \"maybe\""),
        ("tls-skip-verify", "yes", "tls-skip-verify: \"yes\""),
        ("agent-inject-token", " true", "agent-inject-token: \" true\""),
        ("agent-limits-mem", "128mb", "agent-limits-mem: \"128mb\" is no quantity"),
        ("agent-requests-cpu", "lots", "\"lots\""),
        ("agent-run-as-user", "root", "agent-run-as-user: \"root\""),
        ("agent-run-as-user", "", "the superuser"),
        ("agent-run-as-group", "", "the superuser"),
        ("agent-revoke-grace", "5s", "agent-revoke-grace: \"5s\""),
        ("agent-revoke-grace", "-1", "\"-1\""),
        ("agent-revoke-grace", "", "agent-revoke-grace"),
        ("auth-min-backoff", "5", "auth-min-backoff: \"5\" is no duration"),
        ("template-lease-renewal-threshold", "NaN", "\"NaN\""),
        ("template-lease-renewal-threshold", "", "template-lease-renewal-threshold"),
        ("template-max-connections-per-host", "x", "\"x\""),
        ("agent-json-patch", "{", "is no JSON"),
        ("agent-init-json-patch", "{}", "is no list"),
        ("agent-json-patch", "[{\"op\":\"wish\",\"path\":\"/x\"}]", "operation 0 is none of"),
        ("auth-type", "aws", "login by aws is not supported"),
        ("auth-type", "kubernets", "did you mean kubernetes?"),
    ] {
        let message = refused(&[(name, value)]);
        assert!(message.contains(words), "{name}={value:?}: {message}");
    }
    let without = BTreeMap::from([(format!("{VAULT}agent-inject"), "true".to_owned())]);
    let faults = DropIn::read(&without, "demo", &Defaults::default(), Compat::Warn).unwrap_err();
    assert!(faults[0].to_string().contains("role: no Vault role found"), "{faults:?}");
    for unset in ["auth-min-backoff", "template-max-connections-per-host", "agent-json-patch", "agent-limits-cpu"] {
        plain(&[(unset, "")]);
    }
}

#[test]
fn connection_settings_arrive_typed() {
    let drop_in = admitted(&[
        ("service", "https://other:8200/"),
        ("namespace", "team-a/"),
        ("tls-server-name", "vault.example"),
        ("ca-cert", "/vault/tls/ca.crt"),
        ("ca-key", "/vault/tls/cadir"),
        ("client-cert", "/vault/tls/c.crt"),
        ("client-key", "/vault/tls/c.key"),
        ("tls-skip-verify", "true"),
        ("tls-secret", "vault-tls"),
        ("auth-path", "team-b/auth/k8s/"),
    ]);
    let server = &drop_in.server;
    assert_eq!(server.address.as_ref().unwrap().authority(), "other:8200");
    assert_eq!(server.namespace.as_ref().unwrap().as_str(), "team-a");
    assert_eq!(server.ca_file.as_deref(), Some("/vault/tls/ca.crt"));
    assert_eq!(server.ca_folder.as_deref(), Some("/vault/tls/cadir"));
    assert_eq!(server.tls_secret.as_deref(), Some("vault-tls"));
    assert_eq!(drop_in.auth_path, (Some("team-b".to_owned()), "auth/k8s".to_owned()));
    assert_eq!(drop_in.warnings.len(), 1, "{:?}", drop_in.warnings);
    for address in ["http://vault:8200", "file:///etc", "https://u:p@v", "https://v/$(id)", "https://v:8200;x", "vault"]
    {
        hopeless(&[("service", address)], "service: ");
    }
    hopeless(&[("role", "a b")], "role: ");
    hopeless(&[("auth-path", "k8s")], "auth-path: ");
    hopeless(&[("namespace", "a/../b")], "namespace: ");
    hopeless(&[("tls-secret", "../x")], "tls-secret: ");
}

#[test]
fn login_methods_take_their_own_options() {
    let login = |more: &[(&str, &str)]| plain(more).login;
    let demo: Option<vouchsafe_model::name::RoleName> = Some("demo".parse().unwrap());
    assert_eq!(login(&[]), Method::Kubernetes { role: demo.clone(), token_file: None, volume: None });
    assert_eq!(
        login(&[("auth-config-token-path", "/t"), ("auth-config-role", "other")]),
        Method::Kubernetes { role: demo.clone(), token_file: Some("/t".to_owned()), volume: None }
    );
    assert_eq!(
        login(&[("auth-type", "jwt"), ("auth-config-path", "/jwt")]),
        Method::Jwt { role: demo, token_file: Some("/jwt".to_owned()) }
    );
    assert_eq!(
        login(&[
            ("auth-type", "approle"),
            ("auth-config-role-id-file-path", "/r"),
            ("auth-config-secret_id_file_path", "/s"),
            ("auth-config-remove-secret-id-file-after-reading", "false")
        ]),
        Method::AppRole { role_id_file: "/r".to_owned(), secret_id_file: Some("/s".to_owned()) }
    );
    assert_eq!(
        login(&[("auth-type", "token_file"), ("auth-config-token-file-path", "/t")]),
        Method::TokenFile { file: "/t".to_owned() }
    );
    assert_eq!(
        login(&[("auth-type", "cert"), ("client-cert", "/c"), ("client-key", "/k")]),
        Method::Cert { name: None }
    );
    hopeless(&[("agent-configmap", "cfg")], "cannot be carried out");
    hopeless(&[("auth-type", "approle")], "auth-config-role-id-file-path");
    hopeless(&[("auth-type", "cert")], "client-cert");
    odd(&[("auth-config-rol", "x")], "did you mean role?");
    odd(
        &[
            ("auth-type", "approle"),
            ("auth-config-role-id-file-path", "/r"),
            ("auth-config-remove_secret_id_file_after_reading", "true"),
        ],
        "nothing is removed",
    );
    // A role of its own in the options is enough.
    let mut only = annotations(&[("auth-config-role", "other")]);
    only.remove(&format!("{VAULT}role"));
    assert!(matches!(DropIn::read(&only, "demo", &Defaults::default(), Compat::Strict), Ok(Asked::Yes(_))));
}

#[test]
fn defaults_hold_where_the_pod_is_silent_and_an_empty_annotation_unsets_them() {
    let environment = BTreeMap::from([
        ("AGENT_INJECT_VAULT_ADDR".to_owned(), "https://vault.vault.svc:8200".to_owned()),
        ("AGENT_INJECT_VAULT_NAMESPACE".to_owned(), "ns".to_owned()),
        ("AGENT_INJECT_CPU_LIMIT".to_owned(), "1".to_owned()),
        ("AGENT_INJECT_REVOKE_ON_SHUTDOWN".to_owned(), "true".to_owned()),
        ("AGENT_INJECT_SET_SECURITY_CONTEXT".to_owned(), "false".to_owned()),
    ]);
    let defaults = Defaults::read(&environment, &BTreeMap::new()).unwrap();
    let read = |more: &[(&str, &str)]| match DropIn::read(&annotations(more), "demo", &defaults, Compat::Warn) {
        Ok(Asked::Yes(drop_in)) => *drop_in,
        other => panic!("{other:?}"),
    };
    let silent = read(&[]);
    assert_eq!(silent.server.address.as_ref().unwrap().host(), "vault.vault.svc");
    assert_eq!(silent.server.namespace.as_ref().unwrap().as_str(), "ns");
    assert_eq!(silent.container.resources[&("limits", "cpu")].text, "1");
    assert!(silent.revoke && !silent.container.user.set);
    let loud = read(&[
        ("namespace", ""),
        ("agent-limits-cpu", ""),
        ("agent-revoke-on-shutdown", ""),
        ("agent-run-as-user", "7"),
    ]);
    assert_eq!(loud.server.namespace, None);
    assert_eq!(loud.container.resources.get(&("limits", "cpu")), None);
    assert!(!loud.revoke && loud.container.user.set);
    assert_eq!(loud.container.user.user, 7);
}

#[test]
fn resources_and_users_that_kubernetes_would_refuse_are_mended_or_named() {
    let resources = plain(&[]).container.resources;
    let text = |list, resource| resources[&(list, resource)].text.clone();
    assert_eq!(
        [text("limits", "cpu"), text("limits", "memory"), text("requests", "cpu"), text("requests", "memory")],
        ["500m", "128Mi", "250m", "64Mi"]
    );
    assert_eq!(plain(&[("agent-requests-cpu", "0")]).container.resources[&("requests", "cpu")].text, "0");
    let inverted = odd(&[("agent-requests-mem", "256Mi")], "above its limit");
    assert_eq!(inverted.container.resources[&("requests", "memory")].text, "128Mi");
    let negative = odd(&[("agent-requests-cpu", "-1")], "is negative");
    assert_eq!(negative.container.resources[&("requests", "cpu")].text, "250m");
    // Only a limit was set, below the default request: sound, so strict does not mind.
    let lowered = match ask(&[("agent-limits-cpu", "100m")], Compat::Strict) {
        Ok(Asked::Yes(drop_in)) => drop_in,
        other => panic!("{other:?}"),
    };
    assert_eq!(lowered.container.resources[&("requests", "cpu")].text, "100m");
    odd(&[("agent-run-as-user", "0")], "superuser");
    for bad in ["-5", "4294967296"] {
        hopeless(&[("agent-run-as-user", bad)], "is no id");
    }
}

#[test]
fn patches_keep_what_injection_needs() {
    let patch = |text| admitted(&[("agent-json-patch", text)]).container.patches;
    assert_eq!(patch(r#"[{"op":"add","path":"/imagePullPolicy","value":"Always"}]"#)[0].operations.len(), 1);
    for none in ["", " ", "null", "[]"] {
        assert_eq!(patch(none), [], "{none}");
    }
    for ours in [
        r#"[{"op":"replace","path":"/name","value":"x"}]"#,
        r#"[{"op":"replace","path":"/image","value":"x"}]"#,
        r#"[{"op":"remove","path":"/env"}]"#,
        r#"[{"op":"replace","path":"/env/0/value","value":"x"}]"#,
        r#"[{"op":"add","path":"/env/-","value":{"name":"VOUCHSAFE_PLAN","value":"x"}}]"#,
        r#"[{"op":"move","from":"/volumeMounts","path":"/x"}]"#,
        r#"[{"op":"copy","from":"","path":"/x"}]"#,
        r#"[{"op":"add","path":"/restartPolicy","value":"Never"}]"#,
        r#"[{"op":"replace","path":"","value":{}}]"#,
        r#"[{"op":"add","path":"/lifecycle/postStart","value":{}}]"#,
    ] {
        assert_eq!(odd(&[("agent-json-patch", ours)], "is left out").container.patches, [], "{ours}");
    }
    let kept = patch(
        r#"[{"op":"add","path":"/env/-","value":{"name":"TZ","value":"x"}},{"op":"add","path":"/lifecycle/preStop","value":{}}]"#,
    );
    assert_eq!(kept[0].operations.len(), 2);
    let many = format!("[{}]", vec![r#"{"op":"remove","path":"/x"}"#; 100].join(","));
    hopeless(&[("agent-json-patch", &many)], "100 operations");
    let both = [
        ("agent-json-patch", r#"[{"op":"add","path":"/a","value":1}]"#),
        ("agent-init-json-patch", r#"[{"op":"add","path":"/b","value":1}]"#),
    ];
    let annotations: Vec<String> =
        plain(&both).container.patches.iter().map(|patch| patch.annotation.clone()).collect();
    assert_eq!(annotations, ["vault.hashicorp.com/agent-init-json-patch", "vault.hashicorp.com/agent-json-patch"]);
}

#[test]
fn moments_containers_and_intervals() {
    assert_eq!(plain(&[]).moment, Moment::BeforeAndAfter);
    assert_eq!(plain(&[("agent-pre-populate-only", "true")]).moment, Moment::Before);
    assert_eq!(plain(&[("agent-pre-populate", "false")]).moment, Moment::After);
    odd(&[("agent-pre-populate", "false"), ("agent-pre-populate-only", "true")], "nothing that writes files");
    assert_eq!(plain(&[]).containers, None);
    assert_eq!(plain(&[("agent-inject-containers", "a, b,")]).containers, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(plain(&[("agent-inject-containers", "")]).containers, Some(Vec::new()));
    assert_eq!(plain(&[("template-static-secret-render-interval", "10s")]).render_seconds, Some(10));
    assert_eq!(plain(&[("template-static-secret-render-interval", "1")]).render_seconds, Some(5));
    assert_eq!(plain(&[]).render_seconds, None);
    for bad in ["0", "soon", "-1s"] {
        assert_eq!(odd(&[("template-static-secret-render-interval", bad)], "default is used").render_seconds, None);
    }
    assert_eq!(plain(&[("agent-share-process-namespace", "")]).container.share_process_namespace, Some(false));
    assert_eq!(plain(&[]).container.share_process_namespace, None);
}

#[test]
fn misspelt_names_are_told_with_the_nearest_one() {
    for (slip, meant) in [
        ("agent-inject-secert-db", "agent-inject-secret-db"),
        ("agent-injct-token", "agent-inject-token"),
        ("agent-inject-templte-db.ini", "agent-inject-template-db.ini"),
        ("rol", "role"),
        ("agent-limit-cpu", "agent-limits-cpu"),
    ] {
        odd(&[(slip, "x")], &format!("did you mean {VAULT}{meant}?"));
    }
    odd(&[("something-else", "x")], "docs/vault-k8s.md");
    odd(&[("error-on-missing-key", "true")], "no annotation of vault-k8s");
}

#[test]
fn every_annotation_of_the_table_is_understood_by_the_parser() {
    for entry in table::ANNOTATIONS {
        let name = if entry.form == table::Form::Family { format!("{}x", entry.name) } else { entry.name.to_owned() };
        let result = ask(&[("agent-inject-secret-x", "p"), (&name, "1")], Compat::Warn);
        let text = format!("{result:?}");
        assert!(!text.contains("is no annotation of vault-k8s"), "{name}: {text}");
    }
}

/// Annotation names that look real and values that do not.
fn hostile() -> impl Strategy<Value = BTreeMap<String, String>> {
    let names: Vec<String> = table::ANNOTATIONS
        .iter()
        .flat_map(|entry| match entry.form {
            table::Form::Single => vec![entry.name.to_owned()],
            table::Form::Family => {
                vec![entry.name.to_owned(), format!("{}a", entry.name), format!("{}A.b", entry.name)]
            }
        })
        .chain(["agent-injected".to_owned(), "x".to_owned()])
        .collect();
    let prefix = proptest::sample::select(vec![table::PREFIXES[0], table::PREFIXES[1], "other/", ""]);
    let value = prop_oneof![
        "\\PC{0,20}",
        proptest::sample::select(vec![
            "true",
            "false",
            "",
            "0",
            "-1",
            "../x",
            "/vault",
            "{{ with secret \"a\" }}",
            "[]",
            "null",
            "5m",
            "250m",
            "{{",
            "\u{202e}",
            "a\nb",
            "$(id)",
            "https://v:8200",
            "0644",
            "4755",
            "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/a\"}]",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::btree_map(
        (prefix, proptest::sample::select(names)).prop_map(|(prefix, name)| format!("{prefix}{name}")),
        value,
        0..25,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_annotations_make_the_parser_panic_and_the_same_give_the_same(mut map in hostile(), asks in any::<bool>()) {
        if asks {
            map.insert(format!("{VAULT}agent-inject"), "true".to_owned());
        }
        for compat in [Compat::Warn, Compat::Strict] {
            let first = DropIn::read(&map, "demo", &Defaults::default(), compat);
            prop_assert_eq!(&first, &DropIn::read(&map, "demo", &Defaults::default(), compat));
            match first {
                Err(faults) => prop_assert!(!faults.is_empty()),
                Ok(Asked::Yes(drop_in)) => {
                    for file in &drop_in.files {
                        prop_assert!(!file.file.starts_with('/') && !file.file.split('/').any(|part| part == ".." || part.is_empty()));
                        prop_assert!(file.folder.starts_with('/') && file.mode <= 0o777);
                    }
                    prop_assert!(compat == Compat::Warn || drop_in.hopeless.is_empty());
                }
                Ok(_) => {}
            }
        }
    }

    #[test]
    fn what_strict_admits_warn_admits_alike(map in hostile()) {
        let mut map = map;
        map.insert(format!("{VAULT}agent-inject"), "true".to_owned());
        let read = |compat| DropIn::read(&map, "demo", &Defaults::default(), compat);
        if let Ok(strict) = read(Compat::Strict) {
            prop_assert_eq!(Ok(strict), read(Compat::Warn));
        }
    }
}
