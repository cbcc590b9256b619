//! `Pace`: which step a connection is in and until when it must be done; `Paced`: a stream that tells it of bytes.
//!
//! ```text
//! Head --request--> Busy --answer--> Writing --all flushed--> Idle --first byte--> Head
//! ```
//! A new connection starts in `Head`: who connects has something to say.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Limits;

/// Which step a connection is in. Shared between its stream, its requests and whoever watches the clock.
#[derive(Clone)]
pub(super) struct Pace(Arc<Mutex<State>>);

/// A step of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Waiting for the rest of a request's head.
    Head,
    /// Reading a body or handling a request; these have their own clocks.
    Busy,
    /// The client takes the answer.
    Writing,
    /// Between requests.
    Idle,
}

struct State {
    step: Step,
    since: Instant,
    /// Whether a body was refused unread, so that the client may still be sending it.
    refused: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { step: Step::Head, since: Instant::now(), refused: false })))
    }

    /// A request's head has arrived.
    pub(super) fn begin(&self) {
        self.enter(Step::Busy);
    }

    /// Its answer is ready to be written.
    pub(super) fn end(&self) {
        self.enter(Step::Writing);
    }

    /// The request's body was not read to its end; the connection ends after the answer.
    pub(super) fn refuse(&self) {
        self.lock().refused = true;
    }

    pub(super) fn has_refused(&self) -> bool {
        self.lock().refused
    }

    pub(super) fn step(&self) -> Step {
        self.lock().step
    }

    /// When the step must be over, if it has a clock.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let state = self.lock();
        let allowed = match state.step {
            Step::Head => limits.header_timeout,
            Step::Busy => return None,
            Step::Writing => limits.body_timeout,
            Step::Idle => limits.idle_timeout,
        };
        state.since.checked_add(allowed)
    }

    fn received(&self) {
        if self.step() == Step::Idle {
            self.enter(Step::Head);
        }
    }

    fn flushed(&self) {
        if self.step() == Step::Writing {
            self.enter(Step::Idle);
        }
    }

    fn enter(&self, step: Step) {
        let mut state = self.lock();
        state.step = step;
        state.since = Instant::now();
    }

    /// No code panics while it holds this lock, so poison is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that tells a [`Pace`] what passes.
pub(super) struct Paced<S> {
    stream: S,
    pace: Pace,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.pace.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_ready() {
            self.pace.flushed();
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
