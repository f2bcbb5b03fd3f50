//! [`Current`]: which document is in force, and what happened to those that were refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use registry_config::DocumentError;
use serde::Serialize;
use tokio::sync::watch;

use super::Snapshot;
use crate::metrics::Metrics;
use crate::token::Key;

/// The document in force. One task replaces it; every request reads it without waiting.
#[derive(Debug)]
pub struct Current {
    snapshot: ArcSwapOption<Snapshot>,
    revision: watch::Sender<u64>,
    status: Mutex<Status>,
    own_key: Arc<Key>,
    metrics: Metrics,
}

/// What `/status` says about the access document. It names no identity, policy or repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The document in force, if any.
    pub in_force: Option<InForce>,
    /// The document that was refused last, as long as no other was accepted since.
    pub refused: Option<Refused>,
}

/// A document in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// Its revision.
    pub revision: u64,
    /// The digest of its content.
    pub digest: String,
}

/// A document that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its revision, where it could be read.
    pub revision: Option<u64>,
    /// Why, without any name that stands in the document.
    pub reason: String,
}

impl Current {
    /// Starts without a document: nobody is let in until one is there.
    pub fn new(own_key: Arc<Key>, metrics: Metrics) -> Self {
        Self {
            snapshot: ArcSwapOption::empty(),
            revision: watch::Sender::new(0),
            status: Mutex::default(),
            own_key,
            metrics,
        }
    }

    /// The document in force; `None` before the first was read.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// The key that signs tokens where the document has none.
    pub fn own_key(&self) -> &Arc<Key> {
        &self.own_key
    }

    /// What is to be said about the document.
    pub fn status(&self) -> Status {
        self.lock_status().clone()
    }

    /// Puts a document in force: every request whose head is read from now on is decided by it. [`Current::report`] is
    /// still to be called.
    pub fn enforce(&self, snapshot: Snapshot) {
        let revision = snapshot.revision();
        self.snapshot.store(Some(Arc::new(snapshot)));
        self.revision.send_replace(revision);
        self.metrics.document_accepted(revision);
    }

    /// Says that the document in force is in force. It must be one that a restart cannot lose.
    pub fn report(&self) {
        let Some(snapshot) = self.snapshot() else { return };
        let in_force = InForce {
            revision: snapshot.revision(),
            digest: snapshot.digest().to_owned(),
        };
        tracing::info!(
            revision = in_force.revision,
            digest = in_force.digest,
            "access document in force"
        );
        *self.lock_status() = Status {
            in_force: Some(in_force),
            refused: None,
        };
    }

    /// Notes that what was refused is no longer what is offered.
    pub fn clear_refusal(&self) {
        self.lock_status().refused = None;
    }

    /// Notes that a document was refused; the one in force stays.
    pub fn refuse(&self, revision: Option<u64>, reason: String) {
        let refused = Refused { revision, reason };
        let mut status = self.lock_status();
        // The same refusal is seen again at each re-list; it counts once.
        if status.refused.as_ref() != Some(&refused) {
            self.metrics.document_refused();
            status.refused = Some(refused);
        }
    }

    /// Waits until a document of at least `revision` is in force, at most for `limit`.
    pub async fn wait_for(&self, revision: u64, limit: Duration) {
        let mut revisions = self.revision.subscribe();
        // The sender lives as long as `self`; that the time is over is an answer as well.
        let _ = tokio::time::timeout(limit, revisions.wait_for(|reached| *reached >= revision)).await;
    }

    fn lock_status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a document was refused, without any name that stands in it: the status page has no access control.
pub(super) fn reason(error: &DocumentError) -> String {
    match error {
        DocumentError::Syntax { line, column, .. } => format!("not a valid document at line {line}, column {column}"),
        DocumentError::Kind { expected, .. } => format!("not a document of kind {expected}"),
        DocumentError::Version { found } => format!("formatVersion {found} is not supported"),
        DocumentError::Digest { .. } => "the content does not have the digest that its index names".to_owned(),
        DocumentError::Incomplete(_) => "a part is missing or cannot be unpacked".to_owned(),
        DocumentError::Invalid(problems) => {
            let first = problems
                .first()
                .map(|problem| problem.path.as_str())
                .unwrap_or_default();
            format!("{} of its values are not valid, the first is {first}", problems.len())
        }
    }
}
