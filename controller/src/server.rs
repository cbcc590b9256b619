//! The HTTP face: `/healthz`, `/readyz`, `/metrics`, plain, for the kubelet and Prometheus.
//!
//! Ready means: this replica reads the Lease, and what it did last as holder had no fault. Nothing here is secret.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vouchsafe_net::http::{HeaderValue, Method, Request, Response, header};
use vouchsafe_net::server::{Handler, Limits, Peer};

use crate::metrics::Metrics;

/// What the probes want to know.
#[derive(Default)]
pub struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    /// When the Lease was read last.
    contact: Option<Instant>,
    leads: bool,
    /// Whether everything was looked at since this replica leads.
    has_looked: bool,
    /// What the last look found wrong.
    problems: Vec<String>,
}

impl Health {
    /// The Lease was read; whether this replica holds it.
    pub fn contact(&self, leads: bool, now: Instant) {
        let mut state = self.lock();
        if state.leads != leads {
            state.has_looked = false;
            state.problems.clear();
        }
        (state.contact, state.leads) = (Some(now), leads);
    }

    /// The outcome of a look at everything.
    pub fn looked(&self, problems: Vec<String>) {
        let mut state = self.lock();
        state.has_looked = true;
        state.problems = problems;
    }

    fn answer(&self, now: Instant) -> (u16, String) {
        let state = self.lock();
        match state.contact {
            None => (503, "not ready: the Lease was not read yet; the log says why\n".to_owned()),
            Some(contact) if now.saturating_duration_since(contact) > SILENCE => {
                (503, format!("not ready: the Lease was not read for {} s; the log says why\n", SILENCE.as_secs()))
            }
            Some(_) if !state.leads => (200, "ready: another replica works\n".to_owned()),
            Some(_) if !state.has_looked => (503, "not ready: just began to work\n".to_owned()),
            Some(_) if state.problems.is_empty() => (200, "ready: this replica works\n".to_owned()),
            Some(_) => (503, format!("not ready: {}\n", state.problems.join("; "))),
        }
    }

    /// A panic while the lock is held cannot leave the state half changed, so poison is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers probes.
pub struct Face {
    /// What the probes want to know.
    pub health: Arc<Health>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Handler for Face {
    async fn handle(&self, request: Request, _peer: Peer) -> Response {
        self.answer(&request, Instant::now())
    }
}

impl Face {
    fn answer(&self, request: &Request, now: Instant) -> Response {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Response::text(405, "use GET here\n");
        }
        match request.path.as_str() {
            "/healthz" => Response::text(200, "ok\n"),
            "/readyz" => {
                let (status, text) = self.health.answer(now);
                Response::text(status, text)
            }
            "/metrics" => {
                let mut response = Response::text(200, self.metrics.text());
                response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
                response
            }
            _ => Response::text(404, "no such path; there are /healthz, /readyz and /metrics\n"),
        }
    }
}

/// Limits of a server that probes alone talk to.
pub fn limits() -> Limits {
    Limits { body_bytes: 0, connections: CONNECTIONS, ..Limits::default() }
}

/// Three looks at the Lease in vain, and some reserve.
const SILENCE: Duration = Duration::from_secs(30);
/// A kubelet, a Prometheus or two, a curious person.
const CONNECTIONS: usize = 32;
/// Content type of the metrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(health: &Health, now: Instant) -> (u16, String) {
        health.answer(now)
    }

    #[test]
    fn readiness_says_what_is_missing() {
        let health = Health::default();
        let now = Instant::now();
        assert_eq!(ready(&health, now).0, 503);
        health.contact(false, now);
        assert_eq!(ready(&health, now).0, 200);
        health.contact(true, now);
        assert!(ready(&health, now).1.contains("just began"));
        health.looked(vec!["Secret ns/a does not exist".to_owned()]);
        assert_eq!(ready(&health, now), (503, "not ready: Secret ns/a does not exist\n".to_owned()));
        health.looked(Vec::new());
        assert_eq!(ready(&health, now).0, 200);
        assert_eq!(ready(&health, now + Duration::from_secs(31)).0, 503);
    }

    #[test]
    fn paths_and_methods_are_answered_by_name() {
        let face = Face { health: Arc::default(), metrics: Arc::default() };
        face.metrics.repaired("vouchsafe");
        let ask = |method: Method, path: &str| face.answer(&Request::new(method, path), Instant::now());
        assert_eq!(ask(Method::GET, "/healthz").status, 200);
        assert_eq!(ask(Method::POST, "/healthz").status, 405);
        assert_eq!(ask(Method::GET, "/readyz").status, 503);
        assert_eq!(ask(Method::GET, "/x").status, 404);
        let text = String::from_utf8(ask(Method::GET, "/metrics").body.expose().to_vec()).unwrap();
        assert!(text.contains("vouchsafe_controller_ca_bundle_repairs_total{object=\"vouchsafe\"} 1"), "{text}");
    }
}
