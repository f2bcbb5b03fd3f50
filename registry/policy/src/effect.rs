//! What a policy does with the requests that match it.

use serde::{Deserialize, Serialize};

/// Whether a matching policy allows or denies. There is no default: a forgotten effect must not widen access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// A match allows the request unless some Deny matches too.
    Allow,
    /// A match denies the request, whatever else matches.
    Deny,
}
