//! The users of a Registry's user file.

use std::collections::{BTreeMap, HashSet};

use crds::reasons;
use kube::ResourceExt;
use registry_config::{IdentityEntry, PasswordHash};

use crate::hashing::how_to_agree;
use crate::outcome::Verdict;
use crate::registry::snapshot::{Snapshot, UserFile};
use crate::state::{State, UserState};

/// What is to become of the users.
pub(in crate::registry) struct Users {
    /// Their lines in the access document.
    pub(in crate::registry) entries: Vec<IdentityEntry>,
    /// What to keep about them.
    pub(in crate::registry) state: BTreeMap<String, UserState>,
    /// What is wrong with the file.
    pub(in crate::registry) resolved: Result<(), Verdict>,
}

/// Judges the users; `taken` are the names that RegistryIdentities have.
pub(super) fn judge(snapshot: &Snapshot, state: &State, taken: &HashSet<String>, next_revision: u64) -> Users {
    let kept = || {
        let hashes = state.users.iter().map(|(name, user)| (name.clone(), user.hash.clone()));
        hashes.collect::<BTreeMap<_, _>>()
    };
    let stays = if state.users.is_empty() {
        ""
    } else {
        "; the users that it had last can still sign in (to revoke them all, remove `spec.auth.htpasswdSecretRef`)"
    };
    let namespace = snapshot.registry.namespace().unwrap_or_default();
    let unresolved = |reason, message: String| (kept(), Err(Verdict::no(reason, format!("{message}{stays}"))));
    let (mut hashes, mut resolved) = match &snapshot.users {
        UserFile::NotNeeded => (BTreeMap::new(), Ok(())),
        UserFile::Missing { secret } => unresolved(
            reasons::SECRET_NOT_FOUND,
            format!("Secret `{secret}` with the user file does not exist in namespace `{namespace}`"),
        ),
        UserFile::NotMarked { secret } => unresolved(
            reasons::SECRET_NOT_MARKED,
            format!(
                "Secret `{secret}` is not marked as one with passwords; {}",
                how_to_agree(secret, &namespace)
            ),
        ),
        UserFile::Unusable { why } => unresolved(why.reason, why.message.clone()),
        UserFile::Read { secret, file } => {
            let problems: Vec<String> = file.problems.iter().map(ToString::to_string).collect();
            let resolved = match problems.as_slice() {
                [] => Ok(()),
                problems => Err(Verdict::no(
                    reasons::INVALID_HTPASSWD,
                    format!(
                        "user file in Secret `{secret}`: {}; its other users can sign in",
                        shortened(problems)
                    ),
                )),
            };
            (file.users.clone(), resolved)
        }
    };
    let before = hashes.len();
    hashes.retain(|name, _| !taken.contains(name));
    if hashes.len() < before && resolved.is_ok() {
        resolved = Err(Verdict::no(
            reasons::USERNAME_CONFLICT,
            "some users of the user file have the names of RegistryIdentities, which count; delete their lines",
        ));
    }
    let state = keep(&hashes, state, next_revision);
    Users {
        entries: state.iter().map(|(name, user)| entry(name, user)).collect(),
        state,
        resolved,
    }
}

/// The names in the user file; where it cannot be read, those that were in it last.
pub(super) fn names<'a>(snapshot: &'a Snapshot, state: &'a State) -> HashSet<&'a str> {
    match &snapshot.users {
        UserFile::Read { file, .. } => file.users.keys().map(String::as_str).collect(),
        UserFile::Missing { .. } | UserFile::NotMarked { .. } | UserFile::Unusable { .. } => {
            state.users.keys().map(String::as_str).collect()
        }
        UserFile::NotNeeded => HashSet::new(),
    }
}

impl Users {
    /// Leaves out users that the document in force does not have.
    pub(super) fn refuse_additions(&mut self, known: &[IdentityEntry], refusal: &Verdict) {
        let names: HashSet<&str> = known.iter().map(|entry| entry.username.as_str()).collect();
        let before = self.entries.len();
        self.entries.retain(|entry| names.contains(entry.username.as_str()));
        self.state.retain(|name, _| names.contains(name.as_str()));
        if self.entries.len() < before {
            self.resolved = Err(refusal.clone());
        }
    }
}

fn keep(hashes: &BTreeMap<String, PasswordHash>, state: &State, next_revision: u64) -> BTreeMap<String, UserState> {
    let users = hashes.iter().map(|(name, hash)| {
        let listed_since = state.users.get(name).map_or(next_revision, |user| user.listed_since);
        let user = UserState {
            hash: hash.clone(),
            listed_since,
        };
        (name.clone(), user)
    });
    users.collect()
}

fn entry(name: &str, user: &UserState) -> IdentityEntry {
    IdentityEntry {
        // No object has such a UID.
        uid: Some(format!("htpasswd:{name}")),
        tokens_from: user.listed_since,
        ..IdentityEntry::with_password(name, user.hash.clone())
    }
}

/// The first few of many problems.
fn shortened(problems: &[String]) -> String {
    const SHOWN: usize = 5;
    let text = problems.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    match problems.len().checked_sub(SHOWN) {
        None | Some(0) => text,
        Some(more) => format!("{text}; and {more} more"),
    }
}
