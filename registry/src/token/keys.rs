//! The keys that sign and verify tokens: ES256 only.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use registry_config::{Problem, TokenKey, TokenSettings};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A key pair with the name that tokens know it by.
pub struct Key {
    kid: String,
    /// The public point, as a JSON Web Key writes it (RFC 7518, section 6.2.1).
    point: [String; 2],
    signing: EncodingKey,
    verifying: DecodingKey,
    fingerprint: [u8; 32],
    refresh_only: bool,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is not PKCS #8 in PEM.
    #[error("not a private key in PKCS #8 PEM (`-----BEGIN PRIVATE KEY-----`)")]
    Pem,
    /// The key is of another kind.
    #[error("not a P-256 private key; make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`")]
    Curve,
    /// The system gave no random numbers.
    #[error("cannot make a key")]
    Random,
}

impl Key {
    /// Makes a key, named by its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let pkcs8 = pkcs8.map_err(|_| KeyError::Random)?;
        let mut key = Self::new(String::new(), EncodingKey::from_ec_der(pkcs8.as_ref()))?;
        key.kid = URL_SAFE_NO_PAD.encode(key.fingerprint);
        Ok(key)
    }

    fn parse(key: &TokenKey) -> Result<Self, KeyError> {
        let signing = EncodingKey::from_ec_pem(key.private_key.as_bytes()).map_err(|_| KeyError::Pem)?;
        let parsed = Self::new(key.kid.clone(), signing)?;
        Ok(Self {
            refresh_only: key.refresh_only,
            ..parsed
        })
    }

    fn new(kid: String, signing: EncodingKey) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, signing.as_bytes());
        let pair = pair.map_err(|_| KeyError::Curve)?;
        // An uncompressed point: 0x04, then 32 bytes each of x and y.
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
        Ok(Self {
            kid,
            signing,
            verifying: DecodingKey::from_ec_der(point),
            fingerprint: thumbprint.into(),
            point: [x, y],
            refresh_only: false,
        })
    }

    /// The name in the header of tokens.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half (RFC 7517, section 4).
    fn published(&self) -> Value {
        let [x, y] = &self.point;
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig", "alg": "ES256" })
    }

    pub(super) fn signing(&self) -> &EncodingKey {
        &self.signing
    }

    pub(super) fn verifying(&self) -> &DecodingKey {
        &self.verifying
    }

    /// Tells the key from another of the same name.
    pub(super) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The keys of an access document: the first signs, all verify.
#[derive(Debug)]
pub struct Keys(Vec<Arc<Key>>);

impl Keys {
    /// Takes the keys of a document, or `own_key` where it has none.
    pub(crate) fn new(settings: &TokenSettings, own_key: &Arc<Key>) -> Result<Self, Problem> {
        let mut keys = Vec::with_capacity(settings.keys.len());
        for (index, key) in settings.keys.iter().enumerate() {
            let at = |field: &str| format!("token.keys[{index}].{field}");
            if index == 0 && key.refresh_only {
                let message = "the first key signs, and nobody would believe what it has signed; put another before it";
                return Err(Problem::new(at("refreshOnly"), message));
            }
            if settings.keys[..index].iter().any(|other| other.kid == key.kid) {
                let message = format!("`{}` is the name of another key already", key.kid);
                return Err(Problem::new(at("kid"), message));
            }
            let key = Key::parse(key).map_err(|error| Problem::new(at("privateKey"), error))?;
            keys.push(Arc::new(key));
        }
        if keys.is_empty() {
            keys.push(own_key.clone());
        }
        Ok(Self(keys))
    }

    pub(super) fn signing(&self) -> &Key {
        // There is always one: see `new`.
        &self.0[0]
    }

    /// What others need to verify tokens of this registry: a JSON Web Key Set (RFC 7517, section 5) of the public halves. A key is in it
    /// before it signs, and for as long as a token lives that it has signed; refresh tokens are nobody else's business.
    pub fn published(&self) -> Value {
        let keys = self.0.iter().filter(|key| !key.refresh_only);
        json!({ "keys": keys.map(|key| key.published()).collect::<Vec<_>>() })
    }

    /// The key of a token that opens something.
    pub(super) fn find(&self, kid: &str) -> Option<&Arc<Key>> {
        self.find_for_refresh(kid).filter(|key| !key.refresh_only)
    }

    /// The key of a refresh token.
    pub(super) fn find_for_refresh(&self, kid: &str) -> Option<&Arc<Key>> {
        self.0.iter().find(|key| key.kid == kid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(keys: Vec<TokenKey>) -> TokenSettings {
        TokenSettings {
            keys,
            ..TokenSettings::default()
        }
    }

    #[test]
    fn a_document_without_keys_uses_the_registrys_own() {
        let own = Arc::new(Key::generate().unwrap());
        let keys = Keys::new(&settings(vec![]), &own).unwrap();
        assert_eq!(keys.signing().kid(), own.kid());
        assert_eq!(own.kid().len(), 43);
        assert!(keys.find("other").is_none());
    }

    #[test]
    fn the_first_key_signs_and_each_has_a_name_of_its_own() {
        let own = Arc::new(Key::generate().unwrap());
        let key = |kid: &str, refresh_only| TokenKey {
            kid: kid.to_owned(),
            private_key: rcgen::KeyPair::generate().unwrap().serialize_pem(),
            refresh_only,
        };
        for (keys, problem) in [
            (vec![key("a", false), key("b", true)], None),
            (vec![key("a", true), key("b", false)], Some("token.keys[0].refreshOnly")),
            (vec![key("a", false), key("a", false)], Some("token.keys[1].kid")),
        ] {
            let found = Keys::new(&settings(keys), &own).err().map(|found| found.path);
            assert_eq!(found.as_deref(), problem);
        }
    }

    #[test]
    fn a_key_that_cannot_sign_is_a_problem_of_the_document() {
        let own = Arc::new(Key::generate().unwrap());
        let key = TokenKey {
            kid: "k".to_owned(),
            private_key: "secret text".to_owned(),
            refresh_only: false,
        };
        let problem = Keys::new(&settings(vec![key]), &own).unwrap_err();
        assert_eq!(problem.path, "token.keys[0].privateKey");
        assert!(!problem.message.contains("secret text"), "{problem}");
    }
}
