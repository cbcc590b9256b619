//! Events of a folder by inotify. Out of scope: the belt.

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A watch of one folder.
pub(super) type Source = AsyncFd<OwnedFd>;

/// Waits for events, takes all that are there, and tells whether the watch itself has ended.
pub(super) async fn events(source: Option<&Source>) -> bool {
    let Some(source) = source else { return std::future::pending().await };
    loop {
        let Ok(mut ready) = source.readable().await else { return true };
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = inotify::Reader::new(source.get_ref(), &mut buffer);
        let (mut any, mut gone) = (false, false);
        loop {
            match reader.next() {
                Ok(event) => {
                    any = true;
                    gone |= event.events().intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF);
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return true,
            }
        }
        ready.clear_ready();
        if any {
            return gone;
        }
    }
}

/// Begins to watch a folder.
pub(super) fn subscribe(folder: &Path) -> io::Result<Source> {
    let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let what = WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&descriptor, folder, what)?;
    register(descriptor)
}

#[expect(deprecated, reason = "its successor is unsafe for types that may swap descriptors; an OwnedFd cannot")]
fn register(descriptor: OwnedFd) -> io::Result<Source> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

/// How long a change can stay unnoticed where events fail.
pub(super) const BELT: Duration = Duration::from_secs(60);
/// Room for at least ten events with names of 255 bytes.
const EVENT_BYTES: usize = 4096;
