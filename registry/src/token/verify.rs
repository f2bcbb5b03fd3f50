//! [`Tokens`]: makes tokens and tells whether they are to be believed.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation};
use moka::sync::Cache;
use registry_config::{IdentityEntry, OidcRefusal, TokenHolder};
use registry_policy::{Oidc, ServiceAccount};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use super::{AccessClaim, Claims, Key};
use crate::access::Snapshot;
use crate::password::credential;

/// How many bytes of tokens are remembered whose signature was right, and for how long: no token lives longer.
pub(super) const REMEMBERED_BYTES: u64 = 32 * 1024 * 1024;
pub(super) const LONGEST_LIFE: Duration = Duration::from_secs(60 * 60);
/// How far the clock of another replica may be ahead, in seconds. It counts for the beginning of a token, so that a
/// fresh one is good on every replica at once, never for its end.
pub(super) const CLOCK_SKEW: u64 = 60;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// Somebody has made it whose tokens are not accepted here.
    #[error(
        "the token is of an issuer that this registry does not know: its `iss` is neither the registry's own nor one of the settings"
    )]
    Issuer,
    /// It is for another registry or another service.
    #[error("the token is for another registry")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is signed in a way that its issuer is not believed in.
    #[error("the token is signed with an algorithm that is not accepted from its issuer")]
    Algorithm,
    /// It has an extension that must be understood, and is not.
    #[error("the token has a `crit` header, and no extension is known here")]
    Critical,
    /// It is of a type that signs nobody in.
    #[error("the token is not one to sign in with: its type is that of another kind of message")]
    Type,
    /// Its issuer cannot be asked now, for keys or whether it is still good, so nobody can tell.
    #[error("the issuer of the token cannot be asked now: try again soon")]
    IssuerUnavailable,
    /// What it says makes its bearer nobody here.
    #[error(transparent)]
    Claims(#[from] OidcRefusal),
    /// It names somebody who cannot be anybody here.
    #[error(
        "the token is for somebody whose name cannot be a username: it is longer than 255 bytes, is `token`, or has a `:` or control character"
    )]
    Subject,
    /// The cluster does not believe it any more.
    #[error("the cluster does not believe the token any more: its Pod or ServiceAccount may be gone")]
    Reviewed,
    /// Nobody of this registry stands for its ServiceAccount.
    #[error("no identity of this registry names the ServiceAccount of the token")]
    Unmapped,
    /// Its identity does not exist any more, or its tokens were revoked.
    #[error("the token was revoked")]
    Revoked,
}

impl TokenError {
    /// Why a token of ours cannot be decoded.
    #[expect(clippy::needless_pass_by_value, reason = "this is what `map_err` gives")]
    pub(super) fn of(error: jsonwebtoken::errors::Error) -> Self {
        match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => Self::Signature,
            _ => Self::Malformed,
        }
    }
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
    /// What the OpenID Connect token said that it was, where it was one.
    pub oidc: Option<&'a Oidc>,
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
            verified: Cache::builder()
                .weigher(|_, claims: &Arc<Claims>| weight(claims))
                .max_capacity(REMEMBERED_BYTES)
                .time_to_live(LONGEST_LIFE)
                .build(),
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
            oidc: holder.and_then(|holder| holder.oidc.cloned()),
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
        let claims = Arc::new(signed_by::<Claims>(key, token)?);
        self.verified.insert(digest, claims.clone());
        Ok(claims)
    }

    /// Checks what the claims of a verified token say, under `snapshot` at the instant `now`, and finds whom it speaks
    /// for: `None` is an anonymous caller.
    ///
    /// # Errors
    /// Where the token is for another registry, its time is over, or it was revoked.
    pub fn check<'s>(snapshot: &'s Snapshot, claims: &Claims, now: u64) -> Result<Option<TokenHolder<'s>>, TokenError> {
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
        let access = snapshot.access();
        let holder = match (&claims.account, &claims.oidc) {
            // Who stands for the ServiceAccount now decides, as if its own token came; and likewise what is made of the claims.
            (Some(account), _) => access.account_holder(account),
            (None, Some(oidc)) => access.oidc_holder(oidc).ok(),
            (None, None) => access.identity(&claims.sub).map(TokenHolder::Identity),
        };
        let holder = holder.ok_or(TokenError::Revoked)?;
        let identity = holder.identity();
        if identity.username != claims.sub {
            return Err(TokenError::Revoked);
        }
        if !is_in_force(identity, now) {
            return Err(TokenError::Revoked);
        }
        if claims.uid.as_deref() != Some(uid(identity)) || claims.rev < identity.tokens_from {
            return Err(TokenError::Revoked);
        }
        if identity.revoke_tokens_on_change
            && !claims.is_from_elsewhere()
            && !claims.cred.as_deref().is_some_and(|cred| lists(identity, cred, now))
        {
            return Err(TokenError::Revoked);
        }
        Ok(Some(holder))
    }
}

/// What a token says, where a key of ours has signed it. The signature alone is looked at: the rest may be different at the next request.
pub(super) fn signed_by<C: DeserializeOwned>(key: &Key, token: &str) -> Result<C, TokenError> {
    let decoded = jsonwebtoken::decode(token, key.verifying(), &signature_alone(Algorithm::ES256));
    decoded.map(|decoded| decoded.claims).map_err(TokenError::of)
}

/// A check of nothing but the signature, by an algorithm.
pub(super) fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

/// Whether an instant, in seconds since 1970, is `end` or later.
fn is_over(end: Timestamp, now: u64) -> bool {
    // What cannot be converted was before 1970.
    u64::try_from(end.as_second()).map_or(true, |end| end <= now)
}

/// Whether anybody can sign in as an identity.
pub(super) fn is_in_force(identity: &IdentityEntry, now: u64) -> bool {
    !identity.not_after.is_some_and(|end| is_over(end, now))
}

/// Whether an identity still has the password that a token calls `name`.
pub(super) fn lists(identity: &IdentityEntry, name: &str, now: u64) -> bool {
    let mut valid = identity
        .passwords
        .iter()
        .filter(|entry| !entry.not_after.is_some_and(|end| is_over(end, now)));
    valid.any(|entry| credential(entry) == name)
}

/// About how many bytes a token takes while it is remembered.
fn weight(claims: &Claims) -> u32 {
    let foreign = claims.oidc.as_ref().map_or(0, |oidc| weight_of(&oidc.claims));
    foreign.saturating_add(1024)
}

/// About how many bytes claims take: parsed, each has its own pieces of memory.
pub(super) fn weight_of(claims: &serde_json::Map<String, serde_json::Value>) -> u32 {
    let written = serde_json::to_vec(claims).map_or(0, |text| text.len());
    u32::try_from(written.saturating_mul(4)).unwrap_or(u32::MAX)
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
