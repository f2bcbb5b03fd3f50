//! When a policy is in force.

use jiff::Timestamp;

/// A span of time; by default all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// From this instant on; absent: since ever.
    pub not_before: Option<Timestamp>,
    /// Until just before this instant; absent: for ever.
    pub not_after: Option<Timestamp>,
}

impl Window {
    /// Whether the window is open at an instant.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.not_before.is_none_or(|start| start <= at) && self.not_after.is_none_or(|end| at < end)
    }
}
