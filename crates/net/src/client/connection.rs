//! One connection: sends a request, reads its answer, and knows whether it can carry another.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use vouchsafe_model::Secret;
use vouchsafe_model::path::ServerAddress;

use super::error::{Cause, HttpError, Phase, Progress};
use crate::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};

/// A request in hyper's form. Its body is the caller's buffer, not a copy.
pub(super) type Outgoing = hyper::Request<Full<Bytes>>;

/// A request in hyper's form, addressed to `address`.
pub(super) fn outgoing(request: Request, address: &ServerAddress) -> Result<Outgoing, HttpError> {
    let unfit = |problem| HttpError::Request { address: address.clone(), problem };
    let target = match request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path,
    };
    if !target.starts_with('/') {
        return Err(unfit("the path has no leading slash"));
    }
    let uri = target.parse().map_err(|_| unfit("the path holds characters that a URL may not hold"))?;
    let host = address.authority().parse().map_err(|_| unfit("the address is no Host header"))?;
    let mut outgoing = hyper::Request::new(Full::new(Bytes::from_owner(SecretBytes(request.body))));
    *outgoing.method_mut() = request.method;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = request.headers;
    prepare(outgoing.headers_mut(), host);
    Ok(outgoing)
}

/// Takes out what belongs to the caller's own connection, and marks what must not be printed.
fn prepare(headers: &mut HeaderMap, host: HeaderValue) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    for name in SENSITIVE {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
    headers.insert(header::HOST, host);
}

/// A connection to a verified peer.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// Why an exchange failed.
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// The request, where certainly none of it was sent.
    pub(super) unsent: Option<Box<Outgoing>>,
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self { cause, unsent: None }
    }
}

impl Connection {
    pub(super) async fn start(stream: TlsStream<TcpStream>) -> Result<Self, Cause> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Cause::of(&error, Phase::Send))?;
        Ok(Self { sender, driver: Driver { connection: Box::pin(connection), ended: false } })
    }

    /// Whether the peer has not closed the connection while it was idle.
    ///
    /// Nobody drives an idle connection, so what has arrived meanwhile is looked at first.
    pub(super) async fn is_alive(&mut self) -> bool {
        // Lets the runtime notice what the socket holds.
        tokio::task::yield_now().await;
        self.is_reusable_now().await
    }

    /// Whether the connection can carry another request.
    pub(super) fn is_reusable(&self) -> bool {
        !self.driver.ended && !self.sender.is_closed()
    }

    /// Sends `request` and reads its whole answer, at most `limit` bytes of body.
    pub(super) async fn exchange(
        &mut self,
        request: Outgoing,
        limit: usize,
        progress: &Progress,
    ) -> Result<Response, Failure> {
        progress.reach(Phase::Answer);
        let driver = &mut self.driver;
        let mut sending = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|context| {
            driver.poll(context);
            sending.as_mut().poll(context)
        })
        .await
        .map_err(|mut error| match error.take_message() {
            Some(unsent) => Failure { cause: Cause::of(error.error(), Phase::Send), unsent: Some(Box::new(unsent)) },
            None => Failure::from(Cause::of(error.error(), Phase::Answer)),
        })?;
        progress.reach(Phase::Body);
        let (head, body) = answer.into_parts();
        refuse_encoded(&head.headers)?;
        let body = self.read(body, limit).await?;
        self.settle().await;
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Reads a body to its end. The announced length is checked before the first byte is read.
    async fn read(&mut self, mut body: Incoming, limit: usize) -> Result<Secret, Cause> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(Cause::TooLarge { limit });
        }
        let mut bytes = Vec::with_capacity(announced.min(BUFFER_BYTES));
        let driver = &mut self.driver;
        loop {
            let frame = poll_fn(|context| {
                driver.poll(context);
                Pin::new(&mut body).poll_frame(context)
            })
            .await;
            match frame {
                None => return Ok(Secret::new(bytes)),
                Some(Err(error)) => return Err(Cause::of(&error, Phase::Body)),
                Some(Ok(frame)) => {
                    let Ok(mut data) = frame.into_data() else { continue };
                    if bytes.len().saturating_add(data.remaining()) > limit {
                        return Err(Cause::TooLarge { limit });
                    }
                    while data.has_remaining() {
                        let chunk = data.chunk();
                        bytes.extend_from_slice(chunk);
                        data.advance(chunk.len());
                    }
                }
            }
        }
    }

    /// Lets hyper notice that the answer is complete: it becomes idle, or closes where the peer asked for it.
    async fn settle(&mut self) {
        if !self.is_reusable_now().await {
            self.driver.ended = true;
        }
    }

    async fn is_reusable_now(&mut self) -> bool {
        let (driver, sender) = (&mut self.driver, &self.sender);
        poll_fn(|context| {
            driver.poll(context);
            Poll::Ready(!driver.ended && sender.is_ready())
        })
        .await
    }
}

/// What hyper reads and writes.
type Wire = TokioIo<TlsStream<TcpStream>>;

/// The half of a connection that moves bytes. It is polled together with whatever waits for them.
struct Driver {
    connection: Pin<Box<http1::Connection<Wire, Full<Bytes>>>>,
    ended: bool,
}

impl Driver {
    /// Moves bytes. Its result is of no interest: hyper tells the waiting request.
    fn poll(&mut self, context: &mut Context<'_>) {
        if !self.ended && self.connection.as_mut().poll(context).is_ready() {
            self.ended = true;
        }
    }
}

/// An answer that we did not ask to be compressed is not unpacked: that would be a bomb's way in.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Cause> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding.as_bytes() != b"identity" => {
            Err(Cause::Protocol { phase: Phase::Answer, problem: "the answer is compressed, which was not asked for" })
        }
        _ => Ok(()),
    }
}

/// A secret as an owner of hyper's bytes: sent without a copy, wiped when the last user drops it.
pub(crate) struct SecretBytes(pub(crate) Secret);

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        // EXPOSE: the body goes to the verified peer.
        self.0.expose()
    }
}

/// Largest head of an answer, and how much is read at once.
const BUFFER_BYTES: usize = 64 << 10;
/// Fields about one connection (RFC 9110 7.6.1) and those that the client sets itself.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::PROXY_AUTHORIZATION,
];
/// Fields that carry a token.
const SENSITIVE: [HeaderName; 2] = [header::AUTHORIZATION, HeaderName::from_static("x-vault-token")];
