//! The access document as a Secret: read from the API server and from the copies that outlast it, and followed by a
//! watch on that one Secret.
//!
//! This module and [`crate::token::Reviews`] are the only ones of the registry that know Kubernetes. A restarted container starts from the highest
//! revision that it finds, so that a revoked user does not come back because the API server is away.

use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use registry_config::{
    AccessSecret, CONTENT_KEY, DocumentError, INDEX_KEY, SHARD_KEY, Shards, index_from_secret, parse_index,
};

use super::saved::{self, Raw};
use super::{Current, Snapshot, state};

/// How long the first read waits for the API server before the copies have to do.
const FIRST_READ: Duration = Duration::from_secs(2);
/// How long the server lets a watch run before it is renewed, in seconds.
const WATCH_SECONDS: u32 = 200;
/// How long a list may take.
const LIST: Duration = Duration::from_secs(10);
/// How long a watch may be silent: the client library gives it up shortly after [`WATCH_SECONDS`].
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// The first pause after a failure; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause while nobody can be let in.
const PAUSE_WITHOUT_DOCUMENT: Duration = Duration::from_secs(2);
/// The longest pause otherwise.
const PAUSE_WITH_DOCUMENT: Duration = Duration::from_secs(5);

/// Makes a client from the Pod's own ServiceAccount.
///
/// # Errors
/// Outside a Pod, or without a ServiceAccount token.
pub fn client() -> Result<Client, ClientError> {
    let mut config = kube::Config::incluster()?;
    config.connect_timeout = Some(FIRST_READ);
    // Pauses are decided here, where it is known how urgent an answer is.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// This process does not run in a Pod with a ServiceAccount token.
    #[error("cannot find the API server from inside this Pod")]
    Environment(#[from] kube::config::InClusterError),
    /// The configuration cannot be used.
    #[error("cannot make a client for the API server")]
    Client(#[from] kube::Error),
}

/// Follows the Secret for as long as the process runs. `connect` makes a client, again after each that stopped working.
pub async fn follow(settings: AccessSecret, current: Arc<Current>, connect: impl Fn() -> Result<Client, ClientError>) {
    let mut follower = Follower {
        settings,
        current,
        unsaved: None,
    };
    let mut client = connect();
    follower.start(client.as_ref().ok()).await;
    let mut failures = 0_u32;
    loop {
        match client {
            Ok(client) => follower.watch(client, &mut failures).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot reach the API server");
                failures = failures.saturating_add(1);
            }
        }
        follower.pause(failures).await;
        client = connect();
    }
}

struct Follower {
    settings: AccessSecret,
    current: Arc<Current>,
    /// The document in force, as long as its copy could not be saved.
    unsaved: Option<(u64, Raw)>,
}

impl Follower {
    /// Puts the highest revision in force that can be found within a short time.
    async fn start(&mut self, client: Option<&Client>) {
        let read = async {
            let client = client?;
            let api: Api<Secret> = Api::namespaced(client.clone(), &self.settings.namespace);
            let read = match api.get_opt(&self.settings.name).await {
                Ok(Some(secret)) => raw(&api, &secret).await,
                Ok(None) => Ok(None),
                Err(error) => Err(error.into()),
            };
            read.unwrap_or_else(|error| {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the access document from the API server yet"
                );
                None
            })
        };
        let from_api = tokio::time::timeout(FIRST_READ, read).await.ok().flatten();
        let found = [from_api]
            .into_iter()
            .flatten()
            .map(|raw| ("API server", raw))
            .chain(self.copies());
        let mut best: Option<(&str, Snapshot, Raw)> = None;
        for (source, raw) in found {
            match parse(raw.clone(), &self.current).await {
                Ok(snapshot)
                    if best
                        .as_ref()
                        .is_none_or(|(_, best, _)| best.revision() < snapshot.revision()) =>
                {
                    best = Some((source, snapshot, raw));
                }
                Ok(_) => {}
                Err(error) => self.refuse(source, &raw, &error),
            }
        }
        if let Some((source, snapshot, raw)) = best {
            tracing::info!(
                source,
                revision = snapshot.revision(),
                "starting from this access document"
            );
            self.accept(snapshot, raw);
        }
    }

    /// The copies on disk: those saved by a process before this one, and the kubelet's.
    fn copies(&self) -> Vec<(&'static str, Raw)> {
        let saved = saved::copies(&self.settings.saved).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.settings.saved.display(), "cannot list the saved access documents");
            Vec::new()
        });
        let saved = saved
            .into_iter()
            .filter_map(|(_, path)| Some(("saved copy", Raw::read(&path).ok()?)));
        saved.chain(self.mounted().map(|raw| ("mounted copy", raw))).collect()
    }

    /// The kubelet's copy. Its files may be of different versions while they are being replaced; the digests in the
    /// index tell.
    fn mounted(&self) -> Option<Raw> {
        let directory = |secret: &str| -> PathBuf { self.settings.mounted.join(secret) };
        let index = fs::read(directory(&self.settings.name).join(INDEX_KEY)).ok()?;
        let Some(shards) = shards(&index) else {
            return Raw::read(&directory(&self.settings.name)).ok();
        };
        let secrets = shards.secrets(&self.settings.name);
        let pieces = secrets
            .iter()
            .map(|secret| fs::read(directory(secret).join(SHARD_KEY)).ok());
        let content = shards.join(&pieces.collect::<Option<Vec<_>>>()?).ok()?;
        Some(Raw { index, content })
    }

    /// Watches the Secret until the watch fails.
    async fn watch(&mut self, client: Client, failures: &mut u32) {
        let api: Api<Secret> = Api::namespaced(client, &self.settings.namespace);
        let config = watcher::Config::default()
            .fields(&format!("metadata.name={}", self.settings.name))
            .timeout(WATCH_SECONDS);
        let mut events = pin!(watcher::watcher(api.clone(), config));
        let (mut listed, mut seen) = (false, false);
        loop {
            let limit = if listed { SILENCE } else { LIST };
            let event = match tokio::time::timeout(limit, self.next_or_save(&mut events)).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => {
                    *failures = failures.saturating_add(1);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        failures,
                        "lost the watch on the access document"
                    );
                    return;
                }
                Ok(None) | Err(_) => {
                    *failures = failures.saturating_add(1);
                    tracing::warn!(failures, "the watch on the access document is silent; starting another");
                    return;
                }
            };
            match event {
                Event::Init => seen = false,
                Event::InitApply(secret) | Event::Apply(secret) => {
                    seen = true;
                    match tokio::time::timeout(LIST, raw(&api, &secret)).await {
                        Ok(Ok(raw)) => {
                            *failures = 0;
                            self.consider("API server", raw).await;
                        }
                        // Another publication may have begun since: the list that comes then says where that is.
                        Ok(Err(error)) => {
                            *failures = failures.saturating_add(1);
                            tracing::warn!(
                                error = &error as &dyn std::error::Error,
                                failures,
                                "cannot read the shards of the access document; what is in force stays until they can be read"
                            );
                            return;
                        }
                        Err(_) => {
                            *failures = failures.saturating_add(1);
                            tracing::warn!(
                                failures,
                                "reading the shards of the access document takes too long; trying again"
                            );
                            return;
                        }
                    }
                }
                Event::InitDone => {
                    *failures = 0;
                    listed = true;
                    if !seen {
                        tracing::warn!(
                            secret = self.settings.name,
                            "the access document's Secret does not exist; what is in force stays"
                        );
                    }
                }
                Event::Delete(_) => {
                    tracing::warn!(
                        secret = self.settings.name,
                        "the access document's Secret was deleted; what is in force stays"
                    );
                }
            }
        }
    }

    /// The next event, while a copy that could not be saved is tried again.
    async fn next_or_save<S: futures::Stream + Unpin>(&mut self, events: &mut S) -> Option<S::Item> {
        loop {
            let Some((revision, raw)) = self.unsaved.take() else {
                return events.next().await;
            };
            tokio::select! {
                event = events.next() => {
                    self.unsaved = Some((revision, raw));
                    return event;
                }
                () = tokio::time::sleep(PAUSE_WITHOUT_DOCUMENT) => self.save(revision, raw),
            }
        }
    }

    /// Waits before the next attempt, and looks at the kubelet's copy meanwhile: it may have news when the network
    /// between this Pod and the API server has not.
    async fn pause(&mut self, failures: u32) {
        let has_document = self.current.snapshot().is_some();
        let longest = if has_document {
            PAUSE_WITH_DOCUMENT
        } else {
            PAUSE_WITHOUT_DOCUMENT
        };
        let pause = PAUSE
            .saturating_mul(1 << failures.saturating_sub(1).min(16))
            .min(longest);
        tokio::time::sleep(pause).await;
        let in_force = self.current.snapshot().map(|snapshot| snapshot.revision());
        // An older copy than what is in force is nothing to report: the kubelet is always late.
        let Some(raw) = self.mounted().filter(|raw| revision(raw) > in_force) else {
            return;
        };
        self.consider("mounted copy", Some(raw)).await;
    }

    /// Puts a document in force, or refuses it and keeps what is.
    async fn consider(&mut self, source: &'static str, raw: Option<Raw>) {
        let Some(raw) = raw else {
            tracing::error!(
                source,
                secret = self.settings.name,
                "the Secret lacks the key `{INDEX_KEY}` or `{CONTENT_KEY}`; what is in force stays"
            );
            self.current
                .refuse(None, format!("key {INDEX_KEY} or {CONTENT_KEY} is missing"));
            return;
        };
        let snapshot = match parse(raw.clone(), &self.current).await {
            Ok(snapshot) => snapshot,
            Err(error) => return self.refuse(source, &raw, &error),
        };
        match self.current.snapshot() {
            Some(known) if (known.revision(), known.digest()) == (snapshot.revision(), snapshot.digest()) => {
                self.current.clear_refusal();
            }
            Some(known) if known.revision() >= snapshot.revision() => {
                let (offered, known) = (snapshot.revision(), known.revision());
                tracing::error!(
                    source,
                    offered,
                    known,
                    "an access document that is not newer is refused"
                );
                self.current.refuse(
                    Some(offered),
                    format!("it is not newer than revision {known}, which is in force"),
                );
            }
            Some(_) | None => self.accept(snapshot, raw),
        }
    }

    /// Enforces a document at once, and says that it is in force when a restart cannot lose it.
    fn accept(&mut self, snapshot: Snapshot, raw: Raw) {
        let revision = snapshot.revision();
        self.current.enforce(snapshot);
        self.save(revision, raw);
    }

    fn save(&mut self, revision: u64, raw: Raw) {
        match saved::save(&self.settings.saved, revision, &raw) {
            Ok(()) => {
                self.unsaved = None;
                self.current.report();
            }
            Err(error) => {
                let path = self.settings.saved.display();
                tracing::error!(%error, %path, revision, "cannot save the access document; it is enforced, but not reported as in force");
                self.unsaved = Some((revision, raw));
            }
        }
    }

    fn refuse(&self, source: &str, raw: &Raw, error: &DocumentError) {
        let revision = revision(raw);
        tracing::error!(
            source,
            revision,
            "the access document is refused, the previous one stays in force: {error}"
        );
        self.current.refuse(revision, state::reason(error));
    }
}

/// Why the document of a Secret is not whole.
#[derive(Debug, thiserror::Error)]
enum RawError {
    #[error("cannot ask the API server")]
    Api(#[from] kube::Error),
    #[error("the Secret `{0}`, which the index lists, does not exist or lacks the key `{SHARD_KEY}`")]
    Missing(String),
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// The index of the Secret, and the content beside it or in the shards that it lists; `None` where a key of the Secret is missing.
async fn raw(api: &Api<Secret>, secret: &Secret) -> Result<Option<Raw>, RawError> {
    let key = |key: &str| Some(secret.data.as_ref()?.get(key)?.0.clone());
    let Some(index) = key(INDEX_KEY) else { return Ok(None) };
    let Some(shards) = shards(&index) else {
        return Ok(key(CONTENT_KEY).map(|content| Raw { index, content }));
    };
    let list = secret.metadata.name.as_deref().unwrap_or_default();
    let pieces = shards.secrets(list).into_iter().map(async |name| {
        let found = api.get_opt(&name).await?;
        let piece = found.and_then(|mut found| found.data.as_mut()?.remove(SHARD_KEY));
        piece.map(|piece| piece.0).ok_or(RawError::Missing(name))
    });
    let content = shards.join(&try_join_all(pieces).await?)?;
    Ok(Some(Raw { index, content }))
}

/// Where the content is, where the index lists shards and can be read that far.
fn shards(index: &[u8]) -> Option<Shards> {
    parse_index(index).ok()?.shards
}

/// The revision that the index names, where that much of it can be read.
fn revision(raw: &Raw) -> Option<u64> {
    parse_index(&raw.index).ok().map(|index| index.revision)
}

async fn parse(raw: Raw, current: &Current) -> Result<Snapshot, DocumentError> {
    let own_key = current.own_key().clone();
    super::compile(move || {
        let (index, access) = index_from_secret(&raw.index, &raw.content)?;
        Snapshot::new(&index, access, &own_key)
    })
    .await
}

#[cfg(test)]
mod tests;
