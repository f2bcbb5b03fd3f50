//! Names of repositories, tags, digests and upload sessions.

use wharfinger_registry::oci::{Digest, RepositoryName, Tag, UploadId};

use super::{DIGEST, TAG, is_name};

/// Each grammar takes exactly what its specification does, and gives it back as it was.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let name = text.parse::<RepositoryName>();
    assert_eq!(name.is_ok(), is_name(text), "name {text:?}");
    let tag = text.parse::<Tag>();
    assert_eq!(tag.is_ok(), TAG.is_match(text), "tag {text:?}");
    let digest = text.parse::<Digest>();
    assert_eq!(digest.is_ok(), DIGEST.is_match(text), "digest {text:?}");
    let shown = [
        name.ok().map(|name| name.to_string()),
        tag.ok().map(|tag| tag.to_string()),
        digest.ok().map(|digest| digest.to_string()),
        text.parse::<UploadId>().ok().map(|session| session.to_string()),
    ];
    for again in shown.into_iter().flatten() {
        assert_eq!(again, text);
    }
}
