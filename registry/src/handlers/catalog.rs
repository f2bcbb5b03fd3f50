//! The catalog: the repositories that the caller may read.

use http::Response;
use registry_policy::{Action, Request};
use serde_json::json;

use super::{Input, page};
use crate::authorize::{Authorized, Context};
use crate::body::ResponseBody;
use crate::error::Error;
use crate::oci::RepositoryName;
use crate::route::ListCatalog;

/// How many repositories are looked at in one go, at most and where many of them are not shown.
const BATCH: usize = 1000;

/// `GET /v2/_catalog`
pub(super) async fn list(request: Authorized<ListCatalog>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let page = &request.route().page;
    let size = page::size(page);
    let mut shown: Vec<String> = Vec::new();
    let mut after = page.last.clone();
    // One more than is shown tells whether there is a next page. Whoever may read everything needs no more than that; for others
    // it is looked at more and more in one go.
    let mut limit = size.saturating_add(1);
    while size > 0 && shown.len() <= size {
        let batch = input.store.repositories(after.as_deref(), limit).await?;
        let complete = batch.len() < limit;
        after = batch.last().map(ToString::to_string);
        shown.extend(
            batch
                .iter()
                .filter(|name| may_read(request.context(), name))
                .map(ToString::to_string),
        );
        if complete {
            break;
        }
        limit = limit.max(BATCH.min(limit.saturating_mul(4)));
    }
    let more = shown.len() > size;
    shown.truncate(size);
    let next = if more { shown.last().map(String::as_str) } else { None };
    Ok(page::respond(
        &json!({ "repositories": shown }),
        "/v2/_catalog",
        size,
        next,
    ))
}

/// Whether the caller may read manifests or list tags of a repository, as far as that can be said without naming one.
fn may_read(context: &Context, repository: &RepositoryName) -> bool {
    [Action::GetManifest, Action::ListTags].into_iter().any(|action| {
        let request = Request {
            repository: Some(repository.as_str()),
            ..Request::bare(action, "GET")
        };
        context.decide(&request).is_allowed()
    })
}
