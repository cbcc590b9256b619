//! What the sidecar asks of the wrapper, over the socket in the run folder: see control.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal as Number;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot};

use crate::control::SOCKET;
use crate::gate::{connect, lines};

/// One order; the answer goes back as `ok` or as `failed` with what the app did.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) wanted: Wanted,
    pub(super) answer: oneshot::Sender<Result<(), String>>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Send the app this signal.
    Signal(Number),
    /// End it, within this time, and start it again.
    Restart(Duration),
}

/// Takes the sidecar's orders for as long as the app runs; connects again when the sidecar was restarted.
pub(super) async fn take(folder: &Path, orders: mpsc::Sender<Order>) {
    loop {
        // A lost connection is no event for the app.
        let _ = obey(folder, &orders).await;
        tokio::time::sleep(CONNECT_AGAIN).await;
    }
}

async fn obey(folder: &Path, orders: &mpsc::Sender<Order>) -> io::Result<()> {
    let (reader, mut writer) = connect(folder, SOCKET).await?.into_split();
    let mut lines = lines(reader);
    while let Some(line) = lines.next_line().await? {
        let result = match parse(&line) {
            None => Err("was to do something that the wrapper does not know".to_owned()),
            Some(wanted) => {
                let (answer, answered) = oneshot::channel();
                let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
                orders.send(Order { wanted, answer }).await.map_err(|_| gone())?;
                answered.await.map_err(|_| gone())?
            }
        };
        let line = result.map_or_else(|problem| format!("failed {problem}\n"), |()| "ok\n".to_owned());
        writer.write_all(line.as_bytes()).await?;
    }
    Ok(())
}

fn parse(line: &str) -> Option<Wanted> {
    match line.split_once(' ')? {
        ("signal", "SIGHUP") => Some(Wanted::Signal(Number::HUP)),
        ("signal", "SIGUSR1") => Some(Wanted::Signal(Number::USR1)),
        ("signal", "SIGUSR2") => Some(Wanted::Signal(Number::USR2)),
        ("restart", seconds) => seconds.parse().ok().map(Duration::from_secs).map(Wanted::Restart),
        _ => None,
    }
}

/// Pause between attempts to reach the sidecar.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
