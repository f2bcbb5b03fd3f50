//! Writes the state, then the access document, each in place of exactly the version that was read.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::secret_types;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use registry_config::{Access, CONTENT_KEY, INDEX_KEY, Layout, MAX_PACKED_BYTES, MAX_SHARD_BYTES, Packed, Slot, pack};

use crate::api;
use crate::context::Context;
use crate::decoded::Versions;
use crate::names;
use crate::registry::snapshot::{LiveIndex, Published, Snapshot};
use crate::registry::tidy;
use crate::registry::validate::Plan;
use crate::shards::{self, Idle, Occupied};
use crate::state::{LiveState, STATE_KEY, SecretVersion, State};
use crate::state_shards::{LIST_KEY, List};

/// The document in force after a pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Publication {
    /// Revision and digest; `None` where there is no readable document.
    pub(super) document: Option<Document>,
    /// Why the document could not be written, where it could not.
    pub(super) refused: Option<String>,
    written: bool,
}

/// A published document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) revision: u64,
    pub(super) digest: String,
}

impl Publication {
    /// Whether this pass wrote it.
    pub(super) fn was_written(&self) -> bool {
        self.written
    }
}

/// The document as the pass found it, without writing anything.
pub(super) fn found(snapshot: &Snapshot) -> Publication {
    let document = match &snapshot.index {
        LiveIndex::Read { document, .. } => Some(Document {
            revision: document.revision,
            digest: document.digest.clone(),
        }),
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => None,
    };
    Publication {
        document,
        refused: None,
        written: false,
    }
}

/// Writes what differs: nothing in the steady state.
pub(super) async fn publish(
    context: &Context,
    snapshot: &Snapshot,
    state: &State,
    plan: &Plan,
) -> Result<Publication, api::Error> {
    let due = plan.is_outdated;
    let refuse = |why: String| Publication {
        refused: Some(why),
        ..found(snapshot)
    };
    // What no registry would accept must not replace what they all have.
    let compiled = match due.then(|| Access::compile(plan.content.clone())).transpose() {
        Ok(compiled) => compiled,
        Err(problems) => {
            let problems: Vec<String> = problems.iter().take(3).map(ToString::to_string).collect();
            return Ok(refuse(format!(
                "no registry would accept the access document, so the previous one stays in force: {}",
                problems.join("; ")
            )));
        }
    };
    let index_version = match &snapshot.index {
        LiveIndex::Absent | LiveIndex::Foreign => None,
        LiveIndex::Unreadable { secret } | LiveIndex::Read { secret, .. } => Some(secret),
    };
    let packed = due.then(|| pack(&plan.content, plan.next_revision, idle(index_version)));
    let packed = match packed.transpose() {
        Ok(packed) => packed,
        Err(error) => return Ok(refuse(error.to_string())),
    };
    let mut next = state.clone();
    if due {
        next.revision = plan.next_revision;
    }
    let (unchanged, state_version) = match &snapshot.state {
        LiveState::Ours {
            state,
            secret,
            taken_over,
        } => (*state == next && !taken_over, Some(secret)),
        LiveState::Absent | LiveState::Foreign { .. } | LiveState::Unreadable { .. } => (false, None),
    };
    let secrets = snapshot.secrets(context);
    let registry = ObjectRef::from_obj(snapshot.registry.as_ref());
    // The slot is looked at before anything is written: whoever writes the state after that has not been overtaken until then.
    let ready = match packed {
        Some(packed) => match look(&secrets, snapshot, &packed, index_version).await? {
            Ok(idle) => Some((packed, idle)),
            Err(Occupied(name)) => {
                return Ok(refuse(format!(
                    "Secret `{name}` exists and is none of the operator's; rename or delete it"
                )));
            }
        },
        None => None,
    };
    if !unchanged {
        let packed = match next.pack() {
            Ok(packed) if packed.len() <= MAX_PACKED_BYTES => packed,
            Ok(_) => {
                return Ok(refuse(format!(
                    "what the operator keeps is more than {MAX_PACKED_BYTES} bytes"
                )));
            }
            Err(error) => return Ok(refuse(error.to_string())),
        };
        let versions = write_state(&secrets, snapshot, &next.installation, packed, state_version).await?;
        context.states.keep(&registry, versions, Arc::new(next));
    }
    let mut written = None;
    if let Some(((packed, idle), access)) = ready.zip(compiled) {
        let document = Document {
            revision: plan.next_revision,
            digest: packed.digest.clone(),
        };
        let versions = write_document(&secrets, snapshot, packed, idle, index_version).await?;
        let published = Published {
            revision: document.revision,
            digest: document.digest.clone(),
            access,
        };
        context.documents.keep(&registry, versions, Arc::new(published));
        written = Some(document);
    }
    // Last, because a revocation waits for nothing that is not needed.
    let replaced = state_version.filter(|_| !unchanged);
    for shard in replaced.into_iter().flat_map(|version| &version.shards) {
        tidy::delete(&secrets, shard).await;
    }
    let Some(document) = written else {
        return Ok(found(snapshot));
    };
    tracing::info!(%registry, revision = document.revision, "access document published");
    Ok(Publication {
        document: Some(document),
        refused: None,
        written: true,
    })
}

/// The slot that is free beside what a Secret lists.
fn idle(version: Option<&SecretVersion>) -> Slot {
    Slot::idle(version.and_then(|version| version.slot))
}

/// Looks at the slot that shards of the document go to, where it needs any, while nobody else has written the index.
async fn look(
    secrets: &Api<Secret>,
    snapshot: &Snapshot,
    packed: &Packed,
    version: Option<&SecretVersion>,
) -> Result<Result<Option<Idle>, Occupied>, api::Error> {
    let Some(listed) = packed.content.shards() else {
        return Ok(Ok(None));
    };
    let name = names::access_secret(&snapshot.registry.name_any());
    let idle = match shards::look(secrets, &name, listed, secret_types::ACCESS).await? {
        Ok(idle) => idle,
        Err(occupied) => return Ok(Err(occupied)),
    };
    let read = version.and_then(|version| version.resource_version.clone());
    shards::ensure_unchanged(secrets, &name, read).await?;
    Ok(Ok(Some(idle)))
}

async fn write_document(
    secrets: &Api<Secret>,
    snapshot: &Snapshot,
    packed: Packed,
    idle: Option<Idle>,
    version: Option<&SecretVersion>,
) -> Result<Option<Versions>, api::Error> {
    let registry = &snapshot.registry;
    let mut like = like(
        snapshot,
        names::access_secret(&registry.name_any()),
        secret_types::ACCESS,
    );
    like.metadata.owner_references = registry.controller_owner_ref(&()).map(|owner| vec![owner]);
    let mut data = BTreeMap::from([(INDEX_KEY.to_owned(), ByteString(packed.index))]);
    let shards = match (packed.content, idle) {
        (Layout::Inside(content), _) => {
            data.insert(CONTENT_KEY.to_owned(), ByteString(content));
            Vec::new()
        }
        (Layout::Outside(_, pieces), Some(idle)) => idle.write(secrets, pieces, &like).await?,
        (Layout::Outside(..), None) => unreachable!("a slot is looked at for every document that needs one"),
    };
    write(secrets, like, data, version, shards).await
}

/// Writes the state, in new shards where it needs any.
async fn write_state(
    secrets: &Api<Secret>,
    snapshot: &Snapshot,
    installation: &str,
    packed: Vec<u8>,
    version: Option<&SecretVersion>,
) -> Result<Option<Versions>, api::Error> {
    let like = like(
        snapshot,
        names::state_secret(&snapshot.registry.name_any()),
        secret_types::STATE,
    );
    let (key, value, shards) = if packed.len() <= MAX_SHARD_BYTES {
        (STATE_KEY, packed, Vec::new())
    } else {
        let (list, versions) = List::write(secrets, &like, installation, &packed).await?;
        (LIST_KEY, list.to_json(), versions)
    };
    let data = BTreeMap::from([(key.to_owned(), ByteString(value))]);
    write(secrets, like, data, version, shards).await
}

/// What all Secrets of a kind have.
fn like(snapshot: &Snapshot, name: String, type_: &str) -> Secret {
    let mut secret = Secret {
        type_: Some(type_.to_owned()),
        ..Secret::default()
    };
    secret.metadata.name = Some(name);
    secret.metadata.labels = Some(names::secret_labels(&snapshot.registry.name_any()));
    secret
}

/// Makes a Secret, or replaces the version that was read; with those of its shards the result is what a pass will find.
async fn write(
    secrets: &Api<Secret>,
    mut secret: Secret,
    data: BTreeMap<String, ByteString>,
    version: Option<&SecretVersion>,
    shards: Vec<Option<String>>,
) -> Result<Option<Versions>, api::Error> {
    secret.data = Some(data);
    let version = version.and_then(|version| version.resource_version.clone());
    let written = api::put(secrets, secret, version).await?;
    Ok(Versions::of([written.resource_version()].into_iter().chain(shards)))
}
