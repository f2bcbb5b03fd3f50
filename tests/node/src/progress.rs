//! Says what is being done and how long it has taken, so that nobody looks at a silent terminal.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Where the steps of a long operation are reported; each line carries the seconds since this value was made.
#[derive(Clone)]
pub struct Progress {
    started: Instant,
    print: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Progress {
    /// Reports to standard error.
    pub fn stderr() -> Self {
        Self::to(|line| eprintln!("{line}"))
    }

    /// Reports to nobody.
    pub fn quiet() -> Self {
        Self::to(|_| ())
    }

    /// Hands each finished line to `print`.
    pub fn to(print: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            started: Instant::now(),
            print: Arc::new(print),
        }
    }

    /// Reports one step.
    pub fn step(&self, text: impl fmt::Display) {
        (self.print)(&format!("[{:6.1} s] {text}", self.started.elapsed().as_secs_f64()));
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}
