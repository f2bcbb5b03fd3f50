//! The test node for people: `cargo run -p node -- up`.

mod selftest;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use node::{Node, Options, Progress, Tools};

/// A real one-node Kubernetes in a network namespace of its own.
#[derive(Debug, Parser)]
struct Arguments {
    /// Tells nodes of one machine apart.
    #[arg(long, global = true, default_value = "dev")]
    name: String,
    /// The folder in which the node makes a folder of its name [default: /var/lib/wharfinger/nodes].
    #[arg(long, global = true)]
    parent: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build and cache the programs, and install Debian's.
    Install,
    /// Start the node, or attach to it.
    Up,
    /// Take the node away with all its data.
    Down,
    /// Print shell variables for use inside the namespace: eval "$(cargo run -p node -- env)".
    Env,
    /// Show the node's programs and what leads into it from outside.
    Status,
    /// Make an address inside reachable from outside.
    Forward {
        /// Where it is inside, for example 127.0.0.1:30500.
        target: String,
        /// The port on 127.0.0.1 outside; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Start the Docker Engine and print its `DOCKER_HOST`.
    Docker,
    /// Build a stage of a Dockerfile that only copies files, and give the image to the node.
    Build {
        /// The Dockerfile.
        dockerfile: PathBuf,
        /// The stage of it.
        target: String,
        /// The folder that the files are copied from.
        context: PathBuf,
        /// The image's full name, for example wharfinger.local/registry:dev.
        reference: String,
    },
    /// Give the node the image in an archive.
    Import {
        /// Made by `docker save`, `buildah push docker-archive:...` or `oci-archive:...`.
        archive: PathBuf,
        /// The image's full name on the node.
        reference: String,
    },
    /// Run a command inside the namespace, with the node's variables, as `env` prints them.
    Run {
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Start a node, try everything that it can do, and take it away.
    Selftest,
}

fn main() -> Result<ExitCode> {
    let Arguments { name, parent, command } = Arguments::parse();
    let progress = Progress::stderr();
    let tools = Tools::install(&progress)?;
    let options = Options {
        parent,
        ..Options::new(&name)
    };
    let node = Node::find(&options, &tools)?;
    let mut out = std::io::stdout();
    match command {
        Command::Install => writeln!(out, "{}", tools.bin().display())?,
        Command::Up => drop(Node::up(&options, &tools, &progress)?),
        Command::Down => node.down(&progress)?,
        Command::Env => {
            for (variable, value) in node.environment() {
                writeln!(out, "export {variable}='{}'", value.to_string_lossy())?;
            }
            writeln!(out, "# Put in front of a command: {}", node.prefix())?;
        }
        Command::Status => {
            for (component, pid) in node.status() {
                let state = pid.map_or("-".into(), |pid| format!("process {pid}"));
                writeln!(out, "{:<24} {state}", component.program())?;
            }
            for forward in node.forwards().unwrap_or_default() {
                writeln!(out, "{:<24} {}", format!("{} ->", forward.listen), forward.target)?;
            }
        }
        Command::Forward { target, port } => writeln!(out, "{}", node.forward(port, &target)?.listen)?,
        Command::Docker => writeln!(out, "{}", node.docker()?)?,
        Command::Build {
            dockerfile,
            target,
            context,
            reference,
        } => {
            let archive = node.build_image(&dockerfile, &target, &context, &reference)?;
            writeln!(out, "{}", archive.display())?;
        }
        Command::Import { archive, reference } => node.import_image(&archive, &reference)?,
        Command::Run { words } => {
            ensure!(node.is_up(), "the node `{name}` is not up: start it first, with `up`");
            let (program, arguments) = words.split_first().context("name the program to run")?;
            let status = node.command(program).args(arguments).status()?;
            // Ended by a signal: there is no code to pass on.
            return Ok(ExitCode::from(
                status
                    .code()
                    .and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(u8::MAX),
            ));
        }
        Command::Selftest => selftest::run(&options, &tools, &progress)?,
    }
    Ok(ExitCode::SUCCESS)
}
