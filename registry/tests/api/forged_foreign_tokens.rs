//! Attacks on tokens of others, in their headers and in what is signed, the same for a cluster's ServiceAccounts and for an
//! issuer of OpenID Connect tokens.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wharfinger_registry::server::Limits;

use crate::cluster::{Cluster, SigningKey};
use crate::exchange::plain;
use crate::fixture::{Call, Registry, content};
use crate::issuer::Offline;
use crate::wire::Server;

/// Somebody else whose tokens are believed.
#[derive(Debug, Clone, Copy)]
enum Signer {
    Cluster,
    Issuer,
}

impl Signer {
    const ALL: [Self; 2] = [Self::Cluster, Self::Issuer];

    fn key(self) -> &'static SigningKey {
        match self {
            Self::Cluster => Cluster::key(),
            Self::Issuer => Offline::key(),
        }
    }

    /// The claims of a good token about `puller`.
    fn claims(self) -> Value {
        match self {
            Self::Cluster => Cluster::claims("puller"),
            Self::Issuer => Offline::claims("puller"),
        }
    }

    /// How somebody is called in `sub`.
    fn subject(self, name: &str) -> String {
        match self {
            Self::Cluster => format!("system:serviceaccount:ci:{name}"),
            Self::Issuer => name.to_owned(),
        }
    }
}

/// A registry where `puller` and `nobody` sign in with tokens of either.
async fn registry() -> Server {
    let mut content = content();
    content["serviceAccounts"] = Cluster::settings();
    content["oidc"] = json!([Offline::settings()]);
    for identity in content["identities"].as_array_mut().unwrap() {
        let name = identity["username"].clone();
        identity["serviceAccounts"] = json!([{ "namespace": "ci", "name": name }]);
        identity["oidcSubjects"] = json!([{ "issuer": Offline::URL, "subject": name }]);
    }
    Server::start_with(Registry::with(content), None, Limits::default()).await
}

/// Asserts what each way to show a token is answered: `want` where tags are asked for, and whether another is given for it.
async fn check(server: &Server, token: &str, want: u16, what: &str) {
    let tags = || Call::get("/v2/team/app/tags/list");
    let exchanged = if want == 401 { 401 } else { 200 };
    for (call, want) in [
        (tags().bearer(token), want),
        (tags().basic("", token), want),
        (Call::get("/token").bearer(token), exchanged),
        (Call::get("/token").basic("token", token), exchanged),
    ] {
        let uri = call.0.uri().clone();
        let answer = plain(server.address, call).await;
        assert_eq!(answer.status, want, "{what} at {uri}: {answer:?}");
    }
}

/// What `puller` may read, though nothing is there.
const READ: u16 = 404;

fn header(more: &[(&str, Value)]) -> String {
    let mut header = json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" });
    for (name, value) in more {
        header[name] = value.clone();
        if value.is_null() {
            header.as_object_mut().unwrap().remove(*name);
        }
    }
    header.to_string()
}

/// What a forger may say about a key, with a place that it has put it to.
fn hints(forger: &SigningKey, place: &str) -> Vec<(&'static str, Value)> {
    let pair = KeyPair::from_pem(forger.pem()).unwrap();
    let certificate = CertificateParams::default().self_signed(&pair).unwrap();
    vec![
        ("jwk", forger.jwk("k1")),
        ("jku", json!(format!("{place}/jwks"))),
        ("x5u", json!(format!("{place}/x5u"))),
        ("x5c", json!([STANDARD.encode(certificate.der())])),
        ("x5t", json!("AAAA")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_header_brings_along_or_points_to_is_not_looked_at() {
    let server = registry().await;
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", place.local_addr().unwrap());
    let forger = SigningKey::new();
    for signer in Signer::ALL {
        let claims = signer.claims().to_string();
        for hint in hints(&forger, &url) {
            for kid in [json!("k1"), json!("evil"), Value::Null] {
                let header = header(&[hint.clone(), ("kid", kid)]);
                let token = forger.sign_text(&header, &claims, Algorithm::RS256);
                check(&server, &token, 401, &format!("{signer:?} {header}")).await;
            }
            // Issuers write such things for others, and what they have signed they have signed.
            let header = header(&[hint]);
            let good = signer.key().sign_text(&header, &claims, Algorithm::RS256);
            check(&server, &good, READ, &format!("{signer:?} {header}")).await;
        }
    }
    let asked = std::future::poll_fn(|context| std::task::Poll::Ready(place.poll_accept(context).is_ready()));
    assert!(!asked.await, "somebody was asked for a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_must_be_understood_is_not() {
    let server = registry().await;
    for signer in Signer::ALL {
        let claims = signer.claims().to_string();
        for extension in [json!(["exp"]), json!(["b64"]), json!([]), json!("exp")] {
            let header = header(&[("crit", extension), ("b64", json!(true)), ("exp", json!(1))]);
            let token = signer.key().sign_text(&header, &claims, Algorithm::RS256);
            check(&server, &token, 401, &format!("{signer:?} {header}")).await;
        }
        for kind in [
            Value::Null,
            json!("JWT"),
            json!("at+jwt"),
            json!("application/at+jwt"),
            json!("jwt"),
        ] {
            let header = header(&[("typ", kind)]);
            let token = signer.key().sign_text(&header, &claims, Algorithm::RS256);
            check(&server, &token, READ, &format!("{signer:?} {header}")).await;
        }
        for (name, value) in [
            ("typ", json!("logout+jwt")),
            ("typ", json!("application/SecEvent+JWT")),
            ("typ", json!(["JWT"])),
            ("kid", json!(1)),
            ("alg", json!(["RS256"])),
            ("alg", Value::Null),
        ] {
            let header = header(&[(name, value)]);
            let token = signer.key().sign_text(&header, &claims, Algorithm::RS256);
            check(&server, &token, 401, &format!("{signer:?} {header}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_algorithm_is_the_keys_whatever_the_header_says() {
    let server = registry().await;
    for signer in Signer::ALL {
        let claims = signer.claims().to_string();
        let good = signer.key().sign_text(&header(&[]), &claims, Algorithm::RS256);
        check(&server, &good, READ, "as it was").await;
        let (message, signature) = good.rsplit_once('.').unwrap();
        let payload = message.split_once('.').unwrap().1;
        let renamed = |algorithm: &str, signature: &str| {
            let header = header(&[("alg", json!(algorithm))]);
            format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header))
        };
        let mut forged = vec![format!("{message}.")];
        for none in ["none", "None", "NONE", "nOnE", ""] {
            forged.extend([renamed(none, ""), renamed(none, signature)]);
        }
        for other in ["RS384", "PS256", "ES256", "EdDSA", "HS256", "rs256"] {
            forged.push(renamed(other, signature));
        }
        // The right key, in a way that it is not for.
        for (name, algorithm) in [("RS512", Algorithm::RS512), ("PS256", Algorithm::PS256)] {
            let header = header(&[("alg", json!(name))]);
            forged.push(signer.key().sign_text(&header, &claims, algorithm));
        }
        // What everybody knows of the key, as a secret that is shared.
        let pair = KeyPair::from_pem(signer.key().pem()).unwrap();
        let jwk = signer.key().jwk("k1");
        for secret in [
            jwk["n"].as_str().unwrap().into(),
            jwk.to_string().into_bytes(),
            URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap(),
            pair.public_key_pem().into_bytes(),
            pair.public_key_pem().trim_end().into(),
            pair.subject_public_key_info(),
            Vec::new(),
        ] {
            let secret = EncodingKey::from_secret(&secret);
            let header = header(&[("alg", json!("HS256"))]);
            let message = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
            forged.push(format!("{message}.{signature}"));
        }
        for token in forged {
            check(&server, &token, 401, &format!("{signer:?} {token}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_twice_in_a_header_or_among_the_claims_is_refused() {
    for signer in Signer::ALL {
        let server = registry().await;
        let claims = signer.claims();
        for header in [
            r#"{"alg":"none","alg":"RS256","kid":"k1"}"#,
            r#"{"alg":"RS256","alg":"none","kid":"k1"}"#,
            r#"{"alg":"RS256","kid":"evil","kid":"k1"}"#,
            r#"{"alg":"RS256","kid":"k1","kid":"evil"}"#,
        ] {
            let token = signer.key().sign_text(header, &claims.to_string(), Algorithm::RS256);
            check(&server, &token, 401, &format!("{signer:?} {header}")).await;
        }
        // Whoever took the first here and the last there would find the keys of one issuer for the word of another.
        let now = jiff::Timestamp::now().as_second();
        for (name, other) in [
            ("sub", json!(signer.subject("nobody"))),
            ("aud", json!("registry.other")),
            ("exp", json!(now + 1200)),
            ("iss", json!("https://evil.example")),
        ] {
            let mut rest = claims.clone();
            rest.as_object_mut().unwrap().remove(name);
            let rest = rest.to_string();
            let rest = &rest[1..rest.len() - 1];
            let own = &claims[name];
            for (first, last) in [(own, &other), (&other, own), (own, own)] {
                let twice = format!(r#"{{"{name}":{first},{rest},"{name}":{last}}}"#);
                let token = signer.key().sign_text(&header(&[]), &twice, Algorithm::RS256);
                let tags = Call::get("/v2/team/app/tags/list").bearer(&token);
                let answer = plain(server.address, tags).await;
                assert_eq!(answer.status, 401, "{signer:?} {twice}: {answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_three_parts_in_one_spelling() {
    let server = registry().await;
    for signer in Signer::ALL {
        let claims = signer.claims().to_string();
        let good = signer.key().sign_text(&header(&[]), &claims, Algorithm::RS256);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let (head, payload) = message.split_once('.').unwrap();
        for token in [
            format!("{good}."),
            format!("{good}.x"),
            format!("{good}.x.y"),
            format!("{good}="),
            format!("{good}A"),
            format!("{message}.{signature}.{signature}"),
            format!("{head}=.{payload}.{signature}"),
            format!("{head}.{payload}=.{signature}"),
            format!("{head}..{signature}"),
            format!(".{payload}.{signature}"),
            format!("{payload}.{head}.{signature}"),
            message.to_owned(),
        ] {
            let call = Call::get("/v2/team/app/tags/list").bearer(&token);
            let answer = plain(server.address, call).await;
            assert_eq!(answer.status, 401, "{signer:?} {token}: {answer:?}");
        }
    }
}
