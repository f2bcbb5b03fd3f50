//! Referrers: the manifests that say something about another one.

use http::{HeaderName, Response, header};
use percent_encoding::utf8_percent_encode;
use serde_json::json;

use super::{Input, json as answer, page, set};
use crate::authorize::Authorized;
use crate::body::ResponseBody;
use crate::error::Error;
use crate::oci::{Referrer, media_type};
use crate::route::GetReferrers;

/// The filters that a list was made with (end-12b).
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// How large a page becomes before it ends: clients take no larger manifest, and the list is one.
const LARGEST_PAGE: usize = 3 * 1024 * 1024;

/// end-12a, end-12b  `GET /v2/<name>/referrers/<digest>`
///
/// What nothing refers to has an empty list, whether it exists or not.
pub(super) async fn list(request: Authorized<GetReferrers>, input: Input<'_>) -> Result<Response<ResponseBody>, Error> {
    let GetReferrers {
        repository,
        digest,
        artifact_type,
        page,
    } = request.route();
    let mut referrers = input.store.referrers(repository, digest, page.last.as_deref()).await?;
    if let Some(wanted) = artifact_type {
        referrers.retain(|referrer| referrer.artifact_type.as_ref() == Some(wanted));
    }
    let next = end_page(&mut referrers, page::size(page));
    let mut response = answer(&json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": referrers,
    }));
    set(&mut response, header::CONTENT_TYPE, media_type::OCI_INDEX);
    if artifact_type.is_some() {
        set(&mut response, OCI_FILTERS_APPLIED, "artifactType");
    }
    if let Some(last) = next {
        let filter = artifact_type.as_ref().map_or_else(String::new, |filter| {
            format!("artifactType={}&", utf8_percent_encode(filter, &page::UNRESERVED))
        });
        let last = utf8_percent_encode(&last, &page::UNRESERVED);
        let link = format!("</v2/{repository}/referrers/{digest}?{filter}last={last}>; rel=\"next\"");
        set(&mut response, header::LINK, &link);
    }
    Ok(response)
}

/// Cuts a list off where its page ends, and returns the last entry if others come behind it. A page has one entry at
/// least, or the next would be the same.
fn end_page(referrers: &mut Vec<Referrer>, longest: usize) -> Option<String> {
    let mut size = 0;
    let fitting = referrers.iter().take(longest).take_while(|referrer| {
        size += serde_json::to_string(referrer).map_or(0, |text| text.len());
        size <= LARGEST_PAGE
    });
    let length = fitting.count().max(1);
    if length >= referrers.len() {
        return None;
    }
    referrers.truncate(length);
    referrers.last().map(|referrer| referrer.digest.clone())
}
