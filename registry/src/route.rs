//! [`Route`]: what a request asks for, parsed once from its method and URI.
//!
//! Parsing is pure and happens before anybody is authenticated: an unknown route, a wrong method and a name outside the
//! grammar are answered the same to everybody. Nothing behind this module looks at the URI again, so what is authorised
//! is what is done.

mod parse;
mod query;

use crate::oci::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId};

pub use parse::{Invalid, RouteError, parse};

/// A request of the distribution API, or of the token endpoint beside it. HEAD is the same route as GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `GET /v2/`: end-1.
    Base,
    /// `GET /token` and `POST /token`: the token endpoint that challenges name.
    Token,
    /// `GET /.well-known/jwks.json`: the public keys of the registry's own tokens.
    Keys,
    /// `GET /v2/_catalog`.
    ListCatalog(ListCatalog),
    /// `GET /v2/<name>/tags/list`: end-8a, end-8b.
    ListTags(ListTags),
    /// `GET /v2/<name>/blobs/<digest>`: end-2.
    GetBlob(GetBlob),
    /// `DELETE /v2/<name>/blobs/<digest>`: end-10.
    DeleteBlob(DeleteBlob),
    /// `GET /v2/<name>/manifests/<reference>`: end-3.
    GetManifest(GetManifest),
    /// `PUT /v2/<name>/manifests/<reference>`: end-7.
    PutManifest(PutManifest),
    /// `DELETE /v2/<name>/manifests/<reference>`: end-9.
    DeleteManifest(DeleteManifest),
    /// `GET /v2/<name>/referrers/<digest>`: end-12a, end-12b.
    GetReferrers(GetReferrers),
    /// `POST /v2/<name>/blobs/uploads/`: end-4a, end-4b and end-11.
    StartUpload(StartUpload),
    /// `GET /v2/<name>/blobs/uploads/<session>`: end-13.
    GetUpload(Session),
    /// `PATCH /v2/<name>/blobs/uploads/<session>`: end-5.
    UpdateUpload(Session),
    /// `PUT /v2/<name>/blobs/uploads/<session>?digest=<digest>`: end-6.
    CompleteUpload(CompleteUpload),
    /// `DELETE /v2/<name>/blobs/uploads/<session>`: end-14.
    CancelUpload(Session),
}

/// The part of a list that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The most entries to answer; every number is valid, since large ones are clamped.
    pub n: Option<u64>,
    /// Only entries behind this one; any text.
    pub last: Option<String>,
}

/// [`Route::ListCatalog`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCatalog {
    /// Which part.
    pub page: Page,
}

/// [`Route::ListTags`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTags {
    /// The repository.
    pub repository: RepositoryName,
    /// Which part.
    pub page: Page,
}

/// [`Route::GetBlob`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetBlob {
    /// The repository.
    pub repository: RepositoryName,
    /// The blob.
    pub digest: Digest,
    /// Whether only the head is asked for, by HEAD.
    pub head: bool,
}

/// [`Route::DeleteBlob`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteBlob {
    /// The repository.
    pub repository: RepositoryName,
    /// The blob.
    pub digest: Digest,
}

/// [`Route::GetManifest`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetManifest {
    /// The repository.
    pub repository: RepositoryName,
    /// The manifest.
    pub reference: Reference,
}

/// [`Route::PutManifest`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutManifest {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag or digest in the path.
    pub reference: Reference,
    /// Every tag that the manifest is to get: the one in the path, or each `?tag=`.
    pub tags: Vec<Tag>,
}

/// [`Route::DeleteManifest`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteManifest {
    /// The repository.
    pub repository: RepositoryName,
    /// A tag, which alone is deleted, or a manifest with all its tags.
    pub reference: Reference,
}

/// [`Route::GetReferrers`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetReferrers {
    /// The repository.
    pub repository: RepositoryName,
    /// The manifest that is referred to; it need not exist.
    pub digest: Digest,
    /// Only referrers of this artifact type.
    pub artifact_type: Option<String>,
    /// Which part.
    pub page: Page,
}

/// [`Route::StartUpload`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartUpload {
    /// The repository.
    pub repository: RepositoryName,
    /// The blob that the body is, where the upload is to be completed at once: end-4b.
    pub digest: Option<Digest>,
    /// The blob that is to be taken over from another repository, where one is asked for and named well: end-11.
    pub mount: Option<Digest>,
    /// The repository that `mount` is to be taken from; `None` leaves the choice to the registry.
    pub from: Option<RepositoryName>,
    /// The algorithm that the client says it will name the content with: end-4c.
    pub digest_algorithm: Option<Algorithm>,
}

/// A route to an upload session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The repository.
    pub repository: RepositoryName,
    /// The session.
    pub session: UploadId,
}

/// [`Route::CompleteUpload`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteUpload {
    /// The repository.
    pub repository: RepositoryName,
    /// The session.
    pub session: UploadId,
    /// What the whole content is.
    pub digest: Digest,
}

impl Route {
    /// The repository that the route belongs to, if any.
    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Base | Self::Token | Self::Keys | Self::ListCatalog(_) => None,
            Self::ListTags(ListTags { repository, .. })
            | Self::GetBlob(GetBlob { repository, .. })
            | Self::DeleteBlob(DeleteBlob { repository, .. })
            | Self::GetManifest(GetManifest { repository, .. })
            | Self::PutManifest(PutManifest { repository, .. })
            | Self::DeleteManifest(DeleteManifest { repository, .. })
            | Self::GetReferrers(GetReferrers { repository, .. })
            | Self::StartUpload(StartUpload { repository, .. })
            | Self::GetUpload(Session { repository, .. })
            | Self::UpdateUpload(Session { repository, .. })
            | Self::CompleteUpload(CompleteUpload { repository, .. })
            | Self::CancelUpload(Session { repository, .. }) => Some(repository),
        }
    }

    /// What of its repository the route is about: tag or digest of a manifest, or digest of a blob.
    pub fn reference(&self) -> Option<String> {
        match self {
            Self::GetManifest(GetManifest { reference, .. })
            | Self::PutManifest(PutManifest { reference, .. })
            | Self::DeleteManifest(DeleteManifest { reference, .. }) => Some(reference.as_str().to_owned()),
            Self::GetBlob(GetBlob { digest, .. })
            | Self::DeleteBlob(DeleteBlob { digest, .. })
            | Self::GetReferrers(GetReferrers { digest, .. })
            | Self::CompleteUpload(CompleteUpload { digest, .. }) => Some(digest.to_string()),
            Self::StartUpload(StartUpload { digest, mount, .. }) => {
                digest.as_ref().or(mount.as_ref()).map(Digest::to_string)
            }
            Self::Base
            | Self::Token
            | Self::Keys
            | Self::ListCatalog(_)
            | Self::ListTags(_)
            | Self::GetUpload(_)
            | Self::UpdateUpload(_)
            | Self::CancelUpload(_) => None,
        }
    }

    /// The tags that a manifest is pushed under.
    pub fn tags(&self) -> &[Tag] {
        match self {
            Self::PutManifest(PutManifest { tags, .. }) => tags,
            _ => &[],
        }
    }

    /// The route's name in logs and metrics: the action's, where policy knows one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Base => "get-api-version",
            Self::Token => "get-token",
            Self::Keys => "get-keys",
            Self::ListCatalog(_) => "list-catalog",
            Self::ListTags(_) => "list-tags",
            Self::GetBlob(_) => "get-blob",
            Self::DeleteBlob(_) => "delete-blob",
            Self::GetManifest(_) => "get-manifest",
            Self::PutManifest(_) => "put-manifest",
            Self::DeleteManifest(_) => "delete-manifest",
            Self::GetReferrers(_) => "get-referrers",
            Self::StartUpload(StartUpload { mount: Some(_), .. }) => "mount-blob",
            Self::StartUpload(_) => "start-upload",
            Self::GetUpload(_) => "get-upload",
            Self::UpdateUpload(_) => "update-upload",
            Self::CompleteUpload(_) => "complete-upload",
            Self::CancelUpload(_) => "cancel-upload",
        }
    }
}

#[cfg(test)]
mod tests;
