//! One connection of the server: drives hyper, watches the clock, and ends it politely.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use super::exchange::{Answer, exchange};
use super::pace::{Pace, Paced, Step};
use super::{Handler, Limits, Peer};
use crate::lifecycle::Lifecycle;

/// What a connection needs of its server.
pub(super) struct Site<H> {
    pub(super) limits: Limits,
    pub(super) handler: Arc<H>,
    pub(super) peer: Peer,
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// hyper is done with it.
    Done,
    /// A step took too long.
    Expired,
}

/// Serves one connection to its end.
pub(super) async fn serve<S, H>(stream: S, site: Site<H>, lifecycle: &Lifecycle)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let (pace, limits, site) = (Pace::new(), site.limits, Arc::new(site));
    let service = service_fn({
        let pace = pace.clone();
        move |request| -> Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>> {
            let (site, pace) = (Arc::clone(&site), pace.clone());
            Box::pin(async move { Ok(exchange(request, site, pace).await) })
        }
    });
    let mut connection = http1::Builder::new()
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(SMALLEST_BUFFER_BYTES))
        .half_close(false)
        .serve_connection(TokioIo::new(Paced::new(stream, pace.clone())), service);

    let mut stopping = pin!(lifecycle.stopping());
    let mut asked_to_stop = false;
    let mut clock = pin!(sleep_until(Instant::now()));
    let end = poll_fn(|context| {
        if !asked_to_stop && stopping.as_mut().poll(context).is_ready() {
            asked_to_stop = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if connection.poll_without_shutdown(context).is_ready() {
            return Poll::Ready(End::Done);
        }
        let Some(deadline) = pace.deadline(&limits) else { return Poll::Pending };
        if clock.deadline() != deadline {
            clock.as_mut().reset(deadline);
        }
        clock.as_mut().poll(context).map(|()| End::Expired)
    })
    .await;
    let stream = connection.into_parts().io.into_inner();
    part(stream, &end, &pace).await;
}

/// Says what is left to say and closes: 408 to a slow head, and time to read our answer for who still sends a body.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, end: &End, pace: &Pace) {
    let farewell = async {
        if matches!((end, pace.step()), (End::Expired, Step::Head)) {
            stream.write_all(TOO_SLOW).await?;
        }
        stream.shutdown().await?;
        if pace.has_refused() {
            let mut discarded = [0; DISCARD_BYTES];
            while stream.read(&mut discarded).await? > 0 {}
        }
        std::io::Result::Ok(())
    };
    // Whatever goes wrong here concerns a client that is gone or does not listen.
    let _ = timeout(FAREWELL, farewell).await;
}

/// The answer to a head that does not come.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// hyper's own lower bound.
const SMALLEST_BUFFER_BYTES: usize = 8 << 10;
/// Closing with unread bytes resets the connection and can destroy our answer on its way; a second is enough to be read.
const FAREWELL: Duration = Duration::from_secs(1);
/// What is read at once of a body that nobody wants.
const DISCARD_BYTES: usize = 4 << 10;
