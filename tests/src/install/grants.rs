//! Scenarios: the definition of Grants and their status.

use std::fs;

use serde_json::{Value, json};

use super::world::{Installation, START};
use crate::smoke::outcome::{Outcome, because, ensure};
use crate::smoke::process::until;

/// What the API server takes and refuses of `tests/install/grants.json`.
pub(crate) fn schema_judges(installation: &mut Installation) -> Outcome<String> {
    let cases: Value =
        serde_json::from_str(&fs::read_to_string(installation.repository.join("tests/install/grants.json"))?)?;
    let (mut taken, mut refused) = (0, 0);
    for case in cases.as_array().into_iter().flatten() {
        let name = case["case"].as_str().unwrap_or_default();
        let grant = json!({
            "apiVersion": "vouchsafe.dev/v1alpha1", "kind": "Grant", "metadata": {"name": "case", "namespace": "odd"},
            "spec": case["spec"],
        });
        let answer = installation.dry_run(&grant)?;
        if let Some(wanted) = case["refused"].as_str() {
            ensure(!answer.ok, || format!("{name}: the API server took it"))?;
            ensure(answer.err.contains(wanted), || format!("{name}: refused, but not for '{wanted}': {}", answer.err))?;
            refused += 1;
        } else {
            ensure(answer.ok, || format!("{name}: {}", answer.err))?;
            taken += 1;
        }
    }
    ensure(taken > 0 && refused > 0, || "tests/install/grants.json holds no cases".to_owned())?;
    Ok(format!("{taken} taken, {refused} refused"))
}

/// The controller says of each Grant whether it compiles.
pub(crate) fn platform_compiles(installation: &mut Installation) -> Outcome<String> {
    let said = until("every Grant has its condition", START, || {
        let list: Value = serde_json::from_str(&installation.cluster.kubectl(&["get", "grants", "-A", "-o", "json"])?)?;
        let grants = list["items"].as_array().cloned().unwrap_or_default();
        ensure(grants.len() >= PLATFORM, || format!("there are {} Grants", grants.len()))?;
        for grant in &grants {
            let compiled = condition(grant);
            ensure(compiled["status"] == "True", || format!("{}: {compiled}", grant["metadata"]["name"]))?;
            ensure(grant["status"]["observedGeneration"] == grant["metadata"]["generation"], || {
                "it is of an older generation".to_owned()
            })?;
        }
        Ok(grants.len())
    })?;
    // The schema cannot know that a key is not among the secret's.
    let broken = json!({
        "apiVersion": "vouchsafe.dev/v1alpha1", "kind": "Grant", "metadata": {"name": "broken", "namespace": "odd"},
        "spec": {
            "serviceAccounts": ["odd"], "secrets": [{"name": "login", "path": "secret/odd/login", "keys": ["password"]}],
            "deliver": {"files": [{"name": "user", "secret": "login", "key": "usrname"}]},
        },
    });
    installation.cluster.apply(&[broken])?;
    let message = until("the broken Grant says why", START, || {
        let compiled = condition(&installation.cluster.object("grant", "odd", "broken")?);
        if compiled["status"] == "False" { Ok(compiled["message"].to_string()) } else { because(compiled.to_string()) }
    })?;
    installation.cluster.kubectl(&["-n", "odd", "delete", "grant", "broken"])?;
    ensure(message.contains("usrname"), || format!("the condition does not name the key: {message}"))?;
    Ok(format!("{said} Grants compile; a broken one says {message}"))
}

fn condition(grant: &Value) -> Value {
    let conditions = grant["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|one| one["type"] == "Compiled").cloned().unwrap_or_default()
}

/// Grants of policies/platform.
const PLATFORM: usize = 5;
