//! [`LiveIndex`]: the access document as it is published.

use std::collections::HashSet;
use std::sync::Arc;

use crds::{Registry, secret_types};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use registry_config::{Access, AccessContent, CONTENT_KEY, INDEX_KEY};

use crate::api;
use crate::context::Context;
use crate::shards;
use crate::state::SecretVersion;

/// The published index as a pass found it.
pub(in crate::registry) enum LiveIndex {
    Absent,
    /// A Secret of that name exists and is none of the operator's.
    Foreign,
    /// It is the operator's, but cannot be read as a document.
    Unreadable {
        secret: SecretVersion,
    },
    Read {
        document: Arc<Published>,
        secret: SecretVersion,
    },
}

/// A document that was published.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) revision: u64,
    pub(crate) digest: String,
    pub(crate) access: Access,
}

impl LiveIndex {
    /// What the document in force says, where there is one that can be read.
    pub(in crate::registry) fn content(&self) -> Option<&AccessContent> {
        match self {
            Self::Read { document, .. } => Some(&document.access.content),
            Self::Absent | Self::Foreign | Self::Unreadable { .. } => None,
        }
    }

    /// The UIDs of the identities that it lists.
    pub(in crate::registry) fn listed(&self) -> HashSet<&str> {
        let listed = self.content().into_iter().flat_map(|content| &content.identities);
        listed.filter_map(|entry| entry.uid.as_deref()).collect()
    }
}

/// Reads the document, where it is not the one that was read last.
pub(super) async fn read(
    secret: Option<&Secret>,
    registry: &ObjectRef<Registry>,
    secrets: &Api<Secret>,
    context: &Context,
) -> Result<LiveIndex, api::Error> {
    let Some(secret) = secret else {
        return Ok(LiveIndex::Absent);
    };
    if secret.type_.as_deref() != Some(secret_types::ACCESS) {
        return Ok(LiveIndex::Foreign);
    }
    let name = secret.name_any();
    let key = |key: &str| Some(secret.data.as_ref()?.get(key)?.0.clone());
    let index = key(INDEX_KEY).unwrap_or_default();
    let listed = registry_config::parse_index(&index).ok().and_then(|index| index.shards);
    let version = SecretVersion {
        resource_version: secret.resource_version(),
        slot: listed.as_ref().map(|listed| listed.slot),
        shards: Vec::new(),
    };
    let names = listed.as_ref().map(|listed| listed.secrets(&name)).unwrap_or_default();
    let versions = shards::versions(secrets, secret, &names).await?;
    if let Some(document) = context.documents.find(registry, versions.as_ref()) {
        return Ok(LiveIndex::Read {
            document,
            secret: version,
        });
    }
    let packed = match listed {
        Some(listed) => {
            let packed = shards::read(secrets, &name, &listed).await?;
            if packed.is_none() {
                shards::ensure_unchanged(secrets, &name, secret.resource_version()).await?;
            }
            packed
        }
        None => key(CONTENT_KEY),
    };
    let read = packed.and_then(|packed| registry_config::index_from_secret(&index, &packed).ok());
    let Some((index, access)) = read else {
        return Ok(LiveIndex::Unreadable { secret: version });
    };
    let document = Arc::new(Published {
        revision: index.revision,
        digest: index.digest.unwrap_or_default(),
        access,
    });
    context.documents.keep(registry, versions, document.clone());
    Ok(LiveIndex::Read {
        document,
        secret: version,
    })
}
