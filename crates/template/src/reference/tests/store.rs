//! A source over the store that the shared cases describe; it counts requests.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use vouchsafe_model::Secret;
use vouchsafe_model::wire::Document;

use super::super::{Answer, Fetch, How, Source};
use crate::error::ResolveError;

pub(super) struct Store {
    given: Json,
    role: String,
    pub(super) requests: BTreeMap<String, usize>,
}

impl Store {
    /// `given` is the entry `fixtures` of the cases.
    pub(super) fn new(given: &Json, role: &str) -> Self {
        Self { given: given.clone(), role: role.to_owned(), requests: BTreeMap::new() }
    }

    fn read(&self, path: &str, version: Option<u64>) -> Answer {
        if self.given["kv2_deleted"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().starts_with(path)) {
            return Answer::Deleted;
        }
        if let Some(versions) = self.given["kv2"][path].as_array() {
            let index = version.map_or(versions.len(), |version| usize::try_from(version).unwrap());
            return match index.checked_sub(1).and_then(|index| versions.get(index)) {
                Some(found) => document(found),
                None => Answer::Nothing,
            };
        }
        match &self.given["kv1"][path] {
            Json::Null if path == "database/creds/club" => document(&json!({"username": "u-1", "password": "p-1"})),
            Json::Null => Answer::Nothing,
            found => document(found),
        }
    }
}

fn document(value: &Json) -> Answer {
    Answer::Document(Document::new(value.as_object().unwrap().clone()))
}

impl Source for Store {
    fn fetch(&mut self, fetch: &Fetch<'_>) -> Result<Answer, ResolveError> {
        let path = fetch.path.as_str();
        let verb = if matches!(fetch.how, How::Write { .. }) { "PUT" } else { "GET" };
        let count = self.requests.entry(format!("{verb} {path}")).or_default();
        *count += 1;
        match fetch.how {
            How::Read { version } => Ok(self.read(path, version)),
            How::Write { body } if path == "pki/issue/web" => {
                let body: Json = serde_json::from_str(body).unwrap();
                let name = body["common_name"].as_str().unwrap_or("none");
                Ok(document(&json!({"certificate": format!("CERT-{count}-{name}")})))
            }
            How::Write { .. } => Err(ResolveError::new("status 404")),
        }
    }

    fn decrypt(&mut self, mount: &str, key: &str, ciphertexts: &[&str]) -> Result<Vec<Secret>, ResolveError> {
        *self.requests.entry(format!("PUT {mount}/decrypt/{key}")).or_default() += 1;
        let plain = ciphertexts.iter().map(|text| Secret::from(text.splitn(3, ':').nth(2).unwrap().to_owned()));
        Ok(plain.collect())
    }

    fn token(&mut self) -> Result<Secret, ResolveError> {
        Ok(Secret::from(format!("hvs.login-{}", self.role)))
    }
}
