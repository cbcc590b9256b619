//! Scenarios: without our broker, straight to a real OpenBao.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::objects;
use super::outcome::{Failure, Outcome, ensure};
use super::process::until;
use super::starts::START;
use super::world::World;

/// A pod gets its files from OpenBao; a new version is written, which [`a_write_is_found_by_polling`] looks for later.
pub(crate) fn files_come_straight_from_openbao(world: &mut World) -> Outcome<String> {
    let path = "secret/direct/direct";
    world.cluster.apply(&[objects::pod("direct", "direct", "direct", &objects::spec("direct", &["watch"]))])?;
    world.cluster.await_ready("direct", "direct", START)?;
    world.started_with_files("direct", "direct", path)?;
    let (_, written) = world.change_in(path, true)?;
    world.notes.insert("written to OpenBao", written);
    Ok("files arrive without the broker".to_owned())
}

/// Without push, a sidecar finds the new version by itself; and when the pod ends, its token does.
pub(crate) fn a_write_is_found_by_polling(world: &mut World) -> Outcome<String> {
    let path = "secret/direct/direct";
    let written = world.notes.get("written to OpenBao").copied();
    let written = written.ok_or_else(|| Failure("the first half of this scenario failed".to_owned()))?;
    let delay = world.seen_change("direct", "direct", path, POLLED)? - written;
    ensure(delay <= POLLED.as_secs_f64(), || format!("it took {delay:.1} s"))?;
    world.keep_log("direct", "direct")?;
    let revoked = |world: &World| -> Outcome<usize> {
        let audit = fs::read_to_string(world.bao_folder().join("audit.log"))?;
        let records = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_revocation = |record: &Value| {
            let path = &record["request"]["path"];
            record["type"] == "response" && path == "auth/token/revoke-self" && record["error"].is_null()
        };
        Ok(records.filter(is_revocation).count())
    };
    let before = revoked(world)?;
    world.cluster.kubectl(&["-n", "direct", "delete", "pod", "direct", "--wait=false"])?;
    until("the pod's token is revoked", START, || {
        let now = revoked(world)?;
        ensure(now == before + 1, || format!("{} revocations", now - before))
    })?;
    Ok(format!("found {delay:.1} s after the write; the token was revoked when the pod ended"))
}

/// The poll interval is half a minute, give or take a tenth.
const POLLED: Duration = Duration::from_secs(45);
