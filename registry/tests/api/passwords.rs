//! What passwords cost, and what they may be.

use std::time::Instant;

use serde_json::json;

use crate::fixture::{Call, PASSWORD, Registry, content};

/// How often each way of authentication was counted.
fn counted(registry: &Registry, result: &str) -> u64 {
    let text = registry.metrics.text();
    let line = format!("wharfinger_registry_authentications_total{{result=\"{result}\"}} ");
    text.lines()
        .find_map(|found| found.strip_prefix(&line))
        .map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_right_password_is_verified_once_and_a_wrong_one_each_time() {
    let registry = Registry::new();
    for _ in 0..20 {
        assert_eq!(
            registry.send(Call::get("/v2/").basic("admin", PASSWORD)).await.status,
            200
        );
    }
    assert_eq!(
        (counted(&registry, "Password"), counted(&registry, "RememberedPassword")),
        (1, 19)
    );
    for _ in 0..3 {
        assert_eq!(
            registry.send(Call::get("/v2/").basic("admin", "wrong")).await.status,
            401
        );
    }
    // The same password of somebody else is another password.
    assert_eq!(
        registry.send(Call::get("/v2/").basic("pusher", PASSWORD)).await.status,
        200
    );
    assert_eq!(
        (counted(&registry, "Password"), counted(&registry, "BadPassword")),
        (2, 3)
    );
}

#[tokio::test]
async fn many_connections_with_one_password_cost_one_verification_each_core() {
    let registry = Registry::new();
    let calls = (0..50).map(|_| registry.send(Call::get("/v2/").basic("admin", PASSWORD)));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.status, 200);
    }
    assert!(
        counted(&registry, "Password") <= 2,
        "{}",
        counted(&registry, "Password")
    );
}

#[tokio::test]
async fn an_unknown_user_costs_as_much_as_a_known_one() {
    let mut content = content();
    // As costly as what unknown users are measured by.
    let costly = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
    content["identities"][3]["passwords"][0]["hash"] = json!(costly);
    content["identities"][4]["passwords"] = json!([]);
    let registry = Registry::with(content);
    let mut fastest = [u128::MAX; 3];
    for _ in 0..5 {
        for (index, user) in ["admin", "stranger", "nobody"].into_iter().enumerate() {
            let started = Instant::now();
            assert_eq!(registry.send(Call::get("/v2/").basic(user, "wrong")).await.status, 401);
            fastest[index] = fastest[index].min(started.elapsed().as_micros());
        }
    }
    let [known, unknown, without_password] = fastest;
    // Without the work it would be a hundredth; the machine is shared, so no closer bound is asked for.
    assert!(unknown * 4 > known && without_password * 4 > known, "{fastest:?}");
}

#[tokio::test]
async fn an_identity_without_password_or_with_an_empty_one_signs_nobody_in() {
    let mut content = content();
    content["identities"][3]["passwords"][0]["hash"] = json!(crate::fixture::hash(""));
    content["identities"][4]["passwords"] = json!([]);
    let registry = Registry::with(content);
    for (user, password) in [
        ("admin", ""),
        ("nobody", ""),
        ("nobody", PASSWORD),
        ("", ""),
        ("", PASSWORD),
    ] {
        assert_eq!(
            registry.send(Call::get("/v2/").basic(user, password)).await.status,
            401,
            "{user}:{password}"
        );
    }
}
