//! The registries of CNCF Distribution, old and new, for the tests that hand a store to them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, debian, remove, run};
use crate::Progress;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/distribution");

/// Its own programs, and its `tool` lines.
const BUILD: [&str; 8] = [
    "build",
    "-trimpath",
    "-buildvcs=false",
    "-mod=readonly",
    "-ldflags",
    "-s -w",
    "./...",
    "tool",
];

/// Installs Debian's `docker-registry`, and builds distribution 3 where the cache has no build of the same sources. The
/// result is the folder of `registry` and `purge-uploads`.
pub fn install(progress: &Progress) -> Result<PathBuf> {
    debian::install_registry(progress)?;
    let folder = cache::folder("distribution")?;
    let words: Vec<String> = BUILD
        .into_iter()
        .chain([std::env::consts::ARCH])
        .map(Into::into)
        .collect();
    let entry = folder.join(cache::key(Path::new(SOURCES), &words)?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    // Whoever comes second waits for the first one's build instead of doing the same beside it.
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the cache of programs")?;
    if !entry.exists() {
        progress.step("building distribution 3 from its Go module (once; some minutes)");
        let draft = folder.join("draft");
        remove(&draft)?;
        fs::create_dir_all(&draft)?;
        let mut build = Command::new("go");
        build.arg(BUILD[0]).arg("-o").arg(&draft).args(&BUILD[1..]);
        build.current_dir(SOURCES).env("CGO_ENABLED", "0").env_remove("GOFLAGS");
        run(&mut build).context("the Go build failed")?;
        fs::rename(&draft, &entry).context("cannot keep the programs")?;
    }
    cache::keep(&folder, &entry)?;
    Ok(entry)
}
