//! Programs that the registry is tried beside: registries of CNCF Distribution, old and new, nginx, a collector of traces, and clients that
//! Debian does not have.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, debian, remove, run};
use crate::Progress;

/// A Go module in this package: its own programs, and its `tool` lines.
#[derive(Debug, Clone, Copy)]
struct Module {
    /// The name of its folder in the cache.
    name: &'static str,
    sources: &'static str,
    packages: &'static [&'static str],
    /// What Go's compiler is told besides.
    flags: &'static [&'static str],
    what: &'static str,
}

const DISTRIBUTION: Module = Module {
    name: "distribution",
    sources: concat!(env!("CARGO_MANIFEST_DIR"), "/distribution"),
    packages: &["./...", "tool"],
    flags: &[],
    what: "distribution 3",
};

const COLLECTOR: Module = Module {
    name: "collector",
    sources: concat!(env!("CARGO_MANIFEST_DIR"), "/collector"),
    packages: &["./..."],
    flags: &[],
    what: "a collector of traces",
};

const REGCTL: Module = Module {
    name: "regctl",
    sources: concat!(env!("CARGO_MANIFEST_DIR"), "/regctl"),
    packages: &["tool"],
    flags: &[],
    what: "regctl",
};

const TOKEN_SERVER: Module = Module {
    name: "token-server",
    sources: concat!(env!("CARGO_MANIFEST_DIR"), "/token-server"),
    packages: &["tool"],
    flags: &[],
    what: "a token server",
};

const MOBY: Module = Module {
    name: "moby",
    sources: concat!(env!("CARGO_MANIFEST_DIR"), "/moby"),
    packages: &["tool"],
    // The client is not a Go module, and would be read as a program of the time before there were modules.
    flags: &["-gcflags=github.com/docker/cli/...=-lang=go1.26"],
    what: "the Docker Engine and its client",
};

const BUILD: [&str; 6] = [
    "build",
    "-trimpath",
    "-buildvcs=false",
    "-mod=readonly",
    "-ldflags",
    "-s -w",
];

/// The folders of the programs that are built here; Debian's are where Debian puts them.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// `registry` and `purge-uploads` of distribution 3.
    pub distribution: PathBuf,
    /// `collector`.
    pub collector: PathBuf,
}

impl Neighbours {
    /// Installs what is missing: Debian's `docker-registry` and nginx, of which none is started, and the programs that are
    /// built from Go modules (minutes the first time, nothing afterwards).
    pub fn install(progress: &Progress) -> Result<Self> {
        debian::install_proxy(progress)?;
        Ok(Self {
            distribution: install_distribution(progress)?,
            collector: built(COLLECTOR, progress)?,
        })
    }
}

/// Installs Debian's `docker-registry`, and builds distribution 3 where the cache has no build of the same sources. The
/// result is the folder of `registry` and `purge-uploads`.
pub fn install_distribution(progress: &Progress) -> Result<PathBuf> {
    debian::install_registry(progress)?;
    built(DISTRIBUTION, progress)
}

/// Builds regctl where the cache has no build of the same sources, and returns the program.
pub fn install_regctl(progress: &Progress) -> Result<PathBuf> {
    Ok(built(REGCTL, progress)?.join("regctl"))
}

/// Builds the current Docker Engine and its client where the cache has no build of the same sources, and returns the folder of `dockerd`
/// and `docker`.
pub(crate) fn install_current_docker(progress: &Progress) -> Result<PathBuf> {
    built(MOBY, progress)
}

/// Builds the token server where the cache has no build of the same sources, and returns the program.
pub fn install_token_server(progress: &Progress) -> Result<PathBuf> {
    Ok(built(TOKEN_SERVER, progress)?.join("token-server"))
}

fn built(module: Module, progress: &Progress) -> Result<PathBuf> {
    let folder = cache::folder(module.name)?;
    let words = BUILD.iter().chain(module.flags).chain(module.packages);
    let words = words.chain([&std::env::consts::ARCH]);
    let words: Vec<String> = words.map(ToString::to_string).collect();
    let entry = folder.join(cache::key(Path::new(module.sources), &words)?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    // Whoever comes second waits for the first one's build instead of doing the same beside it.
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the cache of programs")?;
    if !entry.exists() {
        progress.step(format!(
            "building {} from its Go module (once; some minutes)",
            module.what
        ));
        let draft = folder.join("draft");
        remove(&draft)?;
        fs::create_dir_all(&draft)?;
        let mut build = Command::new("go");
        build
            .arg(BUILD[0])
            .arg("-o")
            .arg(&draft)
            .args(&BUILD[1..])
            .args(module.flags)
            .args(module.packages);
        build
            .current_dir(module.sources)
            .env("CGO_ENABLED", "0")
            .env_remove("GOFLAGS");
        run(&mut build).context("the Go build failed")?;
        fs::rename(&draft, &entry).context("cannot keep the programs")?;
    }
    cache::keep(&folder, &entry)?;
    Ok(entry)
}
