//! [`Passwords`]: whether a password is right, at the cost of Argon2 once and of one HMAC afterwards.

mod hashers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use jiff::Timestamp;
use moka::sync::Cache;
use registry_config::{HashMemory, IdentityEntry, PasswordEntry, PasswordHash};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::access::Snapshot;
use hashers::Hashers;

/// How many right passwords are remembered.
const REMEMBERED: u64 = 20_000;
/// The longest time that a refusal is made to take because another took as long.
const LONGEST_REFUSAL: Duration = Duration::from_secs(2);

/// Verifies passwords, as many at a time as there are cores: each needs the memory that its hash asks for.
#[derive(Debug)]
pub struct Passwords {
    key: hmac::Key,
    right: Cache<[u8; 32], ()>,
    permits: Arc<Semaphore>,
    /// How long the longest verification has taken, in nanoseconds.
    longest: Arc<AtomicU64>,
    hashers: Hashers,
}

/// A right password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Names the credential in tokens: a truncated digest of its hash, which tells nothing about either.
    pub credential: String,
    /// Whether it was right before, and only had to be recognised.
    pub remembered: bool,
}

/// Why passwords cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing could be remembered safely.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// There is nobody to do the work.
    #[error("cannot start the threads that verify passwords")]
    Threads(#[source] std::io::Error),
}

impl Passwords {
    /// Verifies up to `concurrency` passwords at a time.
    ///
    /// # Errors
    /// Where the system has no random numbers, or refuses a thread.
    pub fn new(concurrency: usize) -> Result<Self, StartError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new());
        Ok(Self {
            key: key.map_err(|_| StartError::NoRandomness)?,
            right: Cache::new(REMEMBERED),
            permits: Arc::new(Semaphore::new(concurrency)),
            longest: Arc::default(),
            hashers: Hashers::start(concurrency).map_err(StartError::Threads)?,
        })
    }

    /// Verifies the password of `username` against the hashes of `snapshot` that are valid at `now`; `None` where it is
    /// wrong or there is no such user.
    pub async fn verify(
        &self,
        snapshot: &Snapshot,
        username: &str,
        password: &Zeroizing<String>,
        now: Timestamp,
    ) -> Option<Verified> {
        let identity = snapshot.access().identity(username);
        let identity = identity.filter(|identity| identity.is_in_force(now));
        let candidates: Vec<Candidate> = identity
            .into_iter()
            .flat_map(|identity| valid_passwords(identity, now))
            .map(|entry| Candidate {
                hash: entry.hash.clone(),
                memory: self.memory(entry, username, password),
                credential: credential(entry),
            })
            .collect();
        if let Some(verified) = self.remembered(&candidates) {
            return Some(verified);
        }
        // The semaphore is never closed.
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        // A client that opens several connections at once sends the same password on each.
        if let Some(verified) = self.remembered(&candidates) {
            return Some(verified);
        }
        let (password, right, longest) = (password.clone(), self.right.clone(), self.longest.clone());
        let nobodys = snapshot.access().nobodys_hash().clone();
        let begun = Instant::now();
        let verification = self.hashers.run(move |memory| {
            // The permit is held by the work, not by the request: a client that goes away frees no memory yet. It is
            // given back after a right password is remembered, so that whoever waits for it finds that.
            let _permit = permit;
            let begun = Instant::now();
            let found = verify(candidates, &nobodys, &password, memory);
            let taken = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            longest.fetch_max(taken, Ordering::Relaxed);
            let found = found?;
            right.insert(found.memory, ());
            Some(Verified {
                credential: found.credential,
                remembered: false,
            })
        });
        let verified = verification.await.flatten();
        if verified.is_none() {
            // Hashes differ in cost, and how long a refusal takes must not tell whose was computed.
            let least = Duration::from_nanos(self.longest.load(Ordering::Relaxed)).min(LONGEST_REFUSAL);
            tokio::time::sleep(least.saturating_sub(begun.elapsed())).await;
        }
        verified
    }

    fn remembered(&self, candidates: &[Candidate]) -> Option<Verified> {
        let found = candidates
            .iter()
            .find(|candidate| self.right.contains_key(&candidate.memory))?;
        Some(Verified {
            credential: found.credential.clone(),
            remembered: true,
        })
    }

    /// What a right password is remembered as. Without the key, which lives as long as the process, it tells nothing; a
    /// changed hash gives another.
    fn memory(&self, entry: &PasswordEntry, username: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [entry.hash.as_str(), username, password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut memory = [0; 32];
        memory.copy_from_slice(context.sign().as_ref());
        memory
    }
}

/// A hash that a password may match.
struct Candidate {
    hash: PasswordHash,
    memory: [u8; 32],
    credential: String,
}

/// Finds the candidate whose hash the password matches. An empty password matches none, whatever hash there is. Where there is no
/// candidate, the work is done for `nobodys` hash, so that an unknown user takes as long as a known one.
fn verify(
    candidates: Vec<Candidate>,
    nobodys: &PasswordHash,
    password: &str,
    memory: &mut HashMemory,
) -> Option<Candidate> {
    let mut matches = |hash: &PasswordHash| hash.verify(password.as_bytes(), memory);
    if candidates.is_empty() {
        matches(nobodys);
    }
    candidates
        .into_iter()
        .find(|candidate| matches(&candidate.hash))
        .filter(|_| !password.is_empty())
}

fn valid_passwords(identity: &IdentityEntry, now: Timestamp) -> impl Iterator<Item = &PasswordEntry> {
    identity
        .passwords
        .iter()
        .filter(move |entry| entry.not_after.is_none_or(|end| now < end))
}

/// Names a credential in tokens.
pub(crate) fn credential(entry: &PasswordEntry) -> String {
    hex::encode(&Sha256::digest(entry.hash.as_str())[..12])
}
