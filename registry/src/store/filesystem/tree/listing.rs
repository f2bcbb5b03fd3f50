//! Lists of tags and repositories, read from the directories.

use std::fs;
use std::io;
use std::path::Path;

use super::super::durable::failed;
use super::{Tree, exists};
use crate::oci::{RepositoryName, Tag};
use crate::store::Error;

impl Tree {
    pub(in super::super) fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        if !is_repository(&self.layout.repository(repository))? {
            return Err(Error::RepositoryUnknown);
        }
        let mut names = directories(&self.layout.tags(repository))?;
        names.retain(|name| after.is_none_or(|after| name.as_str() > after));
        names.sort_unstable();
        let mut tags = Vec::new();
        for name in names {
            if tags.len() >= limit {
                break;
            }
            // A tag whose first push a crash cut off has a directory, but points at nothing yet.
            let Ok(tag) = name.parse::<Tag>() else { continue };
            if exists(&self.layout.tag_current_link(repository, &tag))? {
                tags.push(name);
            }
        }
        Ok(tags)
    }

    pub(in super::super) fn repositories(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, Error> {
        let mut found = Vec::new();
        let root = self.layout.repositories();
        let mut pending: Vec<String> = directories(&root)?;
        while let Some(name) = pending.pop() {
            let path = root.join(&name);
            for child in directories(&path)? {
                if !child.starts_with('_') {
                    pending.push(format!("{name}/{child}"));
                }
            }
            if after.is_none_or(|after| name.as_str() > after) && is_repository(&path)? {
                found.extend(name.parse::<RepositoryName>());
            }
        }
        // By the whole name: `a-b` is before `a/b`, which a walk in order of directories would not give.
        found.sort_unstable();
        found.truncate(limit);
        Ok(found)
    }
}

/// Whether a directory holds a repository, and not only others below it or uploads that were never completed.
fn is_repository(path: &Path) -> Result<bool, Error> {
    Ok(exists(&path.join("_manifests"))? || exists(&path.join("_layers"))?)
}

/// The names of the directories in a directory; none where it does not exist.
fn directories(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
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
