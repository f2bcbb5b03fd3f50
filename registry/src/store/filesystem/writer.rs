//! Receiving an upload: each batch of bytes is written once and hashed once, both at the same time.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use rustix::fs::Advice;

use super::super::{BoxError, Chunks, Error, Upload};
use super::durable::failed;
use super::sessions::{Claim, Progress};
use super::tree::Tree;
use super::{blocking, joined};
use crate::oci::{Algorithm, ContentRange, Digest, Hasher};

/// How many bytes are handed to the blocking pool at once. An upload holds one batch at most.
const BATCH_BYTES: u64 = 512 * 1024;
/// How much is read at once of a file that is hashed again.
const READ_BYTES: usize = 512 * 1024;
/// How many pieces a batch has at most: a client that sends single bytes must not make long lists of them.
const BATCH_PIECES: usize = 128;
/// After how many bytes the system is asked to begin writing them out, so that the sync at the end has little left.
const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;

/// The only writer of an upload session. When it is dropped, the session can go on from where it stopped.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    progress: Progress,
    written_back: u64,
    upload: Upload,
    claim: Claim,
    /// Whether the session is over.
    ended: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.claim.progress = (!self.ended).then(|| self.progress.clone());
        self.claim.ended = self.ended;
    }
}

/// Opens a session for writing. A `range` must begin where the session ends.
pub(super) async fn open(tree: &Arc<Tree>, upload: &Upload, range: Option<ContentRange>) -> Result<Writer, Error> {
    let path = tree.layout().upload_data(&upload.repository, upload.session);
    let (tree, upload) = (tree.clone(), upload.clone());
    blocking(move || {
        // The file is looked for first, so that asking for sessions that do not exist leaves no trace.
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::UploadUnknown),
            result => result.map_err(|error| failed("write", &path, error))?,
        };
        let mut claim = tree.claim_upload(&upload)?;
        let progress = match claim.progress.take() {
            Some(progress) => resume(&mut file, progress),
            None => hash_again(&mut file, Algorithm::Sha256),
        };
        let progress = progress.map_err(|error| failed("read", &path, error))?;
        let received = progress.offset;
        let writer = Writer {
            file,
            path,
            progress,
            written_back: received,
            upload,
            claim,
            ended: false,
        };
        match range {
            Some(range) if range.start != received => Err(Error::WrongOffset { received }),
            Some(_) | None => Ok(writer),
        }
    })
    .await
}

/// Goes on where the session's last writer stopped. What is in the file behind that is of no use: the writer failed
/// while it wrote, and the client was not told that it arrived.
fn resume(file: &mut File, progress: Progress) -> io::Result<Progress> {
    let length = file.metadata()?.len();
    if length < progress.offset {
        return hash_again(file, progress.hasher.algorithm());
    }
    if length > progress.offset {
        file.set_len(progress.offset)?;
    }
    file.seek(SeekFrom::Start(progress.offset))?;
    Ok(progress)
}

/// Computes what is known of a session from its file, which was written before the process started.
fn hash_again(file: &mut File, algorithm: Algorithm) -> io::Result<Progress> {
    let mut progress = Progress {
        offset: 0,
        hasher: Hasher::new(algorithm),
    };
    let mut buffer = vec![0; READ_BYTES];
    file.seek(SeekFrom::Start(0))?;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(progress),
            Ok(length) => {
                progress.hasher.update(&buffer[..length]);
                progress.offset += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Writer {
    /// How many bytes the session has received.
    pub(super) fn offset(&self) -> u64 {
        self.progress.offset
    }

    /// Receives all of `chunks`.
    ///
    /// Where their sender goes away, what came before is kept, so that it can go on later. Where they are not as long
    /// as `range` says, nothing of them is.
    pub(super) async fn receive(self, range: Option<ContentRange>, mut chunks: Chunks) -> Result<Self, Error> {
        let before = self.progress.clone();
        let declared = range.map_or(u64::MAX, |range| range.length);
        let mut received = 0;
        let mut writer = self;
        loop {
            // While a batch is written, what comes gathers in the system's buffers: it takes fewer and larger reads then.
            let batch = next_batch(&mut chunks).await;
            received += batch.size;
            if let Some(most) = writer.upload.most
                && before.offset + received > most
            {
                writer.progress = before;
                return Err(Error::BlobTooLarge { most });
            }
            let too_short = range.is_some() && received < declared && matches!(batch.end, End::Complete);
            if received > declared || too_short {
                writer.progress = before;
                return Err(Error::WrongLength { declared, received });
            }
            // A task of its own: it comes to its end although the client goes away, so that what arrived is kept.
            writer = joined(tokio::spawn(writer.take(batch.pieces)).await)?;
            match batch.end {
                End::More => {}
                End::Complete => return Ok(writer),
                End::Interrupted(error) => return Err(Error::Interrupted(error)),
            }
        }
    }

    /// Appends a batch: it is written and hashed at the same time. The progress moves only when all of it was written.
    async fn take(mut self, batch: Vec<Bytes>) -> Result<Self, Error> {
        let mut progress = self.progress.clone();
        let pieces = batch.clone();
        let hashing = tokio::task::spawn_blocking(move || {
            for piece in &pieces {
                progress.hasher.update(piece);
                progress.offset += piece.len() as u64;
            }
            progress
        });
        let written = blocking(move || self.write(&batch).map(|()| self)).await;
        let progress = joined(hashing.await);
        let mut writer = written?;
        writer.progress = progress;
        Ok(writer)
    }

    fn write(&mut self, batch: &[Bytes]) -> Result<(), Error> {
        let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|piece| IoSlice::new(piece)).collect();
        write_all_vectored(&mut self.file, &mut slices).map_err(|error| failed("write", &self.path, error))?;
        let end = batch
            .iter()
            .fold(self.progress.offset, |end, piece| end + piece.len() as u64);
        let waiting = end - self.written_back;
        if waiting >= WRITE_BACK_BYTES {
            // On this advice Linux starts to write the range out and returns at once. Pages that are not written yet
            // stay in memory, so the blob can still be read from there. A refusal changes nothing but speed.
            let _ = rustix::fs::fadvise(
                &self.file,
                self.written_back,
                NonZeroU64::new(waiting),
                Advice::DontNeed,
            );
            self.written_back = end;
        }
        Ok(())
    }

    /// Turns the session into the blob `digest`, or removes it where its content has another digest.
    pub(super) fn commit(mut self, tree: &Tree, digest: &Digest) -> Result<(), Error> {
        if self.progress.hasher.algorithm() != digest.algorithm() {
            let again = hash_again(&mut self.file, digest.algorithm());
            self.progress = again.map_err(|error| failed("read", &self.path, error))?;
        }
        let computed = self.progress.hasher.clone().finish();
        if computed != *digest {
            self.ended = true;
            tree.discard_upload(&self.upload)?;
            return Err(Error::DigestMismatch {
                expected: digest.clone(),
                computed,
            });
        }
        self.file
            .sync_data()
            .map_err(|error| failed("sync", &self.path, error))?;
        tree.commit_upload(&self.upload, digest)?;
        self.ended = true;
        Ok(())
    }
}

/// The next bytes of an upload, as many as are worth a turn of the blocking pool.
struct Batch {
    pieces: Vec<Bytes>,
    size: u64,
    end: End,
}

/// What comes behind a batch.
enum End {
    More,
    Complete,
    Interrupted(BoxError),
}

async fn next_batch(chunks: &mut Chunks) -> Batch {
    let mut batch = Batch {
        pieces: Vec::new(),
        size: 0,
        end: End::More,
    };
    while batch.size < BATCH_BYTES && batch.pieces.len() < BATCH_PIECES {
        match chunks.next().await {
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(piece)) => {
                batch.size += piece.len() as u64;
                batch.pieces.push(piece);
            }
            Some(Err(error)) => {
                return Batch {
                    end: End::Interrupted(error),
                    ..batch
                };
            }
            None => {
                return Batch {
                    end: End::Complete,
                    ..batch
                };
            }
        }
    }
    batch
}

fn write_all_vectored(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
