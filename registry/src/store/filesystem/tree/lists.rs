//! Lists of tags, repositories and referrers.

use super::{Tree, exists};
use crate::oci::{Digest, Referrer, RepositoryName};
use crate::store::Error;

impl Tree {
    pub(in super::super) fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let path = self.layout.repository(repository);
        // Not a directory that only holds other repositories, or uploads that were never completed.
        if !exists(&path.join("_manifests"))? && !exists(&path.join("_layers"))? {
            return Err(Error::RepositoryUnknown);
        }
        let refresh = |refresh: &mut dyn FnMut() -> Result<(), Error>| self.changing(repository, refresh);
        self.listing.tags(repository, after, limit, refresh)
    }

    pub(in super::super) fn repositories(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, Error> {
        self.listing.repositories(after, limit)
    }

    pub(in super::super) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        after: Option<&str>,
    ) -> Result<Vec<Referrer>, Error> {
        let refresh = |refresh: &mut dyn FnMut() -> Result<(), Error>| self.changing(repository, refresh);
        let mut referrers = self.listing.referrers(repository, subject, after, refresh)?;
        // Another registry deletes a manifest by its link alone, and no folder that the list is read from changes by that.
        let mut result = Ok(());
        referrers.retain(|referrer| {
            referrer.digest.parse().is_ok_and(|digest| {
                let link = self.layout.revision_link(repository, &digest);
                exists(&link).unwrap_or_else(|error| {
                    result = Err(error);
                    false
                })
            })
        });
        result.map(|()| referrers)
    }
}
