//! Scenarios: unusual pods run as usual.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vouchsafe_policies::GrantSet;

use super::examples::expected;
use super::world::{Installation, START};
use crate::smoke::objects::{self, ANNOTATION};
use crate::smoke::outcome::{Failure, Outcome, because, ensure};
use crate::smoke::process::until;

/// A namespace that enforces Pod Security restricted: our container meets it by itself.
pub(crate) fn restricted(installation: &mut Installation) -> Outcome<String> {
    let pod = pod("restricted");
    let (started, _) = installation.start(&pod)?;
    finds_its_files(installation, &started)?;
    Ok("admitted by Pod Security and running".to_owned())
}

/// Requests equal to limits before injection are so after it.
pub(crate) fn guaranteed(installation: &mut Installation) -> Outcome<String> {
    let mut pod = pod("guaranteed");
    let both = json!({"cpu": "50m", "memory": "32Mi"});
    pod["spec"]["containers"][0]["resources"] = json!({"requests": both, "limits": both});
    let (started, _) = installation.start(&pod)?;
    let class = &started["status"]["qosClass"];
    ensure(class == "Guaranteed", || format!("its class is {class}"))?;
    finds_its_files(installation, &started)?;
    Ok("class Guaranteed".to_owned())
}

/// A namespace whose quota counts requests and memory limits: our container says what it needs.
pub(crate) fn under_quota(installation: &mut Installation) -> Outcome<String> {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"namespace": "quota", "name": "counted"},
        "spec": {"hard": {"requests.cpu": "1", "requests.memory": "512Mi", "limits.memory": "1Gi", "pods": "3"}},
    });
    installation.cluster.apply(&[quota])?;
    let mut pod = pod("counted");
    pod["metadata"]["namespace"] = json!("quota");
    pod["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}});
    let (started, _) = installation.start(&pod)?;
    finds_its_files(installation, &started)?;
    let used = installation.cluster.object("resourcequota", "quota", "counted")?["status"]["used"].clone();
    ensure(used["requests.cpu"] != "10m" && used["requests.cpu"].is_string(), || {
        format!("the sidecar is not counted: {used}")
    })?;
    Ok(format!("used {used}"))
}

/// An autoscaler by processor use computes nothing for a pod that has a container without request.
pub(crate) fn autoscaled(installation: &mut Installation) -> Outcome<String> {
    let mut deployment = objects::deployment("odd", "scaled", &[]);
    deployment["spec"]["template"]["metadata"]["annotations"][ANNOTATION] = json!("odd");
    deployment["spec"]["template"]["spec"] = pod("scaled")["spec"].clone();
    deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "10m"}});
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"namespace": "odd", "name": "scaled"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"},
            "minReplicas": 1, "maxReplicas": 2,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    });
    installation.cluster.apply(&[deployment, scaler])?;
    let pod = until("the Deployment's pod is ready", START, || {
        let text = installation.cluster.kubectl(&["-n", "odd", "get", "pods", "-l", "app=scaled", "-o", "json"])?;
        let pods: Value = serde_json::from_str(&text)?;
        let pod = pods["items"][0].clone();
        let ready = crate::smoke::cluster::Pod(pod.clone()).is_ready();
        if ready { Ok(pod) } else { because(pod["status"].to_string()) }
    })?;
    let lists = ["containers", "initContainers"].map(|list| pod["spec"][list].as_array().cloned().unwrap_or_default());
    let running: Vec<Value> = lists.into_iter().flatten().collect();
    let lacking: Vec<&Value> =
        running.iter().filter(|one| !one["resources"]["requests"]["cpu"].is_string()).map(|one| &one["name"]).collect();
    ensure(running.len() == 2 && lacking.is_empty(), || {
        format!("containers without a processor request: {lacking:?}")
    })?;
    installation.cluster.kubectl(&["-n", "odd", "delete", "deployment/scaled", "hpa/scaled", "--wait=false"])?;
    Ok("every container of the pod has a processor request".to_owned())
}

/// Users that a platform assigns, without a group that reaches the files: readable all the same, and the author is told how.
pub(crate) fn arbitrary_user(installation: &mut Installation) -> Outcome<String> {
    let mut same = pod("anyuid");
    same["spec"]["securityContext"] =
        json!({"runAsNonRoot": true, "runAsUser": 1_000_690_000, "seccompProfile": {"type": "RuntimeDefault"}});
    let (started, _) = installation.start(&same)?;
    let own_modes = finds_its_files(installation, &started)?;
    // The reader's user is unknown: it comes from its image.
    let mut unknown = pod("unknown");
    unknown["spec"]["securityContext"] = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    unknown["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] = json!(true);
    unknown["spec"]["containers"][0]["image"] = json!("localhost/vouchsafe-app:user");
    let (_, warning) = installation.dry_run(&unknown).map(|answer| (answer.ok, answer.err))?;
    ensure(warning.contains("Warning: vouchsafe") && warning.contains("fsGroup"), || {
        format!("no warning that names fsGroup: {warning}")
    })?;
    let told = warning.lines().find(|line| line.contains("fsGroup")).unwrap_or_default().trim().to_owned();
    Ok(format!("modes {own_modes:?}; told: {told}"))
}

/// Faults of a workload are said at `kubectl apply`, not in a ReplicaSet's events.
pub(crate) fn warned(installation: &mut Installation) -> Outcome<String> {
    let mut told = Vec::new();
    let mut wrong = objects::deployment("odd", "warned", &[]);
    wrong["spec"]["template"]["spec"] = pod("warned")["spec"].clone();
    wrong["spec"]["template"]["metadata"]["annotations"][ANNOTATION] = json!("ood");
    told.push(("a Grant's name that is wrong", wrong.clone(), "ood"));
    let mut misplaced = wrong.clone();
    misplaced["spec"]["template"]["metadata"] = json!({"labels": {"app": "warned"}});
    misplaced["metadata"]["annotations"] = json!({ANNOTATION: "odd"});
    told.push(("an annotation in the wrong place", misplaced, ANNOTATION));
    let template = wrong["spec"]["template"].clone();
    let mut job = template.clone();
    job["spec"]["restartPolicy"] = json!("Never");
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"namespace": "odd", "name": "warned"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": job}}}});
    told.push(("a CronJob", cron, "ood"));
    for (what, object, wanted) in &told {
        let answer = installation.dry_run(object)?;
        ensure(answer.ok && answer.err.contains("Warning: ") && answer.err.contains(wanted), || {
            format!("{what}: ok {}, said: {}", answer.ok, answer.err)
        })?;
    }
    // The warning webhook is on nobody's way.
    let mut silent = objects::deployment("odd", "silent", &[]);
    silent["spec"]["template"]["spec"] = pod("silent")["spec"].clone();
    silent["spec"]["template"]["metadata"]["annotations"] = json!({});
    let answer = installation.dry_run(&silent)?;
    ensure(answer.ok && !answer.err.contains("vouchsafe"), || {
        format!("a workload that asks for nothing: {}", answer.err)
    })?;
    Ok(format!("{} kinds of fault", told.len()))
}

/// A pod of namespace `odd` that meets Pod Security restricted.
pub(crate) fn pod(name: &str) -> Value {
    objects::pod("odd", name, "odd", &objects::restricted_spec("odd", &["/app", "sleep"]))
}

/// That the app found at its first instruction what OpenBao holds; gives the files' modes.
pub(crate) fn finds_its_files(installation: &Installation, pod: &Value) -> Outcome<BTreeMap<String, String>> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let grants = GrantSet::read_folder(&installation.repository.join("tests/install/grants"));
    let grants = grants.map_err(|faults| Failure(format!("{} faults in tests/install/grants", faults.len())))?;
    let grant = grants.iter().find(|grant| grant.namespace.as_str() == namespace);
    let expected = expected(installation, grant.ok_or_else(|| Failure(format!("no Grant in {namespace}")))?)?;
    let block = installation.first_block(namespace, name, "app")?;
    ensure(block.files == expected, || format!("{namespace}/{name} found {:?} instead of {expected:?}", block.files))?;
    Ok(block.modes)
}
