//! The command line: what can be asked of the binary, and how its parts are put together for it.

mod check;
mod hash_password;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::logging::LogFormat;

/// An OCI registry with identities and policies.
#[derive(Debug, Parser)]
#[command(name = "wharfinger-registry", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the registry.
    Serve(ServeArguments),
    /// Check documents and print every problem with its file, line and column. Exits with 1 where there is any.
    Check(CheckArguments),
    /// Make the hash of a password for an access document: asked twice on a terminal, else read from standard input.
    HashPassword,
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// The server document.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The access document. It is followed: an edit is in force at once. Not used where the server document names a
    /// Secret.
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,
    /// How log lines look like. `RUST_LOG` sets their level.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// How many seconds requests under way may take to end when the process is to stop.
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    drain: Duration,
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// A server document.
    #[arg(long, value_name = "FILE", required_unless_present = "access")]
    config: Option<PathBuf>,
    /// An access document.
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,
}

impl Arguments {
    /// Does what was asked.
    ///
    /// # Errors
    /// Where it cannot be done; the error says what to do instead.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
            Command::Check(arguments) => check::run(&arguments),
            Command::HashPassword => hash_password::run().map(|()| ExitCode::SUCCESS),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}
