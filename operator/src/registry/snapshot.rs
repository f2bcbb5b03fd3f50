//! All reads of a pass over a Registry: from the stores where they serve, live where only the newest will do.

use std::collections::HashMap;
use std::sync::Arc;

use crds::{AccessPolicy, Registry, RegistryIdentity, annotations, labels, reasons, secret_types};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod, Secret};
use kube::api::{DynamicObject, ListParams, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use registry_config::{
    AccessContent, CONTENT_KEY, Certificate, Htpasswd, INDEX_KEY, InvalidTlsPair, TlsPair, TokenKey,
};
use zeroize::Zeroizing;

use crate::api;
use crate::cluster_issuer::ClusterIssuer;
use crate::context::Context;
use crate::hashing::{HashResult, HashSlot, Which, is_marked, value_of};
use crate::names;
use crate::outcome::Verdict;
use crate::password_source::PasswordSource;
use crate::state::{LiveState, SecretVersion};
use crate::stores::{authorities_secret, registries_of, registry_of, user_file};

/// Everything that a pass knows.
pub(super) struct Snapshot {
    pub(super) registry: Arc<Registry>,
    /// Identities that name this Registry, from any namespace, oldest first.
    pub(super) identities: Vec<Arc<RegistryIdentity>>,
    /// Policies that name this Registry, from any namespace, by name.
    pub(super) policies: Vec<Arc<AccessPolicy>>,
    /// The Secrets that identities of this namespace read their passwords from, by identity UID.
    pub(super) sources: HashMap<String, Source>,
    /// The latest results of hashing.
    pub(super) hashes: HashMap<HashSlot, HashResult>,
    pub(super) state: LiveState,
    pub(super) index: LiveIndex,
    /// A signing key for a Registry that has none.
    pub(super) fresh_key: TokenKey,
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
    pub(super) authorities: Authorities,
    /// Who issues tokens of ServiceAccounts, where that is known.
    pub(super) cluster_issuer: Option<Arc<ClusterIssuer>>,
    pub(super) now: Timestamp,
}

/// The Secret that a password is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// It does not exist.
    Missing,
    /// It exists, but its owner has not agreed.
    NotMarked,
    /// It exists, but is not the one that the operator generated for this identity.
    Foreign,
    /// It exists in this version.
    Present {
        uid: String,
        resource_version: String,
        rotation: Rotation,
    },
}

/// How far the rotation of a generated password is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rotation {
    /// When the password was put there.
    pub(super) since: Option<Timestamp>,
    /// Whether the password that is to follow stands beside it.
    pub(super) is_pending: bool,
}

impl Rotation {
    fn of(secret: &PartialObjectMeta<Secret>) -> Self {
        let rotated = secret.annotations().get(annotations::ROTATED_AT);
        Self {
            since: rotated
                .and_then(|text| text.parse().ok())
                .or_else(|| secret.creation_timestamp().map(|time| time.0)),
            is_pending: secret.annotations().contains_key(annotations::ROTATION_PENDING),
        }
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

/// The authorities of clients' certificates.
pub(super) enum Authorities {
    /// Clients are asked for none.
    NotNeeded,
    /// Their Secret does not exist.
    Missing,
    /// It is of another type, and its owner has not agreed.
    NotMarked,
    /// There are none in it.
    Unusable(Verdict),
    /// They were read: PEM.
    Read(String),
}

impl Authorities {
    /// Whether the Secret itself is what is missing, so that no watch may tell of its coming.
    pub(super) fn is_unresolved(&self) -> bool {
        matches!(self, Self::Missing | Self::NotMarked)
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

/// The published index as a pass found it.
pub(super) enum LiveIndex {
    Absent,
    /// A Secret of that name exists and is none of the operator's.
    Foreign,
    /// It is the operator's, but cannot be read as a document.
    Unreadable {
        secret: SecretVersion,
    },
    Read {
        revision: u64,
        digest: String,
        content: Box<AccessContent>,
        secret: SecretVersion,
    },
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

    let mut sources = HashMap::new();
    let mut hashes = HashMap::new();
    for identity in identities
        .iter()
        .filter(|identity| identity.namespace().as_deref() == Some(&namespace))
    {
        let uid = identity.uid().unwrap_or_default();
        if let Some(source) = source(identity, &secrets, &namespace, context).await? {
            sources.insert(uid.clone(), source);
        }
        for which in [Which::Current, Which::Next] {
            let identity = uid.clone();
            let slot = HashSlot { identity, which };
            if let Some(result) = context.hashing.result(&slot) {
                hashes.insert(slot, result);
            }
        }
    }

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
    let authorities = authorities(&registry, &secrets).await?;
    let highest_reported = context.proofs.highest(&reference);
    Ok(Snapshot {
        state: LiveState::read(state.as_ref(), &context.settings.installation),
        index: read_index(index.as_ref()),
        fresh_key: fresh_key(),
        now: Timestamp::now(),
        registry,
        identities,
        policies,
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
        cluster_issuer: context.cluster_issuer.get(),
    })
}

/// What is known about the Secret that an identity names.
async fn source(
    identity: &RegistryIdentity,
    secrets: &Api<Secret>,
    namespace: &str,
    context: &Context,
) -> Result<Option<Source>, api::Error> {
    let Some(PasswordSource {
        secret: name, generate, ..
    }) = PasswordSource::of(identity)
    else {
        return Ok(None);
    };
    let generated = generate.is_some();
    let judge = |secret: &PartialObjectMeta<Secret>| {
        if generated && secret.labels().get(labels::IDENTITY) != Some(&identity.name_any()) {
            return Source::Foreign;
        }
        Source::Present {
            uid: secret.uid().unwrap_or_default(),
            resource_version: secret.resource_version().unwrap_or_default(),
            rotation: Rotation::of(secret),
        }
    };
    if let Some(secret) = context.stores.credential(namespace, &name) {
        return Ok(Some(judge(&secret)));
    }
    // Not among the marked ones as far as the watches have come: the API server knows for certain.
    let found = api::find(format!("read Secret `{name}`"), secrets.get_metadata_opt(&name)).await?;
    Ok(Some(match found {
        None => Source::Missing,
        Some(secret) if generated => judge(&secret),
        Some(secret)
            if secret
                .labels()
                .get(labels::CREDENTIAL)
                .is_some_and(|value| value == "true") =>
        {
            judge(&secret)
        }
        // The type is not part of the metadata; a Secret of the right one comes through its watch in a moment.
        Some(_) => Source::NotMarked,
    }))
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

/// Reads the authorities of clients' certificates.
async fn authorities(registry: &Registry, secrets: &Api<Secret>) -> Result<Authorities, api::Error> {
    let Some(reference) = authorities_secret(registry) else {
        return Ok(Authorities::NotNeeded);
    };
    let name = &reference.name;
    let found = api::find(format!("read Secret `{name}`"), secrets.get_opt(name)).await?;
    let Some(found) = found else {
        return Ok(Authorities::Missing);
    };
    if found.type_.as_deref() != Some(secret_types::TLS) && !is_marked(&found) {
        return Ok(Authorities::NotMarked);
    }
    let text = value_of(found, reference.key.as_deref().unwrap_or("ca.crt"));
    let text = text.and_then(|text| {
        let is_no_text = |_| Verdict::no(reasons::INVALID_AUTHORITIES, "it is no PEM");
        std::str::from_utf8(&text).map(str::to_owned).map_err(is_no_text)
    });
    Ok(text.map_or_else(Authorities::Unusable, Authorities::Read))
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

fn read_index(secret: Option<&Secret>) -> LiveIndex {
    let Some(secret) = secret else { return LiveIndex::Absent };
    if secret.type_.as_deref() != Some(secret_types::ACCESS) {
        return LiveIndex::Foreign;
    }
    let version = SecretVersion {
        resource_version: secret.resource_version(),
    };
    let data = secret.data.as_ref();
    let key = |key: &str| data.and_then(|data| data.get(key)).map(|value| value.0.as_slice());
    let (Some(index), Some(content)) = (key(INDEX_KEY), key(CONTENT_KEY)) else {
        return LiveIndex::Unreadable { secret: version };
    };
    match registry_config::index_from_secret(index, content) {
        Ok((index, access)) => LiveIndex::Read {
            revision: index.revision,
            digest: index.digest.unwrap_or_default(),
            content: Box::new(access.content),
            secret: version,
        },
        Err(_) => LiveIndex::Unreadable { secret: version },
    }
}

/// A new ES256 key; its name is random, because nothing depends on it.
fn fresh_key() -> TokenKey {
    let pair = rcgen::KeyPair::generate().expect("the system gives random numbers");
    TokenKey {
        kid: uuid::Uuid::new_v4().to_string(),
        private_key: pair.serialize_pem(),
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
