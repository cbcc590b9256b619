//! `Metrics`: what Prometheus reads. Every label has a fixed set of values: nobody can grow it from outside.
//!
//! Out of scope: names of pods, namespaces and Grants; they stand in the log.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::decision::Outcome;

/// All metrics of the webhook.
pub struct Metrics {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    seconds: Histogram,
    refused_requests: Family<StatusLabels, Counter>,
    /// Grants in use.
    pub grants: Gauge,
    /// Faults in the Grants' source that wait to be mended.
    pub grant_faults: Gauge,
    /// Unix time of the last successful reading of Grants.
    pub grants_read: Gauge,
    /// Unix time at which the certificate ends.
    pub certificate_ends: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReviewLabels {
    decision: Outcome,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabels {
    status: u32,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

impl Metrics {
    /// Metrics that are all zero; every decision is present from the start.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("vouchsafe_webhook"),
            reviews: Family::default(),
            seconds: Histogram::new(SECONDS),
            refused_requests: Family::default(),
            grants: Gauge::default(),
            grant_faults: Gauge::default(),
            grants_read: Gauge::default(),
            certificate_ends: Gauge::default(),
        };
        for decision in Outcome::ALL {
            let _ = metrics.reviews.get_or_create(&ReviewLabels { decision });
        }
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("reviews", "AdmissionReviews by decision", self.reviews.clone());
        registry.register("review_seconds", "Time from body to answer", self.seconds.clone());
        registry.register(
            "refused_requests",
            "HTTP requests that were no review, by status",
            self.refused_requests.clone(),
        );
        registry.register("grants", "Grants in use", self.grants.clone());
        registry.register("grant_faults", "Faults in the Grants' source", self.grant_faults.clone());
        registry.register(
            "grants_read_timestamp_seconds",
            "Last successful reading of Grants",
            self.grants_read.clone(),
        );
        registry.register(
            "certificate_end_timestamp_seconds",
            "End of the serving certificate",
            self.certificate_ends.clone(),
        );
        self
    }

    /// Counts one review.
    pub fn review(&self, decision: Outcome, took: Duration) {
        self.reviews.get_or_create(&ReviewLabels { decision }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a request that got no further than its head.
    pub fn refused_request(&self, status: u16) {
        self.refused_requests.get_or_create(&StatusLabels { status: u32::from(status) }).inc();
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

/// Upper bounds in seconds: a usual review takes well under a millisecond; API servers wait 10 s.
const SECONDS: [f64; 8] = [0.000_25, 0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 10.0];
