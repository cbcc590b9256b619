//! The HTTP face: routes, methods and content types. Decisions are made by [`crate::admit()`] and [`crate::warn()`].
//!
//! | request | answer |
//! |---|---|
//! | `POST /mutate` | AdmissionReview for pods |
//! | `POST /warn` | AdmissionReview for workloads, warnings only |
//! | `GET /healthz` | 200 while the process can answer |
//! | `GET /readyz` | 200 if Grants were read and the certificate is valid now, else 503 with the reasons |
//! | `GET /metrics` | Prometheus text |
//!
//! Other paths get 404, other methods 405, other content types 415; limits are the server's (`vouchsafe_net::server`).
//! Out of scope: TLS, connections, and who may connect (a NetworkPolicy).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use vouchsafe_net::http::{HeaderValue, Method, Request, Response, header};
use vouchsafe_net::server::{Handler, Limits, Peer};
use vouchsafe_net::tls::Identity;
use vouchsafe_policies::GrantSet;

use crate::admit::{Answer, admit};
use crate::config::Config;
use crate::decision::Outcome;
use crate::grants::Grants;
use crate::metrics::Metrics;
use crate::warn::warn;

/// Takes the structured line of one decision.
pub type DecisionLog = Box<dyn Fn(&str) + Send + Sync>;

/// Answers the webhook's requests.
pub struct Webhook {
    /// Settings, replaced when the trust bundle changes.
    pub config: Arc<ArcSwap<Config>>,
    /// Grants in use.
    pub grants: Grants,
    /// Serving certificate; `None` where somebody else ends TLS.
    pub identity: Option<Identity>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where decisions go.
    pub decisions: DecisionLog,
}

impl Handler for Webhook {
    async fn handle(&self, request: Request, _peer: Peer) -> Response {
        let response = self.answer(&request, SystemTime::now());
        if !matches!(response.status, 200 | 400 | 503) {
            self.metrics.refused_request(response.status);
        }
        response
    }
}

/// What a path wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Mutate,
    Warn,
    Health,
    Ready,
    Metrics,
}

impl Webhook {
    fn answer(&self, request: &Request, now: SystemTime) -> Response {
        let Some(route) = route(&request.path) else {
            return Response::text(404, format!("no such path; there are {PATHS}\n"));
        };
        let method = route.method();
        if request.method != method {
            let mut response = Response::text(405, format!("use {method} here\n"));
            response.headers.insert(header::ALLOW, HeaderValue::from_static(route.allow()));
            return response;
        }
        match route {
            Route::Health => Response::text(200, "ok\n"),
            Route::Ready => self.ready(now),
            Route::Metrics => {
                self.measure();
                let mut response = Response::text(200, self.metrics.text());
                response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
                response
            }
            Route::Mutate | Route::Warn => match content_type(request) {
                Ok(()) => self.review(route, request),
                Err(problem) => Response::text(415, problem),
            },
        }
    }

    fn review(&self, route: Route, request: &Request) -> Response {
        let begun = Instant::now();
        let state = self.grants.state();
        let nothing = GrantSet::default();
        let grants = state.set.as_deref().unwrap_or(&nothing);
        let config = self.config.load();
        // EXPOSE: an AdmissionReview is read here; its object may carry what a careless author wrote into an environment.
        let body = request.body.expose();
        let mut answer = if route == Route::Warn { warn(body, grants, &config) } else { admit(body, grants, &config) };
        if state.set.is_none() && answer.line.outcome == Outcome::Refused {
            answer = unready(answer);
        }
        let took = begun.elapsed();
        self.metrics.review(answer.line.outcome, took);
        (self.decisions)(&answer.line.to_line(took.as_millis()));
        Response::json(answer.status, &answer.body)
    }

    fn ready(&self, now: SystemTime) -> Response {
        let state = self.grants.state();
        let mut problems = Vec::new();
        if state.set.is_none() {
            problems.push("Grants were not read yet".to_owned());
            problems.extend(state.faults.iter().take(SHOWN_FAULTS).cloned());
        }
        let ends = self.identity.as_ref().and_then(Identity::not_after);
        if ends.is_some_and(|ends| ends <= now) {
            problems.push("the certificate has expired; renew tls.crt and tls.key in the TLS folder".to_owned());
        }
        if problems.is_empty() {
            let count = state.set.as_ref().map_or(0, |set| set.len());
            return Response::text(
                200,
                format!("ready: {count} Grants, {} faults in their source\n", state.faults.len()),
            );
        }
        Response::text(503, format!("not ready: {}\n", problems.join("; ")))
    }

    /// Gauges that are read rather than counted.
    fn measure(&self) {
        let state = self.grants.state();
        self.metrics.grants.set(signed(state.set.as_ref().map_or(0, |set| set.len())));
        self.metrics.grant_faults.set(signed(state.faults.len()));
        let ends =
            self.identity.as_ref().and_then(Identity::not_after).and_then(|ends| ends.duration_since(UNIX_EPOCH).ok());
        self.metrics.certificate_ends.set(ends.map_or(0, |ends| i64::try_from(ends.as_secs()).unwrap_or(i64::MAX)));
    }
}

impl Route {
    fn method(self) -> Method {
        match self {
            Self::Mutate | Self::Warn => Method::POST,
            Self::Health | Self::Ready | Self::Metrics => Method::GET,
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Mutate | Self::Warn => "POST",
            Self::Health | Self::Ready | Self::Metrics => "GET",
        }
    }
}

/// Paths are compared byte by byte: `//mutate` and `/mutate/..` are other paths.
fn route(path: &str) -> Option<Route> {
    match path {
        "/mutate" => Some(Route::Mutate),
        "/warn" => Some(Route::Warn),
        "/healthz" => Some(Route::Health),
        "/readyz" => Some(Route::Ready),
        "/metrics" => Some(Route::Metrics),
        _ => None,
    }
}

/// `application/json`, parameters allowed.
fn content_type(request: &Request) -> Result<(), String> {
    let Some(value) = request.header(header::CONTENT_TYPE) else {
        return Err("Content-Type is missing; send application/json\n".to_owned());
    };
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(format!("Content-Type {} is not application/json\n", vouchsafe_model::text::quoted(kind)))
}

/// Before Grants were read nothing can be refused for want of one: the API server is to ask again.
fn unready(refused: Answer) -> Answer {
    let message = "vouchsafe: Grants were not read yet; try again in a moment";
    let body = serde_json::json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 503,
                                  "reason": "ServiceUnavailable", "message": message});
    let mut line = refused.line;
    "Grants were not read yet".clone_into(&mut line.reason);
    Answer { status: 503, body, line }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Limits of the webhook's server.
pub fn limits() -> Limits {
    Limits { body_bytes: BODY_BYTES, handler_timeout: HANDLER_TIMEOUT, connections: CONNECTIONS, ..Limits::default() }
}

/// All paths, for people who mistyped one.
const PATHS: &str = "/mutate, /warn, /healthz, /readyz and /metrics";
/// Largest body: an object of 3 MiB is the most that API servers store (etcd's limit with reserve), and its envelope.
pub const BODY_BYTES: usize = 3 * 1024 * 1024 + 64 * 1024;
/// API servers wait 10 s by default; an answer after that helps nobody.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(9);
/// A handful of API servers with a few connections each, probes, Prometheus; more is an attack.
const CONNECTIONS: usize = 256;
/// Faults that `/readyz` repeats.
const SHOWN_FAULTS: usize = 5;
/// Content type of the metrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
