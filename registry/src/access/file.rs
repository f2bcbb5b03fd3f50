//! The access document as a file, and a user file beside it: read at start, and again whenever one changes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry_config::{Access, AccessIndex, DocumentError, Htpasswd, IdentityEntry, broad_denies, digest_of};

use super::{Current, Snapshot, state};
use crate::token::Key;
use crate::watch::Watch;

/// Where a registry that stands alone has its access document.
#[derive(Debug, Clone)]
pub struct Files {
    /// The document, with its content inside.
    pub document: PathBuf,
    /// A file of users and their bcrypt hashes as `htpasswd -B` writes it. Who stands in both is who the document says.
    pub htpasswd: Option<PathBuf>,
}

/// Why the files are not in force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of them cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The document is not an access document, or one with invalid values.
    #[error("the access document is refused:\n{}", lines.join("\n"))]
    Refused {
        /// Each problem, with file, line and column.
        lines: Vec<String>,
        /// The problem as a type.
        document: DocumentError,
    },
}

/// What the files hold.
pub struct Contents {
    /// The document, ready to be put in force.
    pub snapshot: Snapshot,
    /// What is wrong with lines of the user file; their users cannot sign in, and everybody else can.
    pub bad_users: Vec<String>,
    /// Denies that match more than they say, with their places. They are in force, since nothing is let through that should not be.
    pub broad_denies: Vec<String>,
}

/// Reads and checks the files.
///
/// # Errors
/// Where there is any problem with the document; then all of them are listed.
pub fn read(files: &Files, own_key: &Arc<Key>) -> Result<Contents, Error> {
    let text = read_file(&files.document, fs::read_to_string)?;
    // A line that is no UTF-8 is one bad line, and a comment in any encoding is a comment.
    let users = files.htpasswd.as_deref().map(|path| read_file(path, fs::read));
    let users = users.transpose()?;
    let users = users.map(|bytes| Htpasswd::parse(&String::from_utf8_lossy(&bytes)));
    let users = users.unwrap_or_default();
    let mut bad_users: Vec<String> = users.problems.iter().map(ToString::to_string).collect();
    let parsed = parse(&text, users, &mut bad_users, own_key);
    let snapshot = parsed.map_err(|document| Error::Refused {
        lines: registry_config::describe_problems(&files.document, &text, "content.", &document),
        document,
    })?;
    let broad = DocumentError::Invalid(broad_denies(&snapshot.access().content));
    let broad_denies = registry_config::describe_problems(&files.document, &text, "content.", &broad);
    Ok(Contents {
        snapshot,
        bad_users,
        broad_denies,
    })
}

/// Reads a file as `read` does it: as bytes, or as text.
fn read_file<'p, T>(path: &'p Path, read: impl FnOnce(&'p Path) -> io::Result<T>) -> Result<T, Error> {
    read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn parse(
    text: &str,
    users: Htpasswd,
    bad_users: &mut Vec<String>,
    own_key: &Arc<Key>,
) -> Result<Snapshot, DocumentError> {
    let mut index = AccessIndex::parse(text)?;
    let missing = || DocumentError::Incomplete("`content` is missing: a file has its content inside".to_owned());
    let mut content = index.content.take().ok_or_else(missing)?;
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
    for (username, hash) in users.users {
        if content.identities.iter().any(|identity| identity.username == username) {
            bad_users.push(format!(
                "user `{username}` stands in the access document, too: what stands there counts"
            ));
        } else {
            content.identities.push(IdentityEntry::with_password(&username, hash));
        }
    }
    // What is in force is told from what was by all of it.
    index.digest = None;
    let access = Access::compile(content).map_err(DocumentError::Invalid)?;
    Snapshot::new(&index, access, own_key)
}

/// Puts what the files say in force.
///
/// # Errors
/// Where it is refused; nothing has changed then.
pub async fn load(files: &Files, current: &Current) -> Result<(), Error> {
    let (files, own_key) = (files.clone(), current.own_key().clone());
    let contents = super::compile(move || read(&files, &own_key)).await?;
    enforce(contents, current);
    Ok(())
}

/// Puts each later version of the files in force, for as long as the process runs. A version that is refused is logged
/// and changes nothing.
pub async fn follow(files: Files, current: Arc<Current>) {
    let mut watch = Watch::new(
        [Some(files.document.clone()), files.htpasswd.clone()]
            .into_iter()
            .flatten()
            .collect(),
    );
    loop {
        watch.changed().await;
        reload(&files, &current).await;
    }
}

fn enforce(contents: Contents, current: &Current) {
    for line in &contents.bad_users {
        tracing::warn!("in the user file: {line}");
    }
    for line in &contents.broad_denies {
        tracing::warn!("in force, but broader than it says: {line}");
    }
    current.enforce(contents.snapshot);
    current.report();
}

async fn reload(files: &Files, current: &Arc<Current>) {
    let (read_files, own_key) = (files.clone(), current.own_key().clone());
    match super::compile(move || read(&read_files, &own_key)).await {
        Ok(contents) => {
            let (known, found) = (current.snapshot(), &contents.snapshot);
            let same =
                known.is_some_and(|known| (known.revision(), known.digest()) == (found.revision(), found.digest()));
            if same {
                current.clear_refusal();
                tracing::info!(path = %files.document.display(), "the access document is the one in force");
            } else {
                enforce(contents, current);
            }
        }
        Err(Error::Refused { lines, document }) => {
            for line in &lines {
                tracing::error!("the access document is refused, the previous one stays in force: {line}");
            }
            current.refuse(None, state::reason(&document));
        }
        Err(Error::Read { path, source }) => {
            tracing::error!(path = %path.display(), error = %source, "cannot read the file; what was in force stays");
            current.refuse(None, "a file cannot be read".to_owned());
        }
    }
}
