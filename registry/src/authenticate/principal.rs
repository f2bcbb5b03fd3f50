//! [`Principal`]: who is asking, and how that was shown.

use std::sync::Arc;

use registry_config::{ClientCertificate, IdentityEntry};
use registry_policy::{Oidc, ServiceAccount};

use crate::token::{AccessClaim, Claims};

/// Who is asking, as far as the credentials show.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The identity; `None` is an anonymous caller.
    pub username: Option<String>,
    /// How that was shown.
    pub proof: Proof,
    /// What somebody has vouched for whom the access document trusts.
    pub vouched: Option<Arc<Vouched>>,
    /// The certificate that the client has shown, whoever it says to be.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Principal {
    /// A caller who has shown nothing.
    pub const ANONYMOUS: Self = Self {
        username: None,
        proof: Proof::Nothing,
        vouched: None,
        certificate: None,
    };
}

/// What somebody else has vouched for: a proxy of ours, or an issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vouched {
    /// The identity, where the access document does not list it.
    pub identity: Option<IdentityEntry>,
    /// The ServiceAccount that a token was about.
    pub service_account: Option<ServiceAccount>,
    /// What an OpenID Connect token said.
    pub oidc: Option<Oidc>,
}

/// How a principal has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Not at all.
    Nothing,
    /// By a password; the name of the credential, as tokens give it.
    Password(String),
    /// By a refresh token.
    Refresh {
        /// The name of the password that it was given for.
        credential: String,
        /// When it ends, in seconds since 1970.
        ends: u64,
    },
    /// By a token of an issuer whom the access document trusts.
    Issuer {
        /// What kind of token: `serviceaccount` or `oidc`.
        credential: &'static str,
        /// When it ends, in seconds since 1970.
        expires: u64,
    },
    /// By a certificate, and nothing else.
    Certificate,
    /// By a trusted proxy, which has let them sign in.
    Proxy,
    /// By a token, which also bounds what may be done.
    Token(Arc<Claims>),
    /// By a token of the token server, which opens this at most.
    TokenServer(Arc<[AccessClaim]>),
}
