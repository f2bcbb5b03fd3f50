//! [`ForeignKeys`]: the keys of somebody else's tokens, from a JSON Web Key Set (RFC 7517).

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::TokenError;
use super::verify::signature_alone;

/// The longest token that is looked at, in bytes.
const MAX_LENGTH: usize = 16 * 1024;
/// How many keys of a set are used.
const MAX_KEYS: usize = 32;

/// The claims of a token whose signature is right. Nothing else about them was looked at.
pub(crate) type ForeignClaims = Map<String, Value>;

/// Keys that verify tokens of one issuer.
pub(crate) struct ForeignKeys {
    keys: Vec<ForeignKey>,
    fingerprint: [u8; 32],
}

struct ForeignKey {
    kid: Option<String>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

impl ForeignKeys {
    /// Takes the keys of a set that verify signatures with an algorithm that is known; others are passed over, because an
    /// issuer may add a key of a new kind at any time.
    pub(crate) fn of(jwks: &Value) -> Self {
        let keys = jwks.get("keys").and_then(Value::as_array).into_iter().flatten();
        Self {
            keys: keys.filter_map(ForeignKey::parse).take(MAX_KEYS).collect(),
            fingerprint: Sha256::digest(jwks.to_string()).into(),
        }
    }

    /// Whether there is no key that could verify anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Tells these keys from others.
    pub(super) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Checks the signature of a token by the key that its header names, and by no other.
    pub(super) fn verify(&self, token: &str) -> Result<ForeignClaims, TokenError> {
        if token.len() > MAX_LENGTH {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if is_critical(token) {
            return Err(TokenError::Critical);
        }
        let named = |key: &&ForeignKey| match (&header.kid, &key.kid) {
            (Some(wanted), Some(kid)) => wanted == kid,
            // An issuer of a single key need not name it.
            (None, _) => self.keys.len() == 1,
            (Some(_), None) => false,
        };
        let key = self.keys.iter().find(named).ok_or(TokenError::Key)?;
        // The key says which algorithms there may be; the header only chooses among them.
        if !key.algorithms.contains(&header.alg) {
            return Err(TokenError::Malformed);
        }
        jsonwebtoken::decode::<ForeignClaims>(token, &key.key, &signature_alone(header.alg))
            .map(|decoded| decoded.claims)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenError::Signature,
                _ => TokenError::Malformed,
            })
    }
}

impl ForeignKey {
    fn parse(jwk: &Value) -> Option<Self> {
        if jwk.get("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let declared = match jwk.get("alg").and_then(Value::as_str) {
            Some(name) => Some(Algorithm::from_str(name).ok()?),
            None => None,
        };
        let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
        let algorithms = algorithms(&jwk.algorithm, declared)?;
        Some(Self {
            kid: jwk.common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}

/// The algorithms of a kind of key. A shared secret is no key of ours to have.
fn algorithms(parameters: &AlgorithmParameters, declared: Option<Algorithm>) -> Option<&'static [Algorithm]> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let all: &'static [Algorithm] = match parameters {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => &[EdDSA],
        _ => return None,
    };
    match declared {
        None => Some(all),
        Some(only) => all
            .iter()
            .position(|algorithm| *algorithm == only)
            .map(|at| &all[at..=at]),
    }
}

impl std::fmt::Debug for ForeignKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kids: Vec<_> = self.keys.iter().map(|key| key.kid.as_deref().unwrap_or("-")).collect();
        f.debug_tuple("ForeignKeys").field(&kids).finish()
    }
}

/// Whether a header says that it must be understood in a way that is not known here (RFC 7515, section 4.1.11).
fn is_critical(token: &str) -> bool {
    let header = token
        .split('.')
        .next()
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let header = header.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    header.is_none_or(|header| header.get("crit").is_some())
}

/// Who a token says it is from, before anything of it is believed: it only tells whose keys to try.
pub(crate) fn claimed_issuer(token: &str) -> Option<String> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    payload.get("iss")?.as_str().map(str::to_owned)
}
