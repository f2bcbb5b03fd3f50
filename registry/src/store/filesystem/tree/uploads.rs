//! The files of upload sessions, from their start to the blob that they become, or to their end.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use super::super::durable::{failed, sync_directory};
use super::super::listing::scan;
use super::super::sessions::{Claim, Progress};
use super::{Tree, exists, read};
use crate::oci::{Algorithm, Digest, Hasher, RepositoryName, UploadId};
use crate::store::{Error, Owner, Upload};

impl Tree {
    /// Makes the files of a new session. They need not survive a power cut: the client starts again then.
    pub(in super::super) fn start_upload(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
        caller: &Owner,
    ) -> Result<UploadId, Error> {
        let session = UploadId::random();
        let mut claim = self.sessions.open(&Upload {
            repository: repository.clone(),
            session,
            caller: caller.clone(),
            most: None,
        })?;
        let directory = self.layout.upload(repository, session);
        let files = [
            (
                self.layout.upload_started_at(repository, session),
                jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
            ),
            (self.layout.upload_owner(repository, session), caller.to_text()),
            (self.layout.upload_data(repository, session), String::new()),
        ];
        let made = fs::create_dir_all(&directory).map_err(|error| failed("make", &directory, error));
        let made = made.and_then(|()| {
            files
                .iter()
                .try_for_each(|(path, content)| fs::write(path, content).map_err(|error| failed("write", path, error)))
        });
        if made.is_err() {
            // Nobody learns the session's name. What cannot be removed now ends after the next start.
            let _ = fs::remove_dir_all(&directory);
            claim.ended = true;
        }
        made?;
        claim.progress = Some(Progress {
            offset: 0,
            hasher: Hasher::new(algorithm),
        });
        Ok(session)
    }

    /// How many bytes a session has received; while somebody writes, how many are in its file.
    pub(in super::super) fn upload_offset(&self, upload: &Upload) -> Result<u64, Error> {
        let path = self.layout.upload_data(&upload.repository, upload.session);
        match fs::metadata(&path) {
            Ok(metadata) => {
                let known = self.sessions.offset(upload, || self.read_owner(upload))?;
                Ok(known.unwrap_or(metadata.len()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::UploadUnknown),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    /// Takes the only right to write to a session.
    pub(in super::super) fn claim_upload(&self, upload: &Upload) -> Result<Claim, Error> {
        let mut claim = self.sessions.claim(upload, || self.read_owner(upload))?;
        // It may have ended between the moment when the caller saw its files and now.
        if exists(&self.layout.upload(&upload.repository, upload.session))? {
            Ok(claim)
        } else {
            claim.ended = true;
            Err(Error::UploadUnknown)
        }
    }

    /// Removes a session that nobody writes to.
    pub(in super::super) fn cancel_upload(&self, upload: &Upload) -> Result<(), Error> {
        let directory = self.layout.upload(&upload.repository, upload.session);
        if !exists(&directory)? {
            return Err(Error::UploadUnknown);
        }
        let mut claim = self.claim_upload(upload)?;
        let removed = self.durable.remove(&directory)?;
        claim.ended = true;
        if removed { Ok(()) } else { Err(Error::UploadUnknown) }
    }

    /// Turns the synced data of a session into a blob of the repository.
    pub(in super::super) fn commit_upload(&self, upload: &Upload, digest: &Digest) -> Result<(), Error> {
        let Upload {
            repository, session, ..
        } = upload;
        self.durable.rename(
            &self.layout.upload_data(repository, *session),
            &self.layout.data(digest),
        )?;
        // The blob's file must not come back under the session's name as well, where it could be written to.
        sync_directory(&self.layout.upload(repository, *session))?;
        self.link_blob(repository, digest)?;
        self.remove_files(repository, *session);
        Ok(())
    }

    /// Removes a session whose content is not what the client said.
    pub(in super::super) fn discard_upload(&self, upload: &Upload) -> Result<(), Error> {
        let directory = self.layout.upload(&upload.repository, upload.session);
        self.durable.remove(&directory).map(drop)
    }

    /// Takes in the sessions that an earlier process or another registry has left.
    pub(in super::super) fn find_uploads(&self, is_stopped: &dyn Fn() -> bool) -> Result<(), Error> {
        scan::walk(&self.layout, |repository| {
            for name in scan::directories(&self.layout.uploads(repository))? {
                let Ok(session) = name.parse() else { continue };
                let age = self.upload_age(repository, session);
                let owner = self.read_owner_of(repository, session)?;
                self.sessions.found(repository, session, owner, age);
                // It may have ended while it was looked at.
                if !exists(&self.layout.upload(repository, session))? {
                    self.sessions.forget(session);
                }
            }
            Ok(!is_stopped())
        })
    }

    /// Removes the sessions whose end has come, and returns how many there were. One that cannot be removed has all of its
    /// time once more, and does not keep the others.
    pub(in super::super) fn expire_uploads(&self, is_stopped: &dyn Fn() -> bool) -> Result<usize, Error> {
        let mut removed = 0;
        let mut result = Ok(());
        for (repository, session) in self.sessions.due() {
            if is_stopped() {
                break;
            }
            let Some(mut claim) = self.sessions.claim_due(session) else {
                continue;
            };
            match self.durable.remove(&self.layout.upload(&repository, session)) {
                Ok(_) => {
                    claim.ended = true;
                    removed += 1;
                }
                Err(error) => result = Err(error),
            }
        }
        result.map(|()| removed)
    }

    /// How long nobody has written to a session, by its files. Nothing where they cannot be read or are of the future: it
    /// then has all of its time from now on.
    fn upload_age(&self, repository: &RepositoryName, session: UploadId) -> Duration {
        let paths = [
            self.layout.upload_data(repository, session),
            self.layout.upload_started_at(repository, session),
            self.layout.upload(repository, session),
        ];
        let time = paths.iter().find_map(|path| fs::metadata(path).ok()?.modified().ok());
        let age = time.and_then(|time| SystemTime::now().duration_since(time).ok());
        age.unwrap_or_default()
    }

    fn read_owner(&self, upload: &Upload) -> Result<Option<Owner>, Error> {
        self.read_owner_of(&upload.repository, upload.session)
    }

    /// Who has opened a session; `None` where it was another registry.
    fn read_owner_of(&self, repository: &RepositoryName, session: UploadId) -> Result<Option<Owner>, Error> {
        let content = read(&self.layout.upload_owner(repository, session))?;
        Ok(content.map(|content| {
            // What a crash left of the file names nobody who could come back.
            let text = String::from_utf8_lossy(&content);
            Owner::from_text(&text).unwrap_or(Owner::Identity {
                username: String::new(),
                uid: String::new(),
            })
        }))
    }

    /// Removes what is left of a completed session. A remainder does no harm, so the blob's push does not fail with it.
    fn remove_files(&self, repository: &RepositoryName, session: UploadId) {
        let directory = self.layout.upload(repository, session);
        if let Err(error) = fs::remove_dir_all(&directory) {
            tracing::warn!(%error, path = %directory.display(), "cannot remove a completed upload session");
        }
    }
}
