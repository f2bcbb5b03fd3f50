//! `kubectl wharfinger`: who may do what on a registry, why, and what is wrong.

mod arguments;
mod cluster;
mod decide;
mod files;
mod lint;
mod login;
mod output;
mod rotate;
mod schema;
mod status;
mod twice;
mod world;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    let result = match command {
        Command::CanI(question) => decide::can_i(&common, &question).await,
        Command::Explain(question) => decide::explain(&common, &question).await,
        Command::WhoCan(question) => decide::who_can(&common, &question).await,
        Command::Lint(files) => lint::run(&common, &files),
        Command::Status(which) => status::run(&common, &which).await,
        Command::Rotate(which) => rotate::run(&common, &which).await,
        Command::Login(login) => login::run(&common, &login).await,
    };
    result.unwrap_or_else(|error| {
        output::complain(&format!("{error:#}"));
        // 1 is an answer: no.
        ExitCode::from(2)
    })
}
