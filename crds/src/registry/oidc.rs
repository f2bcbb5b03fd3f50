//! [`OidcIssuer`]: whose OpenID Connect tokens sign in to a registry.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::SecretFileReference;

/// An issuer of OpenID Connect tokens that sign people, or jobs of a CI system, in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcIssuer {
    /// Names the issuer here. Usernames and groups of its tokens begin with it and a `:`, so that they are nobody else's; `system` is
    /// taken.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[-a-z0-9]+$"))]
    #[x_kube(validation = Rule::new("self != 'system'").message("`system` is taken: usernames of ServiceAccounts begin with it"))]
    pub name: String,
    /// Its URL, exactly as tokens have it in `iss`, such as `https://token.actions.githubusercontent.com`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^https://[^\s@#]+$"))]
    #[serde(rename = "issuerURL")]
    pub issuer_url: String,
    /// What its tokens for this registry are for: one of these must be in `aud`.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 512)))]
    pub audiences: Vec<String>,
    /// What a token must say, all of it: without this, everybody whom the issuer knows would be somebody here, and of a public issuer
    /// that is everybody.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["claim".to_string()]))]
    pub required_claims: Vec<RequiredClaim>,
    /// A CEL expression over `claims` that gives the username, such as `claims.email`, for those whom no RegistryIdentity names.
    /// Default `claims.sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub username: Option<String>,
    /// A CEL expression over `claims` that gives the groups, such as `claims.groups`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub groups: Option<String>,
    /// How tokens may be signed. Default: with any of these that the issuer's keys are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 9))]
    pub algorithms: Option<Vec<SignatureAlgorithm>>,
    /// Where the issuer's keys are. Default: where its discovery document says.
    #[serde(default, rename = "jwksURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^https://[^\s@#]+$"))]
    pub jwks_url: Option<String>,
    /// A Secret of this namespace with the certificates, in PEM, of the authorities that the issuer's own certificate is from: of type
    /// `kubernetes.io/tls` or with the label `wharfinger.dev/credential: "true"`. Default: those that the registry's image brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities_secret_ref: Option<SecretFileReference>,
}

/// A claim that a token must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredClaim {
    /// Its name, such as `repository_owner`.
    #[schemars(length(min = 1, max = 128))]
    pub claim: String,
    /// It must be one of these, or be a list that has one. Numbers and booleans are compared as they are written in JSON.
    #[schemars(length(min = 1, max = 64), inner(length(max = 512)))]
    pub values: Vec<String>,
}

/// An algorithm that signs tokens (RFC 7518).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SignatureAlgorithm {
    /// RSA, PKCS #1, SHA-256.
    RS256,
    /// RSA, PKCS #1, SHA-384.
    RS384,
    /// RSA, PKCS #1, SHA-512.
    RS512,
    /// RSA, PSS, SHA-256.
    PS256,
    /// RSA, PSS, SHA-384.
    PS384,
    /// RSA, PSS, SHA-512.
    PS512,
    /// ECDSA, P-256, SHA-256.
    ES256,
    /// ECDSA, P-384, SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}
