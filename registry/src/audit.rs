//! The audit stream: one line of JSON for each request, whatever the level of the log is.
//!
//! A thread of its own writes it, so that a slow reader of the stream slows no request down. Lines that it cannot take, or
//! cannot write, are lost; they are counted, and the log says so.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::Context;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::metrics::Metrics;

/// How many lines may wait to be written: a few seconds of a busy registry.
const WAITING_LINES: usize = 16 * 1024;

/// Where entries are handed in. Cloning gives another handle to the same stream.
#[derive(Debug, Clone)]
pub struct Audit {
    lines: SyncSender<Vec<u8>>,
    metrics: Metrics,
}

/// Writes the stream. When it is dropped, it waits until all lines that were handed in are written: drop every [`Audit`] before.
#[derive(Debug)]
pub struct AuditWriter(Option<JoinHandle<()>>);

/// One request. Neither URIs nor headers stand here: they may hold secrets.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'r> {
    /// When the answer had gone out.
    pub(crate) time: Timestamp,
    /// The `X-Request-Id` of the answer.
    pub(crate) id: Uuid,
    pub(crate) client: Option<IpAddr>,
    /// The username; `null` for nobody.
    pub(crate) identity: Option<&'r str>,
    /// `password`, `token`, or nothing.
    pub(crate) proof: &'static str,
    pub(crate) method: &'r str,
    pub(crate) action: &'static str,
    pub(crate) repository: Option<&'r str>,
    /// Tag or digest of a manifest, or digest of a blob.
    pub(crate) reference: Option<&'r str>,
    /// The tags that a manifest was pushed under.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) tags: &'r [String],
    pub(crate) decisions: &'r [Decided],
    pub(crate) status: u16,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) milliseconds: u64,
}

/// What policy said about one action.
#[derive(Debug, Serialize)]
pub(crate) struct Decided {
    pub(crate) action: registry_policy::Action,
    pub(crate) allowed: bool,
    /// The policy and its rule that decided; `null` where none matched, or none was asked.
    pub(crate) policy: Option<String>,
    pub(crate) rule: Option<String>,
    /// Rules that matched and decided nothing, because their policies are in audit mode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) audited: Vec<registry_policy::Audited>,
}

impl Audit {
    /// Starts the stream.
    ///
    /// # Errors
    /// Where the file cannot be opened, or no thread can be started.
    pub fn start(to: &registry_config::Audit, metrics: Metrics) -> anyhow::Result<(Self, AuditWriter)> {
        let output: Box<dyn Write + Send> = match to {
            registry_config::Audit::Stdout => Box::new(io::stdout()),
            registry_config::Audit::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Box::new(file.with_context(|| format!("cannot open the audit stream `{}`", path.display()))?)
            }
        };
        let (lines, waiting) = sync_channel(WAITING_LINES);
        let counters = metrics.clone();
        let thread = Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(&waiting, output, &counters))
            .context("cannot start a thread for the audit stream")?;
        Ok((Self { lines, metrics }, AuditWriter(Some(thread))))
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let mut line = match serde_json::to_vec(entry) {
            Ok(line) => line,
            Err(error) => {
                tracing::error!(%error, "an audit entry cannot be written as JSON");
                self.metrics.audit_lost();
                return;
            }
        };
        line.push(b'\n');
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.lines.try_send(line) {
            self.metrics.audit_lost();
        }
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

/// Writes lines until nobody can hand in any more.
fn write(lines: &Receiver<Vec<u8>>, mut output: impl Write, metrics: &Metrics) {
    let mut is_failing = false;
    while let Ok(line) = lines.recv() {
        // Each line at once: what has happened should be seen, and must not be lost with the process.
        match output.write_all(&line).and_then(|()| output.flush()) {
            Ok(()) if is_failing => {
                is_failing = false;
                tracing::info!("the audit stream can be written again");
            }
            Ok(()) => {}
            Err(error) => {
                metrics.audit_lost();
                if !is_failing {
                    is_failing = true;
                    tracing::error!(%error, "the audit stream cannot be written: its lines are lost until it can");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_counted_and_stops_nothing() {
        struct Failing(usize);
        impl Write for Failing {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 == 2 {
                    Ok(line.len())
                } else {
                    Err(io::ErrorKind::StorageFull.into())
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let metrics = Metrics::default();
        let (lines, waiting) = sync_channel(4);
        for _ in 0..3 {
            lines.send(b"{}\n".to_vec()).unwrap();
        }
        drop(lines);
        write(&waiting, Failing(0), &metrics);
        let text = metrics.text();
        assert!(text.contains("wharfinger_registry_audit_lines_lost_total 2"), "{text}");
    }
}
