//! Where built programs are kept, under which key, and for how long.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::tools::remove;

/// How many builds are kept: two, so that going back and forth between two branches builds nothing.
const KEPT: usize = 2;

/// `$XDG_CACHE_HOME/wharfinger/<name>`, by default below `~/.cache`.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let cache = match given {
        Some(folder) => folder,
        None => std::env::home_dir()
            .context("neither XDG_CACHE_HOME nor HOME says where to keep programs")?
            .join(".cache"),
    };
    Ok(cache.join("wharfinger").join(name))
}

/// The SHA-256 of everything that a build depends on: each file below `sources` with its name, and the words in `flags`.
pub(super) fn key(sources: &Path, flags: &[String]) -> Result<String> {
    let mut files = Vec::new();
    collect(sources, &mut files).with_context(|| format!("cannot read `{}`", sources.display()))?;
    files.sort();
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // The length in front keeps the end of one part from being the beginning of the next.
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for file in files {
        add(file
            .strip_prefix(sources)
            .unwrap_or(&file)
            .as_os_str()
            .as_encoded_bytes());
        add(&fs::read(&file)?);
    }
    for flag in flags {
        add(flag.as_bytes());
    }
    Ok(hex::encode(hash.finalize()))
}

/// Marks an entry as used now and removes those that were not used for longest.
pub(super) fn keep(folder: &Path, entry: &Path) -> Result<()> {
    fs::File::open(entry)?.set_modified(SystemTime::now())?;
    let mut entries: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    entries.sort();
    for (_, old) in entries.iter().rev().skip(KEPT) {
        remove(old)?;
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sources(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn key_of(files: &[(&str, &str)], flags: &[&str]) -> String {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        key(sources(files).path(), &flags).unwrap()
    }

    #[test]
    fn the_key_is_the_same_wherever_the_sources_lie() {
        let files = [("go.mod", "module x"), ("a/main.go", "package main")];
        assert_eq!(key_of(&files, &["-trimpath"]), key_of(&files, &["-trimpath"]));
    }

    #[test]
    fn the_key_changes_with_content_name_boundary_and_flags() {
        let base = key_of(&[("a", "1"), ("b", "2")], &["x", "y"]);
        for (what, other) in [
            ("content", key_of(&[("a", "1"), ("b", "3")], &["x", "y"])),
            ("name", key_of(&[("a", "1"), ("c", "2")], &["x", "y"])),
            ("file", key_of(&[("a", "1")], &["x", "y"])),
            ("flags", key_of(&[("a", "1"), ("b", "2")], &["x"])),
            ("boundary", key_of(&[("a", "1"), ("b", "2")], &["xy"])),
        ] {
            assert_ne!(base, other, "{what}");
        }
    }

    #[test]
    fn the_two_entries_used_last_are_kept_and_a_file_beside_them_too() {
        let folder = sources(&[("one/x", ""), ("two/x", ""), ("three/x", ""), ("lock", "")]);
        for (age, name) in [(30, "one"), (20, "two"), (10, "three")] {
            let entry = fs::File::open(folder.path().join(name)).unwrap();
            entry
                .set_modified(SystemTime::now() - Duration::from_secs(age))
                .unwrap();
        }
        keep(folder.path(), &folder.path().join("one")).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["lock", "one", "three"]);
    }
}
