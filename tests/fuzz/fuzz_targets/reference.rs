//! Any text as an environment of references: never a panic, never more bytes than the limit, and the kubelet's view as well.
#![no_main]
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use vouchsafe_model::Secret;
use vouchsafe_model::wire::Document;
use vouchsafe_template::ResolveError;
use vouchsafe_template::reference::kubelet::{Given, GivenValue, look};
use vouchsafe_template::reference::{Answer, Environment, Fetch, OnMissing, Policy, RESOLVED_BYTES, Source};

/// Answers everything: the length of the path decides what lies there.
struct Any;

impl Source for Any {
    fn fetch(&mut self, fetch: &Fetch<'_>) -> Result<Answer, ResolveError> {
        match fetch.path.as_str().len() % 4 {
            0 => Ok(Answer::Nothing),
            1 => Ok(Answer::Deleted),
            2 => Err(ResolveError::new("status 503")),
            _ => {
                let document = json!({"k": "value", "n": 1.5, "list": [1], "none": null, "b": true});
                Ok(Answer::Document(Document::new(document.as_object().cloned().unwrap_or_default())))
            }
        }
    }

    fn decrypt(&mut self, _mount: &str, _key: &str, ciphertexts: &[&str]) -> Result<Vec<Secret>, ResolveError> {
        Ok(ciphertexts.iter().map(|text| Secret::from((*text).to_owned())).collect())
    }
}

fuzz_target!(|text: &str| {
    // Variables are separated by form feeds, which no reference holds.
    let names = ["A", "B", "C", "VAULT_TOKEN", "VAULT_ENV_FROM_PATH", "VAULT_TRANSIT_KEY_ID", "VAULT_ENV_DELAY"];
    let texts: Vec<String> = text.split('\u{c}').map(str::to_owned).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().zip(&texts).map(|(name, text)| (*name, text.as_bytes())).collect();
    for environment in [Environment::bank_vaults(&entries), Environment::plain(&entries)].into_iter().flatten() {
        for key in [OnMissing::Fail, OnMissing::Drop, OnMissing::Empty] {
            let policy = Policy { secret: key.clone(), key, allow_no_value: true };
            if let Ok(resolved) = environment.resolve(&mut Any, &policy) {
                assert!(resolved.variables.iter().map(|(_, value)| value.len()).sum::<usize>() <= RESOLVED_BYTES);
            }
        }
    }
    let given: Vec<Given<'_>> =
        names.iter().zip(&texts).map(|(name, text)| Given { name, value: GivenValue::Text(text) }).collect();
    let outlook = look(&given, &texts, &texts);
    assert_eq!(outlook.variables.len(), given.len());
});
