//! All reads of a pass over a Registry: from the stores where they serve, live where only the newest will do.

mod index;
mod sources;
mod state;
mod trust;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crds::{AccessPolicy, Registry, RegistryIdentity, labels, reasons, secret_types};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod, Secret};
use kube::api::{DynamicObject, ListParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use registry_config::{Certificate, Htpasswd, InvalidTlsPair, TlsPair, TokenKey};
use zeroize::Zeroizing;

use crate::api;
use crate::cluster_issuer::ClusterIssuer;
use crate::context::Context;
use crate::hashing::{HashResult, HashSlot, is_marked, value_of};
use crate::names;
use crate::outcome::Verdict;
use crate::registry::admission::Namespaces;
use crate::state::LiveState;
use crate::stores::{
    authorities_secret, issuer_authorities, registries_of, registry_of, token_server_secret, user_file,
};
pub(super) use index::LiveIndex;
pub(crate) use index::Published;
pub(super) use sources::{Rotation, Source, secrets_of};
pub(super) use trust::TrustFile;

/// The key of authorities in their Secret, where none is named.
const AUTHORITIES: &str = "ca.crt";

/// Everything that a pass knows.
pub(super) struct Snapshot {
    pub(super) registry: Arc<Registry>,
    /// Identities that name this Registry, from any namespace, oldest first.
    pub(super) identities: Vec<Arc<RegistryIdentity>>,
    /// Policies that name this Registry, from any namespace, by name.
    pub(super) policies: Vec<Arc<AccessPolicy>>,
    /// The labels of all namespaces.
    pub(super) namespaces: Namespaces,
    /// The Secrets that admitted identities read their passwords from, by identity UID.
    pub(super) sources: HashMap<String, Source>,
    /// The latest results of hashing.
    pub(super) hashes: HashMap<HashSlot, HashResult>,
    pub(super) state: LiveState,
    pub(super) index: LiveIndex,
    /// A signing key for a Registry that has none, or whose next is due.
    pub(super) fresh_key: TokenKey,
    /// The names of the signing keys that every Pod is known to have.
    pub(super) proven_keys: HashSet<String>,
    /// The highest revision that a Pod has reported.
    pub(super) highest_reported: u64,
    /// The Registry's own Deployment, where there is one.
    pub(super) deployment: Option<Arc<DynamicObject>>,
    /// The Registry's own Service, where there is one.
    pub(super) service: Option<Arc<DynamicObject>>,
    /// Pods of that Deployment.
    pub(super) pods: Vec<Arc<Pod>>,
    pub(super) claim: Claim,
    pub(super) certificate: CertificateSource,
    pub(super) users: UserFile,
    /// The authorities of clients' certificates.
    pub(super) authorities: TrustFile,
    /// The keys of the token server.
    pub(super) token_server_keys: TrustFile,
    /// The authorities of issuers of OpenID Connect tokens, by the name of the issuer.
    pub(super) issuer_authorities: BTreeMap<String, TrustFile>,
    /// Who issues tokens of ServiceAccounts, where that is known.
    pub(super) cluster_issuer: Option<Arc<ClusterIssuer>>,
    pub(super) now: Timestamp,
}

impl Snapshot {
    /// A Registry alone: nothing about it is known, and nothing of it exists yet.
    pub(super) fn alone(registry: Arc<Registry>, fresh_key: TokenKey, now: Timestamp) -> Self {
        Self {
            registry,
            identities: Vec::new(),
            policies: Vec::new(),
            namespaces: Namespaces::new(),
            sources: HashMap::new(),
            hashes: HashMap::new(),
            state: LiveState::Absent,
            index: LiveIndex::Absent,
            fresh_key,
            proven_keys: HashSet::new(),
            highest_reported: 0,
            deployment: None,
            service: None,
            pods: Vec::new(),
            claim: Claim::NotNeeded,
            certificate: CertificateSource::NotNeeded,
            users: UserFile::NotNeeded,
            authorities: TrustFile::NotNeeded,
            token_server_keys: TrustFile::NotNeeded,
            issuer_authorities: BTreeMap::new(),
            cluster_issuer: None,
            now,
        }
    }

    /// The Secrets of the Registry's namespace, to be read and written now.
    pub(super) fn secrets(&self, context: &Context) -> Api<Secret> {
        let namespace = self.registry.namespace().unwrap_or_default();
        Api::namespaced(context.client.clone(), &namespace)
    }
}

/// The user file of a Registry.
pub(super) enum UserFile {
    /// The Registry has none.
    NotNeeded,
    /// Its Secret does not exist.
    Missing { secret: String },
    /// The Secret's owner has not agreed.
    NotMarked { secret: String },
    /// There is no file in it.
    Unusable { why: Verdict },
    /// It was read.
    Read { secret: String, file: Htpasswd },
}

impl UserFile {
    /// Whether the Secret itself is what is missing, so that no watch may tell of its coming.
    pub(super) fn is_unresolved(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::NotMarked { .. })
    }
}

/// The Secret that a certificate is read from.
pub(super) enum CertificateSource {
    /// The Registry has no TLS.
    NotNeeded,
    /// It does not exist.
    Missing,
    /// It exists, but is of another type than `kubernetes.io/tls`.
    WrongType(String),
    /// It holds no pair that the registry could use; why.
    Unusable(InvalidTlsPair),
    /// It holds this certificate, and the key that belongs to it.
    Usable(Certificate),
}

impl CertificateSource {
    /// Whether the Secret itself is what is missing, so that no watch may tell of its coming.
    pub(super) fn is_unresolved(&self) -> bool {
        matches!(self, Self::Missing | Self::WrongType(_))
    }
}

/// The volume as a pass found it.
pub(super) enum Claim {
    /// The Registry uses none.
    NotNeeded,
    /// It does not exist.
    Absent,
    Bound,
    /// It exists and is not bound; with what its latest event says.
    Pending {
        why: Option<String>,
    },
}

/// Reads everything.
pub(super) async fn take(registry: Arc<Registry>, context: &Context) -> Result<Snapshot, api::Error> {
    let name = registry.name_any();
    let namespace = registry.namespace().unwrap_or_default();
    let reference = ObjectRef::from_obj(registry.as_ref());
    let stores = &context.stores;

    let mut identities: Vec<_> = stores
        .identities
        .state_filter(|identity| registry_of(identity) == reference);
    identities.sort_by_key(|identity| (identity.creation_timestamp(), identity.uid()));
    let mut policies: Vec<_> = stores
        .policies
        .state_filter(|policy| registries_of(policy).any(|target| target == reference));
    policies.sort_by_key(|policy| (policy.namespace(), policy.name_any()));

    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let (state_name, index_name) = (names::state_secret(&name), names::access_secret(&name));
    let (state, index) = tokio::try_join!(
        api::find(format!("read Secret `{state_name}`"), secrets.get_opt(&state_name)),
        api::find(format!("read Secret `{index_name}`"), secrets.get_opt(&index_name)),
    )?;

    let namespaces: Namespaces = stores
        .namespaces
        .state()
        .iter()
        .map(|found| (found.name_any(), found.labels().clone()))
        .collect();
    let state = state::read(state.as_ref(), &reference, &secrets, context).await?;
    let index = index::read(index.as_ref(), &reference, &secrets, context).await?;
    let (sources, hashes) = sources::read(&registry, &namespaces, &identities, &index, context).await?;

    let own = |kind: &str| {
        let store = stores.owned.get(kind)?;
        let found =
            store.state_filter(|object| object.name_any() == name && object.namespace().as_deref() == Some(&namespace));
        found
            .into_iter()
            .next()
            .filter(|object| belongs_to(object.as_ref(), &name))
    };
    let (deployment, service) = (own("Deployment"), own("Service"));
    let pods = pods_of(deployment.as_deref(), context);
    let claim = claim(&registry, &namespace, context).await?;
    let certificate = certificate(&registry, &secrets).await?;
    let users = users(&registry, &secrets).await?;
    let authorities = match authorities_secret(&registry) {
        Some(reference) => trust::read(reference, AUTHORITIES, &secrets).await?,
        None => TrustFile::NotNeeded,
    };
    let token_server_keys = match token_server_secret(&registry) {
        Some(reference) => trust::read(reference, "tls.crt", &secrets).await?,
        None => TrustFile::NotNeeded,
    };
    let mut of_issuers = BTreeMap::new();
    for (issuer, reference) in issuer_authorities(&registry) {
        of_issuers.insert(issuer.to_owned(), trust::read(reference, AUTHORITIES, &secrets).await?);
    }
    let highest_reported = context.proofs.highest(&reference);
    Ok(Snapshot {
        state,
        proven_keys: proven_keys(&index, &reference, context),
        index,
        fresh_key: fresh_key(),
        now: Timestamp::now(),
        registry,
        identities,
        policies,
        namespaces,
        sources,
        hashes,
        highest_reported,
        deployment,
        service,
        pods,
        claim,
        certificate,
        users,
        authorities,
        token_server_keys,
        issuer_authorities: of_issuers,
        cluster_issuer: context.cluster_issuer.get(),
    })
}

/// Reads the user file.
async fn users(registry: &Registry, secrets: &Api<Secret>) -> Result<UserFile, api::Error> {
    let Some(reference) = user_file(registry) else {
        return Ok(UserFile::NotNeeded);
    };
    let secret = reference.name.clone();
    let found = api::find(format!("read Secret `{secret}`"), secrets.get_opt(&secret)).await?;
    let Some(found) = found else {
        return Ok(UserFile::Missing { secret });
    };
    if !is_marked(&found) {
        return Ok(UserFile::NotMarked { secret });
    }
    let text = value_of(found, reference.key.as_deref().unwrap_or("htpasswd"));
    let text = text.and_then(|text| {
        let is_no_text = |_| {
            Verdict::no(
                reasons::INVALID_HTPASSWD,
                format!("the user file in Secret `{secret}` is no UTF-8 text"),
            )
        };
        std::str::from_utf8(&text).map(Htpasswd::parse).map_err(is_no_text)
    });
    Ok(match text {
        Ok(file) => UserFile::Read { secret, file },
        Err(why) => UserFile::Unusable { why },
    })
}

/// Reads the certificate. Neither it nor its key is kept.
async fn certificate(registry: &Registry, secrets: &Api<Secret>) -> Result<CertificateSource, api::Error> {
    let Some(tls) = &registry.spec.tls else {
        return Ok(CertificateSource::NotNeeded);
    };
    let name = &tls.secret_ref.name;
    let found = api::find(format!("read Secret `{name}`"), secrets.get_opt(name)).await?;
    let Some(mut secret) = found else {
        return Ok(CertificateSource::Missing);
    };
    if secret.type_.as_deref() != Some(secret_types::TLS) {
        return Ok(CertificateSource::WrongType(secret.type_.unwrap_or_default()));
    }
    let mut take = |key: &str| {
        let value = secret.data.as_mut().and_then(|data| data.remove(key));
        Zeroizing::new(value.unwrap_or_default().0)
    };
    let (certificate, key) = (take("tls.crt"), take("tls.key"));
    Ok(match TlsPair::parse(&certificate, &key) {
        Ok(pair) => CertificateSource::Usable(pair.certificate),
        Err(why) => CertificateSource::Unusable(why),
    })
}

/// The names of the signing keys in the document in force that every Pod is known to have.
fn proven_keys(index: &LiveIndex, registry: &ObjectRef<Registry>, context: &Context) -> HashSet<String> {
    let keys = index.content().into_iter().flat_map(|content| &content.token.keys);
    let kids = keys.map(|key| key.kid.clone());
    kids.filter(|kid| context.proofs.has_entry(registry, &key_entry(kid)))
        .collect()
}

/// How a signing key is remembered among what every Pod has.
pub(super) fn key_entry(kid: &str) -> String {
    format!("key {kid}")
}

/// A new ES256 key; its name is random, because nothing depends on it.
fn fresh_key() -> TokenKey {
    let pair = rcgen::KeyPair::generate().expect("the system gives random numbers");
    TokenKey {
        kid: uuid::Uuid::new_v4().to_string(),
        private_key: pair.serialize_pem(),
        refresh_only: false,
    }
}

/// Whether an object carries the label of this Registry.
pub(super) fn belongs_to(object: &impl ResourceExt, registry: &str) -> bool {
    object
        .labels()
        .get(labels::REGISTRY)
        .is_some_and(|value| value == registry)
}

/// The Pods that belong to a Deployment through one of its ReplicaSets. A label alone makes no Pod ours.
fn pods_of(deployment: Option<&DynamicObject>, context: &Context) -> Vec<Arc<Pod>> {
    let Some(deployment) = deployment else {
        return Vec::new();
    };
    let (namespace, uid) = (deployment.namespace(), deployment.uid().unwrap_or_default());
    let sets: Vec<String> = context
        .stores
        .replica_sets
        .state()
        .iter()
        .filter(|set| set.namespace() == namespace && owned_by(set.as_ref(), &uid))
        .filter_map(|set| set.uid())
        .collect();
    let mut pods = context
        .stores
        .pods
        .state_filter(|pod| pod.namespace() == namespace && sets.iter().any(|set| owned_by(pod, set)));
    pods.sort_by_key(|pod| pod.name_any());
    pods
}

fn owned_by(object: &impl ResourceExt, uid: &str) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

async fn claim(registry: &Registry, namespace: &str, context: &Context) -> Result<Claim, api::Error> {
    let Some(storage) = &registry.spec.storage.persistent_volume_claim else {
        return Ok(Claim::NotNeeded);
    };
    let name = storage
        .claim_name
        .clone()
        .unwrap_or_else(|| names::data_claim(&registry.name_any()));
    let ours = context.stores.owned.get("PersistentVolumeClaim").and_then(|store| {
        let found =
            store.state_filter(|claim| claim.name_any() == name && claim.namespace().as_deref() == Some(namespace));
        found.into_iter().next()
    });
    let phase = if let Some(claim) = ours {
        claim.data["status"]["phase"].as_str().map(str::to_owned)
    } else {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
        let found = api::find(format!("read PersistentVolumeClaim `{name}`"), claims.get_opt(&name)).await?;
        let Some(claim) = found else { return Ok(Claim::Absent) };
        claim.status.and_then(|status| status.phase)
    };
    if phase.as_deref() == Some("Bound") {
        return Ok(Claim::Bound);
    }
    let events: Api<Event> = Api::namespaced(context.client.clone(), namespace);
    let about = ListParams::default().fields(&format!(
        "involvedObject.kind=PersistentVolumeClaim,involvedObject.name={name}"
    ));
    let events = api::call(format!("list events of `{name}`"), events.list(&about)).await?;
    let newest = events.items.into_iter().max_by_key(|event| {
        event
            .last_timestamp
            .clone()
            .map(|time| time.0)
            .or(event.event_time.clone().map(|time| time.0))
    });
    Ok(Claim::Pending {
        why: newest.and_then(|event| event.message),
    })
}
