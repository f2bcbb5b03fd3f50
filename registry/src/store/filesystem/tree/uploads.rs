//! The files of upload sessions, from their start to the blob that they become.

use std::fs;
use std::io;

use super::super::durable::{failed, sync_directory};
use super::super::sessions::Progress;
use super::Tree;
use crate::oci::{Algorithm, Digest, Hasher, RepositoryName, UploadId};
use crate::store::Error;

impl Tree {
    /// Makes the files of a new session. They need not survive a power cut: the client starts again then.
    pub(in super::super) fn start_upload(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<UploadId, Error> {
        let session = UploadId::random();
        let directory = self.layout.upload(repository, session);
        let files = [
            (
                self.layout.upload_started_at(repository, session),
                jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
            ),
            (self.layout.upload_data(repository, session), String::new()),
        ];
        fs::create_dir_all(&directory).map_err(|error| failed("make", &directory, error))?;
        for (path, content) in files {
            fs::write(&path, content).map_err(|error| failed("write", &path, error))?;
        }
        self.sessions.set(
            session,
            Some(Progress {
                offset: 0,
                hasher: Hasher::new(algorithm),
            }),
        );
        Ok(session)
    }

    /// How many bytes a session has received; while somebody writes, how many are in its file.
    pub(in super::super) fn upload_offset(&self, repository: &RepositoryName, session: UploadId) -> Result<u64, Error> {
        let path = self.layout.upload_data(repository, session);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(self.sessions.offset(session).unwrap_or(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::UploadUnknown),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    /// Removes a session that nobody writes to.
    pub(in super::super) fn cancel_upload(&self, repository: &RepositoryName, session: UploadId) -> Result<(), Error> {
        if !super::exists(&self.layout.upload(repository, session))? {
            return Err(Error::UploadUnknown);
        }
        let mut claim = self.sessions.claim(session)?;
        let removed = self.durable.remove(&self.layout.upload(repository, session))?;
        claim.progress = None;
        if removed { Ok(()) } else { Err(Error::UploadUnknown) }
    }

    /// Turns the synced data of a session into a blob of the repository.
    pub(in super::super) fn commit_upload(
        &self,
        repository: &RepositoryName,
        session: UploadId,
        digest: &Digest,
    ) -> Result<(), Error> {
        self.durable
            .rename(&self.layout.upload_data(repository, session), &self.layout.data(digest))?;
        // The blob's file must not come back under the session's name as well, where it could be written to.
        sync_directory(&self.layout.upload(repository, session))?;
        self.link_blob(repository, digest)?;
        self.remove_files(repository, session);
        Ok(())
    }

    /// Removes a session whose content is not what the client said.
    pub(in super::super) fn discard_upload(&self, repository: &RepositoryName, session: UploadId) -> Result<(), Error> {
        self.durable.remove(&self.layout.upload(repository, session)).map(drop)
    }

    /// Removes what is left of a completed session. A remainder does no harm, so the blob's push does not fail with it.
    fn remove_files(&self, repository: &RepositoryName, session: UploadId) {
        let directory = self.layout.upload(repository, session);
        if let Err(error) = fs::remove_dir_all(&directory) {
            tracing::warn!(%error, path = %directory.display(), "cannot remove a completed upload session");
        }
    }
}
