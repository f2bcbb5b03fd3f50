//! [`Quarantine`]: where a repair keeps what it takes out of a store.
//!
//! Each run has a directory of its own, and in it everything has the path that it had in the store, so that moving it
//! back is undoing it. Nothing in it is ever deleted or replaced.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;

use super::super::super::Error;
use super::super::durable::{Durable, failed, sync_directory};
use super::super::layout::Layout;
use super::super::lock::{Lock, OpenError};
use super::lock;

/// The quarantine of one run, and the right to change the store.
pub(super) struct Quarantine {
    root: PathBuf,
    layout: Layout,
    durable: Durable,
    /// This run's directory, once there is something in it.
    run: Mutex<Option<PathBuf>>,
    _lock: Lock,
}

impl Quarantine {
    /// Takes the exclusive lock on the store.
    pub(super) fn open(root: &Path) -> Result<Self, OpenError> {
        let exclusive = Lock::acquire(root)?;
        let layout = Layout::new(root);
        Ok(Self {
            root: root.to_owned(),
            durable: Durable::new(root.to_owned(), layout.temporary()),
            layout,
            run: Mutex::default(),
            _lock: exclusive,
        })
    }

    /// This run's directory, if anything has been moved there.
    pub(super) fn used(&self) -> Option<PathBuf> {
        lock(&self.run).clone()
    }

    /// Moves a file or directory of the store here, and returns where it is then.
    pub(super) fn take(&self, path: &Path) -> Result<PathBuf, Error> {
        let target = self.target(path)?;
        self.durable.rename(path, &target)?;
        sync_directory(path.parent().unwrap_or(path))?;
        Ok(target)
    }

    /// Replaces a file of the store by one that holds `content`, and keeps what it held here. The file is there at any
    /// time, so that what it makes visible never disappears.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> Result<PathBuf, Error> {
        let target = self.target(path)?;
        let held = fs::read(path).map_err(|error| failed("read", path, error))?;
        self.durable.write(&target, &held)?;
        self.durable.write(path, content)?;
        Ok(target)
    }

    fn target(&self, path: &Path) -> Result<PathBuf, Error> {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        Ok(self.run()?.join(inside))
    }

    /// This run's directory, which is made when it is first asked for.
    fn run(&self) -> Result<PathBuf, Error> {
        let mut run = lock(&self.run);
        if let Some(directory) = &*run {
            return Ok(directory.clone());
        }
        // The lists beside the store are only believed while the store is changed by those who keep them. They are made
        // again from the directories.
        self.durable.remove(&self.layout.listing())?;
        let name = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        let directory = self.layout.quarantine().join(name);
        self.durable.make_directories(&self.layout.quarantine())?;
        // Not one that is there: what lies in it would be replaced.
        fs::create_dir(&directory).map_err(|error| failed("make", &directory, error))?;
        sync_directory(&self.layout.quarantine())?;
        Ok(run.insert(directory).clone())
    }
}
