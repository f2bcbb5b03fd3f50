//! What is counted about the store.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as MetricsRegistry;

use super::{Durations, add, add_durations};
use crate::store::Error;

/// The counters of a store. Cloning gives another handle to the same counters.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    operations: Family<OperationLabels, Counter>,
    seconds: Durations<SecondsLabels>,
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
    /// Counters that nobody reads.
    fn default() -> Self {
        Self::among(&mut MetricsRegistry::default())
    }
}

impl StoreMetrics {
    /// New counters among `all`.
    pub(super) fn among(all: &mut MetricsRegistry) -> Self {
        Self {
            operations: add(all, "store_operations", "Operations of the store, by result"),
            seconds: add_durations(
                all,
                "store_operation_seconds",
                "How long operations of the store took; receiving an upload takes as long as its client does",
            ),
            sessions: add(
                all,
                "upload_sessions",
                "Upload sessions that are open, as far as they are known: those of before a restart are found in the background",
            ),
            manifests: add(
                all,
                "manifest_cache",
                "Manifests that were asked for, by whether they came from memory",
            ),
        }
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
