//! Tokens: the registry's own, JWTs that say who asked and what for, and those of others that it believes. Their
//! cryptography, their claims, and what is asked of the token endpoint; not what policy says.

mod claims;
mod foreign;
mod keys;
mod oidc;
pub(crate) mod refresh;
mod review;
mod scope;
mod server;
mod service_account;
mod verified;
mod verify;

pub use claims::{AccessClaim, Claims};
pub(crate) use claims::{opens, opens_catalog};
pub(crate) use foreign::{ForeignKeys, claimed_issuer};
pub use keys::{Key, Keys};
pub use oidc::OidcTokens;
pub use review::{Connect, Reviews};
pub use scope::{Grant, InvalidScope, Scope, ScopeTarget};
pub use server::ServerTokens;
pub(crate) use server::TrustedServer;
pub use service_account::{ServiceAccountIssuer, ServiceAccounts, ShownAccount};
pub(crate) use verify::uid;
pub use verify::{Holder, TokenError, Tokens};
