//! The exclusive lock on a store: one process at a time, because uploads, deletions and the order of writes are only
//! coordinated inside one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation, flock};

use super::layout::Layout;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something below the root cannot be made or written.
    #[error("cannot write `{}` as uid {uid}: give that user the directory, or name another storage root", path.display())]
    NotWritable {
        /// What was tried to be written.
        path: PathBuf,
        /// Who this process runs as.
        uid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A thread that the store needs cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Another process has the store open.
    #[error(
        "the storage root `{}` is in use by another process, which holds `{}`: stop it, or name another storage root",
        root.display(), lock.display()
    )]
    Locked {
        /// The root of the store.
        root: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
}

/// The lock, for as long as it lives. The system takes it back from a process that dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directories of a store, takes its lock, and only then removes what an earlier process left
    /// half-written.
    pub(super) fn acquire(root: &Path) -> Result<Self, OpenError> {
        let layout = Layout::new(root);
        for directory in [layout.own(), layout.repositories()] {
            make_directories(&directory)?;
            // It may exist already and be somebody else's.
            let access = rustix::fs::access(&directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
            access.map_err(|error| not_writable(&directory, error.into()))?;
        }
        keep(root)?;
        let path = layout.lock();
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| not_writable(&path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(OpenError::Locked {
                    root: root.to_owned(),
                    lock: path,
                });
            }
            Err(error) => return Err(not_writable(&path, error.into())),
        }
        let temporary = layout.temporary();
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(not_writable(&temporary, error)),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir(&temporary).map_err(|error| not_writable(&temporary, error))?;
        Ok(Self { _file: file })
    }
}

/// Makes a directory and its ancestors, and says at which of them it failed.
fn make_directories(directory: &Path) -> Result<(), OpenError> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directories(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(not_writable(directory, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the root itself durable in the directories above it. What is below, [`super::durable`] takes care of.
///
/// Not only where it was made just now: an earlier process may have made it and died before it came to this.
fn keep(root: &Path) -> Result<(), OpenError> {
    for above in root.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() {
            Path::new(".")
        } else {
            above
        };
        match File::open(above).and_then(|directory| directory.sync_all()) {
            // Nothing was made in a directory that this process may not read, or nobody may change.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied
                        | io::ErrorKind::ReadOnlyFilesystem
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::Unsupported
                ) => {}
            result => result.map_err(|error| not_writable(above, error))?,
        }
    }
    Ok(())
}

fn not_writable(path: &Path, source: io::Error) -> OpenError {
    OpenError::NotWritable {
        path: path.to_owned(),
        uid: rustix::process::geteuid().as_raw(),
        source,
    }
}
