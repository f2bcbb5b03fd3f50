//! [`Tokens`]: makes tokens and tells whether they are to be believed.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation};
use moka::sync::Cache;
use registry_config::{AccountHolder, IdentityEntry};
use registry_policy::ServiceAccount;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

use super::{AccessClaim, Claims};
use crate::access::Snapshot;
use crate::password::credential;

/// How many tokens are remembered whose signature was right.
const REMEMBERED: u64 = 20_000;
/// How far the clock of another replica may be ahead, in seconds. It counts for the beginning of a token, so that a
/// fresh one is good on every replica at once, never for its end.
pub(super) const CLOCK_SKEW: u64 = 60;

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of this registry's form.
    #[error("the token cannot be read")]
    Malformed,
    /// No key of the access document has signed it.
    #[error("the token is signed by a key that is not in use")]
    Key,
    /// Its signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// It is for another registry or another service.
    #[error("the token is for another registry")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// Nobody of this registry stands for its ServiceAccount.
    #[error("no identity of this registry names the ServiceAccount of the token")]
    Unmapped,
    /// Its identity does not exist any more, or its tokens were revoked.
    #[error("the token was revoked")]
    Revoked,
}

/// Whom a token is made for.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// The identity.
    pub identity: &'a IdentityEntry,
    /// The name of the credential that they came with.
    pub credential: &'a str,
    /// The ServiceAccount whose token that was, where it was one.
    pub account: Option<&'a ServiceAccount>,
    /// When that credential ends, in seconds since 1970, where it does: a token made for it ends no later.
    pub ends: Option<u64>,
}

/// Makes and verifies tokens. What it remembers is only that a signature was right under a key; whether that key is
/// still in use, and everything that the claims say, is looked at anew each time.
#[derive(Debug)]
pub struct Tokens {
    verified: Cache<[u8; 32], Arc<Claims>>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            verified: Cache::new(REMEMBERED),
        }
    }
}

impl Tokens {
    /// Makes a token under the document `snapshot` at the instant `now`, for somebody or for an anonymous
    /// caller.
    ///
    /// # Errors
    /// Where the key cannot sign.
    pub fn issue(
        &self,
        snapshot: &Snapshot,
        holder: Option<Holder<'_>>,
        access: Vec<AccessClaim>,
        now: u64,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let content = &snapshot.access().content;
        let exp = now + content.token.lifetime.get().as_secs();
        let claims = Claims {
            iss: content.issuer.clone(),
            sub: holder
                .map(|holder| holder.identity.username.clone())
                .unwrap_or_default(),
            aud: content.service.clone(),
            exp: holder.and_then(|holder| holder.ends).map_or(exp, |end| end.min(exp)),
            nbf: now,
            iat: now,
            jti: Uuid::new_v4().to_string(),
            rev: snapshot.revision(),
            uid: holder.map(|holder| uid(holder.identity).to_owned()),
            cred: holder.map(|holder| holder.credential.to_owned()),
            account: holder.and_then(|holder| holder.account.cloned()),
            access,
        };
        let key = snapshot.keys().signing();
        jsonwebtoken::encode(&header(key.kid()), &claims, key.signing())
    }

    /// Checks form and signature of a token, by the keys of `snapshot`. What its claims say is for [`check`].
    ///
    /// [`check`]: Self::check
    ///
    /// # Errors
    /// Where the token was not made by a key of the document.
    pub fn verify(&self, snapshot: &Snapshot, token: &str) -> Result<Arc<Claims>, TokenError> {
        let found = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let kid = found.kid.as_deref().ok_or(TokenError::Malformed)?;
        // Whatever else a header may say, such as where a key could be found, no token of ours says.
        if found != header(kid) {
            return Err(TokenError::Malformed);
        }
        let key = snapshot.keys().find(kid).ok_or(TokenError::Key)?;
        let digest = Sha256::new()
            .chain_update(key.fingerprint())
            .chain_update(token)
            .finalize()
            .into();
        if let Some(claims) = self.verified.get(&digest) {
            return Ok(claims);
        }
        let mut validation = Validation::new(Algorithm::ES256);
        // The signature alone is looked at here: the rest may be different at the next request.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let decoded =
            jsonwebtoken::decode::<Claims>(token, key.verifying(), &validation).map_err(|error| {
                match error.kind() {
                    jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenError::Signature,
                    _ => TokenError::Malformed,
                }
            })?;
        let claims = Arc::new(decoded.claims);
        self.verified.insert(digest, claims.clone());
        Ok(claims)
    }

    /// Checks what the claims of a verified token say, under `snapshot` at the instant `now`, and finds whom it speaks
    /// for: `None` is an anonymous caller.
    ///
    /// # Errors
    /// Where the token is for another registry, its time is over, or it was revoked.
    pub fn check<'s>(
        snapshot: &'s Snapshot,
        claims: &Claims,
        now: u64,
    ) -> Result<Option<AccountHolder<'s>>, TokenError> {
        let content = &snapshot.access().content;
        if claims.iss != content.issuer || claims.aud != content.service {
            return Err(TokenError::Audience);
        }
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        if claims.nbf > now + CLOCK_SKEW || claims.iat > now + CLOCK_SKEW {
            return Err(TokenError::NotYet);
        }
        if claims.sub.is_empty() {
            return if claims.uid.is_none() {
                Ok(None)
            } else {
                Err(TokenError::Malformed)
            };
        }
        let holder = match &claims.account {
            // Who stands for the ServiceAccount now decides, as if its own token came.
            Some(account) => snapshot.access().account_holder(account),
            None => snapshot.access().identity(&claims.sub).map(AccountHolder::Identity),
        };
        let holder = holder.ok_or(TokenError::Revoked)?;
        let identity = holder.identity();
        if identity.username != claims.sub {
            return Err(TokenError::Revoked);
        }
        // What cannot be converted was before 1970.
        let is_over = |end: Timestamp| u64::try_from(end.as_second()).map_or(true, |end| end <= now);
        if identity.not_after.is_some_and(is_over) {
            return Err(TokenError::Revoked);
        }
        if claims.uid.as_deref() != Some(uid(identity)) || claims.rev < identity.tokens_from {
            return Err(TokenError::Revoked);
        }
        let is_listed = |cred: &str| {
            let mut valid = identity
                .passwords
                .iter()
                .filter(|entry| !entry.not_after.is_some_and(is_over));
            valid.any(|entry| credential(entry) == cred)
        };
        if identity.revoke_tokens_on_change
            && claims.account.is_none()
            && !claims.cred.as_deref().is_some_and(is_listed)
        {
            return Err(TokenError::Revoked);
        }
        Ok(Some(holder))
    }
}

/// The only header that a token of ours has.
fn header(kid: &str) -> Header {
    Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::ES256)
    }
}

/// What tells an identity from a later one of the same name.
pub(crate) fn uid(identity: &IdentityEntry) -> &str {
    identity.uid.as_deref().unwrap_or(&identity.username)
}
