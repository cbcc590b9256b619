//! Scenarios: what is refused, and what does not depend on us.

use super::objects;
use super::outcome::{Failure, Outcome, ensure};
use super::process::{QUICK, until};
use super::starts::START;
use super::world::{WEBHOOKS, World};

/// A pod that asks for a Grant that is not there: `kubectl apply` says what, where and how to fix it.
pub(crate) fn a_refusal_names_annotation_value_and_fix(world: &mut World) -> Outcome<String> {
    let pod = objects::pod("apps", "refused", "wbe", &objects::spec("web", &["sleep"]));
    let answer = world.cluster.try_apply(&[pod])?;
    ensure(!answer.ok, || "the pod was admitted".to_owned())?;
    for wanted in ["vouchsafe-apps.vouchsafe.dev", objects::ANNOTATION, "wbe", "web"] {
        ensure(answer.err.contains(wanted), || format!("the refusal lacks '{wanted}': {}", answer.err))?;
    }
    let line = answer.err.lines().find(|line| line.contains("wbe")).unwrap_or_default();
    let from = line.find("denied the request").unwrap_or_default();
    Ok(line.get(from..).unwrap_or_default().trim().to_owned())
}

/// A Deployment whose pods would be refused is accepted, and `kubectl apply` says at once what will go wrong.
pub(crate) fn a_workload_is_warned_about(world: &mut World) -> Outcome<String> {
    let ca = std::fs::read_to_string(world.path("pki/ca.crt"))?;
    world.cluster.apply(&[objects::warning_configuration("apps", WEBHOOKS[0].port, &ca)])?;
    let mut deployment = objects::deployment("apps", "web", &["sleep"]);
    deployment["metadata"]["name"] = "warned".into();
    deployment["spec"]["template"]["metadata"]["annotations"][objects::ANNOTATION] = "wbe".into();
    let answer = until("kubectl apply warns", QUICK, || {
        let input = deployment.to_string();
        let answer = world.cluster.try_kubectl(&["apply", "--dry-run=server", "-f", "-"], &input)?;
        ensure(answer.err.contains("Warning: "), || format!("no warning: {}{}", answer.out, answer.err))?;
        Ok(answer)
    })?;
    ensure(answer.ok, || format!("the Deployment was refused: {}", answer.err))?;
    for wanted in [objects::ANNOTATION, "wbe", "does not exist", "web"] {
        ensure(answer.err.contains(wanted), || format!("the warning lacks '{wanted}': {}", answer.err))?;
    }
    Ok(answer.err.trim().to_owned())
}

/// With the webhook's process gone, pods that ask for nothing start, and pods that ask are refused with its name.
pub(crate) fn only_pods_that_ask_depend_on_the_webhook(world: &mut World) -> Outcome<String> {
    let mut webhook = world.webhooks.remove("apps").ok_or_else(|| Failure("no webhook runs".to_owned()))?;
    webhook.kill();
    let bare = world.cluster.try_apply(&[objects::bare_pod("apps", "bare")]);
    let asking = world.cluster.try_apply(&[objects::pod("apps", "orphan", "web", &objects::spec("web", &["sleep"]))]);
    if let Some(webhook) = WEBHOOKS.iter().find(|webhook| webhook.namespace == "apps") {
        world.start_webhook(webhook)?;
    }
    bare?.good("a pod that asks for nothing")?;
    let asking = asking?;
    ensure(!asking.ok && asking.err.contains("vouchsafe-apps.vouchsafe.dev"), || {
        format!("a pod that asks: {}", asking.err)
    })?;
    let pod = world.cluster.await_ready("apps", "bare", START)?;
    let containers = pod.0["spec"]["initContainers"].is_null() && pod.0["spec"]["containers"][1].is_null();
    ensure(containers, || "the pod that asks for nothing got something".to_owned())?;
    Ok("the API server's error names the webhook".to_owned())
}
