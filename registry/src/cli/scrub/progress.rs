//! [`Progress`]: findings as lines on standard output, and how far it has come on standard error, as a bar on a terminal
//! and as a line every few seconds elsewhere.

use std::fmt;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::store::{Finding, Watcher};

/// How often there is a line where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often the bar is drawn anew while nothing is read.
const TICK: Duration = Duration::from_millis(200);

/// One line on standard output. A reader that has gone away ends nothing.
pub(super) fn line(text: impl fmt::Display) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// How far a scrub has come.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
}

/// What the next line will say.
pub(super) struct Lines {
    last: Instant,
    total: u64,
    done: u64,
}

impl Progress {
    pub(super) fn start() -> Self {
        if stderr().is_terminal() {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message("counting");
            bar.enable_steady_tick(TICK);
            Self::Bar(bar)
        } else {
            Self::Lines(Mutex::new(Lines {
                last: Instant::now(),
                total: 0,
                done: 0,
            }))
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Watcher for Progress {
    fn blobs(&self, count: u64, bytes: u64) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(bytes);
                bar.set_message(format!("reading {count} blobs"));
            }
            Self::Lines(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).total = bytes,
        }
    }

    fn read(&self, bytes: u64) {
        match self {
            Self::Bar(bar) => bar.inc(bytes),
            Self::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.done += bytes;
                if lines.last.elapsed() >= INTERVAL {
                    lines.last = Instant::now();
                    let _ = writeln!(stderr(), "read {} of {}", Bytes(lines.done), Bytes(lines.total));
                }
            }
        }
    }

    fn links(&self) {
        if let Self::Bar(bar) = self {
            bar.set_message("looking at links and manifests");
        }
    }

    fn found(&self, finding: &Finding) {
        match self {
            Self::Bar(bar) => bar.suspend(|| line(finding)),
            Self::Lines(_) => line(finding),
        }
    }
}

/// A number of bytes, for people.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&indicatif::BinaryBytes(self.0), f)
    }
}
