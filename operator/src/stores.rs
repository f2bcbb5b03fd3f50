//! Everything that the operator watches, and which Registries each change concerns.
//!
//! Every watch has a task and a back-off of its own, so that one that keeps failing holds up no other. Each re-list
//! concerns all Registries, because a deletion that was missed while disconnected must still revoke.

mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::{AccessPolicy, Registry, RegistryIdentity, SecretFileReference};
use futures::channel::mpsc;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::{Api, Client, ResourceExt};

use crate::registry::render::KINDS;
use watches::Watches;

/// The watched objects.
pub(crate) struct Stores {
    pub(crate) registries: Store<Registry>,
    pub(crate) identities: Store<RegistryIdentity>,
    pub(crate) policies: Store<AccessPolicy>,
    /// Secrets that carry the label of consent.
    pub(crate) labelled: Store<PartialObjectMeta<Secret>>,
    /// Secrets of the type of consent.
    pub(crate) typed: Store<PartialObjectMeta<Secret>>,
    /// Secrets with certificates.
    pub(crate) certificates: Store<PartialObjectMeta<Secret>>,
    /// Secrets of the operator's own: access, state, generated.
    pub(crate) own_secrets: Store<PartialObjectMeta<Secret>>,
    /// The operator's own objects of each kind of [`KINDS`], by kind.
    pub(crate) owned: BTreeMap<&'static str, Store<DynamicObject>>,
    pub(crate) pods: Store<Pod>,
    pub(crate) replica_sets: Store<ReplicaSet>,
    /// Namespaces, whose labels may admit what is in them.
    pub(crate) namespaces: Store<PartialObjectMeta<Namespace>>,
}

/// The queues of the three controllers and of pruning.
#[derive(Clone)]
pub(crate) struct Queues {
    pub(crate) registries: mpsc::UnboundedSender<ObjectRef<Registry>>,
    pub(crate) identities: mpsc::UnboundedSender<ObjectRef<RegistryIdentity>>,
    pub(crate) policies: mpsc::UnboundedSender<ObjectRef<AccessPolicy>>,
    /// Something was deleted that objects of ours may have belonged to.
    pub(crate) prune: Arc<tokio::sync::Notify>,
}

impl Queues {
    pub(crate) fn registry(&self, registry: ObjectRef<Registry>) {
        // A closed queue means that the operator is shutting down.
        let _ = self.registries.unbounded_send(registry);
    }

    pub(crate) fn identity(&self, identity: ObjectRef<RegistryIdentity>) {
        let _ = self.identities.unbounded_send(identity);
    }

    pub(crate) fn policy(&self, policy: ObjectRef<AccessPolicy>) {
        let _ = self.policies.unbounded_send(policy);
    }
}

/// The Registry that an identity names.
pub(crate) fn registry_of(identity: &RegistryIdentity) -> ObjectRef<Registry> {
    let reference = &identity.spec.registry_ref;
    let namespace = reference
        .namespace
        .clone()
        .or_else(|| identity.namespace())
        .unwrap_or_default();
    ObjectRef::new(&reference.name).within(&namespace)
}

/// The Registries that a policy names.
pub(crate) fn registries_of(policy: &AccessPolicy) -> impl Iterator<Item = ObjectRef<Registry>> {
    let home = policy.namespace().unwrap_or_default();
    policy
        .spec
        .target_refs
        .iter()
        .map(move |target| ObjectRef::new(&target.name).within(target.namespace.as_deref().unwrap_or(&home)))
}

/// The Secret with the user file of a Registry.
pub(crate) fn user_file(registry: &Registry) -> Option<&SecretFileReference> {
    registry.spec.auth.as_ref()?.htpasswd_secret_ref.as_ref()
}

/// The Secret with the authorities of clients' certificates.
pub(crate) fn authorities_secret(registry: &Registry) -> Option<&SecretFileReference> {
    let settings = registry.spec.auth.as_ref()?.client_certificates.as_ref()?;
    Some(&settings.authorities_secret_ref)
}

/// The Secret with the keys of the token server.
pub(crate) fn token_server_secret(registry: &Registry) -> Option<&SecretFileReference> {
    let server = registry.spec.auth.as_ref()?.token_server.as_ref()?;
    Some(&server.keys_secret_ref)
}

/// The Secrets with the authorities of issuers of OpenID Connect tokens, by the name of the issuer.
pub(crate) fn issuer_authorities(registry: &Registry) -> impl Iterator<Item = (&str, &SecretFileReference)> {
    let issuers = registry.spec.auth.iter().flat_map(|auth| auth.oidc.iter().flatten());
    issuers.filter_map(|issuer| Some((issuer.name.as_str(), issuer.authorities_secret_ref.as_ref()?)))
}

/// Whether a Registry reads a Secret of this name, apart from its own certificate.
fn reads(registry: &Registry, name: &str) -> bool {
    user_file(registry).is_some_and(|file| file.name == name)
        || authorities_secret(registry).is_some_and(|reference| reference.name == name)
        || token_server_secret(registry).is_some_and(|reference| reference.name == name)
        || issuer_authorities(registry).any(|(_, reference)| reference.name == name)
}

/// The writing ends of all stores.
struct Writers {
    registries: Writer<Registry>,
    identities: Writer<RegistryIdentity>,
    policies: Writer<AccessPolicy>,
    labelled: Writer<PartialObjectMeta<Secret>>,
    typed: Writer<PartialObjectMeta<Secret>>,
    certificates: Writer<PartialObjectMeta<Secret>>,
    own_secrets: Writer<PartialObjectMeta<Secret>>,
    owned: Vec<(ApiResource, Writer<DynamicObject>)>,
    pods: Writer<Pod>,
    replica_sets: Writer<ReplicaSet>,
    namespaces: Writer<PartialObjectMeta<Namespace>>,
}

impl Stores {
    /// Begins to watch everything; returns at once.
    pub(crate) fn watch(client: &Client, queues: &Queues) -> Arc<Self> {
        let (stores, writers) = Self::new();
        let stores = Arc::new(stores);
        let watches = Watches {
            client: client.clone(),
            queues: queues.clone(),
            stores: Arc::downgrade(&stores),
        };
        let Writers {
            registries,
            identities,
            policies,
            labelled,
            typed,
            certificates,
            own_secrets,
            owned,
            pods,
            replica_sets,
            namespaces,
        } = writers;
        watches.api(registries, identities, policies);
        watches.credentials(labelled, typed);
        watches.certificates(certificates);
        watches.namespaces(namespaces);
        // A deletion of one of these is repaired, so it matters just like a change.
        watches.own_secrets(own_secrets);
        watches.belongings("Pods", Api::all(client.clone()), pods);
        watches.belongings("ReplicaSets", Api::all(client.clone()), replica_sets);
        for (resource, writer) in owned {
            watches.belongings(&resource.plural, Api::all_with(client.clone(), &resource), writer);
        }
        stores
    }

    fn new() -> (Self, Writers) {
        let (registries, registry_writer) = reflector::store();
        let (identities, identity_writer) = reflector::store();
        let (policies, policy_writer) = reflector::store();
        let (labelled, labelled_writer) = reflector::store();
        let (typed, typed_writer) = reflector::store();
        let (certificates, certificate_writer) = reflector::store();
        let (own_secrets, own_secret_writer) = reflector::store();
        let (pods, pod_writer) = reflector::store();
        let (replica_sets, replica_set_writer) = reflector::store();
        let (namespaces, namespace_writer) = reflector::store();
        let mut owned = BTreeMap::new();
        let mut owned_writers = Vec::new();
        for kind in KINDS {
            let writer = Writer::new(kind.resource());
            owned.insert(kind.name, writer.as_reader());
            owned_writers.push((kind.resource(), writer));
        }
        let writers = Writers {
            registries: registry_writer,
            identities: identity_writer,
            policies: policy_writer,
            labelled: labelled_writer,
            typed: typed_writer,
            certificates: certificate_writer,
            own_secrets: own_secret_writer,
            owned: owned_writers,
            pods: pod_writer,
            replica_sets: replica_set_writer,
            namespaces: namespace_writer,
        };
        let stores = Self {
            registries,
            identities,
            policies,
            labelled,
            typed,
            certificates,
            own_secrets,
            owned,
            pods,
            replica_sets,
            namespaces,
        };
        (stores, writers)
    }

    /// Queues every object there is.
    pub(crate) fn queue_all(&self, queues: &Queues) {
        for registry in self.registries.state() {
            queues.registry(ObjectRef::from_obj(registry.as_ref()));
        }
        for identity in self.identities.state() {
            queues.identity(ObjectRef::from_obj(identity.as_ref()));
        }
        for policy in self.policies.state() {
            queues.policy(ObjectRef::from_obj(policy.as_ref()));
        }
        queues.prune.notify_one();
    }

    /// Queues those who name a Registry: they learn that it came or went.
    fn queue_dependents(&self, registry: &ObjectRef<Registry>, queues: &Queues) {
        for identity in self
            .identities
            .state_filter(|identity| registry_of(identity) == *registry)
        {
            queues.identity(ObjectRef::from_obj(identity.as_ref()));
        }
        let targets = |policy: &AccessPolicy| registries_of(policy).any(|target| target == *registry);
        for policy in self.policies.state_filter(targets) {
            queues.policy(ObjectRef::from_obj(policy.as_ref()));
        }
    }

    /// Waits until every store has been filled once: a document rendered from less could revoke by mistake.
    ///
    /// # Errors
    /// Where the operator is shutting down.
    pub(crate) async fn wait_until_ready(&self) -> anyhow::Result<()> {
        self.registries.wait_until_ready().await?;
        self.identities.wait_until_ready().await?;
        self.policies.wait_until_ready().await?;
        self.labelled.wait_until_ready().await?;
        self.typed.wait_until_ready().await?;
        self.certificates.wait_until_ready().await?;
        self.own_secrets.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.replica_sets.wait_until_ready().await?;
        self.namespaces.wait_until_ready().await?;
        for store in self.owned.values() {
            store.wait_until_ready().await?;
        }
        Ok(())
    }

    /// A Secret whose owner agreed that identities may read their password from it.
    pub(crate) fn credential(&self, namespace: &str, name: &str) -> Option<Arc<PartialObjectMeta<Secret>>> {
        let reference = ObjectRef::new(name).within(namespace);
        self.typed.get(&reference).or_else(|| self.labelled.get(&reference))
    }
}
