//! `Decision`: what the log and the metrics hear about one review. Names and counts only.
//!
//! Out of scope: annotations, environments, whole objects, Plans: they never reach a log.

use serde_json::{Value, json};

use crate::review::Review;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The pod gets a patch.
    Injected,
    /// The pod is already what injection makes.
    Unchanged,
    /// The object is none of ours.
    Ignored,
    /// The pod asks for what it may not or cannot get.
    Refused,
    /// A workload was looked at; warnings at most.
    Warned,
    /// The body was no AdmissionReview.
    Malformed,
}

impl Outcome {
    /// All of them, for metrics.
    pub const ALL: [Self; 6] =
        [Self::Injected, Self::Unchanged, Self::Ignored, Self::Refused, Self::Warned, Self::Malformed];

    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Unchanged => "unchanged",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
            Self::Warned => "warned",
            Self::Malformed => "malformed",
        }
    }
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// The review's uid.
    pub uid: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object, or its `generateName`.
    pub pod: String,
    /// Service account of the pod.
    pub service_account: String,
    /// Grants that the Plan draws on.
    pub grants: Vec<String>,
    /// Secrets in the Plan.
    pub secrets: usize,
    /// Files in the Plan.
    pub files: usize,
    /// Faults of a refusal.
    pub faults: usize,
    /// The first fields or annotations that are at fault.
    pub fields: Vec<String>,
    /// Warnings of the answer.
    pub warnings: usize,
    /// Whether nothing was going to be stored.
    pub dry_run: bool,
    /// Why nothing was done.
    pub reason: String,
}

impl Decision {
    /// A decision about nothing that could be read.
    pub fn nothing(outcome: Outcome) -> Self {
        Self {
            outcome,
            uid: String::new(),
            namespace: String::new(),
            pod: String::new(),
            service_account: String::new(),
            grants: Vec::new(),
            secrets: 0,
            files: 0,
            faults: 0,
            fields: Vec::new(),
            warnings: 0,
            dry_run: false,
            reason: String::new(),
        }
    }

    /// A decision about the object of a review.
    pub fn about(review: &Review, pod: &Value, outcome: Outcome) -> Self {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let name = Some(review.name.as_str()).filter(|name| !name.is_empty());
        let name = name.or_else(|| text("/metadata/name")).or_else(|| text("/metadata/generateName"));
        Self {
            uid: review.uid.clone(),
            namespace: short(review.namespace.as_deref().unwrap_or_default()),
            pod: short(name.unwrap_or("(unnamed)")),
            service_account: short(text("/spec/serviceAccountName").unwrap_or_default()),
            dry_run: review.dry_run,
            ..Self::nothing(outcome)
        }
    }

    /// The structured line: empty and zero fields are left out.
    pub fn to_line(&self, millis: u128) -> String {
        let mut line = serde_json::Map::new();
        let mut put = |name: &str, value: Value| {
            let empty = match &value {
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.is_empty(),
                Value::Bool(flag) => !flag,
                Value::Number(number) => number.as_u64() == Some(0),
                _ => false,
            };
            if !empty {
                line.insert(name.to_owned(), value);
            }
        };
        put("event", json!("admission"));
        put("decision", json!(self.outcome.as_str()));
        put("uid", json!(self.uid));
        put("ns", json!(self.namespace));
        put("pod", json!(self.pod));
        put("sa", json!(self.service_account));
        put("grants", json!(self.grants));
        put("secrets", json!(self.secrets));
        put("files", json!(self.files));
        put("faults", json!(self.faults));
        put("fields", json!(self.fields));
        put("warnings", json!(self.warnings));
        put("dryRun", json!(self.dry_run));
        put("reason", json!(self.reason));
        put("ms", json!(u64::try_from(millis).unwrap_or(u64::MAX)));
        Value::Object(line).to_string()
    }
}

/// A foreign name, cut: no name of Kubernetes is longer.
fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS).collect()
}

/// Longest name of an object in Kubernetes.
const NAME_CHARS: usize = 253;
