//! Objects: the structs that Go templates for Vault see.
//!
//! `secret` gives a struct whose unknown fields are errors, unlike a map's; `pkiCert` gives a struct that is its own
//! `.Data`; `scratch` gives a handle whose methods work on the rendering's scratch space (which lives in the evaluator).

use std::sync::Arc;

use crate::error::Fault;
use crate::value::{List, Map, Text, Value};

/// A struct value; cloning shares it.
#[derive(Clone)]
pub struct Object(Arc<ObjectData>);

struct ObjectData {
    kind: ObjectKind,
    fields: Vec<(&'static str, Value)>,
}

/// Which struct of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Secret,
    Certificate,
    Scratch,
}

impl ObjectKind {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Secret => "*dependency.Secret",
            Self::Certificate => "*dependency.PemEncoded",
            Self::Scratch => "*template.Scratch",
        }
    }
}

impl Object {
    pub(crate) fn scratch() -> Self {
        Self(Arc::new(ObjectData { kind: ObjectKind::Scratch, fields: Vec::new() }))
    }

    pub(crate) fn kind(&self) -> ObjectKind {
        self.0.kind
    }

    pub(crate) fn fields(&self) -> &[(&'static str, Value)] {
        &self.0.fields
    }

    /// The field of that name; a certificate's `Data` is the certificate.
    pub(crate) fn field(&self, name: &str) -> Option<Value> {
        if self.0.kind == ObjectKind::Certificate && name == "Data" {
            return Some(Value::Object(self.clone()));
        }
        self.0.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone())
    }

    pub(crate) fn depth(&self) -> u16 {
        self.0.fields.iter().map(|(_, value)| value.depth()).max().unwrap_or(0).saturating_add(1)
    }
}

/// The answer of Vault to a read or write, as templates see it.
#[derive(Debug, Default)]
pub struct SecretObject {
    /// The answer's `data`; for KV v2 with its inner `data` and `metadata`.
    pub data: Option<Map>,
    /// Request id.
    pub request_id: String,
    /// Lease id, empty where nothing is leased.
    pub lease_id: String,
    /// Seconds.
    pub lease_duration: i64,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// The answer's warnings.
    pub warnings: Vec<String>,
    /// The answer's `auth`, for logins and token creation; a map with Go's field names.
    pub auth: Option<Map>,
}

impl SecretObject {
    /// A secret that is data only.
    pub fn of_data(data: Map) -> Self {
        Self { data: Some(data), ..Self::default() }
    }
}

impl From<SecretObject> for Value {
    fn from(secret: SecretObject) -> Self {
        let map = |map: Option<Map>| map.map_or(Self::Nil, Self::Map);
        let warnings = secret.warnings.iter().map(|warning| Text::from(warning.as_str()));
        let fields = vec![
            ("RequestID", Self::from(secret.request_id.as_str())),
            ("LeaseID", Self::from(secret.lease_id.as_str())),
            ("LeaseDuration", Self::Int(secret.lease_duration)),
            ("Renewable", Self::Bool(secret.renewable)),
            ("Data", map(secret.data)),
            ("Warnings", Self::List(List::of_texts(warnings))),
            ("Auth", map(secret.auth)),
            ("WrapInfo", Self::Nil),
        ];
        Self::Object(Object(Arc::new(ObjectData { kind: ObjectKind::Secret, fields })))
    }
}

/// A certificate with its key, each in PEM.
#[derive(Debug)]
pub struct Certificate {
    /// Leaf certificate.
    pub certificate: Text,
    /// Private key; empty where a kept certificate's key is unknown.
    pub key: Text,
    /// Issuing authority.
    pub authority: Text,
    /// Authorities up to the root.
    pub chain: Vec<Text>,
}

impl From<Certificate> for Value {
    fn from(pem: Certificate) -> Self {
        let fields = vec![
            ("Cert", Self::Text(pem.certificate)),
            ("Key", Self::Text(pem.key)),
            ("CA", Self::Text(pem.authority)),
            ("CAChain", Self::List(List::of_texts(pem.chain))),
        ];
        Self::Object(Object(Arc::new(ObjectData { kind: ObjectKind::Certificate, fields })))
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("<map>")
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("<list>")
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.kind().type_name())
    }
}

/// Which methods a scratch has; kept beside the type, run by the evaluator.
pub(crate) fn unknown_field(object: &Object, field: &str) -> Fault {
    Fault::UnknownField { field: field.into(), type_name: object.kind().type_name() }
}
