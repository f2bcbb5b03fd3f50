//! [`Finding`]: what a scrub has found, where, and what was done or is to be done about it.

use std::fmt;
use std::path::PathBuf;

use super::State;
use crate::oci::{Digest, RepositoryName, Tag};

/// Something that is not as it should be. Its text is one line.
#[derive(Debug)]
pub struct Finding {
    problem: Problem,
    place: PathBuf,
    outcome: Outcome,
}

/// What was done.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing.
    Left,
    /// It was moved there.
    Moved(PathBuf),
    /// What the path says was written, and what was there before is kept there.
    Mended(PathBuf),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// A blob has other bytes than its digest says.
    Content { digest: Digest, computed: Digest },
    /// The system does not give the content of a file or directory.
    Unreadable(String),
    /// A link does not hold the digest that is in its path.
    Link {
        kind: LinkKind,
        repository: RepositoryName,
        digest: Digest,
        held: Held,
    },
    /// A tag's link holds no digest.
    Tag {
        repository: RepositoryName,
        tag: Tag,
        held: Held,
    },
    /// A tag points at a manifest that the repository does not have.
    TagToNothing {
        repository: RepositoryName,
        tag: Tag,
        digest: Digest,
    },
    /// A tag points at a manifest whose content is not good.
    TagToDamaged {
        repository: RepositoryName,
        tag: Tag,
        digest: Digest,
        state: State,
    },
    /// The content of a repository's manifest is not good.
    Manifest {
        repository: RepositoryName,
        digest: Digest,
        state: State,
    },
    /// A manifest refers to a blob that is not good.
    Reference {
        repository: RepositoryName,
        manifest: Digest,
        blob: Digest,
        state: State,
    },
    /// A manifest refers to manifests that the repository does not have.
    Sparse {
        repository: RepositoryName,
        manifest: Digest,
        missing: usize,
    },
    /// The content is what its digest says, but no manifest that this registry reads.
    NoManifest {
        repository: RepositoryName,
        digest: Digest,
        why: String,
    },
    /// A repository has a blob that is not in the store.
    BlobGone { repository: RepositoryName, digest: Digest },
    /// A directory without the file that it was made for.
    CutOff,
    /// A directory that this layout does not have.
    Stray,
    /// An upload that nobody goes on with.
    Abandoned { repository: RepositoryName },
    /// What an earlier repair has moved aside.
    Quarantined,
}

/// Which of the links that have a digest in their path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkKind {
    Blob,
    Manifest,
    History,
}

/// What a link holds instead of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    NoDigest,
    Other(Digest),
}

impl Finding {
    pub(super) fn new(problem: Problem, place: PathBuf, outcome: Outcome) -> Self {
        Self {
            problem,
            place,
            outcome,
        }
    }

    pub(super) fn left(problem: Problem, place: PathBuf) -> Self {
        Self::new(problem, place, Outcome::Left)
    }

    /// Whether something that was stored cannot be had any more, or is in danger. Everything else is only good to know.
    pub fn is_damage(&self) -> bool {
        self.problem.is_damage()
    }
}

impl Problem {
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Content { .. }
            | Self::Unreadable(_)
            | Self::Link { .. }
            | Self::Tag { .. }
            | Self::TagToNothing { .. }
            | Self::TagToDamaged { .. }
            | Self::Manifest { .. }
            | Self::Reference { .. } => true,
            Self::Sparse { .. }
            | Self::NoManifest { .. }
            | Self::BlobGone { .. }
            | Self::CutOff
            | Self::Stray
            | Self::Abandoned { .. }
            | Self::Quarantined => false,
        }
    }

    /// What is to be done where nothing was.
    fn advice(&self) -> &'static str {
        match self {
            Self::Content { .. } => "repair moves it aside; then push it again",
            Self::Unreadable(_) => "look after the disk and the permissions, then scrub again",
            Self::Link { .. } => "repair writes it anew where what it points at is there",
            Self::Tag { .. } | Self::TagToNothing { .. } => "repair moves it aside; then push the tag again",
            Self::TagToDamaged { .. } | Self::Manifest { .. } => "push the manifest again, or delete it",
            Self::Reference { .. } => "push the blob again, or delete the manifest",
            Self::Sparse { .. } => "nothing to do where only some platforms were copied",
            Self::NoManifest { .. } => "it is kept, but cannot be served",
            Self::BlobGone { .. } => "nothing to do: no manifest suffers by it that is not reported too",
            Self::CutOff => "nothing to do: the next push uses it",
            Self::Stray => "nothing to do: it is never looked at",
            Self::Abandoned { .. } => "cancel it, or go on with it",
            Self::Quarantined => "remove it when nothing of it is needed any more",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            problem,
            place,
            outcome,
        } = self;
        let level = if self.is_damage() { "damaged" } else { "note" };
        write!(f, "{level}: {problem}; in `{}`; ", place.display())?;
        match outcome {
            Outcome::Left => f.write_str(problem.advice()),
            Outcome::Moved(target) => write!(f, "moved to `{}`; push it again", target.display()),
            Outcome::Mended(kept) => write!(f, "written anew; what it held is in `{}`", kept.display()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content { digest, computed } => write!(f, "the content of blob {digest} has the digest {computed}"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Link {
                kind,
                repository,
                digest,
                held,
            } => {
                let what = match kind {
                    LinkKind::Blob => "blob",
                    LinkKind::Manifest => "manifest",
                    LinkKind::History => "former manifest",
                };
                write!(f, "the link to {what} {digest} of repository `{repository}` {held}")
            }
            Self::Tag { repository, tag, held } => write!(f, "the link of tag `{repository}:{tag}` {held}"),
            Self::TagToNothing {
                repository,
                tag,
                digest,
            } => write!(
                f,
                "tag `{repository}:{tag}` points at manifest {digest}, which the repository does not have"
            ),
            Self::TagToDamaged {
                repository,
                tag,
                digest,
                state,
            } => write!(
                f,
                "tag `{repository}:{tag}` points at manifest {digest}, whose content is {state}"
            ),
            Self::Manifest {
                repository,
                digest,
                state,
            } => write!(
                f,
                "the content of manifest {digest} of repository `{repository}` is {state}"
            ),
            Self::Reference {
                repository,
                manifest,
                blob,
                state,
            } => write!(
                f,
                "manifest {manifest} of repository `{repository}` refers to blob {blob}, which is {state}"
            ),
            Self::Sparse {
                repository,
                manifest,
                missing,
            } => write!(
                f,
                "manifest {manifest} refers to {missing} manifests that repository `{repository}` does not have"
            ),
            Self::NoManifest {
                repository,
                digest,
                why,
            } => write!(f, "manifest {digest} of repository `{repository}` is not one: {why}"),
            Self::BlobGone { repository, digest } => write!(
                f,
                "repository `{repository}` has blob {digest}, whose content is not in the store"
            ),
            Self::CutOff => f.write_str("left by a push that was cut off"),
            Self::Stray => f.write_str("is no part of a store's layout"),
            Self::Abandoned { repository } => {
                write!(f, "an upload to repository `{repository}` has stood still for a week")
            }
            Self::Quarantined => f.write_str("an earlier repair has moved files aside"),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("is empty"),
            Self::NoDigest => f.write_str("holds no digest"),
            Self::Other(digest) => write!(f, "holds {digest}"),
        }
    }
}
