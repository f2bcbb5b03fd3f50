//! From a snapshot to what should be: pure. Nothing that is wrong with one identity or policy touches another.

mod authorities;
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

#[cfg(test)]
mod guides;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use crds::{AccountVerification, ExternalTrafficPolicy, Registry, Retention, ServiceAccountMode, ServiceType, reasons};
use kube::ResourceExt;
use registry_config::{
    AccessContent, ClientCertificates, IdentityEntry, MAX_PACKED_BYTES, OidcIssuer, PackError, PolicyEntry,
    ServiceAccountTokens, Slot, TokenServer, digest_of, pack,
};

use crate::hashing::HashJob;
use crate::names;
use crate::outcome::Verdict;
use crate::registry::admission;
use crate::registry::elsewhere;
use crate::registry::snapshot::{CertificateSource, LiveIndex, Snapshot, TrustFile};
use crate::settings::Settings;
use crate::state::{LiveState, State};
pub(super) use identities::Identity;
use identities::Origin;
pub(super) use passwords::hashing as password_hashing;
use policies::Judged;
pub(super) use policies::entry_at_home as policy_entry;
pub(super) use server::ServerSettings;
use settings::Reloadable;
use users::Users;

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

/// A Registry's spec with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Workload {
    pub(super) image: String,
    pub(super) replicas: i32,
    pub(super) storage: Storage,
    pub(super) service_type: ServiceType,
    pub(super) service_port: i32,
    pub(super) node_port: Option<i32>,
    pub(super) external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// The Secret with the certificate; without one there is no TLS.
    pub(super) tls_secret: Option<String>,
    /// For the server document.
    pub(super) server: ServerSettings,
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

/// Whether Pods would be replaced by some without a certificate: one that runs and serves is better than that.
fn waits_for_certificate(snapshot: &Snapshot, workload: &Workload) -> bool {
    let is_usable = matches!(
        snapshot.certificate,
        CertificateSource::NotNeeded | CertificateSource::Usable(_)
    );
    let Some(deployment) = snapshot.deployment.as_ref().filter(|_| !is_usable) else {
        return false;
    };
    let volumes = deployment.data["spec"]["template"]["spec"]["volumes"].as_array();
    let tls = volumes.into_iter().flatten().find(|volume| volume["name"] == "tls");
    let mounted = tls.and_then(|volume| volume["secret"]["secretName"].as_str());
    mounted != workload.tls_secret.as_deref()
}

/// Whether the document in force differs from `content`.
pub(super) fn is_outdated(snapshot: &Snapshot, content: &AccessContent) -> bool {
    match &snapshot.index {
        LiveIndex::Read { document, .. } => {
            document.digest != digest_of(content) || snapshot.highest_reported > document.revision
        }
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => true,
    }
}

/// Whose word the registry takes for who somebody is.
struct Trusted {
    client_certificates: Option<ClientCertificates>,
    issuers: Vec<OidcIssuer>,
    service_accounts: Option<ServiceAccountTokens>,
    token_server: Option<TokenServer>,
}

/// What tokens for a Registry are for.
fn service(registry: &Registry) -> String {
    format!(
        "wharfinger.dev/{}/{}",
        registry.namespace().unwrap_or_default(),
        registry.name_any()
    )
}

fn content(
    snapshot: &Snapshot,
    reloadable: &Reloadable,
    state: &State,
    trusted: &Trusted,
    identities: &BTreeMap<String, Identity>,
    users: &Users,
    policies: &BTreeMap<String, Judged>,
) -> AccessContent {
    let registry = &snapshot.registry;
    let spec = &registry.spec;
    let mut listed: Vec<IdentityEntry> = identities
        .values()
        .filter_map(|identity| match &identity.entry {
            Some(entry) => Some(entry.clone()),
            // Whoever is not listed could come back as somebody whom a proxy or a token server names, whose namespace is admitted, or whose
            // certificate is believed: who must not sign in is listed as over.
            None if identity.holds_username => {
                identity.over(reloadable.user_header.is_some() || trusted.token_server.is_some())
            }
            None => None,
        })
        .chain(users.entries.iter().cloned())
        .collect();
    listed.sort_by(|a, b| a.username.cmp(&b.username));
    let mut in_force: Vec<PolicyEntry> = policies.values().filter_map(|policy| policy.in_force.clone()).collect();
    in_force.sort_by(|a, b| a.name.cmp(&b.name));
    AccessContent {
        client_certificates: trusted.client_certificates.clone(),
        oidc: trusted.issuers.clone(),
        service_accounts: trusted.service_accounts.clone(),
        token_server: trusted.token_server.clone(),
        service: service(registry),
        issuer: registry.uid().unwrap_or_default(),
        external_url: spec.external_url.clone(),
        cors: reloadable.cors.clone(),
        trusted_proxies: reloadable.trusted_proxies.clone(),
        user_header: reloadable.user_header.clone(),
        allowed_source_ranges: reloadable.allowed_source_ranges.clone(),
        challenge: reloadable.challenge,
        basic_realm: reloadable.basic_realm.clone(),
        token: keys::settings(registry, state),
        manifests: reloadable.manifests.clone(),
        blobs: reloadable.blobs.clone(),
        deletion: reloadable.deletion,
        identities: listed,
        policies: in_force,
    }
}

/// Which tokens of ServiceAccounts are accepted. While the cluster's issuer is not known yet, what is in force stays.
fn service_accounts(snapshot: &Snapshot, reloadable: &Reloadable, service: &str) -> Option<ServiceAccountTokens> {
    let settings = snapshot.registry.spec.auth.as_ref();
    let settings = settings
        .and_then(|auth| auth.service_account_tokens.clone())
        .unwrap_or_default();
    if settings.mode == Some(ServiceAccountMode::Disabled) || !reloadable.takes_account_tokens {
        return None;
    }
    let (issuer, jwks) = if let Some(found) = &snapshot.cluster_issuer {
        (found.issuer.clone(), found.jwks.clone())
    } else {
        let tokens = snapshot.index.content()?.service_accounts.as_ref()?;
        (tokens.issuer.clone(), tokens.jwks.clone())
    };
    let mut namespaces = settings.namespaces.unwrap_or_default();
    namespaces.sort();
    namespaces.dedup();
    Some(ServiceAccountTokens {
        issuer,
        jwks,
        audiences: vec![settings.audience.unwrap_or_else(|| service.to_owned())],
        namespaces,
        review: settings.verification == Some(AccountVerification::TokenReview),
    })
}

/// What is not in force yet and is not taken, where not everything fits: first what others bring, and a Deny of the Registry's own
/// namespace last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Additions {
    /// Whatever other namespaces add.
    OfGuests,
    /// Everything but Denies of the Registry's own namespace.
    ButDenials,
    /// Everything.
    All,
}

/// What does not fit its Secret, if anything.
fn excess(content: &AccessContent, revision: u64, state: &State) -> Option<String> {
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

/// The identities and policies of the document in force.
fn known(snapshot: &Snapshot) -> (&[IdentityEntry], &[PolicyEntry]) {
    match snapshot.index.content() {
        Some(content) => (&content.identities, &content.policies),
        None => (&[], &[]),
    }
}

/// Takes back what the document in force does not have yet. Removals always go out, and a Deny that is in force stays.
fn refuse_additions(
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
        external_traffic_policy: service.external_traffic_policy,
        tls_secret,
        server: ServerSettings::of(registry)?,
    })
}
