//! An issuer of OpenID Connect tokens on a port of its own, which can be made to fail in every way.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::cluster::SigningKey;

/// Making an RSA key takes long.
static KEYS: LazyLock<[SigningKey; 2]> = LazyLock::new(|| [SigningKey::new(), SigningKey::new()]);

/// What the issuer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    Good,
    /// Not at all.
    Silent,
    /// With an error.
    Failing,
    /// With the document of another issuer.
    Impostor,
    /// With keys somewhere else.
    Redirecting,
    /// Without an end.
    Endless,
    /// With nothing that could be keys.
    Garbage,
    /// With a set that has no key.
    Keyless,
}

#[derive(Debug)]
struct Behaviour {
    mood: Mood,
    jwks: Value,
    asked: usize,
}

/// The issuer. It ends with the test's runtime.
pub(crate) struct Issuer {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour = Arc::new(Mutex::new(Behaviour {
            mood: Mood::Good,
            jwks: json!({ "keys": [KEYS[0].jwk("k1")] }),
            asked: 0,
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state((address, behaviour.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, behaviour }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn keys_url(&self) -> String {
        format!("{}/keys", self.url())
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        self.behaviour.lock().unwrap().mood = mood;
    }

    /// From now on it signs with its second key, and publishes no other.
    pub(crate) fn rotates(&self) {
        self.behaviour.lock().unwrap().jwks = json!({ "keys": [KEYS[1].jwk("k2")] });
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.behaviour.lock().unwrap().asked
    }

    pub(crate) fn jwks(&self) -> Value {
        self.behaviour.lock().unwrap().jwks.clone()
    }

    /// What the access document says about it.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "name": "ci",
            "issuer": self.url(),
            "audiences": ["registry.test"],
            "requiredClaims": [{ "claim": "org", "values": ["acme"] }],
        })
    }

    /// The claims of a token about `subject`.
    pub(crate) fn claims(&self, subject: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({
            "iss": self.url(), "sub": subject, "aud": "registry.test", "exp": now + 600, "iat": now, "nbf": now,
            "org": "acme", "email": format!("{subject}@acme.example"), "groups": ["builders", "all"],
        })
    }

    pub(crate) fn sign(claims: &Value) -> String {
        KEYS[0].sign("k1", claims)
    }

    pub(crate) fn sign_with_the_second_key(claims: &Value) -> String {
        KEYS[1].sign("k2", claims)
    }

    /// A token about `subject`.
    pub(crate) fn token_of(&self, subject: &str) -> String {
        Self::sign(&self.claims(subject))
    }
}

/// An issuer whose keys stand in the document, so that nobody asks it anything.
pub(crate) struct Offline;

impl Offline {
    pub(crate) const URL: &str = "https://offline.example";

    pub(crate) fn settings() -> Value {
        json!({
            "name": "offline", "issuer": Self::URL, "audiences": ["registry.test"],
            "requiredClaims": [{ "claim": "aud", "values": ["registry.test"] }],
            "jwks": { "keys": [KEYS[0].jwk("k1")] },
        })
    }

    pub(crate) fn claims(subject: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({ "iss": Self::URL, "sub": subject, "aud": "registry.test", "exp": now + 600 })
    }

    /// The key that it signs with.
    pub(crate) fn key() -> &'static SigningKey {
        &KEYS[0]
    }

    pub(crate) fn token_of(subject: &str) -> String {
        Issuer::sign(&Self::claims(subject))
    }
}

type Shared = (SocketAddr, Arc<Mutex<Behaviour>>);

async fn discovery(State((address, behaviour)): State<Shared>) -> Response {
    let mood = behaviour.lock().unwrap().mood;
    let host = if mood == Mood::Impostor {
        "other.example".to_owned()
    } else {
        address.to_string()
    };
    answer(
        mood,
        json!({ "issuer": format!("http://{host}"), "jwks_uri": format!("http://{address}/keys") }),
    )
    .await
}

async fn keys(State((_, behaviour)): State<Shared>) -> Response {
    let (mood, jwks) = {
        let mut behaviour = behaviour.lock().unwrap();
        behaviour.asked += 1;
        (behaviour.mood, behaviour.jwks.clone())
    };
    answer(
        mood,
        if mood == Mood::Keyless {
            json!({ "keys": [] })
        } else {
            jwks
        },
    )
    .await
}

async fn answer(mood: Mood, content: Value) -> Response {
    match mood {
        Mood::Good | Mood::Impostor | Mood::Keyless => axum::Json(content).into_response(),
        Mood::Silent => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::NO_CONTENT.into_response()
        }
        Mood::Failing => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Redirecting => (StatusCode::FOUND, [(header::LOCATION, "/keys")]).into_response(),
        Mood::Endless => " ".repeat(4 << 20).into_response(),
        Mood::Garbage => "<html>".into_response(),
    }
}
