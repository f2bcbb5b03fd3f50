//! Manifests: pushed, pulled, deleted, and refused.

use http::Method;
use serde_json::{Value, json};
use wharfinger_registry::oci::{Algorithm, Digest};

use crate::fixture::{Answer, Call, INDEX, Image, MANIFEST, PASSWORD, Registry, content, digest};

const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

async fn put(registry: &Registry, path: &str, content_type: &str, content: &[u8]) -> Answer {
    let call = Call::new(Method::PUT, &format!("/v2/team/app/manifests/{path}")).basic("admin", PASSWORD);
    registry
        .send(call.header("content-type", content_type).body(content.to_vec()))
        .await
}

async fn get(registry: &Registry, method: Method, path: &str) -> Answer {
    registry
        .send(Call::new(method, &format!("/v2/team/app/manifests/{path}")).basic("admin", PASSWORD))
        .await
}

#[tokio::test]
async fn a_manifest_is_served_by_tag_and_digest_exactly_as_it_was_pushed() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let by_digest = image.manifest.to_string();
    for path in ["v1", by_digest.as_str()] {
        for method in [Method::GET, Method::HEAD] {
            let answer = get(&registry, method, path).await;
            assert_eq!((answer.status.as_u16(), &answer.body), (200, &image.manifest_content));
            assert_eq!(answer.header("docker-content-digest"), Some(by_digest.as_str()));
            assert_eq!(answer.header("content-type"), Some(MANIFEST));
            assert_eq!(
                answer.header("content-length"),
                Some(image.manifest_content.len().to_string().as_str())
            );
        }
    }
    let again = put(&registry, "v1", MANIFEST, &image.manifest_content).await;
    assert_eq!(again.status, 201);
    assert_eq!(
        again.header("location"),
        Some(format!("/v2/team/app/manifests/{by_digest}").as_str())
    );
    assert_eq!(again.header("docker-content-digest"), Some(by_digest.as_str()));
    for (path, code) in [
        ("v9", "MANIFEST_UNKNOWN"),
        (digest(b"other").as_str(), "MANIFEST_UNKNOWN"),
        (".bad", "MANIFEST_UNKNOWN"),
    ] {
        assert_eq!(get(&registry, Method::GET, path).await.error(), (404, code.to_owned()));
    }
    let elsewhere = Call::get(&format!("/v2/team/other/manifests/{by_digest}")).basic("admin", PASSWORD);
    assert_eq!(
        registry.send(elsewhere).await.error(),
        (404, "MANIFEST_UNKNOWN".to_owned())
    );
}

#[tokio::test]
async fn a_tag_moves_and_the_old_manifest_stays() {
    let registry = Registry::new();
    let first = registry.seed("team/app", "v1").await;
    let second = registry.seed("team/app", "v2").await;
    assert_eq!(
        put(&registry, "v1", MANIFEST, &second.manifest_content).await.status,
        201
    );
    assert_eq!(get(&registry, Method::GET, "v1").await.body, second.manifest_content);
    assert_eq!(
        get(&registry, Method::GET, first.manifest.as_str()).await.body,
        first.manifest_content
    );
}

#[tokio::test]
async fn what_was_read_often_is_read_as_it_is_now() {
    let registry = Registry::new();
    let first = registry.seed("team/app", "v1").await;
    let second = registry.seed("team/app", "v2").await;
    let read = async |reference: &str| {
        let mut answer = get(&registry, Method::GET, reference).await;
        for _ in 0..2 {
            answer = get(&registry, Method::GET, reference).await;
        }
        (answer.status.as_u16(), answer.body)
    };
    let delete = async |reference: &str| get(&registry, Method::DELETE, reference).await.status.as_u16();
    for (now, before) in [(&second, &first), (&first, &second)] {
        assert_eq!(read("v1").await, (200, before.manifest_content.clone()));
        let moved = put(&registry, "v1", MANIFEST, &now.manifest_content).await;
        assert_eq!(moved.status, 201);
        assert_eq!(read("v1").await, (200, now.manifest_content.clone()));
    }
    let digest = first.manifest.as_str();
    assert_eq!(read(digest).await.0, 200);
    assert_eq!(delete("v1").await, 202);
    assert_eq!((read("v1").await.0, read(digest).await.0), (404, 200));
    put(&registry, "v1", MANIFEST, &first.manifest_content).await;
    assert_eq!(read("v1").await.0, 200);
    assert_eq!(delete(digest).await, 202);
    assert_eq!((read("v1").await.0, read(digest).await.0), (404, 404));
    put(&registry, "v1", MANIFEST, &first.manifest_content).await;
    assert_eq!((read("v1").await.0, read(digest).await.0), (200, 200));
}

#[tokio::test]
async fn an_index_of_manifests_of_every_media_type_is_served_as_it_is() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let child =
        json!({ "mediaType": MANIFEST, "digest": image.manifest.as_str(), "size": image.manifest_content.len() });
    for (tag, media_type, in_body) in [("oci", INDEX, true), ("plain", INDEX, false), ("docker", LIST, true)] {
        let mut index = json!({ "schemaVersion": 2, "manifests": [child] });
        if in_body {
            index["mediaType"] = json!(media_type);
        }
        let content = index.to_string();
        assert_eq!(
            put(&registry, tag, media_type, content.as_bytes()).await.status,
            201,
            "{tag}"
        );
        let answer = get(&registry, Method::GET, tag).await;
        assert_eq!(
            (answer.header("content-type"), &answer.body[..]),
            (Some(media_type), content.as_bytes()),
            "{tag}"
        );
    }
}

#[tokio::test]
async fn a_manifest_pushed_by_digest_gets_each_tag_that_is_asked_for() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let answer = put(
        &registry,
        &format!("{}?tag=a&tag=b", image.manifest),
        MANIFEST,
        &image.manifest_content,
    )
    .await;
    assert_eq!(answer.status, 201);
    let tags: Vec<_> = answer
        .headers
        .get_all("oci-tag")
        .iter()
        .map(|tag| tag.to_str().unwrap())
        .collect();
    assert_eq!(tags, ["a", "b"]);
    assert_eq!(get(&registry, Method::GET, "b").await.body, image.manifest_content);
    let sha512 = Digest::of(Algorithm::Sha512, &image.manifest_content);
    assert_eq!(
        put(&registry, sha512.as_str(), MANIFEST, &image.manifest_content)
            .await
            .status,
        201
    );
    let answer = get(&registry, Method::HEAD, sha512.as_str()).await;
    assert_eq!(answer.header("docker-content-digest"), Some(sha512.as_str()));
}

#[tokio::test]
async fn manifests_that_cannot_be_kept_whole_are_refused_and_leave_nothing() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let elsewhere = registry.seed("team/other", "elsewhere").await;
    let good: Value = serde_json::from_slice(&image.manifest_content).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        manifest.to_string()
    };
    let missing = digest(b"missing").to_string();
    let foreign =
        json!({ "mediaType": "x", "digest": elsewhere.layer.as_str(), "size": elsewhere.layer_content.len() });
    let large = format!(
        "{}{}",
        image.manifest_content.escape_ascii(),
        " ".repeat(4 * 1024 * 1024)
    );
    let table = [
        ("not JSON", "v2", MANIFEST, "{".to_owned(), (400, "MANIFEST_INVALID")),
        ("empty", "v2", MANIFEST, String::new(), (400, "MANIFEST_INVALID")),
        ("half a character", "v2", MANIFEST, good.to_string().replacen('{', r#"{"unread":"\ud800","#, 1), (400, "MANIFEST_INVALID")),
        ("no shape", "v2", MANIFEST, json!({ "schemaVersion": 2 }).to_string(), (400, "MANIFEST_INVALID")),
        ("schema 1", "v2", MANIFEST, changed(&|m| m["schemaVersion"] = json!(1)), (400, "MANIFEST_INVALID")),
        ("layers and manifests", "v2", MANIFEST, changed(&|m| m["manifests"] = json!([])), (400, "MANIFEST_INVALID")),
        ("another media type", "v2", INDEX, good.to_string(), (400, "MANIFEST_INVALID")),
        ("a shell's default media type", "v2", "application/x-www-form-urlencoded", good.to_string(), (400, "MANIFEST_INVALID")),
        ("a layer that is nowhere", "v2", MANIFEST, changed(&|m| m["layers"][0]["digest"] = json!(missing)), (404, "MANIFEST_BLOB_UNKNOWN")),
        ("a config that is nowhere", "v2", MANIFEST, changed(&|m| m["config"]["digest"] = json!(missing)), (404, "MANIFEST_BLOB_UNKNOWN")),
        ("a layer of another repository", "v2", MANIFEST, changed(&|m| m["layers"][0] = foreign.clone()), (404, "MANIFEST_BLOB_UNKNOWN")),
        ("a wrong size", "v2", MANIFEST, changed(&|m| m["layers"][0]["size"] = json!(1)), (400, "MANIFEST_INVALID")),
        ("a digest of nothing", "v2", MANIFEST, changed(&|m| m["layers"][0]["digest"] = json!("sha256:x")), (400, "MANIFEST_INVALID")),
        ("a child that is nowhere", "v2", INDEX, json!({ "schemaVersion": 2, "manifests": [{ "mediaType": MANIFEST, "digest": missing, "size": 1 }] }).to_string(), (404, "MANIFEST_BLOB_UNKNOWN")),
        ("a blob as a child", "v2", INDEX, json!({ "schemaVersion": 2, "manifests": [{ "mediaType": MANIFEST, "digest": image.layer.as_str(), "size": image.layer_content.len() }] }).to_string(), (404, "MANIFEST_BLOB_UNKNOWN")),
        ("another digest", missing.as_str(), MANIFEST, good.to_string(), (400, "DIGEST_INVALID")),
        ("no tag", "-x", MANIFEST, good.to_string(), (400, "TAG_INVALID")),
        ("too large", "v2", MANIFEST, large, (413, "SIZE_INVALID")),
    ];
    let before = registry.files();
    for (name, path, content_type, content, (status, code)) in table {
        let answer = put(&registry, path, content_type, content.as_bytes()).await;
        assert_eq!(
            answer.error(),
            (status, code.to_owned()),
            "{name}: {}",
            answer.message()
        );
        assert_eq!(registry.files(), before, "{name}");
    }
}

#[tokio::test]
async fn deleting_a_tag_leaves_the_manifest_and_deleting_the_manifest_takes_its_tags() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    for tag in ["v2", "v3"] {
        assert_eq!(put(&registry, tag, MANIFEST, &image.manifest_content).await.status, 201);
    }
    let other = registry.seed("team/app", "other").await;
    assert_eq!(get(&registry, Method::DELETE, "v1").await.status, 202);
    assert_eq!(
        get(&registry, Method::DELETE, "v1").await.error(),
        (404, "MANIFEST_UNKNOWN".to_owned())
    );
    assert_eq!(get(&registry, Method::GET, "v1").await.status, 404);
    assert_eq!(get(&registry, Method::GET, "v2").await.status, 200);

    assert_eq!(
        get(&registry, Method::DELETE, image.manifest.as_str()).await.status,
        202
    );
    assert_eq!(
        get(&registry, Method::DELETE, image.manifest.as_str()).await.status,
        404
    );
    let tags = registry
        .send(Call::get("/v2/team/app/tags/list").basic("admin", PASSWORD))
        .await;
    assert_eq!(tags.json()["tags"], json!(["other"]));
    assert_eq!(get(&registry, Method::GET, other.manifest.as_str()).await.status, 200);
    // What is deleted can come back.
    assert_eq!(
        put(&registry, "v1", MANIFEST, &Image::of("v1").manifest_content)
            .await
            .status,
        201
    );
    assert_eq!(get(&registry, Method::GET, "v1").await.body, image.manifest_content);
}

#[tokio::test]
async fn what_a_manifest_may_lack_is_a_setting() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let there =
        json!({ "mediaType": MANIFEST, "digest": image.manifest.as_str(), "size": image.manifest_content.len() });
    let nowhere = json!({ "mediaType": MANIFEST, "digest": digest(b"nowhere").as_str(), "size": 7 });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [there, nowhere] });
    let mut sparse: Value = serde_json::from_slice(&image.manifest_content).unwrap();
    sparse["layers"][0] = nowhere;
    let mut wrong = index.clone();
    wrong["manifests"][0]["size"] = json!(1);
    for (revision, setting, want) in [
        (2, "Refuse", (404, 404)),
        (3, "AllowInIndexes", (201, 404)),
        (4, "Allow", (201, 201)),
    ] {
        let mut content = content();
        content["manifests"] = json!({ "missingReferences": setting });
        registry.publish(revision, content);
        let index = put(&registry, "index", INDEX, index.to_string().as_bytes()).await;
        let image = put(&registry, "image", MANIFEST, sparse.to_string().as_bytes()).await;
        assert_eq!((index.status.as_u16(), image.status.as_u16()), want, "{setting}");
        // What is there must be what the manifest says it is.
        let wrong = put(&registry, "wrong", INDEX, wrong.to_string().as_bytes()).await;
        assert_eq!(wrong.error(), (400, "MANIFEST_INVALID".to_owned()), "{setting}");
    }
}
