//! What every pass shares: the client, the stores, the queues, and the memory between passes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crds::Registry;
use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::reflector::ObjectRef;

use crate::api;
use crate::cluster_issuer::KnownIssuer;
use crate::decoded::Decoded;
use crate::hashing::Hashing;
use crate::metrics::Metrics;
use crate::outcome::Outcomes;
use crate::registry::apply::Applied;
use crate::registry::elsewhere::Elsewhere;
use crate::registry::proof::Proofs;
use crate::registry::snapshot::Published;
use crate::settings::Settings;
use crate::state::State;
use crate::stores::{Queues, Stores};

/// What every pass shares.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) stores: Arc<Stores>,
    pub(crate) queues: Queues,
    pub(crate) outcomes: Outcomes,
    pub(crate) hashing: Arc<Hashing>,
    pub(crate) cluster_issuer: KnownIssuer,
    pub(crate) proofs: Proofs,
    pub(crate) applied: Applied,
    pub(crate) elsewhere: Elsewhere,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) recorder: Recorder,
    /// Consecutive failures of each object's passes.
    pub(crate) failures: Failures,
    /// The access documents that were read or published last.
    pub(crate) documents: Decoded<Published>,
    /// What was kept about Registries last.
    pub(crate) states: Decoded<State>,
    /// When each Registry's access document was published last.
    pub(crate) published: Mutex<HashMap<ObjectRef<Registry>, Instant>>,
}

impl Context {
    /// Tells an object's story: an event that `kubectl describe` shows. A lost event stops nothing.
    pub(crate) async fn tell(
        &self,
        about: &k8s_openapi::api::core::v1::ObjectReference,
        type_: EventType,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note.chars().take(1000).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = api::call("publish an event", self.recorder.publish(&event, about)).await
            && !error.is_terminating()
        {
            tracing::warn!(error = api::chain(&error), reason, "event lost");
        }
    }
}

/// Exponential back-off for each object of any kind.
#[derive(Default)]
pub(crate) struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(60);

    /// When to try again after one more failure.
    pub(crate) fn retry(&self, object: &impl ToString) -> Action {
        let mut failures = self.0.lock().expect("no holder panics");
        let count = failures.entry(object.to_string()).or_insert(0);
        *count = count.saturating_add(1);
        let delay = Self::FIRST
            .saturating_mul(2_u32.saturating_pow(*count - 1))
            .min(Self::LONGEST);
        Action::requeue(delay)
    }

    /// Forgets the failures of an object whose pass succeeded.
    pub(crate) fn clear(&self, object: &impl ToString) {
        self.0.lock().expect("no holder panics").remove(&object.to_string());
    }
}

/// Removes all entries whose key is not kept.
pub(crate) fn retain_keys<K: Eq + Hash, V>(map: &Mutex<HashMap<K, V>>, mut keep: impl FnMut(&K) -> bool) {
    map.lock().expect("no holder panics").retain(|key, _| keep(key));
}
