//! Work on all cores, with a short queue in front of them.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::super::super::Error;

/// Threads at most: more only make a disk seek.
const MOST: usize = 16;
/// How many jobs wait at most.
const QUEUE: usize = 64;

/// Does `work` on each job that `produce` hands out, and returns when all are done. The first error ends it; `produce`
/// learns of it by getting `false`.
pub(super) fn run<J: Send>(
    produce: impl FnOnce(&mut dyn FnMut(J) -> bool),
    work: impl Fn(J) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let count = thread::available_parallelism().map_or(1, usize::from).min(MOST);
    let (sender, receiver) = sync_channel(QUEUE);
    let receiver = Arc::new(Mutex::new(receiver));
    let first_error = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..count {
            let (receiver, work, first_error) = (receiver.clone(), &work, &first_error);
            scope.spawn(move || {
                while let Some(job) = next(&receiver) {
                    if let Err(error) = work(job) {
                        let mut first = first_error.lock().unwrap_or_else(PoisonError::into_inner);
                        first.get_or_insert(error);
                        return;
                    }
                }
            });
        }
        // The threads alone hold it now: when all have ended, nothing can be sent any more.
        drop(receiver);
        let has_failed = || first_error.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        produce(&mut |job| !has_failed() && sender.send(job).is_ok());
        drop(sender);
    });
    let first = first_error.into_inner().unwrap_or_else(PoisonError::into_inner);
    first.map_or(Ok(()), Err)
}

fn next<J>(receiver: &Mutex<Receiver<J>>) -> Option<J> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
