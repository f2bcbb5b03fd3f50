//! An access document that does not fit its Secret, in shards beside it: read, and written where nobody reads.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use registry_config::{SHARD_KEY, Shards};

use crate::api;
use crate::decoded::Versions;

/// The Secrets of a slot as they were before it is written to: with each name its version, none where there is no such Secret.
pub(crate) struct Idle(Vec<(String, Option<String>)>);

/// Why a slot cannot be written to: a Secret of somebody else has one of its names.
pub(crate) struct Occupied(pub(crate) String);

/// The versions of a Secret and of its shards; `None` where one of them does not exist.
pub(crate) async fn versions(
    secrets: &Api<Secret>,
    secret: &Secret,
    shards: &[String],
) -> Result<Option<Versions>, api::Error> {
    let found = try_join_all(shards.iter().map(async |name| {
        let found = api::find(format!("read Secret `{name}`"), secrets.get_metadata_opt(name)).await?;
        Ok(found.and_then(|found| found.resource_version()))
    }))
    .await?;
    Ok(Versions::of([secret.resource_version()].into_iter().chain(found)))
}

/// Puts together what stands in the shards of the Secret `list`. None where that is not what is listed.
pub(crate) async fn read(secrets: &Api<Secret>, list: &str, shards: &Shards) -> Result<Option<Vec<u8>>, api::Error> {
    let pieces = try_join_all(shards.secrets(list).into_iter().map(async |name| {
        let found = api::find(format!("read Secret `{name}`"), secrets.get_opt(&name)).await?;
        let piece = found.and_then(|mut secret| secret.data.as_mut()?.remove(SHARD_KEY));
        Ok(piece.map(|piece| piece.0).unwrap_or_default())
    }))
    .await?;
    Ok(shards.join(&pieces).ok())
}

/// Looks at the Secrets that are to be written.
pub(crate) async fn look(
    secrets: &Api<Secret>,
    list: &str,
    shards: &Shards,
    type_: &str,
) -> Result<Result<Idle, Occupied>, api::Error> {
    let mut found = Vec::new();
    for name in shards.secrets(list) {
        let secret = api::find(format!("read Secret `{name}`"), secrets.get_opt(&name)).await?;
        if secret
            .as_ref()
            .is_some_and(|secret| secret.type_.as_deref() != Some(type_))
        {
            return Ok(Err(Occupied(name)));
        }
        found.push((name, secret.and_then(|secret| secret.resource_version())));
    }
    Ok(Ok(Idle(found)))
}

/// Makes sure that the Secret `list` still has the version that was read, none where there was no such Secret: then nobody has written to
/// its shards since, and ones that are not those it lists are damaged.
pub(crate) async fn ensure_unchanged(
    secrets: &Api<Secret>,
    list: &str,
    read: Option<String>,
) -> Result<(), api::Error> {
    let what = format!("read Secret `{list}`");
    let now = api::find(what.as_str(), secrets.get_metadata_opt(list)).await?;
    if now.and_then(|secret| secret.resource_version()) == read {
        Ok(())
    } else {
        Err(api::Error::conflict(what, "it was written while its shards were read"))
    }
}

impl Idle {
    /// Writes each piece in place of exactly the version that was looked at; `like` is what the Secrets have beside it. Whoever was
    /// overtaken gets a conflict. The result is their new versions.
    pub(crate) async fn write(
        self,
        secrets: &Api<Secret>,
        pieces: Vec<Vec<u8>>,
        like: &Secret,
    ) -> Result<Vec<Option<String>>, api::Error> {
        let mut versions = Vec::new();
        for ((name, version), piece) in self.0.into_iter().zip(pieces) {
            let mut secret = like.clone();
            secret.data = Some(BTreeMap::from([(SHARD_KEY.to_owned(), ByteString(piece))]));
            secret.metadata.name = Some(name.clone());
            versions.push(api::put(secrets, secret, version).await?.resource_version());
        }
        Ok(versions)
    }
}
