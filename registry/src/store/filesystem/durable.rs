//! Writing so that it survives a power cut: data before its name, a name before its use.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::super::Error;

/// How many directories are remembered at most; remembering costs memory, forgetting an fsync.
const REMEMBERED: usize = 8192;

/// Makes files and directories durable below a root.
#[derive(Debug)]
pub(super) struct Durable {
    root: PathBuf,
    temporary: PathBuf,
    /// Directories whose own entry is known to be on disk. It is not enough that a directory exists: another thread may
    /// have made it a moment ago and not have synced its parent yet, and an earlier process may have died in between.
    known: Mutex<HashSet<PathBuf>>,
    /// Directories that hold one file, whose name is known to be on disk.
    settled: Mutex<HashSet<PathBuf>>,
}

impl Durable {
    pub(super) fn new(root: PathBuf, temporary: PathBuf) -> Self {
        Self {
            root,
            temporary,
            known: Mutex::default(),
            settled: Mutex::default(),
        }
    }

    /// Replaces the file `target` by one that holds `content`: either the old or the new one is there at any time.
    pub(super) fn write(&self, target: &Path, content: &[u8]) -> Result<(), Error> {
        let temporary = self.temporary_path();
        let written = File::create_new(&temporary).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_data()
        });
        let moved = written
            .map_err(|error| failed("write", &temporary, error))
            .and_then(|()| self.rename(&temporary, target));
        if moved.is_err() {
            // What is left is removed at the next start, if it cannot be now.
            let _ = fs::remove_file(&temporary);
        }
        moved
    }

    /// Moves `source`, whose data is synced already, to `target`, and makes the new name durable.
    pub(super) fn rename(&self, source: &Path, target: &Path) -> Result<(), Error> {
        let directory = parent(target);
        self.make_directories(directory)?;
        match fs::rename(source, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.exists() => {
                // The directory was remembered, but has been deleted since.
                self.forget();
                self.make_directories(directory)?;
                fs::rename(source, target).map_err(|error| failed("write", target, error))?;
            }
            result => result.map_err(|error| failed("write", target, error))?,
        }
        sync_directory(directory)?;
        remember(&self.settled, directory);
        Ok(())
    }

    /// Makes the name of a file durable that is there, before something durable relies on it. Whoever wrote it may not
    /// have come to that: another thread is about to, an earlier process died, or the sync failed.
    pub(super) fn settle(&self, path: &Path) -> Result<(), Error> {
        let directory = parent(path);
        if contains(&self.settled, directory) {
            return Ok(());
        }
        self.make_directories(directory)?;
        sync_directory(directory)?;
        remember(&self.settled, directory);
        Ok(())
    }

    /// Takes the file or directory `path` away, atomically and durably. `Ok(false)` where there was none.
    pub(super) fn remove(&self, path: &Path) -> Result<bool, Error> {
        let temporary = self.temporary_path();
        match fs::rename(path, &temporary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            result => result.map_err(|error| failed("delete", path, error))?,
        }
        lock(&self.settled).remove(path);
        sync_directory(parent(path))?;
        // The name is gone; the space follows now, or at the next start.
        let _ = if temporary.is_dir() {
            fs::remove_dir_all(&temporary)
        } else {
            fs::remove_file(&temporary)
        };
        Ok(true)
    }

    /// Makes a directory and its ancestors up to the root, each durable in its parent.
    pub(super) fn make_directories(&self, directory: &Path) -> Result<(), Error> {
        match self.make_chain(directory) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                self.forget();
                self.make_chain(directory)
            }
            result => result,
        }
    }

    fn make_chain(&self, directory: &Path) -> Result<(), Error> {
        if directory == self.root || contains(&self.known, directory) {
            return Ok(());
        }
        let above = parent(directory);
        self.make_chain(above)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result.map_err(|error| failed("make", directory, error))?,
        }
        sync_directory(above)?;
        remember(&self.known, directory);
        Ok(())
    }

    fn forget(&self) {
        lock(&self.known).clear();
    }

    fn temporary_path(&self) -> PathBuf {
        self.temporary.join(Uuid::new_v4().to_string())
    }
}

fn remember(set: &Mutex<HashSet<PathBuf>>, directory: &Path) {
    let mut set = lock(set);
    if set.len() >= REMEMBERED {
        set.clear();
    }
    set.insert(directory.to_owned());
}

fn contains(set: &Mutex<HashSet<PathBuf>>, directory: &Path) -> bool {
    lock(set).contains(directory)
}

fn lock(set: &Mutex<HashSet<PathBuf>>) -> MutexGuard<'_, HashSet<PathBuf>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> Result<(), Error> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|error| failed("sync", directory, error))
}

/// Every path of a store has a parent: none of them is the root of the file system.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Describes what failed; a full disk is told apart, because it passes.
pub(super) fn failed(operation: &'static str, path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(error),
        _ => Error::Io {
            operation,
            path: path.to_owned(),
            source: error,
        },
    }
}
