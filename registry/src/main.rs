//! The `wharfinger-registry` command.

use std::process::ExitCode;

use clap::Parser;
use wharfinger_registry::cli::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // The last line of a container's log is what Kubernetes shows of its end.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
