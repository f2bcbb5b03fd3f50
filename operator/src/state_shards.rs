//! The state of a Registry that does not fit its Secret, in shards beside it.
//!
//! The state's Secret alone says which shards there are, and none is written twice: whoever writes the state makes new ones, and then
//! replaces the list, in place of exactly the version that was read. Whoever was overtaken leaves shards that nobody lists, and harms nothing.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use registry_config::{MAX_SHARD_BYTES, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api;

/// Key of the list in the state's Secret: JSON.
pub(crate) const LIST_KEY: &str = "shards";
/// Key of its part of the state in a shard.
const SHARD_KEY: &str = "state";

/// What the state's Secret holds instead of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    /// The installation that manages the Registry, which is to be known where a shard is missing, too.
    pub(crate) installation: String,
    shards: Vec<Shard>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shard {
    secret: String,
    digest: String,
}

impl List {
    /// The list in a state's Secret, where there is one.
    pub(crate) fn of(secret: &Secret) -> Option<Self> {
        let list = secret.data.as_ref()?.get(LIST_KEY)?;
        serde_json::from_slice(&list.0).ok()
    }

    /// What stands under [`LIST_KEY`].
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a list has only string keys")
    }

    /// The names of the shards.
    pub(crate) fn secrets(&self) -> Vec<String> {
        self.shards.iter().map(|shard| shard.secret.clone()).collect()
    }

    /// What the shards hold together, or why that is not what is listed.
    pub(crate) async fn read(&self, secrets: &Api<Secret>) -> Result<Result<Vec<u8>, String>, api::Error> {
        let pieces = try_join_all(self.shards.iter().map(async |shard| {
            let name = &shard.secret;
            let found = api::find(format!("read Secret `{name}`"), secrets.get_opt(name)).await?;
            let piece = found.and_then(|mut found| found.data.as_mut()?.remove(SHARD_KEY));
            Ok(match piece {
                Some(piece) if digest(&piece.0) == shard.digest => Ok(piece.0),
                Some(_) => Err(format!("the Secret `{name}`, which it lists, was changed")),
                None => Err(format!(
                    "the Secret `{name}`, which it lists, is gone or has no key `{SHARD_KEY}`"
                )),
            })
        }))
        .await?;
        let whole: Result<Vec<Vec<u8>>, String> = pieces.into_iter().collect();
        Ok(whole.map(|pieces| pieces.concat()))
    }

    /// Makes new shards of a packed state; `like` is what Secrets of the state have, the name of the list's among it. With the list come
    /// their versions.
    pub(crate) async fn write(
        secrets: &Api<Secret>,
        like: &Secret,
        installation: &str,
        packed: &[u8],
    ) -> Result<(Self, Vec<Option<String>>), api::Error> {
        let list = like.metadata.name.as_deref().unwrap_or_default();
        let unique = Uuid::new_v4().simple().to_string();
        let pieces = packed.chunks(MAX_SHARD_BYTES).enumerate();
        let written = try_join_all(pieces.map(async |(number, piece)| {
            let name = format!("{list}-{}-{number}", &unique[..12]);
            let mut secret = like.clone();
            secret.metadata.name = Some(name.clone());
            secret.data = Some(BTreeMap::from([(SHARD_KEY.to_owned(), ByteString(piece.to_vec()))]));
            let version = api::put(secrets, secret, None).await?.resource_version();
            let digest = digest(piece);
            Ok((Shard { secret: name, digest }, version))
        }))
        .await?;
        let (shards, versions) = written.into_iter().unzip();
        let installation = installation.to_owned();
        Ok((Self { installation, shards }, versions))
    }
}
