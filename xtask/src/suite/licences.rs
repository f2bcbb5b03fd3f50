//! cargo-deny, as `deny.toml` tells it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{exec, repository, terminal};

/// The one that is installed where there is none.
const VERSION: &str = "0.20.2";
/// Where cargo-deny takes advisories from.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// Licences, bans and sources always; advisories where their database can be reached.
pub(crate) fn check() -> Result<String> {
    let program = install()?;
    let deny = |what: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(["--locked", "check"])
            .args(what)
            .current_dir(repository::root());
        repository::forget_cargo(&mut command);
        exec::run(&mut command)
    };
    deny(&["--hide-inclusion-graph", "licenses", "bans", "sources"])?;
    if !is_reachable() {
        let skipped = format!("ADVISORIES SKIPPED: {ADVISORIES} cannot be reached");
        terminal::line(&skipped);
        return Ok(skipped);
    }
    deny(&["advisories"])?;
    Ok(String::new())
}

/// The program of this machine, or one that is compiled once and kept.
fn install() -> Result<PathBuf> {
    let asked = Command::new("cargo-deny").arg("--version").output();
    if asked.is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deny".into());
    }
    let cache = repository::cache().context("neither XDG_CACHE_HOME nor HOME says where to keep cargo-deny")?;
    let root = cache.join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin").join("cargo-deny");
    if !program.exists() {
        terminal::line(format_args!("compiling cargo-deny {VERSION} (once; about two minutes)"));
        // Unoptimised: it takes a second longer to run and several minutes less to compile.
        let mut command = repository::cargo("install");
        command
            .args(["cargo-deny", "--locked", "--debug", "--version", VERSION, "--root"])
            .arg(&root);
        exec::run(&mut command)?;
    }
    if !program.exists() {
        bail!("cargo installed no `{}`", program.display());
    }
    Ok(program)
}

fn is_reachable() -> bool {
    let mut ask = Command::new("timeout");
    ask.args(["20", "git", "ls-remote", "--quiet", ADVISORIES, "HEAD"])
        .env("GIT_TERMINAL_PROMPT", "0");
    exec::finish(&mut ask).is_ok_and(|output| output.status.success())
}
