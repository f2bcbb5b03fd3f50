//! Every way to sign in but the registry's own tokens.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use crate::cluster::{Cluster, SigningKey};
use crate::fixture::{Answer, Call, HASH, PASSWORD, Registry, content, hash};

/// `secret` by bcrypt, as `htpasswd -nbB -C 5` prints it, under each of its three names.
const BCRYPT: &str = "$2y$05$UXbPYmtXM4R/7B7I0kKYF.3lY8rbP0lZsWcGFq1C6RgnqiHnV7nHe";

fn with(changes: &[(&str, Value)]) -> Value {
    let mut content = content();
    for (field, value) in changes {
        content[*field] = value.clone();
    }
    content
}

async fn status(registry: &Registry, call: Call) -> u16 {
    registry.send(call).await.status.as_u16()
}

fn base() -> Call {
    Call::get("/v2/")
}

#[tokio::test]
async fn a_bcrypt_hash_signs_in_under_each_of_its_names() {
    let secret = bcrypt::hash("secret", 4).unwrap();
    let named = |mark: &str| format!("{mark}{}", &secret[4..]);
    let identity = |name: &str, hash: &str| json!({ "username": name, "passwords": [{ "hash": hash }] });
    let registry = Registry::with(with(&[(
        "identities",
        json!([
            identity("a", &named("$2a$")),
            identity("b", &named("$2b$")),
            identity("y", &named("$2y$")),
            identity("argon", &HASH),
        ]),
    )]));
    for user in ["a", "b", "y"] {
        assert_eq!(status(&registry, base().basic(user, "secret")).await, 200, "{user}");
        assert_eq!(status(&registry, base().basic(user, "Secret")).await, 401, "{user}");
        assert_eq!(status(&registry, base().basic(user, "")).await, 401, "{user}");
    }
    assert_eq!(status(&registry, base().basic("argon", PASSWORD)).await, 200);
    // A hash that was cut off when it was copied would lock its user out without a word.
    let cut = with(&[("identities", json!([identity("a", &BCRYPT[..59])]))]);
    let error = serde_json::from_value::<registry_config::AccessContent>(cut).unwrap_err();
    assert!(error.to_string().contains("59 characters long, but 60"), "{error}");
}

#[tokio::test]
async fn a_basic_challenge_has_the_realm_and_nothing_else_and_tokens_are_accepted_all_the_same() {
    let registry = Registry::with(with(&[
        ("challenge", json!("Basic")),
        ("basicRealm", json!("the \"wharf\"")),
    ]));
    for call in [
        base(),
        base().basic("admin", "wrong"),
        Call::get("/v2/team/app/tags/list"),
        Call::get("/v2/_catalog"),
    ] {
        let answer = registry.send(call).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, [r#"Basic realm="the \"wharf\"""#]);
    }
    assert_eq!(status(&registry, base().basic("admin", PASSWORD)).await, 200);
    let token = registry.token("admin", "registry:catalog:*").await;
    assert_eq!(status(&registry, Call::get("/v2/_catalog").bearer(&token)).await, 200);
    // Without a realm of its own it is that of the tokens, and no Host is needed to make it.
    let registry = Registry::with(with(&[("challenge", json!("Basic"))]));
    let mut call = base();
    call.0.headers_mut().remove("host");
    let answer = registry.send(call).await;
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Basic realm="registry.test""#)
    );
}

#[tokio::test]
async fn the_registry_is_open_to_the_networks_that_it_names_and_to_no_others() {
    // Requests come from 192.0.2.7.
    for (ranges, allowed) in [
        (json!(["192.0.2.0/24"]), true),
        (json!(["10.0.0.0/8", "192.0.2.7/32"]), true),
        (json!(["10.0.0.0/8", "2001:db8::/32"]), false),
        (json!(["0.0.0.0/32"]), false),
        (json!([]), true),
    ] {
        let registry = Registry::with(with(&[("allowedSourceRanges", ranges.clone())]));
        for call in [
            base().basic("admin", PASSWORD),
            Call::get("/token").basic("admin", PASSWORD),
            Call::get("/v2/public/app/tags/list"),
        ] {
            let answer = registry.send(call).await;
            if allowed {
                assert_ne!(answer.status, StatusCode::FORBIDDEN, "{ranges}");
            } else {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{ranges}");
                assert_eq!(answer.code(), "DENIED");
                assert!(answer.json().to_string().contains("192.0.2.7"), "{answer:?}");
                assert_eq!(answer.header("www-authenticate"), None);
            }
        }
    }
    // What counts is the client behind the proxy; where it is not known, it is nowhere.
    let registry = Registry::with(with(&[
        ("allowedSourceRanges", json!(["203.0.113.0/24"])),
        ("trustedProxies", json!(["192.0.2.0/24"])),
    ]));
    let from = |address: &str| base().basic("admin", PASSWORD).header("x-forwarded-for", address);
    assert_eq!(status(&registry, from("203.0.113.9")).await, 200);
    assert_eq!(status(&registry, from("198.51.100.1")).await, 403);
    assert_eq!(status(&registry, from("unknown")).await, 403);
}

#[tokio::test]
async fn a_trusted_proxy_names_who_has_signed_in_and_nobody_else_can() {
    let mut content = with(&[
        ("trustedProxies", json!(["192.0.2.0/24"])),
        ("userHeader", json!("X-Forwarded-User")),
    ]);
    content["identities"][0]["notAfter"] = json!("2020-01-01T00:00:00Z");
    content["policies"].as_array_mut().unwrap().push(json!({
        "name": "guests", "effect": "Allow", "subjects": [{ "identity": "somebody" }],
        "rules": [{ "name": "all", "repositories": ["guests/**"], "role": "pull" }],
    }));
    let tags = |repository: &str, user: &str| {
        Call::get(&format!("/v2/{repository}/tags/list")).header("x-forwarded-user", user)
    };
    let registry = Registry::with(content.clone());
    assert_eq!(status(&registry, base().header("x-forwarded-user", "admin")).await, 200);
    assert_eq!(status(&registry, tags("team/app", "admin")).await, 404);
    assert_eq!(status(&registry, tags("team/app", "nobody")).await, 403);
    // Whom the document does not list is who the proxy says, and no more.
    assert_eq!(status(&registry, tags("guests/app", "somebody")).await, 404);
    assert_eq!(status(&registry, tags("team/app", "somebody")).await, 403);
    // Whom it lists and whose time is over is nobody.
    assert_eq!(status(&registry, tags("team/app", "puller")).await, 401);
    // Credentials of the client's own come first.
    let both = base().header("x-forwarded-user", "admin").basic("admin", "wrong");
    assert_eq!(status(&registry, both).await, 401);
    content["trustedProxies"] = json!(["198.51.100.0/24"]);
    let registry = Registry::with(content);
    assert_eq!(status(&registry, base().header("x-forwarded-user", "admin")).await, 401);
}

#[tokio::test]
async fn a_changed_password_ends_tokens_only_where_that_is_asked_for() {
    for (revoke, want) in [(false, 200), (true, 401)] {
        let identity = |password: &str| {
            json!([{
                "username": "admin", "revokeTokensOnChange": revoke, "passwords": [{ "hash": hash(password) }],
            }])
        };
        let registry = Registry::with(with(&[(
            "identities",
            json!([{
                "username": "admin", "revokeTokensOnChange": revoke, "passwords": [{ "hash": *HASH }],
            }]),
        )]));
        let token = registry.token("admin", "registry:catalog:*").await;
        let ask = || Call::get("/v2/_catalog").bearer(&token);
        assert_eq!(status(&registry, ask()).await, 200);
        registry.publish(2, with(&[("identities", identity("another"))]));
        assert_eq!(status(&registry, ask()).await, want, "revokeTokensOnChange: {revoke}");
        assert_eq!(status(&registry, base().basic("admin", PASSWORD)).await, 401);
    }
}

#[tokio::test(start_paused = true)]
async fn guesses_are_answered_more_and_more_slowly_and_nobody_else_is() {
    let registry = Registry::new();
    let elapsed = |begun: tokio::time::Instant| begun.elapsed();
    let mut last = Duration::ZERO;
    for guess in 0..10 {
        let begun = tokio::time::Instant::now();
        assert_eq!(
            status(&registry, base().basic("admin", &format!("guess {guess}"))).await,
            401
        );
        last = elapsed(begun);
    }
    assert!(last >= Duration::from_secs(10), "{last:?}");
    // Who knows the password gets in at once, and so does everybody else.
    for user in ["admin", "pusher"] {
        let begun = tokio::time::Instant::now();
        assert_eq!(status(&registry, base().basic(user, PASSWORD)).await, 200);
        assert!(elapsed(begun) < Duration::from_secs(2), "{user}");
    }
    let begun = tokio::time::Instant::now();
    assert_eq!(status(&registry, base().basic("admin", "one more")).await, 401);
    assert!(
        elapsed(begun) < Duration::from_secs(5),
        "the right password ends the count"
    );
}

#[tokio::test]
async fn a_refusal_takes_as_long_whether_or_not_the_user_exists() {
    const ROUNDS: usize = 8;
    // Several times as costly as what an unknown user is made to cost, which is what most of them cost.
    let (slow, usual) = (bcrypt::hash("secret", 12).unwrap(), bcrypt::hash("secret", 4).unwrap());
    let known = |round: usize| format!("slow-{round}");
    let identity = |username: String, hash: &str| json!({ "username": username, "passwords": [{ "hash": hash }] });
    let identities: Vec<Value> = (0..ROUNDS)
        .map(|round| identity(known(round), &slow))
        .chain((0..=ROUNDS).map(|number| identity(format!("usual-{number}"), &usual)))
        .collect();
    let registry = Registry::with(with(&[("identities", json!(identities))]));
    // The first shows how long the costliest hash takes.
    assert_eq!(status(&registry, base().basic(&known(0), "wrong")).await, 401);
    let timed = async |user: &str| {
        let begun = Instant::now();
        assert_eq!(status(&registry, base().basic(user, "wrong")).await, 401);
        begun.elapsed()
    };
    // Whatever else the machine does lengthens one of the two now and then, and never all of the first kind alone.
    let mut seen = Vec::new();
    for round in 0..ROUNDS {
        let (known, unknown) = (timed(&known(round)).await, timed(&format!("nobody-{round}")).await);
        if unknown * 10 >= known * 8 {
            return;
        }
        seen.push((known, unknown));
    }
    panic!("{seen:?}");
}

/// A registry to which identity `builder` signs in with tokens of ServiceAccount `ci/bot`, and that admits namespace
/// `apps`.
fn with_accounts() -> Value {
    let mut content = content();
    content["serviceAccounts"] = Cluster::settings();
    content["serviceAccounts"]["namespaces"] = json!(["apps"]);
    let identities = content["identities"].as_array_mut().unwrap();
    identities.push(json!({
        "username": "builder", "uid": "b", "groups": ["ci"], "serviceAccounts": [{ "namespace": "ci", "name": "bot" }],
    }));
    content["policies"].as_array_mut().unwrap().extend([
        json!({
            "name": "builders", "effect": "Allow", "subjects": [{ "group": "ci" }],
            "rules": [{ "name": "all", "repositories": ["ci/**"], "role": "push",
                        "when": "identity.service_account != null && identity.service_account.pod == 'bot-0' && identity.service_account.node == 'node-1'" }],
        }),
        json!({
            "name": "apps", "effect": "Allow", "subjects": [{ "group": "system:serviceaccounts:apps" }],
            "rules": [{ "name": "all", "repositories": ["apps/**"], "role": "pull" }],
        }),
        json!({
            "name": "one", "effect": "Allow", "subjects": [{ "serviceAccount": { "namespace": "apps", "name": "web" } }],
            "rules": [{ "name": "all", "repositories": ["web/**"], "role": "pull" }],
        }),
    ]);
    content
}

fn in_namespace(namespace: &str, name: &str) -> Value {
    let mut claims = Cluster::claims(name);
    claims["sub"] = json!(format!("system:serviceaccount:{namespace}:{name}"));
    claims["kubernetes.io"]["namespace"] = json!(namespace);
    claims
}

#[tokio::test]
async fn a_token_of_a_service_account_signs_in_as_the_identity_that_names_it() {
    let registry = Registry::with(with_accounts());
    let token = Cluster::sign(&Cluster::claims("bot"));
    let push = || Call::new(http::Method::POST, "/v2/ci/app/blobs/uploads/");
    for call in [
        push().bearer(&token),
        push().basic("", &token),
        push().basic("token", &token),
        push().basic("builder", &token),
    ] {
        assert_eq!(status(&registry, call).await, 202);
    }
    // Another name beside it is a mistake, not another identity.
    for name in ["admin", "bot"] {
        assert_eq!(status(&registry, push().basic(name, &token)).await, 401, "{name}");
    }
    // The token endpoint takes it in either form, and gives a token that does the same.
    for call in [
        Call::get("/token?scope=repository:ci/app:pull,push").basic("token", &token),
        Call::get("/token?scope=repository:ci/app:pull,push").bearer(&token),
    ] {
        let answer = registry.send(call).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let own = answer.json()["token"].as_str().unwrap().to_owned();
        assert_eq!(status(&registry, push().bearer(&own)).await, 202);
        assert_eq!(status(&registry, Call::get("/v2/").bearer(&own)).await, 200);
        // It names no other repository.
        let elsewhere = Call::new(http::Method::POST, "/v2/ci/other/blobs/uploads/").bearer(&own);
        assert_eq!(status(&registry, elsewhere).await, 401);
    }
}

#[tokio::test]
async fn accounts_that_nobody_names_are_nobody_unless_their_namespace_is_admitted() {
    let registry = Registry::with(with_accounts());
    let tags = |repository: &str, claims: &Value| {
        Call::get(&format!("/v2/{repository}/tags/list")).bearer(&Cluster::sign(claims))
    };
    let stranger = registry.send(tags("public/app", &in_namespace("other", "bot"))).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert!(
        stranger
            .json()
            .to_string()
            .contains("no identity of this registry names the ServiceAccount")
    );
    let (web, api) = (in_namespace("apps", "web"), in_namespace("apps", "api"));
    assert_eq!(status(&registry, tags("apps/x", &web)).await, 404);
    assert_eq!(status(&registry, tags("web/x", &web)).await, 404);
    assert_eq!(status(&registry, tags("web/x", &api)).await, 403);
    assert_eq!(status(&registry, tags("ci/x", &web)).await, 403);
    // The name that a guest has is nobody's to sign in with.
    let name = "system:serviceaccount:apps:web";
    assert_eq!(status(&registry, base().basic(name, PASSWORD)).await, 401);
}

#[tokio::test]
async fn what_is_taken_back_ends_tokens_that_were_made_from_a_service_accounts() {
    let registry = Registry::with(with_accounts());
    let own = async |claims: &Value| {
        let call = Call::get("/token?scope=repository:ci/app:pull,push").bearer(&Cluster::sign(claims));
        registry.send(call).await.json()["token"].as_str().unwrap().to_owned()
    };
    let (mapped, guest) = (
        own(&Cluster::claims("bot")).await,
        own(&in_namespace("apps", "web")).await,
    );
    let mut content = with_accounts();
    content["serviceAccounts"]["namespaces"] = json!([]);
    registry.publish(2, content.clone());
    assert_eq!(status(&registry, base().bearer(&guest)).await, 401);
    assert_eq!(status(&registry, base().bearer(&mapped)).await, 200);
    // Without the setting nobody's token counts, nor what was made from it.
    let mut off = content.clone();
    off.as_object_mut().unwrap().remove("serviceAccounts");
    registry.publish(3, off);
    assert_eq!(status(&registry, base().bearer(&mapped)).await, 401);
    registry.publish(3, content.clone());
    assert_eq!(status(&registry, base().bearer(&mapped)).await, 200);
    // An identity whose time is over does not leave a guest behind.
    let mut over = with_accounts();
    over["serviceAccounts"]["namespaces"] = json!(["ci"]);
    over["identities"].as_array_mut().unwrap().last_mut().unwrap()["notAfter"] = json!("2020-01-01T00:00:00Z");
    registry.publish(3, over);
    let its_own = Cluster::sign(&Cluster::claims("bot"));
    assert_eq!(status(&registry, base().bearer(&its_own)).await, 401);
    let identities = content["identities"].as_array_mut().unwrap();
    identities.last_mut().unwrap()["serviceAccounts"] = json!([]);
    registry.publish(3, content.clone());
    assert_eq!(status(&registry, base().bearer(&mapped)).await, 401);
    // The ServiceAccount now stands for somebody else: a token that was made for another says so.
    content["identities"][4]["serviceAccounts"] = json!([{ "namespace": "ci", "name": "bot" }]);
    registry.publish(4, content);
    assert_eq!(status(&registry, base().bearer(&mapped)).await, 401);
}

#[tokio::test]
async fn a_token_made_from_a_service_accounts_ends_no_later() {
    let registry = Registry::with(with_accounts());
    let mut claims = Cluster::claims("bot");
    let end = jiff::Timestamp::now().as_second() + 90;
    claims["exp"] = json!(end);
    let answer = registry
        .send(Call::get("/token").bearer(&Cluster::sign(&claims)))
        .await
        .json();
    let left = answer["expires_in"].as_i64().unwrap();
    assert!((80..=90).contains(&left), "{answer}");
}

/// What each forgery is answered.
async fn refused(registry: &Registry, token: &str) -> Answer {
    let answer = registry.send(base().bearer(token)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    let as_password = registry.send(base().basic("token", token)).await;
    assert_eq!(as_password.status, StatusCode::UNAUTHORIZED, "{as_password:?}");
    let for_a_token = registry.send(Call::get("/token").basic("token", token)).await;
    assert_eq!(for_a_token.status, StatusCode::UNAUTHORIZED, "{for_a_token:?}");
    answer
}

#[tokio::test]
async fn tokens_for_others_forged_and_stale_ones_are_refused() {
    let registry = Registry::with(with_accounts());
    let now = jiff::Timestamp::now().as_second();
    for (field, value) in [
        ("aud", json!(["https://kubernetes.default.svc.cluster.local"])),
        ("aud", json!("registry.other")),
        ("aud", json!([])),
        // One that opens the API server as well must not be sent here.
        (
            "aud",
            json!(["registry.test", "https://kubernetes.default.svc.cluster.local"]),
        ),
        // Nobody has so many, unless to fill somebody's memory.
        ("aud", json!(["registry.test"].repeat(17))),
        ("exp", json!(now - 1)),
        ("nbf", json!(now + 120)),
        ("iat", json!(now + 120)),
        ("iss", json!("https://kubernetes.default.svc")),
        ("sub", json!("system:serviceaccount:ci")),
        ("sub", json!("builder")),
        ("aud", Value::Null),
        ("exp", Value::Null),
    ] {
        let mut claims = Cluster::claims("bot");
        claims[field] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(field);
        }
        refused(&registry, &Cluster::sign(&claims)).await;
    }
    let good = Cluster::sign(&Cluster::claims("bot"));
    assert_eq!(status(&registry, base().bearer(&good)).await, 200);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    refused(&registry, &format!("{head}.{flipped}{}", &signature[1..])).await;
    refused(&registry, &format!("{head}.")).await;
    // The same claims under a key of the forger's, by the name of ours and by another.
    let forger = SigningKey::new();
    refused(&registry, &forger.sign("k1", &Cluster::claims("bot"))).await;
    refused(&registry, &forger.sign("k2", &Cluster::claims("bot"))).await;
    // The public key as a shared secret, and no signature at all.
    let jwk = Cluster::settings()["jwks"]["keys"][1]["n"].as_str().unwrap().to_owned();
    let secret = jsonwebtoken::EncodingKey::from_secret(jwk.as_bytes());
    let header = jsonwebtoken::Header {
        kid: Some("k1".to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
    };
    refused(
        &registry,
        &jsonwebtoken::encode(&header, &Cluster::claims("bot"), &secret).unwrap(),
    )
    .await;
    let (_, rest) = good.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    refused(&registry, &format!("eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.{payload}.")).await;
    // Without the setting nobody's is accepted.
    let registry = Registry::new();
    refused(&registry, &good).await;
}
