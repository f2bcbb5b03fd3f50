//! One pass over a Registry: snapshot, validate, render, apply, publish, proof, status.

pub(crate) mod admission;
pub(crate) mod apply;
pub(crate) mod elsewhere;
pub mod preview;
pub(crate) mod proof;
pub(crate) mod render;

mod compare;
mod credentials;
mod publish;
mod pull_secrets;
pub(crate) mod snapshot;
mod status;
mod tidy;
mod validate;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::Registry;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use crate::api;
use crate::context::Context;
use crate::outcome::Outcome;
use crate::state::LiveState;
use crate::stores::{registries_of, registry_of};
use apply::Application;
use proof::Proof;
use publish::Publication;
use snapshot::Snapshot;
use status::Findings;
pub(crate) use status::write_status;
use validate::{Manage, Plan};

/// A look without any change that would have told of work, spread so that not all Registries are looked at together.
const RESYNC: Duration = Duration::from_secs(600);
/// How soon something is looked at again that nobody may tell of, such as a Secret that was not marked.
const UNRESOLVED: Duration = Duration::from_secs(20);
/// Publications of one Registry are at least this far apart, so that a burst of changes becomes one.
const COALESCE: Duration = Duration::from_millis(100);

/// Makes one pass over a Registry.
///
/// # Errors
/// Where the API server could not be read or written; what was done so far stays, and the next pass goes on from there.
pub(crate) async fn reconcile(registry: Arc<Registry>, context: Arc<Context>) -> Result<Action, api::Error> {
    let begun = Instant::now();
    if registry.metadata.deletion_timestamp.is_some() {
        // Nothing holds the deletion up; what belongs to the Registry goes with it.
        return Ok(Action::await_change());
    }
    let reference = ObjectRef::from_obj(registry.as_ref());
    let mut snapshot = snapshot::take(registry, &context).await?;
    if let LiveState::Foreign { installation } = &snapshot.state {
        return elsewhere::stand_by(&context, &snapshot, installation).await;
    }
    if credentials::generate(&snapshot, &context).await {
        // The Secrets that were just written come back through their watch.
        snapshot = snapshot::take(snapshot.registry.clone(), &context).await?;
    }
    let plan = validate::validate(&snapshot, &context.settings);
    for job in plan.jobs() {
        let (queues, again) = (context.queues.clone(), reference.clone());
        context
            .hashing
            .queue(job.clone(), &reference, move || queues.registry(again));
    }
    context
        .metrics
        .hashes_pending
        .set(i64::try_from(context.hashing.pending()).unwrap_or(i64::MAX));

    let (application, publication) = match &plan.manage {
        Manage::Everything { state, .. } => {
            if let Some(left) = too_soon(&context, &reference, &plan) {
                return Ok(Action::requeue(left));
            }
            // What people may do goes first: a revocation waits for no Deployment.
            let publication = publish::publish(&context, &snapshot, state, &plan).await?;
            if publication.was_written() {
                note_publication(&context, &reference);
            } else {
                tidy::tidy(&context, &snapshot).await;
            }
            let application = match &plan.workload {
                Ok(_) if plan.waits_for_certificate => Application::default(),
                Ok(workload) => apply::apply(&context, &snapshot, render::render(&snapshot.registry, workload)).await?,
                Err(_) => Application::default(),
            };
            (application, publication)
        }
        Manage::Nothing { .. } => (Application::default(), publish::found(&snapshot)),
    };
    let proof = proof::prove(&context, &snapshot, &publication).await;
    let mut findings = Findings {
        snapshot: &snapshot,
        plan: &plan,
        application: &application,
        publication: &publication,
        proof: &proof,
        consumers: HashMap::new(),
    };
    if matches!(plan.manage, Manage::Everything { .. }) {
        // In this order: whoever reads a password finds one that is accepted.
        findings.consumers = pull_secrets::keep(&findings, &context).await;
        if findings.is_enforced() {
            credentials::complete_rotations(&snapshot, &plan, &context).await;
        }
    }
    let outcome = status::outcome(&findings, &context.proofs);
    spread(&context, &snapshot, &reference, &Arc::new(outcome));
    status::write(&context, &findings).await?;
    context.metrics.reconcile_seconds.observe(begun.elapsed().as_secs_f64());
    let is_unresolved = plan.has_unresolved() || !findings.consumers.is_empty();
    Ok(Action::requeue(next_look(
        is_unresolved,
        &plan,
        &proof,
        &publication,
        &snapshot,
    )))
}

/// How long a publication must still wait so that a burst of changes becomes one.
fn too_soon(context: &Context, reference: &ObjectRef<Registry>, plan: &Plan) -> Option<Duration> {
    if !plan.is_outdated {
        return None;
    }
    let published = context.published.lock().expect("no holder panics");
    let since = published.get(reference)?.elapsed();
    COALESCE.checked_sub(since).filter(|left| !left.is_zero())
}

fn note_publication(context: &Context, reference: &ObjectRef<Registry>) {
    context
        .published
        .lock()
        .expect("no holder panics")
        .insert(reference.clone(), Instant::now());
    context.metrics.publications.inc();
}

/// Keeps the outcome and wakes the identities and policies for which it changed.
fn spread(context: &Context, snapshot: &Snapshot, reference: &ObjectRef<Registry>, outcome: &Arc<Outcome>) {
    let before = context.outcomes.replace(reference.clone(), outcome.clone());
    let before = before.as_deref();
    for identity in &snapshot.identities {
        let uid = identity.uid().unwrap_or_default();
        if before.and_then(|before| before.identities.get(&uid)) != outcome.identities.get(&uid)
            && registry_of(identity) == *reference
        {
            context.queues.identity(ObjectRef::from_obj(identity.as_ref()));
        }
    }
    for policy in &snapshot.policies {
        let uid = policy.uid().unwrap_or_default();
        if before.and_then(|before| before.policies.get(&uid)) != outcome.policies.get(&uid)
            && registries_of(policy).any(|target| target == *reference)
        {
            context.queues.policy(ObjectRef::from_obj(policy.as_ref()));
        }
    }
}

fn next_look(
    is_unresolved: bool,
    plan: &Plan,
    proof: &Proof,
    publication: &Publication,
    snapshot: &Snapshot,
) -> Duration {
    let unresolved = (is_unresolved || publication.refused.is_some()).then_some(UNRESOLVED);
    let regular = RESYNC + spread_of(&snapshot.registry);
    let rotation = credentials::next_rotation(snapshot);
    [unresolved, proof.retry, next_expiry(plan, snapshot), rotation]
        .into_iter()
        .flatten()
        .fold(regular, Duration::min)
}

/// When the next identity expires or the next replaced password ends, which no event tells.
fn next_expiry(plan: &Plan, snapshot: &Snapshot) -> Option<Duration> {
    let identities = snapshot.identities.iter();
    let ends = identities.filter_map(|identity| identity.spec.expires_at.as_ref().map(|end| end.0));
    let ends = ends.chain(plan.identities.values().filter_map(validate::Identity::next_end));
    let left = ends.filter_map(|end| Duration::try_from(end.duration_since(snapshot.now)).ok());
    // A clock that is looked at a moment too early would see it alive.
    left.filter(|left| !left.is_zero())
        .min()
        .map(|left| left + Duration::from_millis(50))
}

/// Up to a minute, the same for the same Registry.
fn spread_of(registry: &Registry) -> Duration {
    let seed: u64 = registry.uid().unwrap_or_default().bytes().map(u64::from).sum();
    Duration::from_secs(seed % 60)
}
