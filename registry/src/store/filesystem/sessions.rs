//! What is known about upload sessions beyond their files: who is writing, and how far the digest is computed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::Error;
use crate::oci::{Hasher, UploadId};

/// How many sessions keep their hash state in memory; the others are hashed again from their file.
const REMEMBERED: usize = 4096;

/// The upload sessions that this process knows.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<UploadId, State>>);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all sessions that are remembered are idle"
)]
enum State {
    /// A request is writing.
    Busy,
    /// Nobody is.
    Idle(Progress),
}

/// How far a session has come: the file's first `offset` bytes are what `hasher` has seen.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) offset: u64,
    pub(super) hasher: Hasher,
}

impl Sessions {
    /// Notes a session that nobody writes to, or forgets it.
    pub(super) fn set(&self, session: UploadId, progress: Option<Progress>) {
        let mut sessions = self.lock();
        match progress {
            Some(progress) if sessions.len() < REMEMBERED => {
                sessions.insert(session, State::Idle(progress));
            }
            Some(_) | None => {
                sessions.remove(&session);
            }
        }
    }

    /// Takes the only right to write to a session.
    pub(super) fn claim(self: &Arc<Self>, session: UploadId) -> Result<Claim, Error> {
        let known = match self.lock().insert(session, State::Busy) {
            Some(State::Busy) => return Err(Error::UploadBusy),
            Some(State::Idle(progress)) => Some(progress),
            None => None,
        };
        Ok(Claim {
            sessions: self.clone(),
            session,
            progress: known,
        })
    }

    /// How many bytes a session has received, where that is known and nobody is writing.
    pub(super) fn offset(&self, session: UploadId) -> Option<u64> {
        match self.lock().get(&session) {
            Some(State::Idle(progress)) => Some(progress.offset),
            Some(State::Busy) | None => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UploadId, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The only right to write to a session, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    sessions: Arc<Sessions>,
    session: UploadId,
    /// What is remembered when the claim ends; `None` forgets the session.
    pub(super) progress: Option<Progress>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.sessions.set(self.session, self.progress.take());
    }
}
