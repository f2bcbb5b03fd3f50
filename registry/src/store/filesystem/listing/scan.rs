//! What the directories themselves say: slow, and always right.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::super::super::Error;
use super::super::durable::{failed, sync_directory};
use super::super::layout::Layout;
use super::{Kind, Stamp};
use crate::oci::{Algorithm, Digest, Manifest, Referrer, RepositoryName, Tag};

/// A referrer and what it refers to.
pub(super) struct Reference {
    pub(super) subject: Digest,
    pub(super) digest: Digest,
    pub(super) referrer: Referrer,
}

/// When the directories that a list is read from were changed last.
pub(super) fn stamp(layout: &Layout, repository: &RepositoryName, kind: Kind) -> Result<Stamp, Error> {
    let mut stamp = [0, 0];
    for (time, directory) in stamp.iter_mut().zip(sources(layout, repository, kind)) {
        *time = changed(&directory)?;
    }
    Ok(Stamp(stamp[0], stamp[1]))
}

/// The directories in which an entry of the list appears and disappears.
fn sources(layout: &Layout, repository: &RepositoryName, kind: Kind) -> Vec<PathBuf> {
    let by_algorithm = |directory: PathBuf| {
        Algorithm::ALL
            .map(|algorithm| directory.join(algorithm.as_str()))
            .into()
    };
    match kind {
        Kind::Tags => vec![layout.tags(repository)],
        Kind::Revisions => by_algorithm(layout.revisions(repository)),
        Kind::Blobs => by_algorithm(layout.blob_links(repository)),
    }
}

/// When a directory was changed last, in nanoseconds since 1970; 0 where there is none.
fn changed(directory: &Path) -> Result<i128, Error> {
    let modified = fs::metadata(directory).and_then(|metadata| metadata.modified());
    match modified {
        Ok(time) => Ok(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos().cast_signed(),
            Err(before) => -before.duration().as_nanos().cast_signed(),
        }),
        Err(error) if is_absent(&error) => Ok(0),
        Err(error) => Err(failed("read", directory, error)),
    }
}

/// The tags of a repository, sorted, and whether every directory of a tag holds one. One whose first push a crash cut
/// off has a directory, but points at nothing yet.
pub(super) fn tags(layout: &Layout, repository: &RepositoryName) -> Result<(Vec<Tag>, bool), Error> {
    let mut tags = Vec::new();
    let mut complete = true;
    for name in directories(&layout.tags(repository))? {
        let Ok(tag) = name.parse::<Tag>() else { continue };
        if exists(&layout.tag_current_link(repository, &tag))? {
            tags.push(tag);
        } else {
            complete = false;
        }
    }
    tags.sort_unstable();
    Ok((tags, complete))
}

/// How long a name may be younger than the disk's copy of it: file systems write names out by themselves within 30 s.
const UNWRITTEN: Duration = Duration::from_secs(60);

/// Makes the name of a link durable that was written a moment ago, before something durable relies on it, and says whether it is:
/// whoever wrote it may not have come to that, or may have failed.
pub(super) fn settle(link: &Path) -> bool {
    let Some(directory) = link.parent() else { return false };
    let Ok(changed) = fs::metadata(directory).and_then(|metadata| metadata.modified()) else {
        return false;
    };
    let is_old = changed.elapsed().is_ok_and(|age| age > UNWRITTEN);
    is_old || sync_directory(directory).is_ok()
}

/// The manifests of a repository that refer to another one, and whether every directory of a manifest holds one.
pub(super) fn references(layout: &Layout, repository: &RepositoryName) -> Result<(Vec<Reference>, bool), Error> {
    let mut found = Vec::new();
    let mut complete = true;
    for digest in digests(&layout.revisions(repository))? {
        if !exists(&layout.revision_link(repository, &digest))? {
            complete = false;
            continue;
        }
        let path = layout.data(&digest);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(failed("read", &path, error)),
        };
        found.extend(reference(&digest, &content));
    }
    Ok((found, complete))
}

/// What a stored manifest refers to; nothing where it has no subject or is not one that could be served.
pub(super) fn reference(digest: &Digest, content: &[u8]) -> Option<Reference> {
    let manifest = Manifest::parse(content).ok()?;
    let subject = manifest.subject.as_ref()?.digest.clone();
    Some(Reference {
        subject,
        digest: digest.clone(),
        referrer: Referrer::of(digest, &manifest, content.len()),
    })
}

/// The blobs of a repository.
pub(super) fn blobs(layout: &Layout, repository: &RepositoryName) -> Result<Vec<Digest>, Error> {
    digests(&layout.blob_links(repository))
}

/// Calls `visit` with every directory below the repositories that may be one, in no order, until it says `false`.
pub(in super::super) fn walk(
    layout: &Layout,
    mut visit: impl FnMut(&RepositoryName) -> Result<bool, Error>,
) -> Result<(), Error> {
    let root = layout.repositories();
    let mut pending = directories(&root)?;
    while let Some(name) = pending.pop() {
        for child in directories(&root.join(&name))? {
            if !child.starts_with('_') {
                pending.push(format!("{name}/{child}"));
            }
        }
        if let Ok(repository) = name.parse()
            && !visit(&repository)?
        {
            return Ok(());
        }
    }
    Ok(())
}

/// The digests below a directory of links.
fn digests(directory: &Path) -> Result<Vec<Digest>, Error> {
    let mut found = Vec::new();
    for algorithm in Algorithm::ALL {
        let names = directories(&directory.join(algorithm.as_str()))?;
        let digests = names.iter().map(|hex| format!("{}:{hex}", algorithm.as_str()));
        found.extend(digests.filter_map(|digest| digest.parse::<Digest>().ok()));
    }
    Ok(found)
}

/// The names of the directories in a directory; none where it does not exist.
pub(in super::super) fn directories(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(path) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        result => result.map_err(|error| failed("read", path, error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("read", path, error))?;
        let is_directory = entry
            .file_type()
            .map_err(|error| failed("read", &entry.path(), error))?
            .is_dir();
        if let (true, Ok(name)) = (is_directory, entry.file_name().into_string()) {
            names.push(name);
        }
    }
    Ok(names)
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|error| failed("read", path, error))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
