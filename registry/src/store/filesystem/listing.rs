//! [`Listing`]: tags, repositories, referrers and holders of blobs, in order and in pages.
//!
//! What is there is said by the directories alone. The database beside them only keeps it sorted. It is believed as long
//! as the directories carry the time of their last change that was noted with the list; where they do not, because
//! another registry has written there, a crash took a change of the database back, or nobody has looked yet, they are
//! read again. So the database can be lost, and is never out of date for longer than a request.

mod database;
mod follow;
pub(super) mod scan;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::Error;
use super::layout::Layout;
use crate::oci::{Digest, Manifest, Referrer, RepositoryName, Tag};
use database::{Lists, Writing};

pub(super) use follow::follow;

/// What of a repository is listed, each from directories of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tags = 0,
    Revisions = 1,
    Blobs = 2,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Tags, Self::Revisions, Self::Blobs];
}

/// When the directories of a list were changed last, in nanoseconds since 1970; 0 for those that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(i128, i128);

/// A stamp that no directory has: the list is read again whenever it is asked for.
const NEVER: Stamp = Stamp(-1, -1);

/// The lists of a store. Whoever changes a repository, or brings its lists up to date, holds the repository's lock.
#[derive(Debug)]
pub(super) struct Listing {
    layout: Layout,
    /// Absent where it could not be opened, and of no use once it has failed.
    lists: OnceLock<Lists>,
    failed: AtomicBool,
    /// Whether every repository has been looked at since the start.
    is_complete: AtomicBool,
    /// Whether there is anything to be saved.
    is_changed: AtomicBool,
}

/// What has become of a repository.
pub(super) enum Event<'a> {
    TagAdded(&'a Tag),
    TagRemoved(&'a Tag),
    ManifestAdded(&'a Digest, &'a Manifest, usize),
    ManifestRemoved(&'a Digest, &'a [u8]),
    BlobAdded(&'a Digest),
    BlobRemoved(&'a Digest),
}

impl Event<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::TagAdded(_) | Self::TagRemoved(_) => Kind::Tags,
            Self::ManifestAdded(..) | Self::ManifestRemoved(..) => Kind::Revisions,
            Self::BlobAdded(_) | Self::BlobRemoved(_) => Kind::Blobs,
        }
    }
}

/// A change of a repository that is under way.
pub(super) struct Change<'l> {
    listing: &'l Listing,
    repository: &'l RepositoryName,
    /// The stamp before the change, where the list was right then.
    before: Option<Stamp>,
}

impl Listing {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            lists: OnceLock::new(),
            failed: AtomicBool::new(false),
            is_complete: AtomicBool::new(false),
            is_changed: AtomicBool::new(false),
        }
    }

    /// Whether every repository has been looked at since the start.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Notes how a list stands before a change. [`Change::done`] is called when the change is on disk; if it never is,
    /// the list is read again.
    pub(super) fn change<'l>(&'l self, repository: &'l RepositoryName, kind: Kind) -> Change<'l> {
        let before = self.lists().and_then(|lists| {
            let now = scan::stamp(&self.layout, repository, kind).ok()?;
            let noted = self.believe(lists.stamp(repository, kind))?;
            // A repository that did not exist has an empty list.
            let is_right = noted == Some(now) || (noted.is_none() && now == Stamp(0, 0));
            is_right.then_some(now)
        });
        Change {
            listing: self,
            repository,
            before,
        }
    }

    /// Up to `limit` tags behind `after`. `refresh` is called where the directories have to be read, and takes the
    /// repository's lock for as long as its argument runs.
    pub(super) fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
        refresh: impl FnOnce(&mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error>,
    ) -> Result<Vec<String>, Error> {
        self.ensure(repository, Kind::Tags, refresh)?;
        if let Some(lists) = self.lists()
            && let Some(tags) = self.believe(lists.tags(repository, after, limit))
        {
            return Ok(tags);
        }
        let (tags, _) = scan::tags(&self.layout, repository)?;
        let behind = tags
            .iter()
            .map(Tag::as_str)
            .filter(|tag| after.is_none_or(|after| *tag > after));
        Ok(behind.take(limit).map(str::to_owned).collect())
    }

    /// Up to `limit` repositories behind `after` that have a tag, by their whole names: `a-b` is before `a/b`.
    pub(super) fn repositories(&self, after: Option<&str>, limit: usize) -> Result<Vec<RepositoryName>, Error> {
        if self.is_complete()
            && let Some(lists) = self.lists()
            && let Some(repositories) = self.believe(lists.repositories(after, limit))
        {
            return Ok(repositories);
        }
        let mut found = Vec::new();
        scan::walk(&self.layout, |repository| {
            if after.is_none_or(|after| repository.as_str() > after)
                && !scan::tags(&self.layout, repository)?.0.is_empty()
            {
                found.push(repository.clone());
            }
            Ok(true)
        })?;
        found.sort_unstable();
        found.truncate(limit);
        Ok(found)
    }

    /// The referrers of `subject` behind `after`. For `refresh` see [`Listing::tags`].
    pub(super) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        after: Option<&str>,
        refresh: impl FnOnce(&mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error>,
    ) -> Result<Vec<Referrer>, Error> {
        self.ensure(repository, Kind::Revisions, refresh)?;
        if let Some(lists) = self.lists()
            && let Some(referrers) = self.believe(lists.referrers(repository, subject, after))
        {
            return Ok(referrers);
        }
        let (mut references, _) = scan::references(&self.layout, repository)?;
        references.retain(|reference| {
            reference.subject == *subject && after.is_none_or(|after| reference.digest.as_str() > after)
        });
        references.sort_unstable_by(|a, b| a.digest.cmp(&b.digest));
        Ok(references.into_iter().map(|reference| reference.referrer).collect())
    }

    /// The tags of a repository by its directories.
    pub(super) fn read_tags(&self, repository: &RepositoryName) -> Result<Vec<Tag>, Error> {
        Ok(scan::tags(&self.layout, repository)?.0)
    }

    /// Up to `limit` repositories that may have a blob; none where nobody has looked yet.
    pub(super) fn holders(&self, digest: &Digest, limit: usize) -> Vec<RepositoryName> {
        let holders = self
            .lists()
            .and_then(|lists| self.believe(lists.holders(digest, limit)));
        holders.unwrap_or_default()
    }

    /// Reads a list from its directories where it may be out of date.
    fn ensure(
        &self,
        repository: &RepositoryName,
        kind: Kind,
        refresh: impl FnOnce(&mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.is_current(repository, kind)? {
            return Ok(());
        }
        refresh(&mut || self.refresh(repository, kind))
    }

    /// Whether a list is up to date, or there is no database that could be.
    fn is_current(&self, repository: &RepositoryName, kind: Kind) -> Result<bool, Error> {
        let Some(lists) = self.lists() else { return Ok(true) };
        let Some(noted) = self.believe(lists.stamp(repository, kind)) else {
            return Ok(true);
        };
        let now = scan::stamp(&self.layout, repository, kind)?;
        Ok(noted.map_or(now == Stamp(0, 0), |noted| noted == now))
    }

    /// Reads a list from its directories. The repository's lock is held.
    fn refresh(&self, repository: &RepositoryName, kind: Kind) -> Result<(), Error> {
        if self.is_current(repository, kind)? {
            return Ok(());
        }
        // Before the directories are read: what changes them later changes the time as well.
        let stamp = scan::stamp(&self.layout, repository, kind)?;
        match kind {
            Kind::Tags => {
                let (tags, complete) = scan::tags(&self.layout, repository)?;
                let mut links = tags.iter().map(|tag| self.layout.tag_current_link(repository, tag));
                let stamp = if complete && links.all(|link| scan::settle(&link)) {
                    stamp
                } else {
                    NEVER
                };
                self.write(|writing| {
                    writing.set_tags(repository, &tags)?;
                    writing.stamp(repository, kind, stamp)
                });
            }
            Kind::Revisions => {
                let (references, complete) = scan::references(&self.layout, repository)?;
                let stamp = if complete { stamp } else { NEVER };
                self.write(|writing| {
                    writing.set_references(repository, &references)?;
                    writing.stamp(repository, kind, stamp)
                });
            }
            Kind::Blobs => {
                let blobs = scan::blobs(&self.layout, repository)?;
                self.write(|writing| {
                    blobs.iter().try_for_each(|blob| writing.add_blob(repository, blob))?;
                    writing.stamp(repository, kind, stamp)
                });
            }
        }
        Ok(())
    }

    /// The database, where there is one that works.
    fn lists(&self) -> Option<&Lists> {
        self.lists.get().filter(|_| !self.failed.load(Ordering::Relaxed))
    }

    fn write(&self, change: impl FnOnce(&Writing) -> Result<(), redb::Error>) {
        let Some(lists) = self.lists() else { return };
        self.is_changed.store(true, Ordering::Relaxed);
        self.believe(lists.write(change));
    }

    /// The result of an operation on the database; a failure makes it useless until the next start.
    fn believe<T>(&self, result: Result<T, redb::Error>) -> Option<T> {
        result
            .inspect_err(|error| {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = error as &dyn std::error::Error,
                        "the listing database failed: lists are read from the directories until the next start"
                    );
                }
            })
            .ok()
    }
}

impl Change<'_> {
    /// Notes what has become of the repository.
    pub(super) fn done(self, event: &Event<'_>) {
        let Self {
            listing,
            repository,
            before,
        } = self;
        let (Some(before), Some(lists)) = (before, listing.lists()) else {
            return;
        };
        let kind = event.kind();
        let Ok(after) = scan::stamp(&listing.layout, repository, kind) else {
            return;
        };
        let is_known = match event {
            Event::TagAdded(tag) => lists.has_tag(repository, tag),
            Event::BlobAdded(digest) => lists.has_blob(repository, digest),
            Event::ManifestAdded(_, manifest, _) => Ok(manifest.subject.is_none()),
            Event::TagRemoved(_) | Event::ManifestRemoved(..) | Event::BlobRemoved(_) => Ok(false),
        };
        if after == before && listing.believe(is_known) == Some(true) {
            return;
        }
        listing.write(|writing| {
            match event {
                Event::TagAdded(tag) => writing.add_tag(repository, tag)?,
                Event::TagRemoved(tag) => writing.remove_tag(repository, tag)?,
                Event::BlobAdded(digest) => writing.add_blob(repository, digest)?,
                Event::BlobRemoved(digest) => writing.remove_blob(repository, digest)?,
                Event::ManifestAdded(digest, manifest, size) => {
                    if let Some(subject) = &manifest.subject {
                        let reference = scan::Reference {
                            subject: subject.digest.clone(),
                            digest: (*digest).clone(),
                            referrer: Referrer::of(digest, manifest, *size),
                        };
                        writing.add_reference(repository, &reference)?;
                    }
                }
                Event::ManifestRemoved(digest, content) => {
                    if let Some(reference) = scan::reference(digest, content) {
                        writing.remove_reference(repository, &reference.subject, digest)?;
                    }
                }
            }
            writing.stamp(repository, kind, after)
        });
    }
}
