//! Upload sessions: how blobs are pushed, at once or in chunks.

use http::{HeaderMap, HeaderName, Response, StatusCode, header};

use registry_config::SizeText;

use super::{Input, bare, created, location, set};
use crate::authorize::{Authorized, Context};
use crate::body::{self, ResponseBody};
use crate::error::Error;
use crate::oci::{Algorithm, ContentRange, Digest, RepositoryName, UploadId};
use crate::route::{CompleteUpload, Session, StartUpload};
use crate::store::{self, Store, Upload};

/// Names the session for clients that do not take it from the location.
const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// How many repositories are tried for a blob that is to be mounted from wherever it is.
const MOST_SOURCES: usize = 1000;

/// end-4a, end-4b, end-4c, end-11  `POST /v2/<name>/blobs/uploads/`
///
/// A mount that is not possible, or not allowed, is answered like an upload: the client sends the blob then, and does
/// not learn which of the two it was.
pub(super) async fn start(request: Authorized<StartUpload>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let StartUpload {
        repository,
        digest,
        mount,
        from,
        digest_algorithm,
    } = request.route();
    if let Some(blob) = mount
        && mount_blob(&request, input.store, repository, from.as_ref(), blob).await?
    {
        return Ok(created(
            request.context(),
            &format!("/v2/{repository}/blobs/{blob}"),
            blob,
        ));
    }
    let named = digest.as_ref().map(Digest::algorithm);
    let algorithm = named.or(*digest_algorithm).unwrap_or(Algorithm::Sha256);
    let caller = request.context().owner();
    let session = input.store.start_upload(repository, algorithm, &caller).await?;
    let upload = upload(request.context(), repository, session);
    let Some(digest) = digest else {
        return Ok(progress(
            StatusCode::ACCEPTED,
            request.context(),
            repository,
            session,
            0,
        ));
    };
    let chunks = body::chunks(input.body);
    let completed = input.store.complete(&upload, None, chunks, digest).await;
    if let Err(error) = completed {
        // Nobody knows the session, so nobody could go on with it.
        abandon(input.store, &upload).await;
        return Err(error.into());
    }
    Ok(created(
        request.context(),
        &format!("/v2/{repository}/blobs/{digest}"),
        digest,
    ))
}

/// Takes a blob over from `from`, or from any repository that the caller may read it in. `false` where none has it.
async fn mount_blob(
    request: &Authorized<StartUpload>,
    store: &dyn Store,
    repository: &RepositoryName,
    from: Option<&RepositoryName>,
    blob: &Digest,
) -> Result<bool, Error> {
    let sources = match from {
        Some(from) => vec![from.clone()],
        None => store.holders(blob, MOST_SOURCES).await?,
    };
    for source in sources {
        if !request.may_mount_from(&source, blob) {
            continue;
        }
        match store.mount_blob(repository, &source, blob).await {
            Ok(()) => return Ok(true),
            Err(store::Error::BlobUnknown) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// end-13  `GET /v2/<name>/blobs/uploads/<session>`
pub(super) async fn status(request: Authorized<Session>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let Session { repository, session } = request.route();
    let upload = upload(request.context(), repository, *session);
    let received = input.store.upload_offset(&upload).await?;
    Ok(progress(
        StatusCode::NO_CONTENT,
        request.context(),
        repository,
        *session,
        received,
    ))
}

/// end-5  `PATCH /v2/<name>/blobs/uploads/<session>`
pub(super) async fn update(request: Authorized<Session>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let Session { repository, session } = request.route();
    let range = content_range(input.headers)?;
    let upload = upload(request.context(), repository, *session);
    let received = match input.store.append(&upload, range, body::chunks(input.body)).await {
        Ok(received) => received,
        Err(error) => return Err(refused(error, request.context(), input.store, &upload).await),
    };
    Ok(progress(
        StatusCode::ACCEPTED,
        request.context(),
        repository,
        *session,
        received,
    ))
}

/// end-6  `PUT /v2/<name>/blobs/uploads/<session>?digest=<digest>`
pub(super) async fn complete(
    request: Authorized<CompleteUpload>,
    input: Input<'_>,
) -> Result<Response<ResponseBody>, Error> {
    let CompleteUpload {
        repository,
        session,
        digest,
    } = request.route();
    let range = content_range(input.headers)?;
    let upload = upload(request.context(), repository, *session);
    let chunks = body::chunks(input.body);
    if let Err(error) = input.store.complete(&upload, range, chunks, digest).await {
        return Err(refused(error, request.context(), input.store, &upload).await);
    }
    Ok(created(
        request.context(),
        &format!("/v2/{repository}/blobs/{digest}"),
        digest,
    ))
}

/// end-14  `DELETE /v2/<name>/blobs/uploads/<session>`
pub(super) async fn cancel(request: Authorized<Session>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let Session { repository, session } = request.route();
    let upload = upload(request.context(), repository, *session);
    input.store.cancel_upload(&upload).await?;
    Ok(bare(StatusCode::NO_CONTENT))
}

/// A session as this caller names it.
fn upload(context: &Context, repository: &RepositoryName, session: UploadId) -> Upload {
    Upload {
        repository: repository.clone(),
        session,
        caller: context.owner(),
        most: context.snapshot().access().content.blobs.max_size.map(SizeText::bytes),
    }
}

/// Where the chunk belongs, if the client says so; it must then agree with its length, if the client says that too.
fn content_range(headers: &HeaderMap) -> Result<Option<ContentRange>, Error> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else {
        return Ok(None);
    };
    let range: ContentRange = String::from_utf8_lossy(value.as_bytes()).parse()?;
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length != range.length => Err(Error::ContentLength {
            length,
            declared: range.length,
        }),
        Some(_) | None => Ok(Some(range)),
    }
}

/// Tells a client that is at the wrong place where the right one is, and ends what can come to nothing.
async fn refused(error: store::Error, context: &Context, store: &dyn Store, upload: &Upload) -> Error {
    match error {
        store::Error::WrongOffset { received } => Error::WrongOffset {
            location: session_location(context, &upload.repository, upload.session),
            received,
        },
        error @ store::Error::BlobTooLarge { .. } => {
            abandon(store, upload).await;
            error.into()
        }
        other => other.into(),
    }
}

/// Removes a session that nobody can complete.
async fn abandon(store: &dyn Store, upload: &Upload) {
    match store.cancel_upload(upload).await {
        Ok(()) | Err(store::Error::UploadUnknown) => {}
        Err(left) => tracing::warn!(error = &left as &dyn std::error::Error, "cannot remove a failed upload"),
    }
}

fn session_location(context: &Context, repository: &RepositoryName, session: UploadId) -> String {
    location(context, &format!("/v2/{repository}/blobs/uploads/{session}"))
}

/// How far a session has come. The range's end is inclusive, so nothing and one byte look the same: that is the
/// protocol's.
fn progress(
    status: StatusCode,
    context: &Context,
    repository: &RepositoryName,
    session: UploadId,
    received: u64,
) -> Response<ResponseBody> {
    let mut response = bare(status);
    set(
        &mut response,
        header::LOCATION,
        &session_location(context, repository, session),
    );
    set(
        &mut response,
        header::RANGE,
        &format!("0-{}", received.saturating_sub(1)),
    );
    set(&mut response, DOCKER_UPLOAD_UUID, &session.to_string());
    response
}
