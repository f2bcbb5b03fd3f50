//! Which file holds what: the paths of Distribution's layout, and of what is ours beside it.

use std::path::{Path, PathBuf};

use crate::oci::{Digest, RepositoryName, Tag, UploadId};

/// The paths below a store's root. Every name in them has passed its grammar, so none leads out of the root.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Files of ours that another registry on the same tree never looks at.
    pub(super) fn own(&self) -> PathBuf {
        self.root.join("wharfinger")
    }

    /// Files on their way in or out; emptied at each start.
    pub(super) fn temporary(&self) -> PathBuf {
        self.own().join("tmp")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.own().join("lock")
    }

    /// The database of sorted lists; everything in it can be read from the directories.
    pub(super) fn listing(&self) -> PathBuf {
        self.own().join("listing.redb")
    }

    /// What a scrub has taken out of the store; kept until a person removes it.
    pub(super) fn quarantine(&self) -> PathBuf {
        self.own().join("quarantine")
    }

    pub(super) fn repositories(&self) -> PathBuf {
        self.root.join("docker/registry/v2/repositories")
    }

    pub(super) fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.repositories().join(name.as_str())
    }

    /// The bytes of all repositories, by algorithm.
    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("docker/registry/v2/blobs")
    }

    /// The bytes of a blob or manifest, whichever repositories it is in.
    pub(super) fn data(&self, digest: &Digest) -> PathBuf {
        let blobs = self.blobs().join(digest.algorithm().as_str());
        blobs.join(&digest.hex()[..2]).join(digest.hex()).join("data")
    }

    /// Makes a blob visible in a repository.
    pub(super) fn blob_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        link(&self.blob_links(name), digest)
    }

    /// The blobs of a repository, by algorithm.
    pub(super) fn blob_links(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_layers")
    }

    /// Makes a manifest visible in a repository.
    pub(super) fn revision_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        link(&self.revisions(name), digest)
    }

    /// The manifests of a repository, by algorithm.
    pub(super) fn revisions(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_manifests/revisions")
    }

    pub(super) fn tags(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_manifests/tags")
    }

    pub(super) fn tag(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tags(name).join(tag.as_str())
    }

    /// Remembers that a tag has once pointed at a manifest.
    pub(super) fn tag_index_link(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> PathBuf {
        link(&self.tag_index_links(name, tag), digest)
    }

    /// The manifests that a tag has pointed at, by algorithm.
    pub(super) fn tag_index_links(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tag(name, tag).join("index")
    }

    /// What a tag points at now.
    pub(super) fn tag_current_link(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tag(name, tag).join("current/link")
    }

    /// The upload sessions of a repository.
    pub(super) fn uploads(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join("_uploads")
    }

    pub(super) fn upload(&self, name: &RepositoryName, session: UploadId) -> PathBuf {
        self.uploads(name).join(session.to_string())
    }

    /// Who has opened the session. Other registries do not look at it.
    pub(super) fn upload_owner(&self, name: &RepositoryName, session: UploadId) -> PathBuf {
        self.upload(name, session).join("wharfinger-owner")
    }

    pub(super) fn upload_data(&self, name: &RepositoryName, session: UploadId) -> PathBuf {
        self.upload(name, session).join("data")
    }

    pub(super) fn upload_started_at(&self, name: &RepositoryName, session: UploadId) -> PathBuf {
        self.upload(name, session).join("startedat")
    }
}

fn link(directory: &Path, digest: &Digest) -> PathBuf {
    directory
        .join(digest.algorithm().as_str())
        .join(digest.hex())
        .join("link")
}
