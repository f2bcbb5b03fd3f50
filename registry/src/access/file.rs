//! The access document as a file: read at start, and again whenever it changes.
//!
//! The directory is watched, not the file: editors and the kubelet replace files and symbolic links instead of writing
//! into them. A slow look at the file's attributes finds what the watch cannot see, such as a change behind a link that
//! leads elsewhere.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use registry_config::{Access, AccessIndex, DocumentError, digest_of};
use tokio::sync::Notify;

use super::{Current, Snapshot, state};
use crate::position;

/// How long a file must be left alone before it is read: some editors write in several steps.
const SETTLE: Duration = Duration::from_millis(20);
/// How often the file's attributes are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why the file is not in force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read the access document `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not an access document, or one with invalid values.
    #[error("the access document is refused:\n{}", lines.join("\n"))]
    Refused {
        /// Each problem, with file, line and column.
        lines: Vec<String>,
        /// The problem as a type.
        document: DocumentError,
    },
}

/// Reads and checks an access document that has its content inside.
///
/// # Errors
/// Where there is any problem; then all of them are listed.
pub fn read(path: &Path, own_key: &Arc<crate::token::Key>) -> Result<Snapshot, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text, own_key)
}

fn parse(path: &Path, text: &str, own_key: &Arc<crate::token::Key>) -> Result<Snapshot, Error> {
    snapshot(text, own_key).map_err(|document| Error::Refused {
        lines: position::describe(path, text, "content.", &document),
        document,
    })
}

fn snapshot(text: &str, own_key: &Arc<crate::token::Key>) -> Result<Snapshot, DocumentError> {
    let mut index = AccessIndex::parse(text)?;
    let missing = || DocumentError::Incomplete("`content` is missing: a file has its content inside".to_owned());
    let content = index.content.take().ok_or_else(missing)?;
    let found = digest_of(&content);
    match &index.digest {
        Some(expected) if *expected != found => {
            return Err(DocumentError::Digest {
                expected: expected.clone(),
                found,
            });
        }
        Some(_) | None => {}
    }
    let access = Access::compile(content).map_err(DocumentError::Invalid)?;
    Snapshot::new(&index, access, own_key)
}

/// Puts the document at `path` in force.
///
/// # Errors
/// Where it is refused; nothing has changed then.
pub async fn load(path: &Path, current: &Current) -> Result<(), Error> {
    let (path, own_key) = (path.to_owned(), current.own_key().clone());
    let snapshot = super::compile(move || read(&path, &own_key)).await?;
    current.enforce(snapshot);
    current.report();
    Ok(())
}

/// Puts each later version of the document at `path` in force, for as long as the process runs. A version that is
/// refused is logged and changes nothing.
pub async fn follow(path: PathBuf, current: Arc<Current>) {
    let changed = Arc::new(Notify::new());
    let _watch = watch(&path, &changed);
    let mut seen = None;
    loop {
        let attributes = attributes(&path);
        if seen != attributes {
            // The first turn of the loop only learns how the file looked like when it was loaded, or just after; reading
            // it once more costs little and misses nothing.
            seen = attributes;
            reload(&path, &current).await;
        }
        tokio::select! {
            () = changed.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn reload(path: &Path, current: &Arc<Current>) {
    let (read_path, own_key) = (path.to_owned(), current.own_key().clone());
    match super::compile(move || read(&read_path, &own_key)).await {
        Ok(snapshot) => {
            let known = current.snapshot();
            let same = known
                .is_some_and(|known| (known.revision(), known.digest()) == (snapshot.revision(), snapshot.digest()));
            if same {
                current.clear_refusal();
            } else {
                current.enforce(snapshot);
                current.report();
            }
        }
        Err(Error::Refused { lines, document }) => {
            for line in &lines {
                tracing::error!("the access document is refused, the previous one stays in force: {line}");
            }
            current.refuse(None, state::reason(&document));
        }
        Err(Error::Read { path, source }) => {
            tracing::error!(path = %path.display(), error = %source, "cannot read the access document, the previous one stays in force");
            current.refuse(None, "the file cannot be read".to_owned());
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

/// Watches the directory that `path` is in. Without a watch, which the system may refuse when it has too many, the slow
/// look remains.
fn watch(path: &Path, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let changed = changed.clone();
    let notify = move |_: notify::Result<notify::Event>| changed.notify_one();
    let watcher = notify::recommended_watcher(notify).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| tracing::warn!(%error, "cannot watch the access document's directory; looking every {LOOK:?} instead"))
        .ok()
}
