//! [`TokenHolder`]: who the bearer of somebody else's token is to the registry.

use crate::IdentityEntry;

/// Who the bearer of a token is to the registry, where an issuer has made it whom the document trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenHolder<'a> {
    /// The identity that names whom the token is about.
    Identity(&'a IdentityEntry),
    /// Somebody whom no identity names, and whom the document admits all the same.
    Guest(Box<IdentityEntry>),
}

impl TokenHolder<'_> {
    /// The identity, listed or not.
    pub fn identity(&self) -> &IdentityEntry {
        match self {
            Self::Identity(identity) => identity,
            Self::Guest(identity) => identity,
        }
    }
}
