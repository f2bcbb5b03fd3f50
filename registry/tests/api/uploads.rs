//! Blobs: pushed in every way that clients push, and refused in every way they can go wrong.

use bytes::Bytes;
use http::Method;
use serde_json::json;
use wharfinger_registry::oci::{Algorithm, Digest};

use crate::fixture::{Answer, Call, PASSWORD, Registry, content, digest};

const BLOBS: &str = "/v2/team/app/blobs";

async fn ask(registry: &Registry, method: Method, uri: &str, body: &[u8]) -> Answer {
    registry
        .send(Call::new(method, uri).basic("pusher", PASSWORD).body(body.to_vec()))
        .await
}

/// Opens a session and returns its address.
async fn start(registry: &Registry) -> String {
    let answer = ask(registry, Method::POST, &format!("{BLOBS}/uploads/"), b"").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("range")),
        (202, Some("0-0")),
        "{answer:?}"
    );
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(
        location,
        format!("{BLOBS}/uploads/{}", answer.header("docker-upload-uuid").unwrap())
    );
    location
}

async fn patch(registry: &Registry, location: &str, range: &str, body: &[u8]) -> Answer {
    let mut call = Call::new(Method::PATCH, location)
        .basic("pusher", PASSWORD)
        .body(body.to_vec());
    if !range.is_empty() {
        call = call
            .header("content-range", range)
            .header("content-length", &body.len().to_string());
    }
    registry.send(call).await
}

async fn check_stored(registry: &Registry, digest: &Digest, content: &[u8]) {
    for method in [Method::GET, Method::HEAD] {
        let answer = ask(registry, method.clone(), &format!("{BLOBS}/{digest}"), b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(
            answer.header("content-length"),
            Some(content.len().to_string().as_str())
        );
        assert_eq!(answer.body, if method == Method::HEAD { b"" } else { content });
    }
    assert!(
        registry.files().iter().all(|path| !path.contains("_uploads/")),
        "a session is left: {:?}",
        registry.files()
    );
}

fn check_created(answer: &Answer, digest: &Digest) {
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), Some(format!("{BLOBS}/{digest}").as_str()));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
}

#[tokio::test]
async fn a_blob_is_pushed_in_one_request() {
    let registry = Registry::new();
    for content in [b"".as_slice(), b"x", &vec![7; 3_000_000]] {
        for algorithm in Algorithm::ALL {
            let digest = Digest::of(algorithm, content);
            let answer = ask(
                &registry,
                Method::POST,
                &format!("{BLOBS}/uploads/?digest={digest}"),
                content,
            )
            .await;
            check_created(&answer, &digest);
            check_stored(&registry, &digest, content).await;
        }
    }
}

#[tokio::test]
async fn a_blob_is_pushed_by_post_and_put() {
    let registry = Registry::new();
    for algorithm in Algorithm::ALL {
        let content = b"some content";
        let digest = Digest::of(algorithm, content);
        let location = start(&registry).await;
        let answer = ask(&registry, Method::PUT, &format!("{location}?digest={digest}"), content).await;
        check_created(&answer, &digest);
        check_stored(&registry, &digest, content).await;
    }
}

#[tokio::test]
async fn a_blob_is_pushed_in_chunks_with_and_without_ranges() {
    let registry = Registry::new();
    let content: Vec<u8> = (0..2_000_003_u32).map(|index| (index % 251) as u8).collect();
    let digest = digest(&content);
    for ranges in [false, true] {
        let location = start(&registry).await;
        let mut sent = 0;
        for chunk in content[..1_900_000].chunks(700_001) {
            let range = if ranges {
                format!("{sent}-{}", sent + chunk.len() - 1)
            } else {
                String::new()
            };
            let answer = patch(&registry, &location, &range, chunk).await;
            sent += chunk.len();
            assert_eq!(
                (answer.status.as_u16(), answer.header("range")),
                (202, Some(format!("0-{}", sent - 1).as_str()))
            );
            assert_eq!(answer.header("location"), Some(location.as_str()));
            let status = ask(&registry, Method::GET, &location, b"").await;
            assert_eq!(
                (status.status.as_u16(), status.header("range")),
                (204, Some(format!("0-{}", sent - 1).as_str()))
            );
        }
        let rest = &content[sent..];
        let mut call = Call::new(Method::PUT, &format!("{location}?digest={digest}"))
            .basic("pusher", PASSWORD)
            .body(rest.to_vec());
        if ranges {
            call = call.header("content-range", &format!("{sent}-{}", content.len() - 1));
        }
        check_created(&registry.send(call).await, &digest);
        check_stored(&registry, &digest, &content).await;
    }
}

#[tokio::test]
async fn chunks_at_the_wrong_place_are_refused_and_change_nothing() {
    let registry = Registry::new();
    let location = start(&registry).await;
    assert_eq!(patch(&registry, &location, "0-4", b"01234").await.status, 202);
    for range in ["0-4", "4-8", "6-10", "1000000000000-1000000000004"] {
        let answer = patch(&registry, &location, range, b"01234").await;
        assert_eq!(answer.error(), (416, "BLOB_UPLOAD_INVALID".to_owned()), "{range}");
        assert_eq!(
            (answer.header("range"), answer.header("location")),
            (Some("0-4"), Some(location.as_str())),
            "{range}"
        );
    }
    for (range, code) in [
        ("5-3", "BLOB_UPLOAD_INVALID"),
        ("x", "BLOB_UPLOAD_INVALID"),
        ("5-", "BLOB_UPLOAD_INVALID"),
        ("5-18446744073709551615", "BLOB_UPLOAD_INVALID"),
        ("5-100", "SIZE_INVALID"),
        ("5-6", "SIZE_INVALID"),
    ] {
        let answer = patch(&registry, &location, range, b"56789").await;
        assert_eq!(answer.error(), (400, code.to_owned()), "{range}");
    }
    // The length is not always said beforehand.
    for range in ["5-100", "5-6"] {
        let call = Call::new(Method::PATCH, &location)
            .basic("pusher", PASSWORD)
            .header("content-range", range)
            .body("56789");
        assert_eq!(
            registry.send(call).await.error(),
            (400, "SIZE_INVALID".to_owned()),
            "{range}"
        );
    }
    // Much may have been written before the length turns out to be wrong.
    for range in ["5-1500004", "5-3000004"] {
        let call = Call::new(Method::PATCH, &location)
            .basic("pusher", PASSWORD)
            .header("content-range", range);
        assert_eq!(
            registry.send(call.body(vec![b'x'; 2_000_000])).await.error(),
            (400, "SIZE_INVALID".to_owned()),
            "{range}"
        );
    }
    assert_eq!(patch(&registry, &location, "5-9", b"56789").await.status, 202);
    let digest = digest(b"0123456789");
    check_created(
        &ask(&registry, Method::PUT, &format!("{location}?digest={digest}"), b"").await,
        &digest,
    );
    check_stored(&registry, &digest, b"0123456789").await;
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing() {
    let registry = Registry::new();
    let wrong = digest(b"something else");
    for algorithm in Algorithm::ALL {
        let wrong = Digest::of(algorithm, b"something else");
        let answer = ask(
            &registry,
            Method::POST,
            &format!("{BLOBS}/uploads/?digest={wrong}"),
            b"content",
        )
        .await;
        assert_eq!(answer.error(), (400, "DIGEST_INVALID".to_owned()));
    }
    let location = start(&registry).await;
    assert_eq!(patch(&registry, &location, "", b"con").await.status, 202);
    let answer = ask(&registry, Method::PUT, &format!("{location}?digest={wrong}"), b"tent").await;
    assert_eq!(answer.error(), (400, "DIGEST_INVALID".to_owned()));
    assert!(
        answer.message().contains(digest(b"content").as_str()),
        "{}",
        answer.message()
    );
    for method in [Method::PUT, Method::PATCH, Method::GET, Method::DELETE] {
        let answer = ask(&registry, method, &format!("{location}?digest={wrong}"), b"").await;
        assert_eq!(answer.status, 404);
    }
    assert!(
        !registry.files().iter().any(|path| path.contains("data")),
        "{:?}",
        registry.files()
    );
}

#[tokio::test]
async fn a_session_belongs_to_its_repository_and_ends_once() {
    let registry = Registry::new();
    let location = start(&registry).await;
    let elsewhere = location.replace("team/app", "team/other");
    let digest = digest(b"content");
    for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
        let answer = ask(&registry, method, &format!("{elsewhere}?digest={digest}"), b"content").await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "BLOB_UPLOAD_UNKNOWN")
        );
    }
    check_created(
        &ask(
            &registry,
            Method::PUT,
            &format!("{location}?digest={digest}"),
            b"content",
        )
        .await,
        &digest,
    );
    let again = ask(
        &registry,
        Method::PUT,
        &format!("{location}?digest={digest}"),
        b"content",
    )
    .await;
    assert_eq!(again.error(), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));

    let location = start(&registry).await;
    assert_eq!(ask(&registry, Method::DELETE, &location, b"").await.status, 204);
    assert_eq!(ask(&registry, Method::DELETE, &location, b"").await.status, 404);
    assert_eq!(patch(&registry, &location, "", b"x").await.status, 404);
}

#[tokio::test]
async fn a_blob_that_comes_with_its_first_request_needs_the_right_to_complete_it() {
    let mut content = content();
    content["policies"] = json!([{
        "name": "start-only",
        "effect": "Allow",
        "subjects": [{ "any": "Authenticated" }],
        "rules": [{ "name": "start", "repositories": ["**"], "actions": ["start-upload"] }],
    }]);
    let registry = Registry::with(content);
    let uri = format!("{BLOBS}/uploads/");
    assert_eq!(ask(&registry, Method::POST, &uri, b"").await.status, 202);
    let before = registry.files();
    let answer = ask(&registry, Method::POST, &format!("{uri}?digest={}", digest(b"x")), b"x").await;
    assert_eq!(answer.error(), (403, "DENIED".to_owned()));
    assert_eq!(registry.files(), before);
}

#[tokio::test]
async fn locations_are_relative_unless_the_registry_knows_its_own_address() {
    let registry = Registry::new();
    assert!(start(&registry).await.starts_with("/v2/"));
    let mut content = content();
    content["externalURL"] = json!("https://registry.example:44301/");
    registry.publish(2, content);
    let answer = ask(&registry, Method::POST, &format!("{BLOBS}/uploads/"), b"").await;
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with("https://registry.example:44301/v2/team/app/"),
        "{location}"
    );
}

#[tokio::test]
async fn a_blob_is_seen_in_its_own_repository_only() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let elsewhere = format!("/v2/team/other/blobs/{}", image.layer);
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(
            ask(&registry, method, &elsewhere, b"").await.error(),
            (404, "BLOB_UNKNOWN".to_owned())
        );
    }
    // A manifest is no blob.
    assert_eq!(
        ask(&registry, Method::GET, &format!("{BLOBS}/{}", image.manifest), b"")
            .await
            .status,
        404
    );
    let delete = || Call::new(Method::DELETE, &format!("{BLOBS}/{}", image.layer)).basic("admin", PASSWORD);
    registry.seed("team/other", "v1").await;
    assert_eq!(registry.send(delete()).await.status, 202);
    assert_eq!(registry.send(delete()).await.error(), (404, "BLOB_UNKNOWN".to_owned()));
    assert_eq!(
        ask(&registry, Method::GET, &format!("{BLOBS}/{}", image.layer), b"")
            .await
            .status,
        404
    );
    assert_eq!(ask(&registry, Method::GET, &elsewhere, b"").await.status, 200);
}

#[tokio::test]
async fn parts_of_a_blob_are_served() {
    let registry = Registry::new();
    let content: Bytes = (0..1_500_000_u32)
        .map(|index| (index % 249) as u8)
        .collect::<Vec<_>>()
        .into();
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, &content);
        let uri = format!("{BLOBS}/uploads/?digest={digest}");
        assert_eq!(ask(&registry, Method::POST, &uri, &content).await.status, 201);
        check_parts(&registry, &digest, &content).await;
    }
}

/// Asks for parts of a blob of 1500000 bytes.
async fn check_parts(registry: &Registry, digest: &Digest, content: &Bytes) {
    let get = async |range: &str| {
        let call = Call::get(&format!("{BLOBS}/{digest}"))
            .basic("pusher", PASSWORD)
            .header("range", range);
        registry.send(call).await
    };
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-1400000", 100, 1_400_001),
        ("bytes=-5", 1_499_995, 1_500_000),
        ("bytes=1499999-", 1_499_999, 1_500_000),
        ("bytes=10-99999999", 10, 1_500_000),
    ] {
        let answer = get(range).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body),
            (206, &content.slice(start..end)),
            "{range}"
        );
        assert_eq!(
            answer.header("content-range"),
            Some(format!("bytes {start}-{}/1500000", end - 1).as_str())
        );
        assert_eq!(
            answer.header("content-length"),
            Some((end - start).to_string().as_str())
        );
    }
    for range in ["bytes=1500000-", "bytes=-0", "bytes=9999999-99999999", "bytes=5-1"] {
        let answer = get(range).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-range")),
            (416, Some("bytes */1500000")),
            "{range}"
        );
    }
    for range in ["bytes=0-1,2-3", "nonsense"] {
        let answer = get(range).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (200, content.len()),
            "{range}"
        );
    }
}

#[tokio::test]
async fn a_config_is_served_inline_as_the_json_it_is() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let call = Call::get(&format!("{BLOBS}/{}", image.config)).basic("puller", PASSWORD);
    let answer = registry.send(call.header("accept", "application/json")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location"), answer.json()),
        (200, None, json!({ "name": "v1" }))
    );
}
