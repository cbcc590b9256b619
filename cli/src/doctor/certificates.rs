//! The checks of certificates: as clients verify them, with rustls. Pure.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use vouchsafe_controller::authority::Certificate;
use vouchsafe_controller::authority::leaf::accepts;

use super::checks::{check, is_injected, skipped, text, webhooks};
use super::facts::{Check, Facts, Probe, Seen, Status};

/// Whether the API server, which trusts the caBundle, accepts what the webhook shows.
pub(super) fn bundle(facts: &Facts) -> Check {
    let name = "caBundle";
    let Seen::Found(configuration) = &facts.pods_configuration else {
        return skipped(name, "there is no webhook configuration to look at");
    };
    let bundles = vouchsafe_controller::bundles(configuration);
    let Some(bundle) = bundles.first().filter(|bundle| !bundle.is_empty()) else {
        return check(
            name,
            Status::Fail,
            "is empty: the API server trusts no webhook; the controller fills it within seconds where it runs",
            format!("kubectl -n {} logs deployment/{}-controller", facts.installation, facts.release),
        );
    };
    if matches!(&facts.probe, Probe::Admitted(pod) if is_injected(pod)) {
        return check(name, Status::Ok, "the API server accepted the webhook's certificate in the dry run", "");
    }
    let host = webhooks(configuration).next().map(host).unwrap_or_default();
    let serving = facts.certificates.iter().find(|(secret, _)| secret.ends_with("webhook-tls"));
    match serving {
        Some((secret, Seen::Found(pem))) => match accepts(bundle, pem, &host, facts.now) {
            Ok(()) => check(name, Status::Ok, format!("vouches for the certificate in Secret {secret}"), ""),
            Err(problem) => check(
                name,
                Status::Fail,
                format!("does not vouch for the certificate in Secret {secret} ({problem})"),
                format!("kubectl -n {} logs deployment/{}-controller", facts.installation, facts.release),
            ),
        },
        Some((_, Seen::Unknown(why))) => skipped(name, format!("the serving certificate was not read: {why}")),
        Some((secret, Seen::Absent)) => skipped(name, format!("Secret {secret} has no certificate")),
        None => skipped(name, "no serving certificate was looked for"),
    }
}

/// Whether programs and the API server trust the same roots.
pub(super) fn trust(facts: &Facts) -> Check {
    let name = "trust bundle";
    let bundles = match &facts.pods_configuration {
        Seen::Found(configuration) => vouchsafe_controller::bundles(configuration),
        Seen::Absent | Seen::Unknown(_) => return skipped(name, "there is no caBundle to compare it with"),
    };
    match &facts.trust {
        Seen::Found(trust) if bundles.iter().all(|bundle| bundle == trust) => check(
            name,
            Status::Ok,
            format!("{} roots, the same as in the caBundle", Certificate::all_from_pem(trust).len()),
            "",
        ),
        Seen::Found(_) => check(
            name,
            Status::Warn,
            "differs from the caBundle; the controller makes them equal within seconds where it runs",
            format!("kubectl -n {} logs deployment/{}-controller", facts.installation, facts.release),
        ),
        Seen::Absent => skipped(name, "there is none yet, or certificates are made elsewhere"),
        Seen::Unknown(why) => skipped(name, why),
    }
}

/// Whether certificates end soon, or should have been renewed by now.
pub(super) fn expiry(facts: &Facts) -> Check {
    let name = "certificates' end";
    let mut known: Vec<(String, Certificate)> = Vec::new();
    let mut unknown = Vec::new();
    for (secret, seen) in &facts.certificates {
        match seen {
            Seen::Found(pem) => match Certificate::from_pem(pem) {
                Ok(certificate) => known.push((format!("Secret {secret}"), certificate)),
                Err(problem) => {
                    let said = format!("tls.crt of Secret {secret} {problem}");
                    return check(name, Status::Fail, said, logs(facts));
                }
            },
            Seen::Absent => unknown.push(format!("Secret {secret} has none")),
            Seen::Unknown(why) => unknown.push(why.clone()),
        }
    }
    if let Seen::Found(trust) = &facts.trust {
        known.extend(
            Certificate::all_from_pem(trust).into_iter().map(|one| ("a root of the trust bundle".to_owned(), one)),
        );
    }
    let Some((what, first)) = known.iter().min_by_key(|(_, one)| one.not_after) else {
        return skipped(name, unknown.first().cloned().unwrap_or_else(|| "no certificate was found".to_owned()));
    };
    if first.not_after <= facts.now {
        return check(name, Status::Fail, format!("{what} has expired"), logs(facts));
    }
    let overdue = known.iter().find(|(what, one)| what.starts_with("Secret") && is_overdue(one, facts.now));
    if let Some((what, one)) = overdue {
        let said = format!("{what} ends in {} and should have been renewed", days(one.not_after, facts.now));
        return check(name, Status::Warn, said, logs(facts));
    }
    check(name, Status::Ok, format!("the first is {what}, in {}", days(first.not_after, facts.now)), "")
}

/// Renewal is due at two thirds; with a quarter left something is wrong.
fn is_overdue(certificate: &Certificate, now: SystemTime) -> bool {
    let life = certificate.not_after.duration_since(certificate.not_before).unwrap_or_default();
    certificate.not_after.duration_since(now).unwrap_or_default() < life / 4
}

fn days(end: SystemTime, now: SystemTime) -> String {
    let left = end.duration_since(now).unwrap_or(Duration::ZERO).as_secs();
    match left / DAY_SECONDS {
        0 => format!("{} minutes", left / 60),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// The name that the API server asks for.
fn host(webhook: &Value) -> String {
    let (name, namespace) =
        (text(webhook, "/clientConfig/service/name"), text(webhook, "/clientConfig/service/namespace"));
    let url = text(webhook, "/clientConfig/url");
    match url.strip_prefix("https://") {
        Some(rest) => rest.split(['/', ':']).next().unwrap_or_default().to_owned(),
        None => format!("{name}.{namespace}.svc"),
    }
}

fn logs(facts: &Facts) -> String {
    format!("kubectl -n {} logs deployment/{}-controller", facts.installation, facts.release)
}

const DAY_SECONDS: u64 = 24 * 3600;
