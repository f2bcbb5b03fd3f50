//! Manifests and tags.

use std::fs;
use std::io;

use bytes::Bytes;

use super::super::durable::failed;
use super::{Tree, exists, read, read_link};
use crate::oci::{Descriptor, Digest, Manifest, Reference, RepositoryName, Tag};
use crate::store::{Error, StoredManifest};

impl Tree {
    pub(in super::super) fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, Error> {
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => self.tagged(repository, tag)?.ok_or(Error::ManifestUnknown)?,
        };
        self.require_manifest(repository, &digest)?;
        let content = read(&self.layout.data(&digest))?.ok_or(Error::ManifestUnknown)?;
        Ok(StoredManifest {
            digest,
            content: Bytes::from(content),
        })
    }

    pub(in super::super) fn put_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        content: &[u8],
        manifest: &Manifest,
        tags: &[Tag],
    ) -> Result<(), Error> {
        let _changing = self.change(repository);
        for blob in &manifest.blobs {
            self.require_blob(repository, &blob.digest)
                .map_err(|error| missing(error, blob))?;
            self.require_size(blob)?;
            self.durable.settle(&self.layout.data(&blob.digest))?;
            self.durable.settle(&self.layout.blob_link(repository, &blob.digest))?;
        }
        for child in &manifest.manifests {
            self.require_manifest(repository, &child.digest)
                .map_err(|error| missing(error, child))?;
            self.require_size(child)?;
            self.durable.settle(&self.layout.data(&child.digest))?;
            self.durable
                .settle(&self.layout.revision_link(repository, &child.digest))?;
        }
        let link = digest.as_str().as_bytes();
        self.durable.write(&self.layout.data(digest), content)?;
        self.durable
            .write(&self.layout.revision_link(repository, digest), link)?;
        for tag in tags {
            self.durable
                .write(&self.layout.tag_index_link(repository, tag, digest), link)?;
            self.durable
                .write(&self.layout.tag_current_link(repository, tag), link)?;
        }
        Ok(())
    }

    pub(in super::super) fn delete_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), Error> {
        let _changing = self.change(repository);
        let digest = match reference {
            Reference::Tag(tag) => {
                let known = self.tagged(repository, tag)?.is_some() && self.delete_tag(repository, tag)?;
                return if known { Ok(()) } else { Err(Error::ManifestUnknown) };
            }
            Reference::Digest(digest) => digest,
        };
        self.require_manifest(repository, digest)?;
        // Tags first: a crash in between leaves a manifest without tags, never a tag without its manifest.
        for tag in self.tags(repository, None, usize::MAX)? {
            let Ok(tag) = tag.parse::<Tag>() else { continue };
            if self.tagged(repository, &tag)?.as_ref() == Some(digest) {
                self.delete_tag(repository, &tag)?;
            }
        }
        let link = self.layout.revision_link(repository, digest);
        self.durable.remove(link.parent().unwrap_or(&link)).map(drop)
    }

    /// What a tag points at.
    fn tagged(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, Error> {
        read_link(&self.layout.tag_current_link(repository, tag))
    }

    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, Error> {
        self.durable.remove(&self.layout.tag(repository, tag))
    }

    /// Checks that a manifest is visible in a repository.
    fn require_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        if exists(&self.layout.revision_link(repository, digest))? {
            Ok(())
        } else {
            Err(Error::ManifestUnknown)
        }
    }

    /// Checks that what a manifest refers to has the size that the manifest says.
    fn require_size(&self, descriptor: &Descriptor) -> Result<(), Error> {
        let path = self.layout.data(&descriptor.digest);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() == descriptor.size => Ok(()),
            Ok(metadata) => Err(Error::ReferenceSize {
                digest: descriptor.digest.clone(),
                declared: descriptor.size,
                actual: metadata.len(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::ReferenceUnknown(descriptor.digest.clone()))
            }
            Err(error) => Err(failed("read", &path, error)),
        }
    }
}

/// Says which reference of a manifest it is that the repository does not have.
fn missing(error: Error, descriptor: &Descriptor) -> Error {
    match error {
        Error::BlobUnknown | Error::ManifestUnknown => Error::ReferenceUnknown(descriptor.digest.clone()),
        other => other,
    }
}
