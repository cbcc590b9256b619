//! Scenarios: what stands behind the webhook when it, or its configuration, is not there.

use std::fs;

use serde_json::{Value, json};

use super::pods::{finds_its_files, pod};
use super::world::{Installation, START};
use crate::smoke::objects::{self, ANNOTATION};
use crate::smoke::outcome::{Failure, Outcome, because, ensure};
use crate::smoke::process::{QUICK, until};

/// An injected pod as it was stored, changed in one place, is refused with cause and fix.
pub(crate) fn policy_judges(installation: &mut Installation) -> Outcome<String> {
    let (stored, _) = installation.start(&pod("judged"))?;
    let copy = json!({
        "apiVersion": "v1", "kind": "Pod", "spec": stored["spec"],
        "metadata": {"name": "copy", "namespace": "odd", "annotations": stored["metadata"]["annotations"]},
    });
    let copy = without_host(copy);
    webhooks(installation, 0)?;
    ignore(installation)?;
    let mut judged = 0;
    let outcome = CHANGES.iter().try_for_each(|(what, change, wanted)| {
        let mut object = copy.clone();
        change(&mut object["spec"]);
        let answer = installation.dry_run(&object)?;
        judged += 1;
        if wanted.is_empty() {
            return ensure(answer.ok, || format!("{what}: {}", answer.err));
        }
        ensure(!answer.ok && answer.err.contains(wanted), || {
            format!("{what}: taken {}, said {}", answer.ok, answer.err)
        })
    });
    installation.install("upstream")?;
    outcome?;
    Ok(format!("{judged} changes of an injected pod"))
}

/// What is changed, how, and what the refusal says; empty where the pod stays good.
type Change = (&'static str, fn(&mut Value), &'static str);
const CHANGES: &[Change] = &[
    ("nothing", |_| {}, ""),
    ("the release before's image", |spec| sidecar(spec)["image"] = json!("localhost/vouchsafe-sidecar:before"), ""),
    ("no sidecar", |spec| spec["initContainers"] = json!([]), "has not injected it"),
    ("somebody's image", |spec| sidecar(spec)["image"] = json!("localhost/evil:dev"), "image of this installation"),
    (
        "a longer name",
        |spec| sidecar(spec)["image"] = json!("localhost/vouchsafe-sidecar-x:dev"),
        "image of this installation",
    ),
    (
        "another command",
        |spec| sidecar(spec)["command"] = json!(["/vouchsafe-sidecar", "status"]),
        "not what the webhook makes",
    ),
    ("no hook", |spec| sidecar(spec)["lifecycle"] = Value::Null, "nothing holds the app back"),
    (
        "another hook",
        |spec| sidecar(spec)["lifecycle"]["postStart"]["exec"]["command"] = json!(["/true"]),
        "nothing holds the app back",
    ),
    ("files on a disk", |spec| volume(spec, "vouchsafe-files-0")["emptyDir"] = json!({}), "not what the webhook makes"),
    ("state on a disk", |spec| volume(spec, "vouchsafe-state")["emptyDir"] = json!({}), "not what the webhook makes"),
    (
        "a token for the app",
        |spec| mount(spec, json!({"name": "vouchsafe-token", "mountPath": "/t", "readOnly": true})),
        "only our containers",
    ),
    (
        "files that the app may write",
        |spec| mount(spec, json!({"name": "vouchsafe-files-0", "mountPath": "/w"})),
        "only our containers",
    ),
];

fn sidecar(spec: &mut Value) -> &mut Value {
    &mut spec["initContainers"][0]
}

fn volume<'a>(spec: &'a mut Value, name: &str) -> &'a mut Value {
    let index = spec["volumes"].as_array().and_then(|all| all.iter().position(|one| one["name"] == name));
    &mut spec["volumes"][index.unwrap_or_default()]
}

fn mount(spec: &mut Value, mount: Value) {
    if let Some(mounts) = spec["containers"][0]["volumeMounts"].as_array_mut() {
        mounts.push(mount);
    }
}

/// What a scheduler has decided goes, so that the copy is a new pod.
fn without_host(mut pod: Value) -> Value {
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("nodeName");
    }
    pod
}

/// `kubectl debug`: the app may be looked into, the sidecar and its volumes may not.
pub(crate) fn ephemeral_containers(installation: &mut Installation) -> Outcome<String> {
    installation.start(&pod("debugged"))?;
    let add = |container: Value| {
        let patch = json!({"spec": {"ephemeralContainers": [container]}}).to_string();
        let arguments = [
            "-n",
            "odd",
            "patch",
            "pod",
            "debugged",
            "--subresource=ephemeralcontainers",
            "--type=strategic",
            "-p",
            &patch,
        ];
        installation.cluster.try_kubectl(&arguments, "")
    };
    let container = |name: &str| {
        json!({"name": name, "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["true"],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true}})
    };
    let mut mounting = container("mounting");
    mounting["volumeMounts"] = json!([{"name": "vouchsafe-state", "mountPath": "/x"}]);
    let mut joining = container("joining");
    joining["targetContainerName"] = json!("vouchsafe-sidecar");
    for (object, wanted) in [(mounting, "may not mount volumes"), (joining, "may not join vouchsafe-sidecar")] {
        let answer = add(object)?;
        ensure(!answer.ok && answer.err.contains(wanted), || format!("taken {}, said {}", answer.ok, answer.err))?;
    }
    let mut good = container("good");
    good["targetContainerName"] = json!("app");
    add(good)?.good("an ephemeral container beside the app")?;
    Ok("two refused, one beside the app admitted".to_owned())
}

/// With every replica gone: who asks for nothing starts, who asks is refused, by the API server or by the policy.
pub(crate) fn without_webhook(installation: &mut Installation) -> Outcome<String> {
    webhooks(installation, 0)?;
    let outcome = refusals(installation);
    // What git says comes back by an upgrade to the same release.
    installation.install("upstream")?;
    let refused = outcome?;
    let policy = installation.cluster.object("mutatingwebhookconfiguration", "", "vouchsafe")?;
    ensure(policy["webhooks"][0]["failurePolicy"] == "Fail", || "the upgrade has not brought Fail back".to_owned())?;
    let (started, _) = installation.start(&pod("afterwards"))?;
    finds_its_files(installation, &started)?;
    no_pod_is_bare(installation)?;
    Ok(refused)
}

fn refusals(installation: &Installation) -> Outcome<String> {
    let mut bare = pod("bare");
    bare["metadata"]["annotations"] = json!({});
    let (started, _) = installation.start(&bare)?;
    ensure(started["spec"]["initContainers"].is_null(), || "a pod that asks for nothing got something".to_owned())?;
    let asking = pod("asking");
    let gone = refused(installation, &asking, "failed calling webhook \"pods.vouchsafe.dev\"")?;
    let page = fs::read_to_string(installation.repository.join("docs/errors.md"))?;
    ensure(page.contains("## failed calling webhook \"pods.vouchsafe.dev\""), || {
        "docs/errors.md has no such heading".to_owned()
    })?;
    let policy = "this pod asks for secrets by annotation, but the webhook has not injected it";
    ignore(installation)?;
    let ignored = refused(installation, &asking, policy)?;
    // An annotation that only changes how secrets come asks too.
    let mut half = pod("half");
    half["metadata"]["annotations"] = json!({"vouchsafe.dev/files": "[]"});
    refused(installation, &half, policy)?;
    installation.cluster.kubectl(&["delete", "mutatingwebhookconfiguration", "vouchsafe"])?;
    refused(installation, &asking, policy)?;
    let mut excluded = asking.clone();
    excluded["metadata"]["namespace"] = json!("kube-system");
    excluded["spec"]["serviceAccountName"] = json!("default");
    let excluded = refused(installation, &excluded, policy)?;
    ensure(excluded.contains("kube-system"), || format!("the refusal does not name the namespace: {excluded}"))?;
    Ok(format!("{} | {}", shown(&gone, "failed calling"), shown(&ignored, "vouchsafe: ")))
}

/// The message of a refusal that must come; the API server follows configurations by a watch, so not always at once.
fn refused(installation: &Installation, pod: &Value, wanted: &str) -> Outcome<String> {
    let message = until(&format!("refused with '{wanted}'"), QUICK, || {
        let answer = installation.cluster.try_apply(std::slice::from_ref(pod))?;
        if answer.ok {
            // The one thing that may never be: said at once, not tried again.
            return Ok(None);
        }
        if answer.err.contains(wanted) { Ok(Some(answer.err)) } else { because(answer.err) }
    })?;
    message.ok_or_else(|| Failure(format!("a pod that asks was admitted bare; wanted: {wanted}")))
}

/// The beginning of what a refusal says from a word on.
fn shown<'a>(message: &'a str, from: &str) -> &'a str {
    let rest = message.get(message.find(from).unwrap_or_default()..).unwrap_or_default().trim();
    rest.split_at_checked(SHOWN_BYTES).map_or(rest, |(beginning, _)| beginning)
}

/// No pod of the cluster has our annotation and not our container.
pub(crate) fn no_pod_is_bare(installation: &Installation) -> Outcome<usize> {
    let list: Value = serde_json::from_str(&installation.cluster.kubectl(&["get", "pods", "-A", "-o", "json"])?)?;
    let asking = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|pod| pod["metadata"]["annotations"][ANNOTATION].is_string());
    let (mut whole, mut bare) = (0, Vec::new());
    for pod in asking {
        let inits = pod["spec"]["initContainers"].as_array();
        if inits.into_iter().flatten().any(|init| init["name"] == "vouchsafe-sidecar") {
            whole += 1;
        } else {
            bare.push(pod["metadata"]["name"].to_string());
        }
    }
    ensure(bare.is_empty() && whole > 0, || format!("admitted bare: {bare:?}, injected: {whole}"))?;
    Ok(whole)
}

/// Scales the webhook and waits until it is so.
fn webhooks(installation: &Installation, replicas: usize) -> Outcome {
    let count = format!("--replicas={replicas}");
    installation.cluster.kubectl(&["-n", "vouchsafe", "scale", "deployment/vouchsafe-webhook", &count])?;
    until("the webhook's pods are gone", START, || {
        let label = "app.kubernetes.io/component=webhook";
        let names = installation.cluster.kubectl(&["-n", "vouchsafe", "get", "pods", "-l", label, "-o", "name"])?;
        ensure(names.lines().count() == replicas, || names.clone())
    })
}

/// Somebody sets the webhook to Ignore; waits until the API server has heard of it.
fn ignore(installation: &Installation) -> Outcome {
    let patch = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]).to_string();
    installation.cluster.kubectl(&[
        "patch",
        "mutatingwebhookconfiguration",
        "vouchsafe",
        "--type=json",
        "-p",
        &patch,
    ])?;
    let asking = objects::pod("odd", "probe", "odd", &objects::restricted_spec("odd", &["/app", "sleep"]));
    until("the API server ignores the webhook", QUICK, || {
        let answer = installation.dry_run(&asking)?;
        ensure(answer.ok || answer.err.contains("ValidatingAdmissionPolicy"), || answer.err)
    })
}

/// What is shown of a message.
const SHOWN_BYTES: usize = 160;
