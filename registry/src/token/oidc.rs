//! [`OidcTokens`]: verifies OpenID Connect tokens of the issuers that a document names.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use moka::sync::Cache;
use registry_config::{OidcIssuer, SignatureAlgorithm};
use registry_policy::Oidc;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::TokenError;
use super::foreign::{ForeignClaims, ForeignKeys};
use super::verify::{CLOCK_SKEW, LONGEST_LIFE, REMEMBERED_BYTES, weight_of};
use crate::issuer_keys::IssuerKeys;

/// The longest subject, in bytes (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT: usize = 255;

/// Verifies tokens. What it remembers is only that a signature was right under a set of keys.
#[derive(Debug)]
pub struct OidcTokens {
    verified: Cache<[u8; 32], Arc<ForeignClaims>>,
    keys: Arc<IssuerKeys>,
}

/// Somebody who was shown by a token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShownSubject {
    /// Whom the token is about, and all that it says.
    pub(crate) oidc: Oidc,
    /// The instant from which on the token is refused, in seconds since 1970.
    pub(crate) expires: u64,
}

impl OidcTokens {
    /// Verifies tokens by keys that it asks for.
    pub fn new(keys: IssuerKeys) -> Self {
        Self {
            verified: Cache::builder()
                .weigher(|_, claims: &Arc<ForeignClaims>| weight_of(claims).saturating_add(256))
                .max_capacity(REMEMBERED_BYTES)
                .time_to_live(LONGEST_LIFE)
                .build(),
            keys: Arc::new(keys),
        }
    }

    /// Whom this token is about, at the instant `now`. `inline` are the issuer's keys where the document has them.
    pub(crate) async fn verify(
        &self,
        issuer: &OidcIssuer,
        inline: Option<&ForeignKeys>,
        token: &str,
        now: u64,
    ) -> Result<ShownSubject, TokenError> {
        let claims = match inline {
            Some(keys) => self.claims(issuer, keys, token)?,
            None => self.claims_by_published_keys(issuer, token).await?,
        };
        check(issuer, &claims, now)
    }

    async fn claims_by_published_keys(
        &self,
        issuer: &OidcIssuer,
        token: &str,
    ) -> Result<Arc<ForeignClaims>, TokenError> {
        let unavailable = |_| TokenError::IssuerUnavailable;
        let known = self.keys.of(issuer).await.map_err(unavailable)?;
        match self.claims(issuer, &known.keys, token) {
            // The issuer may have begun to sign with another.
            Err(TokenError::Key) => {
                let newer = self.keys.newer(issuer).await.map_err(unavailable)?;
                self.claims(issuer, &newer.keys, token)
            }
            claims => claims,
        }
    }

    fn claims(&self, issuer: &OidcIssuer, keys: &ForeignKeys, token: &str) -> Result<Arc<ForeignClaims>, TokenError> {
        if !issuer.algorithms.is_empty() {
            let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
            let mut allowed = issuer.algorithms.iter().copied().map(algorithm);
            if !allowed.any(|allowed| allowed == header.alg) {
                return Err(TokenError::Algorithm);
            }
        }
        let digest = Sha256::new()
            .chain_update(keys.fingerprint())
            .chain_update(token)
            .finalize()
            .into();
        if let Some(claims) = self.verified.get(&digest) {
            return Ok(claims);
        }
        let claims = Arc::new(keys.verify(token)?);
        // Only what is for this registry is remembered: an issuer makes tokens for whoever asks.
        is_for_us(issuer, &claims)?;
        self.verified.insert(digest, claims.clone());
        Ok(claims)
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

fn is_for_us(issuer: &OidcIssuer, claims: &ForeignClaims) -> Result<(), TokenError> {
    let is_theirs = claims.get("iss").and_then(Value::as_str) == Some(&issuer.issuer);
    if issuer.is_meant_by(claims) && is_theirs {
        Ok(())
    } else {
        Err(TokenError::Audience)
    }
}

/// Checks what the claims of a token say whose signature is right (OpenID Connect Core 1.0, section 3.1.3.7).
fn check(issuer: &OidcIssuer, claims: &ForeignClaims, now: u64) -> Result<ShownSubject, TokenError> {
    is_for_us(issuer, claims)?;
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
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    if subject.is_empty() || subject.len() > MAX_SUBJECT {
        return Err(TokenError::Malformed);
    }
    Ok(ShownSubject {
        oidc: Oidc {
            provider_name: issuer.name.clone(),
            issuer: issuer.issuer.clone(),
            subject: subject.to_owned(),
            claims: claims.clone(),
        },
        expires,
    })
}

/// A `NumericDate` (RFC 7519) in whole seconds, rounded down.
fn seconds(time: &Value) -> Option<u64> {
    time.as_u64().or_else(|| {
        let time = time.as_f64().filter(|time| (0.0..1e15).contains(time))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
        Some(time as u64)
    })
}
