//! [`ServiceAccounts`]: verifies tokens of a cluster's ServiceAccounts.

use registry_config::{Audience, AudienceRefusal, ServiceAccountTokens};
use registry_policy::ServiceAccount;
use serde::Deserialize;
use serde_json::Value;

use super::TokenError;
use super::foreign::ForeignKeys;
use super::verified::Verified;
use super::verify::CLOCK_SKEW;

/// About how many bytes the claims of a token take while they are remembered.
const WEIGHT: u32 = 1024;

/// What a document says about tokens of ServiceAccounts, with its keys ready for use.
#[derive(Debug)]
pub struct ServiceAccountIssuer {
    issuer: String,
    audiences: Vec<String>,
    keys: ForeignKeys,
    review: bool,
}

/// A ServiceAccount that was shown by its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownAccount {
    /// The ServiceAccount, and what the token is bound to.
    pub account: ServiceAccount,
    /// The instant from which on the token is refused, in seconds since 1970.
    pub expires: u64,
}

/// The claims that count (Kubernetes, "Managing Service Accounts").
#[derive(Debug, Deserialize)]
struct AccountClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    iat: u64,
    #[serde(rename = "kubernetes.io", default)]
    bound: Bound,
}

#[derive(Debug, Default, Deserialize)]
struct Bound {
    pod: Option<Named>,
    node: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

/// Verifies tokens of ServiceAccounts. What it remembers is only that a signature was right under a set of keys.
#[derive(Debug)]
pub struct ServiceAccounts {
    verified: Verified<AccountClaims>,
}

impl Default for ServiceAccounts {
    fn default() -> Self {
        Self {
            verified: Verified::new(|_: &AccountClaims| WEIGHT),
        }
    }
}

impl ServiceAccountIssuer {
    /// Prepares what a document says.
    pub fn new(tokens: &ServiceAccountTokens) -> Self {
        Self {
            issuer: tokens.issuer.clone(),
            audiences: tokens.audiences.clone(),
            keys: ForeignKeys::of(&tokens.jwks),
            review: tokens.review,
        }
    }

    /// The issuer's name.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What tokens are for, where the API server is to be asked about each of them too.
    pub(crate) fn reviewed_audiences(&self) -> Option<&[String]> {
        self.review.then_some(&self.audiences)
    }

    fn is_for_us(&self, claims: &AccountClaims) -> Result<(), TokenError> {
        let checked = claims.aud.check_account(&claims.iss, &self.audiences);
        checked.map_err(|why| match why {
            AudienceRefusal::TooMany => TokenError::Malformed,
            AudienceRefusal::ApiServer | AudienceRefusal::Other => TokenError::Audience,
        })?;
        if claims.iss == self.issuer {
            Ok(())
        } else {
            Err(TokenError::Audience)
        }
    }
}

impl ServiceAccounts {
    /// Whose token this is, at the instant `now`.
    ///
    /// # Errors
    /// Where it is not one of the issuer's for this registry, or not in its time.
    pub fn verify(&self, issuer: &ServiceAccountIssuer, token: &str, now: u64) -> Result<ShownAccount, TokenError> {
        let claims = self.verified.claims(&issuer.keys, token, |claims| {
            let claims = AccountClaims::deserialize(Value::Object(claims)).map_err(|_| TokenError::Malformed)?;
            issuer.is_for_us(&claims)?;
            Ok(claims)
        })?;
        // The settings may be others than when it was remembered.
        issuer.is_for_us(&claims)?;
        shown(&claims, now)
    }
}

/// Whom the claims are about, where `now` is in their time.
fn shown(claims: &AccountClaims, now: u64) -> Result<ShownAccount, TokenError> {
    if claims.exp <= now {
        return Err(TokenError::Expired);
    }
    if claims.nbf > now + CLOCK_SKEW || claims.iat > now + CLOCK_SKEW {
        return Err(TokenError::NotYet);
    }
    let (namespace, name) = ServiceAccount::names_in(&claims.sub).ok_or(TokenError::Malformed)?;
    Ok(ShownAccount {
        account: ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            pod: claims.bound.pod.as_ref().map(|pod| pod.name.clone()),
            node: claims.bound.node.as_ref().map(|node| node.name.clone()),
        },
        expires: claims.exp,
    })
}
