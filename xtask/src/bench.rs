//! `cargo xtask bench`: the registry and its peers, measured in one run, and the page that says what came of it.

use std::process::Command;

use anyhow::Result;
use node::{Progress, install_distribution, install_load_generator};

use crate::{build, exec, repository, terminal};

/// The page that is written.
const PAGE: &str = "docs/benchmarks.md";

/// Measures everything, or the marks in `only`; only a complete run is written down.
pub(crate) fn run(only: &[String]) -> Result<()> {
    let progress = Progress::to(|line| terminal::line(line));
    let distribution = install_distribution(&progress)?;
    install_load_generator(&progress)?;
    progress.step("compiling as for a release");
    let programs = build::programs("release")?;
    let mut bench = Command::new(build::find(&programs, "bench")?);
    bench
        .arg("--wharfinger")
        .arg(build::find(&programs, "wharfinger-registry")?)
        .args(["--docker-registry", "/usr/bin/docker-registry", "--distribution"])
        .arg(distribution.join("registry"));
    if only.is_empty() {
        bench.arg("--page").arg(repository::path(PAGE));
    }
    for mark in only {
        bench.args(["--only", mark]);
    }
    repository::forget_cargo(&mut bench);
    exec::run(&mut bench)
}
