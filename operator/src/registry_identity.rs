//! The status of an identity: what the last pass over its Registry found.

use std::sync::Arc;

use crds::{RegistryIdentity, RegistryIdentityStatus, condition_types as types, reasons};
use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use crate::api;
use crate::conditions::conditions;
use crate::context::Context;
use crate::names;
use crate::outcome::{IdentityOutcome, Verdict};
use crate::registry::write_status;
use crate::stores::registry_of;

/// Writes the status of an identity where it differs.
///
/// # Errors
/// Where the API server could not be written to.
pub(crate) async fn reconcile(identity: Arc<RegistryIdentity>, context: Arc<Context>) -> Result<Action, api::Error> {
    if identity.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let registry = registry_of(&identity);
    let outcome = if context.stores.registries.get(&registry).is_none() {
        without_registry(&identity)
    } else {
        let found = context.outcomes.of(&registry);
        let found = found.and_then(|outcome| outcome.identities.get(&identity.uid().unwrap_or_default()).cloned());
        match found {
            Some(outcome) if outcome.generation == identity.metadata.generation => outcome,
            // The pass that will look at this generation wakes this identity again.
            _ => return Ok(Action::await_change()),
        }
    };
    let status = status(&identity, &outcome, Timestamp::now());
    if identity.status.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let identities: Api<RegistryIdentity> =
        Api::namespaced(context.client.clone(), &identity.namespace().unwrap_or_default());
    write_status(&identities, identity.as_ref(), json!(status)).await?;
    for (verdict, type_) in [
        (&outcome.accepted, types::ACCEPTED),
        (&outcome.resolved, types::RESOLVED_REFS),
    ] {
        let before = identity
            .status
            .iter()
            .flat_map(|status| &status.conditions)
            .find(|condition| condition.type_ == type_);
        let is_news = before.is_none_or(|before| before.reason != verdict.reason);
        if verdict.holds == Some(false) && is_news {
            context
                .tell(
                    &identity.object_ref(&()),
                    EventType::Warning,
                    verdict.reason,
                    &verdict.message,
                )
                .await;
        }
    }
    Ok(Action::await_change())
}

fn without_registry(identity: &RegistryIdentity) -> IdentityOutcome {
    let registry = registry_of(identity);
    let message = format!(
        "Registry `{}` does not exist in namespace `{}`; create it, or correct spec.registryRef",
        registry.name,
        registry.namespace.unwrap_or_default()
    );
    let missing = Verdict::no(reasons::REGISTRY_NOT_FOUND, message);
    IdentityOutcome {
        generation: identity.metadata.generation,
        username: names::username(identity),
        resolved: Verdict::unknown(reasons::REGISTRY_NOT_FOUND, "not looked at without a Registry"),
        programmed: Verdict::no(reasons::REGISTRY_NOT_FOUND, "there is no Registry to enforce this"),
        accepted: missing,
        disabled: identity.spec.disabled == Some(true),
        credentials_secret: None,
    }
}

fn status(identity: &RegistryIdentity, outcome: &IdentityOutcome, now: Timestamp) -> RegistryIdentityStatus {
    let ready = if !outcome.accepted.is_yes() {
        outcome.accepted.clone()
    } else if outcome.disabled && !outcome.programmed.is_yes() {
        // Somebody who revokes must not be told that it is done before it is.
        outcome.programmed.clone()
    } else if outcome.disabled {
        Verdict::no(
            reasons::DISABLED,
            "spec.disabled is true: nobody can sign in as this identity",
        )
    } else if !outcome.resolved.is_yes() {
        outcome.resolved.clone()
    } else if !outcome.programmed.is_yes() {
        outcome.programmed.clone()
    } else {
        Verdict::yes(reasons::OK, format!("`{}` can sign in", outcome.username))
    };
    let verdicts = [
        (types::READY, &ready),
        (types::ACCEPTED, &outcome.accepted),
        (types::RESOLVED_REFS, &outcome.resolved),
        (types::PROGRAMMED, &outcome.programmed),
    ];
    let before = identity.status.as_ref().map_or(&[][..], |status| &status.conditions);
    RegistryIdentityStatus {
        observed_generation: outcome.generation,
        conditions: conditions(&verdicts, outcome.generation, before, now),
        username: Some(outcome.username.clone()),
        credentials_secret: outcome.credentials_secret.clone(),
    }
}
