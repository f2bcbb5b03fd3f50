//! The end of upload sessions that nobody writes to: this process's own, and those that an earlier one or another registry
//! has left.
//!
//! The directories are walked once after the start. From then on every session is known, because one process at a time
//! uses a store, so looking for those whose end has come touches no disk.

use std::sync::Weak;
use std::time::Duration;

use super::super::Error;
use super::background::Stop;
use super::tree::Tree;

/// How often sessions are looked at, at least and at most; in between, four times in the life of a session.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// Removes sessions until it is told to stop.
pub(super) fn run(tree: &Weak<Tree>, stop: &Stop) {
    let is_stopped = || stop.has_come();
    let interval = match tree.upgrade() {
        Some(tree) => {
            if let Err(error) = tree.find_uploads(&is_stopped) {
                warn(
                    &error,
                    "cannot look for the upload sessions that were left: they end after the next start",
                );
            }
            (tree.sessions().expire_after() / 4).clamp(INTERVALS.0, INTERVALS.1)
        }
        None => return,
    };
    loop {
        if let Some(tree) = tree.upgrade() {
            match tree.expire_uploads(&is_stopped) {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "removed upload sessions that nobody had written to for long"),
                Err(error) => warn(&error, "cannot remove an upload session that has expired"),
            }
        }
        if stop.comes_within(interval) {
            return;
        }
    }
}

fn warn(error: &Error, what: &str) {
    tracing::warn!(error = error as &dyn std::error::Error, "{what}");
}
