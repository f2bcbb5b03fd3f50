//! Sending a blob: the next part is read ahead while the one before is being sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::task::JoinHandle;

use super::super::{Blob, BlobContent, Error};
use super::buffers::Buffers;
use super::durable::failed;
use super::joined;
use super::tree::Tree;
use crate::oci::{ByteRange, Digest, RepositoryName};

/// How much is read at once.
pub(super) const PART_BYTES: usize = 512 * 1024;

/// Finds a blob of a repository.
pub(super) fn open(tree: &Tree, repository: &RepositoryName, digest: &Digest) -> Result<Blob, Error> {
    tree.require_blob(repository, digest)?;
    let path = tree.layout().data(digest);
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    match opened {
        Ok((size, file)) => {
            let content = FileContent {
                file: Arc::new(file),
                buffers: tree.buffers().clone(),
            };
            Ok(Blob::new(size, Box::new(content)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::BlobUnknown),
        Err(error) => Err(failed("read", &path, error)),
    }
}

/// A file that is open: what it holds stays readable, whatever happens to its name.
struct FileContent {
    file: Arc<File>,
    buffers: Arc<Buffers>,
}

/// What is left to send, with the read of its first part already under way.
struct Remaining {
    content: FileContent,
    reading: JoinHandle<io::Result<Bytes>>,
    rest: ByteRange,
}

impl BlobContent for FileContent {
    fn read(self: Box<Self>, range: ByteRange) -> BoxStream<'static, io::Result<Bytes>> {
        futures::stream::unfold((*self).read_ahead(range), |remaining| async move {
            let Remaining { content, reading, rest } = remaining?;
            match joined(reading.await) {
                Ok(part) => Some((Ok(part), content.read_ahead(rest))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

impl FileContent {
    /// Starts to read the first part of `range`; `None` where nothing is left of it.
    fn read_ahead(self, range: ByteRange) -> Option<Remaining> {
        let length = usize::try_from(range.length()).map_or(PART_BYTES, |length| length.min(PART_BYTES));
        if length == 0 {
            return None;
        }
        let rest = ByteRange {
            start: range.start + length as u64,
            end: range.end,
        };
        let (file, buffers) = (self.file.clone(), self.buffers.clone());
        let reading =
            tokio::task::spawn_blocking(move || buffers.fill(length, |buffer| file.read_exact_at(buffer, range.start)));
        Some(Remaining {
            content: self,
            reading,
            rest,
        })
    }
}
