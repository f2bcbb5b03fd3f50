//! Command line of the operator; composes and does nothing else.

use clap::{Parser, Subcommand};
use wharfinger_operator::controllers;
use wharfinger_operator::settings::Settings;

/// Kubernetes operator for Wharfinger registries.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(Settings),
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(settings) => {
            settings.log_format.init();
            controllers::run(settings).await
        }
        Command::Crds => {
            use std::io::Write;
            let mut out = std::io::stdout().lock();
            for definition in crds::all() {
                writeln!(out, "---\n{}", crds::manifest(&definition).1)?;
            }
            Ok(())
        }
    }
}
