//! The public keys of the registry's own tokens, for others that are to believe them.

use http::{HeaderValue, Response, header};

use crate::authorize::Authorized;
use crate::body::ResponseBody;

/// How long others may keep the keys. A new one is published long before it signs, and one that is taken away at once should be forgotten
/// soon.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// The keys as a JSON Web Key Set.
pub(super) fn publish(request: &Authorized<()>) -> Response<ResponseBody> {
    let mut response = super::json(&request.context().snapshot().keys().published());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/jwk-set+json"),
    );
    headers.insert(header::CACHE_CONTROL, KEEP);
    response
}
