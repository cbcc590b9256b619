//! Scenario: tokens of others, for others, or of the past, presented by pods made by hand after the pattern of an injected one.
//!
//! The webhook admits no such pod; whoever may create pods can write one all the same. What must hold then: OpenBao
//! refuses the login, no app starts, and the pod's status says so in words that help an honest owner.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::field::Field;
use crate::smoke::canary::base64;
use crate::smoke::cluster::sidecar_of;
use crate::smoke::objects;
use crate::smoke::outcome::{Failure, Outcome, because, ensure};
use crate::smoke::process::{QUICK, run, until};
use crate::smoke::starts::START;

/// Another service account, another namespace, another audience, an expired token, the token of a deleted pod.
pub(crate) fn a_foreign_identity_is_refused(field: &mut Field) -> Outcome<String> {
    let cluster = &field.world.cluster;
    let spec = objects::spec("web", &["sleep"]);
    cluster.apply(&["victim", "gone"].map(|name| objects::pod("hook", name, "web", &spec)))?;
    let victim = cluster.await_ready("hook", "victim", START)?.0;
    cluster.await_ready("hook", "gone", START)?;
    let deleted = token_of("gone")?;
    cluster.kubectl(&["-n", "hook", "delete", "pod", "gone", "--wait=true"])?;
    let forgotten = no_longer_vouched_for(field, &deleted)?;
    let expired = expired(field, &token_of("victim")?)?;
    let mut objects = vec![objects::service_account("other", "web")];
    objects.extend([("expired", &expired), ("deleted", &deleted)].map(|(name, token)| secret(name, token)));
    let pods = pods(&victim);
    objects.extend(pods.iter().map(|(_, pod)| pod.clone()));
    let (_, refused) = field.raft.logins();
    field.world.cluster.apply(&objects)?;
    let mut said = Vec::new();
    for (name, pod) in &pods {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let ended = until(&format!("pod {name} says why it waits"), START, || {
            let pod = field.world.cluster.pod(namespace, name)?;
            let ended = pod.container("vouchsafe-sidecar")["lastState"]["terminated"].clone();
            ensure(ended["message"].is_string(), || pod.state())?;
            Ok(ended)
        })?;
        let message = ended["message"].as_str().unwrap_or_default();
        let is_named = message.contains(CODE) && message.contains("run 'vouchsafe apply");
        ensure(is_named, || format!("pod {name} says, without {CODE} or the command to run: {message}"))?;
        ensure(ended["exitCode"].as_i64().is_some_and(|code| code != 0), || format!("pod {name}: {ended}"))?;
        let now = field.world.cluster.pod(namespace, name)?;
        ensure(now.container("app")["state"]["running"].is_null(), || format!("pod {name} runs: {}", now.state()))?;
        said.push(message.to_owned());
    }
    let more = field.raft.logins().1 - refused;
    ensure(more >= pods.len(), || format!("OpenBao has refused {more} logins of {} pods", pods.len()))?;
    for (name, pod) in &pods {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        field.world.cluster.kubectl(&["-n", namespace, "delete", "pod", name, "--wait=false"])?;
    }
    let unlike = said.iter().find(|message| !message.starts_with(CODE));
    ensure(unlike.is_none(), || {
        format!("a message does not start with {CODE}: {}", unlike.map_or("", String::as_str))
    })?;
    Ok(format!(
        "{} pods, {more} refused logins (the API server vouched for a deleted pod's token for {forgotten:.0?}); one says: {}",
        pods.len(),
        said.first().map_or("", |text| text.trim())
    ))
}

/// Waits until the API server reviews a token as invalid. It remembers its own verdicts for ten seconds, and whoever
/// asks it, as OpenBao does, gets the old one meanwhile.
fn no_longer_vouched_for(field: &Field, token: &str) -> Outcome<Duration> {
    let began = Instant::now();
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["vouchsafe"]},
    });
    let ask = ["create", "-o", "jsonpath={.status.authenticated}", "-f", "-"];
    until("the API server refuses a deleted pod's token", START, || {
        let answer = field.world.cluster.try_kubectl(&ask, &review.to_string())?.good("kubectl create TokenReview")?;
        ensure(answer != "true", || "it does not".to_owned())
    })?;
    Ok(began.elapsed())
}

/// Pods after the pattern of an injected one: name, and what differs.
fn pods(victim: &Value) -> Vec<(&'static str, Value)> {
    let copy = |namespace: &str, name: &str| {
        let mut spec = victim["spec"].clone();
        for field in ["nodeName", "serviceAccount"] {
            spec.as_object_mut().map(|spec| spec.remove(field));
        }
        drop_default_token(&mut spec);
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        })
    };
    let mut account = copy("hook", "other-account");
    account["spec"]["serviceAccountName"] = json!("steady");
    let namespace = copy("other", "other-namespace");
    let mut audience = copy("hook", "other-audience");
    if let Some(volume) = token_volume(&mut audience) {
        volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] = json!("https://elsewhere.example");
    }
    let from_secret = |name: &'static str, secret: &str| {
        let mut pod = copy("hook", name);
        if let Some(volume) = token_volume(&mut pod) {
            *volume = json!({"name": TOKEN_VOLUME, "secret": {"secretName": secret}});
        }
        (name, pod)
    };
    vec![
        ("other-account", account),
        ("other-namespace", namespace),
        ("other-audience", audience),
        from_secret("expired-token", "expired"),
        from_secret("deleted-pod", "deleted"),
    ]
}

fn token_volume(pod: &mut Value) -> Option<&mut Value> {
    let volumes = pod["spec"]["volumes"].as_array_mut()?;
    volumes.iter_mut().find(|volume| volume["name"] == TOKEN_VOLUME)
}

/// The API server adds its own token volume to every pod; a copy of it would not be accepted.
fn drop_default_token(spec: &mut Value) {
    let is_default = |value: &Value| value["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.retain(|volume| !is_default(volume));
    }
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.retain(|mount| !is_default(mount));
            }
        }
    }
}

fn secret(name: &str, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "hook", "name": name}, "stringData": {"token": token},
    })
}

/// The projected token of a pod's sidecar.
fn token_of(pod: &str) -> Outcome<String> {
    let process = sidecar_of(pod)?.process;
    Ok(fs::read_to_string(format!("/proc/{process}/root/vouchsafe/internal/token/token"))?)
}

/// The same token as `token`, signed by the cluster's own key, which expired an hour ago.
fn expired(field: &Field, token: &str) -> Outcome<String> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else { return because("a token has three parts") };
    let mut claims: Value = serde_json::from_slice(&decoded(claims)?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    for (claim, before) in [("iat", 2 * HOUR), ("nbf", 2 * HOUR), ("exp", HOUR)] {
        claims[claim] = json!(now - before);
    }
    let signed = format!("{header}.{}", url_safe(claims.to_string().as_bytes()));
    let key = field.world.cluster.work.join("pki/sa.key");
    let file = field.world.path("signed");
    fs::write(&file, &signed)?;
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign"]).arg(key).arg("-out").arg(field.world.path("signature")).arg(&file);
    run(&mut openssl, "", QUICK)?.good("openssl dgst")?;
    Ok(format!("{signed}.{}", url_safe(&fs::read(field.world.path("signature"))?)))
}

fn url_safe(bytes: &[u8]) -> String {
    base64(bytes).replace('+', "-").replace('/', "_").replace('=', "")
}

fn decoded(text: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|other| *other == letter);
        let value = value.and_then(|value| u32::try_from(value).ok());
        bits = bits << 6 | value.ok_or_else(|| Failure("a token's part is not base64url".to_owned()))?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.extend(u8::try_from(bits >> count & 0xff));
        }
    }
    Ok(bytes)
}

/// Vault refuses the login.
const CODE: &str = "E-VLT-011";
/// Volume of the sidecar's own token.
const TOKEN_VOLUME: &str = "vouchsafe-token";
/// RFC 4648 section 5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// In seconds.
const HOUR: u64 = Duration::from_secs(3600).as_secs();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_read_as_it_is_written() {
        for text in ["", "a", "ab", "abc", "{\"exp\": 1}", "\u{fc}\u{2764}"] {
            assert_eq!(decoded(&url_safe(text.as_bytes())).unwrap(), text.as_bytes());
        }
        assert!(decoded("a+b").is_err());
    }
}
