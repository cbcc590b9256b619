//! The envelope of a Vault answer.
//!
//! ```text
//! {"request_id":"…","lease_id":"","renewable":false,"lease_duration":0,"data":{…}|null,
//!  "wrap_info":null,"warnings":null,"auth":{"client_token":"…","accessor":"…",…}|null}
//! ```
//! `token_policies`, `identity_policies` and `metadata` may be left out when empty.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::{Document, WireError};
use crate::secret::Secret;

/// A decoded answer with status 200 (or the 404 of a deleted KV v2 version).
#[derive(Debug)]
pub struct Envelope {
    /// Server's id of the request; joins our audit log with its own.
    pub request_id: String,
    /// The content, if any.
    pub data: Option<Document>,
    /// The lease of a dynamic secret, if any.
    pub lease: Option<Lease>,
    /// A new token, after a login or renewal.
    pub auth: Option<Auth>,
    /// Whether the answer was wrapped.
    pub wrapped: bool,
    /// Warnings for people.
    pub warnings: Vec<String>,
}

/// A lease on a dynamic secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The lease's id.
    pub id: String,
    /// How long it lasts from the answer on.
    pub duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
}

/// A token and what the server says about it.
#[derive(Debug)]
pub struct Auth {
    /// The token.
    pub client_token: Secret,
    /// Its accessor: identifies it without being it.
    pub accessor: String,
    /// Policies attached.
    pub policies: Vec<String>,
    /// Facts about who logged in, such as `service_account_name`.
    pub metadata: BTreeMap<String, String>,
    /// How long the token lasts from the answer on; zero means for ever (root).
    pub lease: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Uses left; zero means without limit.
    pub num_uses: u64,
}

impl Envelope {
    /// Decodes a body.
    pub fn parse(body: &Secret) -> Result<Self, WireError> {
        // EXPOSE: decoding is what the bytes came for; the pieces go into `Document` and `Secret` again.
        let raw: Raw = serde_json::from_slice(body.expose())?;
        let lease = raw.lease_id.filter(|id| !id.is_empty()).map(|id| Lease {
            id,
            duration: Duration::from_secs(raw.lease_duration),
            renewable: raw.renewable,
        });
        Ok(Self {
            request_id: raw.request_id.unwrap_or_default(),
            data: raw.data,
            lease,
            auth: raw.auth.map(RawAuth::into_auth),
            wrapped: raw.wrap_info.is_some(),
            warnings: raw.warnings.unwrap_or_default(),
        })
    }
}

/// The texts of `{"errors":["…"]}`; empty where the body is something else.
pub fn error_texts(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default()
}

#[derive(Deserialize)]
struct Raw {
    request_id: Option<String>,
    lease_id: Option<String>,
    #[serde(default)]
    renewable: bool,
    #[serde(default, deserialize_with = "seconds")]
    lease_duration: u64,
    data: Option<Document>,
    auth: Option<RawAuth>,
    wrap_info: Option<serde::de::IgnoredAny>,
    warnings: Option<Vec<String>>,
}

/// Seconds as the server names them; what is below zero, as the rest of a lease that ran out, is nothing.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(u64::try_from(i64::deserialize(deserializer)?).unwrap_or_default())
}

#[derive(Deserialize)]
struct RawAuth {
    client_token: String,
    #[serde(default)]
    accessor: String,
    #[serde(default)]
    policies: Option<Vec<String>>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "seconds")]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    num_uses: u64,
}

impl RawAuth {
    fn into_auth(self) -> Auth {
        Auth {
            client_token: Secret::from(self.client_token),
            accessor: self.accessor,
            policies: self.policies.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
            lease: Duration::from_secs(self.lease_duration),
            renewable: self.renewable,
            num_uses: self.num_uses,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[test]
    fn a_login_answer_gives_token_and_metadata_without_optional_fields() {
        let envelope = Envelope::parse(&body(
            r#"{"request_id":"r","lease_id":"","data":null,"wrap_info":null,"auth":{"client_token":"hvs.x","accessor":"a",
                "metadata":{"role":"argocd"},"lease_duration":3600,"renewable":true}}"#,
        ))
        .unwrap();
        let auth = envelope.auth.unwrap();
        assert_eq!(auth.client_token, Secret::from("hvs.x".to_owned()));
        assert_eq!(auth.lease, Duration::from_secs(3600));
        assert_eq!(auth.metadata.get("role").map(String::as_str), Some("argocd"));
        assert!(envelope.lease.is_none() && !envelope.wrapped);
    }

    #[test]
    fn a_lease_of_less_than_nothing_is_one_of_nothing() {
        let parse = |text: &str| Envelope::parse(&body(text));
        let lease =
            parse(r#"{"lease_id":"a/1","lease_duration":-3,"renewable":true,"data":{}}"#).unwrap().lease.unwrap();
        assert_eq!((lease.duration, lease.renewable), (Duration::ZERO, true));
        assert_eq!(
            parse(r#"{"auth":{"client_token":"t","lease_duration":-1}}"#).unwrap().auth.unwrap().lease,
            Duration::ZERO
        );
        assert!(parse(r#"{"lease_duration":"soon"}"#).is_err());
    }

    #[test]
    fn debug_text_holds_neither_token_nor_data() {
        let envelope =
            Envelope::parse(&body(r#"{"data":{"k":"hunter2"},"auth":{"client_token":"hvs.hunter2"}}"#)).unwrap();
        assert!(!format!("{envelope:?}").contains("hunter2"));
    }

    #[test]
    fn an_error_says_where_and_never_what() {
        let error = Envelope::parse(&body(r#"{"data":"hunter2"}"#)).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn error_texts_survive_any_body() {
        assert_eq!(error_texts(br#"{"errors":["permission denied"]}"#), ["permission denied"]);
        assert!(error_texts(b"<html>").is_empty());
    }

    proptest! {
        #[test]
        fn no_body_makes_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Envelope::parse(&Secret::new(bytes));
        }
    }
}
