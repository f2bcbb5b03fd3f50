//! The registry and its peers, measured alternately in one run, and the page that says what came of it.

mod content;
mod contest;
mod figure;
mod marks;
mod peer;
mod process;
mod report;
mod store;
mod transfer;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use contest::Contest;
use marks::Mark;
use peer::Binaries;

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";

/// Measures the registry and its peers alternately in one run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Our registry, compiled as for a release.
    #[arg(long)]
    wharfinger: PathBuf,
    /// docker-registry of Debian.
    #[arg(long)]
    docker_registry: PathBuf,
    /// distribution 3.
    #[arg(long)]
    distribution: PathBuf,
    /// How often each server has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measure only these.
    #[arg(long, value_enum)]
    only: Vec<Mark>,
    /// Where the page is written; without it, it is only printed.
    #[arg(long)]
    page: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir().context("cannot make a folder for the stores")?;
    let memory = tempfile::tempdir_in(MEMORY).with_context(|| format!("cannot make a folder in `{MEMORY}`"))?;
    let binaries = Binaries {
        wharfinger: arguments.wharfinger,
        docker_registry: arguments.docker_registry,
        distribution: arguments.distribution,
    };
    let versions = binaries.versions()?;
    let contest = Contest {
        binaries,
        folder: folder.path().to_owned(),
        memory: memory.path().to_owned(),
        rounds: arguments.rounds,
    };
    let mut rows = Vec::new();
    for mark in marks::selected(&arguments.only) {
        eprintln!("== {}", mark.title());
        for row in mark.measure(&contest)? {
            eprintln!("{row}");
            rows.push(row);
        }
    }
    let page = report::page(&rows, &versions, arguments.rounds)?;
    match &arguments.page {
        Some(path) => fs::write(path, page + &report::notes(path))
            .with_context(|| format!("cannot write `{}`", path.display()))?,
        None => eprint!("{page}"),
    }
    Ok(ExitCode::SUCCESS)
}
