//! [`OidcTokens`]: verifies OpenID Connect tokens of the issuers that a document names.

use std::sync::Arc;

use registry_config::OidcIssuer;
use registry_policy::Oidc;
use serde_json::Value;

use super::TokenError;
use super::foreign::{ForeignClaims, ForeignKeys, check_algorithm, check_times};
use super::verified::Verified;
use super::verify::weight_of;
use crate::issuer_keys::IssuerKeys;

/// The longest subject, in bytes (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT: usize = 255;

/// Verifies tokens. What it remembers is only that a signature was right under a set of keys.
#[derive(Debug)]
pub struct OidcTokens {
    verified: Verified<ForeignClaims>,
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
            verified: Verified::new(weight_of),
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
        check_algorithm(&issuer.algorithms, token)?;
        self.verified.claims(keys, token, |claims| {
            is_for_us(issuer, &claims)?;
            Ok(claims)
        })
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
    let expires = check_times(claims, now)?;
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
