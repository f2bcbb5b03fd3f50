//! Prometheus metrics of the operator. Labels are bounded: kinds and results, never names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry as MetricRegistry;

/// All metrics of the operator.
pub struct Metrics {
    registry: MetricRegistry,
    /// Passes over objects.
    pub reconciles: Family<Pass, Counter>,
    /// Seconds that a pass over a Registry took.
    pub reconcile_seconds: Histogram,
    /// Access documents published.
    pub publications: Counter,
    /// Passwords waiting to be hashed.
    pub hashes_pending: Gauge,
    /// 1 while this process leads.
    pub leader: Gauge,
}

/// Labels of [`Metrics::reconciles`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Pass {
    /// `Registry`, `RegistryIdentity` or `AccessPolicy`.
    pub kind: &'static str,
    /// `ok` or `error`.
    pub result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = MetricRegistry::with_prefix("wharfinger_operator");
        let reconciles = Family::default();
        let reconcile_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let publications = Counter::default();
        let hashes_pending = Gauge::default();
        let leader = Gauge::default();
        registry.register("reconciles", "Passes over objects", reconciles.clone());
        registry.register(
            "reconcile_seconds",
            "Duration of passes over Registries",
            reconcile_seconds.clone(),
        );
        registry.register(
            "access_publications",
            "Access documents published",
            publications.clone(),
        );
        registry.register(
            "hashes_pending",
            "Passwords waiting to be hashed",
            hashes_pending.clone(),
        );
        registry.register("leader", "Whether this process leads", leader.clone());
        Self {
            registry,
            reconciles,
            reconcile_seconds,
            publications,
            hashes_pending,
            leader,
        }
    }
}

impl Metrics {
    /// All metrics in the `OpenMetrics` text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }
}
