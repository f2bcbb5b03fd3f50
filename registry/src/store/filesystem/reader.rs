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
use super::durable::failed;
use super::joined;
use super::tree::Tree;
use crate::oci::{ByteRange, Digest, RepositoryName};

/// How much is read at once.
const PART_BYTES: u64 = 512 * 1024;

/// Finds a blob of a repository.
pub(super) fn open(tree: &Tree, repository: &RepositoryName, digest: &Digest) -> Result<Blob, Error> {
    tree.require_blob(repository, digest)?;
    let path = tree.layout().data(digest);
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    match opened {
        Ok((size, file)) => Ok(Blob::new(size, Box::new(FileContent(file)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::BlobUnknown),
        Err(error) => Err(failed("read", &path, error)),
    }
}

/// A file that is open: what it holds stays readable, whatever happens to its name.
struct FileContent(File);

/// What is left to send, with the read of its first part already under way.
struct Remaining {
    file: Arc<File>,
    reading: JoinHandle<io::Result<Bytes>>,
    rest: ByteRange,
}

impl BlobContent for FileContent {
    fn read(self: Box<Self>, range: ByteRange) -> BoxStream<'static, io::Result<Bytes>> {
        let file = Arc::new(self.0);
        let first = read_ahead(&file, range);
        futures::stream::unfold(first, |remaining| async move {
            let Remaining { file, reading, rest } = remaining?;
            match joined(reading.await) {
                Ok(part) => Some((Ok(part), read_ahead(&file, rest))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

/// Starts to read the first part of `range`; `None` where nothing is left of it.
fn read_ahead(file: &Arc<File>, range: ByteRange) -> Option<Remaining> {
    let length = range.length().min(PART_BYTES);
    if length == 0 {
        return None;
    }
    let rest = ByteRange {
        start: range.start + length,
        end: range.end,
    };
    let reading = tokio::task::spawn_blocking({
        let file = file.clone();
        move || {
            let mut part = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            file.read_exact_at(&mut part, range.start)?;
            Ok(Bytes::from(part))
        }
    });
    Some(Remaining {
        file: file.clone(),
        reading,
        rest,
    })
}
