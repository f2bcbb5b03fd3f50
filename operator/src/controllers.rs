//! Starts everything, in order: watches, election, and the three controllers; and ends it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use crds::{AccessPolicy, Registry, RegistryIdentity};
use futures::channel::mpsc::{self, UnboundedReceiver};
use futures::{Stream, StreamExt};
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource};

use crate::context::Context;
use crate::decoded::Decoded;
use crate::hashing::Hashing;
use crate::http::{self, Health};
use crate::leader::Elector;
use crate::metrics::{Metrics, Pass};
use crate::settings::Settings;
use crate::stores::{Queues, Stores};
use crate::{access_policy, api, prune, registry, registry_identity};

/// How many objects of a kind are worked on at once.
const CONCURRENCY: u16 = 16;
/// Longest that one pass may take.
const PASS: Duration = Duration::from_secs(60);

/// Runs the operator until it is told to end.
///
/// # Errors
/// Where it cannot start.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut config = kube::Config::infer().await.context("no cluster to connect to")?;
    config.read_timeout = None;
    let client = Client::try_from(config).context("cannot make a client for the API server")?;
    let metrics = Arc::new(Metrics::default());
    let ready = Arc::new(AtomicBool::new(false));
    let health = Health {
        metrics: metrics.clone(),
        ready: ready.clone(),
    };
    let http = tokio::spawn(http::serve(settings.listen, health));

    let (registries, registry_queue) = mpsc::unbounded();
    let (identities, identity_queue) = mpsc::unbounded();
    let (policies, policy_queue) = mpsc::unbounded();
    let queues = Queues {
        registries,
        identities,
        policies,
        prune: Arc::default(),
    };
    let mut operator = Operator {
        stores: Stores::watch(&client, &queues),
        work: Work {
            registries: registry_queue,
            identities: identity_queue,
            policies: policy_queue,
        },
        client,
        settings,
        queues,
        metrics,
    };
    tokio::select! {
        ended = operator.run(&ready) => ended,
        served = http => served?.context("cannot serve health and metrics"),
    }
}

/// What lasts from one term of leadership to the next.
struct Operator {
    client: Client,
    settings: Settings,
    stores: Arc<Stores>,
    queues: Queues,
    work: Work,
    metrics: Arc<Metrics>,
}

/// What is to be looked at, of each kind.
struct Work {
    registries: UnboundedReceiver<ObjectRef<Registry>>,
    identities: UnboundedReceiver<ObjectRef<RegistryIdentity>>,
    policies: UnboundedReceiver<ObjectRef<AccessPolicy>>,
}

impl Operator {
    /// Serves one term after the other, until the process is told to end.
    async fn run(&mut self, ready: &AtomicBool) -> anyhow::Result<()> {
        let mut end = std::pin::pin!(told_to_end());
        tokio::select! {
            filled = self.stores.wait_until_ready() => filled?,
            () = &mut end => return Ok(()),
        }
        ready.store(true, Ordering::Relaxed);
        loop {
            let elector = Elector::new(self.client.clone(), &self.settings.namespace, &self.settings.pod_name);
            let mut leadership = tokio::select! {
                won = elector.win() => won,
                () = &mut end => return Ok(()),
            };
            self.metrics.leader.set(1);
            let is_over = tokio::select! {
                () = self.lead() => bail!("the controllers ended"),
                // Whatever was under way is dropped here and now, so nothing is written after the term.
                () = leadership.keep() => false,
                () = &mut end => true,
            };
            self.metrics.leader.set(0);
            if is_over {
                // Nothing writes any more, so another may begin.
                leadership.release().await;
                return Ok(());
            }
        }
    }

    /// Works on everything, with no memory of an earlier term: others may have written meanwhile.
    async fn lead(&mut self) {
        let reporter = Reporter {
            controller: "wharfinger".into(),
            instance: Some(self.settings.pod_name.clone()),
        };
        let context = Arc::new(Context {
            recorder: Recorder::new(self.client.clone(), reporter),
            hashing: Arc::new(Hashing::new(self.client.clone())),
            cluster_issuer: crate::cluster_issuer::KnownIssuer::default(),
            client: self.client.clone(),
            settings: self.settings.clone(),
            stores: self.stores.clone(),
            queues: self.queues.clone(),
            outcomes: crate::outcome::Outcomes::default(),
            proofs: registry::proof::Proofs::default(),
            applied: registry::apply::Applied::default(),
            elsewhere: registry::elsewhere::Elsewhere::default(),
            metrics: self.metrics.clone(),
            failures: crate::context::Failures::default(),
            documents: Decoded::default(),
            states: Decoded::default(),
            published: std::sync::Mutex::default(),
        });
        self.stores.queue_all(&self.queues);
        let (stores, ctx) = (&self.stores, &context);
        let Work {
            registries,
            identities,
            policies,
        } = &mut self.work;
        tokio::join!(
            drive(
                "Registry",
                stores.registries.clone(),
                registries,
                ctx,
                registry::reconcile
            ),
            drive(
                "RegistryIdentity",
                stores.identities.clone(),
                identities,
                ctx,
                registry_identity::reconcile
            ),
            drive(
                "AccessPolicy",
                stores.policies.clone(),
                policies,
                ctx,
                access_policy::reconcile
            ),
            prune::run(ctx),
            crate::cluster_issuer::follow(ctx),
        );
    }
}

/// Works through the queue of one kind.
async fn drive<K, F>(
    kind: &'static str,
    store: Store<K>,
    queue: impl Stream<Item = ObjectRef<K>>,
    context: &Arc<Context>,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Copy,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    F: Future<Output = Result<Action, api::Error>> + Send + 'static,
{
    let pass = move |object: Arc<K>, context: Arc<Context>| {
        Box::pin(async move {
            let reference = ObjectRef::from_obj(object.as_ref());
            let done = tokio::time::timeout(PASS, reconcile(object, context.clone())).await;
            let done = done.unwrap_or_else(|_| {
                Err(api::Error::Deadline {
                    what: format!("finish a pass over {reference}"),
                })
            });
            let result = if done.is_ok() { "ok" } else { "error" };
            context.metrics.reconciles.get_or_create(&Pass { kind, result }).inc();
            if done.is_ok() {
                context.failures.clear(&reference);
            }
            done
        })
    };
    let failed = |object: Arc<K>, error: &api::Error, context: Arc<Context>| {
        let reference = ObjectRef::from_obj(object.as_ref());
        if error.is_terminating() {
            // The namespace is going; its objects go with it.
            return Action::requeue(Duration::from_secs(60));
        }
        if !error.is_conflict() {
            tracing::warn!(object = %reference, error = api::chain(error), "pass not finished; tried again");
        }
        context.failures.retry(&reference)
    };
    let config = Config::default().concurrency(CONCURRENCY);
    applier(
        pass,
        failed,
        context.clone(),
        store,
        queue.map(Ok::<_, Infallible>),
        config,
    )
    .for_each(|_| async {})
    .await;
}

/// Completes when the process is asked to end.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("ending");
}
