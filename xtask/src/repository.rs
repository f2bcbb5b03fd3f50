//! Where things are in this repository, and where xtask keeps what it makes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// A file or folder, named from the root on.
pub(crate) fn path(name: &str) -> PathBuf {
    root().join(name)
}

/// The folder that cargo builds into.
pub(crate) fn target() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty());
    given.map_or_else(|| path("target"), |folder| root().join(folder))
}

/// The folder of programs that are installed once and kept, whatever becomes of `target`.
pub(crate) fn cache() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let cache = given.or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    Some(cache.join("wharfinger"))
}

/// A cargo command on this workspace.
pub(crate) fn cargo(verb: &str) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.arg(verb).current_dir(root());
    forget_cargo(&mut command);
    if is_ci() {
        // What helps the next build costs this one time, and most of the disk that it takes; and here there is no next one.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Whether a fresh checkout is built once and thrown away.
fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Takes away what `cargo run` told about the package `xtask`: it is not about what is run from here.
pub(crate) fn forget_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_BIN_") {
            command.env_remove(&name);
        }
    }
}
