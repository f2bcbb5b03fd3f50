//! Tokens that must not be believed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::fixture::{Call, Registry, content};

pub(crate) struct TestKey {
    pem: String,
    public: Vec<u8>,
}

impl TestKey {
    pub(crate) fn new() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(pkcs8.as_ref())
        );
        Self {
            pem,
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn sign(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_pem(self.pem.as_bytes()).unwrap()).unwrap()
    }

    /// What a token says that this key has signed.
    pub(crate) fn claims(&self, token: &str) -> Value {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_aud = false;
        let key = DecodingKey::from_ec_der(&self.public);
        jsonwebtoken::decode(token, &key, &validation).unwrap().claims
    }

    pub(crate) fn entry(&self, kid: &str) -> Value {
        json!({ "kid": kid, "privateKey": self.pem })
    }
}

fn header(kid: &str) -> Header {
    Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::ES256)
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The claims of a good token of `admin`.
fn claims() -> Value {
    json!({
        "iss": "wharfinger", "sub": "admin", "aud": "registry.test", "exp": now() + 100, "nbf": now(), "iat": now(), "jti": "x",
        "rev": 1, "uid": "admin", "cred": "x", "access": [],
    })
}

fn with(mut changes: Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().append(changes.as_object_mut().unwrap());
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

fn registry(keys: &[Value]) -> Registry {
    Registry::with(content_with(keys))
}

fn content_with(keys: &[Value]) -> Value {
    let mut content = content();
    content["token"] = json!({ "keys": keys });
    content
}

async fn status(registry: &Registry, token: &str) -> u16 {
    let answer = registry.send(Call::get("/v2/").bearer(token)).await;
    if answer.status == 401 {
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.ends_with("error=\"invalid_token\""), "{challenge}");
    }
    answer.status.as_u16()
}

#[tokio::test]
async fn a_token_made_by_one_of_the_keys_is_believed() {
    let (first, second) = (TestKey::new(), TestKey::new());
    let registry = registry(&[first.entry("first"), second.entry("second")]);
    assert_eq!(status(&registry, &first.sign(&header("first"), &claims())).await, 200);
    assert_eq!(status(&registry, &second.sign(&header("second"), &claims())).await, 200);
    let anonymous = with(json!({ "sub": "", "uid": null, "cred": null }));
    assert_eq!(status(&registry, &first.sign(&header("first"), &anonymous)).await, 200);
}

#[tokio::test]
async fn signatures_and_algorithms_cannot_be_swapped() {
    let (key, other) = (TestKey::new(), TestKey::new());
    let registry = registry(&[key.entry("k"), other.entry("o")]);
    let good = key.sign(&header("k"), &claims());
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut parts: Vec<&str> = good.split('.').collect();
    let escalated = encode(&with(json!({ "sub": "pusher", "uid": "pusher" })));
    let changed = format!("{}.{escalated}.{}", parts[0], parts[2]);
    let signature = parts.pop().unwrap();
    let none = |alg: &str, signature: &str| {
        format!(
            "{}.{}.{signature}",
            encode(&json!({ "typ": "JWT", "alg": alg, "kid": "k" })),
            parts[1]
        )
    };
    // A verifier that takes the algorithm from the header would use the public key as a shared secret.
    let hmac = |secret: &[u8]| {
        let header = Header {
            kid: Some("k".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap()
    };
    let table = [
        ("claims changed", changed),
        ("alg none", none("none", "")),
        ("alg None", none("None", "")),
        ("alg none with a signature", none("none", signature)),
        ("alg ES384", none("ES384", signature)),
        ("alg RS256", none("RS256", signature)),
        ("HMAC with the public key", hmac(&key.public)),
        ("HMAC with the public key in PEM", hmac(key.pem.as_bytes())),
        ("HMAC with nothing", hmac(b"")),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("no signature part", format!("{}.{}", parts[0], parts[1])),
        (
            "signature of zeros",
            format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 64])),
        ),
        ("another part", format!("{good}.x")),
        ("another key's name", key.sign(&header("o"), &claims())),
        ("an unknown key's name", key.sign(&header("z"), &claims())),
        ("a foreign key", TestKey::new().sign(&header("k"), &claims())),
        ("no key's name", key.sign(&Header::new(Algorithm::ES256), &claims())),
        ("nothing", "..".to_owned()),
        ("not base64", "\u{7f}.b.c".replace('\u{7f}', "!")),
    ];
    for (name, token) in table {
        assert_eq!(status(&registry, &token).await, 401, "{name}");
    }
    assert_eq!(status(&registry, &good).await, 200);
}

#[tokio::test]
async fn a_header_that_brings_its_own_key_is_refused() {
    let key = TestKey::new();
    let registry = registry(&[key.entry("k")]);
    let (x, y) = key.public[1..].split_at(32);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
    let extra = |name: &str, value: Value| {
        let mut header = json!({ "typ": "JWT", "alg": "ES256", "kid": "k" });
        header[name] = value;
        serde_json::from_value::<Header>(header).unwrap()
    };
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/x5u")),
        ("x5c", json!(["AAAA"])),
        ("x5t", json!("AAAA")),
        ("crit", json!(["exp"])),
        ("cty", json!("JWT")),
        ("typ", json!("at+jwt")),
        ("custom", json!(1)),
    ] {
        // Even the right key signs in vain.
        assert_eq!(
            status(&registry, &key.sign(&extra(name, value), &claims())).await,
            401,
            "{name}"
        );
    }
}

#[tokio::test]
async fn claims_of_another_registry_another_time_or_another_shape_are_refused() {
    let key = TestKey::new();
    let registry = registry(&[key.entry("k")]);
    let table = [
        ("issuer", with(json!({ "iss": "other" }))),
        ("audience", with(json!({ "aud": "other" }))),
        ("audiences", with(json!({ "aud": ["registry.test"] }))),
        ("expired now", with(json!({ "exp": now() }))),
        ("expired", with(json!({ "exp": now() - 1 }))),
        ("negative expiry", with(json!({ "exp": -1 }))),
        ("expiry as text", with(json!({ "exp": (now() + 100).to_string() }))),
        (
            "from the future",
            with(json!({ "nbf": now() + 120, "iat": now() + 120 })),
        ),
        ("made in the future", with(json!({ "iat": now() + 120 }))),
        (
            "unknown identity",
            with(json!({ "sub": "stranger", "uid": "stranger" })),
        ),
        ("earlier identity of the name", with(json!({ "uid": "other" }))),
        ("anonymous with an identity", with(json!({ "sub": "" }))),
        ("another spelling of the name", with(json!({ "sub": "Admin" }))),
        ("no uid", without("uid")),
        ("no issuer", without("iss")),
        ("no audience", without("aud")),
        ("no expiry", without("exp")),
        ("no beginning", without("nbf")),
        ("no revision", without("rev")),
        ("no access", without("access")),
        ("access of another shape", with(json!({ "access": "*" }))),
    ];
    for (name, claims) in table {
        assert_eq!(status(&registry, &key.sign(&header("k"), &claims)).await, 401, "{name}");
    }
    // Another replica's clock may be a little ahead.
    let ahead = with(json!({ "nbf": now() + 30, "iat": now() + 30, "exp": now() + 300 }));
    assert_eq!(status(&registry, &key.sign(&header("k"), &ahead)).await, 200);
}

#[tokio::test]
async fn a_token_dies_with_what_it_stands_on() {
    let (key, other) = (TestKey::new(), TestKey::new());
    let registry = registry(&[key.entry("k")]);
    let token = key.sign(&header("k"), &claims());
    assert_eq!(status(&registry, &token).await, 200);
    let alive = || content_with(&[key.entry("k")]);
    let change = |change: fn(&mut Value)| {
        let mut content = alive();
        change(&mut content);
        content
    };
    let mut for_refresh = key.entry("k");
    for_refresh["refreshOnly"] = json!(true);
    let table = [
        (
            "identity deleted",
            change(|content| drop(content["identities"].as_array_mut().unwrap().remove(3))),
        ),
        (
            "identity made again",
            change(|content| content["identities"][3]["uid"] = json!("other")),
        ),
        (
            "tokens revoked",
            change(|content| content["identities"][3]["tokensFrom"] = json!(2)),
        ),
        ("service renamed", change(|content| content["service"] = json!("other"))),
        ("issuer changed", change(|content| content["issuer"] = json!("other"))),
        ("key retired", content_with(&[other.entry("o")])),
        (
            "key for refresh tokens only",
            content_with(&[other.entry("o"), for_refresh]),
        ),
        ("key replaced under its name", content_with(&[other.entry("k")])),
    ];
    for (index, (name, content)) in table.into_iter().enumerate() {
        let revision = 10 * (index as u64 + 1);
        registry.publish(revision, content);
        assert_eq!(status(&registry, &token).await, 401, "{name}");
        registry.publish(revision + 1, alive());
        assert_eq!(status(&registry, &token).await, 200, "{name}");
    }
    let password = change(|content| content["identities"][3]["passwords"] = json!([]));
    registry.publish(100, password);
    assert_eq!(
        status(&registry, &token).await,
        200,
        "a changed password leaves tokens alone"
    );
}

#[tokio::test]
async fn a_token_of_a_newer_document_waits_for_it() {
    let key = TestKey::new();
    let registry = registry(&[key.entry("k")]);
    let newer = with(json!({ "rev": 2, "sub": "new", "uid": "new" }));
    let token = key.sign(&header("k"), &newer);
    let mut content = content_with(&[key.entry("k")]);
    content["identities"][0]["username"] = json!("new");
    let publish = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        registry.publish(2, content);
    };
    let (status_now, ()) = tokio::join!(status(&registry, &token), publish);
    assert_eq!(status_now, 200);
    // What never comes is not waited for longer than a second, and then decided by what there is.
    let started = std::time::Instant::now();
    let unreached = key.sign(&header("k"), &with(json!({ "rev": 3 })));
    assert_eq!(status(&registry, &unreached).await, 200);
    assert!(
        (900..5000).contains(&started.elapsed().as_millis()),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_token_never_opens_more_than_policy_does() {
    let key = TestKey::new();
    let registry = registry(&[key.entry("k")]);
    registry.seed("team/app", "v1").await;
    let everything = json!([{ "type": "repository", "name": "team/app", "actions": ["pull", "push", "delete", "*"] }]);
    let token = key.sign(
        &header("k"),
        &with(json!({ "sub": "puller", "uid": "puller", "access": everything })),
    );
    let get = || Call::get("/v2/team/app/manifests/v1").bearer(&token);
    assert_eq!(registry.send(get()).await.status, 200);
    let delete = Call::new(http::Method::DELETE, "/v2/team/app/manifests/v1").bearer(&token);
    assert_eq!(registry.send(delete).await.status, 403);
    let mut content = content_with(&[key.entry("k")]);
    content["policies"] = json!([content["policies"][3]]);
    registry.publish(2, content);
    assert_eq!(
        registry.send(get()).await.status,
        403,
        "an edit of a policy holds for tokens that are out"
    );
}
