//! Every blob's content against its digest.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use super::super::super::Error;
use super::super::listing::scan;
use super::finding::{Outcome, Problem};
use super::{CUT_OFF_AFTER, Finding, Scrub, is_older, lock, workers};
use crate::oci::{Algorithm, Digest, Hasher};

/// How much each thread reads at once at most, and all that it holds.
const BUFFER_BYTES: usize = 1024 * 1024;

/// What lies where blobs are kept.
enum Entry {
    Blob(Digest),
    Stray(PathBuf),
}

impl Scrub<'_> {
    pub(super) fn blobs(&self) -> Result<(), Error> {
        let (mut count, mut bytes) = (0, 0);
        let quietly = |directory: &Path| scan::directories(directory).unwrap_or_default();
        self.entries(quietly, &mut |entry| {
            if let Entry::Blob(digest) = entry {
                count += 1;
                bytes += self.layout.data(&digest).metadata().map_or(0, |data| data.len());
            }
            true
        });
        self.watcher.blobs(count, bytes);
        workers::run(
            |hand_out| self.entries(|directory| self.names(directory), hand_out),
            |entry| match entry {
                Entry::Blob(digest) => self.blob(&digest),
                Entry::Stray(path) => {
                    self.report(&Finding::left(Problem::Stray, path));
                    Ok(())
                }
            },
        )
    }

    /// Visits what is in the directories of blobs, one of the 256 at a time, until `visit` says `false`.
    fn entries(&self, names: impl Fn(&Path) -> Vec<String>, visit: &mut dyn FnMut(Entry) -> bool) {
        let root = self.layout.blobs();
        for algorithm in names(&root) {
            let directory = root.join(&algorithm);
            if algorithm.parse::<Algorithm>().is_err() {
                if !visit(Entry::Stray(directory)) {
                    return;
                }
                continue;
            }
            for shard in names(&directory) {
                let directory = directory.join(shard);
                for hex in names(&directory) {
                    let path = directory.join(&hex);
                    let digest = format!("{algorithm}:{hex}").parse::<Digest>().ok();
                    // Behind other letters than its own, nobody looks for it.
                    let digest = digest.filter(|digest| self.layout.data(digest).parent() == Some(&path));
                    if !visit(digest.map_or(Entry::Stray(path), Entry::Blob)) {
                        return;
                    }
                }
            }
        }
    }

    fn blob(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.layout.data(digest);
        let mut read = 0;
        let mut result = hash(&path, digest.algorithm(), |bytes| {
            read += bytes;
            self.watcher.read(bytes);
        });
        if !matches!(&result, Ok(computed) if computed == digest) {
            // A push may have replaced it just now, and a bit may have been wrong in memory alone.
            result = hash(&path, digest.algorithm(), |_| {});
        }
        self.count(|totals| {
            totals.blobs += 1;
            totals.bytes += read;
        });
        let directory = path.parent().unwrap_or(&path);
        let finding = match result {
            Ok(computed) if computed == *digest => return Ok(()),
            Ok(computed) => {
                let outcome = match &self.quarantine {
                    None => Outcome::Left,
                    Some(quarantine) => Outcome::Moved(quarantine.take(directory)?),
                };
                let problem = Problem::Content {
                    digest: digest.clone(),
                    computed,
                };
                Finding::new(problem, path, outcome)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !is_older(directory, CUT_OFF_AFTER) {
                    return Ok(());
                }
                Finding::left(Problem::CutOff, directory.to_owned())
            }
            // Not moved: the disk may read it again when it has been seen to, and nobody is served wrong bytes of it.
            Err(error) => Finding::left(Problem::Unreadable(error.to_string()), path),
        };
        if finding.is_damage() {
            lock(&self.damaged).insert(digest.clone());
        }
        self.report(&finding);
        Ok(())
    }
}

/// The digest of a file's content, as the disk has it. `on_read` learns of the bytes as they are read.
fn hash(path: &Path, algorithm: Algorithm, mut on_read: impl FnMut(u64)) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    // What is in memory says nothing about the disk; and what is read here need not stay there. Advice may be refused.
    let forget = |file: &File| fadvise(file, 0, None, Advice::DontNeed);
    let _ = forget(&file);
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    let mut hasher = Hasher::new(algorithm);
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(BUFFER_BYTES);
    let mut buffer = vec![0; size.clamp(1, BUFFER_BYTES)];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                hasher.update(&buffer[..length]);
                on_read(length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let _ = forget(&file);
    Ok(hasher.finish())
}
