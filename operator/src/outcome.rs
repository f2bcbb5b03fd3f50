//! What a pass over a Registry found, about it and about each identity and policy: the material of every status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crds::Registry;
use kube::runtime::reflector::ObjectRef;

/// A finding: yes, no or not known yet, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether it holds.
    pub(crate) holds: Option<bool>,
    /// A reason of [`crds::reasons`].
    pub(crate) reason: &'static str,
    /// For people: what is wrong, where, what to do, what was kept.
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            holds: Some(true),
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            holds: Some(false),
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            holds: None,
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn is_yes(&self) -> bool {
        self.holds == Some(true)
    }
}

/// What a pass found about an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityOutcome {
    /// Generation of the identity that this is about.
    pub(crate) generation: Option<i64>,
    pub(crate) username: String,
    pub(crate) accepted: Verdict,
    pub(crate) resolved: Verdict,
    pub(crate) programmed: Verdict,
    /// Whether the identity is disabled by its spec.
    pub(crate) disabled: bool,
    /// The Secret with the generated password, where there is one.
    pub(crate) credentials_secret: Option<String>,
}

/// What a pass found about a policy, for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyOutcome {
    /// Generation of the policy that this is about.
    pub(crate) generation: Option<i64>,
    pub(crate) accepted: Verdict,
    pub(crate) programmed: Verdict,
}

/// What the last pass over a Registry found about others, by UID.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    pub(crate) identities: HashMap<String, IdentityOutcome>,
    pub(crate) policies: HashMap<String, PolicyOutcome>,
}

/// The latest outcome of each Registry, kept while the operator runs.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(Mutex<HashMap<ObjectRef<Registry>, Arc<Outcome>>>);

impl Outcomes {
    /// What the last pass over `registry` found; `None` before the first.
    pub(crate) fn of(&self, registry: &ObjectRef<Registry>) -> Option<Arc<Outcome>> {
        self.0.lock().expect("no holder panics").get(registry).cloned()
    }

    /// Keeps what a pass found and returns what the one before did.
    pub(crate) fn replace(&self, registry: ObjectRef<Registry>, outcome: Arc<Outcome>) -> Option<Arc<Outcome>> {
        self.0.lock().expect("no holder panics").insert(registry, outcome)
    }

    /// Forgets a Registry that is gone.
    pub(crate) fn forget(&self, registry: &ObjectRef<Registry>) {
        self.0.lock().expect("no holder panics").remove(registry);
    }
}
