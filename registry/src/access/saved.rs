//! The copy of each accepted document that a restarted container finds without an API server.
//!
//! A copy is a directory named by its revision that holds the two keys of the Secret. It gets its name when it is
//! complete, in one step, so a copy is whole or is not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use registry_config::{CONTENT_KEY, INDEX_KEY};

/// How the names of copies end that are not complete.
const PARTIAL: &str = ".partial";

/// The bytes of an access document as they stand in its Secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) index: Vec<u8>,
    pub(super) content: Vec<u8>,
}

impl Raw {
    /// Reads the two keys from files in a directory, as the kubelet and [`save`] lay them out.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            index: fs::read(directory.join(INDEX_KEY))?,
            content: fs::read(directory.join(CONTENT_KEY))?,
        })
    }
}

/// Saves a document below `root`, and removes the copies of earlier ones.
pub(super) fn save(root: &Path, revision: u64, raw: &Raw) -> io::Result<()> {
    let target = root.join(revision.to_string());
    if !target.exists() {
        remove_partial(root)?;
        let partial = root.join(format!(".{revision}{PARTIAL}"));
        fs::create_dir_all(&partial)?;
        fs::write(partial.join(INDEX_KEY), &raw.index)?;
        fs::write(partial.join(CONTENT_KEY), &raw.content)?;
        fs::rename(&partial, &target)?;
    }
    for (saved, path) in copies(root)? {
        if saved < revision {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// Removes what processes left that were killed while they saved: there is not room for much of it.
fn remove_partial(root: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(PARTIAL) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The saved copies below `root`, that of the highest revision first.
pub(super) fn copies(root: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(revision) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) {
            found.push((revision, entry.path()));
        }
    }
    found.sort_unstable_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Raw {
        Raw {
            index: text.into(),
            content: text.into(),
        }
    }

    #[test]
    fn only_the_latest_complete_copy_is_found() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(copies(&root.path().join("absent")).unwrap(), []);
        for revision in [9, 10] {
            save(root.path(), revision, &raw(&revision.to_string())).unwrap();
        }
        fs::create_dir(root.path().join(".11.partial")).unwrap();
        let found = copies(root.path()).unwrap();
        assert_eq!(found.iter().map(|(revision, _)| *revision).collect::<Vec<_>>(), [10]);
        assert!(Raw::read(&found[0].1).unwrap() == raw("10"));
        save(root.path(), 12, &raw("12")).unwrap();
        assert_eq!(copies(root.path()).unwrap()[0].0, 12);
        assert_eq!(
            fs::read_dir(root.path()).unwrap().count(),
            1,
            "what is not complete stays"
        );
    }
}
