//! How an access document is laid into a Secret: the index under one key, the packed content under another.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::document::{DocumentError, FORMAT_VERSION};
use crate::{Access, AccessContent, AccessIndex};

/// Key of the index in its Secret: JSON.
pub const INDEX_KEY: &str = "index";
/// Key of the content in the same Secret: JSON, compressed with gzip.
pub const CONTENT_KEY: &str = "content";
/// The most that the compressed content may weigh; a Secret as a whole is limited to 1 MiB.
pub const MAX_CONTENT_BYTES: usize = 900 * 1024;

/// The most that content may weigh once unpacked.
const MAX_UNPACKED_BYTES: u64 = 256 * 1024 * 1024;

/// Why a content cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The compressed content is over [`MAX_CONTENT_BYTES`].
    #[error("the access document is {0} bytes when compressed, but at most {MAX_CONTENT_BYTES} fit")]
    TooLarge(usize),
    /// The content could not be written out.
    #[error("the access document could not be written")]
    Write(#[source] std::io::Error),
}

/// The digest of a content, as an index names it: of its JSON before compression, so that it is the same whatever the
/// compressor does.
pub fn digest_of(content: &AccessContent) -> String {
    digest_of_json(&to_json(content))
}

/// Packs a content and its index for the keys [`INDEX_KEY`] and [`CONTENT_KEY`]. The same input gives the same bytes.
///
/// # Errors
/// [`PackError::TooLarge`] where the content does not fit.
pub fn pack(content: &AccessContent, revision: u64) -> Result<(Vec<u8>, Vec<u8>), PackError> {
    let json = to_json(content);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&json).map_err(PackError::Write)?;
    let packed = encoder.finish().map_err(PackError::Write)?;
    if packed.len() > MAX_CONTENT_BYTES {
        return Err(PackError::TooLarge(packed.len()));
    }
    let index = AccessIndex {
        kind: AccessIndex::KIND.to_owned(),
        format_version: FORMAT_VERSION,
        revision,
        digest: Some(digest_of_json(&json)),
        content: None,
    };
    let index = serde_json::to_vec(&index).expect("an index has only string keys");
    Ok((index, packed))
}

/// Reads an index and its packed content, checks the digest, and compiles the whole.
///
/// # Errors
/// Where any part is missing, does not fit the other, or is not valid; nothing of it may be used then.
pub fn index_from_secret(index: &[u8], content: &[u8]) -> Result<(AccessIndex, Access), DocumentError> {
    let text = std::str::from_utf8(index)
        .map_err(|_| DocumentError::Incomplete(format!("key `{INDEX_KEY}` is not UTF-8 text")))?;
    let index = AccessIndex::parse(text)?;
    let expected = index
        .digest
        .clone()
        .ok_or_else(|| DocumentError::Incomplete(format!("the index under key `{INDEX_KEY}` names no digest")))?;
    let mut json = Vec::new();
    GzDecoder::new(content)
        .take(MAX_UNPACKED_BYTES)
        .read_to_end(&mut json)
        .map_err(|error| DocumentError::Incomplete(format!("key `{CONTENT_KEY}` cannot be unpacked: {error}")))?;
    let found = digest_of_json(&json);
    if found != expected {
        return Err(DocumentError::Digest { expected, found });
    }
    let content: AccessContent = serde_json::from_slice(&json).map_err(|error| DocumentError::Syntax {
        line: error.line() as u64,
        column: error.column() as u64,
        message: error.to_string(),
    })?;
    let access = Access::compile(content).map_err(DocumentError::Invalid)?;
    Ok((index, access))
}

fn to_json(content: &AccessContent) -> Vec<u8> {
    serde_json::to_vec(content).expect("an access content has only string keys")
}

fn digest_of_json(json: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> AccessContent {
        serde_json::from_str(r#"{"identities":[{"username":"alice"}]}"#).unwrap()
    }

    #[test]
    fn what_is_packed_is_read_back_whole() {
        let (index, packed) = pack(&content(), 7).unwrap();
        let (read, access) = index_from_secret(&index, &packed).unwrap();
        assert_eq!((read.revision, read.digest), (7, Some(digest_of(&content()))));
        assert_eq!(access.content, content());
    }

    #[test]
    fn refuses_content_of_another_index_and_damaged_content() {
        let (index, packed) = pack(&content(), 7).unwrap();
        let (_, other) = pack(&serde_json::from_str(r#"{"identities":[]}"#).unwrap(), 7).unwrap();
        assert!(matches!(
            index_from_secret(&index, &other),
            Err(DocumentError::Digest { .. })
        ));
        assert!(matches!(
            index_from_secret(&index, &packed[..packed.len() / 2]),
            Err(DocumentError::Incomplete(_))
        ));
        assert!(matches!(
            index_from_secret(b"{", &packed),
            Err(DocumentError::Syntax { .. })
        ));
    }

    #[test]
    fn refuses_a_revision_that_none_could_follow() {
        for (revision, is_fine) in [(1 << 53, true), ((1 << 53) + 1, false), (u64::MAX, false)] {
            let (index, packed) = pack(&content(), revision).unwrap();
            assert_eq!(index_from_secret(&index, &packed).is_ok(), is_fine, "{revision}");
        }
    }

    #[test]
    fn refuses_more_than_fits_a_secret() {
        let mut large = content();
        let noise: Vec<String> = (0_u64..60_000)
            .map(|n| hex::encode(Sha256::digest(n.to_le_bytes())))
            .collect();
        large.identities[0].groups = noise;
        assert!(matches!(pack(&large, 1), Err(PackError::TooLarge(_))));
    }
}
