//! Ways in which blobs come into a repository, and what holds for each blob that did.

use bytes::Bytes;
use http::Method;
use wharfinger_registry::oci::Digest;

use crate::fixture::{Answer, Call, PASSWORD, Registry};

/// Where blobs are mounted from.
pub(super) const SOURCE: &str = "team/source";

/// A way in which a blob comes into a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// One request.
    Post,
    /// A session, and all content with the request that ends it.
    PostPut,
    /// A session, and all content in one piece that does not say where it belongs.
    Stream,
    /// A session, and content in three pieces that say where they belong.
    Chunks {
        /// Whether the last piece comes with the request that ends the session.
        last_by_put: bool,
        /// Whether each piece is first sent to where it does not belong.
        disordered: bool,
    },
    /// From a repository that is named, and has it.
    Mount,
    /// From any repository.
    MountFromAnywhere,
    /// From a repository that has it not, so that it is sent after all.
    MountOfNothing,
}

pub(super) const WAYS: [Way; 10] = [
    Way::Post,
    Way::PostPut,
    Way::Stream,
    chunks(false, false),
    chunks(true, false),
    chunks(false, true),
    chunks(true, true),
    Way::Mount,
    Way::MountFromAnywhere,
    Way::MountOfNothing,
];

const fn chunks(last_by_put: bool, disordered: bool) -> Way {
    Way::Chunks {
        last_by_put,
        disordered,
    }
}

pub(super) async fn ask(registry: &Registry, method: Method, uri: &str) -> Answer {
    send(registry, method, uri, "", &Bytes::new()).await
}

/// Sends `body`, which belongs to `range` where that is not empty.
async fn send(registry: &Registry, method: Method, uri: &str, range: &str, body: &Bytes) -> Answer {
    let mut call = Call::new(method, uri).basic("admin", PASSWORD).body(body.clone());
    if !range.is_empty() {
        call = call
            .header("content-range", range)
            .header("content-length", &body.len().to_string());
    }
    registry.send(call).await
}

/// Opens a session with `query`, and returns its address.
async fn start(registry: &Registry, repository: &str, query: &str) -> String {
    let answer = ask(
        registry,
        Method::POST,
        &format!("/v2/{repository}/blobs/uploads/{query}"),
    )
    .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

/// Pushes `content` as `digest`, and returns the last answer.
pub(super) async fn push(registry: &Registry, repository: &str, way: Way, digest: &Digest, content: &Bytes) -> Answer {
    let (nothing, uploads) = (Bytes::new(), format!("/v2/{repository}/blobs/uploads/"));
    let end = async |session: String, body: &Bytes| {
        send(registry, Method::PUT, &format!("{session}?digest={digest}"), "", body).await
    };
    match way {
        Way::Post => {
            send(
                registry,
                Method::POST,
                &format!("{uploads}?digest={digest}"),
                "",
                content,
            )
            .await
        }
        Way::PostPut => end(start(registry, repository, "").await, content).await,
        Way::Stream => {
            let session = start(registry, repository, "").await;
            let answer = send(registry, Method::PATCH, &session, "", content).await;
            check_progress(&answer, 202, &session, content.len());
            end(session, &nothing).await
        }
        Way::Chunks {
            last_by_put,
            disordered,
        } => {
            let session = start(registry, repository, "").await;
            let size = content.len() / 3 + 1;
            for begin in (0..content.len()).step_by(size) {
                let chunk = content.slice(begin..content.len().min(begin + size));
                let is_last = begin + chunk.len() == content.len();
                let (method, uri) = if is_last && last_by_put {
                    (Method::PUT, format!("{session}?digest={digest}"))
                } else {
                    (Method::PATCH, session.clone())
                };
                let range = |begin: usize| format!("{begin}-{}", begin + chunk.len() - 1);
                if disordered {
                    // Ahead of its place or, where nothing is ahead, before it.
                    let wrong = if is_last && begin > 0 { 0 } else { begin + size };
                    let refused = send(registry, method.clone(), &uri, &range(wrong), &chunk).await;
                    assert_eq!(refused.error(), (416, "BLOB_UPLOAD_INVALID".to_owned()));
                    check_progress(&refused, 416, &session, begin);
                    check_progress(&ask(registry, Method::GET, &session).await, 204, &session, begin);
                }
                let answer = send(registry, method.clone(), &uri, &range(begin), &chunk).await;
                if method == Method::PUT {
                    return answer;
                }
                check_progress(&answer, 202, &session, begin + chunk.len());
            }
            end(session, &nothing).await
        }
        Way::Mount | Way::MountFromAnywhere => {
            let there = format!("/v2/{SOURCE}/blobs/uploads/?digest={digest}");
            let there = send(registry, Method::POST, &there, "", content).await;
            assert_eq!(there.status, 201, "{there:?}");
            let from = if way == Way::Mount { "&from=team/source" } else { "" };
            ask(registry, Method::POST, &format!("{uploads}?mount={digest}{from}")).await
        }
        Way::MountOfNothing => {
            let query = format!("?mount={digest}&from=team/nothing");
            end(start(registry, repository, &query).await, content).await
        }
    }
}

fn check_progress(answer: &Answer, status: u16, session: &str, received: usize) {
    let range = format!("0-{}", received.saturating_sub(1));
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.header("location"),
            answer.header("range")
        ),
        (status, Some(session), Some(range.as_str())),
        "{answer:?}"
    );
}

/// Pushes a blob, and checks that it is where the answer says.
pub(super) async fn push_well(registry: &Registry, repository: &str, way: Way, digest: &Digest, content: &Bytes) {
    let answer = push(registry, repository, way, digest, content).await;
    let location = format!("/v2/{repository}/blobs/{digest}");
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.header("location"),
            answer.header("docker-content-digest")
        ),
        (201, Some(location.as_str()), Some(digest.as_str())),
        "{way:?}: {answer:?}"
    );
}

pub(super) async fn check_blob(registry: &Registry, repository: &str, digest: &Digest, content: &Bytes) {
    for method in [Method::HEAD, Method::GET] {
        let answer = ask(registry, method.clone(), &format!("/v2/{repository}/blobs/{digest}")).await;
        let length = content.len().to_string();
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.header("content-length"),
                answer.header("docker-content-digest")
            ),
            (200, Some(length.as_str()), Some(digest.as_str())),
            "{method}: {:?}",
            answer.headers
        );
        assert_eq!(
            answer.body,
            if method == Method::HEAD {
                Bytes::new()
            } else {
                content.clone()
            }
        );
    }
}

/// Deletes what is at `uri`, and checks that it is gone at once.
pub(super) async fn delete(registry: &Registry, uri: &str, unknown: &str) {
    let answer = ask(registry, Method::DELETE, uri).await;
    assert_eq!(answer.status, 202, "{uri}: {answer:?}");
    assert_eq!(ask(registry, Method::HEAD, uri).await.status, 404, "{uri}");
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(
            ask(registry, method, uri).await.error(),
            (404, unknown.to_owned()),
            "{uri}"
        );
    }
}
