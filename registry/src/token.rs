//! The registry's own tokens: JWTs that say who asked and what for. Their cryptography, their claims, and what is asked
//! of the token endpoint; not what policy says.

mod claims;
mod keys;
mod scope;
mod verify;

pub use claims::{AccessClaim, Claims};
pub use keys::{Key, Keys};
pub use scope::{Grant, InvalidScope, Scope, ScopeTarget};
pub(crate) use verify::uid;
pub use verify::{TokenError, Tokens};
