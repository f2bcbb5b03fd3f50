//! Follows files: says when one of them may hold something else.
//!
//! The directories are watched, not the files: editors and the kubelet replace files and symbolic links instead of
//! writing into them. A slow look at the files' attributes finds what the watch cannot see, such as a change behind a
//! link that leads elsewhere.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How long a file must be left alone before it is read: some editors write in several steps.
const SETTLE: Duration = Duration::from_millis(20);
/// How often the files' attributes are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Some files that are followed.
pub(crate) struct Watch {
    paths: Vec<PathBuf>,
    changed: Arc<Notify>,
    seen: Option<Vec<Option<Attributes>>>,
    /// Ends the watch when it is dropped. Without one, which the system may refuse when it has too many, the slow look
    /// remains.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Begins to follow `paths`.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let changed = Arc::new(Notify::new());
        Self {
            _watcher: watcher(&paths, &changed),
            paths,
            changed,
            seen: None,
        }
    }

    /// Completes when a file is not as it was the last time that this completed. The first time it completes at once:
    /// reading a file once more costs little and misses nothing.
    pub(crate) async fn changed(&mut self) {
        loop {
            let now: Vec<_> = self.paths.iter().map(|path| attributes(path)).collect();
            if self.seen.as_ref() != Some(&now) {
                self.seen = Some(now);
                return;
            }
            tokio::select! {
                () = self.changed.notified() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// What changes when a file is written to or replaced.
#[derive(PartialEq, Eq)]
struct Attributes {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn attributes(path: &Path) -> Option<Attributes> {
    let metadata = fs::metadata(path).ok()?;
    Some(Attributes {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

fn watcher(paths: &[PathBuf], changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let changed = changed.clone();
    let notify = move |_: notify::Result<notify::Event>| changed.notify_one();
    let watcher = notify::recommended_watcher(notify).and_then(|mut watcher| {
        for path in paths {
            let directory = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| tracing::warn!(%error, ?paths, "cannot watch for changes; looking every {LOOK:?} instead"))
        .ok()
}
