//! Refresh tokens: what a client keeps instead of a password, and exchanges for tokens. They are not kept here: what one says is checked
//! against the access document each time it comes.

use jsonwebtoken::{Algorithm, Header};
use registry_config::{AccessContent, IdentityEntry};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::TokenError;
use super::keys::Key;
use super::verify::{CLOCK_SKEW, is_in_force, lists, signed_by, uid};
use crate::access::Snapshot;

/// The type in the header (RFC 8725, section 3.11): a token that opens something is never taken for one of these, nor one of these for it.
const TYPE: &str = "refresh+jwt";

/// What a refresh token says. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshClaims {
    /// The registry that made it.
    iss: String,
    /// The username.
    sub: String,
    /// The token endpoint that it is for: whoever verifies tokens for the service itself takes it for none of them.
    aud: String,
    /// From this instant on it is refused.
    exp: u64,
    /// When it was made.
    iat: u64,
    /// Its own name.
    jti: String,
    /// The revision of the access document under which it was made.
    rev: u64,
    /// What tells the identity from a later one of the same name.
    uid: String,
    /// Which password it was given for: a truncated digest of its hash. It ends with that password.
    cred: String,
}

impl RefreshClaims {
    /// The revision of the access document under which it was made.
    pub(crate) fn revision(&self) -> u64 {
        self.rev
    }
}

/// Makes a refresh token for an identity that has shown the password `credential`, at the instant `now`; none where the access document
/// gives none.
///
/// # Errors
/// Where the key cannot sign.
pub(crate) fn issue(
    snapshot: &Snapshot,
    identity: &IdentityEntry,
    credential: &str,
    now: u64,
) -> Result<Option<String>, jsonwebtoken::errors::Error> {
    let content = &snapshot.access().content;
    let Some(lifetime) = content.token.refresh_lifetime else {
        return Ok(None);
    };
    let claims = RefreshClaims {
        iss: content.issuer.clone(),
        sub: identity.username.clone(),
        aud: audience(content),
        exp: now + lifetime.get().as_secs(),
        iat: now,
        jti: Uuid::new_v4().to_string(),
        rev: snapshot.revision(),
        uid: uid(identity).to_owned(),
        cred: credential.to_owned(),
    };
    let key = snapshot.keys().signing();
    jsonwebtoken::encode(&header(key), &claims, key.signing()).map(Some)
}

/// Checks form and signature of a refresh token, by the keys of `snapshot`. What it says is for [`check`].
///
/// # Errors
/// Where it was not made by a key of the document.
pub(crate) fn verify(snapshot: &Snapshot, token: &str) -> Result<RefreshClaims, TokenError> {
    let found = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
    let kid = found.kid.as_deref().ok_or(TokenError::Malformed)?;
    let key = snapshot.keys().find_for_refresh(kid).ok_or(TokenError::Key)?;
    if found != header(key) {
        return Err(TokenError::Malformed);
    }
    signed_by(key, token)
}

/// What a refresh token shows.
pub(crate) struct Shown<'s> {
    /// Whom it speaks for.
    pub(crate) identity: &'s IdentityEntry,
    /// The password that it was given for, as tokens name it.
    pub(crate) credential: String,
    /// When it ends, in seconds since 1970.
    pub(crate) ends: u64,
}

/// Checks what a refresh token says, under `snapshot` at the instant `now`.
///
/// # Errors
/// Where it is for another registry, its time is over, or the document does not list its password any more.
pub(crate) fn check(snapshot: &Snapshot, claims: RefreshClaims, now: u64) -> Result<Shown<'_>, TokenError> {
    let content = &snapshot.access().content;
    // Where none are given any more, none that were given count.
    let lifetime = content.token.refresh_lifetime.ok_or(TokenError::Revoked)?;
    if claims.iss != content.issuer || claims.aud != audience(content) {
        return Err(TokenError::Audience);
    }
    // A lifetime that was shortened counts for those that were given before.
    let ends = claims.exp.min(claims.iat.saturating_add(lifetime.get().as_secs()));
    if ends <= now {
        return Err(TokenError::Expired);
    }
    if claims.iat > now + CLOCK_SKEW {
        return Err(TokenError::NotYet);
    }
    let identity = snapshot.access().identity(&claims.sub).ok_or(TokenError::Revoked)?;
    let first = identity.tokens_from.max(content.token.refresh_from);
    let is_same = claims.uid == uid(identity) && claims.rev >= first;
    if !is_same || !is_in_force(identity, now) || !lists(identity, &claims.cred, now) {
        return Err(TokenError::Revoked);
    }
    Ok(Shown {
        identity,
        credential: claims.cred,
        ends,
    })
}

/// Whom refresh tokens are for.
fn audience(content: &AccessContent) -> String {
    format!("{}#refresh", content.service)
}

/// The only header that a refresh token has.
fn header(key: &Key) -> Header {
    Header {
        typ: Some(TYPE.to_owned()),
        kid: Some(key.kid().to_owned()),
        ..Header::new(Algorithm::ES256)
    }
}
