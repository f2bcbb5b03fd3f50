//! Refresh tokens: who gets one, what it is exchanged for, and what ends it; and the keys that others verify with.

use http::Method;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::fixture::{Answer, Call, PASSWORD, Registry, content};
use crate::forged_tokens::TestKey;

const SCOPE: &str = "repository:team/a:pull";

/// A change of a document.
type Change<'a> = Box<dyn Fn(&mut Value) + 'a>;

/// A document that gives refresh tokens, all signed by `key`.
fn giving(key: &TestKey) -> Value {
    let mut content = content();
    content["token"] = json!({ "refreshLifetime": "24h", "keys": [key.entry("k")] });
    content["serviceAccounts"] = Cluster::settings();
    content["identities"][0]["serviceAccounts"] = json!([{ "namespace": "ci", "name": "puller" }]);
    content
}

fn ask(parameters: &str) -> Call {
    Call::get(&format!(
        "/token?service=registry.test&client_id=docker&scope={SCOPE}{parameters}"
    ))
}

fn exchange(refresh: &str) -> Call {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("grant_type", "refresh_token"),
        ("service", "registry.test"),
        ("client_id", "docker"),
        ("scope", SCOPE),
        ("access_type", "offline"),
        ("refresh_token", refresh),
    ]);
    Call::new(Method::POST, "/token").body(form.finish())
}

fn refresh_token(answer: &Answer) -> Option<String> {
    answer
        .json()
        .get("refresh_token")
        .map(|token| token.as_str().unwrap().to_owned())
}

async fn given(registry: &Registry) -> String {
    let answer = registry
        .send(ask("&offline_token=true").basic("puller", PASSWORD))
        .await;
    refresh_token(&answer).unwrap_or_else(|| panic!("{answer:?}"))
}

#[tokio::test]
async fn a_password_is_exchanged_for_a_refresh_token_and_that_for_tokens() {
    let registry = Registry::with(giving(&TestKey::new()));
    registry.seed("team/a", "v1").await;
    let refresh = given(&registry).await;
    let form = "grant_type=password&service=s&client_id=c&access_type=offline&username=puller&password=";
    let posted = registry
        .send(Call::new(Method::POST, "/token").body(format!("{form}{PASSWORD}")))
        .await;
    assert!(refresh_token(&posted).is_some(), "{posted:?}");

    for _ in 0..2 {
        let answer = registry.send(exchange(&refresh)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(refresh_token(&answer), None, "it would never have to sign in again");
        let body = answer.json();
        assert_eq!(body["scope"], SCOPE);
        let token = body["access_token"].as_str().unwrap();
        let read = Call::get("/v2/team/a/tags/list").bearer(token);
        assert_eq!(registry.send(read).await.status, 200);
    }
}

#[tokio::test]
async fn whoever_shows_no_password_or_does_not_ask_gets_none() {
    let registry = Registry::with(giving(&TestKey::new()));
    for call in [
        ask("").basic("puller", PASSWORD),
        ask("&offline_token=false").basic("puller", PASSWORD),
        ask("&offline_token=true"),
        ask("&offline_token=true").basic("", &Cluster::token_of("puller")),
        ask("&offline_token=true").bearer(&Cluster::token_of("puller")),
    ] {
        let answer = registry.send(call).await;
        assert_eq!(
            (answer.status.as_u16(), refresh_token(&answer)),
            (200, None),
            "{answer:?}"
        );
    }
    let mut content = giving(&TestKey::new());
    content["token"].as_object_mut().unwrap().remove("refreshLifetime");
    let registry = Registry::with(content);
    let answer = registry
        .send(ask("&offline_token=true").basic("puller", PASSWORD))
        .await;
    assert_eq!(
        (answer.status.as_u16(), refresh_token(&answer)),
        (200, None),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_refresh_token_opens_nothing_and_a_token_refreshes_nothing() {
    let registry = Registry::with(giving(&TestKey::new()));
    let refresh = given(&registry).await;
    for call in [
        Call::get("/v2/").bearer(&refresh),
        Call::get("/v2/").basic("puller", &refresh),
        Call::get("/v2/team/a/tags/list").bearer(&refresh),
        ask("").bearer(&refresh),
        ask("").basic("", &refresh),
    ] {
        assert_eq!(registry.send(call).await.status, 401);
    }
    let token = registry.token("puller", SCOPE).await;
    for text in [token.as_str(), "", "a.b.c", PASSWORD] {
        let answer = registry.send(exchange(text)).await;
        assert_eq!(answer.error(), (401, "DENIED".to_owned()), "{text}");
    }
}

#[tokio::test]
async fn a_refresh_token_ends_with_what_it_was_given_for() {
    let key = TestKey::new();
    let other = TestKey::new();
    let replaced = json!([{ "hash": crate::fixture::hash("another password") }]);
    let mut old = key.entry("k");
    old["refreshOnly"] = json!(true);
    let past = json!("2020-01-01T00:00:00Z");
    let changes: [(&str, u16, Change<'_>); 15] = [
        ("nothing", 200, Box::new(|_| {})),
        (
            "another signs, and it still verifies",
            200,
            Box::new(|content| {
                content["token"]["keys"] = json!([other.entry("o"), key.entry("k")]);
            }),
        ),
        (
            "its key is gone",
            401,
            Box::new(|content| content["token"]["keys"] = json!([other.entry("k")])),
        ),
        (
            "its password is another",
            401,
            Box::new(|content| content["identities"][0]["passwords"] = replaced.clone()),
        ),
        (
            "its password is over",
            401,
            Box::new(|content| {
                content["identities"][0]["passwords"][0]["notAfter"] = past.clone();
            }),
        ),
        (
            "its password is over soon",
            200,
            Box::new(|content| content["identities"][0]["passwords"][0]["notAfter"] = json!("2999-01-01T00:00:00Z")),
        ),
        (
            "its key verifies refresh tokens only",
            200,
            Box::new(|content| content["token"]["keys"] = json!([other.entry("o"), old])),
        ),
        (
            "none were given for a while",
            401,
            Box::new(|content| content["token"]["refreshFrom"] = json!(2)),
        ),
        (
            "its identity is over",
            401,
            Box::new(|content| content["identities"][0]["notAfter"] = past.clone()),
        ),
        (
            "its identity is gone",
            401,
            Box::new(|content| {
                content["identities"].as_array_mut().unwrap().remove(0);
            }),
        ),
        (
            "its identity is another of that name",
            401,
            Box::new(|content| {
                content["identities"][0]["uid"] = json!("another");
            }),
        ),
        (
            "its identity came back",
            401,
            Box::new(|content| content["identities"][0]["tokensFrom"] = json!(2)),
        ),
        (
            "the registry is another",
            401,
            Box::new(|content| content["issuer"] = json!("another")),
        ),
        (
            "the service is another",
            401,
            Box::new(|content| content["service"] = json!("another")),
        ),
        (
            "none are given any more",
            404,
            Box::new(|content| {
                content["token"].as_object_mut().unwrap().remove("refreshLifetime");
            }),
        ),
    ];
    for (what, want, change) in changes {
        let registry = Registry::with(giving(&key));
        let refresh = given(&registry).await;
        assert_eq!(registry.send(exchange(&refresh)).await.status, 200, "{what}: at first");
        let mut content = giving(&key);
        change(&mut content);
        registry.publish(2, content);
        let answer = registry.send(exchange(&refresh)).await;
        assert_eq!(answer.status.as_u16(), want, "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn a_refresh_token_ends_with_its_time_even_where_that_is_made_shorter() {
    let key = TestKey::new();
    let registry = Registry::with(giving(&key));
    let real = given(&registry).await;
    let (header, claims) = (jsonwebtoken::decode_header(&real).unwrap(), key.claims(&real));
    let now = jiff::Timestamp::now().as_second();
    for (what, changes, want) in [
        ("as it was", json!({}), 200),
        ("over", json!({ "iat": now - 100, "exp": now }), 401),
        (
            "longer than any is given now",
            json!({ "iat": now - 24 * 3600, "exp": now + 3600 }),
            401,
        ),
        ("not valid yet", json!({ "iat": now + 3600 }), 401),
        ("with more in it", json!({ "access": [] }), 401),
        ("of a revision to come", json!({ "rev": 2 }), 200),
    ] {
        let mut claims = claims.clone();
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let answer = registry.send(exchange(&key.sign(&header, &claims))).await;
        assert_eq!(answer.status.as_u16(), want, "{what}: {answer:?}");
    }
    // What it is exchanged for ends with it.
    let mut soon = claims.clone();
    soon["exp"] = json!(now + 100);
    let answer = registry.send(exchange(&key.sign(&header, &soon))).await;
    let token = key.claims(answer.json()["token"].as_str().unwrap());
    assert_eq!(token["exp"], now + 100);
    assert!(answer.json()["expires_in"].as_u64().unwrap() <= 100, "{answer:?}");
    // Signed by somebody else, or said to be a token.
    let forged = TestKey::new().sign(&header, &claims);
    assert_eq!(registry.send(exchange(&forged)).await.status, 401);
    let mistyped = jsonwebtoken::Header {
        typ: Some("JWT".into()),
        ..header
    };
    assert_eq!(registry.send(exchange(&key.sign(&mistyped, &claims))).await.status, 401);
}

#[tokio::test]
async fn others_can_verify_tokens_by_the_published_keys() {
    let (first, second) = (TestKey::new(), TestKey::new());
    let (mut content, mut old) = (content(), TestKey::new().entry("old"));
    old["refreshOnly"] = json!(true);
    content["token"] = json!({ "keys": [first.entry("one"), second.entry("two"), old] });
    for registry in [Registry::with(content), Registry::new()] {
        let answer = registry.send(Call::get("/.well-known/jwks.json")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
        let text = answer.json().to_string();
        // The private half of such a key is called `d`.
        assert!(!text.contains("\"d\"") && !text.contains("PRIVATE"), "{text}");
        let keys: JwkSet = serde_json::from_value(answer.json()).unwrap();
        assert!(keys.find("old").is_none(), "{text}");
        let token = registry.token("puller", SCOPE).await;
        let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&["registry.test"]);
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims;
        assert_eq!(claims["sub"], "puller");
    }
}
