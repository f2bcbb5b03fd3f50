//! [`Item`]: one thing in a repository, and what is wrong with it at this moment.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::finding::{Held, LinkKind, Problem};
use super::{ABANDONED_AFTER, CUT_OFF_AFTER, Scrub, State, is_older};
use crate::oci::{Descriptor, Digest, Manifest, RepositoryName, Tag};

/// The largest manifest that is looked into, in bytes: no registry takes larger ones.
const LARGEST_MANIFEST: u64 = 4 * 1024 * 1024;
/// How much of a link is read, in bytes: more than any digest has.
const LONGEST_LINK: u64 = 1024;

/// One thing in a repository.
#[derive(Debug)]
pub(super) enum Item {
    Blob(Digest),
    Manifest(Digest),
    History(Tag, Digest),
    Tag(Tag),
    Upload(PathBuf),
    Stray(PathBuf),
}

/// A problem and the file or directory that has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) problem: Problem,
    pub(super) place: PathBuf,
}

impl Suspect {
    fn new(problem: Problem, place: &Path) -> Self {
        Self {
            problem,
            place: place.to_owned(),
        }
    }
}

/// What a link's file holds.
enum Link {
    Absent,
    To(Digest),
    Broken(Held),
    Unreadable(io::Error),
}

impl Scrub<'_> {
    /// What is wrong with `item` now; nothing where it is not there any more.
    pub(super) fn check(&self, repository: &RepositoryName, item: &Item) -> Vec<Suspect> {
        match item {
            Item::Blob(digest) => self.check_blob(repository, digest),
            Item::Manifest(digest) => self.check_manifest(repository, digest),
            Item::History(tag, digest) => {
                let path = self.layout.tag_index_link(repository, tag, digest);
                // What a tag has pointed at once may have been deleted since.
                check_link(LinkKind::History, repository, digest, &path).1
            }
            Item::Tag(tag) => self.check_tag(repository, tag).into_iter().collect(),
            Item::Upload(path) => {
                let repository = repository.clone();
                let is_old = is_older(path, ABANDONED_AFTER) && is_older(&path.join("data"), ABANDONED_AFTER);
                let problem = is_old.then_some(Problem::Abandoned { repository });
                problem.map(|problem| Suspect::new(problem, path)).into_iter().collect()
            }
            Item::Stray(path) if path.exists() => vec![Suspect::new(Problem::Stray, path)],
            Item::Stray(_) => Vec::new(),
        }
    }

    fn check_blob(&self, repository: &RepositoryName, digest: &Digest) -> Vec<Suspect> {
        let path = self.layout.blob_link(repository, digest);
        let (is_there, mut suspects) = check_link(LinkKind::Blob, repository, digest, &path);
        if is_there && self.state(digest) == State::Gone {
            let problem = Problem::BlobGone {
                repository: repository.clone(),
                digest: digest.clone(),
            };
            suspects.push(Suspect::new(problem, &path));
        }
        suspects
    }

    fn check_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Vec<Suspect> {
        let path = self.layout.revision_link(repository, digest);
        let (is_there, mut suspects) = check_link(LinkKind::Manifest, repository, digest, &path);
        if is_there {
            let data = self.layout.data(digest);
            let problems = self.check_content(repository, digest, &data);
            suspects.extend(problems.into_iter().map(|problem| Suspect::new(problem, &data)));
        }
        suspects
    }

    /// What is wrong with a manifest's content and with what it refers to.
    fn check_content(&self, repository: &RepositoryName, digest: &Digest, data: &Path) -> Vec<Problem> {
        let damaged = |state| Problem::Manifest {
            repository: repository.clone(),
            digest: digest.clone(),
            state,
        };
        let none = |why: String| Problem::NoManifest {
            repository: repository.clone(),
            digest: digest.clone(),
            why,
        };
        match self.state(digest) {
            State::Good => {}
            state => return vec![damaged(state)],
        }
        let content = match read(data, LARGEST_MANIFEST + 1) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return vec![damaged(State::Gone)],
            Err(error) => return vec![Problem::Unreadable(error.to_string())],
        };
        if content.len() as u64 > LARGEST_MANIFEST {
            return vec![none(format!("it has more than {LARGEST_MANIFEST} bytes"))];
        }
        if Digest::of(digest.algorithm(), &content) != *digest {
            return vec![damaged(State::Damaged)];
        }
        match Manifest::parse(&content) {
            Ok(manifest) => self.check_references(repository, digest, &manifest),
            Err(error) => vec![none(error.to_string())],
        }
    }

    fn check_references(&self, repository: &RepositoryName, digest: &Digest, manifest: &Manifest) -> Vec<Problem> {
        let mut problems = Vec::new();
        for blob in digests(&manifest.blobs) {
            let state = if self.layout.blob_link(repository, blob).exists() {
                self.state(blob)
            } else {
                State::Gone
            };
            if state != State::Good {
                problems.push(Problem::Reference {
                    repository: repository.clone(),
                    manifest: digest.clone(),
                    blob: blob.clone(),
                    state,
                });
            }
        }
        // One that is there, but not good, is reported as a manifest of its own.
        let children = digests(&manifest.manifests).into_iter();
        let missing = children.filter(|child| !self.layout.revision_link(repository, child).exists());
        let missing = missing.count();
        if missing > 0 {
            problems.push(Problem::Sparse {
                repository: repository.clone(),
                manifest: digest.clone(),
                missing,
            });
        }
        problems
    }

    fn check_tag(&self, repository: &RepositoryName, tag: &Tag) -> Option<Suspect> {
        let path = self.layout.tag_current_link(repository, tag);
        let (repository, tag) = (repository.clone(), tag.clone());
        let problem = match read_link(&path) {
            Link::Absent => {
                let directory = self.layout.tag(&repository, &tag);
                return is_older(&directory, CUT_OFF_AFTER).then(|| Suspect::new(Problem::CutOff, &directory));
            }
            Link::Unreadable(error) => Problem::Unreadable(error.to_string()),
            Link::Broken(held) => Problem::Tag { repository, tag, held },
            Link::To(digest) if !self.layout.revision_link(&repository, &digest).exists() => Problem::TagToNothing {
                repository,
                tag,
                digest,
            },
            Link::To(digest) => match self.state(&digest) {
                State::Good => return None,
                state => Problem::TagToDamaged {
                    repository,
                    tag,
                    digest,
                    state,
                },
            },
        };
        Some(Suspect::new(problem, &path))
    }
}

/// Whether a link is there, right or wrong, and what is wrong with it.
fn check_link(kind: LinkKind, repository: &RepositoryName, digest: &Digest, path: &Path) -> (bool, Vec<Suspect>) {
    let held = match read_link(path) {
        Link::Absent => {
            let directory = path.parent().unwrap_or(path);
            let is_old = is_older(directory, CUT_OFF_AFTER);
            let suspect = is_old.then(|| Suspect::new(Problem::CutOff, directory));
            return (false, suspect.into_iter().collect());
        }
        Link::Unreadable(error) => {
            let problem = Problem::Unreadable(error.to_string());
            return (true, vec![Suspect::new(problem, path)]);
        }
        Link::To(held) if held == *digest => return (true, Vec::new()),
        Link::To(other) => Held::Other(other),
        Link::Broken(held) => held,
    };
    let problem = Problem::Link {
        kind,
        repository: repository.clone(),
        digest: digest.clone(),
        held,
    };
    (true, vec![Suspect::new(problem, path)])
}

fn read_link(path: &Path) -> Link {
    let content = match read(path, LONGEST_LINK) {
        Ok(content) => content,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Link::Absent;
        }
        Err(error) => return Link::Unreadable(error),
    };
    let text = std::str::from_utf8(&content).unwrap_or("?").trim();
    match text.parse() {
        Ok(digest) => Link::To(digest),
        Err(_) if text.is_empty() => Link::Broken(Held::Nothing),
        Err(_) => Link::Broken(Held::NoDigest),
    }
}

/// The first `most` bytes of a file.
fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// What the descriptors name, each once.
fn digests(descriptors: &[Descriptor]) -> BTreeSet<&Digest> {
    descriptors.iter().map(|descriptor| &descriptor.digest).collect()
}
