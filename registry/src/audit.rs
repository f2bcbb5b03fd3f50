//! The audit stream: one line of JSON for each request, whatever the level of the log is.
//!
//! A thread of its own writes it, so that a slow reader of the stream slows no request down. Lines that it cannot take, or
//! cannot write, are lost; they are counted, and the log says so.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

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

/// How long the last lines may take when the process ends: whoever reads the stream may have stopped.
const LAST: Duration = Duration::from_secs(5);

/// Writes the stream. When it is dropped, it waits for a moment until all lines that were handed in are written: drop every
/// [`Audit`] before.
#[derive(Debug)]
pub struct AuditWriter(Receiver<()>);

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
    /// Why credentials were not accepted; absent where they were, and where there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rejected: Option<&'r str>,
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
        let (done, all_written) = sync_channel(1);
        Builder::new()
            .name("audit".to_owned())
            .spawn(move || {
                write(&waiting, output, &counters);
                // Nobody may be waiting.
                let _ = done.send(());
            })
            .context("cannot start a thread for the audit stream")?;
        Ok((Self { lines, metrics }, AuditWriter(all_written)))
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
        if self.0.recv_timeout(LAST) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the last lines of the audit stream are lost: nobody reads it");
        }
    }
}

/// Writes lines until nobody can hand in any more.
fn write(lines: &Receiver<Vec<u8>>, mut output: impl Write, metrics: &Metrics) {
    let mut is_failing = false;
    while let Ok(line) = lines.recv() {
        // Each line at once: what has happened should be seen, and must not be lost with the process.
        // What was cut off must not take the next line with it.
        let new_line: &[u8] = if is_failing { b"\n" } else { b"" };
        let written = output.write_all(new_line).and_then(|()| output.write_all(&line));
        match written.and_then(|()| output.flush()) {
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
    fn what_cannot_be_written_is_counted_and_takes_no_other_line_with_it() {
        /// Takes two bytes of the first line, and then all.
        struct Full<'a>(usize, &'a mut Vec<u8>);
        impl Write for Full<'_> {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => self.1.write(&line[..2]),
                    2 => Err(io::ErrorKind::StorageFull.into()),
                    _ => self.1.write(line),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let metrics = Metrics::default();
        let (lines, waiting) = sync_channel(4);
        for number in 1..4 {
            lines.send(format!("line {number}\n").into_bytes()).unwrap();
        }
        drop(lines);
        let mut written = Vec::new();
        write(&waiting, Full(0, &mut written), &metrics);
        assert_eq!(String::from_utf8(written).unwrap(), "li\nline 2\nline 3\n");
        let text = metrics.text();
        assert!(text.contains("wharfinger_registry_audit_lines_lost_total 1"), "{text}");
    }
}
