//! What is done where not everything fits.

use std::collections::{BTreeMap, HashMap, HashSet};

use registry_config::{AccessContent, IdentityEntry, MAX_PACKED_BYTES, PackError, PolicyEntry, Slot, pack};

use super::identities::{Identity, Origin};
use super::known;
use super::policies::Judged;
use crate::outcome::Verdict;
use crate::registry::snapshot::Snapshot;
use crate::state::State;

/// What is not in force yet and is not taken, where not everything fits: first what others bring, and a Deny of the Registry's own
/// namespace last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Additions {
    /// Whatever other namespaces add.
    OfGuests,
    /// Everything but Denies of the Registry's own namespace.
    ButDenials,
    /// Everything.
    All,
}

/// What does not fit its Secret, if anything.
pub(super) fn excess(content: &AccessContent, revision: u64, state: &State) -> Option<String> {
    // It is as large in either slot.
    let (what, bytes) = match (pack(content, revision, Slot::A), state.excess()) {
        (Err(PackError::TooLarge(bytes)), _) => ("the access document", bytes),
        (_, Some(bytes)) => ("what the operator keeps about this Registry", bytes),
        (_, None) => return None,
    };
    Some(format!(
        "{what} would be {bytes} bytes when compressed, and at most {MAX_PACKED_BYTES} fit; delete identities or policies that are no longer needed"
    ))
}

/// Takes back what the document in force does not have yet. Removals always go out, and a Deny that is in force stays.
pub(super) fn refuse_additions(
    snapshot: &Snapshot,
    state: &State,
    identities: &mut BTreeMap<String, Identity>,
    policies: &mut BTreeMap<String, Judged>,
    additions: Additions,
    refusal: &Verdict,
) {
    let (known_identities, known_policies) = known(snapshot);
    let by_uid: HashMap<&str, &IdentityEntry> = known_identities
        .iter()
        .filter_map(|known| Some((known.uid.as_deref()?, known)))
        .collect();
    let by_name: HashMap<&str, &PolicyEntry> = known_policies
        .iter()
        .map(|known| (known.name.as_str(), known))
        .collect();
    let listed: HashSet<&str> = known_identities.iter().map(|known| known.username.as_str()).collect();
    for (uid, identity) in identities {
        let is_home = identity.origin == Origin::Home;
        if additions == Additions::OfGuests && is_home {
            continue;
        }
        match by_uid.get(uid.as_str()) {
            Some(known) => identity.refuse_growth(known, refusal),
            None if identity.entry.is_some() => identity.refuse(refusal.clone(), state.identities.get(uid)),
            None if !is_home && !listed.contains(identity.username.as_str()) => identity.forget_names(refusal),
            None => {}
        }
    }
    for (uid, policy) in policies {
        let Some(entry) = &policy.in_force else { continue };
        let (is_deny, is_home) = (
            entry.effect == registry_policy::Effect::Deny,
            // Policies of other namespaces have those in their names.
            !entry.name.contains('/'),
        );
        if is_home && (additions == Additions::OfGuests || (is_deny && additions == Additions::ButDenials)) {
            continue;
        }
        let known = by_name.get(entry.name.as_str()).copied();
        if known != Some(entry) {
            policy.in_force = known.cloned();
            policy.keep = state.policies.get(uid).cloned();
            policy.accepted = refusal.clone();
        }
    }
}
