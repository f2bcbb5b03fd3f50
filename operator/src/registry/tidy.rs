//! Takes away shards that nothing lists: they hold hashes and keys.

use std::sync::Arc;
use std::time::Duration;

use crds::labels;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PartialObjectMeta};
use kube::{Api, ResourceExt};

use super::snapshot::{LiveIndex, Snapshot};
use crate::api;
use crate::context::Context;
use crate::names;
use crate::state::LiveState;

/// How old a shard of the state is before nobody can still be about to list it: longer than any pass, and any leader that was overtaken.
const UNLISTED: Duration = Duration::from_secs(3600);

/// Deletes what was left over when a document got smaller, and what somebody has made of the state and not come to list.
pub(super) async fn tidy(context: &Context, snapshot: &Snapshot) {
    let (registry, namespace) = (snapshot.registry.name_any(), snapshot.registry.namespace());
    let of_document = match &snapshot.index {
        LiveIndex::Read { secret, .. } if secret.slot.is_none() => names::access_shards(&registry),
        _ => Vec::new(),
    };
    let listed = match &snapshot.state {
        LiveState::Ours { secret, .. } => Some(&secret.shards),
        _ => None,
    };
    let is_left_over = |secret: &PartialObjectMeta<Secret>| {
        let name = secret.name_any();
        let age = secret
            .creation_timestamp()
            .and_then(|made| Duration::try_from(snapshot.now.duration_since(made.0)).ok());
        let is_old = age.is_some_and(|age| age > UNLISTED);
        let of_state = listed.is_some_and(|listed| names::is_state_shard(&registry, &name) && !listed.contains(&name));
        of_document.contains(&name) || (of_state && is_old)
    };
    let left_over: Vec<Arc<_>> = context.stores.own_secrets.state_filter(|secret| {
        secret.namespace() == namespace
            && secret.labels().get(labels::REGISTRY) == Some(&registry)
            && !secret.labels().contains_key(labels::IDENTITY)
            && is_left_over(secret)
    });
    for secret in left_over {
        let what = format!("delete Secret `{}`", secret.name_any());
        let deleted = api::delete_exactly(what, &snapshot.secrets(context), secret.as_ref()).await;
        log_left_over(deleted.map(drop));
    }
}

/// Deletes a shard that the operator has written and lists no more. What fails is logged, and left for another time: nothing depends on it.
pub(super) async fn delete(secrets: &Api<Secret>, name: &str) {
    let deleted = api::call(
        format!("delete Secret `{name}`"),
        secrets.delete(name, &DeleteParams::default()),
    )
    .await;
    match deleted {
        Err(error) if error.is_not_found() => {}
        other => log_left_over(other.map(drop)),
    }
}

fn log_left_over(deleted: Result<(), api::Error>) {
    if let Err(error) = deleted {
        tracing::warn!(
            error = api::chain(&error),
            "a shard that nothing lists is left for another time"
        );
    }
}
