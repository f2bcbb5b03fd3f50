//! [`scrub()`]: everything in a store is read and compared with what its path says.
//!
//! Paths are what is believed: each blob and nearly each link has its digest in its path, and bits rot in files. In a
//! store that a registry is serving, nothing is written and nothing is locked; what looks damaged there is looked at
//! again before it is said to be, because the registry's own order of writes (see [`super::tree`]) makes any one moment
//! consistent, but not two moments.

mod blobs;
mod finding;
mod item;
mod quarantine;
mod repositories;
mod workers;

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::super::Error;
use super::layout::Layout;
use super::listing::scan;
use super::lock::OpenError;
use crate::oci::Digest;
use finding::Problem;
use quarantine::Quarantine;

pub use finding::Finding;

/// How long a directory may be without its file before it is taken for a remainder: a push makes one before the other.
const CUT_OFF_AFTER: Duration = Duration::from_hours(1);
/// How long nobody has sent anything to an upload that is called abandoned.
const ABANDONED_AFTER: Duration = Duration::from_hours(7 * 24);

/// What is done about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing; a registry may be serving the store.
    Report,
    /// What is damaged is moved aside, under the exclusive lock on the store.
    Repair,
}

/// Whoever wants to know how a scrub comes along. Called from many threads at once.
pub trait Watcher: Sync {
    /// So many blobs of so many bytes will be read.
    fn blobs(&self, count: u64, bytes: u64);
    /// So many bytes more were read.
    fn read(&self, bytes: u64);
    /// All blobs were read; what follows are links and manifests.
    fn links(&self);
    /// Something was found, and dealt with where that is possible.
    fn found(&self, finding: &Finding);
}

/// What was looked at and what came of it.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Blobs and manifests whose content was read.
    pub blobs: u64,
    /// Their size.
    pub bytes: u64,
    /// Repositories.
    pub repositories: u64,
    /// Links in repositories.
    pub links: u64,
    /// Findings that are damage.
    pub damaged: u64,
    /// Findings that are none.
    pub notes: u64,
    /// Where this run has moved what it found, if anything.
    pub quarantine: Option<PathBuf>,
}

/// Why a store was not looked through to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// The directory is another one, or the volume is not mounted.
    #[error("there is no store in `{}`: it has no `docker/registry/v2/repositories`", .0.display())]
    NoStore(PathBuf),
    /// The exclusive lock was not to be had.
    #[error("cannot repair: stop the registry that serves this store first, or leave out `--repair` to look only")]
    Open(#[source] OpenError),
    /// What was found could not be moved. What was moved before stays moved, and nothing is lost.
    #[error("cannot go on repairing; nothing is lost, and it can be run again")]
    Repair(#[source] Error),
}

/// Reads everything in the store below `root`.
///
/// # Errors
/// Where there is no store, where the lock for a repair is not to be had, and where a repair fails. What cannot be read is
/// a finding, no error.
pub fn scrub(root: &Path, mode: Mode, watcher: &dyn Watcher) -> Result<Totals, ScrubError> {
    let layout = Layout::new(root);
    if !layout.repositories().is_dir() {
        return Err(ScrubError::NoStore(root.to_owned()));
    }
    let quarantine = match mode {
        Mode::Report => None,
        Mode::Repair => Some(Quarantine::open(root).map_err(ScrubError::Open)?),
    };
    let scrub = Scrub {
        layout,
        quarantine,
        watcher,
        damaged: Mutex::default(),
        totals: Mutex::default(),
    };
    let earlier = scrub.names(&scrub.layout.quarantine());
    scrub.blobs().map_err(ScrubError::Repair)?;
    watcher.links();
    scrub.repositories().map_err(ScrubError::Repair)?;
    for name in earlier {
        scrub.report(&Finding::left(
            Problem::Quarantined,
            scrub.layout.quarantine().join(name),
        ));
    }
    let quarantine = scrub.quarantine.as_ref().and_then(Quarantine::used);
    let totals = lock(&scrub.totals).clone();
    Ok(Totals { quarantine, ..totals })
}

/// A scrub that is under way.
struct Scrub<'w> {
    layout: Layout,
    /// Where damaged files go; none where they are only looked at.
    quarantine: Option<Quarantine>,
    watcher: &'w dyn Watcher,
    /// Blobs that are there, but cannot be believed.
    damaged: Mutex<HashSet<Digest>>,
    totals: Mutex<Totals>,
}

impl Scrub<'_> {
    fn report(&self, finding: &Finding) {
        let mut totals = lock(&self.totals);
        if finding.is_damage() {
            totals.damaged += 1;
        } else {
            totals.notes += 1;
        }
        drop(totals);
        self.watcher.found(finding);
    }

    fn count(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut lock(&self.totals));
    }

    /// The directories in a directory. That it cannot be read is reported.
    fn names(&self, directory: &Path) -> Vec<String> {
        scan::directories(directory).unwrap_or_else(|error| {
            let why = match error {
                Error::Io { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            self.report(&Finding::left(Problem::Unreadable(why), directory.to_owned()));
            Vec::new()
        })
    }

    /// What can be said about a blob without reading it again.
    fn state(&self, digest: &Digest) -> State {
        if lock(&self.damaged).contains(digest) {
            State::Damaged
        } else if self.layout.data(digest).exists() {
            State::Good
        } else {
            State::Gone
        }
    }
}

/// What has become of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Damaged,
    Gone,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Damaged => "damaged",
            Self::Gone => "not there",
        })
    }
}

/// Whether nothing has changed in a directory, or in a file, for so long. Not where that cannot be told.
fn is_older(path: &Path, age: Duration) -> bool {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    let elapsed = changed.and_then(|changed| SystemTime::now().duration_since(changed).map_err(io::Error::other));
    elapsed.is_ok_and(|elapsed| elapsed >= age)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
