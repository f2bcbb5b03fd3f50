//! [`Measured`]: a store whose every operation is counted, timed and traced.

use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use registry_config::MissingReferences;
use tracing::{Instrument, info_span};

use super::{Blob, Chunks, Error, Owner, Store, StoredManifest, Upload};
use crate::metrics::StoreMetrics;
use crate::oci::{Algorithm, ContentRange, Digest, Manifest, Reference, Referrer, RepositoryName, Tag, UploadId};
use crate::traces::TARGET;

/// A store, and the counters of its operations.
pub struct Measured<S> {
    store: S,
    metrics: StoreMetrics,
}

impl<S> Measured<S> {
    /// Counts what `store` does.
    pub fn new(store: S, metrics: StoreMetrics) -> Self {
        Self { store, metrics }
    }

    fn watch<'a, T: 'a>(
        &'a self,
        operation: &'static str,
        work: BoxFuture<'a, Result<T, Error>>,
    ) -> BoxFuture<'a, Result<T, Error>> {
        let span = info_span!(target: TARGET, "store", otel.name = operation);
        let metrics = &self.metrics;
        let watched = async move {
            let begun = Instant::now();
            let result = work.await;
            metrics.operation(operation, &result, begun.elapsed());
            result
        };
        watched.instrument(span).boxed()
    }
}

impl<S: Store> Store for Measured<S> {
    /// Not counted: it is asked for by probes, not by clients.
    fn probe(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.store.probe()
    }

    fn blob<'a>(&'a self, repository: &'a RepositoryName, digest: &'a Digest) -> BoxFuture<'a, Result<Blob, Error>> {
        self.watch("open-blob", self.store.blob(repository, digest))
    }

    fn delete_blob<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.watch("delete-blob", self.store.delete_blob(repository, digest))
    }

    fn mount_blob<'a>(
        &'a self,
        repository: &'a RepositoryName,
        source: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.watch("mount-blob", self.store.mount_blob(repository, source, digest))
    }

    fn holders<'a>(&'a self, digest: &'a Digest, limit: usize) -> BoxFuture<'a, Result<Vec<RepositoryName>, Error>> {
        self.watch("find-holders", self.store.holders(digest, limit))
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<StoredManifest, Error>> {
        self.watch("read-manifest", self.store.manifest(repository, reference))
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
        let work = self
            .store
            .put_manifest(repository, digest, content, manifest, tags, missing);
        self.watch("put-manifest", work)
    }

    fn delete_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.watch("delete-manifest", self.store.delete_manifest(repository, reference))
    }

    fn referrers<'a>(
        &'a self,
        repository: &'a RepositoryName,
        subject: &'a Digest,
        after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Referrer>, Error>> {
        self.watch("list-referrers", self.store.referrers(repository, subject, after))
    }

    fn tags<'a>(
        &'a self,
        repository: &'a RepositoryName,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        self.watch("list-tags", self.store.tags(repository, after, limit))
    }

    fn repositories<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RepositoryName>, Error>> {
        self.watch("list-repositories", self.store.repositories(after, limit))
    }

    fn start_upload<'a>(
        &'a self,
        repository: &'a RepositoryName,
        algorithm: Algorithm,
        caller: &'a Owner,
    ) -> BoxFuture<'a, Result<UploadId, Error>> {
        self.watch("start-upload", self.store.start_upload(repository, algorithm, caller))
    }

    fn upload_offset<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<u64, Error>> {
        self.watch("read-upload", self.store.upload_offset(upload))
    }

    fn append<'a>(
        &'a self,
        upload: &'a Upload,
        range: Option<ContentRange>,
        chunks: Chunks,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        self.watch("append-upload", self.store.append(upload, range, chunks))
    }

    fn complete<'a>(
        &'a self,
        upload: &'a Upload,
        range: Option<ContentRange>,
        chunks: Chunks,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.watch("complete-upload", self.store.complete(upload, range, chunks, digest))
    }

    fn cancel_upload<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<(), Error>> {
        self.watch("cancel-upload", self.store.cancel_upload(upload))
    }
}
