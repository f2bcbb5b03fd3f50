//! Stores with very many things in them, written as distribution lays them out, since pushing all that would take hours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::content::{Image, digest};

/// A store's folder below the one that a server is started on.
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    pub(crate) fn below(folder: &Path) -> Self {
        Self {
            root: folder.join("data/docker/registry/v2"),
        }
    }

    /// An image, and `count` tags that point at it.
    pub(crate) fn add_tags(&self, repository: &str, image: &Image, count: usize) -> Result<()> {
        let manifest = self.add_content(&image.manifest)?;
        let config = self.add_content(&image.config)?;
        let folder = self.root.join("repositories").join(repository);
        link(&folder.join("_layers"), &config)?;
        link(&folder.join("_manifests/revisions"), &manifest)?;
        for number in 0..count {
            let tag = folder.join(format!("_manifests/tags/v{number:06}"));
            link(&tag.join("index"), &manifest)?;
            write(&tag.join("current/link"), manifest.as_bytes())?;
        }
        Ok(())
    }

    /// `count` blobs of some bytes each, in one repository.
    pub(crate) fn add_blobs(&self, repository: &str, count: usize) -> Result<()> {
        let layers = self.root.join("repositories").join(repository).join("_layers");
        for number in 0..count {
            link(&layers, &self.add_content(&number.to_le_bytes())?)?;
        }
        Ok(())
    }

    fn add_content(&self, content: &[u8]) -> Result<String> {
        let digest = digest(content);
        let hex = digest.trim_start_matches("sha256:");
        write(
            &self.root.join("blobs/sha256").join(&hex[..2]).join(hex).join("data"),
            content,
        )?;
        Ok(digest)
    }
}

fn link(folder: &Path, digest: &str) -> Result<()> {
    write(&folder.join(digest.replace(':', "/")).join("link"), digest.as_bytes())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, content)?)
}
