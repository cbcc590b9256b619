//! From answers to values.

use serde_json::{Value as Json, json};

use super::super::{Environment, OnMissing, Policy, Resolved, VALUE_BYTES};
use super::store::Store;

fn given() -> Json {
    // The macro would make a float of it, which loses the zero.
    let rate: Json = serde_json::from_str("1.50").unwrap();
    json!({
        "kv2": {
            "secret/data/db": [{"user": "u", "pass": "p$1}", "port": 5432, "tls": true, "rate": rate}],
            "secret/data/odd": [{"list": [1], "map": {"a": 1}, "none": null, "nul": "a\u{0}b", "ref": "vault:secret/data/db#pass"}],
            "secret/data/names": [{"a.b": "1", "A": "2", "=": "x"}],
            "secret/data/one": [{"A": "one", "B": "one"}],
            "secret/data/two": [{"B": "two", "C": "two"}],
            "secret/data/big": [{"x": "y".repeat(VALUE_BYTES)}],
        },
        "kv1": {"kv1/trap": {"data": {"x": "1"}, "other": "y"}},
        "kv2_deleted": ["secret/data/gone"],
    })
}

fn resolve_with(entries: &[(&str, &str)], policy: &Policy, store: &mut Store) -> Result<Resolved, Vec<String>> {
    let borrowed: Vec<(&str, &[u8])> = entries.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let words = |errors: Vec<super::super::ReferenceError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let environment = Environment::bank_vaults(&borrowed).map_err(words)?;
    environment.resolve(store, policy).map_err(words)
}

fn resolve(entries: &[(&str, &str)]) -> Result<Vec<(String, String)>, Vec<String>> {
    let mut store = Store::new(&given(), "r");
    resolve_with(entries, &Policy::strict(), &mut store).map(|resolved| listed(&resolved))
}

fn listed(resolved: &Resolved) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    resolved.variables.iter().map(|(name, value)| (name.clone(), text(value.expose()))).collect()
}

fn one(value: &str) -> String {
    match resolve(&[("A", value)]) {
        Ok(variables) => variables.into_iter().map(|(_, value)| value).collect(),
        Err(errors) => errors.join("; "),
    }
}

#[test]
fn scalars_become_text_as_written_and_nothing_is_expanded_twice() {
    for (text, expected) in [
        ("vault:secret/data/db#port", "5432"),
        ("vault:secret/data/db#tls", "true"),
        ("vault:secret/data/db#rate", "1.50"),
        ("pg://${vault:secret/data/db#user}:${vault:secret/data/db#pass}@h", "pg://u:p$1}@h"),
        ("vault:secret/data/odd#ref", "vault:secret/data/db#pass"),
        ("${vault:secret/data/odd#ref}", "vault:secret/data/db#pass"),
        ("vault:kv1/trap#other", "y"),
        ("vault:secret/data/db#${.user}:${.pass | b64enc} ${.port}", "u:cCQxfQ== 5432"),
        ("vault:secret/data/db#${.nope | default \"d\"}", "d"),
        ("vault:secret/data/db#${if .nope}a${else}b${end}", "b"),
        ("vault:secret/data/db#${len .user}", "1"),
        ("x ${vault:secret/data/db#${.user | upper}}", "x U"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn what_is_missing_or_no_scalar_is_named_and_never_shown() {
    for (text, expected) in [
        (
            "vault:secret/data/db#pas",
            "variable A: key \"pas\" not found under path secret/data/db (did you mean pass?); put it there, or correct the reference",
        ),
        (
            "vault:secret/data/db#pass\n",
            "variable A: key \"pass\\n\" not found under path secret/data/db (it ends with a line break; remove it); put it there, or correct the reference",
        ),
        (
            "vault:secret/data/odd#none",
            "variable A: key \"none\" not found under path secret/data/odd (it is null); put it there, or correct the reference",
        ),
        (
            "vault:secret/data/nothing#x",
            "variable A: there is no secret at path secret/data/nothing; put it there, or correct the reference (KV v2 needs data/ in it)",
        ),
        (
            "vault:secret/data/gone#x",
            "variable A: the version of the secret is deleted, so \"x\" is not found under path secret/data/gone; undelete it, or put a new one",
        ),
        (
            "vault:secret/data/odd#list",
            "variable A: key \"list\" under path secret/data/odd holds a list, which is no value for a variable; pick a part of it by a template",
        ),
        (
            "vault:secret/data/odd#nul",
            "variable A: the value holds a NUL byte, which no variable can; deliver it as a file",
        ),
        (
            "vault:secret/data/db#a${.nope}b",
            "variable A: path secret/data/db: template in the reference:1:4: the field is not found under path",
        ),
        (
            "vault:v1:abc",
            "variable A: found an encrypted value, but the transit key ID is empty; set VAULT_TRANSIT_KEY_ID",
        ),
        (">>vault:sys/x#y", "variable A: path sys/x: status 404"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
    assert!(one("vault:secret/data/big#x").contains("the limit of a variable is 131072"));
}

#[test]
fn all_faults_of_an_environment_come_at_once() {
    let errors =
        resolve(&[("A", "vault:secret/data/db#x"), ("B", "fine"), ("C", "vault:secret/data/nope#x")]).unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
    let errors = resolve(&[("A", "vault:a"), ("C", "vault:#x"), ("VAULT_ENV_DAEMON", "maybe")]).unwrap_err();
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn each_request_is_made_once_whatever_refers_to_it() {
    let mut store = Store::new(&given(), "r");
    let entries = [
        ("A", "vault:secret/data/db#user"),
        ("B", "${vault:secret/data/db#pass}${vault:secret/data/db#user}"),
        ("C", "vault:secret/data/db#user#1"),
        ("D", ">>vault:pki/issue/web#certificate"),
        ("E", ">>vault:pki/issue/web#certificate#{}"),
        ("F", ">>vault:pki/issue/web#certificate#{\"common_name\":\"x\"}"),
        ("G", "vault:v1:YQ=="),
        ("H", "vault:v1:YQ=="),
        ("I", "vault:v1:Yg=="),
        ("VAULT_TRANSIT_KEY_ID", "k"),
        ("VAULT_TRANSIT_PATH", "/other/"),
        ("VAULT_ENV_FROM_PATH", "secret/data/db"),
    ];
    let resolved = resolve_with(&entries, &Policy::strict(), &mut store).unwrap();
    let requests: Vec<(&str, usize)> = store.requests.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(requests, [("GET secret/data/db", 2), ("PUT other/decrypt/k", 1), ("PUT pki/issue/web", 2)]);
    let values = listed(&resolved);
    assert!(values.contains(&("H".to_owned(), "a".to_owned())) && values.contains(&("I".to_owned(), "b".to_owned())));
}

#[test]
fn ciphertexts_are_decrypted_in_batches() {
    let mut store = Store::new(&given(), "r");
    let values: Vec<(String, String)> = (0..60).map(|n| (format!("V{n}"), format!("vault:v1:YQ{n:02}"))).collect();
    let mut entries: Vec<(&str, &str)> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    entries.push(("VAULT_TRANSIT_KEY_ID", "k"));
    resolve_with(&entries, &Policy::strict(), &mut store).unwrap();
    assert_eq!(store.requests["PUT transit/decrypt/k"], 3);
}

#[test]
fn a_whole_path_comes_first_and_the_containers_own_variables_count() {
    let entries = [("VAULT_ENV_FROM_PATH", "secret/data/one, secret/data/two#1 ,"), ("A", "own"), ("Z", "last")];
    let expected = [("A", "own"), ("B", "two"), ("C", "two"), ("Z", "last")];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(resolve(&entries).unwrap(), expected);
    let errors = resolve(&[("VAULT_ENV_FROM_PATH", "secret/data/names")]).unwrap_err();
    assert_eq!(
        errors,
        [
            "variable VAULT_ENV_FROM_PATH: key \"=\" under path secret/data/names cannot be the name of a variable; name the keys one by one instead"
        ]
    );
}

#[test]
fn one_policy_says_what_becomes_of_a_missing_secret() {
    let entries = [("A", "x${vault:secret/data/nope#k}y"), ("B", "vault:secret/data/db#nope"), ("C", "c")];
    let with = |policy: Policy| {
        let mut store = Store::new(&given(), "r");
        let resolved = resolve_with(&entries, &policy, &mut store).unwrap();
        (listed(&resolved), resolved.dropped)
    };
    let both = |on_missing: OnMissing| Policy { secret: on_missing.clone(), key: on_missing, allow_no_value: false };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(with(both(OnMissing::Drop)), (vec![pair("C", "c")], vec!["A".to_owned(), "B".to_owned()]));
    assert_eq!(with(both(OnMissing::Empty)).0, [pair("A", "xy"), pair("B", ""), pair("C", "c")]);
    assert_eq!(with(both(OnMissing::Default("d".to_owned()))).0, [pair("A", "xdy"), pair("B", "d"), pair("C", "c")]);
}

#[test]
fn the_app_never_sees_the_wrappers_settings_unless_they_are_passed_or_needed() {
    let settings = [
        ("VAULT_ADDR", "a"),
        ("VAULT_ROLE", "r"),
        ("VAULT_TOKEN_FILE", "/t"),
        ("VAULT_ENV_DAEMON", "true"),
        ("KEEP", "k"),
    ];
    let names = |more: &[(&str, &str)]| {
        let entries: Vec<(&str, &str)> = settings.iter().chain(more).copied().collect();
        resolve(&entries).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["KEEP"]);
    assert_eq!(names(&[("VAULT_ENV_PASSTHROUGH", " VAULT_ROLE , VAULT_ADDR")]), ["VAULT_ADDR", "VAULT_ROLE", "KEEP"]);
    assert_eq!(names(&[("VAULT_TOKEN", "vault:login")]), ["VAULT_ADDR", "KEEP", "VAULT_TOKEN"]);
    assert_eq!(resolve(&[("VAULT_TOKEN", "vault:login")]).unwrap()[0].1, "hvs.login-r");
}

#[test]
fn settings_are_plain_text_to_an_environment_of_references_alone() {
    let entries: [(&str, &[u8]); 2] = [("VAULT_ADDR", b"a"), ("VAULT_ENV_FROM_PATH", b"secret/data/one")];
    let environment = Environment::plain(&entries).unwrap();
    assert!(environment.is_literal());
    let resolved = environment.resolve(&mut Store::new(&given(), "r"), &Policy::strict()).unwrap();
    assert_eq!(resolved.variables.len(), 2);
}
