//! Upload sessions: whose they are, how many one may have, and when they end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use http::Method;
use registry_config::Uploads;
use tempfile::TempDir;
use wharfinger_registry::store::Upload;

use crate::fixture::{Answer, Call, PASSWORD, Registry, digest, owner};

const BLOBS: &str = "/v2/team/app/blobs";
const SOON: Duration = Duration::from_secs(20);

async fn ask(registry: &Registry, user: &str, method: Method, uri: &str, body: &[u8]) -> Answer {
    registry
        .send(Call::new(method, uri).basic(user, PASSWORD).body(body.to_vec()))
        .await
}

async fn start(registry: &Registry, user: &str) -> Answer {
    ask(registry, user, Method::POST, &format!("{BLOBS}/uploads/"), b"").await
}

/// Opens a session and returns its address.
async fn open(registry: &Registry, user: &str) -> String {
    let answer = start(registry, user).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

fn uploads(expire_after: &str, sessions_per_identity: u32) -> Uploads {
    Uploads {
        expire_after: expire_after.parse::<registry_config::DurationText>().unwrap(),
        sessions_per_identity: sessions_per_identity.try_into().unwrap(),
    }
}

fn sessions(root: &Path) -> PathBuf {
    root.join("docker/registry/v2/repositories/team/app/_uploads")
}

/// The files of a session whose address this is.
fn session(root: &Path, location: &str) -> PathBuf {
    sessions(root).join(location.rsplit('/').next().unwrap())
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_session_belongs_to_whoever_opened_it_also_after_a_restart() {
    let mut registry = Registry::new();
    let location = open(&registry, "pusher").await;
    let digest = digest(b"0123456789");
    for part in [b"01234", b"56789"] {
        for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
            let answer = ask(&registry, "admin", method, &format!("{location}?digest={digest}"), b"x").await;
            assert_eq!(answer.status, 404, "{answer:?}");
            assert!(
                answer.body.is_empty() || answer.code() == "BLOB_UPLOAD_UNKNOWN",
                "{answer:?}"
            );
        }
        let answer = ask(&registry, "pusher", Method::PATCH, &location, part).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        registry = Registry::on(registry.stop(), &Uploads::default());
    }
    let answer = ask(&registry, "pusher", Method::GET, &location, b"").await;
    assert_eq!((answer.status.as_u16(), answer.header("range")), (204, Some("0-9")));
    let answer = ask(
        &registry,
        "pusher",
        Method::PUT,
        &format!("{location}?digest={digest}"),
        b"",
    )
    .await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn a_session_that_another_registry_has_left_is_continued_by_whoever_may_push() {
    let directory = tempfile::tempdir().unwrap();
    let location = left_by_another(&directory, "67e55044-10b1-426f-9247-bb680e5fe0c8", Duration::ZERO);
    let registry = Registry::on(directory, &Uploads::default());
    let answer = ask(&registry, "puller", Method::PATCH, &location, b"rest").await;
    assert_eq!(answer.error(), (403, "DENIED".to_owned()));
    // As the other registry's address was.
    let address = format!("{location}?_state=eyJOYW1lIjoidGVhbSJ9");
    let answer = ask(&registry, "pusher", Method::GET, &address, b"").await;
    assert_eq!((answer.status.as_u16(), answer.header("range")), (204, Some("0-4")));
    let answer = ask(&registry, "pusher", Method::PATCH, &address, b" and ").await;
    assert_eq!((answer.status.as_u16(), answer.header("range")), (202, Some("0-9")));
    let digest = digest(b"first and rest");
    let address = format!("{address}&digest={digest}");
    let answer = ask(&registry, "maintainer", Method::PUT, &address, b"rest").await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Makes a session of five bytes as the CNCF Distribution registry leaves it, and returns its address.
fn left_by_another(directory: &TempDir, name: &str, age: Duration) -> String {
    let files = sessions(directory.path()).join(name);
    fs::create_dir_all(files.join("hashstates/sha256")).unwrap();
    let written = SystemTime::now() - age;
    for (file, content) in [
        ("startedat", "2026-01-31T12:00:00Z"),
        ("hashstates/sha256/0", ""),
        ("data", "first"),
    ] {
        fs::write(files.join(file), content).unwrap();
        let file = fs::File::options().write(true).open(files.join(file)).unwrap();
        file.set_modified(written).unwrap();
    }
    format!("{BLOBS}/uploads/{name}")
}

#[tokio::test]
async fn an_identity_has_so_many_sessions_at_once_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::on(directory, &uploads("24h", 2));
    let (first, second) = (open(&registry, "pusher").await, open(&registry, "pusher").await);
    let refused = start(&registry, "pusher").await;
    assert_eq!(refused.error(), (429, "TOOMANYREQUESTS".to_owned()));
    assert!(refused.message().contains("2 upload sessions"), "{}", refused.message());
    // Others are not concerned.
    let other = open(&registry, "maintainer").await;

    // Each way in which a session ends makes room for another one.
    let right = digest(b"x");
    for (method, address, status) in [
        (Method::DELETE, first.clone(), 204),
        (Method::PUT, format!("{second}?digest={right}"), 201),
    ] {
        assert_eq!(start(&registry, "pusher").await.status, 429, "{method}");
        let answer = ask(&registry, "pusher", method, &address, b"x").await;
        assert_eq!(answer.status, status, "{answer:?}");
        open(&registry, "pusher").await;
    }
    assert_eq!(start(&registry, "pusher").await.status, 429);
    assert_eq!(
        ask(&registry, "maintainer", Method::DELETE, &other, b"").await.status,
        204
    );
    for body in [b"x", b"y"] {
        // Two at once are all that these may have, so neither leaves one.
        for _ in 0..3 {
            let address = format!("{BLOBS}/uploads/?digest={right}");
            let answer = ask(&registry, "maintainer", Method::POST, &address, body).await;
            assert_eq!(answer.status, if body == b"x" { 201 } else { 400 }, "{answer:?}");
        }
    }

    // Those of before a restart are found again and count.
    let registry = Registry::on(registry.stop(), &uploads("24h", 2));
    until("the sessions are found", async || {
        let answer = start(&registry, "pusher").await;
        if answer.status == 202 {
            let location = answer.header("location").unwrap();
            assert_eq!(
                ask(&registry, "pusher", Method::DELETE, location, b"").await.status,
                204
            );
        }
        answer.status == 429
    })
    .await;
}

#[tokio::test]
async fn a_session_that_nobody_writes_to_ends_and_one_that_is_written_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::on(directory, &uploads("1s", 1000));
    let root = registry.directory.path();
    let idle = open(&registry, "pusher").await;
    assert_eq!(ask(&registry, "pusher", Method::PATCH, &idle, b"x").await.status, 202);
    let written_at = Instant::now();
    let busy = open(&registry, "pusher").await;
    let upload = Upload {
        repository: "team/app".parse().unwrap(),
        session: busy.rsplit('/').next().unwrap().parse().unwrap(),
        caller: owner("pusher"),
        most: None,
    };
    // Slower altogether than a session lives.
    let chunks = futures::stream::iter(0..6_u8).then(|byte| async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        Ok(Bytes::from(vec![byte]))
    });
    let slow = registry.store().append(&upload, None, chunks.boxed());
    let ends = async {
        until("the idle session ends", async || !session(root, &idle).exists()).await;
        written_at.elapsed()
    };
    let (received, lived) = tokio::join!(slow, ends);
    assert_eq!(received.unwrap(), 6);
    assert!(lived >= Duration::from_secs(1), "{lived:?}");
    let answer = ask(&registry, "pusher", Method::PATCH, &idle, b"y").await;
    assert_eq!(answer.error(), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
    assert!(answer.message().contains("expired"), "{}", answer.message());

    // The end of a write begins the time anew.
    let digest = digest(&[0, 1, 2, 3, 4, 5]);
    let answer = ask(
        &registry,
        "pusher",
        Method::PUT,
        &format!("{busy}?digest={digest}"),
        b"",
    )
    .await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn sessions_that_were_left_long_ago_end_after_the_start_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3600);
    let old = left_by_another(&directory, "67e55044-10b1-426f-9247-bb680e5fe0c8", 2 * hour);
    let young = left_by_another(&directory, "67e55044-10b1-426f-9247-bb680e5fe0c9", hour / 2);
    let strange = left_by_another(&directory, "notes", 2 * hour);
    let registry = Registry::on(directory, &uploads("1h", 1000));
    let root = registry.directory.path();
    until("the old session ends", async || !session(root, &old).exists()).await;
    for location in [young, strange] {
        assert!(session(root, &location).join("data").exists(), "{location}");
    }
}
