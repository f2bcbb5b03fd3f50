//! From a snapshot to what should be: pure. Nothing that is wrong with one identity or policy touches another.

mod identities;
mod policies;
mod settings;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crds::{Registry, Retention, ServiceType, reasons};
use kube::ResourceExt;
use registry_config::{
    AccessContent, DurationText, IdentityEntry, PackError, PolicyEntry, TokenSettings, digest_of, pack,
};

use crate::hashing::HashJob;
use crate::names;
use crate::outcome::Verdict;
use crate::registry::elsewhere;
use crate::registry::snapshot::{CertificateSource, LiveIndex, Snapshot};
use crate::settings::Settings;
use crate::state::{LiveState, State};
use identities::Identity;
use policies::Judged;
use settings::Reloadable;

/// What should be.
pub(super) struct Plan {
    /// The registry's objects, or why they stay as they are.
    pub(super) workload: Result<Workload, Verdict>,
    /// What the operator may write at all.
    pub(super) manage: Manage,
    /// The access document's content.
    pub(super) content: AccessContent,
    /// The revision of the document if it is published now.
    pub(super) next_revision: u64,
    /// Whether a certificate is wanted whose Secret is not there, or is of a type that no watch tells of.
    pub(super) certificate_missing: bool,
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

/// A Registry's spec with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Workload {
    pub(super) image: String,
    pub(super) replicas: i32,
    pub(super) storage: Storage,
    pub(super) service_type: ServiceType,
    pub(super) service_port: i32,
    pub(super) node_port: Option<i32>,
    /// The Secret with the certificate; without one there is no TLS.
    pub(super) tls_secret: Option<String>,
}

/// Where the Pods keep blobs and manifests.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Storage {
    /// A volume that the operator claims.
    NewClaim {
        size: String,
        class: Option<String>,
        access_modes: Vec<String>,
        retention: Retention,
    },
    /// A volume that exists.
    ExistingClaim { name: String },
    /// A volume that ends with its Pod.
    EmptyDir { size_limit: Option<String> },
}

impl Plan {
    /// Passwords to be hashed.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &HashJob> {
        self.identities.values().filter_map(|identity| identity.job.as_ref())
    }

    /// Whether something is missing whose coming no watch may tell of.
    pub(super) fn has_unresolved(&self) -> bool {
        self.identities.values().any(|identity| !identity.resolved.is_yes()) || self.certificate_missing
    }
}

/// Decides what should be.
pub(super) fn validate(snapshot: &Snapshot, settings: &Settings) -> Plan {
    let registry = &snapshot.registry;
    let (state, foreign) = match &snapshot.state {
        LiveState::Ours { state, .. } => (state.clone(), None),
        LiveState::Absent => (State::new(&settings.installation, snapshot.fresh_key.clone()), None),
        LiveState::Foreign { installation } => (
            State::new(&settings.installation, snapshot.fresh_key.clone()),
            Some(elsewhere::verdict(registry, installation, &settings.installation)),
        ),
        LiveState::Unreadable { why } => {
            let message = format!(
                "Secret `{}` cannot be read ({why}), so everything stays as it is; restore it from a backup, or delete it to begin anew: passwords are hashed again and issued tokens end",
                names::state_secret(&registry.name_any())
            );
            (
                State::new(&settings.installation, snapshot.fresh_key.clone()),
                Some(Verdict::no(reasons::CONFLICT, message)),
            )
        }
    };
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

    let next_revision = next_revision(snapshot, &state);
    let mut identities = identities::judge(snapshot, &state, next_revision);
    let mut policies = policies::judge(snapshot, &state);
    let reloadable = Reloadable::of(registry);
    let mut content = content(registry, &reloadable, &state, &identities, &policies);
    if let Err(PackError::TooLarge(bytes)) = pack(&content, next_revision) {
        refuse_additions(snapshot, &mut identities, &mut policies, bytes);
        content = self::content(registry, &reloadable, &state, &identities, &policies);
    }
    let manage = match foreign.or(paused) {
        Some(why) => Manage::Nothing { why },
        None => Manage::Everything {
            state: next_state(state, &identities, &policies),
        },
    };
    Plan {
        workload: reloadable.accepted.and_then(|()| workload(registry, settings)),
        manage,
        content,
        next_revision,
        certificate_missing: matches!(
            snapshot.certificate,
            CertificateSource::Missing | CertificateSource::WrongType(_)
        ),
        identities,
        policies,
    }
}

/// A revision above every one that was ever published or reported.
fn next_revision(snapshot: &Snapshot, state: &State) -> u64 {
    let published = match &snapshot.index {
        LiveIndex::Read { revision, .. } => *revision,
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => 0,
    };
    let clock = u64::try_from(snapshot.now.as_millisecond()).unwrap_or(0);
    state.revision.max(published).max(clock).max(snapshot.highest_reported) + 1
}

/// Whether the document in force differs from `content`.
pub(super) fn is_outdated(snapshot: &Snapshot, content: &AccessContent) -> bool {
    match &snapshot.index {
        LiveIndex::Read { digest, revision, .. } => {
            *digest != digest_of(content) || snapshot.highest_reported > *revision
        }
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => true,
    }
}

fn content(
    registry: &Registry,
    reloadable: &Reloadable,
    state: &State,
    identities: &BTreeMap<String, Identity>,
    policies: &BTreeMap<String, Judged>,
) -> AccessContent {
    let spec = &registry.spec;
    let lifetime = spec.auth.as_ref().and_then(|auth| auth.token_lifetime.as_deref());
    // The schema admits only durations in range; anything else would be an object older than the schema.
    let lifetime = lifetime
        .and_then(|text| text.parse().ok())
        .unwrap_or(TokenSettings::DEFAULT_LIFETIME);
    let lifetime: DurationText = lifetime.clamp(TokenSettings::DEFAULT_LIFETIME, TokenSettings::MAX_LIFETIME);
    let mut listed: Vec<IdentityEntry> = identities
        .values()
        .filter_map(|identity| identity.entry.clone())
        .collect();
    listed.sort_by(|a, b| a.username.cmp(&b.username));
    let mut in_force: Vec<PolicyEntry> = policies.values().filter_map(|policy| policy.in_force.clone()).collect();
    in_force.sort_by(|a, b| a.name.cmp(&b.name));
    AccessContent {
        service: format!(
            "wharfinger.dev/{}/{}",
            registry.namespace().unwrap_or_default(),
            registry.name_any()
        ),
        issuer: registry.uid().unwrap_or_default(),
        external_url: spec.external_url.clone(),
        cors: reloadable.cors.clone(),
        trusted_proxies: reloadable.trusted_proxies.clone(),
        token: TokenSettings {
            lifetime,
            keys: state.keys.clone(),
        },
        manifests: reloadable.manifests.clone(),
        identities: listed,
        policies: in_force,
    }
}

/// Takes back what the document in force does not have yet. Removals always go out, and a Deny is never dropped.
fn refuse_additions(
    snapshot: &Snapshot,
    identities: &mut BTreeMap<String, Identity>,
    policies: &mut BTreeMap<String, Judged>,
    bytes: usize,
) {
    let (known_identities, known_policies) = match &snapshot.index {
        LiveIndex::Read { content, .. } => (content.identities.as_slice(), content.policies.as_slice()),
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => (&[][..], &[][..]),
    };
    let refusal = Verdict::no(
        reasons::LIMIT_EXCEEDED,
        format!(
            "the access document would be {bytes} bytes when compressed, and at most {} fit; delete identities or policies that are no longer needed",
            registry_config::MAX_CONTENT_BYTES
        ),
    );
    for identity in identities.values_mut() {
        let is_new = identity
            .entry
            .as_ref()
            .is_some_and(|entry| !known_identities.iter().any(|known| known.uid == entry.uid));
        if is_new {
            identity.entry = None;
            identity.accepted = refusal.clone();
        }
    }
    for policy in policies.values_mut() {
        let Some(entry) = &policy.in_force else { continue };
        if entry.effect == registry_policy::Effect::Deny {
            continue;
        }
        match known_policies.iter().find(|known| known.name == entry.name) {
            Some(known) if known == entry => {}
            Some(known) => {
                policy.in_force = Some(known.clone());
                policy.accepted = refusal.clone();
            }
            None => {
                policy.in_force = None;
                policy.accepted = refusal.clone();
            }
        }
    }
}

fn next_state(state: State, identities: &BTreeMap<String, Identity>, policies: &BTreeMap<String, Judged>) -> State {
    State {
        usernames: identities
            .iter()
            .filter(|(_, identity)| identity.holds_username)
            .map(|(uid, identity)| (identity.username.clone(), uid.clone()))
            .collect(),
        identities: identities
            .iter()
            .filter(|(_, identity)| identity.is_home)
            .map(|(uid, identity)| (uid.clone(), identity.next_state()))
            .collect(),
        policies: policies
            .iter()
            .filter_map(|(uid, policy)| Some((uid.clone(), policy.keep.clone()?)))
            .collect(),
        ..state
    }
}

fn workload(registry: &Registry, settings: &Settings) -> Result<Workload, Verdict> {
    let spec = &registry.spec;
    let image = match &spec.image {
        None => settings.registry_image.clone(),
        Some(image) if *image == settings.registry_image => image.clone(),
        Some(image)
            if settings
                .allowed_image_prefixes
                .iter()
                .any(|prefix| !prefix.is_empty() && image.starts_with(prefix)) =>
        {
            image.clone()
        }
        Some(image) => {
            let allowed = match settings.allowed_image_prefixes.as_slice() {
                [] => format!("only the default, `{}`, is allowed", settings.registry_image),
                prefixes => format!("an image must begin with one of `{}`", prefixes.join("`, `")),
            };
            let message = format!(
                "spec.image: `{image}` is not allowed by this operator: {allowed}; the Deployment stays as it is, and identities and policies are still followed"
            );
            return Err(Verdict::no(reasons::IMAGE_NOT_ALLOWED, message));
        }
    };
    let storage = match (&spec.storage.persistent_volume_claim, &spec.storage.empty_dir) {
        (Some(claim), None) => match (&claim.claim_name, &claim.size) {
            (Some(name), None) => Storage::ExistingClaim { name: name.clone() },
            (None, Some(size)) => Storage::NewClaim {
                size: size.clone(),
                class: claim.storage_class_name.clone(),
                access_modes: claim
                    .access_modes
                    .clone()
                    .unwrap_or_else(|| vec!["ReadWriteOnce".to_owned()]),
                retention: claim.retention.unwrap_or(Retention::Retain),
            },
            _ => {
                return Err(Verdict::no(
                    reasons::INVALID,
                    "spec.storage.persistentVolumeClaim: give exactly one of `size` and `claimName`",
                ));
            }
        },
        (None, Some(empty_dir)) => Storage::EmptyDir {
            size_limit: empty_dir.size_limit.clone(),
        },
        _ => {
            return Err(Verdict::no(
                reasons::INVALID,
                "spec.storage: give exactly one of `persistentVolumeClaim` and `emptyDir`",
            ));
        }
    };
    let tls_secret = spec.tls.as_ref().map(|tls| tls.secret_ref.name.clone());
    let default_port = if tls_secret.is_some() { 443 } else { 80 };
    let service = spec.expose.clone().unwrap_or_default().service.unwrap_or_default();
    Ok(Workload {
        image,
        replicas: spec.replicas,
        storage,
        service_type: service.type_.unwrap_or(ServiceType::ClusterIP),
        service_port: service.port.unwrap_or(default_port),
        node_port: service.node_port,
        tls_secret,
    })
}
