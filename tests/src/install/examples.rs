//! Scenario: each of `deploy/examples` as each kind of workload, images replaced by stand-ins, everything else as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use vouchsafe_policies::{FileContent, Grant, GrantSet};

use super::world::{Installation, digest};
use crate::smoke::cluster::Pod;
use crate::smoke::objects::ANNOTATION;
use crate::smoke::outcome::{Failure, Outcome, because, ensure};
use crate::smoke::process::until;

/// Kinds of workloads and whether their pods end.
const KINDS: [(&str, bool); 5] =
    [("Deployment", false), ("StatefulSet", false), ("DaemonSet", false), ("Job", true), ("CronJob", true)];

/// One example as one kind.
struct Variant {
    object: Value,
    kind: &'static str,
    namespace: String,
    /// Selects its pods.
    selector: String,
    ends: bool,
}

/// All examples as all kinds at once: every pod runs or ends, and its first instruction found what OpenBao holds.
pub(crate) fn run_as_every_kind(installation: &mut Installation) -> Outcome<String> {
    let grants = GrantSet::read_folder(&installation.repository.join("policies/platform"));
    let grants = grants.map_err(|faults| Failure(format!("{} faults in policies/platform", faults.len())))?;
    let (mut variants, mut objects) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(installation.repository.join("deploy/examples"))? {
        let (beside, workload) = read(installation, &entry?.path().display().to_string())?;
        objects.extend(beside);
        variants.extend(KINDS.map(|(kind, ends)| variant(&workload, kind, ends)));
    }
    objects.extend(variants.iter().map(|variant| variant.object.clone()));
    installation.cluster.apply(&objects)?;
    let mut files = 0;
    for variant in &variants {
        let pod = finished(installation, variant)?;
        files += found(installation, variant, &pod, &grants)?;
    }
    let crons: Vec<_> = variants.iter().filter(|variant| variant.kind == "CronJob").collect();
    for cron in crons {
        let name = cron.object["metadata"]["name"].as_str().unwrap_or_default();
        installation.cluster.kubectl(&["-n", &cron.namespace, "delete", "cronjob", name, "--wait=false"])?;
    }
    Ok(format!("{} workloads, {files} files equal to what OpenBao holds", variants.len()))
}

/// What a file of examples holds beside its workload, and the workload.
fn read(installation: &Installation, file: &str) -> Outcome<(Vec<Value>, Value)> {
    let text = installation.cluster.kubectl(&["create", "--dry-run=client", "-o", "json", "-f", file])?;
    let mut objects = Vec::new();
    for document in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        let document = document?;
        match document["items"].as_array() {
            Some(items) => objects.extend(items.iter().cloned()),
            None => objects.push(document),
        }
    }
    let (workloads, beside): (Vec<Value>, Vec<Value>) =
        objects.into_iter().partition(|object| object["spec"]["template"].is_object());
    match <[Value; 1]>::try_from(workloads) {
        Ok([workload]) => Ok((beside, workload)),
        Err(others) => because(format!("{file} holds {} workloads", others.len())),
    }
}

/// The workload as another kind; as its own kind nothing but its images is replaced.
fn variant(workload: &Value, kind: &'static str, ends: bool) -> Variant {
    let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let own = workload["kind"] == kind;
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let mut selector: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("")))
        .collect();
    selector.push(if own { format!("!{MARK}") } else { format!("{MARK}={kind}") });
    let mut object = if own { workload.clone() } else { rewrapped(workload, kind, ends) };
    let spec = if kind == "CronJob" { &mut object["spec"]["jobTemplate"]["spec"] } else { &mut object["spec"] };
    stand_in(&mut spec["template"]["spec"], if ends { "job" } else { "dev" });
    Variant { object, kind, namespace, selector: selector.join(","), ends }
}

fn rewrapped(workload: &Value, kind: &str, ends: bool) -> Value {
    let mut template = workload["spec"]["template"].clone();
    template["metadata"]["labels"][MARK] = json!(kind);
    let pod = &mut template["spec"];
    pod["restartPolicy"] = json!(if ends { "Never" } else { "Always" });
    // What a StatefulSet claims, the others have in the pod.
    for claim in workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        if let Some(volumes) = pod["volumes"].as_array_mut() {
            volumes.push(json!({"name": claim["metadata"]["name"], "emptyDir": {}}));
        }
    }
    let mut spec = json!({"template": template, "selector": {"matchLabels": template["metadata"]["labels"]}});
    match kind {
        "StatefulSet" => spec["serviceName"] = workload["metadata"]["name"].clone(),
        "Job" | "CronJob" => {
            spec = json!({"template": template, "backoffLimit": 0});
        }
        _ => {}
    }
    if kind == "CronJob" {
        spec = json!({"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": spec}});
    }
    let version = if ends { "batch/v1" } else { "apps/v1" };
    let name = format!("{}-{}", workload["metadata"]["name"].as_str().unwrap_or_default(), kind.to_lowercase());
    json!({
        "apiVersion": version, "kind": kind, "spec": spec,
        "metadata": {"name": name, "namespace": workload["metadata"]["namespace"]},
    })
}

fn stand_in(pod: &mut Value, tag: &str) {
    for list in ["containers", "initContainers"] {
        for container in pod[list].as_array_mut().into_iter().flatten() {
            container["image"] = json!(format!("localhost/vouchsafe-standin:{tag}"));
        }
    }
}

/// Waits until a pod of the variant is ready, or has ended well.
fn finished(installation: &Installation, variant: &Variant) -> Outcome<Pod> {
    let what = format!("{} {}/{}", variant.kind, variant.namespace, variant.object["metadata"]["name"]);
    until(&what, WORKLOAD, || {
        let text = installation.cluster.kubectl(&[
            "-n",
            &variant.namespace,
            "get",
            "pods",
            "-l",
            &variant.selector,
            "-o",
            "json",
        ])?;
        let pods: Value = serde_json::from_str(&text)?;
        let pod = Pod(pods["items"][0].clone());
        let well = if variant.ends { pod.0["status"]["phase"] == "Succeeded" } else { pod.is_ready() };
        if well { Ok(pod) } else { because(pod.state()) }
    })
}

/// Compares what the pod's readers found at their first instruction; gives the number of files.
fn found(installation: &Installation, variant: &Variant, pod: &Pod, grants: &GrantSet) -> Outcome<usize> {
    let name = pod.0["metadata"]["name"].as_str().unwrap_or_default();
    let inject = pod.0["metadata"]["annotations"][ANNOTATION].as_str().unwrap_or_default();
    let grant =
        grants.iter().find(|grant| grant.name.as_str() == inject && grant.namespace.as_str() == variant.namespace);
    let grant = grant.ok_or_else(|| Failure(format!("no Grant {}/{inject}", variant.namespace)))?;
    let expected = expected(installation, grant)?;
    let restarts = pod.restarts("vouchsafe-sidecar");
    ensure(restarts == 0, || format!("{}/{name}: {}", variant.namespace, pod.state()))?;
    for container in &grant.deliver.containers {
        let block = installation.first_block(&variant.namespace, name, container.as_str())?;
        let files: BTreeMap<String, String> = block
            .files
            .into_iter()
            .map(|(path, digest)| (path.rsplit('/').next().unwrap_or_default().to_owned(), digest))
            .collect();
        ensure(files == expected, || {
            format!(
                "{} {}/{name}: {container} found {files:?} instead of {expected:?}",
                variant.kind, variant.namespace
            )
        })?;
    }
    Ok(expected.len() * grant.deliver.containers.len())
}

/// SHA-256 of each file of a Grant, made by hand from what OpenBao holds now: not by our template engine.
pub(crate) fn expected(installation: &Installation, grant: &Grant) -> Outcome<BTreeMap<String, String>> {
    let mut stored = BTreeMap::new();
    for secret in &grant.secrets {
        let values = installation.stored(&format!("{}/{}", secret.mount, secret.path))?;
        stored.extend(values.into_iter().map(|(key, value)| (format!("{}.{key}", secret.name), value)));
    }
    let mut files = BTreeMap::new();
    for file in &grant.deliver.files {
        let text = match &file.content {
            FileContent::Key { secret, key } => stored.get(&format!("{secret}.{key}")).cloned().unwrap_or_default(),
            FileContent::Template { text, .. } => filled(text, &stored),
        };
        files.insert(file.name.as_str().to_owned(), digest(&text)?);
    }
    Ok(files)
}

/// The examples' templates hold names alone, with `html` (which changes no letter or digit) or `toJSON` (which adds quotes).
fn filled(template: &str, stored: &BTreeMap<String, String>) -> String {
    let mut text = template.to_owned();
    for (name, value) in stored {
        text = text.replace(&format!("{{{{ .{name} | toJSON }}}}"), &format!("\"{value}\""));
        text = text.replace(&format!("{{{{ .{name} | html }}}}"), value);
        text = text.replace(&format!("{{{{ .{name} }}}}"), value);
    }
    text
}

/// Label of pods that belong to an example as another kind.
const MARK: &str = "suite-kind";
/// Twenty-five workloads start at once on two cores, and a CronJob waits for the next minute.
const WORKLOAD: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_the_examples_are_filled_without_our_engine() {
        let stored = BTreeMap::from([("a.b".to_owned(), "x".to_owned())]);
        assert_eq!(filled("{{ .a.b }} {{ .a.b | toJSON }} {{ .a.b | html }}", &stored), "x \"x\" x");
    }

    #[test]
    fn as_its_own_kind_only_images_of_an_example_change() {
        let job = json!({"kind": "Job", "metadata": {"name": "j", "namespace": "ci"},
            "spec": {"backoffLimit": 3, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"image": "x"}]}}}});
        let own = variant(&job, "Job", true);
        assert_eq!(own.selector, "a=b,!suite-kind");
        assert_eq!(own.object["spec"]["backoffLimit"], 3);
        assert_eq!(own.object["spec"]["template"]["spec"]["containers"][0]["image"], "localhost/vouchsafe-standin:job");
        let cron = variant(&job, "CronJob", true);
        assert_eq!(cron.object["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"], "Never");
    }
}
