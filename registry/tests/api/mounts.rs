//! Mounts: a blob that is somewhere already need not be sent again, to those who may read it there.

use http::Method;
use serde_json::json;

use crate::fixture::{Answer, Call, Image, PASSWORD, Registry, content};

/// A registry in which `pusher` may push to `team/**`, and with one image in each of three repositories.
async fn registry() -> (Registry, Image, Image, Image) {
    let registry = Registry::new();
    let own = registry.seed("team/source", "own").await;
    let public = registry.seed("public/source", "public").await;
    let secret = registry.seed("secret/source", "secret").await;
    (registry, own, public, secret)
}

async fn ask(registry: &Registry, call: Call, query: &str) -> Answer {
    let (mut parts, body) = call.0.into_parts();
    parts.method = Method::POST;
    parts.uri = format!("/v2/team/app/blobs/uploads/?{query}").parse().unwrap();
    registry.send(Call(http::Request::from_parts(parts, body))).await
}

fn pusher() -> Call {
    Call::get("/").basic("pusher", PASSWORD)
}

async fn has(registry: &Registry, image: &Image) -> bool {
    let uri = format!("/v2/team/app/blobs/{}", image.layer);
    registry.send(Call::get(&uri).basic("admin", PASSWORD)).await.status == 200
}

/// A mount that did not happen is an upload, and says nothing of where the blob is.
fn is_upload(answer: &Answer) -> bool {
    let location = answer.header("location").unwrap_or_default();
    answer.status == 202 && location.starts_with("/v2/team/app/blobs/uploads/") && answer.body.is_empty()
}

#[tokio::test]
async fn a_blob_that_the_caller_may_read_is_mounted() {
    for from in ["&from={}", ""] {
        let (registry, own, public, _) = registry().await;
        for (image, source) in [(&own, "team/source"), (&public, "public/source")] {
            let query = format!("mount={}{}", image.layer, from.replace("{}", source));
            let answer = ask(&registry, pusher(), &query).await;
            assert_eq!(answer.status, 201, "{query}: {answer:?}");
            let location = format!("/v2/team/app/blobs/{}", image.layer);
            assert_eq!(answer.header("location"), Some(location.as_str()));
            assert_eq!(answer.header("docker-content-digest"), Some(image.layer.as_str()));
            assert!(has(&registry, image).await);
        }
    }
}

#[tokio::test]
async fn whether_a_blob_is_where_the_caller_may_not_read_is_not_told() {
    let (registry, own, public, secret) = registry().await;
    let nowhere = Image::of("nowhere");
    for query in [
        format!("mount={}&from=secret/source", secret.layer),
        format!("mount={}", secret.layer),
        format!("mount={}&from=secret/source", nowhere.layer),
        format!("mount={}", nowhere.layer),
        // It exists, but not there.
        format!("mount={}&from=public/source", own.layer),
        format!("mount={}&from=team/none", own.layer),
        "mount=x&from=B".to_owned(),
        "from=team/source".to_owned(),
    ] {
        let answer = ask(&registry, pusher(), &query).await;
        assert!(is_upload(&answer), "{query}: {answer:?}");
    }
    for image in [&own, &public, &secret] {
        assert!(!has(&registry, image).await);
    }
}

#[tokio::test]
async fn a_mount_needs_the_right_to_mount_and_a_token_for_both_repositories() {
    let (registry, own, public, _) = registry().await;
    let query = format!("mount={}&from=team/source", own.layer);
    let target = "repository:team/app:pull,push";
    let narrow = registry.token("pusher", target).await;
    assert!(is_upload(&ask(&registry, Call::get("/").bearer(&narrow), &query).await));
    let mut forbidden = content();
    let deny = json!({
        "name": "no-mounts", "effect": "Deny", "subjects": [{ "any": "Everyone" }],
        "rules": [{ "name": "all", "repositories": ["**"], "actions": ["mount-blob"] }],
    });
    forbidden["policies"].as_array_mut().unwrap().push(deny);
    registry.publish(2, forbidden);
    assert!(is_upload(&ask(&registry, pusher(), &query).await));
    registry.publish(3, content());
    // The anonymous mount asks where the blob is, and a token that does not open its repository finds nothing.
    let anywhere = format!("mount={}", own.layer);
    assert!(is_upload(
        &ask(&registry, Call::get("/").bearer(&narrow), &anywhere).await
    ));
    assert!(!has(&registry, &own).await);
    // What anybody may read needs no token.
    let anywhere = format!("mount={}", public.layer);
    assert_eq!(
        ask(&registry, Call::get("/").bearer(&narrow), &anywhere).await.status,
        201
    );
    let wide = registry
        .token("pusher", &format!("{target} repository:team/source:pull"))
        .await;
    assert_eq!(ask(&registry, Call::get("/").bearer(&wide), &query).await.status, 201);
}

#[tokio::test]
async fn a_mounted_blob_stays_when_its_source_is_deleted() {
    let (registry, own, ..) = registry().await;
    let query = format!("mount={}&from=team/source", own.layer);
    assert_eq!(ask(&registry, pusher(), &query).await.status, 201);
    let delete = Call::new(Method::DELETE, &format!("/v2/team/source/blobs/{}", own.layer));
    assert_eq!(registry.send(delete.basic("admin", PASSWORD)).await.status, 202);
    assert!(has(&registry, &own).await);
    // From where it was deleted it can no longer be mounted, neither by name nor by looking for it.
    let gone = Image::of("gone");
    registry.seed("team/source", "gone").await;
    let delete = Call::new(Method::DELETE, &format!("/v2/team/source/blobs/{}", gone.layer));
    assert_eq!(registry.send(delete.basic("admin", PASSWORD)).await.status, 202);
    for query in [
        format!("mount={}&from=team/source", gone.layer),
        format!("mount={}", gone.layer),
    ] {
        assert!(is_upload(&ask(&registry, pusher(), &query).await), "{query}");
    }
}
