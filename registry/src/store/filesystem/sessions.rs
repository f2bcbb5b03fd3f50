//! What is known about upload sessions beyond their files: whose they are, who is writing, how far the digest is computed,
//! and when they end if nobody writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use registry_config::Uploads;

use super::super::{Error, Owner, Upload};
use crate::metrics::StoreMetrics;
use crate::oci::{Hasher, RepositoryName, UploadId};

/// How many sessions keep their hash state in memory; the others are hashed again from their file.
const REMEMBERED: usize = 4096;

/// The upload sessions of a store. Those that an earlier process or another registry left are unknown until somebody
/// names them, or until they are found.
#[derive(Debug)]
pub(super) struct Sessions {
    expire_after: Duration,
    most_of_one: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    sessions: HashMap<UploadId, Session>,
    /// How many sessions each owner has; nobody stands here with none.
    owners: HashMap<Owner, usize>,
    /// How many sessions have a hash state.
    remembered: usize,
    metrics: StoreMetrics,
}

#[derive(Debug)]
struct Session {
    repository: RepositoryName,
    /// `None` where another registry has left it.
    owner: Option<Owner>,
    /// When it may be removed, unless somebody writes then.
    ends: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A request is writing.
    Busy,
    /// Nobody is.
    Idle(Option<Box<Progress>>),
}

/// How far a session has come: the file's first `offset` bytes are what `hasher` has seen.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) offset: u64,
    pub(super) hasher: Hasher,
}

impl Sessions {
    pub(super) fn new(settings: &Uploads, metrics: StoreMetrics) -> Self {
        Self {
            expire_after: settings.expire_after.get(),
            most_of_one: usize::try_from(settings.sessions_per_identity.get()).unwrap_or(usize::MAX),
            known: Mutex::new(Known {
                metrics,
                ..Known::default()
            }),
        }
    }

    /// After how long a session is removed that nobody has written to.
    pub(super) fn expire_after(&self) -> Duration {
        self.expire_after
    }

    /// Takes a new session in, with the only right to write to it, unless its owner has too many.
    pub(super) fn open(self: &Arc<Self>, upload: &Upload) -> Result<Claim, Error> {
        let mut known = self.lock();
        if known.owners.get(&upload.caller).copied().unwrap_or_default() >= self.most_of_one {
            return Err(Error::TooManyUploads { most: self.most_of_one });
        }
        known.insert(
            upload.session,
            Session {
                repository: upload.repository.clone(),
                owner: Some(upload.caller.clone()),
                ends: self.end(),
                state: State::Busy,
            },
        );
        Ok(self.claimed(upload.session, None))
    }

    /// Takes in a session that was found on disk, where nobody has written for `age`.
    pub(super) fn found(&self, repository: &RepositoryName, session: UploadId, owner: Option<Owner>, age: Duration) {
        let left = self.expire_after.saturating_sub(age);
        self.lock().find(session, || Session {
            repository: repository.clone(),
            owner,
            ends: later(left),
            state: State::Idle(None),
        });
    }

    /// Takes the only right to write to a session whose files are there. `read_owner` says whose it is, where that is not
    /// known yet.
    pub(super) fn claim(
        self: &Arc<Self>,
        upload: &Upload,
        read_owner: impl FnOnce() -> Result<Option<Owner>, Error>,
    ) -> Result<Claim, Error> {
        self.admit(upload, read_owner)?;
        let mut known = self.lock();
        let session = known.sessions.get_mut(&upload.session).ok_or(Error::UploadUnknown)?;
        match std::mem::replace(&mut session.state, State::Busy) {
            State::Busy => Err(Error::UploadBusy),
            State::Idle(progress) => {
                known.remembered -= usize::from(progress.is_some());
                drop(known);
                Ok(self.claimed(upload.session, progress.map(|progress| *progress)))
            }
        }
    }

    /// How many bytes a session has received, where that is known and nobody is writing.
    pub(super) fn offset(
        &self,
        upload: &Upload,
        read_owner: impl FnOnce() -> Result<Option<Owner>, Error>,
    ) -> Result<Option<u64>, Error> {
        self.admit(upload, read_owner)?;
        Ok(match self.lock().sessions.get(&upload.session) {
            Some(Session {
                state: State::Idle(Some(progress)),
                ..
            }) => Some(progress.offset),
            Some(_) | None => None,
        })
    }

    /// The sessions whose end has come, except those that somebody writes to.
    pub(super) fn due(&self) -> Vec<(RepositoryName, UploadId)> {
        let now = Instant::now();
        let known = self.lock();
        let due = known.sessions.iter().filter(|(_, session)| session.is_due(now));
        due.map(|(name, session)| (session.repository.clone(), *name)).collect()
    }

    /// Takes the only right to write to a session whose end has come; `None` where somebody writes, or has just done so.
    pub(super) fn claim_due(self: &Arc<Self>, session: UploadId) -> Option<Claim> {
        let mut known = self.lock();
        let found = known.sessions.get_mut(&session)?;
        if !found.is_due(Instant::now()) {
            return None;
        }
        if let State::Idle(Some(_)) = std::mem::replace(&mut found.state, State::Busy) {
            known.remembered -= 1;
        }
        drop(known);
        Some(self.claimed(session, None))
    }

    /// Forgets a session that turned out not to be on disk, unless somebody holds it.
    pub(super) fn forget(&self, session: UploadId) {
        let mut known = self.lock();
        if let Some(Session {
            state: State::Idle(_), ..
        }) = known.sessions.get(&session)
        {
            known.remove(session);
        }
    }

    /// Checks that a session is the caller's. Others are not told that it exists.
    fn admit(&self, upload: &Upload, read_owner: impl FnOnce() -> Result<Option<Owner>, Error>) -> Result<(), Error> {
        let owner = |known: &Known| known.sessions.get(&upload.session).map(|session| session.owner.clone());
        let known = owner(&self.lock());
        let owner = if let Some(owner) = known {
            owner
        } else {
            let owner = read_owner()?;
            self.found(&upload.repository, upload.session, owner.clone(), Duration::ZERO);
            owner
        };
        if upload.caller.may_continue(owner.as_ref()) {
            Ok(())
        } else {
            Err(Error::UploadUnknown)
        }
    }

    fn claimed(self: &Arc<Self>, session: UploadId, progress: Option<Progress>) -> Claim {
        Claim {
            sessions: self.clone(),
            session,
            progress,
            ended: false,
        }
    }

    fn end(&self) -> Instant {
        later(self.expire_after)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time that is too far away to be told is as good as a year.
fn later(left: Duration) -> Instant {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    Instant::now() + left.min(YEAR)
}

impl Known {
    fn insert(&mut self, name: UploadId, session: Session) {
        if let Some(owner) = &session.owner {
            *self.owners.entry(owner.clone()).or_default() += 1;
        }
        self.sessions.insert(name, session);
        self.metrics.sessions(self.sessions.len());
    }

    fn find(&mut self, name: UploadId, session: impl FnOnce() -> Session) {
        if !self.sessions.contains_key(&name) {
            self.insert(name, session());
        }
    }

    fn remove(&mut self, name: UploadId) {
        let Some(session) = self.sessions.remove(&name) else {
            return;
        };
        self.metrics.sessions(self.sessions.len());
        self.remembered -= usize::from(matches!(session.state, State::Idle(Some(_))));
        if let Some(owner) = session.owner
            && let Some(count) = self.owners.get_mut(&owner)
        {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&owner);
            }
        }
    }
}

impl Session {
    fn is_due(&self, now: Instant) -> bool {
        self.ends <= now && matches!(self.state, State::Idle(_))
    }
}

/// The only right to write to a session, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    sessions: Arc<Sessions>,
    session: UploadId,
    /// How far the session has come, where that is known.
    pub(super) progress: Option<Progress>,
    /// Whether the session's files are gone. It is forgotten then.
    pub(super) ended: bool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let progress = self.progress.take();
        let mut known = self.sessions.lock();
        if self.ended {
            known.remove(self.session);
            return;
        }
        let progress = progress.filter(|_| known.remembered < REMEMBERED).map(Box::new);
        let remembered = usize::from(progress.is_some());
        if let Some(session) = known.sessions.get_mut(&self.session) {
            session.state = State::Idle(progress);
            session.ends = self.sessions.end();
            known.remembered += remembered;
        }
    }
}
