//! `wait`: holds the app back until its files are there.
//!
//! As `postStart` hook it is bounded, because a hook that never returns blocks the pod's deletion; it tells the sidecar when
//! it gives up. As plain init container (the strict gate) it waits as long as it takes and says why.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::gate::{GAVE_UP, SOCKET, connect, lines};

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The files are there.
    Ready,
    /// The time is up; with the last reason heard.
    GaveUp(String),
}

/// Waits on the socket in `state`, at most `bound`; `say` gets each new reason, and the current one now and then.
pub(crate) async fn wait(state: &Path, bound: Option<Duration>, mut say: impl FnMut(&str)) -> Outcome {
    let mut reason = "the sidecar does not listen yet".to_owned();
    let deadline = bound.map(|bound| Instant::now() + bound);
    loop {
        match hold(state, deadline, &mut reason, &mut say).await {
            Some(outcome) => return outcome,
            None if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return Outcome::GaveUp(reason),
            // Not there yet, or restarting.
            None => tokio::time::sleep(CONNECT_AGAIN).await,
        }
    }
}

/// One connection; `None` where there is none or it ended.
async fn hold(
    state: &Path,
    deadline: Option<Instant>,
    reason: &mut String,
    say: &mut impl FnMut(&str),
) -> Option<Outcome> {
    let stream = connect(state, SOCKET).await.ok()?;
    let (reader, mut writer) = stream.into_split();
    writer.write_all(b"wait\n").await.ok()?;
    let mut lines = lines(reader);
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.ok()??,
            () = until(deadline) => {
                writer.write_all(format!("{GAVE_UP}\n").as_bytes()).await.ok();
                // Leaving before it is noted would look like a vanished hook.
                let noted = async { while lines.next_line().await.ok().flatten().is_some_and(|line| line != "noted") {} };
                tokio::time::timeout(NOTED, noted).await.ok();
                return Some(Outcome::GaveUp(reason.clone()));
            }
            () = tokio::time::sleep(REPEAT) => {
                say(reason);
                continue;
            }
        };
        if line == "ready" {
            return Some(Outcome::Ready);
        }
        if let Some(text) = line.strip_prefix("waiting ") {
            text.clone_into(reason);
            say(reason);
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Pause between attempts to connect: the hook and the sidecar start at the same time.
const CONNECT_AGAIN: Duration = Duration::from_millis(20);
/// How often the reason is repeated in the strict gate's log.
const REPEAT: Duration = Duration::from_secs(10);
/// How long the sidecar may take to note that we gave up.
const NOTED: Duration = Duration::from_secs(1);
