//! What is counted about the store.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as MetricsRegistry;

use crate::store::Error;

/// The counters of a store. Cloning gives another handle to the same counters.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    operations: Family<OperationLabels, Counter>,
    seconds: Family<SecondsLabels, Histogram, fn() -> Histogram>,
    sessions: Gauge,
    manifests: Family<CacheLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
    result: OperationResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecondsLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum OperationResult {
    Done,
    /// What was asked for is not there, or not allowed by the rules of content.
    Refused,
    /// The medium could not.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    result: CacheResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum CacheResult {
    Hit,
    Miss,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            operations: Family::default(),
            seconds: Family::new_with_constructor(super::durations),
            sessions: Gauge::default(),
            manifests: Family::default(),
        }
    }
}

impl StoreMetrics {
    pub(super) fn register(&self, all: &mut MetricsRegistry) {
        all.register(
            "store_operations",
            "Operations of the store, by result",
            self.operations.clone(),
        );
        all.register(
            "store_operation_seconds",
            "How long operations of the store took; receiving an upload takes as long as its client does",
            self.seconds.clone(),
        );
        all.register(
            "upload_sessions",
            "Upload sessions that are open, as far as they are known: those of before a restart are found in the background",
            self.sessions.clone(),
        );
        all.register(
            "manifest_cache",
            "Manifests that were asked for, by whether they came from memory",
            self.manifests.clone(),
        );
    }

    pub(crate) fn operation<T>(&self, operation: &'static str, result: &Result<T, Error>, took: Duration) {
        let result = match result {
            Ok(_) => OperationResult::Done,
            Err(error) if error.is_failure() => OperationResult::Failed,
            Err(_) => OperationResult::Refused,
        };
        self.operations
            .get_or_create(&OperationLabels { operation, result })
            .inc();
        self.seconds
            .get_or_create(&SecondsLabels { operation })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn sessions(&self, open: usize) {
        self.sessions.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(crate) fn manifest(&self, is_hit: bool) {
        let result = if is_hit { CacheResult::Hit } else { CacheResult::Miss };
        self.manifests.get_or_create(&CacheLabels { result }).inc();
    }
}
