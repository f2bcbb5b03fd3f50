//! The embedded database that keeps the lists in order, so that a page costs what it shows.

use std::ops::Bound;
use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};

use super::scan::Reference;
use super::{Kind, Stamp};
use crate::oci::{Digest, Referrer, RepositoryName, Tag};

/// How much of the database is kept in memory, in bytes.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Sorts behind every tag and digest.
const LAST: &str = "\u{10FFFF}";

/// Repository and kind of list: how the directories were stamped when the list was last known to be right.
const STAMPS: TableDefinition<'_, (&str, u8), (i128, i128)> = TableDefinition::new("stamps");
/// Repository and tag.
const TAGS: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("tags");
/// Repository, subject and referrer: the referrer's descriptor as JSON.
const REFERRERS: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("referrers");
/// Blob and a repository that has it.
const BLOBS: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("blobs");

type Result<T> = std::result::Result<T, redb::Error>;

/// The lists of a store.
#[derive(Debug)]
pub(super) struct Lists {
    database: Database,
}

/// A change of the lists; all of it happens or nothing.
pub(super) struct Writing(WriteTransaction);

impl Lists {
    /// Opens the database, and makes it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        let lists = Self { database };
        lists.write(|writing| {
            writing.0.open_table(STAMPS)?;
            writing.0.open_table(TAGS)?;
            writing.0.open_table(REFERRERS)?;
            writing.0.open_table(BLOBS)?;
            Ok(())
        })?;
        lists.save()?;
        Ok(lists)
    }

    /// Changes the lists. What is changed here is on disk after the next [`Lists::save`]; until then a crash takes it
    /// back, stamps and all, and the directories are read again.
    pub(super) fn write(&self, change: impl FnOnce(&Writing) -> Result<()>) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::None)?;
        let writing = Writing(transaction);
        change(&writing)?;
        Ok(writing.0.commit()?)
    }

    /// Puts all changes on disk, in such a way that opening takes no longer after a crash.
    pub(super) fn save(&self) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        Ok(transaction.commit()?)
    }

    pub(super) fn stamp(&self, repository: &RepositoryName, kind: Kind) -> Result<Option<Stamp>> {
        let stamps = self.database.begin_read()?.open_table(STAMPS)?;
        let stamp = stamps.get((repository.as_str(), kind as u8))?;
        Ok(stamp.map(|stamp| Stamp(stamp.value().0, stamp.value().1)))
    }

    pub(super) fn has_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool> {
        let tags = self.database.begin_read()?.open_table(TAGS)?;
        Ok(tags.get((repository.as_str(), tag.as_str()))?.is_some())
    }

    pub(super) fn has_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        let blobs = self.database.begin_read()?.open_table(BLOBS)?;
        Ok(blobs.get((digest.as_str(), repository.as_str()))?.is_some())
    }

    /// Up to `limit` tags of a repository behind `after`.
    pub(super) fn tags(&self, repository: &RepositoryName, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let tags = self.database.begin_read()?.open_table(TAGS)?;
        let first = Bound::Excluded((repository.as_str(), after.unwrap_or_default()));
        let range = tags.range::<(&str, &str)>((first, Bound::Included((repository.as_str(), LAST))))?;
        let names = range.take(limit).map(|entry| Ok(entry?.0.value().1.to_owned()));
        names.collect()
    }

    /// Up to `limit` repositories behind `after` that have a tag.
    pub(super) fn repositories(&self, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>> {
        let tags = self.database.begin_read()?.open_table(TAGS)?;
        let mut found: Vec<RepositoryName> = Vec::new();
        let mut last = after.unwrap_or_default().to_owned();
        while found.len() < limit {
            // One step down the tree for each repository, however many tags it has.
            let behind = Bound::Excluded((last.as_str(), LAST));
            let Some(entry) = tags.range::<(&str, &str)>((behind, Bound::Unbounded))?.next() else {
                break;
            };
            let next = entry?.0.value().0.to_owned();
            found.extend(next.parse::<RepositoryName>());
            last = next;
        }
        Ok(found)
    }

    /// The referrers of a subject behind `after`.
    pub(super) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        after: Option<&str>,
    ) -> Result<Vec<Referrer>> {
        let referrers = self.database.begin_read()?.open_table(REFERRERS)?;
        let (repository, subject) = (repository.as_str(), subject.as_str());
        let first = Bound::Excluded((repository, subject, after.unwrap_or_default()));
        let range = referrers.range::<(&str, &str, &str)>((first, Bound::Included((repository, subject, LAST))))?;
        let mut found = Vec::new();
        for entry in range {
            // What cannot be read was written by another version; the next scan writes it anew.
            found.extend(serde_json::from_slice::<Referrer>(entry?.1.value()).ok());
        }
        Ok(found)
    }

    /// Up to `limit` repositories that have a blob.
    pub(super) fn holders(&self, digest: &Digest, limit: usize) -> Result<Vec<RepositoryName>> {
        let blobs = self.database.begin_read()?.open_table(BLOBS)?;
        let (first, last) = ((digest.as_str(), ""), (digest.as_str(), LAST));
        let mut found = Vec::new();
        for entry in blobs.range::<(&str, &str)>(first..last)?.take(limit) {
            found.extend(entry?.0.value().1.parse::<RepositoryName>());
        }
        Ok(found)
    }
}

impl Writing {
    pub(super) fn stamp(&self, repository: &RepositoryName, kind: Kind, stamp: Stamp) -> Result<()> {
        let key = (repository.as_str(), kind as u8);
        self.0.open_table(STAMPS)?.insert(key, (stamp.0, stamp.1))?;
        Ok(())
    }

    pub(super) fn add_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<()> {
        self.0
            .open_table(TAGS)?
            .insert((repository.as_str(), tag.as_str()), ())?;
        Ok(())
    }

    pub(super) fn remove_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<()> {
        self.0.open_table(TAGS)?.remove((repository.as_str(), tag.as_str()))?;
        Ok(())
    }

    /// Replaces all tags of a repository.
    pub(super) fn set_tags(&self, repository: &RepositoryName, tags: &[Tag]) -> Result<()> {
        let all = (repository.as_str(), "")..(repository.as_str(), LAST);
        self.0
            .open_table(TAGS)?
            .retain_in::<(&str, &str), _>(all, |_, ()| false)?;
        tags.iter().try_for_each(|tag| self.add_tag(repository, tag))
    }

    pub(super) fn add_reference(&self, repository: &RepositoryName, reference: &Reference) -> Result<()> {
        let Reference {
            subject,
            digest,
            referrer,
        } = reference;
        let Ok(descriptor) = serde_json::to_vec(referrer) else {
            return Ok(());
        };
        let key = (repository.as_str(), subject.as_str(), digest.as_str());
        self.0.open_table(REFERRERS)?.insert(key, descriptor.as_slice())?;
        Ok(())
    }

    pub(super) fn remove_reference(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<()> {
        let key = (repository.as_str(), subject.as_str(), digest.as_str());
        self.0.open_table(REFERRERS)?.remove(key)?;
        Ok(())
    }

    /// Replaces all referrers of a repository.
    pub(super) fn set_references(&self, repository: &RepositoryName, references: &[Reference]) -> Result<()> {
        let all = (repository.as_str(), "", "")..(repository.as_str(), LAST, "");
        let mut table = self.0.open_table(REFERRERS)?;
        table.retain_in::<(&str, &str, &str), _>(all, |_, _| false)?;
        drop(table);
        references
            .iter()
            .try_for_each(|reference| self.add_reference(repository, reference))
    }

    pub(super) fn add_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        self.0
            .open_table(BLOBS)?
            .insert((digest.as_str(), repository.as_str()), ())?;
        Ok(())
    }

    pub(super) fn remove_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        self.0
            .open_table(BLOBS)?
            .remove((digest.as_str(), repository.as_str()))?;
        Ok(())
    }
}
