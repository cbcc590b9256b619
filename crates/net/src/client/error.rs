//! `HttpError`: why a request got no answer. Names the address and the phase, never a header or a body.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use vouchsafe_model::Kind;
use vouchsafe_model::path::ServerAddress;

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Looking up the host's addresses.
    Resolve,
    /// Opening a TCP connection.
    Connect,
    /// Agreeing on TLS.
    Handshake,
    /// The connection stands; nothing has been sent on it.
    Send,
    /// The request is being sent, or waits for the head of its answer.
    Answer,
    /// The answer's body is being read.
    Body,
}

impl Phase {
    fn doing(self) -> &'static str {
        match self {
            Self::Resolve => "resolving the host",
            Self::Connect => "connecting",
            Self::Handshake => "the TLS handshake",
            Self::Send => "sending the request",
            Self::Answer => "waiting for the answer",
            Self::Body => "reading the answer",
        }
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request itself cannot be sent.
    #[error("request to {address}: {problem}")]
    Request {
        /// Where it should have gone.
        address: ServerAddress,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The host has no address.
    #[error("resolve the host of {address}: {source}")]
    Resolve {
        /// Whose host it is.
        address: ServerAddress,
        /// The resolver's word.
        source: io::Error,
    },
    /// No address of the host accepts connections; the last one tried is named.
    #[error("connect to {address} ({peer}): {source}")]
    Connect {
        /// Where it should have gone.
        address: ServerAddress,
        /// The address tried last.
        peer: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// Nobody there whom we trust, or nobody who speaks our TLS.
    #[error("TLS with {address} ({peer}): {problem}")]
    Tls {
        /// Where it should have gone.
        address: ServerAddress,
        /// The address tried last.
        peer: SocketAddr,
        /// What is wrong and how to fix it.
        problem: String,
    },
    /// The deadline passed.
    #[error("{address}: the deadline passed while {}", .phase.doing())]
    Timeout {
        /// Where the request went.
        address: ServerAddress,
        /// How far it came.
        phase: Phase,
    },
    /// The answer is larger than allowed.
    #[error("{address}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// Where the request went.
        address: ServerAddress,
        /// The largest allowed body.
        limit: usize,
    },
    /// The connection broke.
    #[error("{address}: the connection was closed while {}: {problem}", .phase.doing())]
    Closed {
        /// Where the request went.
        address: ServerAddress,
        /// How far it came.
        phase: Phase,
        /// What the system or TLS says.
        problem: String,
    },
    /// What came back is not HTTP/1.1 as we accept it.
    #[error("{address}: no valid HTTP answer while {}: {problem}", .phase.doing())]
    Protocol {
        /// Where the request went.
        address: ServerAddress,
        /// How far it came.
        phase: Phase,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl HttpError {
    /// Decides retry and exit code. All but a request of ours that cannot be sent and an oversized answer is transient.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Request { .. } => Kind::Invalid,
            Self::TooLarge { .. } => Kind::Limit,
            _ => Kind::Unavailable,
        }
    }

    /// Whether the request certainly did not reach the server: then even a write may be repeated.
    pub fn before_sent(&self) -> bool {
        match self {
            Self::Request { .. } | Self::Resolve { .. } | Self::Connect { .. } | Self::Tls { .. } => true,
            Self::Timeout { phase, .. } | Self::Closed { phase, .. } | Self::Protocol { phase, .. } => {
                *phase <= Phase::Send
            }
            Self::TooLarge { .. } => false,
        }
    }
}

/// A failure on a connection, before its address is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cause {
    TooLarge { limit: usize },
    Closed { phase: Phase, problem: String },
    Protocol { phase: Phase, problem: &'static str },
}

impl Cause {
    pub(super) fn at(self, address: &ServerAddress) -> HttpError {
        let address = address.clone();
        match self {
            Self::TooLarge { limit } => HttpError::TooLarge { address, limit },
            Self::Closed { phase, problem } => HttpError::Closed { address, phase, problem },
            Self::Protocol { phase, problem } => HttpError::Protocol { address, phase, problem },
        }
    }

    /// Sorts hyper's errors. Its own texts are not passed on: they are not written for operators.
    pub(super) fn of(error: &hyper::Error, phase: Phase) -> Self {
        if error.is_parse_too_large() {
            return Self::Protocol { phase, problem: "the head of the answer is too large" };
        }
        if error.is_parse() {
            return Self::Protocol { phase, problem: "the server does not speak HTTP/1.1" };
        }
        let problem = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<io::Error>())
            .map_or_else(|| "by the server, before the answer was complete".to_owned(), io::Error::to_string);
        Self::Closed { phase, problem }
    }
}

/// How far the attempt under way has come; read when its deadline passes.
pub(super) struct Progress(Mutex<Phase>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Phase::Resolve))
    }

    pub(super) fn reach(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub(super) fn phase(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
