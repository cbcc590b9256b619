//! The sidecar's side of signals and restarts: one folder and one socket per supervised container.
//!
//! ```text
//! wrapper → sidecar   (connects, and stays)
//! sidecar → wrapper   signal SIGHUP | restart SECONDS
//! wrapper → sidecar   ok | failed TEXT
//! ```
//! Each folder is mounted into one container only, so the socket that was used is the identity. The folder also holds a copy
//! of our own executable: the container's command starts it as wrapper. Out of scope: the wrapper (exec).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use vouchsafe_model::plan::Signal;
use vouchsafe_net::lifecycle::Lifecycle;

use crate::gate::{GateLines, bind, lines};

/// What the wrapper is to do, how long it may take, and where the answer goes.
struct Order {
    line: String,
    bound: Duration,
    answer: oneshot::Sender<Result<(), String>>,
}

/// A supervised container, as the driver sees it.
#[derive(Clone)]
pub(crate) struct Control(mpsc::Sender<Order>);

impl Control {
    /// Fills `folder` and listens there.
    pub(crate) fn listen(folder: &Path, lifecycle: &Lifecycle) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        install(&std::env::current_exe()?, folder)?;
        let listener = bind(folder, SOCKET)?;
        let (sender, receiver) = mpsc::channel(ORDERS);
        lifecycle.spawn("control", serve(listener, receiver, lifecycle.clone()));
        Ok(Self(sender))
    }

    /// Has the wrapper send `signal` to the app.
    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), String> {
        self.order(format!("signal {}", signal.as_str()), ANSWER).await
    }

    /// Has the wrapper end the app, within `grace`, and start it again.
    pub(crate) async fn restart(&self, grace: Duration) -> Result<(), String> {
        self.order(format!("restart {}", grace.as_secs()), grace + START).await
    }

    async fn order(&self, line: String, bound: Duration) -> Result<(), String> {
        let (answer, receiver) = oneshot::channel();
        let gone = || "the sidecar is ending".to_owned();
        self.0.send(Order { line, bound, answer }).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }
}

async fn serve(listener: UnixListener, mut orders: mpsc::Receiver<Order>, lifecycle: Lifecycle) {
    let mut wrapper: Option<(GateLines, OwnedWriteHalf)> = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                // A new wrapper means that the container was restarted: the old one is gone.
                Ok((stream, _)) => wrapper = Some(split(stream)),
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
            order = orders.recv() => {
                let Some(Order { line, bound, answer }) = order else { return };
                let result = match &mut wrapper {
                    Some(wrapper) => tokio::time::timeout(bound, ask(wrapper, &line)).await
                        .unwrap_or_else(|_| Err("the wrapper does not answer".to_owned())),
                    None => Err("the app's container has not connected; it may be starting".to_owned()),
                };
                if result.as_ref().is_err_and(|problem| !problem.starts_with(APP)) {
                    wrapper = None;
                }
                let _ = answer.send(result);
            }
            () = lifecycle.stopping() => return,
        }
    }
}

fn split(stream: UnixStream) -> (GateLines, OwnedWriteHalf) {
    let (reader, writer) = stream.into_split();
    (lines(reader), writer)
}

async fn ask(wrapper: &mut (GateLines, OwnedWriteHalf), line: &str) -> Result<(), String> {
    let lost = |_| "the app's container has gone; it may be restarting".to_owned();
    wrapper.1.write_all(format!("{line}\n").as_bytes()).await.map_err(lost)?;
    match wrapper.0.next_line().await.map_err(lost)?.as_deref() {
        Some("ok") => Ok(()),
        Some(line) => Err(format!("{APP}{}", line.strip_prefix("failed ").unwrap_or("gave no clear answer"))),
        None => Err("the app's container has gone; it may be restarting".to_owned()),
    }
}

/// Copies our executable into `folder`, unless it is there already.
fn install(executable: &Path, folder: &Path) -> io::Result<()> {
    let target = folder.join(WRAPPER);
    if is_copy(executable, &target) {
        return Ok(());
    }
    // By rename: the running wrapper keeps the file that it was started from.
    let next = folder.join(".next");
    let result = std::fs::copy(executable, &next)
        .and_then(|_| std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o755)))
        .and_then(|()| std::fs::rename(&next, &target));
    if result.is_err() {
        let _ = std::fs::remove_file(&next);
    }
    result
}

fn is_copy(left: &Path, right: &Path) -> bool {
    fn same(left: &Path, right: &Path) -> io::Result<bool> {
        let (mut left, mut right) = (File::open(left)?, File::open(right)?);
        if left.metadata()?.len() != right.metadata()?.len() {
            return Ok(false);
        }
        let (mut a, mut b) = ([0; COMPARE_BYTES], [0; COMPARE_BYTES]);
        loop {
            let length = fill(&mut left, &mut a)?;
            if fill(&mut right, &mut b)? != length || a.get(..length) != b.get(..length) {
                return Ok(false);
            }
            if length == 0 {
                return Ok(true);
            }
        }
    }
    same(left, right).unwrap_or(false)
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// Name of the wrapper in its folder; its base name also tells the program that it is the sidecar.
const WRAPPER: &str = "vouchsafe-sidecar";
/// Name of the socket in the same folder.
pub(crate) const SOCKET: &str = "control.sock";
/// How problems begin that are the app's, not the connection's.
pub(crate) const APP: &str = "the app ";
/// Orders under way: the machine has one for each reaction.
const ORDERS: usize = 64;
/// How long the wrapper may take beyond the app's grace: to ask for variables, to kill, to watch the first moments twice.
const START: Duration = Duration::from_secs(20);
/// How long the wrapper may take to send a signal.
const ANSWER: Duration = Duration::from_secs(5);
/// Pause after a failed accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Piece in which executables are compared.
const COMPARE_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrapper_is_installed_once_and_replaced_when_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        std::fs::write(&source, "one").unwrap();
        install(&source, folder.path()).unwrap();
        let target = folder.path().join(WRAPPER);
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(is_copy(&source, &target));
        std::fs::write(&source, "two").unwrap();
        assert!(!is_copy(&source, &target));
        install(&source, folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "two");
    }
}
