//! The programs that a node is made of: built once from the Go module next to this package, then kept outside of the
//! repository; and Debian's packages for the rest.

mod build;
mod cache;
pub(crate) mod debian;
pub(crate) mod neighbours;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::Progress;

/// The installed programs.
#[derive(Debug, Clone)]
pub struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// Installs what is missing: Debian packages, and the programs that are built from Go modules (minutes the first
    /// time, nothing afterwards).
    pub fn install(progress: &Progress) -> Result<Self> {
        debian::install(progress)?;
        Ok(Self {
            bin: build::cached(progress)?,
        })
    }

    /// The folder of all programs: `etcd`, `kube-apiserver`, `kubectl`, `containerd`, `ctr`, `helm`, `crane`,
    /// `kubeconform` and the others of a node.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// One of the programs in [`Self::bin`].
    pub fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// Archives of the images that every node starts with.
    pub(crate) fn images(&self) -> PathBuf {
        self.bin.with_file_name("images")
    }

    /// `PATH` with these programs in front.
    pub fn search_path(&self) -> OsString {
        let ours = [
            self.bin.clone(),
            "/usr/local/sbin".into(),
            "/usr/sbin".into(),
            "/sbin".into(),
        ];
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let inherited: Vec<_> = std::env::split_paths(&inherited)
            .filter(|folder| !ours.contains(folder))
            .collect();
        let all = ours[..1].iter().chain(&inherited).chain(&ours[1..]);
        // Only a folder with a colon in its name could fail here, and such a folder cannot have come from PATH.
        std::env::join_paths(all).unwrap_or_else(|_| self.bin.clone().into())
    }
}

/// Runs a command to its end and returns what it printed; an error quotes what it complained about.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}: {}", output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Removes a file or a folder with all that is in it; that it does not exist is no error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.with_context(|| format!("cannot remove `{}`", path.display()))
}
