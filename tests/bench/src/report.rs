//! The page of results.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::figure::Row;

/// The page, from its heading on.
pub(crate) fn page(rows: &[Row], versions: &[String], rounds: usize) -> Result<String> {
    let mut page = String::from("# Benchmarks\n\n");
    writeln!(
        page,
        "Written by `cargo xtask bench` on {}, on {}.\n",
        jiff::Zoned::now().date(),
        machine()?
    )?;
    writeln!(page, "Compared: {}.\n", versions.join(", "))?;
    writeln!(
        page,
        "Clients and servers share the machine, over loopback. Servers take turns, {rounds} rounds; a figure is the median, \
         with the least and the most in parentheses. Only figures of one run can be compared. The ratio is ours to what the \
         goal is a multiple of. The stores of lists and starts are in memory, all others on disk.\n"
    )?;
    for row in rows {
        writeln!(page, "## {}\n", row.work)?;
        writeln!(page, "| | {} |\n|---|---|", row.unit)?;
        for (name, figures) in &row.columns {
            writeln!(page, "| {name} | {figures} |")?;
        }
        let verdict = if row.is_met() { "met" } else { "**missed**" };
        writeln!(page, "\nRatio {:.2}; goal {}: {verdict}.\n", row.ratio(), row.goal())?;
    }
    Ok(page)
}

/// Where what people have written about the figures begins.
const NOTES: &str = "## Notes\n";

/// What people have written about the figures on an earlier page, to be kept.
pub(crate) fn notes(path: &Path) -> String {
    let before = fs::read_to_string(path).unwrap_or_default();
    before
        .find(NOTES)
        .map_or_else(String::new, |at| before[at..].to_owned())
}

/// What the machine is, as far as it matters to a reader.
fn machine() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("processors", |model| model.trim_start_matches(['\t', ' ', ':']));
    let count = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{count} × {model}, Linux {}", kernel.trim()))
}
