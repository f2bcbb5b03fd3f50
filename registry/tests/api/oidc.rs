//! Tokens of OpenID Connect issuers: who they are, what they open, and which are refused.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cluster::SigningKey;
use crate::fixture::{Answer, Call, PASSWORD, Registry, content};
use crate::issuer::{Issuer, Mood};

/// The usual people, and: whoever `issuer` shows to be of the group `builders` may push to `ci/**`, the subject `release` is
/// the identity `releaser`, who may push to `release/**`, and its job `nightly` may pull from there.
fn with_issuer(issuer: &Issuer) -> Value {
    let mut content = content();
    let mut settings = issuer.settings();
    settings["username"] = json!("claims.email");
    settings["groups"] = json!("claims.groups");
    content["oidc"] = json!([settings]);
    let identities = content["identities"].as_array_mut().unwrap();
    identities.push(json!({
        "username": "releaser", "uid": "r", "oidcSubjects": [{ "issuer": issuer.url(), "subject": "release" }],
    }));
    let policies = content["policies"].as_array_mut().unwrap();
    for (name, subject, repositories, role, when) in [
        (
            "builders",
            json!({ "group": "ci:builders" }),
            "ci/**",
            "push",
            "identity.oidc != null && identity.oidc.provider_name == 'ci' && identity.oidc.claims['org'] == 'acme'",
        ),
        (
            "releaser",
            json!({ "identity": "releaser" }),
            "release/**",
            "push",
            "true",
        ),
        (
            "nightly",
            json!({ "oidcSubject": { "issuer": issuer.url(), "subject": "nightly" } }),
            "release/**",
            "pull",
            "true",
        ),
    ] {
        policies.push(json!({
            "name": name, "effect": "Allow", "subjects": [subject],
            "rules": [{ "name": "all", "repositories": [repositories], "role": role, "when": when }],
        }));
    }
    content
}

fn base() -> Call {
    Call::get("/v2/")
}

fn push(repository: &str) -> Call {
    Call::new(Method::POST, &format!("/v2/{repository}/blobs/uploads/"))
}

async fn status(registry: &Registry, call: Call) -> u16 {
    registry.send(call).await.status.as_u16()
}

/// A token of the registry's own for one of the issuer's.
async fn exchanged(registry: &Registry, token: &str) -> String {
    let call = Call::get("/token?scope=repository:ci/app:pull,push").basic("token", token);
    let answer = registry.send(call).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_of_an_issuer_signs_in_in_every_way_that_clients_have() {
    let issuer = Issuer::start().await;
    let registry = Registry::with(with_issuer(&issuer));
    let token = issuer.token_of("build");
    for call in [
        push("ci/app").bearer(&token),
        push("ci/app").basic("", &token),
        push("ci/app").basic("token", &token),
        // Credential helpers of kubelets send the issuer's name.
        push("ci/app").basic("ci", &token),
        push("release/app").basic("releaser", &issuer.token_of("release")),
    ] {
        assert_eq!(status(&registry, call).await, 202);
    }
    for name in ["admin", "build", "build@acme.example"] {
        assert_eq!(
            status(&registry, push("ci/app").basic(name, &token)).await,
            401,
            "{name}"
        );
    }
    let own = exchanged(&registry, &token).await;
    assert_eq!(status(&registry, push("ci/app").bearer(&own)).await, 202);
    assert_eq!(status(&registry, push("ci/other").bearer(&own)).await, 401);
    let form = format!("grant_type=password&service=registry.test&client_id=c&username=token&password={token}");
    let call = Call::new(Method::POST, "/token").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(status(&registry, call.body(form.into_bytes())).await, 200);
    // The keys were asked for once.
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn who_somebody_is_comes_from_the_identity_that_names_them_or_from_their_claims() {
    let issuer = Issuer::start().await;
    let registry = Registry::with(with_issuer(&issuer));
    let as_subject = |repository: &str, subject: &str| push(repository).bearer(&issuer.token_of(subject));
    assert_eq!(status(&registry, as_subject("ci/app", "build")).await, 202);
    assert_eq!(status(&registry, as_subject("release/app", "build")).await, 403);
    // An identity has its own groups, not those of the claims.
    assert_eq!(status(&registry, as_subject("release/app", "release")).await, 202);
    assert_eq!(status(&registry, as_subject("ci/app", "release")).await, 403);
    let tags = |subject: &str| Call::get("/v2/release/app/tags/list").bearer(&issuer.token_of(subject));
    assert_eq!(status(&registry, tags("nightly")).await, 404);
    assert_eq!(status(&registry, tags("build")).await, 403);
    let denied = registry.send(as_subject("release/app", "build")).await;
    assert!(
        denied.json().to_string().contains("`ci:build@acme.example` may not"),
        "{denied:?}"
    );
    // Nobody can sign in under such a name otherwise.
    assert_eq!(
        status(&registry, base().basic("ci:build@acme.example", PASSWORD)).await,
        401
    );
}

#[tokio::test]
async fn what_the_document_no_longer_says_ends_tokens_that_were_made_from_an_issuers() {
    let issuer = Issuer::start().await;
    let registry = Registry::with(with_issuer(&issuer));
    let own = exchanged(&registry, &issuer.token_of("build")).await;
    let mapped = exchanged(&registry, &issuer.token_of("release")).await;
    assert_eq!(status(&registry, base().bearer(&own)).await, 200);
    let ends = async |revision, change: &dyn Fn(&mut Value), token: &str| {
        let mut changed = with_issuer(&issuer);
        change(&mut changed);
        registry.publish(revision, changed);
        let found = status(&registry, base().bearer(token)).await;
        registry.publish(revision, with_issuer(&issuer));
        assert_eq!(status(&registry, base().bearer(token)).await, 200);
        found
    };
    let without = |content: &mut Value| content["oidc"] = json!([]);
    assert_eq!(ends(2, &without, &own).await, 401);
    assert_eq!(ends(2, &without, &mapped).await, 401);
    let stricter = |content: &mut Value| content["oidc"][0]["requiredClaims"][0]["values"] = json!(["other"]);
    assert_eq!(ends(2, &stricter, &own).await, 401);
    let renamed = |content: &mut Value| content["oidc"][0]["name"] = json!("jobs");
    assert_eq!(ends(2, &renamed, &own).await, 401);
    let other_name = |content: &mut Value| content["oidc"][0]["username"] = json!("claims.sub");
    assert_eq!(ends(2, &other_name, &own).await, 401);
    let unmapped = |content: &mut Value| content["identities"][5]["oidcSubjects"] = json!([]);
    assert_eq!(ends(2, &unmapped, &mapped).await, 401);
    let disabled = |content: &mut Value| content["identities"][5]["notAfter"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(ends(2, &disabled, &mapped).await, 401);
    // Nobody becomes a guest because their identity is not in force.
    let mut changed = with_issuer(&issuer);
    disabled(&mut changed);
    registry.publish(2, changed);
    assert_eq!(status(&registry, base().bearer(&issuer.token_of("release"))).await, 401);
}

#[tokio::test]
async fn a_token_made_from_an_issuers_ends_no_later() {
    let issuer = Issuer::start().await;
    let registry = Registry::with(with_issuer(&issuer));
    let mut claims = issuer.claims("build");
    claims["exp"] = json!(jiff::Timestamp::now().as_second() + 90);
    let answer = registry
        .send(Call::get("/token").bearer(&Issuer::sign(&claims)))
        .await
        .json();
    let left = answer["expires_in"].as_i64().unwrap();
    assert!((80..=90).contains(&left), "{answer}");
}

async fn refused(registry: &Registry, token: &str, why: &str) -> Answer {
    let answer = registry.send(base().bearer(token)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{why}: {answer:?}");
    for call in [base(), Call::get("/token")] {
        let answer = registry.send(call.basic("token", token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{why}: {answer:?}");
    }
    answer
}

#[tokio::test]
async fn tokens_for_others_forged_and_stale_ones_are_refused() {
    let issuer = Issuer::start().await;
    let registry = Registry::with(with_issuer(&issuer));
    let now = jiff::Timestamp::now().as_second();
    for (field, value) in [
        ("aud", json!("registry.other")),
        ("aud", json!(["registry.other", ""])),
        ("aud", json!([])),
        ("aud", json!({ "registry.test": true })),
        ("aud", json!(["registry.test"].repeat(17))),
        ("aud", Value::Null),
        ("exp", json!(now - 1)),
        ("exp", json!(-1)),
        ("exp", json!("tomorrow")),
        ("exp", json!(1e300)),
        ("exp", Value::Null),
        ("nbf", json!(now + 120)),
        ("nbf", json!("yesterday")),
        ("iat", json!(now + 120)),
        ("iss", json!(format!("{}/", issuer.url()))),
        ("iss", json!("https://evil.example")),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("s".repeat(256))),
        ("sub", Value::Null),
        ("org", json!("other")),
        ("org", json!(["other", "Acme"])),
        ("org", json!({ "acme": "acme" })),
        ("org", Value::Null),
        // No username, and no groups, can be made of these.
        ("email", json!("")),
        ("email", json!("a\nb")),
        ("email", json!("e".repeat(600))),
        ("email", json!(["a", "b"])),
        ("email", Value::Null),
        ("groups", json!([1])),
        ("groups", json!(["g"].repeat(257))),
        ("groups", Value::Null),
    ] {
        let mut claims = issuer.claims("build");
        claims[field] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(field);
        }
        refused(&registry, &Issuer::sign(&claims), &format!("{field}: {value}")).await;
    }
    let claims = issuer.claims("build");
    let good = Issuer::sign(&claims);
    assert_eq!(status(&registry, base().bearer(&good)).await, 200);
    for (field, value) in [
        ("aud", json!(["registry.other", "registry.test"])),
        ("exp", json!(600.5 + f64::from(u32::try_from(now).unwrap()))),
        ("org", json!(["other", "acme"])),
    ] {
        let mut claims = claims.clone();
        claims[field] = value.clone();
        assert_eq!(
            status(&registry, base().bearer(&Issuer::sign(&claims))).await,
            200,
            "{field}: {value}"
        );
    }
}

#[tokio::test]
async fn whatever_the_issuer_has_not_signed_is_refused() {
    let issuer = Issuer::start().await;
    let registry = Registry::with(with_issuer(&issuer));
    let claims = issuer.claims("build");
    let good = Issuer::sign(&claims);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    refused(
        &registry,
        &format!("{head}.{flipped}{}", &signature[1..]),
        "another signature",
    )
    .await;
    refused(&registry, &format!("{head}."), "no signature").await;
    let (_, rest) = good.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    refused(
        &registry,
        &format!("eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.{payload}."),
        "alg none",
    )
    .await;
    let forger = SigningKey::new();
    refused(
        &registry,
        &forger.sign("k1", &claims),
        "a key of the forger's by a known name",
    )
    .await;
    refused(
        &registry,
        &forger.sign("k9", &claims),
        "a key of the forger's by a new name",
    )
    .await;
    // The public key as a shared secret.
    let modulus = issuer.jwks()["keys"][0]["n"].as_str().unwrap().to_owned();
    let secret = jsonwebtoken::EncodingKey::from_secret(modulus.as_bytes());
    let header = jsonwebtoken::Header {
        kid: Some("k1".to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
    };
    let confused = jsonwebtoken::encode(&header, &claims, &secret).unwrap();
    refused(&registry, &confused, "HS256 with the public key").await;
    let mut long = claims.clone();
    long["filler"] = json!("f".repeat(16 * 1024));
    refused(&registry, &Issuer::sign(&long), "too long").await;
    // One issuer does not speak for another.
    let other = Issuer::start().await;
    let mut both = with_issuer(&issuer);
    let mut settings = other.settings();
    settings["name"] = json!("other");
    both["oidc"].as_array_mut().unwrap().push(settings);
    registry.publish(2, both);
    other.rotates();
    let crossed = Issuer::sign(&other.claims("build"));
    refused(&registry, &crossed, "a key of another issuer's").await;
    let theirs = Issuer::sign_with_the_second_key(&other.claims("build"));
    assert_eq!(status(&registry, base().bearer(&theirs)).await, 200);
}

#[tokio::test]
async fn an_algorithm_that_is_not_listed_is_refused() {
    let issuer = Issuer::start().await;
    let mut content = with_issuer(&issuer);
    content["oidc"][0]["algorithms"] = json!(["ES256", "PS256"]);
    let registry = Registry::with(content.clone());
    let answer = refused(&registry, &issuer.token_of("build"), "RS256").await;
    assert!(answer.json().to_string().contains("algorithm"), "{answer:?}");
    content["oidc"][0]["algorithms"] = json!(["ES256", "RS256"]);
    registry.publish(2, content);
    assert_eq!(status(&registry, base().bearer(&issuer.token_of("build"))).await, 200);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_stops_nobody_else() {
    let issuer = Issuer::start().await;
    let registry = Registry::with(with_issuer(&issuer));
    let token = issuer.token_of("build");
    for mood in [
        Mood::Failing,
        Mood::Impostor,
        Mood::Redirecting,
        Mood::Endless,
        Mood::Garbage,
        Mood::Keyless,
    ] {
        issuer.becomes(mood);
        let registry = Registry::with(with_issuer(&issuer));
        for call in [
            base().bearer(&token),
            base().basic("token", &token),
            Call::get("/token").bearer(&token),
        ] {
            let answer = registry.send(call).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{mood:?}: {answer:?}");
            assert_eq!(answer.headers["retry-after"], "5");
        }
    }
    // Whoever waits for it waits alone.
    issuer.becomes(Mood::Silent);
    let waiting = registry.send(base().bearer(&token));
    let others = async {
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(status(&registry, base().basic("admin", PASSWORD)).await, 200);
            assert_eq!(status(&registry, base().basic("admin", "wrong")).await, 401);
        }
        began.elapsed()
    };
    let (late, others) = tokio::join!(waiting, others);
    assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(others < Duration::from_secs(30), "{others:?}");
    // A short while after it answers again, so does the registry.
    issuer.becomes(Mood::Good);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(status(&registry, base().bearer(&token)).await, 200);
    // What is known stays known, and what is not is not refused for good.
    issuer.becomes(Mood::Failing);
    assert_eq!(status(&registry, base().bearer(&issuer.token_of("test"))).await, 200);
}

#[tokio::test]
async fn keys_that_the_issuer_changes_are_found_and_unknown_ones_ask_seldom() {
    let issuer = Issuer::start().await;
    let registry = Registry::with(with_issuer(&issuer));
    assert_eq!(status(&registry, base().bearer(&issuer.token_of("build"))).await, 200);
    // A flood of keys that nobody has.
    let forger = SigningKey::new();
    for number in 0..50 {
        let token = forger.sign(&format!("f{number}"), &issuer.claims("build"));
        assert_eq!(status(&registry, base().bearer(&token)).await, 401);
    }
    assert_eq!(issuer.asked(), 1);
    issuer.rotates();
    let new = Issuer::sign_with_the_second_key(&issuer.claims("build"));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(status(&registry, base().bearer(&new)).await, 200);
    assert_eq!(issuer.asked(), 2);
    // The old key is withdrawn, also for tokens that were remembered.
    assert_eq!(status(&registry, base().bearer(&issuer.token_of("build"))).await, 401);
    // After an hour without an answer nobody knows whether a key still counts.
    issuer.becomes(Mood::Failing);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3601)).await;
    tokio::time::resume();
    assert_eq!(status(&registry, base().bearer(&new)).await, 503);
}

#[tokio::test]
async fn keys_may_stand_in_the_document_or_at_another_address() {
    let issuer = Issuer::start().await;
    let mut content = with_issuer(&issuer);
    content["oidc"][0]["jwks"] = issuer.jwks();
    let registry = Registry::with(content);
    assert_eq!(status(&registry, base().bearer(&issuer.token_of("build"))).await, 200);
    assert_eq!(issuer.asked(), 0);
    let mut content = with_issuer(&issuer);
    content["oidc"][0]["jwksURL"] = json!(issuer.keys_url());
    // Its discovery document is not asked for then.
    issuer.becomes(Mood::Good);
    registry.publish(2, content);
    assert_eq!(status(&registry, base().bearer(&issuer.token_of("build"))).await, 200);
    assert_eq!(issuer.asked(), 1);
}
