//! What a process has used.

use std::fs;

use anyhow::{Context, Result};

/// A process by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    /// Processor seconds so far, of all its threads, in its own code and in the kernel on its behalf.
    pub(crate) fn cpu_seconds(self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name, which stands in parentheses, may hold spaces.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let ticks = |at: usize| -> Result<u32> {
            let field = fields.split_whitespace().nth(at).context("stat is short")?;
            Ok(field.parse()?)
        };
        let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
        Ok(f64::from(ticks(11)? + ticks(12)?) / f64::from(per_second))
    }

    /// Resident memory in MB, now.
    pub(crate) fn resident(self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// The most resident memory so far, in MB.
    pub(crate) fn most_resident(self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes: u32 = line
            .and_then(|line| line.split_whitespace().next())
            .context("no memory in status")?
            .parse()?;
        Ok(f64::from(kibibytes) * 1024.0 / 1e6)
    }
}
