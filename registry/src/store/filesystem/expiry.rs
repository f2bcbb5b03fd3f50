//! The end of upload sessions that nobody writes to: this process's own, and those that an earlier one or another registry
//! has left.
//!
//! The directories are walked once after the start. From then on every session is known, because one process at a time
//! uses a store, so looking for those whose end has come touches no disk.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::Error;
use super::tree::Tree;

/// How often sessions are looked at, at least and at most; in between, four times in the life of a session.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// The thread that removes them, until it is dropped.
#[derive(Debug)]
pub(super) struct Expiry {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Expiry {
    pub(super) fn start(tree: &Arc<Tree>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let tree = Arc::downgrade(tree);
        let thread = std::thread::Builder::new()
            .name("uploads".to_owned())
            .spawn(move || run(&tree, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there, and is no reason for another one here.
            let _ = thread.join();
        }
    }
}

fn run(tree: &Weak<Tree>, stopped: &Receiver<()>) {
    let is_stopped = || !matches!(stopped.try_recv(), Err(TryRecvError::Empty));
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
        if !matches!(stopped.recv_timeout(interval), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

fn warn(error: &Error, what: &str) {
    tracing::warn!(error = error as &dyn std::error::Error, "{what}");
}
