//! A cluster's issuer of ServiceAccount tokens, with a key of its own: what the API server signs, signed here.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Making an RSA key takes long.
static KEY: LazyLock<SigningKey> = LazyLock::new(SigningKey::new);

pub(crate) struct SigningKey {
    pem: String,
    private: EncodingKey,
    modulus: String,
    exponent: String,
}

impl SigningKey {
    pub(crate) fn new() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyComponents<Vec<u8>> = pair.public_key().into();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(pkcs8.as_ref())
        );
        Self {
            private: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            pem,
            modulus: URL_SAFE_NO_PAD.encode(&public.n),
            exponent: URL_SAFE_NO_PAD.encode(&public.e),
        }
    }

    pub(crate) fn jwk(&self, kid: &str) -> Value {
        json!({ "use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256", "n": self.modulus, "e": self.exponent })
    }

    pub(crate) fn sign(&self, kid: &str, claims: &Value) -> String {
        let header = Header {
            kid: Some(kid.to_owned()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }

    /// A token of these very texts.
    pub(crate) fn sign_text(&self, header: &str, claims: &str, algorithm: Algorithm) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, algorithm);
        format!("{message}.{}", signature.unwrap())
    }

    /// The private key in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

/// The cluster itself.
pub(crate) struct Cluster;

impl Cluster {
    /// What the access document says about the cluster.
    pub(crate) fn settings() -> Value {
        // A key of a kind that nobody knows yet must not take away the others.
        json!({
            "issuer": ISSUER,
            "jwks": { "keys": [{ "kty": "POST-QUANTUM", "kid": "new" }, KEY.jwk("k1")] },
            "audiences": ["registry.test"],
        })
    }

    /// The claims of a token of ServiceAccount `name` in namespace `ci`, as the API server makes them.
    pub(crate) fn claims(name: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({
            "iss": ISSUER, "sub": format!("system:serviceaccount:ci:{name}"), "aud": ["registry.test"],
            "exp": now + 600, "iat": now, "nbf": now, "jti": "x",
            "kubernetes.io": {
                "namespace": "ci", "serviceaccount": { "name": name, "uid": "u" },
                "pod": { "name": format!("{name}-0"), "uid": "p" }, "node": { "name": "node-1", "uid": "n" },
            },
        })
    }

    pub(crate) fn sign(claims: &Value) -> String {
        KEY.sign("k1", claims)
    }

    /// The key that it signs with.
    pub(crate) fn key() -> &'static SigningKey {
        &KEY
    }

    /// A token of ServiceAccount `name` in namespace `ci`.
    pub(crate) fn token_of(name: &str) -> String {
        Self::sign(&Self::claims(name))
    }
}
