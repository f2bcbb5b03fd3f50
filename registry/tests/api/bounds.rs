//! What bounds an identity and a policy beside names: time, references, and the mode; decided at each request, tokens included.

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::fixture::{Answer, Call, MANIFEST, PASSWORD, Registry, content};

/// An instant some seconds from now.
fn after(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string()
}

fn with_policy(policy: Value) -> Value {
    let mut content = content();
    content["policies"].as_array_mut().unwrap().push(policy);
    content
}

fn policy(effect: &str, extra: &Value, rule: &Value) -> Value {
    let mut policy = json!({
        "name": "bounded",
        "effect": effect,
        "subjects": [{ "identity": "nobody" }],
        "rules": [rule],
    });
    policy
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    policy
}

fn pull() -> Value {
    json!({ "name": "r", "repositories": ["team/**"], "role": "pull" })
}

async fn status(registry: &Registry, user: &str, uri: &str) -> u16 {
    registry
        .send(Call::get(uri).basic(user, PASSWORD))
        .await
        .status
        .as_u16()
}

#[tokio::test]
async fn an_identity_ends_at_its_time_and_its_tokens_with_it() {
    const URI: &str = "/v2/team/app/tags/list";
    let registry = Registry::new();
    registry.seed("team/app", "v1").await;
    let token = registry.token("puller", "repository:team/app:pull").await;
    let until = |end: &str| {
        let mut content = content();
        for identity in content["identities"].as_array_mut().unwrap() {
            if identity["username"] == "puller" {
                identity["notAfter"] = json!(end);
            }
        }
        content
    };
    let with_token = async || registry.send(Call::get(URI).bearer(&token)).await.status;
    registry.publish(2, until(&after(60)));
    assert_eq!(status(&registry, "puller", URI).await, 200);
    assert_eq!(with_token().await, StatusCode::OK);
    // The registry's own clock ends it, in the middle of a document's life.
    registry.publish(3, until(&after(1)));
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(status(&registry, "puller", URI).await, 401);
    assert_eq!(status(&registry, "puller", "/v2/").await, 401);
    assert_eq!(status(&registry, "puller", "/token?service=registry.test").await, 401);
    let ended = registry.send(Call::get(URI).bearer(&token)).await;
    assert_eq!(ended.status, StatusCode::UNAUTHORIZED);
    assert!(ended.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(status(&registry, "pusher", URI).await, 200);
}

#[tokio::test]
async fn a_policy_holds_from_its_beginning_to_its_end() {
    const URI: &str = "/v2/team/app/tags/list";
    let registry = Registry::new();
    registry.seed("team/app", "v1").await;
    for (revision, (bounds, want)) in (2..).zip([
        (json!({ "notBefore": after(-60) }), 200),
        (json!({ "notBefore": after(60) }), 403),
        (json!({ "notAfter": after(60) }), 200),
        (json!({ "notAfter": after(-60) }), 403),
        (json!({ "notBefore": after(-60), "notAfter": after(60) }), 200),
    ]) {
        registry.publish(revision, with_policy(policy("Allow", &bounds, &pull())));
        assert_eq!(status(&registry, "nobody", URI).await, want, "{bounds}");
    }
}

#[tokio::test]
async fn a_policy_in_audit_mode_is_counted_and_changes_nothing() {
    const URI: &str = "/v2/team/app/tags/list";
    let deny = |mode: &str| {
        let mut deny = policy("Deny", &json!({ "mode": mode }), &pull());
        deny["subjects"] = json!([{ "any": "Everyone" }]);
        deny["rules"][0] = json!({ "name": "r", "repositories": ["**"], "actions": ["list-tags"] });
        with_policy(deny)
    };
    let registry = Registry::new();
    registry.seed("team/app", "v1").await;
    registry.publish(2, deny("Audit"));
    assert_eq!(status(&registry, "puller", URI).await, 200);
    let metrics = registry.metrics.text();
    let counted = "wharfinger_registry_policy_audit_matches_total{action=\"list-tags\",effect=\"deny\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    registry.publish(3, deny("Enforce"));
    assert_eq!(status(&registry, "puller", URI).await, 403);
}

#[tokio::test]
async fn references_say_under_which_tags_may_be_pushed_and_what_may_be_pulled() {
    let registry = Registry::new();
    let image = registry.seed("team/app", "v1").await;
    let rule = json!({
        "name": "versions",
        "repositories": ["team/**"],
        "role": "push",
        "references": ["v*", "sha256:*"],
        "message": "use a version tag",
    });
    registry.publish(2, with_policy(policy("Allow", &json!({}), &rule)));
    let put = async |reference: &str| -> Answer {
        let call = Call::new(Method::PUT, &format!("/v2/team/app/manifests/{reference}"));
        let call = call.basic("nobody", PASSWORD).header("content-type", MANIFEST);
        registry.send(call.body(image.manifest_content.clone())).await
    };
    let digest = image.manifest.to_string();
    assert_eq!(put("v2").await.status, StatusCode::CREATED);
    assert_eq!(
        put(&format!("{digest}?tag=v3&tag=v4")).await.status,
        StatusCode::CREATED
    );
    for reference in ["latest".to_owned(), format!("{digest}?tag=v5&tag=latest")] {
        let refused = put(&reference).await;
        assert_eq!(refused.error(), (403, "DENIED".to_owned()), "{reference}");
        assert!(refused.message().contains("use a version tag"), "{}", refused.message());
    }
    let call = Call::get("/v2/team/app/tags/list").basic("nobody", PASSWORD);
    assert_eq!(
        registry.send(call).await.json()["tags"],
        json!(["v1", "v2", "v3", "v4"])
    );
    assert_eq!(status(&registry, "nobody", "/v2/team/app/manifests/v1").await, 200);
    assert_eq!(
        status(&registry, "nobody", &format!("/v2/team/app/manifests/{digest}")).await,
        200
    );
    // Uploads name no manifest.
    assert_eq!(
        status(&registry, "nobody", &format!("/v2/team/app/blobs/{}", image.layer)).await,
        200
    );
}
