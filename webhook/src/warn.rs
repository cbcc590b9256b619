//! `warn`: workloads above pods are looked at when they are applied, so that faults do not hide in a ReplicaSet's events.
//!
//! Always allowed: the answer carries warnings at most (`failurePolicy: Ignore` in the webhook's configuration). The same
//! function as for pods judges the pod template. Out of scope: refusing (the pods themselves are refused).

use serde_json::{Value, json};

use vouchsafe_model::name::Namespace;
use vouchsafe_policies::manifest::{self, Manifest};
use vouchsafe_policies::{Fault, GrantSet};

use crate::admit::{Answer, malformed, response};
use crate::config::Config;
use crate::decision::{Decision, Outcome};
use crate::inject::inject;
use crate::review::{Operation, Review, answer};

/// Decides about one review of `/warn`.
pub fn warn(body: &[u8], grants: &GrantSet, config: &Config) -> Answer {
    let review = match Review::read(body) {
        Ok(review) => review,
        Err(error) => return malformed(&error),
    };
    let subject = workload(&review);
    let namespace = review.namespace.as_deref().unwrap_or_default().parse::<Namespace>().ok();
    let warnings = match (&subject, &namespace) {
        (Some(subject), Some(namespace)) => warnings(subject, namespace, grants, config),
        _ => Vec::new(),
    };
    let object = review.object.clone().map_or(Value::Null, Value::Object);
    let outcome = if subject.is_some() { Outcome::Warned } else { Outcome::Ignored };
    let mut decision = Decision::about(&review, &object, outcome);
    decision.warnings = warnings.len();
    if outcome == Outcome::Ignored {
        "not a workload that makes pods".clone_into(&mut decision.reason);
    }
    let mut response = response(&review, true, &warnings);
    response.insert(
        "auditAnnotations".to_owned(),
        json!({"decision": outcome.as_str(), "warnings": warnings.len().to_string()}),
    );
    Answer { status: 200, body: answer(&review, &Value::Object(response)), line: decision }
}

/// The workload of a review, if it is one that makes pods.
fn workload(review: &Review) -> Option<Manifest> {
    let (_, _, kind) =
        WORKLOADS.iter().find(|(group, resource, _)| *group == review.group && *resource == review.resource)?;
    if review.sub_resource.is_some() || !matches!(review.operation, Operation::Create | Operation::Update) {
        return None;
    }
    // A request's object has its type, but the request's own word on it is what the API server acts on.
    let mut object = review.object.clone()?;
    object.insert("apiVersion".to_owned(), json!(format!("{}/v1", review.group)));
    object.insert("kind".to_owned(), json!(kind));
    manifest::from_object("request", &Value::Object(object)).ok()
}

fn warnings(workload: &Manifest, namespace: &Namespace, grants: &GrantSet, config: &Config) -> Vec<String> {
    let mut warnings: Vec<String> = manifest::check_workload(workload).iter().map(plain).collect();
    let Some(template) = &workload.pod_template else { return warnings };
    match inject(template, namespace, grants, config) {
        Ok(None) => {}
        Ok(Some(injection)) => warnings.extend(injection.warnings),
        Err(faults) => warnings.extend(
            faults.iter().map(|fault| format!("the pods of this {} will be refused: {}", workload.kind, plain(fault))),
        ),
    }
    warnings
}

/// A fault without the place that a request does not have.
fn plain(fault: &Fault) -> String {
    let text = fault.to_string();
    match text.split_once(": ") {
        Some((place, rest)) if place.starts_with("request:") => rest.to_owned(),
        _ => text,
    }
}

/// API group, resource and kind of what makes pods.
const WORKLOADS: [(&str, &str, &str); 6] = [
    ("apps", "deployments", "Deployment"),
    ("apps", "statefulsets", "StatefulSet"),
    ("apps", "daemonsets", "DaemonSet"),
    ("apps", "replicasets", "ReplicaSet"),
    ("batch", "jobs", "Job"),
    ("batch", "cronjobs", "CronJob"),
];
