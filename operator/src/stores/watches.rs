//! [`Watches`]: what fills the stores, and tells which Registries a change concerns.

use std::sync::Weak;
use std::time::Duration;

use crds::{AccessPolicy, Registry, RegistryIdentity, labels, secret_types};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, reflector, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::password_source::PasswordSource;

use super::{Queues, Stores, reads, registries_of, registry_of};

/// Each watch is asked anew after this many seconds: some load balancers silently drop connections idle for 240 s.
const WATCH_SECONDS: u32 = 200;

/// Starts the watches.
pub(super) struct Watches {
    pub(super) client: Client,
    pub(super) queues: Queues,
    /// Weak, so that the watches do not keep alive what they fill.
    pub(super) stores: Weak<Stores>,
}

impl Watches {
    /// The three kinds of the API.
    pub(super) fn api(
        &self,
        registries: Writer<Registry>,
        identities: Writer<RegistryIdentity>,
        policies: Writer<AccessPolicy>,
    ) {
        let (queues, stores) = (self.queues.clone(), self.stores.clone());
        self.start(
            "Registries",
            Api::all(self.client.clone()),
            config(),
            registries,
            move |registry, gone| {
                let reference = ObjectRef::from_obj(registry);
                if let Some(stores) = stores.upgrade() {
                    stores.queue_dependents(&reference, &queues);
                }
                if gone {
                    queues.prune.notify_one();
                }
                queues.registry(reference);
            },
        );
        let queues = self.queues.clone();
        self.start(
            "RegistryIdentities",
            Api::all(self.client.clone()),
            config(),
            identities,
            move |identity, gone| {
                if gone {
                    queues.prune.notify_one();
                }
                queues.registry(registry_of(identity));
                queues.identity(ObjectRef::from_obj(identity));
            },
        );
        let queues = self.queues.clone();
        self.start(
            "AccessPolicies",
            Api::all(self.client.clone()),
            config(),
            policies,
            move |policy, _| {
                registries_of(policy).for_each(|registry| queues.registry(registry));
                queues.policy(ObjectRef::from_obj(policy));
            },
        );
    }

    /// The Secrets that identities may read their passwords from.
    pub(super) fn credentials(
        &self,
        labelled: Writer<PartialObjectMeta<Secret>>,
        typed: Writer<PartialObjectMeta<Secret>>,
    ) {
        let (queues, stores) = (self.queues.clone(), self.stores.clone());
        let on_change = move |secret: &PartialObjectMeta<Secret>, _: bool| {
            let Some(stores) = stores.upgrade() else { return };
            let (namespace, name) = (secret.namespace(), secret.name_any());
            let has_password = |identity: &RegistryIdentity| {
                identity.namespace() == namespace
                    && PasswordSource::of(identity).is_some_and(|source| source.secret == name)
            };
            for identity in stores.identities.state_filter(has_password) {
                queues.registry(registry_of(&identity));
            }
            let reads = |registry: &Registry| registry.namespace() == namespace && reads(registry, &name);
            for registry in stores.registries.state_filter(reads) {
                queues.registry(ObjectRef::from_obj(registry.as_ref()));
            }
        };
        let by_label = config().labels(&format!("{}=true", labels::CREDENTIAL));
        let by_type = config().fields(&format!("type={}", secret_types::CREDENTIAL));
        let secrets = || Api::all(self.client.clone());
        self.start("labelled Secrets", secrets(), by_label, labelled, on_change.clone());
        self.start("credential Secrets", secrets(), by_type, typed, on_change);
    }

    /// The Secrets that Registries may have their certificates in.
    pub(super) fn certificates(&self, writer: Writer<PartialObjectMeta<Secret>>) {
        let (queues, stores) = (self.queues.clone(), self.stores.clone());
        let on_change = move |secret: &PartialObjectMeta<Secret>, _: bool| {
            let Some(stores) = stores.upgrade() else { return };
            let (namespace, name) = (secret.namespace(), secret.name_any());
            let shows = |registry: &Registry| {
                let tls = registry.spec.tls.as_ref();
                registry.namespace() == namespace
                    && (tls.is_some_and(|tls| tls.secret_ref.name == name) || reads(registry, &name))
            };
            for registry in stores.registries.state_filter(shows) {
                queues.registry(ObjectRef::from_obj(registry.as_ref()));
            }
        };
        let by_type = config().fields(&format!("type={}", secret_types::TLS));
        self.start(
            "certificates",
            Api::all(self.client.clone()),
            by_type,
            writer,
            on_change,
        );
    }

    /// Namespaces: a label may admit, or shut out, everybody in one.
    pub(super) fn namespaces(&self, writer: Writer<PartialObjectMeta<Namespace>>) {
        let (queues, stores) = (self.queues.clone(), self.stores.clone());
        let on_change = move |_: &PartialObjectMeta<Namespace>, _: bool| {
            let Some(stores) = stores.upgrade() else { return };
            let admits = |registry: &Registry| {
                registry.spec.allowed_identities.is_some() || registry.spec.allowed_policies.is_some()
            };
            for registry in stores.registries.state_filter(admits) {
                queues.registry(ObjectRef::from_obj(registry.as_ref()));
            }
        };
        self.start("Namespaces", Api::all(self.client.clone()), config(), writer, on_change);
    }

    /// The operator's own Secrets: those of a Registry stand beside it, those of an identity beside that.
    pub(super) fn own_secrets(&self, writer: Writer<PartialObjectMeta<Secret>>) {
        let (queues, stores) = (self.queues.clone(), self.stores.clone());
        let on_change = move |secret: &PartialObjectMeta<Secret>, _: bool| {
            let Some(stores) = stores.upgrade() else { return };
            let namespace = secret.namespace().unwrap_or_default();
            let identity = secret.labels().get(labels::IDENTITY);
            let identity = identity.and_then(|name| stores.identities.get(&ObjectRef::new(name).within(&namespace)));
            let registry = match (identity, secret.labels().get(labels::REGISTRY)) {
                (Some(identity), _) => registry_of(&identity),
                (None, Some(registry)) => ObjectRef::new(registry).within(&namespace),
                (None, None) => return,
            };
            queues.registry(registry);
        };
        self.start(
            "the operator's Secrets",
            Api::all(self.client.clone()),
            config().labels(labels::REGISTRY),
            writer,
            on_change,
        );
    }

    /// Objects that carry the name of their Registry as a label.
    pub(super) fn belongings<K>(&self, what: &str, api: Api<K>, writer: Writer<K>)
    where
        K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Eq + std::hash::Hash + Clone + Send + Sync,
    {
        let queues = self.queues.clone();
        self.start(
            what,
            api,
            config().labels(labels::REGISTRY),
            writer,
            move |object, _| {
                if let Some(registry) = object.labels().get(labels::REGISTRY) {
                    let namespace = object.namespace().unwrap_or_default();
                    queues.registry(ObjectRef::new(registry).within(&namespace));
                }
            },
        );
    }

    fn start<K>(
        &self,
        what: &str,
        api: Api<K>,
        config: watcher::Config,
        writer: Writer<K>,
        on_change: impl FnMut(&K, bool) + Send + 'static,
    ) where
        K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Eq + std::hash::Hash + Clone + Send + Sync,
    {
        let (queues, stores) = (self.queues.clone(), self.stores.clone());
        let on_list = move || {
            if let Some(stores) = stores.upgrade() {
                stores.queue_all(&queues);
            }
        };
        spawn(what, api, config, writer, on_list, on_change);
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Watches in a task of its own, keeps the store filled, and tells of changes (with `true` for a deletion) and re-lists.
fn spawn<K>(
    what: &str,
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    mut on_list: impl FnMut() + Send + 'static,
    mut on_change: impl FnMut(&K, bool) + Send + 'static,
) where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone + Send + Sync,
{
    let backoff = ResetTimerBackoff::new(WatchBackoff::default(), Duration::from_secs(60));
    let events = reflector::reflector(
        writer,
        watch(api, config).modify(|object| object.managed_fields_mut().clear()),
    )
    .backoff(backoff);
    let what = what.to_owned();
    tokio::spawn(async move {
        futures::pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object)) => on_change(&object, false),
                Ok(Event::Delete(object)) => on_change(&object, true),
                Ok(Event::Init | Event::InitApply(_)) => {}
                Ok(Event::InitDone) => on_list(),
                Err(error) => tracing::warn!(
                    watch = what,
                    error = crate::api::chain(&error),
                    "watch interrupted; it is resumed"
                ),
            }
        }
    });
}

/// Pauses between attempts to resume a watch: from 200 ms, doubling, at most 5 s, so that a revocation is not late by half
/// a minute after the API server was away.
#[derive(Default)]
struct WatchBackoff(u32);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(200).saturating_mul(2_u32.saturating_pow(self.0));
        self.0 = self.0.saturating_add(1);
        Some(pause.min(Duration::from_secs(5)))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0 = 0;
    }
}
