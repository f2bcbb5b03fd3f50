//! How an access document is laid into Secrets: the index under a key of its own, the packed content beside it or in shards.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::document::{DocumentError, FORMAT_VERSION};
use crate::shards::{self, Layout, MAX_PACKED_BYTES, SHARD_KEY, Slot};
use crate::{Access, AccessContent, AccessIndex};

/// Key of the index in its Secret: JSON.
pub const INDEX_KEY: &str = "index";
/// Key of the content in the same Secret, and of its parts in those of shards: JSON, compressed with gzip.
pub const CONTENT_KEY: &str = SHARD_KEY;

/// The most that content may weigh once unpacked.
const MAX_UNPACKED_BYTES: u64 = 256 * 1024 * 1024;

/// Why a content cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The compressed content is over [`MAX_PACKED_BYTES`], or so long that nobody would read it.
    #[error("the access document is {0} bytes, but at most {MAX_PACKED_BYTES} fit when it is compressed")]
    TooLarge(usize),
    /// The content could not be written out.
    #[error("the access document could not be written")]
    Write(#[source] std::io::Error),
}

/// The digest of a content, as an index names it: of its JSON before compression, so that it is the same whatever the
/// compressor does.
pub fn digest_of(content: &AccessContent) -> String {
    shards::digest(&to_json(content))
}

/// An access document as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// What the index names: the digest of the content, as [`digest_of`] gives it.
    pub digest: String,
    /// What stands under [`INDEX_KEY`].
    pub index: Vec<u8>,
    /// What stands under [`CONTENT_KEY`], in the same Secret or in those of shards.
    pub content: Layout,
}

/// Packs a content and its index. Shards, where it needs them, are those of the slot `idle`. The same input gives the same bytes.
///
/// # Errors
/// [`PackError::TooLarge`] where the content does not fit.
pub fn pack(content: &AccessContent, revision: u64, idle: Slot) -> Result<Packed, PackError> {
    let json = to_json(content);
    if json.len() as u64 > MAX_UNPACKED_BYTES {
        return Err(PackError::TooLarge(json.len()));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&json).map_err(PackError::Write)?;
    let packed = encoder.finish().map_err(PackError::Write)?;
    let length = packed.len();
    let content = Layout::of(packed, idle).ok_or(PackError::TooLarge(length))?;
    let digest = shards::digest(&json);
    let index = AccessIndex {
        kind: AccessIndex::KIND.to_owned(),
        format_version: FORMAT_VERSION,
        revision,
        digest: Some(digest.clone()),
        shards: content.shards().cloned(),
        content: None,
    };
    let index = serde_json::to_vec(&index).expect("an index has only string keys");
    Ok(Packed { digest, index, content })
}

/// Reads an index as it stands under [`INDEX_KEY`].
///
/// # Errors
/// Where it is no index, or one of a version that this build does not know.
pub fn parse_index(index: &[u8]) -> Result<AccessIndex, DocumentError> {
    let text = std::str::from_utf8(index)
        .map_err(|_| DocumentError::Incomplete(format!("key `{INDEX_KEY}` is not UTF-8 text")))?;
    AccessIndex::parse(text)
}

/// Reads an index and its packed content, put together where it was in shards, checks the digest, and compiles the whole.
///
/// # Errors
/// Where any part is missing, does not fit the other, or is not valid; nothing of it may be used then.
pub fn index_from_secret(index: &[u8], content: &[u8]) -> Result<(AccessIndex, Access), DocumentError> {
    let index = parse_index(index)?;
    let expected = index
        .digest
        .clone()
        .ok_or_else(|| DocumentError::Incomplete(format!("the index under key `{INDEX_KEY}` names no digest")))?;
    let mut json = Vec::new();
    GzDecoder::new(content)
        .take(MAX_UNPACKED_BYTES)
        .read_to_end(&mut json)
        .map_err(|error| DocumentError::Incomplete(format!("key `{CONTENT_KEY}` cannot be unpacked: {error}")))?;
    let found = shards::digest(&json);
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

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// What a small document is packed as.
    fn packed(content: &AccessContent, revision: u64) -> (Vec<u8>, Vec<u8>) {
        let packed = pack(content, revision, Slot::A).unwrap();
        match packed.content {
            Layout::Inside(content) => (packed.index, content),
            Layout::Outside(..) => panic!("that is not small"),
        }
    }

    /// Many names, which do not get smaller when they are compressed.
    fn noise(count: u64) -> Vec<String> {
        (0..count)
            .map(|n| hex::encode(Sha256::digest(n.to_le_bytes())))
            .collect()
    }

    fn content() -> AccessContent {
        serde_json::from_str(r#"{"identities":[{"username":"alice"}]}"#).unwrap()
    }

    #[test]
    fn what_is_packed_is_read_back_whole() {
        let (index, packed) = packed(&content(), 7);
        let (read, access) = index_from_secret(&index, &packed).unwrap();
        assert_eq!((read.revision, read.digest), (7, Some(digest_of(&content()))));
        assert_eq!(access.content, content());
    }

    #[test]
    fn refuses_content_of_another_index_and_damaged_content() {
        let (index, other) = (
            packed(&content(), 7).0,
            packed(&serde_json::from_str(r#"{"identities":[]}"#).unwrap(), 7).1,
        );
        let (_, packed) = packed(&content(), 7);
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
            let (index, packed) = packed(&content(), revision);
            assert_eq!(index_from_secret(&index, &packed).is_ok(), is_fine, "{revision}");
        }
    }

    #[test]
    fn a_large_document_is_read_back_from_its_shards_and_from_no_others() {
        let mut large = content();
        large.identities[0].groups = noise(60_000);
        let written = pack(&large, 7, Slot::B).unwrap();
        let Layout::Outside(shards, pieces) = written.content else {
            panic!("it fits one Secret");
        };
        assert_eq!(
            shards.secrets("main-access"),
            ["main-access-b0", "main-access-b1", "main-access-b2"]
        );
        let listed = parse_index(&written.index).unwrap().shards;
        assert_eq!(listed, Some(shards.clone()));
        let (read, access) = index_from_secret(&written.index, &shards.join(&pieces).unwrap()).unwrap();
        assert_eq!(read.digest, Some(digest_of(&large)));
        assert_eq!(access.content, large);
    }

    #[test]
    fn refuses_more_than_fits_a_slot() {
        let mut large = content();
        large.identities[0].groups = noise(120_000);
        assert!(matches!(pack(&large, 1, Slot::A), Err(PackError::TooLarge(_))));
    }
}
