//! [`Ledger`]: what one client knows about its things in the registry. Before it asks for a change, the outcome is in doubt;
//! an answer ends the doubt, and no answer leaves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// What is known about a blob or manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was acknowledged, so it is there.
    Present,
    /// Its deletion was acknowledged, so it is gone.
    Absent,
    /// A request had no answer, or one that promises nothing.
    Doubt,
}

/// A repository and something in it.
pub type Key = (String, String);

/// A blob.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Whether it is there.
    pub fate: Fate,
    /// Its bytes.
    pub content: Arc<[u8]>,
}

/// A manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Whether it is there.
    pub fate: Fate,
    /// Its bytes.
    pub content: Arc<[u8]>,
    /// The blobs that it refers to.
    pub blobs: Vec<String>,
}

/// An upload session.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The repository.
    pub repository: String,
    /// Where it is.
    pub location: String,
    /// Everything that it is meant to become.
    pub content: Arc<[u8]>,
    /// How many bytes were acknowledged.
    pub acknowledged: usize,
    /// How many bytes were sent.
    pub sent: usize,
    /// Whether it must be there as long as the power is. Not so while a request that ends it has no answer, and never again
    /// after that.
    pub fate: Fate,
}

/// What one client knows. Nobody else changes what is in it.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// By repository and digest.
    pub blobs: BTreeMap<Key, Blob>,
    /// By repository and digest.
    pub manifests: BTreeMap<Key, Manifest>,
    /// By repository and tag: the digests that it may point at, `None` for no tag.
    pub tags: BTreeMap<Key, BTreeSet<Option<String>>>,
    /// Sessions.
    pub uploads: Vec<Upload>,
    /// How many changes were acknowledged.
    pub acknowledged: u64,
}

impl Ledger {
    /// A blob is about to be deleted.
    pub fn doubt_blob_deletion(&mut self, key: &Key) {
        if let Some(blob) = self.blobs.get_mut(key) {
            blob.fate = Fate::Doubt;
        }
    }

    /// A blob is about to be pushed.
    pub fn doubt_blob(&mut self, key: &Key, content: &Arc<[u8]>) {
        let doubt = Blob {
            fate: Fate::Doubt,
            content: content.clone(),
        };
        // A blob that is there does not go away by being pushed again.
        let entry = self.blobs.entry(key.clone()).or_insert(doubt);
        if entry.fate == Fate::Absent {
            entry.fate = Fate::Doubt;
        }
    }

    /// A blob's push or deletion was acknowledged.
    pub fn settle_blob(&mut self, key: &Key, fate: Fate) {
        self.acknowledged += 1;
        if let Some(blob) = self.blobs.get_mut(key) {
            blob.fate = fate;
        }
    }

    /// A manifest is about to be pushed, with `tag`.
    pub fn doubt_manifest(&mut self, key: &Key, content: &Arc<[u8]>, blobs: &[String], tag: Option<&str>) {
        let doubt = Manifest {
            fate: Fate::Doubt,
            content: content.clone(),
            blobs: blobs.to_vec(),
        };
        let entry = self.manifests.entry(key.clone()).or_insert(doubt);
        if entry.fate == Fate::Absent {
            entry.fate = Fate::Doubt;
        }
        if let Some(tag) = tag {
            self.allowed(&key.0, tag).insert(Some(key.1.clone()));
        }
    }

    /// A manifest's push was acknowledged: it is there, what it refers to as well, and the tag points at it.
    pub fn settle_manifest(&mut self, key: &Key, tag: Option<&str>) {
        self.acknowledged += 1;
        let Some(manifest) = self.manifests.get_mut(key) else {
            return;
        };
        manifest.fate = Fate::Present;
        for digest in manifest.blobs.clone() {
            if let Some(blob) = self.blobs.get_mut(&(key.0.clone(), digest)) {
                blob.fate = Fate::Present;
            }
        }
        if let Some(tag) = tag {
            *self.allowed(&key.0, tag) = BTreeSet::from([Some(key.1.clone())]);
        }
    }

    /// A manifest is about to be deleted, and its tags with it.
    pub fn doubt_deletion(&mut self, key: &Key) {
        if let Some(manifest) = self.manifests.get_mut(key) {
            manifest.fate = Fate::Doubt;
        }
        for allowed in self.tags_of(key) {
            allowed.insert(None);
        }
    }

    /// A manifest's deletion was acknowledged.
    pub fn settle_deletion(&mut self, key: &Key) {
        self.acknowledged += 1;
        if let Some(manifest) = self.manifests.get_mut(key) {
            manifest.fate = Fate::Absent;
        }
        for allowed in self.tags_of(key) {
            allowed.remove(&Some(key.1.clone()));
        }
    }

    /// A tag is about to be deleted.
    pub fn doubt_tag(&mut self, repository: &str, tag: &str) {
        self.allowed(repository, tag).insert(None);
    }

    /// A tag's deletion was acknowledged.
    pub fn settle_tag(&mut self, repository: &str, tag: &str) {
        self.acknowledged += 1;
        *self.allowed(repository, tag) = BTreeSet::from([None]);
    }

    fn allowed(&mut self, repository: &str, tag: &str) -> &mut BTreeSet<Option<String>> {
        let key = (repository.to_owned(), tag.to_owned());
        self.tags.entry(key).or_insert_with(|| BTreeSet::from([None]))
    }

    fn tags_of(&mut self, (repository, digest): &Key) -> impl Iterator<Item = &mut BTreeSet<Option<String>>> {
        let of_repository = self.tags.iter_mut().filter(move |((other, _), _)| other == repository);
        of_repository
            .map(|(_, allowed)| allowed)
            .filter(move |allowed| allowed.contains(&Some(digest.clone())))
    }
}

/// The digest of some bytes.
pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digest: &str) -> Key {
        ("r".into(), digest.into())
    }

    #[test]
    fn a_tag_that_moves_without_an_answer_may_be_at_either_end() {
        let mut ledger = Ledger::default();
        let content: Arc<[u8]> = Arc::from(*b"x");
        for name in ["a", "b"] {
            ledger.doubt_manifest(&key(name), &content, &[], Some("t"));
            if name == "a" {
                assert_eq!(ledger.tags[&key("t")].len(), 2);
                ledger.settle_manifest(&key(name), Some("t"));
            }
        }
        let ends = BTreeSet::from([Some("a".to_owned()), Some("b".to_owned())]);
        assert_eq!(ledger.tags[&key("t")], ends);
        ledger.doubt_deletion(&key("b"));
        ledger.settle_deletion(&key("b"));
        assert_eq!(ledger.tags[&key("t")], BTreeSet::from([None, Some("a".to_owned())]));
        assert_eq!(ledger.manifests[&key("b")].fate, Fate::Absent);
        assert_eq!(ledger.manifests[&key("a")].fate, Fate::Present);
    }

    #[test]
    fn pushing_again_what_is_there_casts_no_doubt_on_it() {
        let mut ledger = Ledger::default();
        let content: Arc<[u8]> = Arc::from(*b"x");
        ledger.doubt_blob(&key("a"), &content);
        assert_eq!(ledger.blobs[&key("a")].fate, Fate::Doubt);
        ledger.settle_blob(&key("a"), Fate::Present);
        ledger.doubt_blob(&key("a"), &content);
        assert_eq!(ledger.blobs[&key("a")].fate, Fate::Present);
        ledger.settle_blob(&key("a"), Fate::Absent);
        ledger.doubt_blob(&key("a"), &content);
        assert_eq!(ledger.blobs[&key("a")].fate, Fate::Doubt);
    }
}
