//! wrk: many small requests.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::peer::Server;

/// Requests per second over 32 connections. Answers of another status than `status` fail.
pub(super) fn rate(server: &Server, path: &str, headers: &[String], status: Status) -> Result<f64> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--connections", "32", "--duration", "3s"]);
    for header in headers {
        command.args(["--header", header]);
    }
    command.arg(format!("http://{}{path}", server.address));
    let output = command
        .output()
        .context("cannot start wrk, which Debian has a package of")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk ended with {}: {said}", output.status);
    let errors = said.lines().find(|line| line.contains("Non-2xx or 3xx responses"));
    ensure!(
        errors.is_some() == matches!(status, Status::Refused) && !said.contains("Socket errors"),
        "other answers came than were asked for: {said}"
    );
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.context("wrk says no rate")?.trim().parse()?)
}

/// What every answer must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Status {
    /// 2xx
    Fine,
    /// 4xx
    Refused,
}
