//! Repositories: their links, tags, manifests and uploads, one repository after the other on each core.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::super::super::Error;
use super::super::listing::scan;
use super::finding::{LinkKind, Outcome, Problem};
use super::item::{Item, Suspect};
use super::quarantine::Quarantine;
use super::{Finding, Scrub, State, workers};
use crate::oci::{Algorithm, Digest, RepositoryName, Tag};

/// How often, and after how long each time, damage must still be there in a store that may be in use.
const LOOKS: usize = 2;
const PAUSE: Duration = Duration::from_millis(50);

impl Scrub<'_> {
    pub(super) fn repositories(&self) -> Result<(), Error> {
        workers::run(
            |hand_out| {
                let walked = scan::walk(&self.layout, |repository| Ok(hand_out(repository.clone())));
                if let Err(Error::Io { path, source, .. }) = walked {
                    self.report(&Finding::left(Problem::Unreadable(source.to_string()), path));
                }
            },
            |repository| self.repository(&repository),
        )
    }

    fn repository(&self, repository: &RepositoryName) -> Result<(), Error> {
        let mut suspicious = Vec::new();
        let mut links = 0;
        let mut failed = Ok(());
        let is_one = self.items(repository, &mut |item| {
            links += u64::from(!matches!(item, Item::Upload(_) | Item::Stray(_)));
            let suspects = self.check(repository, &item);
            match &self.quarantine {
                _ if suspects.is_empty() => {}
                None => suspicious.push((item, suspects)),
                // In order: what a tag is found to point at was put right before.
                Some(quarantine) if failed.is_ok() => failed = self.repair(quarantine, repository, suspects),
                Some(_) => {}
            }
        });
        failed?;
        self.count(|totals| {
            totals.repositories += u64::from(is_one);
            totals.links += links;
        });
        for _ in 0..LOOKS {
            if suspicious.is_empty() {
                break;
            }
            if suspicious
                .iter()
                .flat_map(|(_, suspects)| suspects)
                .any(|one| one.problem.is_damage())
            {
                thread::sleep(PAUSE);
            }
            suspicious.retain_mut(|(item, suspects)| {
                let now = self.check(repository, item);
                suspects.retain(|suspect| now.contains(suspect));
                !suspects.is_empty()
            });
        }
        for Suspect { problem, place } in suspicious.into_iter().flat_map(|(_, suspects)| suspects) {
            self.report(&Finding::left(problem, place));
        }
        Ok(())
    }

    /// Visits everything in a repository, tags last. Whether it is one, and not only a directory with others in it.
    fn items(&self, repository: &RepositoryName, visit: &mut dyn FnMut(Item)) -> bool {
        let layout = &self.layout;
        let (blobs, manifests) = (layout.blob_links(repository), layout.revisions(repository));
        let is_one = blobs.exists() || manifests.exists();
        self.digests(&blobs, &mut |found| visit(found.map_or_else(Item::Stray, Item::Blob)));
        self.digests(&manifests, &mut |found| {
            visit(found.map_or_else(Item::Stray, Item::Manifest));
        });
        let tags = layout.tags(repository);
        for name in self.names(&tags) {
            let Ok(tag) = name.parse::<Tag>() else {
                visit(Item::Stray(tags.join(name)));
                continue;
            };
            self.digests(&layout.tag_index_links(repository, &tag), &mut |found| {
                visit(found.map_or_else(Item::Stray, |digest| Item::History(tag.clone(), digest)));
            });
            visit(Item::Tag(tag));
        }
        let uploads = layout.uploads(repository);
        for name in self.names(&uploads) {
            visit(Item::Upload(uploads.join(name)));
        }
        is_one
    }

    /// Visits the digests below a directory of links, and the paths of what is none.
    fn digests(&self, directory: &Path, visit: &mut dyn FnMut(Result<Digest, PathBuf>)) {
        for algorithm in self.names(directory) {
            let directory = directory.join(&algorithm);
            if algorithm.parse::<Algorithm>().is_err() {
                visit(Err(directory));
                continue;
            }
            for hex in self.names(&directory) {
                let digest = format!("{algorithm}:{hex}").parse();
                visit(digest.map_err(|_| directory.join(hex)));
            }
        }
    }

    /// Puts right what can be. A link that is well formed stays, even where what it points at is gone: a push of that
    /// makes it good again in every repository.
    fn repair(
        &self,
        quarantine: &Quarantine,
        repository: &RepositoryName,
        suspects: Vec<Suspect>,
    ) -> Result<(), Error> {
        for Suspect { problem, place } in suspects {
            let outcome = match &problem {
                Problem::Link { kind, digest, .. } => {
                    let is_of_use = *kind == LinkKind::History || self.state(digest) != State::Gone;
                    if is_of_use {
                        Outcome::Mended(quarantine.replace(&place, digest.as_str().as_bytes())?)
                    } else {
                        Outcome::Moved(quarantine.take(place.parent().unwrap_or(&place))?)
                    }
                }
                // With its history, from which a person may learn what it was.
                Problem::Tag { tag, .. } | Problem::TagToNothing { tag, .. } => {
                    Outcome::Moved(quarantine.take(&self.layout.tag(repository, tag))?)
                }
                _ => Outcome::Left,
            };
            self.report(&Finding::new(problem, place, outcome));
        }
        Ok(())
    }
}
