//! From text to a checked syntax tree, on a thread with a stack that no accepted length of text can exhaust.

use std::iter;
use std::panic::catch_unwind;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::compiled::Compiled;
use super::position::Positions;
use super::{ExpressionError, Purpose, check, environment, limits, syntax_error};

/// The stack of the parsing thread. The parser recurses with the nesting of the text, and chains such as `1+1+…`, which
/// its own depth limit does not see, come back as deep trees; the longest text of either kind needs up to 16 MiB
/// without optimisation.
pub(super) const STACK: usize = 32 << 20;

/// How long the parsing thread waits for more work. Documents come with thousands of expressions at once, and then
/// none for hours.
const IDLE: Duration = Duration::from_secs(1);

/// The parsing thread, when there is one.
static WORKER: Mutex<Option<Sender<Job>>> = Mutex::new(None);

struct Job {
    source: String,
    purpose: Purpose,
    answer: SyncSender<Result<Compiled, ExpressionError>>,
}

/// Parses `source` and checks that it can be used for `purpose`.
pub(super) fn parse(source: &str, purpose: Purpose) -> Result<Compiled, ExpressionError> {
    let whole = |message: String| ExpressionError {
        line: 1,
        column: 1,
        message,
    };
    if source.len() > limits::MAX_LENGTH {
        return Err(whole(format!(
            "the expression is {} bytes long: at most {} are allowed; {}",
            source.len(),
            limits::MAX_LENGTH,
            limits::SPLIT
        )));
    }
    if source.trim().is_empty() {
        return Err(whole(
            "the expression is empty: leave the field out if there is none".to_owned(),
        ));
    }
    loop {
        let (answer, result) = sync_channel(1);
        submit(Job {
            source: source.to_owned(),
            purpose,
            answer,
        })
        .map_err(|error| whole(format!("the expression cannot be parsed now: {error}")))?;
        // The thread may have stopped waiting at the very moment when it was given the job; then there is no answer,
        // and the next attempt starts another thread.
        if let Ok(result) = result.recv() {
            return result;
        }
    }
}

/// Gives a job to the parsing thread, starting it when there is none.
fn submit(job: Job) -> std::io::Result<()> {
    let mut worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
    let job = match worker.as_ref() {
        Some(jobs) => match jobs.send(job) {
            Ok(()) => return Ok(()),
            Err(refused) => refused.0,
        },
        None => job,
    };
    let (jobs, queue) = channel();
    let worker_thread = thread::Builder::new()
        .name("expression-parser".to_owned())
        .stack_size(STACK);
    worker_thread.spawn(move || work(job, &queue))?;
    *worker = Some(jobs);
    Ok(())
}

fn work(first: Job, queue: &Receiver<Job>) {
    let more = iter::from_fn(|| queue.recv_timeout(IDLE).ok());
    for job in iter::once(first).chain(more) {
        let result = catch_unwind(|| parse_here(&job.source, job.purpose)).unwrap_or_else(|_| {
            Err(ExpressionError {
                line: 1,
                column: 1,
                message: "the expression cannot be parsed".to_owned(),
            })
        });
        // Whoever asked waits for the answer, and if not, nobody misses it.
        let _ = job.answer.send(result);
    }
}

/// Parses and checks `source` on this thread, which needs a stack of [`STACK`] bytes.
fn parse_here(source: &str, purpose: Purpose) -> Result<Compiled, ExpressionError> {
    let program = environment::shared()
        .compile(source)
        .map_err(|errors| syntax_error::translate(&errors))?;
    let positions = Positions(program.source_info());
    let root = program.expression();
    if let Some(message) = limits::exceeded(root) {
        return Err(positions.error(positions.start(root), message));
    }
    check::check(root, &positions, purpose)?;
    Ok(Compiled::new(root.clone()))
}
