//! Removes the Secrets that carry no owner reference, once what they belonged to is certainly gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crds::{Registry, RegistryIdentity, labels};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use crate::api;
use crate::context::{Context, retain_keys};
use crate::names;

/// A look without any deletion that would have told of work.
const PERIOD: Duration = Duration::from_secs(600);

/// Looks whenever something was deleted, until the operator ends.
pub(crate) async fn run(context: &Arc<Context>) {
    loop {
        let _ = tokio::time::timeout(PERIOD, context.queues.prune.notified()).await;
        forget(context);
        let mut secrets = context.stores.own_secrets.state();
        // By name a state comes before its shards, which wait until it is gone.
        secrets.sort_unstable_by_key(|secret| (secret.namespace(), secret.name_any()));
        for secret in secrets {
            if let Err(error) = prune(context, &secret).await {
                tracing::warn!(
                    secret = secret.name_any(),
                    error = api::chain(&error),
                    "not pruned; tried again later"
                );
            }
        }
    }
}

/// Drops what is remembered of objects that are gone.
fn forget(context: &Context) {
    let stores = &context.stores;
    let exists = |registry: &_| stores.registries.get(registry).is_some();
    retain_keys(&context.published, exists);
    context.documents.retain(exists);
    context.states.retain(exists);
    for registry in context
        .proofs
        .forget_gone(|registry| stores.registries.get(registry).is_some())
    {
        context.outcomes.forget(&registry);
    }
    context
        .elsewhere
        .retain(|registry| stores.registries.get(registry).is_some());
    let identities: HashSet<String> = stores
        .identities
        .state()
        .iter()
        .filter_map(|identity| identity.uid())
        .collect();
    context.hashing.retain(|identity| identities.contains(identity));
}

/// Whether there is a Secret that may list shards of a Registry's state.
async fn has_state(context: &Context, namespace: &str, registry: &str) -> Result<bool, api::Error> {
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let list = names::state_secret(registry);
    let found = api::find(format!("read Secret `{list}`"), secrets.get_metadata_opt(&list)).await?;
    Ok(found.is_some())
}

async fn prune(context: &Context, secret: &PartialObjectMeta<Secret>) -> Result<(), api::Error> {
    let (name, namespace) = (secret.name_any(), secret.namespace().unwrap_or_default());
    let Some(registry) = secret.labels().get(labels::REGISTRY) else {
        return Ok(());
    };
    let gone = if let Some(identity) = secret.labels().get(labels::IDENTITY) {
        let known = context
            .stores
            .identities
            .get(&ObjectRef::new(identity).within(&namespace));
        let identities: Api<RegistryIdentity> = Api::namespaced(context.client.clone(), &namespace);
        known.is_none()
            && api::find(
                format!("read RegistryIdentity `{identity}`"),
                identities.get_opt(identity),
            )
            .await?
            .is_none()
    } else if name == names::state_secret(registry) || names::is_state_shard(registry, &name) {
        // A Registry that is made again meanwhile finds its state whole or not at all.
        if name != names::state_secret(registry) && has_state(context, &namespace, registry).await? {
            return Ok(());
        }
        let known = context
            .stores
            .registries
            .get(&ObjectRef::new(registry).within(&namespace));
        let registries: Api<Registry> = Api::namespaced(context.client.clone(), &namespace);
        known.is_none()
            && api::find(format!("read Registry `{registry}`"), registries.get_opt(registry))
                .await?
                .is_none()
    } else {
        // Everything else has an owner reference.
        false
    };
    if !gone {
        return Ok(());
    }
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    if api::delete_exactly(format!("delete Secret `{name}`"), &secrets, secret).await? {
        tracing::info!(namespace, secret = name, "deleted: what it belonged to is gone");
    }
    Ok(())
}
