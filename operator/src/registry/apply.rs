//! Makes the Registry's objects what was rendered, and removes those that are rendered no more.

use std::collections::HashMap;
use std::sync::Mutex;

use crds::{labels, reasons};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::compare;
use super::render::{KINDS, Kind, Rendered};
use super::snapshot::{Snapshot, belongs_to};
use crate::api;
use crate::context::Context;
use crate::outcome::Verdict;

/// What became of the objects.
#[derive(Debug, Default)]
pub(super) struct Application {
    /// Objects of others that stand in the way, or that the API server refuses.
    pub(super) trouble: Option<Verdict>,
}

/// The version of each object that an apply left as it was, with what was applied: proof that it is as
/// rendered although it does not look so, because the API server writes some values in a form of its own.
#[derive(Debug, Default)]
pub(crate) struct Applied(Mutex<HashMap<String, (String, Value)>>);

impl Applied {
    fn is_known(&self, object: &DynamicObject, rendered: &Value) -> bool {
        let known = self.0.lock().expect("no holder panics");
        known
            .get(&object.uid().unwrap_or_default())
            .is_some_and(|(version, applied)| {
                Some(version) == object.resource_version().as_ref() && *applied == *rendered
            })
    }

    fn note(&self, object: &DynamicObject, rendered: &Value) {
        let entry = (object.resource_version().unwrap_or_default(), rendered.clone());
        self.0
            .lock()
            .expect("no holder panics")
            .insert(object.uid().unwrap_or_default(), entry);
    }
}

/// Applies what differs and prunes what is left over.
pub(super) async fn apply(
    context: &Context,
    snapshot: &Snapshot,
    rendered: Vec<Rendered>,
) -> Result<Application, api::Error> {
    let registry = snapshot.registry.name_any();
    let namespace = snapshot.registry.namespace().unwrap_or_default();
    let mut application = Application::default();
    for object in &rendered {
        if let Some(trouble) = apply_one(context, object, &registry, &namespace).await? {
            application.trouble.get_or_insert(trouble);
        }
    }
    if application.trouble.is_none() {
        for kind in KINDS {
            prune(context, snapshot, kind, &rendered, &registry, &namespace).await?;
        }
    }
    Ok(application)
}

async fn apply_one(
    context: &Context,
    rendered: &Rendered,
    registry: &str,
    namespace: &str,
) -> Result<Option<Verdict>, api::Error> {
    let resource = rendered.kind.resource();
    let reference = ObjectRef::new_with(&rendered.name, resource.clone()).within(namespace);
    let objects: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &resource);
    let what = |verb: &str| format!("{verb} {} `{}`", rendered.kind.name, rendered.name);
    let stored = context
        .stores
        .owned
        .get(rendered.kind.name)
        .and_then(|store| store.get(&reference));
    match &stored {
        Some(live) if belongs_to(live.as_ref(), registry) => {
            let same = context.applied.is_known(live, &rendered.object)
                || serde_json::to_value(live.as_ref())
                    .is_ok_and(|live| compare::is_as_rendered(&rendered.object, &live));
            if same {
                return Ok(None);
            }
        }
        // Not one of ours as far as the watch has come: never take over what somebody else made.
        _ => {
            if let Some(live) = api::find(what("read"), objects.get_opt(&rendered.name)).await?
                && !belongs_to(&live, registry)
            {
                let message = format!(
                    "{} `{}` exists and does not belong to this Registry, so it is left alone; rename or delete it, or give it the label {}={registry} to hand it over",
                    rendered.kind.name,
                    rendered.name,
                    labels::REGISTRY
                );
                return Ok(Some(Verdict::no(reasons::CONFLICT, message)));
            }
        }
    }
    if let Some(live) = &stored {
        drop_rolling_update(&objects, live, rendered).await?;
    }
    let params = PatchParams::apply(api::FIELD_MANAGER).force();
    match api::call(
        what("apply"),
        objects.patch(&rendered.name, &params, &Patch::Apply(&rendered.object)),
    )
    .await
    {
        Ok(applied) => {
            context.applied.note(&applied, &rendered.object);
            Ok(None)
        }
        Err(error) if error.is_terminating() || error.is_conflict() => Err(error),
        // What the API server refuses, it refuses again: say so, and go on with the rest.
        Err(error) => match error.refusal() {
            Some(refusal) => Ok(Some(Verdict::no(
                reasons::INVALID,
                format!(
                    "the API server refuses {} `{}`: {refusal}",
                    rendered.kind.name, rendered.name
                ),
            ))),
            None => Err(error),
        },
    }
}

/// Takes away what somebody else's edit of a Deployment's strategy left behind. `Recreate` is refused beside it, and an
/// apply cannot remove a field that it does not own.
async fn drop_rolling_update(
    objects: &Api<DynamicObject>,
    live: &DynamicObject,
    rendered: &Rendered,
) -> Result<(), api::Error> {
    let strategy = &rendered.object["spec"]["strategy"];
    if strategy.is_null() || live.data["spec"]["strategy"]["rollingUpdate"].is_null() {
        return Ok(());
    }
    let patch = json!({ "spec": { "strategy": { "type": strategy["type"], "rollingUpdate": null } } });
    let params = PatchParams {
        field_manager: Some(api::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let what = format!("put the strategy of Deployment `{}` right", rendered.name);
    api::call(what, objects.patch(&rendered.name, &params, &Patch::Merge(&patch)))
        .await
        .map(drop)
}

async fn prune(
    context: &Context,
    snapshot: &Snapshot,
    kind: Kind,
    rendered: &[Rendered],
    registry: &str,
    namespace: &str,
) -> Result<(), api::Error> {
    let Some(store) = context.stores.owned.get(kind.name) else {
        return Ok(());
    };
    let uid = snapshot.registry.uid().unwrap_or_default();
    let left = store.state_filter(|object| {
        object.namespace().as_deref() == Some(namespace)
            && belongs_to(object, registry)
            // A retained volume has no owner, and so is never pruned.
            && object.owner_references().iter().any(|owner| owner.uid == uid)
            && !rendered.iter().any(|wanted| wanted.kind == kind && wanted.name == object.name_any())
    });
    for object in left {
        let name = object.name_any();
        if kind.name == "ConfigMap" && is_in_use(context, namespace, &name) {
            continue;
        }
        let objects: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind.resource());
        api::delete_exactly(format!("delete {} `{name}`", kind.name), &objects, object.as_ref()).await?;
    }
    Ok(())
}

/// Whether a ReplicaSet still names the ConfigMap: a Pod of it may start at any time.
fn is_in_use(context: &Context, namespace: &str, config_map: &str) -> bool {
    context.stores.replica_sets.state().iter().any(|set| {
        let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
        let volumes = template
            .and_then(|template| template.spec.as_ref())
            .and_then(|pod| pod.volumes.as_ref());
        set.namespace().as_deref() == Some(namespace)
            && volumes.into_iter().flatten().any(|volume| {
                volume
                    .config_map
                    .as_ref()
                    .is_some_and(|volume| volume.name == config_map)
            })
    })
}
