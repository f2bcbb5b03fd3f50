//! Lists in pages (end-8b): how many entries, and where the next page is.

use http::{Response, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{json, set};
use crate::body::ResponseBody;
use crate::route::Page;

/// The most entries of a page, and how many it has where the client does not say.
pub(crate) const LONGEST_PAGE: usize = 10_000;

/// What may stand in a query as it is.
pub(super) const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How many entries the page has at most.
pub(super) fn size(page: &Page) -> usize {
    page.n.map_or(LONGEST_PAGE, |n| {
        usize::try_from(n).unwrap_or(LONGEST_PAGE).min(LONGEST_PAGE)
    })
}

/// Answers `value` with a link to the page behind the entry `last`, where there is one.
pub(super) fn respond(
    value: &serde_json::Value,
    path: &str,
    size: usize,
    last: Option<&str>,
) -> Response<ResponseBody> {
    let mut response = json(value);
    if let Some(last) = last {
        let last = utf8_percent_encode(last, &UNRESERVED);
        set(
            &mut response,
            header::LINK,
            &format!("<{path}?n={size}&last={last}>; rel=\"next\""),
        );
    }
    response
}
