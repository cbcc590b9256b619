//! A resolver over a JSON document, as the shared cases describe it.

use std::time::{Duration, SystemTime};

use serde_json::Value as Json;
use vouchsafe_model::Secret;
use vouchsafe_template::{Certificate, Map, ResolveError, Resolver, SecretObject, Text, Value};

/// 2026-01-02T03:04:05.006Z
const NOW: Duration = Duration::from_millis(1_767_323_045_006);

/// `secrets` and `env` of one case.
pub(crate) struct Fixture<'c> {
    pub(crate) secrets: &'c Json,
    pub(crate) environment: &'c Json,
}

impl Fixture<'_> {
    fn entry(&self, prefix: &str, path: &str, arguments: &[(Text, Text)]) -> Option<&Json> {
        let mut key = format!("{prefix}{path}");
        for (name, value) in arguments {
            key = format!("{key}|{}={}", name.as_str().unwrap(), value.as_str().unwrap());
        }
        self.secrets.get(key)
    }
}

impl Resolver for Fixture<'_> {
    fn secret(&mut self, path: &str, arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        let Some(Json::Object(entry)) = self.entry("", path, arguments) else { return Ok(None) };
        let lease = entry.get("_secret").cloned().unwrap_or_default();
        let data = entry.iter().filter(|(key, _)| *key != "_secret");
        let data = data.map(|(key, value)| (Text::from(key.as_str()), Value::try_from(value).unwrap()));
        Ok(Some(Value::from(SecretObject {
            lease_id: lease["lease_id"].as_str().unwrap_or_default().to_owned(),
            lease_duration: lease["lease_duration"].as_i64().unwrap_or_default(),
            renewable: lease["renewable"].as_bool().unwrap_or_default(),
            ..SecretObject::of_data(Map::new(data).unwrap())
        })))
    }

    fn list(&mut self, path: &str) -> Result<Option<Vec<Text>>, ResolveError> {
        let Some(Json::Array(names)) = self.entry("list:", path, &[]) else { return Ok(None) };
        Ok(Some(names.iter().map(|name| Text::from(name.as_str().unwrap())).collect()))
    }

    fn certificate(&mut self, path: &str, arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        let Some(pem) = self.entry("pki:", path, arguments) else { return Ok(None) };
        let text = |value: &Json| Text::from(value.as_str().unwrap_or_default());
        Ok(Some(Value::from(Certificate {
            certificate: text(&pem["Cert"]),
            key: text(&pem["Key"]),
            authority: text(&pem["CA"]),
            chain: pem["CAChain"].as_array().into_iter().flatten().map(text).collect(),
        })))
    }

    fn now(&mut self) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + NOW)
    }

    fn file(&mut self, path: &str) -> Result<Option<Secret>, ResolveError> {
        Ok(self.secrets.get(format!("file:{path}")).and_then(Json::as_str).map(|text| Secret::from(text.to_owned())))
    }

    fn environment(&mut self, name: &str) -> Option<Secret> {
        self.environment.get(name).and_then(Json::as_str).map(|value| Secret::from(value.to_owned()))
    }
}
