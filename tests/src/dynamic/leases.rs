//! Scenarios: credentials that end, watched from where they are made.

use std::time::{Duration, Instant};

use super::audit::{LOGIN, RENEW_LEASE, REVOKE, count};
use super::ground::{BRIEF_MAX, Ground, LEASE, RENEWALS};
use crate::smoke::cluster::sidecar_of;
use crate::smoke::outcome::{Outcome, ensure};
use crate::smoke::process::{signal, until};

/// What was seen of a credential while it was watched.
#[derive(Debug, Default)]
struct Seen {
    looks: usize,
    names: Vec<String>,
    overlaps: usize,
    most: usize,
}

/// Looks at the app's credential for a while: at each look it must be one that the message broker takes.
fn watch(ground: &Ground, pod: (&str, &str), wait: Duration, until_names: usize, seen: &mut Seen) -> Outcome {
    let end = Instant::now() + wait;
    while Instant::now() < end && seen.names.len() < until_names {
        let name = ground.in_app(pod, "cat username")?;
        let users = ground.users();
        // The file may have been replaced since it was read; what it holds now counts then.
        let name = if users.contains(&name) { name } else { ground.in_app(pod, "cat username")? };
        let users = if users.contains(&name) { users } else { ground.users() };
        ensure(users.contains(&name), || format!("the app holds {name}, good are {users:?}; {seen:?}"))?;
        seen.looks += 1;
        seen.overlaps += usize::from(users.len() > 1);
        seen.most = seen.most.max(users.len());
        if seen.names.last() != Some(&name) {
            seen.names.push(name);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// 20 s leases with a minute at most. A SIGTERM to the sidecar alone is no end of the pod.
pub(crate) fn a_lease_is_renewed_replaced_and_survives_a_restart(ground: &mut Ground) -> Outcome<String> {
    ground.start("native", "leased")?;
    let mut seen = Seen::default();
    watch(ground, POD, Duration::from_secs(LEASE * RENEWALS + LEASE), 2, &mut seen)?;
    ensure(seen.names.len() == 2, || format!("it was not replaced: {seen:?}"))?;
    let renewed = count(&ground.asked("native", "leased"), RENEW_LEASE);
    ensure(renewed >= 2, || format!("{renewed} renewals"))?;
    // Right after a replacement the next one is most of a minute away: what is made now would be made by the restart.
    let made = ground.made();
    signal("TERM", sidecar_of("leased")?.process)?;
    until("the sidecar is started again", RESTART, || {
        let pod = ground.world.cluster.pod("native", "leased")?;
        ensure(pod.restarts("vouchsafe-sidecar") == 1 && pod.is_ready(), || pod.state())
    })?;
    std::thread::sleep(SETTLED);
    ensure(ground.made() == made, || format!("the restart made {} credentials", ground.made() - made))?;
    // Longer than the broker waits after a goodbye before it revokes.
    watch(ground, POD, GOODBYE, usize::MAX, &mut seen)?;
    let asked = ground.asked("native", "leased");
    ensure(count(&asked, LOGIN) == 1, || format!("{} logins", count(&asked, LOGIN)))?;
    ensure(count(&asked, REVOKE) == 0, || "its token was revoked".to_owned())?;
    ensure(seen.overlaps > 0 && seen.most <= 3, || format!("{seen:?}"))?;
    Ok(format!(
        "{} looks, {} credentials one after the other, at most {} good at a time, {renewed} renewals before the first replacement",
        seen.looks,
        seen.names.len(),
        seen.most
    ))
}

/// The goodbye of a pod that ended: its token is revoked, and what hangs on it with it.
pub(crate) fn at_the_pods_end_its_credentials_end(ground: &mut Ground) -> Outcome<String> {
    let name = ground.in_app(POD, "cat username")?;
    ensure(ground.users().contains(&name), || "the pod of the scenario before holds no good credential".to_owned())?;
    ground.world.cluster.kubectl(&["-n", "native", "delete", "pod", "leased", "--wait=false"])?;
    let began = Instant::now();
    until("the token is revoked", GOODBYE + RESTART, || {
        let revoked = count(&ground.asked("native", "leased"), REVOKE);
        ensure(revoked == 1, || format!("{revoked} revocations"))
    })?;
    until("no credential is left", RESTART, || {
        let users = ground.users();
        ensure(users.is_empty(), || format!("{users:?}"))
    })?;
    Ok(format!("revoked {:.0} s after the deletion", began.elapsed().as_secs_f64()))
}

/// A new login comes before the end of the old token, and new credentials with it.
pub(crate) fn a_token_at_its_maximum_takes_no_credential_along(ground: &mut Ground) -> Outcome<String> {
    ground.start("native", "brief")?;
    let mut seen = Seen::default();
    watch(ground, ("native", "brief"), Duration::from_secs(2 * BRIEF_MAX + BRIEF_MAX / 2), usize::MAX, &mut seen)?;
    let logins = count(&ground.asked("native", "brief"), LOGIN);
    ensure((3..=6).contains(&logins), || format!("{logins} logins; {seen:?}"))?;
    ensure(seen.names.len() >= 3 && seen.names.len() <= logins, || format!("{logins} logins; {seen:?}"))?;
    ensure(seen.most <= 3, || format!("{seen:?}"))?;
    ground.world.cluster.kubectl(&["-n", "native", "delete", "pod", "brief", "--wait=false"])?;
    Ok(format!(
        "{} looks, {logins} logins, {} credentials, at most {} good at a time",
        seen.looks,
        seen.names.len(),
        seen.most
    ))
}

const POD: (&str, &str) = ("native", "leased");
/// Between two looks into the container.
const PAUSE: Duration = Duration::from_millis(300);
/// A container's restart: the kubelet waits 10 s before the first.
const RESTART: Duration = Duration::from_secs(40);
/// A restarted sidecar would have read again by now.
const SETTLED: Duration = Duration::from_secs(3);
/// The broker revokes 60 s after a goodbye.
const GOODBYE: Duration = Duration::from_secs(75);
