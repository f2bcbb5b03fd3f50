//! The project's own commands: `cargo xtask demo | test | soak | bench | generate | images`.

mod bench;
mod build;
mod cluster;
mod demo;
mod exec;
mod generate;
mod image;
mod repository;
mod suite;
mod terminal;
#[cfg(test)]
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::suite::{Part, Selection};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole product on a real one-node Kubernetes on this machine, and leave it running.
    Demo {
        /// Take everything away again.
        #[arg(long)]
        down: bool,
    },
    /// Run everything that CI runs.
    Test {
        /// Run only these parts and what they need, and leave the test cluster running.
        #[arg(long, value_enum)]
        only: Vec<Part>,
        /// Handed to the end-to-end and unit test binaries, for example the name of one test.
        #[arg(last = true)]
        filter: Vec<String>,
    },
    /// Kill the registry 2000 times, and measure how soon changes are in force over 200 of each kind, on the test cluster.
    Soak,
    /// Measure the registry beside docker-registry and distribution, and write docs/benchmarks.md.
    Bench {
        /// Measure only these, and write nothing: see `bench --help`.
        #[arg(long)]
        only: Vec<String>,
    },
    /// Rewrite every generated file.
    Generate,
    /// Put together what goes into the images, below target/image.
    Images {
        /// Compile as for a release: slowly, for fast and small programs.
        #[arg(long)]
        release: bool,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Demo { down: false } => demo::up()?,
        Command::Demo { down: true } => demo::down()?,
        Command::Test { only, filter } => return Ok(suite::run(&Selection::Parts(only), &filter)),
        Command::Soak => return Ok(suite::run(&Selection::Soak, &[])),
        Command::Bench { only } => bench::run(&only)?,
        Command::Generate => generate::all()?,
        Command::Images { release } => {
            for image in image::stage_all(&build::programs(if release { "release" } else { "dev" })?)? {
                terminal::line(format_args!("{}", image.root.display()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
