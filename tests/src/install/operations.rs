//! Scenarios: what people do with an installed chart, and what the controller does beside them.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::Installation;
use crate::smoke::outcome::{Outcome, because, ensure};
use crate::smoke::process::{tail, until};

/// `helm test`: webhook and broker answer over TLS, by their services' names, with the trust bundle's roots.
pub(crate) fn helm_test_passes(installation: &mut Installation) -> Outcome<String> {
    let arguments = ["test", "vouchsafe", "-n", "vouchsafe", "--logs", "--timeout", "90s"];
    let said = installation.helm.run(&installation.cluster, &arguments)?;
    let answered = said.matches("answers 200").count();
    ensure(said.contains("Succeeded") && answered == 3, || tail(&said, 20))?;
    Ok(format!("{answered} servers answered"))
}

/// The manifests in git, applied once more by the server in a dry run, change nothing of what the controller has filled in.
pub(crate) fn nothing_differs(installation: &mut Installation) -> Outcome<String> {
    let secret = installation.cluster.object("secret", "vouchsafe", "vouchsafe-webhook-tls")?;
    let trust = installation.cluster.object("configmap", "vouchsafe", "vouchsafe-trust")?;
    ensure(secret["data"]["tls.crt"].is_string() && trust["data"]["ca.crt"].is_string(), || {
        "the controller has not filled in its objects".to_owned()
    })?;
    for name in CONFIGURATIONS {
        ensure(!bundle(installation, name)?.is_empty(), || format!("{name} has no caBundle"))?;
    }
    let manifest =
        installation.helm.run(&installation.cluster, &["get", "manifest", "vouchsafe", "-n", "vouchsafe"])?;
    let file = installation.path("manifest.yaml");
    fs::write(&file, &manifest)?;
    let diff = ["diff", "--server-side", "--force-conflicts", "-f", &file.display().to_string()];
    let answer = installation.cluster.try_kubectl(&diff, "")?;
    ensure(answer.ok && answer.out.is_empty(), || format!("these differ:\n{}{}", tail(&answer.out, 60), answer.err))?;
    Ok(format!("{} objects", manifest.matches("\nkind: ").count()))
}

/// Emptied, and overwritten with somebody else's authority: good again within 5 s.
pub(crate) fn bundle_is_repaired(installation: &mut Installation) -> Outcome<String> {
    let foreign = installation.cluster.object("configmap", "vouchsafe", "vault-ca")?["data"]["ca.crt"].clone();
    let foreign = crate::smoke::canary::base64(foreign.as_str().unwrap_or_default().as_bytes());
    let mut times = Vec::new();
    for name in CONFIGURATIONS {
        let good = bundle(installation, name)?;
        for bad in ["", &foreign] {
            let patch =
                json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": bad}]).to_string();
            installation.cluster.kubectl(&[
                "patch",
                "mutatingwebhookconfiguration",
                name,
                "--type=json",
                "-p",
                &patch,
            ])?;
            let began = Instant::now();
            until(&format!("{name} is repaired"), REPAIR, || {
                if bundle(installation, name)? == good { Ok(()) } else { because("its caBundle is still wrong") }
            })?;
            times.push(began.elapsed().as_secs_f64());
        }
    }
    Ok(format!("seconds: {times:.1?}"))
}

/// The caBundle of a configuration's only webhook, in base64.
fn bundle(installation: &Installation, name: &str) -> Outcome<String> {
    let text = installation.cluster.kubectl(&["get", "mutatingwebhookconfiguration", name, "-o", "json"])?;
    let found: Value = serde_json::from_str(&text)?;
    Ok(found["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned())
}

/// Those of the chart.
const CONFIGURATIONS: [&str; 2] = ["vouchsafe", "vouchsafe-warn"];
/// What is promised.
const REPAIR: Duration = Duration::from_secs(5);
