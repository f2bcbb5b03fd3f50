//! The passwords of one identity: the one in use, the one that is to follow, and those before it that still count.

use crds::{Registry, RegistryIdentity, reasons};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use registry_config::{InvalidPasswordHashing, PasswordEntry, PasswordHash, PasswordHashing};

use crate::hashing::{HashJob, HashResult, HashSlot, Which, not_marked};
use crate::outcome::Verdict;
use crate::password_source::{NEXT_KEY, PasswordSource, SecretForm, overlap};
use crate::registry::snapshot::{Snapshot, Source};
use crate::state::{IdentityState, PreviousHash, SourceVersion, StoredHash};

/// How many replaced passwords are accepted at once.
const MAX_PREVIOUS: usize = 4;

/// The passwords of an identity.
#[derive(Debug, Clone)]
pub(super) struct Passwords {
    pub(super) current: Option<StoredHash>,
    pub(super) next: Option<StoredHash>,
    pub(super) previous: Vec<PreviousHash>,
    /// What is to be said of their source.
    pub(super) resolved: Verdict,
    /// The work that is left.
    pub(super) jobs: Vec<HashJob>,
}

impl Passwords {
    /// Those of an identity that is not looked at.
    pub(super) fn none(resolved: Verdict) -> Self {
        Self::from_state(None, resolved)
    }

    /// Those that were kept, whatever is wrong now.
    pub(super) fn from_state(kept: Option<&IdentityState>, resolved: Verdict) -> Self {
        let kept = kept.cloned().unwrap_or_default();
        Self {
            current: kept.password,
            next: kept.next,
            previous: kept.previous,
            resolved,
            jobs: Vec::new(),
        }
    }

    /// Without the replaced ones that have ended.
    fn still_accepted(mut self, now: Timestamp) -> Self {
        self.previous.retain(|previous| previous.not_after > now);
        self
    }

    /// The one in use alone.
    pub(super) fn only_current(self) -> Self {
        Self {
            next: None,
            previous: Vec::new(),
            ..self
        }
    }

    /// Their lines in the access document.
    pub(super) fn entries(&self) -> Vec<PasswordEntry> {
        let stored = self.current.iter().chain(&self.next).map(|stored| PasswordEntry {
            hash: stored.hash.clone(),
            not_after: None,
        });
        let previous = self.previous.iter().map(|previous| PasswordEntry {
            hash: previous.hash.clone(),
            not_after: Some(previous.not_after),
        });
        stored.chain(previous).collect()
    }
}

/// Finds out about the passwords of the identity `uid`, of which `kept` is what was known before. A hash that somebody of another
/// namespace brings along may cost less than one of the Registry's own (`is_home`).
pub(super) fn judge(
    identity: &RegistryIdentity,
    uid: &str,
    snapshot: &Snapshot,
    kept: Option<&IdentityState>,
    is_home: bool,
) -> Passwords {
    let now = snapshot.now;
    let kept_as_it_is = |verdict| Passwords::from_state(kept, verdict).still_accepted(now);
    let Some(source) = PasswordSource::of(identity) else {
        if identity.spec.password.is_none() {
            // Whoever takes the password out of the spec wants nobody to sign in with it any more.
            return Passwords::none(Verdict::yes(reasons::RESOLVED, "there is no password to be read"));
        }
        return kept_as_it_is(Verdict::no(
            reasons::INVALID,
            "spec.password: give exactly one of `generate`, `secretKeyRef` and `hashSecretKeyRef`",
        ));
    };
    let stays = if kept.is_some_and(|kept| kept.password.is_some()) {
        "; the last password stays in force (to revoke, disable or delete the identity)"
    } else {
        ""
    };
    let unresolved = |verdict: Verdict| {
        kept_as_it_is(Verdict {
            message: format!("{}{stays}", verdict.message),
            ..verdict
        })
    };
    let namespace = identity.namespace().unwrap_or_default();
    let PasswordSource { secret, key, .. } = &source;
    let (present, is_pending) = match present(&source, snapshot.sources.get(uid), &namespace) {
        Ok(found) => found,
        Err(why) => return unresolved(why),
    };
    let resolved = Verdict::yes(
        reasons::RESOLVED,
        format!("the password is read from key `{key}` of Secret `{secret}`"),
    );
    let known = kept_as_it_is(resolved);
    let lookup = Lookup {
        identity,
        uid,
        snapshot,
        kept,
        // What is wrong with the setting is told with the Registry.
        hashing: hashing(&snapshot.registry).ok(),
    };
    let look = |which, version: &SourceVersion, known: Option<&StoredHash>| {
        let found = lookup.look(which, version, known);
        if is_home {
            found
        } else {
            found.of_a_guest(lookup.hashing.unwrap_or_default())
        }
    };
    let (current, renewal) = match look(Which::Current, &present, known.current.as_ref()) {
        Found::Hash(hash, renewal) => (hash, renewal),
        Found::Unusable(why) => return unresolved(why),
        Found::Pending(job) => {
            return Passwords {
                jobs: vec![job],
                ..known
            };
        }
    };
    // The same version of a Secret has the same password, whatever its hash costs now.
    let replaced = known.current.as_ref();
    let replaced = replaced.filter(|before| before.hash != current.hash && before.source != current.source);
    let was_announced = known.next.as_ref().is_some_and(|next| next.hash == current.hash);
    let previous = previous(&known.previous, replaced, &current.hash, identity, was_announced, now);
    let mut jobs: Vec<HashJob> = renewal.into_iter().collect();
    let mut resolved = known.resolved;
    let next = if is_pending {
        let version = SourceVersion {
            key: NEXT_KEY.to_owned(),
            ..present
        };
        match look(Which::Next, &version, known.next.as_ref()) {
            Found::Hash(hash, renewal) => {
                jobs.extend(renewal);
                Some(hash)
            }
            Found::Unusable(why) => {
                resolved = why;
                None
            }
            Found::Pending(job) => {
                jobs.push(job);
                known.next.clone()
            }
        }
    } else {
        None
    };
    Passwords {
        next: next.filter(|next| next.hash != current.hash),
        current: Some(current),
        previous,
        resolved,
        jobs,
    }
}

/// The version of the Secret that there is, and whether a password that is to follow stands in it.
fn present(
    source: &PasswordSource<'_>,
    found: Option<&Source>,
    namespace: &str,
) -> Result<(SourceVersion, bool), Verdict> {
    let PasswordSource { secret, key, form, .. } = source;
    match found {
        None | Some(Source::Missing) => {
            let message = format!(
                "Secret `{secret}` does not exist in namespace `{namespace}`; create it with the password under key `{key}`"
            );
            Err(Verdict::no(reasons::SECRET_NOT_FOUND, message))
        }
        Some(Source::NotMarked) => Err(not_marked(secret, namespace)),
        Some(Source::Foreign) => {
            let message = format!(
                "Secret `{secret}` exists and was not generated for this identity; choose another `spec.password.generate.secretName`"
            );
            Err(Verdict::no(reasons::CONFLICT, message))
        }
        Some(Source::Present {
            uid,
            resource_version,
            rotation,
        }) => {
            let version = SourceVersion {
                secret: secret.clone(),
                key: key.clone(),
                uid: uid.clone(),
                resource_version: resource_version.clone(),
                form: *form,
            };
            Ok((version, rotation.is_pending))
        }
    }
}

/// What is known of one version of a key.
enum Found {
    /// Its hash, and the work that is left where it costs something else than it should.
    Hash(StoredHash, Option<HashJob>),
    Unusable(Verdict),
    Pending(HashJob),
}

impl Found {
    /// The same, where a hash that was brought along costs no more than a guest's may.
    fn of_a_guest(self, hashing: PasswordHashing) -> Self {
        let Self::Hash(stored, _) = &self else { return self };
        if stored.source.form != SecretForm::Hash {
            return self;
        }
        match PasswordHash::parse_within(stored.hash.as_str(), hashing.guest_cap()) {
            Ok(_) => self,
            Err(why) => {
                let SourceVersion { secret, key, .. } = &stored.source;
                let message = format!("key `{key}` of Secret `{secret}` holds no hash that could be used: {why}");
                Self::Unusable(Verdict::no(reasons::INVALID_PASSWORD_HASH, message))
            }
        }
    }
}

/// Where the passwords of one identity are looked for.
struct Lookup<'a> {
    identity: &'a RegistryIdentity,
    uid: &'a str,
    snapshot: &'a Snapshot,
    kept: Option<&'a IdentityState>,
    /// What hashes are to cost; none where nobody can tell, and those that there are stay.
    hashing: Option<PasswordHashing>,
}

impl Lookup<'_> {
    fn look(&self, which: Which, version: &SourceVersion, known: Option<&StoredHash>) -> Found {
        let slot = HashSlot {
            identity: self.uid.to_owned(),
            which,
        };
        let known = known.filter(|known| known.source == *version);
        let computed = match self.snapshot.hashes.get(&slot) {
            Some(HashResult::Hashed(hash)) if hash.source == *version => Some(hash),
            Some(HashResult::Unusable { source, why }) if source == version && known.is_none() => {
                return Found::Unusable(why.clone());
            }
            _ => None,
        };
        let job = |renews| HashJob {
            slot,
            namespace: self.identity.namespace().unwrap_or_default(),
            secret: version.secret.clone(),
            key: version.key.clone(),
            form: version.form,
            hashing: self.hashing.unwrap_or_default(),
            renews,
            in_force: if renews { Vec::new() } else { in_force(self.kept) },
        };
        let mut all = known.into_iter().chain(computed);
        let wanted = all.clone().find(|stored| self.costs_what_it_should(stored));
        match (wanted, all.next()) {
            (Some(hash), _) => Found::Hash(hash.clone(), None),
            (None, Some(hash)) => Found::Hash(hash.clone(), Some(job(true))),
            (None, None) => Found::Pending(job(false)),
        }
    }

    /// Whether a hash costs what it should; one that was brought along may cost what it does.
    fn costs_what_it_should(&self, stored: &StoredHash) -> bool {
        stored.source.form == SecretForm::Hash || self.hashing.is_none_or(|hashing| hashing.made(&stored.hash))
    }
}

/// What hashes of passwords are to cost.
///
/// # Errors
/// Where the Registry wants something that is not taken. The schema admits no such thing, but may be younger than the object.
pub(in crate::registry) fn hashing(registry: &Registry) -> Result<PasswordHashing, InvalidPasswordHashing> {
    let Some(wanted) = registry
        .spec
        .auth
        .as_ref()
        .and_then(|auth| auth.password_hashing.as_ref())
    else {
        return Ok(PasswordHashing::default());
    };
    let memory = wanted.memory.as_deref().map(str::parse).transpose();
    // No number of either sign that is out of bounds becomes one within them.
    let number = |number: Option<i32>| number.map(|number| u32::try_from(number).unwrap_or(0));
    PasswordHashing::new(
        memory.map_err(|_| InvalidPasswordHashing::Memory)?,
        number(wanted.iterations),
        number(wanted.parallelism),
    )
}

/// The hashes that the password may be one of: nothing is hashed anew that is known.
fn in_force(kept: Option<&IdentityState>) -> Vec<PasswordHash> {
    let stored = kept.into_iter().flat_map(|kept| kept.password.iter().chain(&kept.next));
    stored.map(|stored| stored.hash.clone()).collect()
}

/// The replaced passwords that are still accepted: those that were, and the one that is replaced now, where consumers of
/// ours have to follow.
fn previous(
    before: &[PreviousHash],
    replaced: Option<&StoredHash>,
    current: &PasswordHash,
    identity: &RegistryIdentity,
    was_announced: bool,
    now: Timestamp,
) -> Vec<PreviousHash> {
    let ended = replaced
        .zip(overlap(identity, was_announced))
        .map(|(replaced, overlap)| PreviousHash {
            hash: replaced.hash.clone(),
            not_after: now + SignedDuration::try_from(overlap).unwrap_or(SignedDuration::ZERO),
        });
    ended
        .into_iter()
        .chain(before.iter().cloned())
        .filter(|previous| previous.hash != *current)
        .take(MAX_PREVIOUS)
        .collect()
}
