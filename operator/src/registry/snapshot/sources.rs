//! The Secrets that identities read their passwords from: which version of each there is.

use std::collections::HashMap;
use std::sync::Arc;

use crds::{Registry, RegistryIdentity, annotations, labels};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::{Api, ResourceExt};

use crate::api;
use crate::context::Context;
use crate::hashing::{HashResult, HashSlot, Which};
use crate::password_source::PasswordSource;
use crate::registry::admission::{self, Admission, Namespaces};

use super::LiveIndex;

/// How many Secrets are asked for at once.
const READS: usize = 16;

/// The Secrets of an identity's namespace, to be read and written now.
pub(in crate::registry) fn secrets_of(identity: &RegistryIdentity, context: &Context) -> Api<Secret> {
    Api::namespaced(context.client.clone(), &identity.namespace().unwrap_or_default())
}

/// The Secret that a password is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) enum Source {
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
pub(in crate::registry) struct Rotation {
    /// When the password was put there.
    pub(in crate::registry) since: Option<Timestamp>,
    /// Whether the password that is to follow stands beside it.
    pub(in crate::registry) is_pending: bool,
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

/// What is known of the Secrets of admitted identities, by UID, and of the passwords in them.
pub(super) async fn read(
    registry: &Registry,
    namespaces: &Namespaces,
    identities: &[Arc<RegistryIdentity>],
    index: &LiveIndex,
    context: &Context,
) -> Result<(HashMap<String, Source>, HashMap<HashSlot, HashResult>), api::Error> {
    let admissions = admission::of_identities(registry, namespaces, identities, &index.listed());
    // Nothing of whoever is not admitted is looked at.
    let admitted = identities.iter().filter_map(|identity| {
        let uid = identity.uid().unwrap_or_default();
        match admissions.get(&uid)? {
            Admission::Home => Some((uid, identity, true)),
            Admission::Guest(..) => Some((uid, identity, false)),
            Admission::Excess(..) | Admission::Refused => None,
        }
    });
    let reads: Vec<BoxFuture<'_, _>> = admitted
        .map(|(uid, identity, is_home)| read_source(uid, identity.clone(), is_home, context).boxed())
        .collect();
    let reads: Vec<_> = stream::iter(reads).buffer_unordered(READS).collect().await;
    let mut sources = HashMap::new();
    for read in reads {
        sources.extend(read?);
    }
    let mut hashes = HashMap::new();
    for identity in sources.keys() {
        for which in [Which::Current, Which::Next] {
            let identity = identity.clone();
            let slot = HashSlot { identity, which };
            if let Some(result) = context.hashing.result(&slot) {
                hashes.insert(slot, result);
            }
        }
    }
    Ok((sources, hashes))
}

/// What is known about the Secret of an admitted identity, with the identity's UID. What cannot be read of another namespace holds
/// nobody up.
async fn read_source(
    uid: String,
    identity: Arc<RegistryIdentity>,
    is_home: bool,
    context: &Context,
) -> Result<Option<(String, Source)>, api::Error> {
    match source(&identity, context).await {
        Ok(found) => Ok(found.map(|source| (uid, source))),
        Err(error) if is_home => Err(error),
        Err(error) => {
            tracing::warn!(
                identity = identity.name_any(),
                namespace = identity.namespace(),
                error = api::chain(&error),
                "the Secret of an identity of another namespace is not read; tried again later"
            );
            Ok(None)
        }
    }
}

/// What is known about the Secret that an identity names.
async fn source(identity: &RegistryIdentity, context: &Context) -> Result<Option<Source>, api::Error> {
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
    let namespace = identity.namespace().unwrap_or_default();
    if let Some(secret) = context.stores.credential(&namespace, &name) {
        return Ok(Some(judge(&secret)));
    }
    // Not among the marked ones as far as the watches have come: the API server knows for certain.
    let secrets = secrets_of(identity, context);
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
