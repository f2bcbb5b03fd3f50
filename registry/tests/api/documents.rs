//! A change of the access document holds at the next request.

use serde_json::json;

use crate::fixture::{Call, PASSWORD, Registry, content, hash};

#[tokio::test]
async fn a_changed_password_refuses_the_old_one_at_once() {
    let registry = Registry::new();
    let get = |password| Call::get("/v2/").basic("admin", password);
    // It is remembered now, and must not be recognised afterwards.
    assert_eq!(registry.send(get(PASSWORD)).await.status, 200);
    assert_eq!(registry.send(get(PASSWORD)).await.status, 200);
    let mut changed = content();
    changed["identities"][3]["passwords"][0]["hash"] = json!(hash("new"));
    registry.publish(2, changed);
    assert_eq!(registry.send(get(PASSWORD)).await.status, 401);
    assert_eq!(registry.send(get("new")).await.status, 200);
    // The same password under a new hash is verified anew.
    let mut again = content();
    again["identities"][3]["passwords"][0]["hash"] = json!(hash(PASSWORD));
    registry.publish(3, again);
    assert_eq!(registry.send(get("new")).await.status, 401);
    assert_eq!(registry.send(get(PASSWORD)).await.status, 200);
}

#[tokio::test]
async fn a_password_ends_by_the_clock_even_when_it_is_remembered() {
    let registry = Registry::new();
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(700);
    let mut ending = content();
    ending["identities"][3]["passwords"] = json!([
        { "hash": hash("new") },
        { "hash": *crate::fixture::HASH, "notAfter": end.to_string() },
    ]);
    registry.publish(2, ending);
    let get = |password| Call::get("/v2/").basic("admin", password);
    assert_eq!(registry.send(get(PASSWORD)).await.status, 200);
    assert_eq!(registry.send(get("new")).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    assert_eq!(registry.send(get(PASSWORD)).await.status, 401);
    assert_eq!(registry.send(get("new")).await.status, 200);
}

#[tokio::test]
async fn a_deleted_identity_and_an_edited_policy_hold_at_the_next_request() {
    let registry = Registry::new();
    registry.seed("team/app", "v1").await;
    let token = registry.token("puller", "repository:team/app:pull").await;
    let by_password = || Call::get("/v2/team/app/manifests/v1").basic("puller", PASSWORD);
    let by_token = || Call::get("/v2/team/app/manifests/v1").bearer(&token);
    assert_eq!(registry.send(by_password()).await.status, 200);
    assert_eq!(registry.send(by_token()).await.status, 200);

    let mut narrowed = content();
    narrowed["policies"].as_array_mut().unwrap().remove(0);
    registry.publish(2, narrowed);
    assert_eq!(registry.send(by_password()).await.status, 403);
    assert_eq!(registry.send(by_token()).await.status, 403);

    let mut deleted = content();
    deleted["identities"].as_array_mut().unwrap().remove(0);
    registry.publish(3, deleted);
    assert_eq!(registry.send(by_password()).await.status, 401);
    assert_eq!(registry.send(by_token()).await.status, 401);

    registry.publish(4, content());
    assert_eq!(registry.send(by_password()).await.status, 200);
}

#[tokio::test]
async fn disabling_and_enabling_again_revives_no_token() {
    let registry = Registry::new();
    let token = registry.token("puller", "").await;
    let mut disabled = content();
    disabled["identities"].as_array_mut().unwrap().remove(0);
    registry.publish(5, disabled);
    let mut enabled = content();
    enabled["identities"][0]["tokensFrom"] = json!(6);
    registry.publish(6, enabled);
    assert_eq!(registry.send(Call::get("/v2/").bearer(&token)).await.status, 401);
    let fresh = registry.token("puller", "").await;
    assert_eq!(registry.send(Call::get("/v2/").bearer(&fresh)).await.status, 200);
}

#[tokio::test]
async fn two_registries_share_neither_passwords_nor_tokens() {
    let (first, second) = (Registry::new(), Registry::new());
    let mut other = content();
    other["identities"][3]["passwords"][0]["hash"] = json!(hash("other"));
    second.publish(2, other);
    let token = first.token("admin", "").await;
    assert_eq!(first.send(Call::get("/v2/").bearer(&token)).await.status, 200);
    assert_eq!(second.send(Call::get("/v2/").bearer(&token)).await.status, 401);
    assert_eq!(
        second.send(Call::get("/v2/").basic("admin", PASSWORD)).await.status,
        401
    );
}
