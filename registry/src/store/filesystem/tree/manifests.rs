//! Manifests and tags.

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;

use registry_config::MissingReferences;

use super::super::durable::failed;
use super::super::listing::{Event, Kind};
use super::{Tree, exists, read, read_link};
use crate::oci::{Descriptor, Digest, Manifest, Reference, RepositoryName, Tag};
use crate::store::{Error, StoredManifest};

impl Tree {
    pub(in super::super) fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, Error> {
        let reading = self.remembered.reading();
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => self.tagged(repository, tag)?.ok_or(Error::ManifestUnknown)?,
        };
        self.require_manifest(repository, &digest)?;
        let path = self.layout.data(&digest);
        let content = read(&path)?.ok_or(Error::ManifestUnknown)?;
        // Clients check what they ask for by digest, but take what a tag gives them as it is.
        if Digest::of(digest.algorithm(), &content) != digest {
            return Err(Error::DamagedManifest { digest, path });
        }
        let media_type = match Manifest::parse(&content) {
            Ok(manifest) => manifest.media_type.into(),
            Err(source) => return Err(Error::UnreadableManifest { digest, source }),
        };
        let manifest = StoredManifest {
            digest,
            media_type,
            content: Bytes::from(content),
        };
        self.remembered.keep(reading, repository, reference, &manifest);
        Ok(manifest)
    }

    pub(in super::super) fn put_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        content: &[u8],
        manifest: &Manifest,
        tags: &[Tag],
        missing: MissingReferences,
    ) -> Result<(), Error> {
        self.changing(repository, || {
            for blob in &manifest.blobs {
                let found = self.require_blob(repository, &blob.digest);
                let link = self.layout.blob_link(repository, &blob.digest);
                self.require_reference(found, blob, &link, missing.allows_blobs())?;
            }
            for child in &manifest.manifests {
                let found = self.require_manifest(repository, &child.digest);
                let link = self.layout.revision_link(repository, &child.digest);
                self.require_reference(found, child, &link, missing.allows_manifests())?;
            }
            let link = digest.as_str().as_bytes();
            let change = self.listing.change(repository, Kind::Revisions);
            self.durable.write(&self.layout.data(digest), content)?;
            self.durable
                .write(&self.layout.revision_link(repository, digest), link)?;
            change.done(&Event::ManifestAdded(digest, manifest, content.len()));
            for tag in tags {
                let _announced = self.remembered.change(repository, vec![Reference::Tag(tag.clone())]);
                let change = self.listing.change(repository, Kind::Tags);
                self.durable
                    .write(&self.layout.tag_index_link(repository, tag, digest), link)?;
                self.durable
                    .write(&self.layout.tag_current_link(repository, tag), link)?;
                change.done(&Event::TagAdded(tag));
            }
            Ok(())
        })
    }

    pub(in super::super) fn delete_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), Error> {
        self.changing(repository, || match reference {
            Reference::Tag(tag) => {
                let known = self.tagged(repository, tag)?.is_some() && self.delete_tag(repository, tag)?;
                if known { Ok(()) } else { Err(Error::ManifestUnknown) }
            }
            Reference::Digest(digest) => self.delete_revision(repository, digest),
        })
    }

    fn delete_revision(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        self.require_manifest(repository, digest)?;
        // Tags first: a crash in between leaves a manifest without tags, never a tag without its manifest.
        for tag in self.listing.read_tags(repository)? {
            if self.tagged(repository, &tag)?.as_ref() == Some(digest) {
                self.delete_tag(repository, &tag)?;
            }
        }
        let content = read(&self.layout.data(digest))?.unwrap_or_default();
        let _announced = self
            .remembered
            .change(repository, vec![Reference::Digest(digest.clone())]);
        let link = self.layout.revision_link(repository, digest);
        let change = self.listing.change(repository, Kind::Revisions);
        self.durable.remove(link.parent().unwrap_or(&link))?;
        change.done(&Event::ManifestRemoved(digest, &content));
        Ok(())
    }

    /// What a tag points at.
    fn tagged(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, Error> {
        read_link(&self.layout.tag_current_link(repository, tag))
    }

    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, Error> {
        let _announced = self.remembered.change(repository, vec![Reference::Tag(tag.clone())]);
        let change = self.listing.change(repository, Kind::Tags);
        let removed = self.durable.remove(&self.layout.tag(repository, tag))?;
        change.done(&Event::TagRemoved(tag));
        Ok(removed)
    }

    /// Checks that a manifest is visible in a repository.
    fn require_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        if exists(&self.layout.revision_link(repository, digest))? {
            Ok(())
        } else {
            Err(Error::ManifestUnknown)
        }
    }

    /// Checks what came of looking for something that a manifest refers to: that it is there, unless it may be missing,
    /// has the size that the manifest says, and is as durable as the manifest will be.
    fn require_reference(
        &self,
        found: Result<(), Error>,
        descriptor: &Descriptor,
        link: &Path,
        may_be_missing: bool,
    ) -> Result<(), Error> {
        match found {
            Ok(()) => {
                self.require_size(descriptor)?;
                self.durable.settle(&self.layout.data(&descriptor.digest))?;
                self.durable.settle(link)
            }
            Err(Error::BlobUnknown | Error::ManifestUnknown) if may_be_missing => Ok(()),
            Err(Error::BlobUnknown | Error::ManifestUnknown) => Err(Error::ReferenceUnknown(descriptor.digest.clone())),
            Err(other) => Err(other),
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
