//! What people and programs see.

use std::io::{self, Write};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::arguments::Format;

/// Prints an answer: as JSON, or as `text` says it.
pub(crate) fn answer<T: Serialize>(format: Format, answer: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
    let written = match format {
        Format::Text => text(answer),
        Format::Json => serde_json::to_string_pretty(answer)?,
    };
    let mut output = io::stdout().lock();
    writeln!(output, "{}", written.trim_end()).context("cannot print the answer")
}

/// Prints what is not part of an answer.
pub(crate) fn complain(text: &str) {
    // Whoever has closed the stream does not want to know.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Columns as wide as they need to be.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or_default();
            widest.max(header[column].chars().count())
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}
