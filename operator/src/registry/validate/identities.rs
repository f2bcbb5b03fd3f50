//! What is to become of each identity.

use std::collections::{BTreeMap, HashMap};

use crds::{RegistryIdentity, reasons};
use jiff::Timestamp;
use kube::ResourceExt;
use registry_config::{IdentityEntry, PasswordEntry};

use crate::hashing::{HashJob, HashResult, not_marked};
use crate::names;
use crate::outcome::Verdict;
use crate::registry::snapshot::{Snapshot, Source};
use crate::state::{IdentityState, SourceVersion, State, StoredHash};
use crate::stores::password_secret;
use crate::unknown_fields;

/// What is to become of an identity.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Identity {
    pub(in crate::registry) generation: Option<i64>,
    pub(in crate::registry) username: String,
    pub(in crate::registry) accepted: Verdict,
    pub(in crate::registry) resolved: Verdict,
    pub(in crate::registry) disabled: bool,
    /// Whether something is kept about it: it is of the Registry's own namespace, and there is room.
    pub(in crate::registry) is_kept: bool,
    /// Whether it has its username, against others who want the same.
    pub(in crate::registry) holds_username: bool,
    /// Its line in the access document, where it may sign in.
    pub(in crate::registry) entry: Option<IdentityEntry>,
    /// The password to be hashed, where there is one.
    pub(in crate::registry) job: Option<HashJob>,
    pub(in crate::registry) credentials_secret: Option<String>,
    password: Option<StoredHash>,
}

impl Identity {
    /// Leaves it out, and keeps of it what was kept before.
    pub(super) fn refuse(&mut self, refusal: Verdict, kept: Option<&IdentityState>) {
        self.accepted = refusal;
        self.entry = None;
        self.job = None;
        self.password = kept.and_then(|kept| kept.password.clone());
        self.holds_username &= kept.is_some();
        self.is_kept &= kept.is_some();
    }

    /// What to keep about it.
    pub(super) fn next_state(&self) -> IdentityState {
        IdentityState {
            password: self.password.clone(),
            listed_since: self.entry.as_ref().map(|entry| entry.tokens_from),
        }
    }
}

/// Judges all identities that name the Registry, by UID.
pub(super) fn judge(snapshot: &Snapshot, state: &State, next_revision: u64) -> BTreeMap<String, Identity> {
    let holders = holders(snapshot, state);
    let judged = snapshot.identities.iter().map(|identity| {
        let uid = identity.uid().unwrap_or_default();
        (
            uid.clone(),
            judge_one(identity, &uid, snapshot, state, &holders, next_revision),
        )
    });
    judged.collect()
}

/// The name to sign in with.
fn username(identity: &RegistryIdentity) -> String {
    identity.spec.username.clone().unwrap_or_else(|| identity.name_any())
}

fn is_home(identity: &RegistryIdentity, snapshot: &Snapshot) -> bool {
    identity.namespace() == snapshot.registry.namespace()
}

/// Which identity has each username, by UID: the one already in force, else the oldest, else the lower UID. A disabled
/// identity keeps its name, so that nobody else can sign in under it.
fn holders(snapshot: &Snapshot, state: &State) -> HashMap<String, String> {
    let mut holders: HashMap<String, String> = HashMap::new();
    // Oldest first, and so the first to ask holds the name, unless the state knows another claimant that still asks.
    for identity in snapshot
        .identities
        .iter()
        .filter(|identity| is_home(identity, snapshot))
    {
        let (name, uid) = (username(identity), identity.uid().unwrap_or_default());
        let in_force = state.usernames.get(&name) == Some(&uid);
        if in_force || !holders.contains_key(&name) {
            holders.insert(name, uid);
        }
    }
    holders
}

fn judge_one(
    identity: &RegistryIdentity,
    uid: &str,
    snapshot: &Snapshot,
    state: &State,
    holders: &HashMap<String, String>,
    next_revision: u64,
) -> Identity {
    let username = username(identity);
    let is_home = is_home(identity, snapshot);
    let holds_username = is_home && holders.get(&username).is_some_and(|holder| holder == uid);
    let kept = state.identities.get(uid);
    let accepted = accept(identity, &username, snapshot, holders, is_home, holds_username);
    let disabled = identity.spec.disabled == Some(true);
    let (password, resolved, job) = if is_home {
        password(identity, uid, snapshot, kept.and_then(|kept| kept.password.as_ref()))
    } else {
        (
            None,
            Verdict::unknown(
                reasons::NOT_ALLOWED_BY_REGISTRY,
                "not looked at, because the identity is not accepted",
            ),
            None,
        )
    };
    let job = job.filter(|_| accepted.is_yes());
    let entry = password
        .as_ref()
        .filter(|_| accepted.is_yes() && !disabled)
        .map(|password| IdentityEntry {
            username: username.clone(),
            uid: Some(uid.to_owned()),
            groups: groups(identity),
            home: true,
            not_after: expires_at(identity),
            passwords: vec![PasswordEntry {
                hash: password.hash.clone(),
                not_after: None,
            }],
            tokens_from: kept.and_then(|kept| kept.listed_since).unwrap_or(next_revision),
        });
    Identity {
        generation: identity.metadata.generation,
        credentials_secret: identity.spec.password.generate.as_ref().map(|generate| {
            generate
                .secret_name
                .clone()
                .unwrap_or_else(|| names::credentials_secret(identity))
        }),
        username,
        accepted,
        resolved,
        disabled,
        is_kept: is_home,
        holds_username,
        entry,
        job,
        password,
    }
}

fn expires_at(identity: &RegistryIdentity) -> Option<Timestamp> {
    identity.spec.expires_at.as_ref().map(|time| time.0)
}

fn groups(identity: &RegistryIdentity) -> Vec<String> {
    let mut groups = identity.spec.groups.clone().unwrap_or_default();
    groups.sort();
    groups.dedup();
    groups
}

fn accept(
    identity: &RegistryIdentity,
    username: &str,
    snapshot: &Snapshot,
    holders: &HashMap<String, String>,
    is_home: bool,
    holds_username: bool,
) -> Verdict {
    if !is_home {
        let registry = &snapshot.registry;
        let message = format!(
            "Registry `{}` admits identities of its own namespace `{}` only; make this identity there",
            registry.name_any(),
            registry.namespace().unwrap_or_default()
        );
        return Verdict::no(reasons::NOT_ALLOWED_BY_REGISTRY, message);
    }
    let unknown = unknown_fields::in_identity(&identity.spec);
    if !unknown.is_empty() {
        let message = format!(
            "this version does not know `{}`; correct the spelling or remove it; nobody can sign in as this identity until then",
            unknown.join("`, `")
        );
        return Verdict::no(reasons::UNKNOWN_FIELD, message);
    }
    if !holds_username {
        let holder = holders.get(username).and_then(|uid| {
            snapshot
                .identities
                .iter()
                .find(|other| other.uid().as_ref() == Some(uid))
        });
        let holder = holder.map_or_else(
            || "another identity".to_owned(),
            |other| format!("RegistryIdentity `{}`", other.name_any()),
        );
        return Verdict::no(
            reasons::USERNAME_CONFLICT,
            format!("username `{username}` is taken by {holder}, which keeps it; choose another `spec.username`"),
        );
    }
    match expires_at(identity) {
        Some(end) if end <= snapshot.now => Verdict::no(
            reasons::EXPIRED,
            format!(
                "expired at {end}: nobody can sign in as `{username}`; set a later `spec.expiresAt`, or delete the identity"
            ),
        ),
        Some(end) => Verdict::yes(reasons::ACCEPTED, format!("signs in as `{username}` until {end}")),
        None => Verdict::yes(reasons::ACCEPTED, format!("signs in as `{username}`")),
    }
}

/// The hash in force, what is to be said of its source, and the work that is left.
fn password(
    identity: &RegistryIdentity,
    uid: &str,
    snapshot: &Snapshot,
    kept: Option<&StoredHash>,
) -> (Option<StoredHash>, Verdict, Option<HashJob>) {
    let Some((secret, key)) = password_secret(identity) else {
        let why = Verdict::no(
            reasons::INVALID,
            "spec.password: give exactly one of `generate` and `secretKeyRef`",
        );
        return (kept.cloned(), why, None);
    };
    let namespace = identity.namespace().unwrap_or_default();
    let stays = if kept.is_some() {
        "; the last password stays in force (to revoke, disable or delete the identity)"
    } else {
        ""
    };
    let unresolved = |verdict: Verdict| {
        let verdict = Verdict {
            message: format!("{}{stays}", verdict.message),
            ..verdict
        };
        (kept.cloned(), verdict, None)
    };
    let source = match snapshot.sources.get(uid) {
        None | Some(Source::Missing) => {
            let message = format!(
                "Secret `{secret}` does not exist in namespace `{namespace}`; create it with the password under key `{key}`"
            );
            return unresolved(Verdict::no(reasons::SECRET_NOT_FOUND, message));
        }
        Some(Source::NotMarked) => return unresolved(not_marked(&secret, &namespace)),
        Some(Source::Foreign) => {
            let message = format!(
                "Secret `{secret}` exists and was not generated for this identity; choose another `spec.password.generate.secretName`"
            );
            return unresolved(Verdict::no(reasons::CONFLICT, message));
        }
        Some(Source::Present { uid, resource_version }) => SourceVersion {
            secret: secret.clone(),
            key: key.clone(),
            uid: uid.clone(),
            resource_version: resource_version.clone(),
        },
    };
    let resolved = Verdict::yes(
        reasons::RESOLVED,
        format!("the password is read from key `{key}` of Secret `{secret}`"),
    );
    if let Some(kept) = kept.filter(|kept| kept.source == source) {
        return (Some(kept.clone()), resolved, None);
    }
    match snapshot.hashes.get(uid) {
        Some(HashResult::Hashed(hash)) if hash.source == source => (Some(hash.clone()), resolved, None),
        Some(HashResult::Unusable { source: judged, why }) if *judged == source => unresolved(why.clone()),
        _ => {
            let job = HashJob {
                identity: uid.to_owned(),
                namespace,
                secret,
                key,
                in_force: kept.map(|kept| kept.hash.clone()),
            };
            (kept.cloned(), resolved, Some(job))
        }
    }
}
