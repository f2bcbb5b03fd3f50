//! What happens to the lists beside the requests: every repository is looked at once, and changes are saved from time to
//! time.

use std::fs;
use std::io;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::super::Error;
use super::super::background::Stop;
use super::super::tree::Tree;
use super::database::Lists;
use super::{Kind, Listing, scan};
use crate::oci::RepositoryName;

/// How often changes are saved. What a crash takes back is read from the directories again.
const SAVE_INTERVAL: Duration = Duration::from_secs(30);
/// How many listed repositories are checked in one go for being there still.
const BATCH: usize = 1000;

/// Does so until it is told to stop.
pub(in super::super) fn follow(tree: &Weak<Tree>, stop: &Stop) {
    if let Some(tree) = tree.upgrade() {
        let started = Instant::now();
        match complete(&tree, stop) {
            Ok(Some(refreshed)) => {
                tree.listing().is_complete.store(true, Ordering::Release);
                let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(refreshed, milliseconds, "the listing index is complete");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the listing index is not complete: the catalog is read from the directories"
            ),
        }
    }
    loop {
        let is_stopped = stop.comes_within(SAVE_INTERVAL);
        if let Some(tree) = tree.upgrade() {
            tree.listing().save();
        }
        if is_stopped {
            return;
        }
    }
}

/// Brings the lists of every repository up to date, and returns how many were not. `None` where it was told to stop.
fn complete(tree: &Tree, stop: &Stop) -> Result<Option<usize>, Error> {
    let listing = tree.listing();
    let mut refreshed = 0;
    let mut interrupted = false;
    scan::walk(&listing.layout, |repository| {
        interrupted = stop.has_come();
        for kind in Kind::ALL {
            if !interrupted && !listing.is_current(repository, kind)? {
                tree.changing(repository, || listing.refresh(repository, kind))?;
                refreshed += 1;
            }
        }
        Ok(!interrupted)
    })?;
    // Repositories whose directories are gone were not met on the way.
    let mut after: Option<RepositoryName> = None;
    while !interrupted && let Some(lists) = listing.lists() {
        let after_name = after.as_ref().map(RepositoryName::as_str);
        let batch = listing
            .believe(lists.repositories(after_name, BATCH))
            .unwrap_or_default();
        for repository in &batch {
            if !listing.is_current(repository, Kind::Tags)? {
                tree.changing(repository, || listing.refresh(repository, Kind::Tags))?;
            }
        }
        let Some(last) = batch.last().cloned() else { break };
        after = Some(last);
        interrupted = stop.has_come();
    }
    Ok((!interrupted).then_some(refreshed))
}

impl Listing {
    /// Opens the database, before the first request. One that cannot be read is made anew: everything in it stands in the directories.
    pub(in super::super) fn open(&self) {
        let path = self.layout.listing();
        let opened = Lists::open(&path).or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the listing database cannot be read and is made anew"
            );
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(redb::Error::Io(error)),
                Ok(()) | Err(_) => Lists::open(&path),
            }
        });
        if let Some(lists) = self.believe(opened) {
            // Nobody else sets it.
            let _ = self.lists.set(lists);
        }
    }

    fn save(&self) {
        if self.is_changed.swap(false, Ordering::Relaxed)
            && let Some(lists) = self.lists()
        {
            self.believe(lists.save());
        }
    }
}
