//! What the operator keeps about a Registry, read from its Secret and the shards of that.

use std::sync::Arc;

use crds::Registry;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use crate::api;
use crate::context::Context;
use crate::shards;
use crate::state::{LiveState, Outside, SecretVersion};
use crate::state_shards::List;

/// Reads the state, where it is not the one that was read last.
pub(super) async fn read(
    secret: Option<&Secret>,
    registry: &ObjectRef<Registry>,
    secrets: &Api<Secret>,
    context: &Context,
) -> Result<LiveState, api::Error> {
    let installation = &context.settings.installation;
    let Some(secret) = secret else {
        return Ok(LiveState::read(None, None, installation));
    };
    let list = List::of(secret);
    let names = list.as_ref().map(List::secrets).unwrap_or_default();
    let versions = shards::versions(secrets, secret, &names).await?;
    if let Some(state) = context.states.find(registry, versions.as_ref()) {
        return Ok(LiveState::Ours {
            state: state.as_ref().clone(),
            secret: SecretVersion {
                resource_version: secret.resource_version(),
                slot: None,
                shards: names,
            },
            taken_over: false,
        });
    }
    let outside = match list {
        Some(list) => {
            let packed = list.read(secrets).await?;
            if packed.is_err() {
                shards::ensure_unchanged(secrets, &secret.name_any(), secret.resource_version()).await?;
            }
            Some(Outside { list, packed })
        }
        None => None,
    };
    let read = LiveState::read(Some(secret), outside, installation);
    if let LiveState::Ours {
        state,
        taken_over: false,
        ..
    } = &read
    {
        context.states.keep(registry, versions, Arc::new(state.clone()));
    }
    Ok(read)
}
