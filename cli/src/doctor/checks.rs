//! The checks of the cluster: from what was seen to ok, warn or fail, each with one cause and one command. Pure.

use serde_json::Value;

use super::certificates;
use super::facts::{Check, Facts, Probe, Refusal, Seen, Status};
use super::vault;
use crate::why::shown;

/// All checks, in the order in which one would mend things.
pub(crate) fn all(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        configuration(facts),
        warnings(facts),
        endpoints(facts),
        injection(facts),
        certificates::bundle(facts),
        certificates::trust(facts),
        certificates::expiry(facts),
        controller(facts),
        policies(facts),
        refusals(facts),
        grants(facts),
        clock("clock of the API server", &facts.cluster_clock),
    ];
    checks.extend(vault::all(facts));
    checks
}

pub(super) fn check(name: &'static str, status: Status, said: impl Into<String>, command: impl Into<String>) -> Check {
    Check { name, status, said: said.into(), command: command.into() }
}

pub(super) fn skipped(name: &'static str, why: impl Into<String>) -> Check {
    check(name, Status::Skipped, why, "")
}

fn configuration(facts: &Facts) -> Check {
    let name = "webhook configuration";
    let command = format!("kubectl get mutatingwebhookconfiguration {} -o yaml", facts.release);
    let found = match &facts.pods_configuration {
        Seen::Found(found) => found,
        Seen::Absent => {
            let said = format!(
                "MutatingWebhookConfiguration {} does not exist: annotated pods are refused or start bare",
                facts.release
            );
            return check(name, Status::Fail, said, "helm upgrade --install vouchsafe deploy/helm/vouchsafe");
        }
        Seen::Unknown(why) => return skipped(name, why),
    };
    for webhook in webhooks(found) {
        let called = text(webhook, "/name");
        if text(webhook, "/failurePolicy") != "Fail" {
            let said = format!("{called}: failurePolicy is not Fail, so pods start bare while the webhook is away");
            return check(name, Status::Fail, said, command);
        }
        let conditions = webhook.get("matchConditions").and_then(Value::as_array);
        let is_ours = |condition: &Value| text(condition, "/expression").contains("vouchsafe.dev/");
        if !conditions.is_some_and(|conditions| conditions.iter().any(is_ours)) {
            let said = format!(
                "{called}: matchConditions do not look for our annotations, so every pod depends on the webhook"
            );
            return check(name, Status::Fail, said, command);
        }
    }
    check(name, Status::Ok, "failurePolicy Fail, for annotated pods only", "")
}

fn warnings(facts: &Facts) -> Check {
    let name = "warnings at kubectl apply";
    let called = format!("{}-warn", facts.release);
    match &facts.warnings_configuration {
        Seen::Found(found) if webhooks(found).all(|webhook| text(webhook, "/failurePolicy") == "Ignore") => {
            check(name, Status::Ok, "workloads are looked at, and never refused", "")
        }
        Seen::Found(_) => check(
            name,
            Status::Warn,
            format!("{called}: failurePolicy is not Ignore, so workloads are refused while the webhook is away"),
            format!("kubectl get mutatingwebhookconfiguration {called} -o yaml"),
        ),
        Seen::Absent => check(
            name,
            Status::Warn,
            format!("{called} does not exist: faults show only in events of ReplicaSets"),
            format!("kubectl get mutatingwebhookconfiguration {called}"),
        ),
        Seen::Unknown(why) => skipped(name, why),
    }
}

fn endpoints(facts: &Facts) -> Check {
    let name = "webhook pods";
    let command = format!("kubectl -n {} get pods", facts.installation);
    match &facts.endpoints {
        Seen::Found(0) | Seen::Absent => {
            check(name, Status::Fail, "no pod of the webhook is ready: annotated pods are refused", command)
        }
        Seen::Found(1) => check(
            name,
            Status::Warn,
            "one pod of the webhook is ready: while it moves, annotated pods are refused",
            command,
        ),
        Seen::Found(many) => check(name, Status::Ok, format!("{many} are ready"), ""),
        Seen::Unknown(why) => skipped(name, why),
    }
}

fn injection(facts: &Facts) -> Check {
    let name = "injection (dry run)";
    match &facts.probe {
        Probe::Untried(why) => skipped(name, why),
        Probe::Admitted(pod) if is_injected(pod) => check(
            name,
            Status::Ok,
            format!("a pod with Grant {} was injected", facts.probed.as_deref().unwrap_or("?")),
            "",
        ),
        Probe::Admitted(_) => check(
            name,
            Status::Fail,
            "an annotated pod was admitted without being injected: its namespace is left out, or the configuration is not as shipped",
            format!("kubectl get mutatingwebhookconfiguration {} -o yaml", facts.release),
        ),
        Probe::Refused(message) => refused(facts, name, message),
    }
}

/// The API server's text is all there is: it names the webhook, and whether it was asked.
fn refused(facts: &Facts, name: &'static str, message: &str) -> Check {
    let logs = format!("kubectl -n {} logs deployment/{}-webhook", facts.installation, facts.release);
    if message.contains("failed calling webhook") {
        return check(name, Status::Fail, format!("the API server cannot ask the webhook: {}", shown(message)), logs);
    }
    if message.contains("ValidatingAdmissionPolicy") {
        return check(
            name,
            Status::Fail,
            format!("the webhook was not asked, and the admission policy refused the bare pod: {}", shown(message)),
            format!("kubectl get mutatingwebhookconfiguration {}", facts.release),
        );
    }
    if !message.contains("pods.vouchsafe.dev") {
        return skipped(name, format!("the try was refused before it came to the webhook: {}", shown(message)));
    }
    match &facts.probed {
        None => check(name, Status::Ok, "the webhook answers (there is no Grant to inject yet)", ""),
        Some(grant) => check(
            name,
            Status::Warn,
            format!("the webhook answers, and refuses a made-up pod with Grant {grant}: {}", shown(message)),
            "vouchsafe explain FILE --policies GRANTS   # with a pod of yours",
        ),
    }
}

fn controller(facts: &Facts) -> Check {
    let name = "controller";
    let command = format!("kubectl -n {} logs deployment/{}-controller", facts.installation, facts.release);
    let lease = match &facts.lease {
        Seen::Found(lease) => lease,
        Seen::Absent => {
            return check(name, Status::Warn, "its Lease does not exist: is the controller installed?", command);
        }
        Seen::Unknown(why) => return skipped(name, why),
    };
    let holder = text(lease, "/spec/holderIdentity");
    let renewed = text(lease, "/spec/renewTime").parse::<jiff::Timestamp>().ok();
    let now = jiff::Timestamp::try_from(facts.now).ok();
    let age = renewed.zip(now).map(|(renewed, now)| now.as_second() - renewed.as_second());
    match age {
        Some(age) if !holder.is_empty() && age < LEASE_SECONDS => {
            check(name, Status::Ok, format!("{holder} works"), "")
        }
        _ => {
            check(name, Status::Fail, "nobody holds its Lease: certificates and caBundle are not looked after", command)
        }
    }
}

fn policies(facts: &Facts) -> Check {
    let name = "admission policies";
    let (policies, bindings) = match (&facts.policies, &facts.bindings) {
        (Seen::Found(policies), Seen::Found(bindings)) => (policies, bindings),
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => return skipped(name, why),
        _ => return skipped(name, "this cluster has no ValidatingAdmissionPolicies"),
    };
    let wanted = format!("{}-pods", facts.release);
    let command = format!("kubectl get validatingadmissionpolicy,validatingadmissionpolicybinding {wanted}");
    if !policies.iter().any(|policy| text(policy, "/metadata/name") == wanted) {
        let said =
            format!("{wanted} does not exist: without the webhook configuration annotated pods would start bare");
        return check(name, Status::Fail, said, command);
    }
    let denies = bindings.iter().any(|binding| {
        let actions = binding.pointer("/spec/validationActions").and_then(Value::as_array);
        text(binding, "/spec/policyName") == wanted
            && actions.is_some_and(|actions| actions.iter().any(|one| one == "Deny"))
    });
    if denies {
        check(name, Status::Ok, format!("{wanted} denies bare pods"), "")
    } else {
        check(name, Status::Fail, format!("no binding of {wanted} denies, so it does nothing"), command)
    }
}

fn refusals(facts: &Facts) -> Check {
    let name = "workloads refused while we were away";
    let refusals = match &facts.refusals {
        Seen::Found(refusals) => refusals,
        Seen::Absent => return check(name, Status::Ok, "none", ""),
        Seen::Unknown(why) => return skipped(name, why),
    };
    let recent: Vec<&Refusal> = refusals.iter().filter(|one| one.age_seconds < RECENT_SECONDS).collect();
    let Some(newest) = recent.iter().min_by_key(|one| one.age_seconds) else {
        return check(name, Status::Ok, "none in the last hour", "");
    };
    check(
        name,
        Status::Warn,
        format!(
            "{} (the newest: {} in {}, {} s ago) may wait in back-off for minutes after the webhook is back",
            crate::offline::count(recent.len(), "workload"),
            newest.owner,
            newest.namespace,
            newest.age_seconds
        ),
        format!("kubectl -n {} rollout restart deployment   # does not wait for the back-off", newest.namespace),
    )
}

fn grants(facts: &Facts) -> Check {
    let name = "Grants";
    let grants = match &facts.grants {
        Seen::Found(grants) => grants,
        Seen::Absent => {
            return check(
                name,
                Status::Fail,
                "the resource grants.vouchsafe.dev does not exist",
                "kubectl get crd grants.vouchsafe.dev",
            );
        }
        Seen::Unknown(why) => return skipped(name, why),
    };
    let status = |grant: &Value| {
        let conditions = grant.pointer("/status/conditions").and_then(Value::as_array);
        let compiled = conditions.into_iter().flatten().find(|one| text(one, "/type") == "Compiled");
        compiled.map(|one| (text(one, "/status") == "True", text(one, "/message").to_owned()))
    };
    let label = |grant: &Value| format!("{}/{}", text(grant, "/metadata/namespace"), text(grant, "/metadata/name"));
    for grant in grants {
        if let Some((false, message)) = status(grant) {
            let said = format!("Grant {} is refused: {}", label(grant), shown(&message));
            return check(name, Status::Warn, said, "kubectl get grants -A   # mend it in git");
        }
    }
    match grants.iter().find(|grant| status(grant).is_none()) {
        Some(grant) => check(
            name,
            Status::Warn,
            format!("Grant {} has no status: the controller does not look at Grants", label(grant)),
            format!("kubectl -n {} logs deployment/{}-controller", facts.installation, facts.release),
        ),
        None => check(name, Status::Ok, format!("{} compile", grants.len()), ""),
    }
}

pub(super) fn clock(name: &'static str, ahead: &Seen<i64>) -> Check {
    match ahead {
        Seen::Found(seconds) => {
            let said = format!("differs from this machine's by {seconds} s");
            let status = match seconds.unsigned_abs() {
                0..WARN_SKEW_SECONDS => Status::Ok,
                WARN_SKEW_SECONDS..FAIL_SKEW_SECONDS => Status::Warn,
                _ => Status::Fail,
            };
            let command = if status == Status::Ok {
                ""
            } else {
                "timedatectl   # there and here: tokens and certificates have times"
            };
            check(name, status, said, command)
        }
        Seen::Absent => skipped(name, "the answer carried no date"),
        Seen::Unknown(why) => skipped(name, why),
    }
}

/// Whether injection has made the pod.
pub(super) fn is_injected(pod: &Value) -> bool {
    ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer).and_then(Value::as_array))
        .flatten()
        .any(|container| text(container, "/name") == "vouchsafe-sidecar")
}

pub(super) fn webhooks(configuration: &Value) -> impl Iterator<Item = &Value> {
    configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A Lease is renewed every 3 s and taken over after 15 s.
const LEASE_SECONDS: i64 = 60;
/// A ReplicaSet tries again after 16 minutes at the latest, and events live for an hour.
const RECENT_SECONDS: u64 = 3600;
/// Dates are told in whole seconds and travel; less than this says nothing.
const WARN_SKEW_SECONDS: u64 = 10;
/// The leeway of token checks is about a minute.
const FAIL_SKEW_SECONDS: u64 = 60;
