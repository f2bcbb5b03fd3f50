//! What people see: headings, commands with their results, and plain lines.

use std::fmt;
use std::io::{IsTerminal, Write, stdout};

/// One line on standard output. A reader that has gone away ends nothing.
pub(crate) fn line(text: impl fmt::Display) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// The beginning of something that takes a while.
pub(crate) fn heading(text: impl fmt::Display) {
    line("");
    line(emphasized(format_args!("== {text}")));
}

/// A command, as a person would type it.
pub(crate) fn command(text: impl fmt::Display) {
    line(emphasized(format_args!("$ {text}")));
}

/// What a command printed, set apart from what this program says.
pub(crate) fn output(text: &str) {
    for row in text.trim_end().lines() {
        line(format_args!("  {row}"));
    }
}

fn emphasized(text: impl fmt::Display) -> String {
    if stdout().is_terminal() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}
