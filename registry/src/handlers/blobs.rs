//! Blobs: reading and deleting.

use http::{HeaderMap, Response, StatusCode, header};

use super::{DOCKER_CONTENT_DIGEST, Input, bare, may_delete, set};
use crate::authorize::Authorized;
use crate::body::{self, ResponseBody};
use crate::error::Error;
use crate::oci::ByteRange;
use crate::route::{DeleteBlob, GetBlob};

/// end-2  `GET`, `HEAD /v2/<name>/blobs/<digest>`
pub(super) async fn read(request: Authorized<GetBlob>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let GetBlob {
        repository,
        digest,
        head,
    } = request.route();
    let blob = input.store.blob(repository, digest).await?;
    let size = blob.size;
    let part = range(input.headers, size)?;
    let range = part.unwrap_or(ByteRange { start: 0, end: size });
    let mut response = if *head {
        bare(StatusCode::OK)
    } else {
        Response::new(body::stream(blob.read(range)))
    };
    if part.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(
            &mut response,
            header::CONTENT_RANGE,
            &format!("bytes {}-{}/{size}", range.start, range.end - 1),
        );
    }
    set(&mut response, header::CONTENT_LENGTH, &range.length().to_string());
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::ETAG, &format!("\"{digest}\""));
    set(&mut response, DOCKER_CONTENT_DIGEST, digest.as_str());
    Ok(response)
}

/// The part that is asked for. `If-Range` is only understood as absent: with it, the whole is a correct answer.
fn range(headers: &HeaderMap, size: u64) -> Result<Option<ByteRange>, Error> {
    let header = headers
        .get(header::RANGE)
        .filter(|_| !headers.contains_key(header::IF_RANGE));
    match header.and_then(|value| value.to_str().ok()) {
        Some(header) => Ok(ByteRange::resolve(header, size)?),
        None => Ok(None),
    }
}

/// end-10  `DELETE /v2/<name>/blobs/<digest>`
pub(super) async fn delete(request: Authorized<DeleteBlob>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let DeleteBlob { repository, digest } = request.route();
    may_delete(request.context(), "GET, HEAD")?;
    input.store.delete_blob(repository, digest).await?;
    let mut response = bare(StatusCode::ACCEPTED);
    set(&mut response, DOCKER_CONTENT_DIGEST, digest.as_str());
    Ok(response)
}
