//! Asks the Pods which document they enforce: nothing is called programmed before every one of them says so.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crds::{Registry, reasons};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use serde::Deserialize;

use super::publish::{Document, Publication};
use super::snapshot::Snapshot;
use crate::context::Context;
use crate::names;
use crate::outcome::Verdict;

/// How long one question may take.
const QUESTION: Duration = Duration::from_millis(700);
/// How long a pass waits for the Pods before it goes on and comes back.
const PATIENCE: Duration = Duration::from_millis(300);
/// First pause between two rounds of questions; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How soon a Pod is asked again in a later pass.
const RETRY: Duration = Duration::from_millis(500);
/// How soon a Pod is asked again that cannot be reached or that refused the document.
const SLOW_RETRY: Duration = Duration::from_secs(10);

/// What the Pods said.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) verdict: Verdict,
    /// How many Pods reported the document.
    pub(super) programmed_replicas: usize,
    /// When to ask again; `None` where there is nothing to ask.
    pub(super) retry: Option<Duration>,
}

/// What is remembered of the Pods' answers.
pub(crate) struct Proofs {
    client: reqwest::Client,
    memory: Mutex<HashMap<ObjectRef<Registry>, Memory>>,
}

#[derive(Default)]
struct Memory {
    /// The highest revision that any Pod reported.
    highest: u64,
    /// Containers that reported this digest.
    digest: String,
    containers: HashSet<String>,
    /// The entries of the last document that all Pods reported, as text.
    entries: HashSet<String>,
}

/// `/status` of the registry's admin port.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    revision: Option<u64>,
    digest: Option<String>,
    refused: Option<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    revision: Option<u64>,
    reason: String,
}

/// What one Pod said.
enum Answer {
    Programmed,
    Behind,
    Refused(String),
    Unreachable(String),
}

impl Default for Proofs {
    fn default() -> Self {
        // Pods are asked at their own addresses, whatever proxy the environment names.
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client without TLS can always be made");
        Self {
            client,
            memory: Mutex::default(),
        }
    }
}

impl Proofs {
    /// The highest revision that a Pod of the Registry has reported.
    pub(crate) fn highest(&self, registry: &ObjectRef<Registry>) -> u64 {
        self.memory
            .lock()
            .expect("no holder panics")
            .get(registry)
            .map_or(0, |memory| memory.highest)
    }

    /// Forgets Registries that are gone, and returns them.
    pub(crate) fn forget_gone(&self, exists: impl Fn(&ObjectRef<Registry>) -> bool) -> Vec<ObjectRef<Registry>> {
        let mut memory = self.memory.lock().expect("no holder panics");
        let gone: Vec<_> = memory.keys().filter(|registry| !exists(registry)).cloned().collect();
        memory.retain(|registry, _| exists(registry));
        gone
    }

    /// Keeps the entries of a document that all Pods reported.
    pub(super) fn keep_entries(&self, registry: &ObjectRef<Registry>, entries: HashSet<String>) {
        self.memory
            .lock()
            .expect("no holder panics")
            .entry(registry.clone())
            .or_default()
            .entries = entries;
    }

    /// Whether an entry stands unchanged since a document that all Pods reported.
    pub(super) fn has_entry(&self, registry: &ObjectRef<Registry>, entry: &str) -> bool {
        self.memory
            .lock()
            .expect("no holder panics")
            .get(registry)
            .is_some_and(|memory| memory.entries.contains(entry))
    }

    fn is_proven(&self, registry: &ObjectRef<Registry>, digest: &str, container: &str) -> bool {
        let memory = self.memory.lock().expect("no holder panics");
        memory
            .get(registry)
            .is_some_and(|memory| memory.digest == digest && memory.containers.contains(container))
    }

    fn note(&self, registry: &ObjectRef<Registry>, container: &str, status: &Status) {
        let mut memory = self.memory.lock().expect("no holder panics");
        let memory = memory.entry(registry.clone()).or_default();
        memory.highest = memory.highest.max(status.revision.unwrap_or(0));
        let Some(digest) = &status.digest else { return };
        if memory.digest != *digest {
            memory.digest.clone_from(digest);
            memory.containers.clear();
        }
        memory.containers.insert(container.to_owned());
    }
}

/// Asks every Pod that may serve until all report the document, or for as long as a pass may wait.
pub(super) async fn prove(context: &Context, snapshot: &Snapshot, publication: &Publication) -> Proof {
    let Some(document) = &publication.document else {
        let verdict = Verdict::no(
            reasons::PENDING,
            publication
                .refused
                .clone()
                .unwrap_or_else(|| "there is no access document yet".into()),
        );
        return Proof {
            verdict,
            programmed_replicas: 0,
            retry: None,
        };
    };
    let registry = ObjectRef::from_obj(snapshot.registry.as_ref());
    let pods: Vec<&Pod> = snapshot
        .pods
        .iter()
        .map(AsRef::as_ref)
        .filter(|pod| may_serve(pod))
        .collect();
    if pods.is_empty() {
        let verdict = Verdict::no(reasons::NO_REPLICAS, "no Pod is ready to enforce anything");
        return Proof {
            verdict,
            programmed_replicas: 0,
            retry: None,
        };
    }
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let answers = join_all(pods.iter().map(|pod| ask(context, &registry, pod, document))).await;
        let overtaken = context.proofs.highest(&registry) > document.revision;
        let behind = answers.iter().any(|answer| matches!(answer, Answer::Behind));
        if !behind || overtaken || begun.elapsed() + pause > PATIENCE {
            return judge(&pods, &answers, document, overtaken);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

fn judge(pods: &[&Pod], answers: &[Answer], document: &Document, overtaken: bool) -> Proof {
    let programmed_replicas = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Programmed))
        .count();
    let waiting = pods
        .iter()
        .zip(answers)
        .find(|(_, answer)| !matches!(answer, Answer::Programmed));
    let (verdict, retry) = match waiting {
        None => {
            let message = format!(
                "{programmed_replicas} of {} Pods enforce revision {}",
                pods.len(),
                document.revision
            );
            (Verdict::yes(reasons::PROGRAMMED, message), None)
        }
        // A Pod that is ahead of the document needs one that is ahead of the Pod: at once.
        Some(_) if overtaken => {
            let message =
                "a Pod enforces a document that is newer than the published one; the document is published again";
            (Verdict::no(reasons::PENDING, message), Some(Duration::from_millis(1)))
        }
        Some((pod, answer)) => {
            let pod = pod.name_any();
            match answer {
                Answer::Refused(why) => (
                    Verdict::no(
                        reasons::DOCUMENT_REFUSED,
                        format!("Pod `{pod}` refused the document and keeps the previous one: {why}"),
                    ),
                    Some(SLOW_RETRY),
                ),
                Answer::Unreachable(why) => (
                    Verdict::no(
                        reasons::UNREACHABLE,
                        format!("Pod `{pod}` cannot be asked what it enforces: {why}"),
                    ),
                    Some(SLOW_RETRY),
                ),
                Answer::Behind | Answer::Programmed => (
                    Verdict::no(
                        reasons::PENDING,
                        format!("Pod `{pod}` has not reported revision {} yet", document.revision),
                    ),
                    Some(RETRY),
                ),
            }
        }
    };
    Proof {
        verdict,
        programmed_replicas,
        retry,
    }
}

/// Whether a Pod may answer clients: a ready one, and one that ends, until it is gone.
fn may_serve(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let over = status
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
    let running = status
        .and_then(|status| status.container_statuses.as_ref())
        .into_iter()
        .flatten()
        .any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()));
    !over && (is_ready(pod) || (pod.metadata.deletion_timestamp.is_some() && running))
}

/// Whether a Pod is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Tells one start of a container from another.
fn container_of(pod: &Pod) -> String {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let container = statuses
        .into_iter()
        .flatten()
        .find_map(|status| status.container_id.clone());
    format!("{}/{}", pod.uid().unwrap_or_default(), container.unwrap_or_default())
}

async fn ask(context: &Context, registry: &ObjectRef<Registry>, pod: &Pod, document: &Document) -> Answer {
    let container = container_of(pod);
    if context.proofs.is_proven(registry, &document.digest, &container) {
        return Answer::Programmed;
    }
    let Some(address) = pod.status.as_ref().and_then(|status| status.pod_ip.clone()) else {
        return Answer::Unreachable("it has no address".into());
    };
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address
    };
    let url = format!("http://{host}:{}/status", names::ADMIN_PORT);
    let answer = async {
        context
            .proofs
            .client
            .get(&url)
            .timeout(QUESTION)
            .send()
            .await?
            .error_for_status()?
            .json::<Status>()
            .await
    };
    let status = match answer.await {
        Ok(status) => status,
        Err(error) => return Answer::Unreachable(crate::api::chain(&error.without_url())),
    };
    context.proofs.note(registry, &container, &status);
    if status.digest.as_deref() == Some(&document.digest) && status.revision >= Some(document.revision) {
        return Answer::Programmed;
    }
    match status.refused {
        Some(refused) if refused.revision.is_none_or(|revision| revision >= document.revision) => {
            Answer::Refused(refused.reason)
        }
        _ => Answer::Behind,
    }
}
