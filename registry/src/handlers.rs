//! What is done for each request that may be done: one module per kind of resource.
//!
//! A handler takes an [`crate::authorize::Authorized`] route; it decides nothing about access.

mod blobs;
mod catalog;
mod keys;
mod manifests;
mod page;
mod referrers;
mod tags;
pub(crate) mod token;
mod uploads;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use registry_config::Deletion;

use crate::authorize::{Context, Task};
use crate::body::{self, RequestBody, ResponseBody};
use crate::error::Error;
use crate::oci::Digest;
use crate::store::Store;

/// The digest of the content of a response, whatever its encoding.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What a handler needs beside its route.
pub(crate) struct Input<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: RequestBody,
}

/// Carries a request out. Token requests have an answer of their own, see [`token::issue`].
pub(crate) async fn handle(task: Task, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    match task {
        Task::Base | Task::Token(_) => Ok(json(&serde_json::json!({}))),
        Task::Keys(request) => Ok(keys::publish(&request)),
        Task::ListCatalog(request) => catalog::list(request, input).await,
        Task::ListTags(request) => tags::list(request, input).await,
        Task::GetBlob(request) => blobs::read(request, input).await,
        Task::DeleteBlob(request) => blobs::delete(request, input).await,
        Task::GetManifest(request) => manifests::read(request, input).await,
        Task::PutManifest(request) => manifests::put(request, input).await,
        Task::DeleteManifest(request) => manifests::delete(request, input).await,
        Task::GetReferrers(request) => referrers::list(request, input).await,
        Task::StartUpload(request) => uploads::start(request, input).await,
        Task::GetUpload(request) => uploads::status(request, input).await,
        Task::UpdateUpload(request) => uploads::update(request, input).await,
        Task::CompleteUpload(request) => uploads::complete(request, input).await,
        Task::CancelUpload(request) => uploads::cancel(request, input).await,
    }
}

/// A 200 with a JSON body.
fn json(value: &serde_json::Value) -> Response<ResponseBody> {
    let mut response = Response::new(body::full(value.to_string().into()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response without a body.
fn bare(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header whose value is made of names and numbers that are all within the syntax of one.
fn set(response: &mut Response<ResponseBody>, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            response.headers_mut().insert(name, value);
        }
        Err(error) => tracing::error!(%error, %name, "a response header cannot be sent"),
    }
}

/// The 201 of something that was stored.
fn created(context: &Context, path: &str, digest: &Digest) -> Response<ResponseBody> {
    let mut response = bare(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &location(context, path));
    set(&mut response, DOCKER_CONTENT_DIGEST, digest.as_str());
    response
}

/// Refuses where nothing may be deleted on this registry, with what may be done to such content instead.
fn may_delete(context: &Context, allow: &'static str) -> Result<(), Error> {
    match context.snapshot().access().content.deletion {
        Deletion::Enabled => Ok(()),
        Deletion::Disabled => Err(Error::DeletionDisabled { allow }),
    }
}

/// The address of `path`: relative, so that it is right behind any proxy, unless the registry knows its own address.
fn location(context: &Context, path: &str) -> String {
    let url = context
        .snapshot()
        .access()
        .content
        .external_url
        .as_deref()
        .unwrap_or_default();
    format!("{}{path}", url.trim_end_matches('/'))
}
