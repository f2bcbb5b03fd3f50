//! Work beside the requests: a thread that ends with the store.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::tree::Tree;

/// A thread that works on the tree until it is dropped.
#[derive(Debug)]
pub(super) struct Background {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Tells the thread when it is to end.
pub(super) struct Stop(Receiver<()>);

impl Background {
    /// Starts `work`. It holds the tree only while it works, so that the store can end in between.
    pub(super) fn start(
        name: &str,
        tree: &Arc<Tree>,
        work: impl FnOnce(&Weak<Tree>, &Stop) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let tree = Arc::downgrade(tree);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&tree, &Stop(stopped)))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there, and is no reason for another one here.
            let _ = thread.join();
        }
    }
}

impl Stop {
    /// Whether the time to end has come.
    pub(super) fn has_come(&self) -> bool {
        !matches!(self.0.try_recv(), Err(TryRecvError::Empty))
    }

    /// Waits for it, at most so long. Whether it has come.
    pub(super) fn comes_within(&self, interval: Duration) -> bool {
        !matches!(self.0.recv_timeout(interval), Err(RecvTimeoutError::Timeout))
    }
}
