//! `cargo xtask demo`: from nothing to a registry that people can log in to, on this machine, in front of their eyes.

mod client;
mod ready;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use node::{Node, Options, Progress, Tools};

use crate::cluster::{self, Settings};
use crate::demo::client::Shell;
use crate::{build, image, repository, terminal};

/// Where the example's registry is: a port of the node, also on 127.0.0.1 of this machine.
const PORT: u16 = 30500;
const QUICKSTART: &str = "examples/quickstart.yaml";

/// Starts the demo, or brings the one that runs up to date, and shows what can be done with it.
pub(crate) fn up() -> Result<()> {
    let progress = Progress::to(|line| terminal::line(line));
    terminal::heading("A Kubernetes of its own, and Wharfinger on it");
    let tools = Tools::install(&progress)?;
    progress.step("building the operator and the registry");
    let images = image::stage_all(&build::programs("dev")?)?;
    let node = Node::up(&options(), &tools, &progress)?;
    node.forward(PORT, &format!("127.0.0.1:{PORT}")).with_context(|| {
        format!("the demo needs port {PORT} of 127.0.0.1: end what has it, and run this again (`demo --down` takes away what is there already)")
    })?;
    cluster::load_images(&node, &images, &progress)?;
    cluster::install(&node, &images, &Settings { log_level: "info" }, &progress)?;
    let shell = Shell::new(&node, &files())?;

    terminal::heading("A registry, two identities and two policies");
    shell.run(&format!("kubectl apply --filename {QUICKSTART}"))?;
    ready::wait(&node, &progress)?;
    ready::reachable(PORT)?;
    shell.run("kubectl get registries,registryidentities,accesspolicies")?;

    terminal::heading("Logging in, pushing, pulling");
    client::tour(&shell, PORT)?;
    farewell(&shell);
    Ok(())
}

/// Takes the demo away with everything in it.
pub(crate) fn down() -> Result<()> {
    let progress = Progress::to(|line| terminal::line(line));
    let tools = Tools::install(&progress)?;
    Node::find(&options(), &tools)?.down(&progress)?;
    let files = files();
    if files.exists() {
        fs::remove_dir_all(&files).with_context(|| format!("cannot remove `{}`", files.display()))?;
    }
    Ok(())
}

fn options() -> Options {
    // Nobody reads it here, and it would grow for as long as the demo runs.
    Options {
        audit: false,
        ..Options::new("demo")
    }
}

/// What the demo keeps outside of the node.
fn files() -> PathBuf {
    repository::target().join("demo")
}

fn farewell(shell: &Shell) {
    terminal::heading("It stays up");
    terminal::line(format_args!(
        "The registry is http://127.0.0.1:{PORT}. To use it from a shell of this machine:"
    ));
    terminal::line("");
    for export in shell.exports() {
        terminal::line(format_args!("  {export}"));
    }
    terminal::line("");
    let rows = [
        ("The password", client::PASSWORD.to_owned()),
        ("To log in", format!("docker login --username robot 127.0.0.1:{PORT}")),
        (
            "To look",
            "kubectl get registries,registryidentities,accesspolicies".to_owned(),
        ),
        (
            "To try more",
            format!("edit {QUICKSTART}, then kubectl apply --filename {QUICKSTART}"),
        ),
        ("To stop", "cargo xtask demo --down".to_owned()),
    ];
    for (what, how) in rows {
        terminal::line(format_args!("  {what:<14}{how}"));
    }
}
