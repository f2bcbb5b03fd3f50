//! What a registry takes and gives away, by its settings: how large a blob may be, and whether anything can be deleted.

use http::{Method, StatusCode};
use serde_json::json;

use crate::fixture::{Answer, Call, PASSWORD, Registry, content, digest};

const LARGEST: usize = 1024;

async fn ask(registry: &Registry, method: Method, uri: &str, body: &[u8]) -> Answer {
    let call = Call::new(method, uri).basic("admin", PASSWORD);
    registry.send(call.body(body.to_vec())).await
}

async fn open(registry: &Registry) -> String {
    let answer = ask(registry, Method::POST, "/v2/team/app/blobs/uploads/", b"").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn a_blob_above_the_limit_is_refused_however_it_comes_and_leaves_nothing() {
    let mut content = content();
    content["blobs"] = json!({ "maxSize": "1Ki" });
    let registry = Registry::with(content);
    let fits = vec![1; LARGEST];
    let too_large = vec![2; LARGEST + 1];
    let at = |session: &str, content: &[u8]| format!("{session}?digest={}", digest(content));

    // At once.
    let uri = format!("/v2/team/app/blobs/uploads/?digest={}", digest(&too_large));
    let refused = ask(&registry, Method::POST, &uri, &too_large).await;
    assert_eq!(refused.error(), (413, "SIZE_INVALID".to_owned()));
    assert!(refused.message().contains("1024 bytes"), "{}", refused.message());
    // With the request that completes the session.
    let session = open(&registry).await;
    let refused = ask(&registry, Method::PUT, &at(&session, &too_large), &too_large).await;
    assert_eq!(refused.error(), (413, "SIZE_INVALID".to_owned()));
    // In pieces that are small enough each.
    let pieces = open(&registry).await;
    let sent = ask(&registry, Method::PATCH, &pieces, &too_large[..LARGEST]).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED);
    let refused = ask(&registry, Method::PATCH, &pieces, &too_large[LARGEST..]).await;
    assert_eq!(refused.error(), (413, "SIZE_INVALID".to_owned()));
    for session in [&session, &pieces] {
        let gone = ask(&registry, Method::GET, session, b"").await;
        assert_eq!(gone.error(), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
    }
    let left: Vec<String> = registry
        .files()
        .into_iter()
        .filter(|path| path.ends_with("/data"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // What is exactly as large as it may be is taken.
    let session = open(&registry).await;
    let sent = ask(&registry, Method::PATCH, &session, &fits[..LARGEST - 1]).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED);
    let stored = ask(&registry, Method::PUT, &at(&session, &fits), &fits[LARGEST - 1..]).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{stored:?}");
}

#[tokio::test]
async fn where_deletion_is_disabled_nobody_deletes_anything_and_uploads_can_still_be_cancelled() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let session = open(&registry).await;
    let mut disabled = content();
    disabled["deletion"] = json!("Disabled");
    registry.publish(2, disabled);
    let tag = "/v2/team/app/manifests/v1".to_owned();
    let manifest = format!("/v2/team/app/manifests/{}", image.manifest);
    let blob = format!("/v2/team/app/blobs/{}", image.layer);
    for (uri, allow) in [
        (&tag, "GET, HEAD, PUT"),
        (&manifest, "GET, HEAD, PUT"),
        (&blob, "GET, HEAD"),
    ] {
        let refused = ask(&registry, Method::DELETE, uri, b"").await;
        assert_eq!(refused.error(), (405, "UNSUPPORTED".to_owned()), "{uri}");
        assert_eq!(refused.header("allow"), Some(allow), "{uri}");
        // Whom policy refuses learns nothing of the setting.
        let denied = registry
            .send(Call::new(Method::DELETE, uri).basic("puller", PASSWORD))
            .await;
        assert_eq!(denied.error(), (403, "DENIED".to_owned()), "{uri}");
        assert_eq!(
            ask(&registry, Method::GET, uri, b"").await.status,
            StatusCode::OK,
            "{uri}"
        );
    }
    let cancelled = ask(&registry, Method::DELETE, &session, b"").await;
    assert_eq!(cancelled.status, StatusCode::NO_CONTENT, "{cancelled:?}");

    registry.publish(3, content());
    assert_eq!(
        ask(&registry, Method::DELETE, &tag, b"").await.status,
        StatusCode::ACCEPTED
    );
}
