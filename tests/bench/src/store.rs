//! Stores with very many things in them, written as distribution lays them out, since pushing all that would take hours.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::content::{Image, digest};

/// A store's folder below the one that a server is started on.
pub(crate) struct Store {
    root: PathBuf,
    /// A link file for each digest, to make others of.
    links: RefCell<HashMap<String, PathBuf>>,
}

impl Store {
    pub(crate) fn below(folder: &Path) -> Self {
        Self {
            root: folder.join("data/docker/registry/v2"),
            links: RefCell::default(),
        }
    }

    /// An image, and `count` tags that point at it, without their histories, which nothing here reads.
    pub(crate) fn add_tags(&self, repository: &str, image: &Image, count: usize) -> Result<()> {
        let manifest = self.add_content(&image.manifest)?;
        let config = self.add_content(&image.config)?;
        let folder = self.root.join("repositories").join(repository);
        self.link(&below(&folder.join("_layers"), &config), &config)?;
        self.link(&below(&folder.join("_manifests/revisions"), &manifest), &manifest)?;
        for number in 0..count {
            let tag = folder.join(format!("_manifests/tags/v{number:06}/current"));
            self.link(&tag, &manifest)?;
        }
        Ok(())
    }

    /// `count` blobs of some bytes each, in one repository.
    pub(crate) fn add_blobs(&self, repository: &str, count: usize) -> Result<()> {
        let layers = self.root.join("repositories").join(repository).join("_layers");
        for number in 0..count {
            let digest = self.add_content(&number.to_le_bytes())?;
            self.link(&below(&layers, &digest), &digest)?;
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

    /// The file `link` in a folder, which is the same file for each digest wherever the file system can do that.
    fn link(&self, folder: &Path, digest: &str) -> Result<()> {
        let path = folder.join("link");
        let mut links = self.links.borrow_mut();
        if let Some(first) = links.get(digest) {
            fs::create_dir_all(folder)?;
            if fs::hard_link(first, &path).is_ok() {
                return Ok(());
            }
        }
        write(&path, digest.as_bytes())?;
        links.insert(digest.to_owned(), path);
        Ok(())
    }
}

/// The folder of a digest.
fn below(folder: &Path, digest: &str) -> PathBuf {
    folder.join(digest.replace(':', "/"))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, content)?)
}
