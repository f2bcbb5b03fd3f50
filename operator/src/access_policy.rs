//! The status of a policy: what the last pass over each of its targets found. This is its only writer.

use std::sync::Arc;

use crds::{AccessPolicy, AccessPolicyStatus, TargetReference, TargetStatus, condition_types as types, reasons};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use crate::api;
use crate::conditions::conditions;
use crate::context::Context;
use crate::outcome::{PolicyOutcome, Verdict};
use crate::registry::write_status;
use crate::stores::registries_of;

/// Writes the status of a policy where it differs.
///
/// # Errors
/// Where the API server could not be written to.
pub(crate) async fn reconcile(policy: Arc<AccessPolicy>, context: Arc<Context>) -> Result<Action, api::Error> {
    if policy.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let uid = policy.uid().unwrap_or_default();
    let mut outcomes = Vec::new();
    for (target, registry) in policy.spec.target_refs.iter().zip(registries_of(&policy)) {
        if context.stores.registries.get(&registry).is_none() {
            let message = format!(
                "Registry `{}` does not exist in namespace `{}`; create it, or correct spec.targetRefs",
                registry.name,
                registry.namespace.unwrap_or_default()
            );
            outcomes.push((
                target,
                PolicyOutcome {
                    generation: policy.metadata.generation,
                    accepted: Verdict::no(reasons::REGISTRY_NOT_FOUND, message),
                    programmed: Verdict::no(reasons::REGISTRY_NOT_FOUND, "there is no Registry to enforce this"),
                },
            ));
            continue;
        }
        match context
            .outcomes
            .of(&registry)
            .and_then(|outcome| outcome.policies.get(&uid).cloned())
        {
            Some(outcome) if outcome.generation == policy.metadata.generation => outcomes.push((target, outcome)),
            // The pass that will look at this generation wakes this policy again.
            _ => return Ok(Action::await_change()),
        }
    }
    let status = status(&policy, &outcomes, Timestamp::now());
    if policy.status.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let policies: Api<AccessPolicy> = Api::namespaced(context.client.clone(), &policy.namespace().unwrap_or_default());
    write_status(&policies, policy.as_ref(), json!(status)).await?;
    let accepted = |status: &AccessPolicyStatus| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == types::ACCEPTED)
            .cloned()
    };
    let now = accepted(&status).filter(|condition| condition.status == "False");
    let before = policy.status.as_ref().and_then(accepted);
    if let Some(now) = now
        && before.is_none_or(|before| before.message != now.message)
    {
        context
            .tell(&policy.object_ref(&()), EventType::Warning, &now.reason, &now.message)
            .await;
    }
    Ok(Action::await_change())
}

fn status(policy: &AccessPolicy, outcomes: &[(&TargetReference, PolicyOutcome)], now: Timestamp) -> AccessPolicyStatus {
    let generation = policy.metadata.generation;
    let accepted = all(outcomes, |outcome| &outcome.accepted, reasons::ACCEPTED);
    let programmed = all(outcomes, |outcome| &outcome.programmed, reasons::PROGRAMMED);
    let ready = [&accepted, &programmed]
        .into_iter()
        .find(|verdict| !verdict.is_yes())
        .cloned();
    let ready = ready.unwrap_or_else(|| Verdict::yes(reasons::OK, "every target enforces this policy"));
    let verdicts = [
        (types::READY, &ready),
        (types::ACCEPTED, &accepted),
        (types::PROGRAMMED, &programmed),
    ];
    let before = policy.status.as_ref();
    let targets = outcomes.iter().map(|(target, outcome)| {
        let before = before
            .iter()
            .flat_map(|status| &status.targets)
            .find(|known| known.ref_ == **target);
        let before: &[Condition] = before.map_or(&[], |known| &known.conditions);
        let verdicts = [
            (types::ACCEPTED, &outcome.accepted),
            (types::PROGRAMMED, &outcome.programmed),
        ];
        TargetStatus {
            ref_: (*target).clone(),
            conditions: conditions(&verdicts, generation, before, now),
        }
    });
    AccessPolicyStatus {
        observed_generation: generation,
        targets: targets.collect(),
        conditions: conditions(
            &verdicts,
            generation,
            before.map_or(&[][..], |status| &status.conditions),
            now,
        ),
    }
}

/// Whether something is true of every target; else what is true of the first of which it is not.
fn all(
    outcomes: &[(&TargetReference, PolicyOutcome)],
    of: impl Fn(&PolicyOutcome) -> &Verdict,
    reason: &'static str,
) -> Verdict {
    let exception = outcomes.iter().find(|(_, outcome)| !of(outcome).is_yes());
    exception.map_or_else(
        || Verdict::yes(reason, ""),
        |(target, outcome)| {
            let verdict = of(outcome).clone();
            if outcomes.len() == 1 {
                verdict
            } else {
                Verdict {
                    message: format!("target `{}`: {}", target.name, verdict.message),
                    ..verdict
                }
            }
        },
    )
}
