//! [`Store`]: where blobs, manifests and tags are kept, and how they are reached.
//!
//! A store knows names and bytes; it knows no HTTP and no policies. Who may do what was decided before a store is asked; it
//! only remembers whose an upload session is.

mod filesystem;
mod measured;
mod owner;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use registry_config::MissingReferences;

use crate::oci::{
    Algorithm, ByteRange, ContentRange, Digest, InvalidManifest, Manifest, Reference, Referrer, RepositoryName, Tag,
    UploadId,
};

pub use filesystem::{FilesystemStore, Finding, Mode, OpenError, ScrubError, Totals, Watcher, scrub};
pub use measured::Measured;
pub use owner::{Owner, Upload};

/// An error of whatever delivers or carries content.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The content of an upload as it arrives. An error means that the sender went away before the end.
pub type Chunks = BoxStream<'static, Result<Bytes, BoxError>>;

/// Where blobs, manifests and tags are kept.
///
/// # Guarantees
/// * What a method has answered `Ok` to survives a crash of the process and of the machine, upload sessions apart.
/// * A blob, manifest or upload session is visible only in the repository it was put into, and a session only to whoever
///   has opened it. One that another registry has left in the store is everybody's.
/// * A session that nobody writes to ends after a time.
/// * Content is stored only under the digest that was computed from it.
pub trait Store: Send + Sync {
    /// Checks that the store can be read and written.
    fn probe(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Finds a blob of a repository.
    fn blob<'a>(&'a self, repository: &'a RepositoryName, digest: &'a Digest) -> BoxFuture<'a, Result<Blob, Error>>;

    /// Removes a blob from a repository; other repositories keep it.
    fn delete_blob<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Makes a blob of the repository `source` visible in another.
    fn mount_blob<'a>(
        &'a self,
        repository: &'a RepositoryName,
        source: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Lists repositories that may have a blob, at most `limit`. Some that have it may be left out, and some that had
    /// it may be listed.
    fn holders<'a>(&'a self, digest: &'a Digest, limit: usize) -> BoxFuture<'a, Result<Vec<RepositoryName>, Error>>;

    /// Reads a manifest of a repository.
    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<StoredManifest, Error>>;

    /// Stores a manifest whose digest is `digest`, and then points each of `tags` at it.
    ///
    /// What the manifest refers to must be in the repository, unless `missing` allows otherwise; what is there must have
    /// the size that the manifest says.
    fn put_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
        content: Bytes,
        manifest: Manifest,
        tags: &'a [Tag],
        missing: MissingReferences,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Removes a tag, or a manifest together with all tags that point at it.
    fn delete_manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Lists the manifests of a repository whose subject is `subject` and whose digests sort behind `after`, in the order
    /// of their digests.
    fn referrers<'a>(
        &'a self,
        repository: &'a RepositoryName,
        subject: &'a Digest,
        after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Referrer>, Error>>;

    /// Lists up to `limit` tags of a repository that sort behind `after`, in the order of their bytes.
    fn tags<'a>(
        &'a self,
        repository: &'a RepositoryName,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>>;

    /// Lists up to `limit` repositories that have a tag and sort behind `after`, in the order of their bytes.
    fn repositories<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RepositoryName>, Error>>;

    /// Opens an upload session in a repository, which is `caller`'s from then on, unless it has too many already.
    /// `algorithm` is the one that its digest will have, as far as is known.
    fn start_upload<'a>(
        &'a self,
        repository: &'a RepositoryName,
        algorithm: Algorithm,
        caller: &'a Owner,
    ) -> BoxFuture<'a, Result<UploadId, Error>>;

    /// How many bytes an upload session has received.
    fn upload_offset<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<u64, Error>>;

    /// Appends `chunks` to an upload session and returns how many bytes it has received then. With a `range`, the
    /// chunks must begin where the session ends and be exactly as long as it says, or nothing is kept of them.
    fn append<'a>(
        &'a self,
        upload: &'a Upload,
        range: Option<ContentRange>,
        chunks: Chunks,
    ) -> BoxFuture<'a, Result<u64, Error>>;

    /// Appends `chunks` like [`Store::append`] and turns the session into the blob `digest`. A session whose content
    /// has another digest is removed.
    fn complete<'a>(
        &'a self,
        upload: &'a Upload,
        range: Option<ContentRange>,
        chunks: Chunks,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Removes an upload session and what it received.
    fn cancel_upload<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<(), Error>>;
}

/// A blob that was found.
pub struct Blob {
    /// Its size in bytes.
    pub size: u64,
    content: Box<dyn BlobContent>,
}

impl Blob {
    /// Describes a blob whose bytes come from `content`.
    pub fn new(size: u64, content: Box<dyn BlobContent>) -> Self {
        Self { size, content }
    }

    /// Reads a part of the blob.
    pub fn read(self, range: ByteRange) -> BoxStream<'static, std::io::Result<Bytes>> {
        self.content.read(range)
    }
}

/// The bytes of a blob that was found.
pub trait BlobContent: Send {
    /// Reads a part of them. The stream ends with an error where fewer bytes are left than the range says.
    fn read(self: Box<Self>, range: ByteRange) -> BoxStream<'static, std::io::Result<Bytes>>;
}

/// A manifest as it is stored.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: Arc<str>,
    /// Its bytes, exactly as they were pushed.
    pub content: Bytes,
}

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository does not exist.
    #[error("repository unknown")]
    RepositoryUnknown,
    /// The repository has no such blob.
    #[error("blob unknown in this repository")]
    BlobUnknown,
    /// The repository has no such manifest or tag.
    #[error("manifest unknown in this repository")]
    ManifestUnknown,
    /// The repository has no such upload session.
    #[error(
        "upload session unknown: it was completed, cancelled, has expired, or belongs to another repository or identity"
    )]
    UploadUnknown,
    /// The caller has as many upload sessions as it may have.
    #[error("there are {most} upload sessions open, which is the most at once: complete or cancel some of them first")]
    TooManyUploads {
        /// How many it may have.
        most: usize,
    },
    /// Another request is writing to the upload session.
    #[error("another request is writing to this upload session")]
    UploadBusy,
    /// A chunk does not begin where the session ends.
    #[error("the chunk does not begin at byte {received}, where the upload session ends")]
    WrongOffset {
        /// How many bytes the session has received.
        received: u64,
    },
    /// A chunk is not as long as its range says.
    #[error("the chunk has {received} bytes, but its Content-Range says {declared}")]
    WrongLength {
        /// Bytes by the range.
        declared: u64,
        /// Bytes that came, or the first too many.
        received: u64,
    },
    /// The content has another digest than the client says.
    #[error("the content's digest is {computed}, not {expected}")]
    DigestMismatch {
        /// What the client says.
        expected: Digest,
        /// What the content has.
        computed: Digest,
    },
    /// A manifest refers to what is not in the repository.
    #[error("the manifest refers to {0}, which is not in this repository; push it first")]
    ReferenceUnknown(Digest),
    /// A manifest says another size than the content it refers to has.
    #[error("the manifest says that {digest} has {declared} bytes, but it has {actual}")]
    ReferenceSize {
        /// What is referred to.
        digest: Digest,
        /// Size by the manifest.
        declared: u64,
        /// Size in the store.
        actual: u64,
    },
    /// The sender went away, or stopped sending, before the end of the content.
    #[error("the content ended before it was complete")]
    Interrupted(#[source] BoxError),
    /// What is stored as a manifest has another digest.
    #[error("the content of manifest {digest} is damaged in `{}`: push it again, or see what else is with `wharfinger-registry scrub`", path.display())]
    DamagedManifest {
        /// What it should be.
        digest: Digest,
        /// Where it is.
        path: PathBuf,
    },
    /// What is stored as a manifest is none.
    #[error("what is stored as the manifest {digest} is none")]
    UnreadableManifest {
        /// Its digest.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: InvalidManifest,
    },
    /// A blob is larger than this registry takes.
    #[error("the blob is larger than {most} bytes, which is the most that this registry takes")]
    BlobTooLarge {
        /// How large it may be.
        most: u64,
    },
    /// There is no space left.
    #[error("no space is left in the store")]
    Full(#[source] std::io::Error),
    /// The medium refused.
    #[error("cannot {operation} `{}`", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `write`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the store is to blame: what is stored is damaged, or the medium did not do its part.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::DamagedManifest { .. } | Self::UnreadableManifest { .. } | Self::Full(_) | Self::Io { .. }
        )
    }
}
