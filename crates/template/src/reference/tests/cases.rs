//! The shared Bank-Vaults cases, as far as they are decided without a pod and a process.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::super::{Environment, Policy};
use super::store::Store;

/// Cases that need a process; the wrapper is held to them.
const OF_THE_WRAPPER: &[&str] = &["exec/daemon-propagates-exit-code", "exec/token-file-unreadable-fails"];

/// Where ours is better on purpose: the case, and what ours does.
const OURS: &[(&str, Ours)] = &[
    ("exec/template-missing-field", Ours::Fails("the field is not found under path")),
    ("exec/daemon-leaks-vault-variables", Ours::Lacks(&["A", "VAULT_ADDR", "VAULT_ROLE"])),
];

#[derive(Clone, Copy)]
enum Ours {
    Fails(&'static str),
    Lacks(&'static [&'static str]),
}

struct Outcome {
    variables: BTreeMap<String, String>,
    requests: BTreeMap<String, usize>,
}

fn cases() -> (Json, Vec<Json>) {
    let mut cases: Vec<Json> = serde_json::from_str(include_str!("../../../tests/cases/bankvaults.json")).unwrap();
    let fixtures = cases.remove(0);
    assert_eq!(fixtures["name"], "fixtures");
    (fixtures, cases)
}

fn texts(map: &Json) -> Vec<(String, String)> {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    map.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn run(fixtures: &Json, case: &Json, allow_no_value: bool) -> Result<Outcome, String> {
    let mut entries = texts(&fixtures["env"]);
    entries.retain(|(name, _)| case["env"].get(name).is_none());
    entries.extend(texts(&case["env"]));
    let borrowed: Vec<(&str, &[u8])> = entries.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let joined = |errors: Vec<super::super::ReferenceError>| {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let environment = Environment::bank_vaults(&borrowed).map_err(joined)?;
    let mut store = Store::new(&fixtures["given"], "r");
    let policy = Policy { allow_no_value, ..Policy::bank_vaults(environment.settings()) };
    let resolved = environment.resolve(&mut store, &policy).map_err(joined)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let variables = resolved.variables.iter().map(|(name, value)| (name.clone(), text(value.expose()))).collect();
    Ok(Outcome { variables, requests: store.requests })
}

fn check(case: &Json, outcome: Result<Outcome, String>) -> Result<(), String> {
    let expect = &case["expect"];
    let fails = expect["exit"].as_i64() != Some(0);
    let outcome = match outcome {
        Err(error) if fails => {
            let meaning = expect["stderr_contains"].as_str().unwrap_or_default();
            return if error.contains(meaning) { Ok(()) } else { Err(format!("another error: {error}")) };
        }
        Err(error) => return Err(error),
        Ok(_) if fails => return Err("it resolves".to_owned()),
        Ok(outcome) => outcome,
    };
    let variable = |name: &str| outcome.variables.get(name).map(String::as_str);
    for (name, value) in expect["child_env"].as_object().into_iter().flatten() {
        if variable(name) != value.as_str() {
            return Err(format!("{name} is {:?}", variable(name)));
        }
    }
    for (name, suffix) in expect["child_env_suffix"].as_object().into_iter().flatten() {
        if !variable(name).is_some_and(|value| value.ends_with(suffix.as_str().unwrap())) {
            return Err(format!("{name} is {:?}", variable(name)));
        }
    }
    for (key, wanted) in [("absent", false), ("present", true)] {
        for name in expect[key].as_array().into_iter().flatten() {
            if variable(name.as_str().unwrap()).is_some() != wanted {
                return Err(format!("{name} should be {key}"));
            }
        }
    }
    if let Some(names) = expect["equal"].as_array() {
        let values: Vec<_> = names.iter().map(|name| variable(name.as_str().unwrap())).collect();
        if values.windows(2).any(|pair| pair[0] != pair[1] || pair[0].is_none()) {
            return Err(format!("{names:?} differ"));
        }
    }
    for (request, count) in expect["requests"].as_object().into_iter().flatten() {
        if outcome.requests.get(request).copied().unwrap_or(0) as u64 != count.as_u64().unwrap() {
            return Err(format!("requests are {:?}", outcome.requests));
        }
    }
    Ok(())
}

#[test]
fn every_shared_case_of_the_wrapper_gives_its_environment_or_its_error() {
    let (fixtures, cases) = cases();
    let mut wrong = Vec::new();
    let mut ran = 0;
    for case in cases.iter().filter(|case| case["suite"] == "exec") {
        let name = case["name"].as_str().unwrap();
        if OF_THE_WRAPPER.contains(&name) {
            continue;
        }
        ran += 1;
        let outcome = run(&fixtures, case, false);
        let result = match (OURS.iter().find(|(known, _)| *known == name), outcome) {
            (None, outcome) => check(case, outcome),
            (Some((_, Ours::Fails(meaning))), Err(error)) if error.contains(meaning) => Ok(()),
            (Some((_, Ours::Lacks(names))), Ok(outcome)) => {
                let there: Vec<_> = names.iter().filter(|name| outcome.variables.contains_key(**name)).collect();
                if there.is_empty() { Ok(()) } else { Err(format!("{there:?} are there")) }
            }
            (Some(_), Err(error)) => Err(error),
            (Some(_), Ok(_)) => Err("it resolves".to_owned()),
        };
        wrong.extend(result.err().map(|problem| format!("{name}: {problem}")));
    }
    assert!(wrong.is_empty(), "{} of {ran} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ran >= 14, "{ran}");
}

#[test]
fn the_old_way_with_missing_fields_can_be_asked_for() {
    let (fixtures, cases) = cases();
    let case = cases.iter().find(|case| case["name"] == "exec/template-missing-field").unwrap();
    check(case, run(&fixtures, case, true)).unwrap();
}

#[test]
fn the_delay_is_read() {
    let (_, cases) = cases();
    let case = cases.iter().find(|case| case["name"] == "exec/delay-before-start").unwrap();
    let entries = texts(&case["env"]);
    let borrowed: Vec<(&str, &[u8])> = entries.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let environment = Environment::bank_vaults(&borrowed).unwrap();
    assert!(environment.settings().delay.as_secs_f64() >= case["expect"]["min_seconds"].as_f64().unwrap());
}

#[test]
fn a_pod_is_changed_exactly_where_a_value_refers_to_something() {
    let (_, cases) = cases();
    let mut ran = 0;
    for case in cases.iter().filter(|case| case["suite"] == "webhook-pod") {
        let Some(mutated) = case["expect"]["mutated"].as_bool() else { continue };
        let mut entries = texts(&case["env"]);
        for map in case["given"]["configMaps"].as_object().into_iter().flat_map(|maps| maps.values()) {
            entries.extend(texts(map));
        }
        let is_marked = case["given"]["volumes"].as_array().is_some_and(|volumes| !volumes.is_empty());
        if is_marked {
            continue; // what another injector has changed is left alone: decided by the webhook
        }
        let borrowed: Vec<(&str, &[u8])> =
            entries.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let environment = Environment::plain(&borrowed).unwrap();
        assert_eq!(!environment.is_literal(), mutated, "{}", case["name"]);
        ran += 1;
    }
    assert!(ran >= 4, "{ran}");
}
