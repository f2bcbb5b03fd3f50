//! Writes the state, then the access document, each in place of exactly the version that was read.

use std::collections::BTreeMap;

use crds::{labels, secret_types};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use registry_config::{Access, CONTENT_KEY, INDEX_KEY, digest_of, pack};

use crate::api;
use crate::context::Context;
use crate::names;
use crate::registry::snapshot::{LiveIndex, Snapshot};
use crate::registry::validate::{self, Plan};
use crate::state::{LiveState, STATE_KEY, SecretVersion, State};

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
        LiveIndex::Read { revision, digest, .. } => Some(Document {
            revision: *revision,
            digest: digest.clone(),
        }),
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => None,
    };
    Publication {
        document,
        refused: None,
        written: false,
    }
}

/// Whether the document is to be written.
pub(super) fn is_due(snapshot: &Snapshot, plan: &Plan) -> bool {
    validate::is_outdated(snapshot, &plan.content)
}

/// Writes what differs: nothing in the steady state.
pub(super) async fn publish(
    context: &Context,
    snapshot: &Snapshot,
    state: &State,
    plan: &Plan,
) -> Result<Publication, api::Error> {
    let due = is_due(snapshot, plan);
    // What no registry would accept must not replace what they all have.
    if due && let Err(problems) = Access::compile(plan.content.clone()) {
        let problems: Vec<String> = problems.iter().take(3).map(ToString::to_string).collect();
        return Ok(Publication {
            refused: Some(format!(
                "no registry would accept the access document, so the previous one stays in force: {}",
                problems.join("; ")
            )),
            ..found(snapshot)
        });
    }
    let packed = if due {
        match pack(&plan.content, plan.next_revision) {
            Ok(packed) => Some(packed),
            Err(error) => {
                return Ok(Publication {
                    refused: Some(error.to_string()),
                    ..found(snapshot)
                });
            }
        }
    } else {
        None
    };
    let mut next = state.clone();
    if due {
        next.revision = plan.next_revision;
    }
    let (unchanged, version) = match &snapshot.state {
        LiveState::Ours {
            state,
            secret,
            taken_over,
        } => (*state == next && !taken_over, Some(secret)),
        LiveState::Absent | LiveState::Foreign { .. } | LiveState::Unreadable { .. } => (false, None),
    };
    if !unchanged {
        let name = names::state_secret(&snapshot.registry.name_any());
        let bytes = match next.pack() {
            Ok(bytes) => bytes,
            Err(error) => {
                return Ok(Publication {
                    refused: Some(error.to_string()),
                    ..found(snapshot)
                });
            }
        };
        let data = BTreeMap::from([(STATE_KEY.to_owned(), ByteString(bytes))]);
        write(context, snapshot, &name, secret_types::STATE, data, version, false).await?;
    }
    let Some((packed_index, packed_content)) = packed else {
        return Ok(found(snapshot));
    };
    let name = names::access_secret(&snapshot.registry.name_any());
    let data = BTreeMap::from([
        (INDEX_KEY.to_owned(), ByteString(packed_index)),
        (CONTENT_KEY.to_owned(), ByteString(packed_content)),
    ]);
    let version = match &snapshot.index {
        LiveIndex::Absent | LiveIndex::Foreign => None,
        LiveIndex::Unreadable { secret } | LiveIndex::Read { secret, .. } => Some(secret),
    };
    write(context, snapshot, &name, secret_types::ACCESS, data, version, true).await?;
    let document = Document {
        revision: plan.next_revision,
        digest: digest_of(&plan.content),
    };
    let registry = ObjectRef::from_obj(snapshot.registry.as_ref());
    tracing::info!(%registry, revision = document.revision, "access document published");
    Ok(Publication {
        document: Some(document),
        refused: None,
        written: true,
    })
}

/// Makes a Secret, or replaces the version that was read and no other: whoever was overtaken gets a conflict.
async fn write(
    context: &Context,
    snapshot: &Snapshot,
    name: &str,
    type_: &str,
    data: BTreeMap<String, ByteString>,
    version: Option<&SecretVersion>,
    owned: bool,
) -> Result<(), api::Error> {
    let registry = &snapshot.registry;
    let mut secret = Secret {
        data: Some(data),
        type_: Some(type_.to_owned()),
        ..Secret::default()
    };
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.labels = Some(BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::REGISTRY.to_owned(), registry.name_any()),
    ]));
    if owned {
        secret.metadata.owner_references = registry.controller_owner_ref(&()).map(|owner| vec![owner]);
    }
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &registry.namespace().unwrap_or_default());
    let params = PostParams {
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let what = format!("write Secret `{name}`");
    match version {
        None => api::call(what, secrets.create(&params, &secret)).await?,
        Some(version) => {
            secret.metadata.resource_version.clone_from(&version.resource_version);
            api::call(what, secrets.replace(name, &params, &secret)).await?
        }
    };
    Ok(())
}
