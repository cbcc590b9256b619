//! Whether a webhook configuration needs repair, and how. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What to change, as a JSON patch guarded by `test` operations.
#[derive(Debug, PartialEq)]
pub struct Repair {
    /// JSON patch for the MutatingWebhookConfiguration.
    pub patch: Value,
    /// Names of the webhooks concerned.
    pub webhooks: Vec<String>,
}

/// Compares each webhook's `caBundle` with `authority` (PEM).
///
/// `None` means that nothing is to do. Entries that name a URL are ours as well: they need the bundle just the same.
pub fn repair(configuration: &Value, authority: &str) -> Option<Repair> {
    let wanted = STANDARD.encode(authority);
    let mut patch = Vec::new();
    let mut webhooks = Vec::new();
    for (index, webhook) in configuration.get("webhooks").and_then(Value::as_array)?.iter().enumerate() {
        let name = webhook.get("name").and_then(Value::as_str).unwrap_or_default();
        if webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str) == Some(wanted.as_str()) {
            continue;
        }
        patch.push(json!({"op": "test", "path": format!("/webhooks/{index}/name"), "value": name}));
        patch.push(json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": wanted}));
        webhooks.push(name.to_owned());
    }
    if webhooks.is_empty() { None } else { Some(Repair { patch: Value::Array(patch), webhooks }) }
}

/// The `caBundle` of each webhook as PEM text; empty where there is none or it is not base64 of text.
pub fn bundles(configuration: &Value) -> Vec<String> {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    let text = |webhook: &Value| {
        let encoded = webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str)?;
        String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
    };
    webhooks.into_iter().flatten().map(|webhook| text(webhook).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(repair: Repair) -> json_patch::Patch {
        serde_json::from_value(repair.patch).unwrap()
    }

    const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    fn configuration(bundle: Option<&str>) -> Value {
        let mut client = json!({"service": {"name": "vouchsafe-webhook", "namespace": "vouchsafe"}});
        if let Some(bundle) = bundle {
            client["caBundle"] = json!(bundle);
        }
        json!({"webhooks": [{"name": "pods.vouchsafe.dev", "clientConfig": client}]})
    }

    #[test]
    fn an_emptied_or_foreign_bundle_is_repaired_and_a_good_one_left_alone() {
        for bad in [None, Some(""), Some("Zm9yZWlnbg==")] {
            let found = repair(&configuration(bad), AUTHORITY).unwrap();
            assert_eq!(found.webhooks, ["pods.vouchsafe.dev"]);
        }
        assert_eq!(repair(&configuration(Some(&STANDARD.encode(AUTHORITY))), AUTHORITY), None);
    }

    #[test]
    fn the_patch_applies_and_makes_the_next_look_quiet() {
        let mut object = configuration(Some(""));
        let found = repair(&object, AUTHORITY).unwrap();
        json_patch::patch(&mut object, &patch(found)).unwrap();
        assert_eq!(repair(&object, AUTHORITY), None);
    }

    #[test]
    fn the_patch_fails_when_the_list_changed_meanwhile() {
        let found = repair(&configuration(None), AUTHORITY).unwrap();
        let mut other = json!({"webhooks": [{"name": "somebody.else", "clientConfig": {}}]});
        assert!(json_patch::patch(&mut other, &patch(found)).is_err());
    }

    #[test]
    fn bundles_are_read_back_and_what_is_none_is_empty() {
        assert_eq!(bundles(&configuration(Some(&STANDARD.encode(AUTHORITY)))), [AUTHORITY]);
        for none in [None, Some(""), Some("*"), Some("/w==")] {
            assert_eq!(bundles(&configuration(none)), [""]);
        }
    }

    #[test]
    fn a_configuration_without_webhooks_needs_nothing() {
        assert_eq!(repair(&json!({}), AUTHORITY), None);
    }
}
