//! From facts to one cause and one command. Pure.
//!
//! From the outside in: is there a pod; did it ask; was it injected; was it placed, its images pulled, its volumes mounted;
//! what did our container say last; and only then what git and Vault add to that. The first thing that explains the state is
//! the cause: what follows from it is not told.

use serde_json::Value;
use vouchsafe_model::text::quoted;

use super::explain::explain;
use super::facts::{Facts, Verdict, annotation, asks, template, text};

/// Finds the cause.
pub(crate) fn judge(facts: &Facts) -> Verdict {
    match &facts.pod {
        Some(pod) => of_pod(facts, pod),
        None => of_owners(facts),
    }
}

/// No pod: what should have made it, and why it could not.
fn of_owners(facts: &Facts) -> Verdict {
    let Some(owner) = facts.owners.first() else {
        return verdict(
            format!("there is no pod or workload {} in namespace {}", facts.name, facts.namespace),
            format!("kubectl -n {} get pods", facts.namespace),
            "the API server",
        );
    };
    let what = format!("{} {}", kind(owner), text(owner, "/metadata/name"));
    if let Some(found) = refused(facts) {
        return found;
    }
    if owner.pointer("/spec/replicas").and_then(Value::as_i64) == Some(0) {
        return verdict(
            format!("{what} is scaled to 0, so it has no pod"),
            format!("kubectl -n {} scale {what} --replicas=1", facts.namespace),
            "the workload",
        );
    }
    if let Some(found) = not_asked(facts) {
        return found;
    }
    verdict(
        format!(
            "{what} has no pod and no event says why; its controller has not got to it yet, or the events are gone"
        ),
        format!("kubectl -n {} describe {what}", facts.namespace),
        "the workload",
    )
}

/// The API server refused to create pods: its own words are in the owners' events.
fn refused(facts: &Facts) -> Option<Verdict> {
    let event = facts.events.iter().find(|event| event.reason == "FailedCreate")?;
    let (message, seen) = (event.message.as_str(), format!("events of the {}", event.kind));
    let namespace = &facts.namespace;
    let found = |code: Option<&str>, cause: String, command: String| {
        Some(Verdict { is_fine: false, code: code.map(str::to_owned), cause, command, seen: seen.clone() })
    };
    if message.contains("failed calling webhook") && message.contains(WEBHOOK) {
        return found(
            Some(HEADING_WEBHOOK),
            format!(
                "the API server could not ask the webhook, so it refused the pod: {}",
                after(message, "failed calling webhook")
            ),
            "vouchsafe doctor".to_owned(),
        );
    }
    if message.contains("admission webhook") && message.contains(WEBHOOK) {
        let reason = after(message, "denied the request:");
        let command = missing_grant(facts)
            .unwrap_or_else(|| "vouchsafe explain FILE --policies GRANTS   # with the workload's manifest".to_owned());
        return found(code_in(message).as_deref(), format!("the webhook refused the pod: {reason}"), command);
    }
    if message.contains("ValidatingAdmissionPolicy") && message.contains("vouchsafe") {
        return found(
            None,
            format!(
                "an admission policy of Vouchsafe refused the pod, since it was not injected: the webhook configuration is gone or \
                 ignores failures ({})",
                after(message, "denied request:")
            ),
            "vouchsafe doctor".to_owned(),
        );
    }
    if message.contains("exceeded quota") {
        return found(
            None,
            format!("the namespace's quota has no room for the pod: {}", after(message, "exceeded quota:")),
            format!("kubectl -n {namespace} describe resourcequota"),
        );
    }
    if message.contains("violates PodSecurity") {
        return found(
            None,
            format!("Pod Security refused the pod: {}", after(message, "violates PodSecurity")),
            format!("kubectl get namespace {namespace} --show-labels"),
        );
    }
    found(
        None,
        format!("the API server refused the pod: {}", shown(message)),
        format!("kubectl -n {namespace} get events"),
    )
}

/// The command that shows the Grants, where one that is asked for is not there.
fn missing_grant(facts: &Facts) -> Option<String> {
    facts.grants.as_ref()?;
    facts
        .wanted()
        .iter()
        .any(|name| facts.grant(name).is_none())
        .then(|| format!("kubectl -n {} get grants", facts.namespace))
}

/// The annotation is not where it counts, or is nowhere.
fn not_asked(facts: &Facts) -> Option<Verdict> {
    let is_asked = match (&facts.pod, facts.owners.first().and_then(|owner| template(owner))) {
        (Some(pod), _) => asks(pod) || is_injected(pod),
        (None, Some(template)) => asks(template),
        (None, None) => true,
    };
    if is_asked {
        return None;
    }
    if let Some(owner) = facts.owners.iter().find(|owner| template(owner).is_some_and(asks)) {
        return Some(verdict(
            format!(
                "the pod is older than the annotation: the template of {} asks for secrets by now, this pod does not",
                kind(owner)
            ),
            format!("kubectl -n {} rollout restart {}", facts.namespace, reference(owner)),
            "the pod's annotations and its owner's template",
        ));
    }
    if let Some(owner) = facts.owners.iter().find(|owner| asks(owner)) {
        let value = annotation(owner, super::facts::INJECT).unwrap_or("GRANT");
        return Some(verdict(
            format!(
                "the annotation stands on the {} itself, where it does nothing; it belongs into spec.template.metadata.annotations",
                kind(owner)
            ),
            format!(
                "kubectl -n {} patch {} --type merge -p '{{\"spec\":{{\"template\":{{\"metadata\":{{\"annotations\":{{\"vouchsafe.dev/inject\":{}}}}}}}}}}}'",
                facts.namespace,
                reference(owner),
                quoted(value)
            ),
            "the workload's annotations",
        ));
    }
    let owner = facts.owners.last().map_or_else(|| format!("pod/{}", facts.name), reference);
    Some(verdict(
        "the pod asks for no secrets: it has no annotation vouchsafe.dev/inject".to_owned(),
        format!("kubectl -n {} get {owner} -o yaml   # add it to the pod template", facts.namespace),
        "the pod's annotations",
    ))
}

fn of_pod(facts: &Facts, pod: &Value) -> Verdict {
    not_asked(facts)
        .or_else(|| not_injected(facts, pod))
        .or_else(|| our_container(facts, pod))
        .or_else(|| not_placed(facts, pod))
        .or_else(|| not_pulled(facts, pod))
        .or_else(|| not_mounted(facts))
        .unwrap_or_else(|| running(facts, pod))
}

fn not_injected(facts: &Facts, pod: &Value) -> Option<Verdict> {
    if is_injected(pod) {
        return None;
    }
    let restart = match facts.owners.last() {
        Some(owner) if kind(owner) != "Job" => {
            format!("kubectl -n {} rollout restart {}", facts.namespace, reference(owner))
        }
        _ => format!("kubectl -n {} delete pod {}   # and create it again", facts.namespace, facts.name),
    };
    Some(verdict(
        "the pod asks for secrets but was not injected: it was annotated after its creation, or created while the webhook \
         configuration was gone ('vouchsafe doctor' tells which)"
            .to_owned(),
        restart,
        "the pod's containers",
    ))
}

/// What our container said last, or why it has not said anything.
fn our_container(facts: &Facts, pod: &Value) -> Option<Verdict> {
    for status in statuses(pod).filter(|status| OURS.contains(&text(status, "/name"))) {
        let now = status.pointer("/state/terminated");
        let is_up = status.get("ready") == Some(&Value::Bool(true))
            || now.is_some_and(|end| end.get("exitCode") == Some(&Value::from(0)));
        let last = now.or_else(|| status.pointer("/lastState/terminated"));
        let Some(last) = last.filter(|_| !is_up) else { continue };
        let message = text(last, "/message");
        if let Some(code) = code_in(message) {
            let seen = format!("termination message of {}", text(status, "/name"));
            return Some(explain(facts, &code, message, seen));
        }
        if text(last, "/reason") == "OOMKilled" {
            return Some(verdict(
                "our sidecar was killed because it used more memory than its limit: its secrets are larger than when the pod was \
                 made"
                    .to_owned(),
                format!("kubectl -n {} delete pod {}   # the limit is computed anew", facts.namespace, facts.name),
                "the container's last state",
            ));
        }
    }
    None
}

fn not_placed(facts: &Facts, pod: &Value) -> Option<Verdict> {
    let scheduled = pod
        .pointer("/status/conditions")
        .and_then(Value::as_array)?
        .iter()
        .find(|condition| text(condition, "/type") == "PodScheduled" && text(condition, "/status") == "False")?;
    Some(verdict(
        format!("no node takes the pod yet: {}", shown(text(scheduled, "/message"))),
        format!("kubectl -n {} describe pod {}", facts.namespace, facts.name),
        "the pod's conditions",
    ))
}

fn not_pulled(facts: &Facts, pod: &Value) -> Option<Verdict> {
    let status = statuses(pod).find(|status| PULL.contains(&text(status, "/state/waiting/reason")))?;
    let (name, image) = (text(status, "/name"), text(status, "/image"));
    let whose = if OURS.contains(&name) { "the sidecar's image" } else { "an image of the app" };
    let message = text(status, "/state/waiting/message");
    let command = if OURS.contains(&name) {
        format!(
            "kubectl -n {} get pod {} -o jsonpath={{.spec.imagePullSecrets}}   # the namespace needs the registry's pull secret",
            facts.namespace, facts.name
        )
    } else {
        format!("kubectl -n {} describe pod {}", facts.namespace, facts.name)
    };
    Some(verdict(format!("{whose} cannot be pulled: {} {}", image, shown(message)), command, "the container's state"))
}

fn not_mounted(facts: &Facts) -> Option<Verdict> {
    let event = facts.events.iter().find(|event| event.kind == "Pod" && MOUNT.contains(&event.reason.as_str()))?;
    if statuses(facts.pod.as_ref()?).any(|status| status.pointer("/state/running").is_some()) {
        return None;
    }
    Some(verdict(
        format!("a volume of the pod cannot be mounted: {}", shown(&event.message)),
        format!("kubectl -n {} describe pod {}", facts.namespace, facts.name),
        "events of the pod",
    ))
}

fn running(facts: &Facts, pod: &Value) -> Verdict {
    let (namespace, name) = (&facts.namespace, &facts.name);
    let ours = statuses(pod).find(|status| text(status, "/name") == SIDECAR);
    let has_started = ours.is_some_and(|status| {
        status.get("started") == Some(&Value::Bool(true))
            || status.pointer("/state/terminated/exitCode") == Some(&Value::from(0))
    });
    if matches!(text(pod, "/status/phase"), "Succeeded") {
        return fine(
            "the pod had its secrets and has ended well".to_owned(),
            format!("kubectl -n {namespace} logs {name}"),
        );
    }
    let app = statuses(pod)
        .find(|status| !OURS.contains(&text(status, "/name")) && status.get("ready") != Some(&Value::Bool(true)));
    match (has_started, app) {
        (true, Some(app)) if is_crashing(app) => fine(
            format!("the secrets are there; container {} ends by itself: {}", text(app, "/name"), ending(app)),
            format!("kubectl -n {namespace} logs {name} -c {} --previous", text(app, "/name")),
        ),
        (true, Some(app)) if app.pointer("/state/running").is_none() => fine(
            format!("the secrets are there; container {} waits: {}", text(app, "/name"), waiting(app)),
            format!("kubectl -n {namespace} describe pod {name}"),
        ),
        (true, _) => fine(
            "the pod has its secrets".to_owned(),
            format!("kubectl -n {namespace} exec {name} -c {SIDECAR} -- {STATUS}"),
        ),
        (false, _) => Verdict {
            code: Some("E-GAT-003".to_owned()),
            ..verdict(
                "the sidecar is still at work: it has not finished and has not failed yet".to_owned(),
                format!("kubectl -n {namespace} logs {name} -c {SIDECAR}"),
                "the container's state",
            )
        },
    }
}

fn is_crashing(status: &Value) -> bool {
    text(status, "/state/waiting/reason") == "CrashLoopBackOff" || status.pointer("/state/terminated").is_some()
}

fn ending(status: &Value) -> String {
    let end = status.pointer("/lastState/terminated").or_else(|| status.pointer("/state/terminated"));
    let code = end.and_then(|end| end.get("exitCode")).map(ToString::to_string);
    format!("exit code {}", code.unwrap_or_else(|| "unknown".to_owned()))
}

fn waiting(status: &Value) -> String {
    let (reason, message) = (text(status, "/state/waiting/reason"), text(status, "/state/waiting/message"));
    shown(&[reason, message].join(" "))
}

/// Statuses of all containers, init containers first.
fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer).and_then(Value::as_array))
        .flatten()
}

/// Whether injection has made the pod.
fn is_injected(pod: &Value) -> bool {
    ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer).and_then(Value::as_array))
        .flatten()
        .any(|container| text(container, "/name") == SIDECAR)
}

/// The first code (`E-VLT-010`) of a text.
pub(super) fn code_in(message: &str) -> Option<String> {
    message
        .split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'))
        .find(|word| is_code(word))
        .map(str::to_owned)
}

fn is_code(word: &str) -> bool {
    let mut parts = word.split('-');
    let (begin, area, number, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    begin == Some("E")
        && rest.is_none()
        && area.is_some_and(|area| area.len() == 3 && area.bytes().all(|byte| byte.is_ascii_uppercase()))
        && number.is_some_and(|number| number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What follows `mark`, else everything; one line, bounded.
fn after(message: &str, mark: &str) -> String {
    shown(message.split_once(mark).map_or(message, |(_, rest)| rest).trim())
}

/// A text from the cluster, safe for terminals.
pub(crate) fn shown(message: &str) -> String {
    let one_line: String =
        message.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let cut: String = one_line.trim().chars().take(SHOWN_CHARS).collect();
    if cut.len() < one_line.trim().len() { format!("{cut}…") } else { cut }
}

fn kind(object: &Value) -> &str {
    match text(object, "/kind") {
        "" => "workload",
        kind => kind,
    }
}

/// `deployment/name`, as kubectl wants it.
fn reference(object: &Value) -> String {
    format!("{}/{}", kind(object).to_ascii_lowercase(), text(object, "/metadata/name"))
}

pub(super) fn verdict(cause: String, command: String, seen: &str) -> Verdict {
    Verdict { is_fine: false, code: None, cause, command, seen: seen.to_owned() }
}

fn fine(cause: String, command: String) -> Verdict {
    Verdict { is_fine: true, code: None, cause, command, seen: "the containers' states".to_owned() }
}

/// Our container that works for the whole life of the pod.
const SIDECAR: &str = "vouchsafe-sidecar";
/// All containers that injection makes.
const OURS: [&str; 3] = [SIDECAR, "vouchsafe-wait", "vouchsafe-init"];
/// Name of our webhook for pods, as the API server's errors carry it.
const WEBHOOK: &str = "pods.vouchsafe.dev";
/// Heading in docs/errors.md for a webhook that could not be asked.
const HEADING_WEBHOOK: &str = "failed calling webhook \"pods.vouchsafe.dev\"";
/// Why a container waits for its image.
const PULL: [&str; 4] = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];
/// Events of volumes.
const MOUNT: [&str; 2] = ["FailedMount", "FailedAttachVolume"];
/// Prints what the sidecar holds, without values.
const STATUS: &str = "/vouchsafe-sidecar status";
/// Longest text of others that is repeated.
const SHOWN_CHARS: usize = 400;
