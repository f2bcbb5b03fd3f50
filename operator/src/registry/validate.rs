//! From a snapshot to what should be: pure. Nothing that is wrong with one identity or policy touches another.

mod authorities;
mod content;
mod growth;
mod identities;
mod issuers;
mod keys;
mod passwords;
mod policies;
mod server;
mod settings;
mod token_server;
mod trust;
mod users;
mod workload;

#[cfg(test)]
mod guides;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use crds::{Registry, reasons};
use kube::ResourceExt;
use registry_config::{AccessContent, IdentityEntry, PolicyEntry, digest_of};

use crate::hashing::HashJob;
use crate::names;
use crate::outcome::Verdict;
use crate::registry::admission;
use crate::registry::elsewhere;
use crate::registry::snapshot::{LiveIndex, Snapshot, TrustFile};
use crate::settings::Settings;
use crate::state::{LiveState, State};
use content::{Trusted, content, service, service_accounts};
use growth::{Additions, excess, refuse_additions};
pub(super) use identities::Identity;
pub(super) use passwords::hashing as password_hashing;
use policies::Judged;
pub(super) use policies::entry_at_home as policy_entry;
pub(super) use server::ServerSettings;
use settings::Reloadable;
use users::Users;
pub(super) use workload::{Storage, Workload};
use workload::{waits_for_certificate, workload};

/// What should be.
pub(super) struct Plan {
    /// The registry's objects, or why they stay as they are.
    pub(super) workload: Result<Workload, Verdict>,
    /// What the operator may write at all.
    pub(super) manage: Manage,
    /// Whether the registry's objects stay as they are, because Pods made now would have no certificate while those that
    /// run serve.
    pub(super) waits_for_certificate: bool,
    /// The access document's content.
    pub(super) content: AccessContent,
    /// Whether the document in force differs from that.
    pub(super) is_outdated: bool,
    /// The revision of the document if it is published now.
    pub(super) next_revision: u64,
    /// Whether a Secret of the Registry's own is wanted that is not there, or of which no watch tells.
    pub(super) secret_missing: bool,
    /// What is wrong with the Secrets that the Registry reads for its document.
    pub(super) references: Result<(), Verdict>,
    /// What was found about each identity, by UID.
    pub(super) identities: BTreeMap<String, Identity>,
    /// What was found about each policy, by UID.
    pub(super) policies: BTreeMap<String, Judged>,
}

/// What the operator may write.
pub(super) enum Manage {
    /// Everything; this is the next state.
    Everything { state: State },
    /// Nothing.
    Nothing { why: Verdict },
}

impl Plan {
    /// Passwords to be hashed.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &HashJob> {
        self.identities.values().flat_map(Identity::jobs)
    }

    /// Whether something is missing whose coming no watch may tell of.
    pub(super) fn has_unresolved(&self) -> bool {
        let mut kept = self.identities.values().filter(|identity| identity.is_kept);
        kept.any(|identity| !identity.resolved.is_yes()) || self.secret_missing
    }
}

/// Decides what should be.
pub(super) fn validate(snapshot: &Snapshot, settings: &Settings) -> Plan {
    let registry = &snapshot.registry;
    let (state, foreign) = state_found(snapshot, settings);
    let foreign = foreign.or_else(|| {
        let name = names::access_secret(&registry.name_any());
        matches!(snapshot.index, LiveIndex::Foreign).then(|| {
            Verdict::no(
                reasons::CONFLICT,
                format!(
                    "Secret `{name}` exists and is not the operator's, so nothing is published; rename or delete it"
                ),
            )
        })
    });
    let paused = (registry.spec.paused == Some(true)).then(|| {
        Verdict::no(
            reasons::PAUSED,
            "the Registry is paused: nothing is changed and nothing new is enforced until `spec.paused` is removed",
        )
    });

    let (keys, key_times) = keys::rotate(&state, snapshot);
    let state = State {
        keys,
        key_times,
        ..state
    };
    let next_revision = next_revision(snapshot, &state);
    let state = State {
        refresh_from: keys::refresh_from(registry, &state, next_revision),
        ..state
    };
    let mut identities = identities::judge(snapshot, &state, next_revision);
    let mut policies = policies::judge(snapshot, &state);
    let mut users = users::judge(snapshot, &state, &taken(&identities), next_revision);
    let (client_certificates, authorities) = authorities::judge(snapshot);
    let reloadable = Reloadable::of(registry);
    let issuers = issuers::judge(snapshot);
    let service = service(registry);
    let service_accounts = service_accounts(snapshot, &reloadable, &service);
    let token_server = token_server::judge(snapshot, &issuers.listed, service_accounts.as_ref());
    let trusted = Trusted {
        client_certificates,
        issuers: issuers.listed,
        service_accounts,
        token_server: token_server.listed,
    };
    let laid_out = |identities: &_, users: &_, policies: &_| {
        (
            content(snapshot, &reloadable, &state, &trusted, identities, users, policies),
            next_state(state.clone(), identities, users, policies),
        )
    };
    let (mut content, mut next) = laid_out(&identities, &users, &policies);
    for additions in [Additions::OfGuests, Additions::ButDenials, Additions::All] {
        let Some(excess) = excess(&content, next_revision, &next) else {
            break;
        };
        let refusal = Verdict::no(reasons::LIMIT_EXCEEDED, excess);
        if additions != Additions::OfGuests {
            users.refuse_additions(known(snapshot).0, &refusal);
        }
        refuse_additions(snapshot, &state, &mut identities, &mut policies, additions, &refusal);
        (content, next) = laid_out(&identities, &users, &policies);
    }
    let manage = match foreign.or(paused) {
        Some(why) => Manage::Nothing { why },
        None => Manage::Everything { state: next },
    };
    let accepted = reloadable.accepted.and(issuers.accepted).and(token_server.accepted);
    let workload = accepted.and_then(|()| workload(registry, settings));
    Plan {
        waits_for_certificate: workload
            .as_ref()
            .is_ok_and(|workload| waits_for_certificate(snapshot, workload)),
        workload,
        manage,
        is_outdated: is_outdated(snapshot, &content),
        content,
        next_revision,
        secret_missing: snapshot.certificate.is_unresolved()
            || snapshot.users.is_unresolved()
            || snapshot.authorities.is_unresolved()
            || snapshot.token_server_keys.is_unresolved()
            || snapshot.issuer_authorities.values().any(TrustFile::is_unresolved),
        references: authorities
            .and(issuers.resolved)
            .and(token_server.resolved)
            .and(users.resolved)
            .and(selectors(registry)),
        identities,
        policies,
    }
}

/// The state to go on from, and what keeps the operator from writing it.
fn state_found(snapshot: &Snapshot, settings: &Settings) -> (State, Option<Verdict>) {
    let registry = &snapshot.registry;
    match &snapshot.state {
        LiveState::Ours { state, .. } => (state.clone(), None),
        LiveState::Absent => (State::new(&settings.installation, snapshot.fresh_key.clone()), None),
        LiveState::Foreign { installation } => (
            State::new(&settings.installation, snapshot.fresh_key.clone()),
            Some(elsewhere::verdict(registry, installation, &settings.installation)),
        ),
        LiveState::Unreadable { why } => {
            let message = format!(
                "Secret `{}` cannot be read ({why}), so everything stays as it is; restore it from a backup, or delete it to begin anew: passwords are hashed again, issued tokens end, and policies that are broken now do not have their last accepted form any more",
                names::state_secret(&registry.name_any())
            );
            (
                State::new(&settings.installation, snapshot.fresh_key.clone()),
                Some(Verdict::no(reasons::CONFLICT, message)),
            )
        }
    }
}

/// What is wrong with the selectors of namespaces.
fn selectors(registry: &Registry) -> Result<(), Verdict> {
    let problems = admission::problems(registry);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Verdict::no(reasons::INVALID, problems.join("; ")))
}

/// The usernames that identities hold, whether or not anybody can sign in under them.
fn taken(identities: &BTreeMap<String, Identity>) -> HashSet<String> {
    let holders = identities.values().filter(|identity| identity.holds_username);
    holders.map(|identity| identity.username.clone()).collect()
}

/// A revision above every one that was ever published or reported.
fn next_revision(snapshot: &Snapshot, state: &State) -> u64 {
    let published = match &snapshot.index {
        LiveIndex::Read { document, .. } => document.revision,
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => 0,
    };
    let clock = u64::try_from(snapshot.now.as_millisecond()).unwrap_or(0);
    let highest = state.revision.max(published).max(clock).max(snapshot.highest_reported);
    highest.saturating_add(1)
}

/// Whether the document in force differs from `content`.
fn is_outdated(snapshot: &Snapshot, content: &AccessContent) -> bool {
    match &snapshot.index {
        LiveIndex::Read { document, .. } => {
            document.digest != digest_of(content) || snapshot.highest_reported > document.revision
        }
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => true,
    }
}

/// The identities and policies of the document in force.
fn known(snapshot: &Snapshot) -> (&[IdentityEntry], &[PolicyEntry]) {
    match snapshot.index.content() {
        Some(content) => (&content.identities, &content.policies),
        None => (&[], &[]),
    }
}

fn next_state(
    state: State,
    identities: &BTreeMap<String, Identity>,
    users: &Users,
    policies: &BTreeMap<String, Judged>,
) -> State {
    State {
        users: users.state.clone(),
        usernames: identities
            .iter()
            .filter(|(_, identity)| identity.holds_username)
            .map(|(uid, identity)| (identity.username.clone(), uid.clone()))
            .collect(),
        identities: identities
            .iter()
            .filter(|(_, identity)| identity.is_kept)
            .map(|(uid, identity)| (uid.clone(), identity.next_state()))
            .collect(),
        policies: policies
            .iter()
            .filter_map(|(uid, policy)| Some((uid.clone(), policy.keep.clone()?)))
            .collect(),
        ..state
    }
}
