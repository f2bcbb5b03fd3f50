//! [`FilesystemStore`]: a directory tree in the layout of the CNCF Distribution registry.
//!
//! This file is the asynchronous shell: it hands each operation to the blocking pool. What is done to the disk is in
//! [`tree::Tree`], plain synchronous code; uploads and downloads, which take as long as their client does, take a
//! thread of the pool only for the batch of bytes that is at hand, so that slow clients cannot use the pool up.

mod background;
mod buffers;
mod durable;
mod expiry;
mod layout;
mod listing;
mod lock;
mod reader;
mod remembered;
mod scrub;
mod sessions;
mod tree;
mod writer;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use registry_config::{MissingReferences, Uploads};

use super::{Blob, Chunks, Error, Owner, Store, StoredManifest, Upload};
use crate::metrics::StoreMetrics;
use crate::oci::{Algorithm, ContentRange, Digest, Manifest, Reference, Referrer, RepositoryName, Tag, UploadId};
use background::Background;
use lock::Lock;
use tree::Tree;

pub use lock::OpenError;
pub use scrub::{Finding, Mode, ScrubError, Totals, Watcher, scrub};

/// A store in a directory of the local machine.
pub struct FilesystemStore {
    tree: Arc<Tree>,
    // In this order: the lock is given back when nobody writes any more.
    _background: [Background; 2],
    _lock: Lock,
}

impl FilesystemStore {
    /// Opens the store below `root`, and makes it where there is none. Upload sessions live as `uploads` says; how many there
    /// are, and what came from memory, is told to `metrics`.
    ///
    /// # Errors
    /// Where the directory cannot be written, or another process has it open.
    pub fn open(root: &Path, uploads: &Uploads, metrics: &StoreMetrics) -> Result<Self, OpenError> {
        let lock = Lock::acquire(root)?;
        let tree = Arc::new(Tree::new(root, uploads, metrics));
        tree.listing().open();
        let listing = Background::start("listing", &tree, listing::follow).map_err(OpenError::Thread)?;
        let expiry = Background::start("uploads", &tree, expiry::run).map_err(OpenError::Thread)?;
        Ok(Self {
            tree,
            _background: [listing, expiry],
            _lock: lock,
        })
    }

    /// Whether every repository has been looked at since the store was opened, so that lists of any length come from the
    /// index. Until then the catalog is read from the directories.
    pub fn is_listed(&self) -> bool {
        self.tree.listing().is_complete()
    }

    /// Runs `operation` on the tree in the blocking pool.
    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Arc<Tree>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let tree = self.tree.clone();
        blocking(move || operation(&tree)).await
    }
}

/// Runs `operation` in the blocking pool and carries its panic, if any, to the caller.
async fn blocking<T: Send + 'static>(operation: impl FnOnce() -> T + Send + 'static) -> T {
    joined(tokio::task::spawn_blocking(operation).await)
}

/// The result of a task of the blocking pool, which is never cancelled once it runs.
fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Store for FilesystemStore {
    fn probe(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.run(|tree| tree.probe()).boxed()
    }

    fn blob<'a>(&'a self, repository: &'a RepositoryName, digest: &'a Digest) -> BoxFuture<'a, Result<Blob, Error>> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.run(move |tree| reader::open(tree, &repository, &digest)).boxed()
    }

    fn delete_blob<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.run(move |tree| tree.delete_blob(&repository, &digest)).boxed()
    }

    fn mount_blob<'a>(
        &'a self,
        repository: &'a RepositoryName,
        source: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let (repository, source, digest) = (repository.clone(), source.clone(), digest.clone());
        self.run(move |tree| tree.mount_blob(&repository, &source, &digest))
            .boxed()
    }

    fn holders<'a>(&'a self, digest: &'a Digest, limit: usize) -> BoxFuture<'a, Result<Vec<RepositoryName>, Error>> {
        let digest = digest.clone();
        self.run(move |tree| Ok(tree.listing().holders(&digest, limit))).boxed()
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<StoredManifest, Error>> {
        if let Some(manifest) = self.tree.remembered().get(repository, reference) {
            return std::future::ready(Ok(manifest)).boxed();
        }
        let (repository, reference) = (repository.clone(), reference.clone());
        self.run(move |tree| tree.manifest(&repository, &reference)).boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
        content: Bytes,
        manifest: Manifest,
        tags: &'a [Tag],
        missing: MissingReferences,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let (repository, digest, tags) = (repository.clone(), digest.clone(), tags.to_vec());
        self.run(move |tree| tree.put_manifest(&repository, &digest, &content, &manifest, &tags, missing))
            .boxed()
    }

    fn delete_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.run(move |tree| tree.delete_manifest(&repository, &reference))
            .boxed()
    }

    fn referrers<'a>(
        &'a self,
        repository: &'a RepositoryName,
        subject: &'a Digest,
        after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Referrer>, Error>> {
        let (repository, subject, after) = (repository.clone(), subject.clone(), after.map(str::to_owned));
        self.run(move |tree| tree.referrers(&repository, &subject, after.as_deref()))
            .boxed()
    }

    fn tags<'a>(
        &'a self,
        repository: &'a RepositoryName,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let (repository, after) = (repository.clone(), after.map(str::to_owned));
        self.run(move |tree| tree.tags(&repository, after.as_deref(), limit))
            .boxed()
    }

    fn repositories<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RepositoryName>, Error>> {
        let after = after.map(str::to_owned);
        self.run(move |tree| tree.repositories(after.as_deref(), limit)).boxed()
    }

    fn start_upload<'a>(
        &'a self,
        repository: &'a RepositoryName,
        algorithm: Algorithm,
        caller: &'a Owner,
    ) -> BoxFuture<'a, Result<UploadId, Error>> {
        let (repository, caller) = (repository.clone(), caller.clone());
        self.run(move |tree| tree.start_upload(&repository, algorithm, &caller))
            .boxed()
    }

    fn upload_offset<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<u64, Error>> {
        let upload = upload.clone();
        self.run(move |tree| tree.upload_offset(&upload)).boxed()
    }

    fn append<'a>(
        &'a self,
        upload: &'a Upload,
        range: Option<ContentRange>,
        chunks: Chunks,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        async move {
            let writer = writer::open(&self.tree, upload, range).await?;
            let writer = writer.receive(range, chunks).await?;
            Ok(writer.offset())
        }
        .boxed()
    }

    fn complete<'a>(
        &'a self,
        upload: &'a Upload,
        range: Option<ContentRange>,
        chunks: Chunks,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let writer = writer::open(&self.tree, upload, range).await?;
            let writer = writer.receive(range, chunks).await?;
            let digest = digest.clone();
            self.run(move |tree| writer.commit(tree, &digest)).await
        }
        .boxed()
    }

    fn cancel_upload<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<(), Error>> {
        let upload = upload.clone();
        self.run(move |tree| tree.cancel_upload(&upload)).boxed()
    }
}
