//! The Secret is followed from an API server that comes and goes: a small one, on loopback, that serves one Secret.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use registry_config::{AccessContent, Layout, Packed, Slot, pack};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::*;
use crate::metrics::Metrics;
use crate::token::Key;

const NAME: &str = "main-access";
const SOON: Duration = Duration::from_secs(30);

/// A document that tells itself apart by its one identity.
fn content(username: &str) -> AccessContent {
    serde_json::from_value(serde_json::json!({ "identities": [{ "username": username }] })).unwrap()
}

fn document(revision: u64) -> Raw {
    packed(&content(&format!("user-{revision}")), revision)
}

/// What fits beside its index.
fn packed(content: &AccessContent, revision: u64) -> Raw {
    let Packed { index, content, .. } = pack(content, revision, Slot::A).unwrap();
    match content {
        Layout::Inside(content) => Raw { index, content },
        Layout::Outside(..) => panic!("that needs shards"),
    }
}

/// A document in shards: its index, and what stands in each, by the names of their Secrets.
fn sharded(revision: u64, slot: Slot) -> (Raw, BTreeMap<String, Vec<u8>>) {
    use sha2::{Digest, Sha256};
    let mut large = content(&format!("user-{revision}"));
    let noise = (0_u64..40_000).map(|n| hex::encode(Sha256::digest((n + revision).to_le_bytes())));
    large.identities[0].groups = noise.collect();
    let Packed { index, content, .. } = pack(&large, revision, slot).unwrap();
    let Layout::Outside(shards, pieces) = content else {
        panic!("that needs no shards");
    };
    let secrets = shards.secrets(NAME).into_iter().zip(pieces).collect();
    let content = Vec::new();
    (Raw { index, content }, secrets)
}

fn secret(raw: &Raw, resource_version: u64) -> Secret {
    let data = [(INDEX_KEY, &raw.index), (CONTENT_KEY, &raw.content)];
    Secret {
        metadata: kube::api::ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some("here".to_owned()),
            resource_version: Some(resource_version.to_string()),
            ..Default::default()
        },
        data: Some(
            data.into_iter()
                .map(|(key, value)| (key.to_owned(), ByteString(value.clone())))
                .collect::<BTreeMap<_, _>>(),
        ),
        ..Default::default()
    }
}

/// What the API server has, and what happened to it since its first version.
struct Cluster {
    secret: Mutex<(u64, Option<Raw>)>,
    shards: Mutex<BTreeMap<String, Vec<u8>>>,
    /// How often a shard, or one that is not there, was asked for.
    shard_reads: watch::Sender<usize>,
    /// The event that made each version after the first. A watch begins behind the version it names, so that nothing
    /// is lost between a list and its watch.
    events: watch::Sender<Vec<String>>,
}

impl Cluster {
    fn new(raw: Option<Raw>) -> Arc<Self> {
        Arc::new(Self {
            secret: Mutex::new((1, raw)),
            shards: Mutex::default(),
            shard_reads: watch::Sender::default(),
            events: watch::Sender::default(),
        })
    }

    fn set(&self, raw: Option<Raw>) {
        let mut state = self.secret.lock().unwrap();
        state.0 += 1;
        let (kind, shown) = match &raw {
            Some(raw) => ("MODIFIED", secret(raw, state.0)),
            None => ("DELETED", secret(state.1.as_ref().unwrap(), state.0)),
        };
        state.1 = raw;
        let event = format!("{}\n", serde_json::json!({ "type": kind, "object": shown }));
        self.events.send_modify(|events| events.push(event));
    }

    /// Waits until somebody has looked for shards this often from now on.
    async fn shards_are_read(&self, times: usize) {
        let mut reads = self.shard_reads.subscribe();
        let enough = *reads.borrow() + times;
        let read = reads.wait_for(|reads| *reads >= enough);
        tokio::time::timeout(SOON, read).await.expect("somebody looks").unwrap();
    }

    /// Serves until the task is aborted, which closes its connections as well.
    async fn serve(self: &Arc<Self>, address: Option<SocketAddr>) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind(address.unwrap_or(([127, 0, 0, 1], 0).into()))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let cluster = self.clone();
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let cluster = cluster.clone();
                let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let response = cluster.answer(request.uri());
                    async move { Ok::<_, Infallible>(response) }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        (address, server)
    }

    fn answer(&self, uri: &http::Uri) -> hyper::Response<crate::body::ResponseBody> {
        let (version, raw) = self.secret.lock().unwrap().clone();
        let found = raw.map(|raw| secret(&raw, version));
        let query = uri.query().unwrap_or_default();
        if query.contains("watch=true") {
            assert!(query.contains("fieldSelector=metadata.name%3Dmain-access"), "{query}");
            let from: usize = form_urlencoded::parse(query.as_bytes())
                .find_map(|(key, value)| (key == "resourceVersion").then(|| value.parse().unwrap()))
                .expect("a watch begins behind its list");
            let start = (self.events.subscribe(), from - 1);
            let events = futures::stream::unfold(start, |(mut events, next)| async move {
                let event = events.wait_for(|events| events.len() > next).await.ok()?[next].clone();
                let frame = http_body::Frame::data(Bytes::from(event));
                Some((Ok::<_, crate::store::BoxError>(frame), (events, next + 1)))
            });
            return hyper::Response::new(StreamBody::new(events).boxed_unsync());
        }
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        if name != NAME && name != "secrets" {
            self.shard_reads.send_modify(|reads| *reads += 1);
        }
        let shard = self.shards.lock().unwrap().get(name).cloned();
        let found = match shard {
            Some(content) => Some(secret(
                &Raw {
                    index: Vec::new(),
                    content,
                },
                version,
            )),
            None if name == NAME || name == "secrets" => found,
            None => None,
        };
        let (status, body) = match (name != "secrets", found) {
            (true, Some(secret)) => (200, serde_json::to_value(secret).unwrap()),
            (true, None) => (
                404,
                serde_json::json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "message": "", "code": 404 }),
            ),
            (false, found) => {
                let items: Vec<Secret> = found.into_iter().collect();
                let metadata = serde_json::json!({ "resourceVersion": version.to_string() });
                (
                    200,
                    serde_json::json!({ "kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": items }),
                )
            }
        };
        let body = Full::new(Bytes::from(body.to_string()))
            .map_err(|never| match never {})
            .boxed_unsync();
        hyper::Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(body)
            .unwrap()
    }
}

/// A registry that follows the Secret, with its directories.
struct Follow {
    current: Arc<Current>,
    directory: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn settings(directory: &Path) -> AccessSecret {
    AccessSecret {
        namespace: "here".to_owned(),
        name: NAME.to_owned(),
        mounted: directory.join("mounted"),
        saved: directory.join("saved"),
    }
}

fn start(address: SocketAddr, directory: tempfile::TempDir) -> Follow {
    let current = Arc::new(Current::new(Arc::new(Key::generate().unwrap()), Metrics::default()));
    let connect = move || {
        let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    };
    let task = tokio::spawn(follow(settings(directory.path()), current.clone(), connect));
    Follow {
        current,
        directory,
        task,
    }
}

impl Follow {
    async fn reaches(&self, what: &str, condition: impl Fn(&super::super::Status) -> bool) {
        let started = Instant::now();
        while !condition(&self.current.status()) {
            assert!(started.elapsed() < SOON, "{what}: {:?}", self.current.status());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn reaches_revision(&self, revision: u64) {
        self.reaches(&format!("revision {revision}"), |status| {
            status
                .in_force
                .as_ref()
                .is_some_and(|in_force| in_force.revision == revision)
        })
        .await;
        let snapshot = self.current.snapshot().unwrap();
        assert!(snapshot.access().identity(&format!("user-{revision}")).is_some());
    }

    fn in_force(&self) -> Option<u64> {
        self.current.status().in_force.map(|in_force| in_force.revision)
    }
}

fn write_mounted(directory: &Path, raw: &Raw) {
    let mounted = settings(directory).mounted.join(NAME);
    std::fs::create_dir_all(&mounted).unwrap();
    std::fs::write(mounted.join(INDEX_KEY), &raw.index).unwrap();
    std::fs::write(mounted.join(CONTENT_KEY), &raw.content).unwrap();
}

fn empty() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// An address where nothing listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_change_of_the_secret_is_in_force_and_saved_before_it_is_reported() {
    let cluster = Cluster::new(Some(document(5)));
    let (address, _server) = cluster.serve(None).await;
    let registry = start(address, empty());
    registry.reaches_revision(5).await;
    for revision in 6..10 {
        cluster.set(Some(document(revision)));
        registry.reaches_revision(revision).await;
        let saved = saved::copies(&settings(registry.directory.path()).saved).unwrap();
        assert_eq!(
            saved.iter().map(|(revision, _)| *revision).collect::<Vec<_>>(),
            [revision]
        );
    }
}

#[tokio::test]
async fn bad_lower_and_deleted_documents_leave_the_previous_one_in_force() {
    let cluster = Cluster::new(Some(document(5)));
    let (address, _server) = cluster.serve(None).await;
    let registry = start(address, empty());
    registry.reaches_revision(5).await;
    let refused = |revision: Option<u64>, word: &'static str| {
        move |status: &super::super::Status| {
            status
                .refused
                .as_ref()
                .is_some_and(|refused| refused.revision == revision && refused.reason.contains(word))
        }
    };
    let torn = Raw {
        index: document(6).index,
        content: document(7).content,
    };
    cluster.set(Some(torn));
    registry.reaches("a torn document", refused(Some(6), "digest")).await;
    cluster.set(Some(Raw {
        index: b"{".to_vec(),
        content: vec![],
    }));
    registry.reaches("no document", refused(None, "line 1")).await;
    let mut broken = content("user-8");
    broken.identities.push(broken.identities[0].clone());
    cluster.set(Some(packed(&broken, 8)));
    registry
        .reaches("a duplicate username", refused(Some(8), "identities[1].username"))
        .await;
    assert!(
        !registry.current.status().refused.unwrap().reason.contains("user-8"),
        "names do not belong on the status page"
    );
    cluster.set(Some(document(4)));
    registry
        .reaches("a lower revision", refused(Some(4), "not newer"))
        .await;
    cluster.set(None);
    assert_eq!(registry.in_force(), Some(5));
    cluster.set(Some(document(9)));
    registry.reaches_revision(9).await;
    assert_eq!(registry.current.status().refused, None);
}

#[tokio::test]
async fn without_an_api_server_the_highest_copy_is_served_at_once() {
    for (saved_revision, mounted_revision, want) in [
        (Some(7), Some(5), 7),
        (Some(5), Some(7), 7),
        (None, Some(5), 5),
        (Some(5), None, 5),
    ] {
        let directory = empty();
        if let Some(revision) = saved_revision {
            saved::save(&settings(directory.path()).saved, revision, &document(revision)).unwrap();
        }
        if let Some(revision) = mounted_revision {
            write_mounted(directory.path(), &document(revision));
        }
        let registry = start(nowhere().await, directory);
        registry.reaches_revision(want).await;
    }
}

#[tokio::test]
async fn a_restart_without_an_api_server_keeps_what_was_accepted_last() {
    let cluster = Cluster::new(Some(document(5)));
    let (address, server) = cluster.serve(None).await;
    let mut registry = start(address, empty());
    // The kubelet's copy is old.
    write_mounted(registry.directory.path(), &document(3));
    registry.reaches_revision(5).await;
    server.abort();
    let directory = std::mem::replace(&mut registry.directory, empty());
    drop(registry);
    let again = start(address, directory);
    again.reaches_revision(5).await;
}

#[tokio::test]
async fn an_api_server_that_comes_late_or_again_is_noticed_quickly() {
    let cluster = Cluster::new(Some(document(5)));
    let address = nowhere().await;
    let registry = start(address, empty());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(registry.in_force(), None);
    let (_, server) = cluster.serve(Some(address)).await;
    registry.reaches_revision(5).await;
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    cluster.set(Some(document(6)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_, _server) = cluster.serve(Some(address)).await;
    registry.reaches_revision(6).await;
}

#[tokio::test]
async fn a_newer_mounted_copy_is_taken_while_the_api_server_is_away() {
    let directory = empty();
    write_mounted(directory.path(), &document(5));
    let registry = start(nowhere().await, directory);
    registry.reaches_revision(5).await;
    write_mounted(registry.directory.path(), &document(6));
    registry.reaches_revision(6).await;
}

#[tokio::test]
async fn a_document_in_shards_is_in_force_when_they_are_all_there_and_survives_a_restart() {
    let (first, shards) = sharded(5, Slot::A);
    let cluster = Cluster::new(Some(first));
    cluster.shards.lock().unwrap().extend(shards);
    let (address, server) = cluster.serve(None).await;
    let mut registry = start(address, empty());
    registry.reaches_revision(5).await;
    // The shards of the next one are not those that its index lists, and then not all there.
    let (second, shards) = sharded(6, Slot::B);
    let wrong = shards.keys().map(|name| (name.clone(), b"other".to_vec()));
    cluster.shards.lock().unwrap().extend(wrong);
    cluster.set(Some(second));
    // Each look asks for all of them; what stands in the first ones is known when the second look begins.
    cluster.shards_are_read(shards.len() + 1).await;
    let (last, content) = shards.last_key_value().unwrap();
    let mut partly = shards.clone();
    partly.remove(last);
    cluster.shards.lock().unwrap().remove(last);
    cluster.shards.lock().unwrap().extend(partly);
    cluster.shards_are_read(2 * shards.len() + 1).await;
    assert_eq!(registry.in_force(), Some(5));
    cluster.shards.lock().unwrap().insert(last.clone(), content.clone());
    registry.reaches_revision(6).await;
    server.abort();
    let directory = std::mem::replace(&mut registry.directory, empty());
    drop(registry);
    let registry = start(nowhere().await, directory);
    registry.reaches_revision(6).await;
}

#[tokio::test]
async fn a_mounted_document_in_shards_is_taken_where_it_is_whole() {
    let (raw, shards) = sharded(8, Slot::B);
    let directory = empty();
    write_mounted(directory.path(), &document(3));
    let mounted = directory.path().join("mounted");
    fs::write(mounted.join(NAME).join(INDEX_KEY), &raw.index).unwrap();
    fs::remove_file(mounted.join(NAME).join(CONTENT_KEY)).unwrap();
    let registry = start(nowhere().await, directory);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(registry.in_force(), None);
    for (name, content) in shards {
        fs::create_dir_all(mounted.join(&name)).unwrap();
        fs::write(mounted.join(name).join(SHARD_KEY), content).unwrap();
    }
    registry.reaches_revision(8).await;
}

#[tokio::test]
async fn a_document_that_cannot_be_saved_is_enforced_but_not_reported() {
    let directory = empty();
    // A file stands where the directory should be.
    std::fs::write(settings(directory.path()).saved, "").unwrap();
    write_mounted(directory.path(), &document(5));
    let registry = start(nowhere().await, directory);
    let started = Instant::now();
    while registry.current.snapshot().is_none() {
        assert!(started.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(registry.in_force(), None);
}
