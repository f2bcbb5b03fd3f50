//! [`Hashers`]: threads that do the expensive work for passwords.
//!
//! They are few and always the same, because each keeps the memory that a hash needs; and of low priority, so that a flood of
//! wrong passwords takes time from nobody who pulls.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use registry_config::HashMemory;
use tokio::sync::oneshot;

/// How much the threads give way to others, on the scale of `nice`.
const PRIORITY: i32 = 10;

type Job = Box<dyn FnOnce(&mut HashMemory) + Send>;

/// The threads. They end with this.
#[derive(Debug)]
pub(super) struct Hashers(Mutex<Sender<Job>>);

impl Hashers {
    /// Starts so many threads.
    ///
    /// # Errors
    /// Where the system refuses one.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = receiver.clone();
            Builder::new()
                .name("hasher".to_owned())
                .spawn(move || work(&receiver))?;
        }
        Ok(Self(Mutex::new(sender)))
    }

    /// Runs `work` on one of the threads; `None` where it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |memory: &mut HashMemory| {
            // Nobody waits any more where the client has gone away.
            let _ = answer.send(work(memory));
        });
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(job);
        sent.ok()?;
        answered.await.ok()
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    // Linux has a priority for each thread. Where it refuses, the work is done all the same.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), PRIORITY);
    let mut memory = HashMemory::default();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // The panic was reported, and whoever waits sees that there is no answer.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
    }
}
