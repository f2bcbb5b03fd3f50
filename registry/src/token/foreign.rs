//! [`ForeignKeys`]: the keys of somebody else's tokens, from a JSON Web Key Set (RFC 7517).

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use registry_config::SignatureAlgorithm;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::TokenError;
use super::verify::{CLOCK_SKEW, signature_alone};

/// The longest token that is looked at, in bytes.
const MAX_LENGTH: usize = 16 * 1024;
/// How many keys of a set are used.
const MAX_KEYS: usize = 32;

/// The claims of a token whose signature is right. Nothing else about them was looked at.
pub(crate) type ForeignClaims = Map<String, Value>;

/// Keys that verify tokens of one issuer.
pub(crate) struct ForeignKeys {
    keys: Vec<ForeignKey>,
    /// Whether a key without a name may have signed any token.
    nameless_sign: bool,
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
            nameless_sign: false,
            fingerprint: Sha256::digest(jwks.to_string()).into(),
        }
    }

    /// The same keys, of which one without a name may have signed a token whatever that calls its key.
    pub(crate) fn with_nameless(self) -> Self {
        Self {
            nameless_sign: true,
            ..self
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

    /// Checks the signature of a token by the key that its header names, and by no other; where some without a name may have, by those.
    pub(super) fn verify(&self, token: &str) -> Result<ForeignClaims, TokenError> {
        if token.len() > MAX_LENGTH {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if is_critical(token) {
            return Err(TokenError::Critical);
        }
        if header.typ.as_deref().is_some_and(is_for_something_else) {
            return Err(TokenError::Type);
        }
        let named = |key: &&ForeignKey| match (&header.kid, &key.kid) {
            (_, None) if self.nameless_sign => true,
            (Some(wanted), Some(kid)) => wanted == kid,
            // An issuer of a single key need not name it.
            (None, _) => self.keys.len() == 1,
            (Some(_), None) => false,
        };
        let mut refusal = TokenError::Key;
        // One, where all have names.
        for key in self.keys.iter().filter(named) {
            match key.verify(token, header.alg) {
                Ok(claims) => return Ok(claims),
                // That a signature is wrong says more than that it is of another kind.
                Err(_) if refusal == TokenError::Signature => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
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

    fn verify(&self, token: &str, algorithm: Algorithm) -> Result<ForeignClaims, TokenError> {
        // The key says which algorithms there may be; the header only chooses among them.
        if !self.algorithms.contains(&algorithm) {
            return Err(TokenError::Malformed);
        }
        jsonwebtoken::decode::<ForeignClaims>(token, &self.key, &signature_alone(algorithm))
            .map(|decoded| decoded.claims)
            .map_err(TokenError::of)
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

/// Whether a type in a header is that of tokens which sign nobody in, such as `logout+jwt`, though the same issuer has signed them
/// (RFC 8725, section 3.11). An access token (RFC 9068) is not, and plain types have no meaning.
fn is_for_something_else(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    kind.ends_with("+jwt") && kind != "at+jwt"
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

/// Whether a token is signed in a way that is accepted: any, where none is named.
pub(super) fn check_algorithm(accepted: &[SignatureAlgorithm], token: &str) -> Result<(), TokenError> {
    if accepted.is_empty() {
        return Ok(());
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    if accepted.iter().any(|accepted| algorithm(*accepted) == header.alg) {
        Ok(())
    } else {
        Err(TokenError::Algorithm)
    }
}

fn algorithm(allowed: SignatureAlgorithm) -> Algorithm {
    match allowed {
        SignatureAlgorithm::RS256 => Algorithm::RS256,
        SignatureAlgorithm::RS384 => Algorithm::RS384,
        SignatureAlgorithm::RS512 => Algorithm::RS512,
        SignatureAlgorithm::PS256 => Algorithm::PS256,
        SignatureAlgorithm::PS384 => Algorithm::PS384,
        SignatureAlgorithm::PS512 => Algorithm::PS512,
        SignatureAlgorithm::ES256 => Algorithm::ES256,
        SignatureAlgorithm::ES384 => Algorithm::ES384,
        SignatureAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

/// Checks that the instant `now` is in the time of a token, and gives the one from which on it is refused; in seconds since 1970.
pub(super) fn check_times(claims: &ForeignClaims, now: u64) -> Result<u64, TokenError> {
    // A time that stands there must be one: what cannot be read is no bound.
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(time) => seconds(time).map(Some).ok_or(TokenError::Malformed),
    };
    let expires = time("exp")?.ok_or(TokenError::Malformed)?;
    if expires <= now {
        return Err(TokenError::Expired);
    }
    for name in ["nbf", "iat"] {
        if time(name)?.is_some_and(|begin| begin > now + CLOCK_SKEW) {
            return Err(TokenError::NotYet);
        }
    }
    Ok(expires)
}

/// A `NumericDate` (RFC 7519) in whole seconds, rounded down.
fn seconds(time: &Value) -> Option<u64> {
    time.as_u64().or_else(|| {
        let time = time.as_f64().filter(|time| (0.0..1e15).contains(time))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
        Some(time as u64)
    })
}
