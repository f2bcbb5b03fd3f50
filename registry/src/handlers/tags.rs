//! Lists of tags.

use http::Response;
use serde_json::json;

use super::{Input, page};
use crate::authorize::Authorized;
use crate::body::ResponseBody;
use crate::error::Error;
use crate::route::ListTags;

/// end-8a, end-8b  `GET /v2/<name>/tags/list`
pub(super) async fn list(request: Authorized<ListTags>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let ListTags { repository, page } = request.route();
    let size = page::size(page);
    // One more than is shown tells whether there is a next page.
    let mut tags = input.store.tags(repository, page.last.as_deref(), size + 1).await?;
    let more = tags.len() > size;
    tags.truncate(size);
    let next = if more { tags.last().map(String::as_str) } else { None };
    let value = json!({ "name": repository.as_str(), "tags": tags });
    Ok(page::respond(
        &value,
        &format!("/v2/{repository}/tags/list"),
        size,
        next,
    ))
}
