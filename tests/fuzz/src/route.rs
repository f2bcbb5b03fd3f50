//! Request lines.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use wharfinger_registry::oci::Reference;
use wharfinger_registry::route::{self, Route};

use super::{DIGEST, TAG, is_name};

/// `METHOD URI`: whatever is understood names a repository within the grammar, and the one that stands in the path.
pub(crate) fn check(input: &[u8]) {
    let Ok(line) = std::str::from_utf8(input) else { return };
    let Some((method, uri)) = line.split_once(' ') else {
        return;
    };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), uri.parse::<Uri>()) else {
        return;
    };
    let Ok(route) = route::parse(&method, &uri) else { return };
    let decoded = percent_decode_str(uri.path()).decode_utf8();
    let path = decoded.expect("a path that is understood is text");
    if let Some(repository) = route.repository() {
        assert!(is_name(repository.as_str()), "{repository}");
        let rest = path
            .strip_prefix("/v2/")
            .and_then(|rest| rest.strip_prefix(repository.as_str()));
        let rest = rest.and_then(|rest| rest.strip_prefix('/'));
        let rest = rest.unwrap_or_else(|| panic_with(&path, repository.as_str()));
        let kind = rest.split('/').next();
        assert!(
            matches!(kind, Some("tags" | "blobs" | "manifests" | "referrers")),
            "{path:?} is read as being about {repository}"
        );
    } else {
        assert!(matches!(&*path, "/v2" | "/v2/" | "/v2/_catalog" | "/token"), "{path:?}");
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    match &route {
        Route::GetBlob(blob) => assert!(blob.digest.as_str() == last && DIGEST.is_match(last)),
        Route::DeleteBlob(blob) => assert!(blob.digest.as_str() == last && DIGEST.is_match(last)),
        Route::GetReferrers(referrers) => assert!(referrers.digest.as_str() == last && DIGEST.is_match(last)),
        Route::GetManifest(manifest) => is_reference(&manifest.reference, last),
        Route::DeleteManifest(manifest) => is_reference(&manifest.reference, last),
        Route::PutManifest(manifest) => {
            is_reference(&manifest.reference, last);
            assert!(manifest.tags.iter().all(|tag| TAG.is_match(tag.as_str())));
        }
        Route::StartUpload(upload) => {
            let from = upload.from.as_ref();
            assert!(from.is_none_or(|from| is_name(from.as_str())));
        }
        Route::GetUpload(session) | Route::UpdateUpload(session) | Route::CancelUpload(session) => {
            assert_eq!(session.session.to_string(), last);
        }
        Route::CompleteUpload(upload) => assert_eq!(upload.session.to_string(), last),
        Route::Base | Route::Token | Route::Keys | Route::ListCatalog(_) | Route::ListTags(_) => {}
    }
}

fn is_reference(reference: &Reference, last: &str) {
    assert_eq!(reference.as_str(), last);
    assert!(TAG.is_match(last) || DIGEST.is_match(last), "{last:?}");
}

#[expect(clippy::panic, reason = "that is how a check fails")]
fn panic_with(path: &str, repository: &str) -> ! {
    panic!("{path:?} is read as being about {repository}");
}
