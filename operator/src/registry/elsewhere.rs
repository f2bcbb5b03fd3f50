//! A Registry that another installation manages: it is left alone, its status included, for two writers of one status
//! would wake each other for ever. Only where nobody looks after it any more does this installation say so.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crds::{Registry, RegistryStatus, condition_types as types, reasons};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use super::snapshot::Snapshot;
use super::status::write_status;
use crate::api;
use crate::conditions::conditions;
use crate::context::Context;
use crate::names;
use crate::outcome::Verdict;

/// How long an edit may go unnoticed by the installation that manages the Registry before this one speaks up.
const ABSENCE: Duration = Duration::from_secs(15);

/// The Registries that others manage, and since when an edit of each has gone unnoticed.
#[derive(Default)]
pub(crate) struct Elsewhere(Mutex<HashMap<ObjectRef<Registry>, Option<Instant>>>);

impl Elsewhere {
    /// Notes whether the Registry is looked after. Whether it is new here, and how long an edit has gone unnoticed.
    fn note(&self, registry: &ObjectRef<Registry>, is_followed: bool) -> (bool, Duration) {
        let mut known = self.0.lock().expect("no holder panics");
        let is_new = !known.contains_key(registry);
        let since = known.entry(registry.clone()).or_default();
        *since = if is_followed {
            None
        } else {
            Some(since.unwrap_or_else(Instant::now))
        };
        (is_new, since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Forgets Registries that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(&ObjectRef<Registry>) -> bool) {
        self.0
            .lock()
            .expect("no holder panics")
            .retain(|registry, _| exists(registry));
    }
}

/// What is to be said of a Registry that another installation manages.
pub(super) fn verdict(registry: &Registry, installation: &str, own: &str) -> Verdict {
    let message = format!(
        "the operator of installation `{installation}` manages this Registry, and this one (`{own}`) leaves it alone; \
         to hand it over, stop the other one and run: kubectl annotate secret {state} --namespace {namespace} {hand_over}={own}",
        state = names::state_secret(&registry.name_any()),
        namespace = registry.namespace().unwrap_or_default(),
        hand_over = crds::annotations::HAND_OVER_TO,
    );
    Verdict::no(reasons::CONFLICT, message)
}

/// Leaves the Registry alone, and says so where its manager has not noticed an edit for a while.
pub(super) async fn stand_by(context: &Context, snapshot: &Snapshot, installation: &str) -> Result<Action, api::Error> {
    let registry = &snapshot.registry;
    let generation = registry.metadata.generation;
    let is_followed = registry
        .status
        .as_ref()
        .is_some_and(|status| status.observed_generation == generation);
    let (is_new, unnoticed) = context
        .elsewhere
        .note(&ObjectRef::from_obj(registry.as_ref()), is_followed);
    let verdict = verdict(registry, installation, &context.settings.installation);
    if is_new {
        tracing::warn!(registry = %ObjectRef::from_obj(registry.as_ref()), "{}", verdict.message);
        context
            .tell(
                &registry.object_ref(&()),
                EventType::Warning,
                verdict.reason,
                &verdict.message,
            )
            .await;
    }
    if is_followed {
        return Ok(Action::await_change());
    }
    if unnoticed < ABSENCE {
        return Ok(Action::requeue(ABSENCE.saturating_sub(unnoticed)));
    }
    let mut status = registry.status.clone().unwrap_or_default();
    let spoken = [(types::READY, &verdict), (types::ACCEPTED, &verdict)];
    let mut now = conditions(&spoken, generation, &status.conditions, snapshot.now);
    now.extend(
        status
            .conditions
            .into_iter()
            .filter(|kept| spoken.iter().all(|(type_, _)| *type_ != kept.type_)),
    );
    status.conditions = now;
    let status = RegistryStatus {
        observed_generation: generation,
        ..status
    };
    let registries: Api<Registry> = Api::namespaced(context.client.clone(), &registry.namespace().unwrap_or_default());
    write_status(&registries, registry.as_ref(), json!(status)).await?;
    Ok(Action::await_change())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_unnoticed_from_when_it_was_first_seen_until_it_is_followed() {
        let (elsewhere, registry) = (Elsewhere::default(), ObjectRef::new("main").within("team"));
        assert_eq!(elsewhere.note(&registry, true), (true, Duration::ZERO));
        let (is_new, first) = elsewhere.note(&registry, false);
        let (_, second) = elsewhere.note(&registry, false);
        assert!(!is_new && second >= first);
        assert_eq!(elsewhere.note(&registry, true), (false, Duration::ZERO));
        elsewhere.retain(|_| false);
        assert!(elsewhere.note(&registry, true).0);
    }
}
