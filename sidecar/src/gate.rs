//! The gate's socket: `wait` and `status` talk to `run` here.
//!
//! ```text
//! wait → run   wait            status
//! run → wait   waiting TEXT …  ready          {JSON}
//! wait → run   gave-up         run → wait   noted
//! ```
//! One line each way at a time, all bounded. The socket lies in the private state volume, which is its only guard.
//! Out of scope: what a lost or given-up wait means (machine).

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines, Take};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use vouchsafe_net::lifecycle::Lifecycle;

use crate::machine::Event;
use crate::place::socket_path;

/// What the driver is asked through the sockets.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something happened.
    Event(Event),
    /// Somebody wants to know the state.
    Status(oneshot::Sender<String>),
}

/// What those who wait are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Why there are no files yet.
    Waiting(String),
    /// The app may start.
    Ready,
}

/// The socket's server side.
#[derive(Clone)]
pub(crate) struct GateServer {
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) lifecycle: Lifecycle,
}

impl GateServer {
    /// Listens in `folder`, which must be ours alone: an older socket there is a dead one.
    pub(crate) fn listen(self, folder: &Path) -> io::Result<()> {
        let listener = bind(folder, SOCKET)?;
        let lifecycle = self.lifecycle.clone();
        lifecycle.spawn("gate", self.accept(listener));
        Ok(())
    }

    async fn accept(self, listener: UnixListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.lifecycle.stopping() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            };
            // One too many is closed at once; it tries again.
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
            let server = self.clone();
            self.lifecycle.spawn("gate connection", async move {
                let _permit = permit;
                server.serve(stream).await;
            });
        }
    }

    async fn serve(self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut lines = lines(reader);
        let first = tokio::time::timeout(REQUEST, lines.next_line()).await;
        match first.ok().and_then(Result::ok).flatten().as_deref() {
            Some("wait") => {
                let _ = self.inputs.send(Input::Event(Event::WaitConnected)).await;
                self.hold(&mut lines, &mut writer).await;
                let _ = self.inputs.send(Input::Event(Event::WaitLost)).await;
            }
            Some("status") => {
                let (sender, receiver) = oneshot::channel();
                let _ = self.inputs.send(Input::Status(sender)).await;
                if let Ok(text) = receiver.await {
                    let _ = writer.write_all(format!("{text}\n").as_bytes()).await;
                }
            }
            _ => {}
        }
    }

    async fn hold(&self, lines: &mut GateLines, writer: &mut OwnedWriteHalf) {
        let mut progress = self.progress.clone();
        loop {
            let now = progress.borrow_and_update().clone();
            if say(writer, &now).await.is_err() {
                return;
            }
            tokio::select! {
                changed = progress.changed(), if now != Progress::Ready => {
                    if changed.is_err() {
                        return;
                    }
                }
                line = lines.next_line() => {
                    if matches!(line.as_ref().map(Option::as_deref), Ok(Some(GAVE_UP))) {
                        let _ = self.inputs.send(Input::Event(Event::WaitGaveUp)).await;
                        let _ = writer.write_all(b"noted\n").await;
                    }
                    return;
                }
            }
        }
    }
}

async fn say(writer: &mut OwnedWriteHalf, progress: &Progress) -> io::Result<()> {
    let line = match progress {
        Progress::Waiting(text) => format!("waiting {}\n", text.replace('\n', " ")),
        Progress::Ready => "ready\n".to_owned(),
    };
    tokio::time::timeout(REQUEST, writer.write_all(line.as_bytes())).await?
}

/// A socket in `folder` that everybody who reaches the folder may use.
pub(crate) fn bind(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let (path, _handle) = socket_path(folder, name)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// A connection to the socket `name` in `folder`.
pub(crate) async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let (path, _handle) = socket_path(folder, name)?;
    UnixStream::connect(path).await
}

pub(crate) type GateLines = Lines<BufReader<Take<OwnedReadHalf>>>;

pub(crate) fn lines(reader: OwnedReadHalf) -> GateLines {
    BufReader::new(reader.take(CONVERSATION_BYTES)).lines()
}

/// The gate's socket in the state folder.
pub(crate) const SOCKET: &str = "gate.sock";
/// What `wait` says when its time is up.
pub(crate) const GAVE_UP: &str = "gave-up";
/// Longest conversation read from one peer; a wait under changing reasons stays far below.
const CONVERSATION_BYTES: u64 = 1 << 20;
/// Connections at a time: the hook, the strict gate's container, somebody who looks.
const CONNECTIONS: usize = 16;
/// Longest wait for a line that should come at once.
const REQUEST: Duration = Duration::from_secs(2);
/// Pause after a failed accept, as when file handles run out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
