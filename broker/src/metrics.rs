//! Metrics in the text form of Prometheus. Labels are classes and statuses, a fixed set: never a path, name or id.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use vouchsafe_net::server::Counters;

use crate::audit::LogState;
use crate::route::Class;

/// What the broker counts.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Histogram,
    audit_seconds: Histogram,
    /// Changes told to watchers.
    pub(crate) changes: Counter,
    /// Tokens revoked after a goodbye.
    pub(crate) revocations: Counter,
    /// Watchers that wait now.
    pub(crate) watchers: Gauge,
    sampled: Sampled,
}

/// Numbers that live elsewhere and are copied when somebody asks.
#[derive(Clone, Default)]
struct Sampled {
    sessions: Gauge,
    goodbyes: Gauge,
    connections: Gauge,
    connections_rejected: Gauge,
    audit_records: Gauge,
    audit_syncs: Gauge,
    audit_failures: Gauge,
    audit_writable: Gauge,
}

/// Numbers of the moment.
pub(crate) struct Moment<'a> {
    pub(crate) sessions: usize,
    pub(crate) goodbyes: usize,
    pub(crate) log: &'a Arc<LogState>,
    pub(crate) connections: &'a Counters,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    class: &'static str,
    status: &'static str,
}

impl Metrics {
    /// Everything at zero.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("vouchsafe_broker"),
            requests: Family::default(),
            seconds: Histogram::new(SECONDS),
            audit_seconds: Histogram::new(SECONDS),
            changes: Counter::default(),
            revocations: Counter::default(),
            watchers: Gauge::default(),
            sampled: Sampled::default(),
        };
        metrics.register();
        metrics
    }

    /// Counts an answer. Long polls count, but their time does not: it says nothing.
    pub(crate) fn answered(&self, class: Class, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { class: class.name(), status: status_class(status) }).inc();
        if !matches!(class, Class::Extension(_)) {
            self.seconds.observe(took.as_secs_f64());
        }
    }

    /// Counts the wait for one record.
    pub(crate) fn recorded(&self, took: Duration) {
        self.audit_seconds.observe(took.as_secs_f64());
    }

    /// The text that `/metrics` answers.
    pub(crate) fn text(&self, moment: &Moment<'_>) -> String {
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let (sampled, log) = (&self.sampled, moment.log);
        set(&sampled.sessions, count(moment.sessions));
        set(&sampled.goodbyes, count(moment.goodbyes));
        set(&sampled.connections, count(moment.connections.open()));
        set(&sampled.connections_rejected, moment.connections.rejected());
        set(&sampled.audit_records, log.records());
        set(&sampled.audit_syncs, log.batches());
        set(&sampled.audit_failures, log.failures());
        set(&sampled.audit_writable, u64::from(log.is_writable()));
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn register(&mut self) {
        let (registry, sampled) = (&mut self.registry, self.sampled.clone());
        registry.register("requests", "Answers by class and status", self.requests.clone());
        registry.register("request_seconds", "Time to an answer, long polls apart", self.seconds.clone());
        registry.register("audit_seconds", "Time until a record was durable", self.audit_seconds.clone());
        registry.register("changes", "Changes told to watchers", self.changes.clone());
        registry.register("revocations", "Tokens revoked after a goodbye", self.revocations.clone());
        registry.register("watchers", "Watchers that wait", self.watchers.clone());
        registry.register("sessions", "Tokens known", sampled.sessions);
        registry.register("goodbyes", "Tokens to be revoked", sampled.goodbyes);
        registry.register("connections", "Connections open", sampled.connections);
        registry.register(
            "connections_rejected",
            "Connections over the limit since the start",
            sampled.connections_rejected,
        );
        registry.register("audit_records", "Records made durable since the start", sampled.audit_records);
        registry.register("audit_syncs", "Syncs of the audit log since the start", sampled.audit_syncs);
        registry.register("audit_failures", "Requests without a record since the start", sampled.audit_failures);
        registry.register(
            "audit_writable",
            "Whether the last write of the audit log succeeded",
            sampled.audit_writable,
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn status_class(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        400 => "400",
        403 => "403",
        404 => "404",
        429 => "429",
        300..=499 => "4xx",
        503 => "503",
        _ => "5xx",
    }
}

/// Buckets from below one sync of a fast disk to above every time-out that clients use.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0];
