//! `Lifecycle`: owns all tasks of a program, so that none is lost and none outlives the program's end unnoticed.
//!
//! A task that panics begins the end of the program instead of leaving it half alive. Out of scope: what a task does when
//! it is asked to stop; it waits on [`Lifecycle::stopping`] and returns.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Owns all tasks of a program. Clones share the same tasks.
#[derive(Clone)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

/// Tasks that did not end within the grace period; they were aborted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("still running after the grace period, now aborted: {}", .names.join(", "))]
pub struct Unfinished {
    /// Names as given to [`Lifecycle::spawn`], sorted, each once.
    pub names: Vec<&'static str>,
}

impl Lifecycle {
    /// A lifecycle without tasks.
    pub fn new() -> Self {
        let shared = Shared { reason: watch::Sender::new(None), left: watch::Sender::new(0), tasks: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Starts a task. If it panics, [`Lifecycle::stop`] is called with its name.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let number = self.shared.enter(name);
        let mark = Mark { shared: Arc::clone(&self.shared), name, number };
        #[expect(clippy::disallowed_methods, reason = "the one place where tasks start")]
        let handle = tokio::spawn(async move {
            let _mark = mark;
            task.await;
        });
        self.shared.keep(number, handle.abort_handle());
    }

    /// Asks all tasks to end. The first reason stays.
    pub fn stop(&self, reason: &'static str) {
        self.shared.stop(reason);
    }

    /// Whether [`Lifecycle::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.shared.reason.borrow().is_some()
    }

    /// Why the program ends: the first reason given, or the name of the task that panicked.
    pub fn reason(&self) -> Option<&'static str> {
        *self.shared.reason.borrow()
    }

    /// Completes once [`Lifecycle::stop`] was called.
    pub async fn stopping(&self) {
        let mut reason = self.shared.reason.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = reason.wait_for(Option::is_some).await;
    }

    /// Waits until all tasks ended, at most `grace`; aborts those that are left. Does not call [`Lifecycle::stop`].
    pub async fn drain(&self, grace: Duration) -> Result<(), Unfinished> {
        let mut left = self.shared.left.subscribe();
        let ended = tokio::time::timeout(grace, left.wait_for(|left| *left == 0)).await.is_ok();
        if ended { Ok(()) } else { self.shared.abort() }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

/// The first SIGTERM or SIGINT, by name.
pub async fn termination() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the default action of both signals ends the process anyway.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

struct Shared {
    reason: watch::Sender<Option<&'static str>>,
    /// Number of tasks that have not ended.
    left: watch::Sender<usize>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    running: BTreeMap<u64, Task>,
}

struct Task {
    name: &'static str,
    /// Absent between `enter` and `keep`.
    handle: Option<AbortHandle>,
}

impl Shared {
    fn stop(&self, reason: &'static str) {
        self.reason.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    fn enter(&self, name: &'static str) -> u64 {
        let mut tasks = self.lock();
        let number = tasks.next;
        tasks.next += 1;
        tasks.running.insert(number, Task { name, handle: None });
        self.left.send_replace(tasks.running.len());
        number
    }

    /// Keeps the handle, unless the task has ended already.
    fn keep(&self, number: u64, handle: AbortHandle) {
        if let Some(task) = self.lock().running.get_mut(&number) {
            task.handle = Some(handle);
        }
    }

    fn leave(&self, number: u64) {
        let mut tasks = self.lock();
        tasks.running.remove(&number);
        self.left.send_replace(tasks.running.len());
    }

    fn abort(&self) -> Result<(), Unfinished> {
        let (mut names, handles): (Vec<_>, Vec<_>) =
            self.lock().running.values().map(|task| (task.name, task.handle.clone())).unzip();
        handles.into_iter().flatten().for_each(|handle| handle.abort());
        names.sort_unstable();
        names.dedup();
        if names.is_empty() { Ok(()) } else { Err(Unfinished { names }) }
    }

    /// A panic while the lock is held cannot leave the map half changed, so poison is ignored.
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives inside a task and notes its end, however it comes about.
struct Mark {
    shared: Arc<Shared>,
    name: &'static str,
    number: u64,
}

impl Drop for Mark {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.stop(self.name);
        }
        self.shared.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tasks_that_end_when_asked_drain() {
        let lifecycle = Lifecycle::new();
        for _ in 0..3 {
            let own = lifecycle.clone();
            lifecycle.spawn("obedient", async move {
                own.stopping().await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            });
        }
        assert!(!lifecycle.is_stopping());
        lifecycle.stop("first");
        lifecycle.stop("second");
        assert_eq!((lifecycle.is_stopping(), lifecycle.reason()), (true, Some("first")));
        assert_eq!(lifecycle.drain(Duration::from_secs(5)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_do_not_end_are_named_and_aborted() {
        let lifecycle = Lifecycle::new();
        let held = Arc::new(());
        for name in ["stubborn", "deaf", "stubborn"] {
            let held = Arc::clone(&held);
            lifecycle.spawn(name, async move {
                std::future::pending::<()>().await;
                drop(held);
            });
        }
        lifecycle.stop("test");
        let unfinished = lifecycle.drain(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(unfinished.names, ["deaf", "stubborn"]);
        assert!(unfinished.to_string().ends_with("deaf, stubborn"));
        assert_eq!(lifecycle.drain(Duration::from_secs(5)).await, Ok(()));
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_a_task_begins_the_end_with_its_name() {
        let lifecycle = Lifecycle::new();
        let own = lifecycle.clone();
        lifecycle.spawn("other", async move { own.stopping().await });
        lifecycle.spawn("fragile", async { panic!("on purpose") });
        lifecycle.stopping().await;
        assert_eq!(lifecycle.reason(), Some("fragile"));
        assert_eq!(lifecycle.drain(Duration::from_secs(5)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_by_itself_stops_nothing() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("short", async {});
        assert_eq!(lifecycle.drain(Duration::from_secs(5)).await, Ok(()));
        assert!(!lifecycle.is_stopping());
    }

    #[tokio::test]
    async fn a_signal_asks_for_the_end() {
        let waiting = tokio::time::timeout(Duration::from_secs(5), termination());
        let sending = async {
            // Once the handlers stand; a signal before would end the test program.
            tokio::task::yield_now().await;
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)
        };
        let (name, sent) = tokio::join!(waiting, sending);
        assert_eq!((name, sent), (Ok("SIGTERM"), Ok(())));
    }
}
