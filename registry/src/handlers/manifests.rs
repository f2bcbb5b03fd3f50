//! Manifests: reading, writing and deleting.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{DOCKER_CONTENT_DIGEST, Input, bare, created, may_delete, set};
use crate::authorize::Authorized;
use crate::body::{self, CollectError, ResponseBody};
use crate::error::Error;
use crate::oci::{Algorithm, Digest, Manifest, Reference};
use crate::route::{DeleteManifest, GetManifest, PutManifest};
use crate::store;

/// The largest manifest in bytes, which the specification names as the least that a registry must accept.
const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;
/// A tag that a manifest pushed by digest was given (end-7b).
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// The subject of a manifest that was stored (end-7a): the client need not keep a list of referrers itself.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// end-3  `GET`, `HEAD /v2/<name>/manifests/<reference>`
pub(super) async fn read(request: Authorized<GetManifest>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let GetManifest { repository, reference } = request.route();
    let stored = input.store.manifest(repository, reference).await?;
    let length = stored.content.len();
    let mut response = Response::new(body::full(stored.content));
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    set(&mut response, header::CONTENT_TYPE, &stored.media_type);
    set(&mut response, header::ETAG, &format!("\"{}\"", stored.digest));
    set(&mut response, DOCKER_CONTENT_DIGEST, stored.digest.as_str());
    Ok(response)
}

/// end-7a, end-7b  `PUT /v2/<name>/manifests/<reference>`
pub(super) async fn put(request: Authorized<PutManifest>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let PutManifest {
        repository,
        reference,
        tags,
    } = request.route();
    let content = body::collect(input.body, LARGEST_MANIFEST)
        .await
        .map_err(|error| match error {
            CollectError::TooLarge => Error::TooLarge {
                what: "manifest",
                limit: LARGEST_MANIFEST,
            },
            CollectError::Interrupted(error) => Error::Body(error),
        })?;
    let content_type = input
        .headers
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let manifest = Manifest::parse_sent(content_type.as_deref(), &content)?;
    let digest = match reference {
        Reference::Tag(_) => Digest::of(Algorithm::Sha256, &content),
        Reference::Digest(expected) => {
            let computed = Digest::of(expected.algorithm(), &content);
            if computed != *expected {
                return Err(store::Error::DigestMismatch {
                    expected: expected.clone(),
                    computed,
                }
                .into());
            }
            computed
        }
    };
    let subject = manifest.subject.as_ref().map(|subject| subject.digest.to_string());
    let missing = request
        .context()
        .snapshot()
        .access()
        .content
        .manifests
        .missing_references;
    input
        .store
        .put_manifest(repository, &digest, content, manifest, tags, missing)
        .await?;
    let mut response = created(
        request.context(),
        &format!("/v2/{repository}/manifests/{digest}"),
        &digest,
    );
    if let Some(subject) = subject {
        set(&mut response, OCI_SUBJECT, &subject);
    }
    if matches!(reference, Reference::Digest(_)) {
        let values = tags.iter().filter_map(|tag| HeaderValue::from_str(tag.as_str()).ok());
        response.headers_mut().extend(values.map(|value| (OCI_TAG, value)));
    }
    Ok(response)
}

/// end-9  `DELETE /v2/<name>/manifests/<reference>`
pub(super) async fn delete(
    request: Authorized<DeleteManifest>,
    input: Input<'_>,
) -> Result<Response<ResponseBody>, Error> {
    let DeleteManifest { repository, reference } = request.route();
    may_delete(request.context(), "GET, HEAD, PUT")?;
    input.store.delete_manifest(repository, reference).await?;
    Ok(bare(StatusCode::ACCEPTED))
}
