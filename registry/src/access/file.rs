//! The access document as a file: read at start, and again whenever it changes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry_config::{Access, AccessIndex, DocumentError, digest_of};

use super::{Current, Snapshot, state};
use crate::position;
use crate::watch::Watch;

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
    let mut watch = Watch::new(vec![path.clone()]);
    loop {
        watch.changed().await;
        reload(&path, &current).await;
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
                tracing::info!(path = %path.display(), "the access document is the one in force");
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
