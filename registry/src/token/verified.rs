//! [`Verified`]: which tokens of others had a right signature, so that a pull of many layers verifies one.

use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::TokenError;
use super::foreign::{ForeignClaims, ForeignKeys};
use super::verify::{LONGEST_LIFE, REMEMBERED_BYTES};

/// Tokens whose signature was right under a set of keys, with what was read of their claims. Nothing else is remembered of them.
pub(super) struct Verified<C>(Cache<[u8; 32], Arc<C>>);

impl<C> std::fmt::Debug for Verified<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verified")
    }
}

impl<C: Send + Sync + 'static> Verified<C> {
    /// Remembers a bounded number of bytes; `weight` is about how many the claims of a token take.
    pub(super) fn new(weight: impl Fn(&C) -> u32 + Send + Sync + 'static) -> Self {
        let cache = Cache::builder()
            .weigher(move |_, claims: &Arc<C>| weight(claims).saturating_add(256))
            .max_capacity(REMEMBERED_BYTES)
            .time_to_live(LONGEST_LIFE)
            .build();
        Self(cache)
    }

    /// The claims of a token, verified by `keys` now or before. `read` also tells whether it is for this registry: only those are
    /// remembered, because others make tokens for whoever asks.
    pub(super) fn claims(
        &self,
        keys: &ForeignKeys,
        token: &str,
        read: impl FnOnce(ForeignClaims) -> Result<C, TokenError>,
    ) -> Result<Arc<C>, TokenError> {
        let digest = Sha256::new()
            .chain_update(keys.fingerprint())
            .chain_update(token)
            .finalize()
            .into();
        if let Some(claims) = self.0.get(&digest) {
            return Ok(claims);
        }
        let claims = Arc::new(read(keys.verify(token)?)?);
        self.0.insert(digest, claims.clone());
        Ok(claims)
    }
}
