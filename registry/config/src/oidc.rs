//! [`OidcIssuer`]: whose OpenID Connect tokens are accepted, and who their bearers are.

mod provider;

use serde::{Deserialize, Serialize};

pub use provider::{OidcProvider, OidcRefusal};

/// An issuer of OpenID Connect tokens that sign people, or jobs of a CI system, in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcIssuer {
    /// Names the issuer here: lower-case letters, digits and `-`, not `system`. Usernames and groups of its tokens begin with it and
    /// a `:`, so that they are nobody else's. Unique.
    pub name: String,
    /// Its URL, exactly as tokens have it in `iss`; `https`, or `http` on this very machine. Unique.
    pub issuer: String,
    /// A token must be for one of these.
    pub audiences: Vec<String>,
    /// What a token must say, all of it: without this, everybody whom the issuer knows would be somebody here, and of a public issuer
    /// that is everybody.
    pub required_claims: Vec<RequiredClaim>,
    /// A CEL expression over `claims` that gives the username, to which the prefix is added. It is for those whom no
    /// identity names. Default `claims.sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A CEL expression over `claims` that gives the groups, to which the prefix is added. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<String>,
    /// How tokens may be signed. Default: with any of them that the issuer's keys are for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Where the issuer's keys are, a JSON Web Key Set (RFC 7517). Default: where its discovery document says (OpenID
    /// Connect Discovery 1.0).
    #[serde(default, rename = "jwksURL", skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The issuer's keys themselves; then nobody is asked for them. Not together with `jwksURL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<serde_json::Value>,
    /// The certificates, in PEM, of the authorities that the issuer's own certificate is from. Default: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
}

/// A claim that a token must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequiredClaim {
    /// Its name.
    pub claim: String,
    /// It must be one of these, or be a list that has one. Numbers and booleans are compared as they are written in JSON.
    pub values: Vec<String>,
}

/// An algorithm that signs tokens (RFC 7518). None that needs a shared secret is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of RFC 7518")]
pub enum SignatureAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Names somebody of an issuer who is an identity of the registry. It is [`registry_policy::OidcSubject`], which policies name
/// people by.
pub use registry_policy::OidcSubject;
