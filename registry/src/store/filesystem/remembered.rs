//! Manifests that were asked for, in memory: most of what a registry is asked for is the same few again and again.
//!
//! The lock on the store makes this right: nobody but this process changes what is in it, and every change of a
//! repository's manifests or tags is announced here before it begins and when it has ended.

use std::sync::{Mutex, MutexGuard, PoisonError};

use moka::sync::Cache;

use super::super::StoredManifest;
use crate::metrics::StoreMetrics;
use crate::oci::{Reference, RepositoryName};

/// How many bytes of manifests are kept at most.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// What an entry costs beside its manifest: names, and the cache's own part. An estimate.
const ENTRY_BYTES: usize = 512;

type Key = (RepositoryName, Reference);

/// The manifests that are remembered, by how they were asked for.
#[derive(Debug)]
pub(super) struct Remembered {
    manifests: Cache<Key, StoredManifest>,
    /// How often changes were announced. Whoever has read from the disk keeps what it found only where none was
    /// announced meanwhile.
    changes: Mutex<u64>,
    metrics: StoreMetrics,
}

/// How many changes had been announced when somebody began to read from the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading(u64);

impl Remembered {
    pub(super) fn new(metrics: StoreMetrics) -> Self {
        let weigh = |_: &Key, manifest: &StoredManifest| {
            u32::try_from(manifest.content.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self {
            manifests: Cache::builder().weigher(weigh).max_capacity(MOST_BYTES).build(),
            changes: Mutex::default(),
            metrics,
        }
    }

    pub(super) fn get(&self, repository: &RepositoryName, reference: &Reference) -> Option<StoredManifest> {
        let found = self.manifests.get(&(repository.clone(), reference.clone()));
        self.metrics.manifest(found.is_some());
        found
    }

    /// To be called before the disk is read for something to remember.
    pub(super) fn reading(&self) -> Reading {
        Reading(*self.lock())
    }

    /// Remembers what was found, unless it may have changed since.
    pub(super) fn keep(
        &self,
        reading: Reading,
        repository: &RepositoryName,
        reference: &Reference,
        manifest: &StoredManifest,
    ) {
        // Held until it is kept: a change that is announced afterwards takes it out again.
        let changes = self.lock();
        if *changes == reading.0 {
            self.manifests
                .insert((repository.clone(), reference.clone()), manifest.clone());
        }
    }

    /// Announces that what `references` stand for may change, until the announcement is dropped.
    pub(super) fn change(&self, repository: &RepositoryName, references: Vec<Reference>) -> Announcement<'_> {
        let announcement = Announcement {
            remembered: self,
            keys: references
                .into_iter()
                .map(|reference| (repository.clone(), reference))
                .collect(),
        };
        announcement.forget();
        announcement
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that a change is under way, and at its end, however that comes, that it was.
#[derive(Debug)]
pub(super) struct Announcement<'a> {
    remembered: &'a Remembered,
    keys: Vec<Key>,
}

impl Announcement<'_> {
    fn forget(&self) {
        let mut changes = self.remembered.lock();
        *changes += 1;
        for key in &self.keys {
            self.remembered.manifests.invalidate(key);
        }
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        // What somebody read while the change was under way, and kept, may be what was there before it.
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Algorithm, Digest};

    fn manifest(content: &'static [u8]) -> StoredManifest {
        StoredManifest {
            digest: Digest::of(Algorithm::Sha256, content),
            media_type: "a/b".into(),
            content: content.into(),
        }
    }

    fn key() -> Key {
        ("a".parse().unwrap(), Reference::Tag("v1".parse().unwrap()))
    }

    #[test]
    fn what_was_found_is_kept_until_it_changes() {
        let (remembered, (repository, reference)) = (Remembered::new(StoreMetrics::default()), key());
        assert!(remembered.get(&repository, &reference).is_none());
        remembered.keep(remembered.reading(), &repository, &reference, &manifest(b"1"));
        assert_eq!(remembered.get(&repository, &reference).unwrap().content, "1");
        let change = remembered.change(&repository, vec![reference.clone()]);
        assert!(remembered.get(&repository, &reference).is_none());
        drop(change);
        assert!(remembered.get(&repository, &reference).is_none());
    }

    #[test]
    fn what_was_read_before_or_during_a_change_is_not_kept_beyond_it() {
        let (remembered, (repository, reference)) = (Remembered::new(StoreMetrics::default()), key());
        let before = remembered.reading();
        let change = remembered.change(&repository, vec![reference.clone()]);
        remembered.keep(before, &repository, &reference, &manifest(b"1"));
        assert!(remembered.get(&repository, &reference).is_none());
        let during = remembered.reading();
        remembered.keep(during, &repository, &reference, &manifest(b"1"));
        drop(change);
        remembered.keep(during, &repository, &reference, &manifest(b"1"));
        assert!(remembered.get(&repository, &reference).is_none());
        remembered.keep(remembered.reading(), &repository, &reference, &manifest(b"2"));
        assert_eq!(remembered.get(&repository, &reference).unwrap().content, "2");
    }
}
