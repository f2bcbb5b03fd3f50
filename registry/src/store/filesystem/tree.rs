//! [`Tree`]: what is done to the directories of a store, as plain synchronous code.
//!
//! The order of writes is what makes a crash harmless: blob, then its link in the repository; manifest, then its
//! revision, then the tag's index, then the tag. Each step is durable before the next begins, so whatever is named is
//! there.

mod lists;
mod manifests;
mod uploads;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry_config::Uploads;

use super::super::Error;
use super::buffers::Buffers;
use super::durable::{Durable, failed};
use super::layout::Layout;
use super::listing::{Event, Kind, Listing};
use super::reader::PART_BYTES;
use super::remembered::Remembered;
use super::sessions::Sessions;
use crate::metrics::StoreMetrics;
use crate::oci::{Digest, RepositoryName};

/// How many locks the repositories share.
const STRIPES: usize = 64;

/// The directories of a store and what is known about them.
#[derive(Debug)]
pub(super) struct Tree {
    layout: Layout,
    durable: Durable,
    sessions: Arc<Sessions>,
    listing: Listing,
    remembered: Remembered,
    /// What blobs are read into.
    buffers: Arc<Buffers>,
    /// Taken by whoever changes which manifests, tags and blobs a repository has, so that a manifest is not stored
    /// while something that it refers to is deleted.
    changes: [Mutex<()>; STRIPES],
}

impl Tree {
    pub(super) fn new(root: &Path, uploads: &Uploads, metrics: &StoreMetrics) -> Self {
        let layout = Layout::new(root);
        Self {
            durable: Durable::new(root.to_owned(), layout.temporary()),
            listing: Listing::new(layout.clone()),
            layout,
            remembered: Remembered::new(metrics.clone()),
            buffers: Arc::new(Buffers::new(PART_BYTES)),
            sessions: Arc::new(Sessions::new(uploads, metrics.clone())),
            changes: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    pub(super) fn listing(&self) -> &Listing {
        &self.listing
    }

    pub(super) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    pub(super) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// Checks that the store can still be read and written.
    pub(super) fn probe(&self) -> Result<(), Error> {
        let path = self.layout.temporary();
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(&path, access).map_err(|error| failed("write", &path, error.into()))?;
        let path = self.layout.repositories();
        fs::read_dir(&path)
            .map(drop)
            .map_err(|error| failed("read", &path, error))
    }

    /// Checks that a blob is visible in a repository.
    pub(super) fn require_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        if exists(&self.layout.blob_link(repository, digest))? {
            Ok(())
        } else {
            Err(Error::BlobUnknown)
        }
    }

    /// Takes a blob out of a repository.
    pub(super) fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let link = self.layout.blob_link(repository, digest);
        self.changing(repository, || {
            let change = self.listing.change(repository, Kind::Blobs);
            if !exists(&link)? || !self.durable.remove(link.parent().unwrap_or(&link))? {
                return Err(Error::BlobUnknown);
            }
            change.done(&Event::BlobRemoved(digest));
            Ok(())
        })
    }

    /// Makes a blob whose data is there visible in a repository.
    fn link_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        self.changing(repository, || {
            let change = self.listing.change(repository, Kind::Blobs);
            let link = self.layout.blob_link(repository, digest);
            self.durable.write(&link, digest.as_str().as_bytes())?;
            change.done(&Event::BlobAdded(digest));
            Ok(())
        })
    }

    /// Makes a blob of the repository `source` visible in another.
    pub(super) fn mount_blob(
        &self,
        repository: &RepositoryName,
        source: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        self.require_blob(source, digest)?;
        let data = self.layout.data(digest);
        if !exists(&data)? {
            return Err(Error::BlobUnknown);
        }
        self.durable.settle(&data)?;
        self.link_blob(repository, digest)
    }

    /// Runs `change` while nobody else changes the repository.
    pub(super) fn changing<T>(&self, repository: &RepositoryName, change: impl FnOnce() -> T) -> T {
        let _changing = self.change(repository);
        change()
    }

    fn change(&self, repository: &RepositoryName) -> MutexGuard<'_, ()> {
        // FNV-1a: any even spread will do.
        let hash = repository
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let stripe = usize::try_from(hash % STRIPES as u64).unwrap_or_default();
        self.changes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|error| failed("read", path, error))
}

/// The content of a file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// The digest that a link file holds; `None` where there is no such file or it holds no digest.
fn read_link(path: &Path) -> Result<Option<Digest>, Error> {
    let content = read(path)?;
    Ok(content.and_then(|content| std::str::from_utf8(&content).ok()?.trim().parse().ok()))
}
