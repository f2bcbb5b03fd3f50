//! The command line: what can be asked of the binary, and how its parts are put together for it.

mod check;
mod hash_password;
mod scrub;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use hash_password::HashPasswordArguments;

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
    HashPassword(HashPasswordArguments),
    /// Read everything in the store and name what is damaged: blobs against their digests, links, tags and manifests.
    ///
    /// Without `--repair` nothing is changed, and a registry may be serving the store meanwhile. Findings are lines on
    /// standard output: `damaged:` for what was stored and cannot be had any more, `note:` for what is only good to know.
    ///
    /// Exits with 0 where nothing is damaged, 1 where something is or was, and 2 where the store could not be looked through.
    #[command(verbatim_doc_comment)]
    Scrub(ScrubArguments),
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
    /// More users: a file as `htpasswd -B` writes it, which is followed as well. Only together with `--access`.
    #[arg(long, value_name = "FILE", requires = "access")]
    htpasswd: Option<PathBuf>,
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
    /// A user file that belongs to the access document.
    #[arg(long, value_name = "FILE", requires = "access")]
    htpasswd: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ScrubArguments {
    /// The server document, which says where the store is.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Move what is damaged to `wharfinger/quarantine` in the store, so that it is no longer served and can be pushed
    /// again, and write damaged links anew. Nothing is deleted. No registry may be serving the store.
    #[arg(long)]
    repair: bool,
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
            Command::Scrub(arguments) => Ok(scrub::run(&arguments)),
            Command::HashPassword(arguments) => hash_password::run(&arguments).map(|()| ExitCode::SUCCESS),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}
