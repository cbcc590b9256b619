//! `Review`: a strictly read AdmissionReview. What is none is answered with 400 and what was expected.
//!
//! ```text
//! {"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",
//!  "request":{"uid":"…","kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},
//!             "subResource":"","name":"…","namespace":"…","operation":"CREATE","dryRun":false,"object":{…}}}
//! ```
//! Fields that we do not use pass unread: API servers add some with every release.
//! Out of scope: what the object is and whether it is ours ([`crate::admit()`]).

use std::fmt;

use serde_json::{Map, Value, json};

use vouchsafe_model::text::quoted;

use crate::json::{self, JsonError};

/// One question of an API server.
#[derive(Debug)]
pub struct Review {
    /// Version that the answer repeats: `admission.k8s.io/v1`, or `v1beta1`, whose form is the same.
    pub api_version: &'static str,
    /// Identifier that the answer repeats.
    pub uid: String,
    /// What is done to the object.
    pub operation: Operation,
    /// API group of the resource; empty for pods.
    pub group: String,
    /// Plural name of the resource: `pods`.
    pub resource: String,
    /// `ephemeralcontainers`, `binding`, …; `None` for the object itself.
    pub sub_resource: Option<String>,
    /// Kind of the object: `Pod`.
    pub kind: String,
    /// Namespace of the request; `None` for cluster-wide objects.
    pub namespace: Option<String>,
    /// Name of the object, empty with `generateName`.
    pub name: String,
    /// Whether nothing is going to be stored.
    pub dry_run: bool,
    /// The object as it would be stored; `None` on DELETE and CONNECT.
    pub object: Option<Map<String, Value>>,
    /// Whether the object is a list, which is no object of any kind: the request is refused, not the review.
    pub is_list: bool,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is new.
    Create,
    /// It changes.
    Update,
    /// It goes.
    Delete,
    /// Somebody connects to it (exec, port-forward, …).
    Connect,
}

/// Why a body is not an AdmissionReview. Every message says what was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// Nothing was sent.
    #[error("empty body; expected an {EXPECTED}")]
    Empty,
    /// Not one JSON document within the limits.
    #[error("body is no acceptable JSON: {0}; expected an {EXPECTED}")]
    Json(#[from] JsonError),
    /// The top is no object.
    #[error("expected object, found {found}; send an {EXPECTED}")]
    NoObject {
        /// What stands there.
        found: &'static str,
    },
    /// Another API version or kind.
    #[error("{field} is {found}; supported is only {EXPECTED}")]
    Version {
        /// Field that is wrong.
        field: &'static str,
        /// Its value, quoted, or its type.
        found: String,
    },
    /// No request, or not an object.
    #[error("request missing: expected an object, found {found}")]
    NoRequest {
        /// What stands there.
        found: &'static str,
    },
    /// A field of the request that is missing or wrong.
    #[error("request.{field}: {problem}")]
    Field {
        /// Path below `request`.
        field: &'static str,
        /// What is wrong and what was expected.
        problem: String,
    },
}

impl Review {
    /// Reads the body of a request.
    pub fn read(body: &[u8]) -> Result<Self, ReviewError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(ReviewError::Empty);
        }
        json::check(body)?;
        let document: Value = serde_json::from_slice(body)
            .map_err(|error| JsonError { offset: error.column(), problem: "not readable as JSON".to_owned() })?;
        let mut top = match document {
            Value::Object(top) => top,
            other => return Err(ReviewError::NoObject { found: shape(Some(&other)) }),
        };
        let api_version = version(&top, "apiVersion", &[V1, V1BETA1])?;
        version(&top, "kind", &["AdmissionReview"])?;
        match top.remove("request") {
            Some(Value::Object(request)) => Self::from_request(api_version, request),
            other => Err(ReviewError::NoRequest { found: shape(other.as_ref()) }),
        }
    }

    fn from_request(api_version: &'static str, mut request: Map<String, Value>) -> Result<Self, ReviewError> {
        let uid = text(&request, "uid", "a text of 1 to 128 printable characters")?
            .filter(|uid| !uid.is_empty())
            .ok_or_else(|| field("uid", "missing; expected a text of 1 to 128 printable characters"))?;
        if uid.len() > UID_BYTES {
            return Err(field("uid", &format!("{} bytes long, the limit is {UID_BYTES}", uid.len())));
        }
        if !uid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(field("uid", &format!("{} holds characters other than printable ASCII", quoted(uid))));
        }
        let uid = uid.to_owned();
        let operation = match text(&request, "operation", OPERATIONS)? {
            Some("CREATE") => Operation::Create,
            Some("UPDATE") => Operation::Update,
            Some("DELETE") => Operation::Delete,
            Some("CONNECT") => Operation::Connect,
            Some(other) => return Err(field("operation", &format!("{} is not {OPERATIONS}", quoted(other)))),
            None => return Err(field("operation", &format!("missing; expected {OPERATIONS}"))),
        };
        let dry_run = match request.get("dryRun") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            other => return Err(field("dryRun", &format!("expected true or false, found {}", shape(other)))),
        };
        let mut is_list = false;
        let object = match request.remove("object") {
            None | Some(Value::Null) => None,
            Some(Value::Object(object)) => Some(object),
            Some(Value::Array(_)) => {
                is_list = true;
                None
            }
            other => return Err(field("object", &format!("expected an object, found {}", shape(other.as_ref())))),
        };
        Ok(Self {
            api_version,
            uid,
            operation,
            group: member(&request, "resource", "resource.group", "group")?.unwrap_or_default(),
            resource: member(&request, "resource", "resource.resource", "resource")?
                .filter(|resource| !resource.is_empty())
                .ok_or_else(|| field("resource.resource", "missing; expected a plural name such as pods"))?,
            sub_resource: text(&request, "subResource", "a text")?.filter(|sub| !sub.is_empty()).map(str::to_owned),
            kind: member(&request, "kind", "kind.kind", "kind")?
                .filter(|kind| !kind.is_empty())
                .ok_or_else(|| field("kind.kind", "missing; expected a kind such as Pod"))?,
            namespace: text(&request, "namespace", "a text")?.filter(|name| !name.is_empty()).map(str::to_owned),
            name: text(&request, "name", "a text")?.unwrap_or_default().to_owned(),
            dry_run,
            object,
            is_list,
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        })
    }
}

/// The AdmissionReview that carries `response`.
pub fn answer(review: &Review, response: &Value) -> Value {
    json!({"apiVersion": review.api_version, "kind": "AdmissionReview", "response": response})
}

fn version(top: &Map<String, Value>, name: &'static str, wanted: &[&'static str]) -> Result<&'static str, ReviewError> {
    match top.get(name) {
        Some(Value::String(found)) => match wanted.iter().find(|wanted| *wanted == found) {
            Some(known) => Ok(known),
            None => Err(ReviewError::Version { field: name, found: quoted(found) }),
        },
        other => Err(ReviewError::Version { field: name, found: shape(other).to_owned() }),
    }
}

/// A text field; `None` where it is absent or null.
fn text<'a>(
    request: &'a Map<String, Value>,
    name: &'static str,
    expected: &str,
) -> Result<Option<&'a str>, ReviewError> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        other => Err(field(name, &format!("expected {expected}, found {}", shape(other)))),
    }
}

/// A text field of an object field: `request.kind.kind`.
fn member(
    request: &Map<String, Value>,
    outer: &'static str,
    path: &'static str,
    inner: &str,
) -> Result<Option<String>, ReviewError> {
    let object = match request.get(outer) {
        None | Some(Value::Null) => return Err(field(outer, "missing; expected an object")),
        Some(Value::Object(object)) => object,
        other => return Err(field(outer, &format!("expected an object, found {}", shape(other)))),
    };
    match object.get(inner) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        other => Err(field(path, &format!("expected a text, found {}", shape(other)))),
    }
}

fn field(field: &'static str, problem: &str) -> ReviewError {
    ReviewError::Field { field, problem: problem.to_owned() }
}

/// What a value is, in a word; never its content.
pub(crate) fn shape(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}

/// The version of today's API servers.
const V1: &str = "admission.k8s.io/v1";
/// The version of Kubernetes before 1.22, with the same fields; vault-k8s answers it, too.
const V1BETA1: &str = "admission.k8s.io/v1beta1";
/// What every message about a wrong body asks for.
const EXPECTED: &str = "admission.k8s.io/v1 AdmissionReview";
/// The operations of Kubernetes.
const OPERATIONS: &str = "CREATE, UPDATE, DELETE or CONNECT";
/// Longest uid: a UUID has 36 characters; it is repeated in the answer and in the log.
const UID_BYTES: usize = 128;
