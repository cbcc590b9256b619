//! `Metrics`: what Prometheus reads. Labels are names of objects that the flags give, so nobody can grow them from outside.

use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// All metrics of the controller.
pub struct Metrics {
    registry: Registry,
    certificates: Family<CertificateLabels, Gauge>,
    repairs: Family<ObjectLabels, Counter>,
    writes: Family<ObjectLabels, Counter>,
    failures: Family<ObjectLabels, Counter>,
    /// 1 while this replica works, else 0.
    pub leader: Gauge,
    /// Grants that compile.
    pub compiled: Gauge,
    /// Grants that are refused.
    pub refused: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CertificateLabels {
    certificate: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ObjectLabels {
    object: String,
}

impl Metrics {
    /// Metrics that are all zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("vouchsafe_controller"),
            certificates: Family::default(),
            repairs: Family::default(),
            writes: Family::default(),
            failures: Family::default(),
            leader: Gauge::default(),
            compiled: Gauge::default(),
            refused: Gauge::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "certificate_end_timestamp_seconds",
            "End of a certificate: a server's by its Secret, the roots as current and next",
            self.certificates.clone(),
        );
        registry.register("ca_bundle_repairs", "caBundles written, by webhook configuration", self.repairs.clone());
        registry.register("writes", "Secrets and ConfigMaps written, by name", self.writes.clone());
        registry.register("failures", "Looks that failed, by what was looked at", self.failures.clone());
        registry.register("leader", "1 while this replica works", self.leader.clone());
        registry.register("grants_compiled", "Grants that compile", self.compiled.clone());
        registry.register("grants_refused", "Grants that are refused", self.refused.clone());
        self
    }

    /// Notes when a certificate ends.
    pub fn certificate(&self, certificate: &str, ends: SystemTime) {
        let seconds = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let labels = CertificateLabels { certificate: certificate.to_owned() };
        self.certificates.get_or_create(&labels).set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Counts a repaired caBundle.
    pub fn repaired(&self, configuration: &str) {
        self.repairs.get_or_create(&ObjectLabels { object: configuration.to_owned() }).inc();
    }

    /// Counts a write.
    pub fn wrote(&self, object: &str) {
        self.writes.get_or_create(&ObjectLabels { object: object.to_owned() }).inc();
    }

    /// Counts a failed look.
    pub fn failed(&self, object: &str) {
        self.failures.get_or_create(&ObjectLabels { object: object.to_owned() }).inc();
    }

    /// OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
