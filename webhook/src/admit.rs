//! `admit`: the body of an AdmissionReview in, the answer out. Pure; no input makes it panic.
//!
//! | what comes | answer |
//! |---|---|
//! | no AdmissionReview | 400 with what was expected |
//! | anything but CREATE of a pod: updates, deletions, `pods/binding`, `pods/ephemeralcontainers`, other kinds | allowed, untouched |
//! | a pod that does not ask; the mirror of a static pod | allowed, untouched |
//! | a pod that asks | allowed with the patch, or refused with all faults |
//!
//! A dry run gets the same answer: there are no side effects to leave out. Out of scope: HTTP ([`crate::server`]).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use vouchsafe_model::name::Namespace;
use vouchsafe_net::hash;
use vouchsafe_policies::{Fault, GrantSet};

use crate::config::Config;
use crate::decision::{Decision, Outcome};
use crate::inject::{Injection, inject};
use crate::judge;
use crate::patch::serialized;
use crate::review::{Operation, Review, ReviewError, answer};

/// The answer to one HTTP request.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status: 200 for every decision, 400 for what is no AdmissionReview.
    pub status: u16,
    /// AdmissionReview, or a Status object that says what was expected.
    pub body: Value,
    /// What is logged and counted.
    pub line: Decision,
}

/// Decides about one review of `/mutate`.
pub fn admit(body: &[u8], grants: &GrantSet, config: &Config) -> Answer {
    let review = match Review::read(body) {
        Ok(review) => review,
        Err(error) => return malformed(&error),
    };
    if let Some(reason) = foreign(&review) {
        return ignored(&review, reason);
    }
    if review.is_list {
        let fault = Fault::new(None, "request.object", "is a list; expected the Pod that is created");
        return refused(&review, &Value::Null, &[fault]);
    }
    let (pod, namespace) = match subject(&review) {
        Ok(subject) => subject,
        Err(error) => return malformed(&error),
    };
    if judge::is_mirror(&pod) {
        return ignored(&review, "mirror of a static pod");
    }
    match inject(&pod, &namespace, grants, config) {
        Ok(None) => ignored(&review, "does not ask"),
        Ok(Some(injection)) => injected(&review, &pod, &injection),
        Err(faults) => refused(&review, &pod, &faults),
    }
}

/// Why a review is not about a new pod.
fn foreign(review: &Review) -> Option<&'static str> {
    if !review.group.is_empty() || review.resource != "pods" {
        return Some("not a pod");
    }
    if review.sub_resource.is_some() {
        return Some("a sub-resource of a pod");
    }
    if review.operation != Operation::Create {
        return Some("not a creation");
    }
    None
}

/// The new pod and its namespace.
fn subject(review: &Review) -> Result<(Value, Namespace), ReviewError> {
    let field = |field: &'static str, problem: String| ReviewError::Field { field, problem };
    if review.kind != "Pod" {
        return Err(field("kind.kind", format!("{} is not Pod, and the resource is pods", text(&review.kind))));
    }
    let Some(object) = &review.object else {
        return Err(field("object", "missing; expected the Pod that is created".to_owned()));
    };
    match object.get("kind") {
        None => {}
        Some(Value::String(kind)) if kind == "Pod" => {}
        Some(Value::String(kind)) => return Err(field("object", format!("is a {}; expected a Pod", text(kind)))),
        other => return Err(field("object", format!("kind is {}; expected Pod", crate::review::shape(other)))),
    }
    let Some(name) = &review.namespace else {
        return Err(field("namespace", "missing; a pod is created in a namespace".to_owned()));
    };
    let namespace: Namespace = name.parse().map_err(|error| field("namespace", format!("{error}")))?;
    let inner = object.get("metadata").and_then(|metadata| metadata.get("namespace")).and_then(Value::as_str);
    if let Some(inner) = inner.filter(|inner| !inner.is_empty() && *inner != namespace.as_str()) {
        let problem = format!("{} is not the request's namespace {}", text(inner), text(name));
        return Err(field("object.metadata.namespace", problem));
    }
    Ok((Value::Object(object.clone()), namespace))
}

fn injected(review: &Review, pod: &Value, injection: &Injection) -> Answer {
    let plan = &injection.derivation.plan;
    let mut grants: Vec<&str> = plan.secrets.iter().map(|secret| secret.grant.as_str()).collect();
    grants.sort_unstable();
    grants.dedup();
    let outcome = if injection.operations.is_empty() { Outcome::Unchanged } else { Outcome::Injected };
    let mut decision = Decision::about(review, pod, outcome);
    decision.grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
    decision.secrets = plan.secrets.len();
    decision.files = plan.files.len();
    decision.warnings = injection.warnings.len();
    let mut response = response(review, true, &injection.warnings);
    if !injection.operations.is_empty() {
        response.insert("patchType".to_owned(), json!("JSONPatch"));
        response.insert("patch".to_owned(), json!(STANDARD.encode(serialized(&injection.operations))));
    }
    let digest = plan.to_json().map(|plan| hash::hex(&hash::sha256(plan.as_bytes()))).unwrap_or_default();
    response.insert(
        "auditAnnotations".to_owned(),
        json!({"decision": outcome.as_str(), "grants": grants.join(","), "plan-sha256": digest,
               "role": plan.login.role.as_str()}),
    );
    Answer { status: 200, body: answer(review, &Value::Object(response)), line: decision }
}

fn refused(review: &Review, pod: &Value, faults: &[Fault]) -> Answer {
    let mut decision = Decision::about(review, pod, Outcome::Refused);
    decision.faults = faults.len();
    decision.fields = faults.iter().take(LOGGED_FIELDS).map(|fault| fault.field.clone()).collect();
    let mut response = response(review, false, &[]);
    response.insert(
        "status".to_owned(),
        json!({"status": "Failure", "code": 403, "reason": "Forbidden", "message": refusal(&decision, faults)}),
    );
    response.insert(
        "auditAnnotations".to_owned(),
        json!({"decision": Outcome::Refused.as_str(), "faults": faults.len().to_string()}),
    );
    Answer { status: 200, body: answer(review, &Value::Object(response)), line: decision }
}

fn ignored(review: &Review, reason: &'static str) -> Answer {
    let nothing = Value::Null;
    let mut decision = Decision::about(review, &nothing, Outcome::Ignored);
    reason.clone_into(&mut decision.reason);
    let mut response = response(review, true, &[]);
    response.insert("auditAnnotations".to_owned(), json!({"decision": Outcome::Ignored.as_str(), "reason": reason}));
    Answer { status: 200, body: answer(review, &Value::Object(response)), line: decision }
}

/// An answer that says what was expected instead of this body.
pub(crate) fn malformed(error: &ReviewError) -> Answer {
    let mut decision = Decision::nothing(Outcome::Malformed);
    decision.reason = error.to_string();
    let body = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 400, "reason": "BadRequest",
                      "message": error.to_string()});
    Answer { status: 400, body, line: decision }
}

/// `uid`, `allowed` and at most [`WARNINGS`] warnings.
pub(crate) fn response(review: &Review, allowed: bool, warnings: &[String]) -> Map<String, Value> {
    let mut response = Map::new();
    response.insert("uid".to_owned(), json!(review.uid));
    response.insert("allowed".to_owned(), json!(allowed));
    if !warnings.is_empty() {
        let mut shown: Vec<String> = warnings.iter().take(WARNINGS).map(|text| format!("vouchsafe: {text}")).collect();
        if warnings.len() > WARNINGS {
            shown.push(format!(
                "vouchsafe: {} more warnings; run 'vouchsafe explain' on the manifest",
                warnings.len() - WARNINGS
            ));
        }
        response.insert("warnings".to_owned(), json!(shown));
    }
    response
}

/// All faults, one a line.
fn refusal(decision: &Decision, faults: &[Fault]) -> String {
    let count = match faults.len() {
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    let mut message = format!("vouchsafe cannot inject pod {}/{}, {count}:", decision.namespace, decision.pod);
    for fault in faults.iter().take(FAULTS) {
        message.push_str("\n- ");
        message.push_str(&fault.to_string());
    }
    if faults.len() > FAULTS {
        // Writing into a String cannot fail.
        let _ = write!(message, "\n- and {} more; run 'vouchsafe explain' on the manifest", faults.len() - FAULTS);
    }
    message
}

fn text(foreign: &str) -> String {
    vouchsafe_model::text::quoted(foreign)
}

/// Most warnings of one answer: API servers cut the sum at 4 KiB.
const WARNINGS: usize = 15;
/// Most faults of one refusal: a message that a terminal still shows.
const FAULTS: usize = 50;
/// Most fields that one log line names.
const LOGGED_FIELDS: usize = 5;
