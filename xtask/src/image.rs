//! What goes into the images: a folder for each, with the program, the shared libraries that it needs, and what any
//! program expects to find. `Dockerfile` copies these folders.
//!
//! The same program gives the same folder, byte for byte and with the same times, wherever it is put together.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::build::{self, Program};
use crate::{exec, repository};

/// The images, and the program that each is about.
const IMAGES: [(&str, &str); 2] = [("operator", "wharfinger-operator"), ("registry", "wharfinger-registry")];
/// Where Debian and most others keep the certificate authorities that the world trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nwharfinger:x:65532:65532:wharfinger:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nwharfinger:x:65532:\n";
/// glibc asks these for a host's name; without the file it would do the same, but not on every version.
const NSSWITCH: &str = "hosts: files dns\n";

/// One image, ready to be built from its folder.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The stage of the Dockerfile.
    pub(crate) stage: &'static str,
    pub(crate) root: PathBuf,
    /// Changes with the content.
    pub(crate) tag: String,
}

impl Image {
    /// The name without its tag.
    pub(crate) fn repository(&self) -> String {
        format!("wharfinger.local/{}", self.stage)
    }

    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.repository(), self.tag)
    }
}

/// The folder that holds those of the images: the context of the Dockerfile.
pub(crate) fn context() -> PathBuf {
    repository::target().join("image")
}

/// Puts together what goes into each image.
pub(crate) fn stage_all(programs: &[Program]) -> Result<Vec<Image>> {
    let stage_one = |(stage, program): (&'static str, &str)| {
        let root = context().join(stage);
        fill(&root, build::find(programs, program)?, program)
            .with_context(|| format!("cannot put together the image `{stage}`"))?;
        let tag = format!("{}-dev.{}", env!("CARGO_PKG_VERSION"), &digest(&root)?[..12]);
        Ok(Image { stage, root, tag })
    };
    IMAGES.into_iter().map(stage_one).collect()
}

fn fill(root: &Path, executable: &Path, program: &str) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot empty `{}`", root.display()))?;
    }
    fs::create_dir_all(root)?;
    // Without the tables for debuggers the program is a fraction as large; names of functions stay for backtraces.
    let stripped = root.join(program);
    exec::capture(
        Command::new("strip")
            .args(["--strip-debug", "-o"])
            .arg(&stripped)
            .arg(executable),
    )
    .context("cannot strip the program; Debian has `strip` in the package binutils")?;
    for library in libraries(executable)? {
        put(root, &library, &fs::read(&library)?, 0o755)?;
    }
    let authorities = fs::read(AUTHORITIES)
        .with_context(|| format!("cannot read `{AUTHORITIES}`; Debian has it in the package ca-certificates"))?;
    put(root, Path::new(AUTHORITIES), &authorities, 0o644)?;
    for (path, text) in [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/etc/nsswitch.conf", NSSWITCH),
    ] {
        put(root, Path::new(path), text.as_bytes(), 0o644)?;
    }
    normalize(root)
}

/// Writes a file to the place in `root` that it has on a machine.
fn put(root: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let place = root.join(
        path.strip_prefix("/")
            .context("only absolute paths have a place in an image")?,
    );
    fs::create_dir_all(place.parent().unwrap_or(root))?;
    fs::write(&place, bytes).with_context(|| format!("cannot write `{}`", place.display()))?;
    Ok(fs::set_permissions(&place, Permissions::from_mode(mode))?)
}

/// The shared libraries that a program loads, the loader itself among them.
fn libraries(executable: &Path) -> Result<Vec<PathBuf>> {
    let said = exec::capture(Command::new("ldd").arg(executable))?;
    said.lines().filter_map(|line| library(line).transpose()).collect()
}

/// ldd(1): `name => path (address)`, `path (address)` for the loader, `name (address)` for what the kernel brings.
fn library(line: &str) -> Result<Option<PathBuf>> {
    let line = line.trim();
    if line.contains("not found") {
        bail!("a library is missing on this machine: {line}");
    }
    let place = line.split_once(" => ").map_or(line, |(_, place)| place);
    let path = place.split(" (").next().unwrap_or_default();
    Ok(path.starts_with('/').then(|| path.into()))
}

/// Everybody may read everything, and every file and folder is as old as any other.
fn normalize(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() {
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(path)? {
            normalize(&entry?.path())?;
        }
    } else if found.mode() & 0o111 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
    }
    File::open(path)?
        .set_modified(UNIX_EPOCH)
        .with_context(|| format!("cannot set the time of `{}`", path.display()))
}

/// Of every file below `root`, with its name.
fn digest(root: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut folders = vec![root.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    for file in files {
        let bytes = fs::read(&file)?;
        let name = file.strip_prefix(root).unwrap_or(&file).as_os_str().as_encoded_bytes();
        for part in [name, &bytes] {
            // The length in front keeps the end of one part from being the beginning of the next.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_read_and_the_kernel_s_own_is_not() {
        for (line, want) in [
            ("\tlinux-vdso.so.1 (0x00007ffe)", None),
            (
                "\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)",
                Some("/lib/x86_64-linux-gnu/libm.so.6"),
            ),
            (
                "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)",
                Some("/lib64/ld-linux-x86-64.so.2"),
            ),
            ("\tstatically linked", None),
        ] {
            assert_eq!(library(line).unwrap(), want.map(PathBuf::from), "{line}");
        }
        assert!(library("\tlibz.so.1 => not found").is_err());
    }

    #[test]
    fn this_very_program_gives_the_same_folder_twice() {
        let me = std::env::current_exe().unwrap();
        let folder = std::env::temp_dir().join(format!("xtask-image-{}", std::process::id()));
        let made: Vec<String> = ["a", "b"]
            .map(|name| {
                let root = folder.join(name);
                fill(&root, &me, "program").unwrap();
                assert_eq!(fs::metadata(root.join("etc/passwd")).unwrap().mtime(), 0);
                digest(&root).unwrap()
            })
            .into();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(made[0], made[1]);
    }
}
