//! [`TokenServer`]: whose tokens open a registry in place of its own.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{SecretFileReference, SignatureAlgorithm};

/// A server that clients sign in with and get tokens from, as for registries of CNCF Distribution with `auth.token`, such as `docker_auth`. Its tokens say who somebody is and what they may do at most; policies decide as they do about everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenServer {
    /// The URL that clients ask for tokens, such as `https://auth.example.com/token`. They send passwords there.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^https?://[^\s@#]+$"))]
    pub realm: String,
    /// What its tokens for this registry are for. Default `wharfinger.dev/<namespace>/<name>` of this Registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service: Option<String>,
    /// What it calls itself, exactly as tokens have it in `iss`.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// A Secret of this namespace with the keys that verify its tokens: certificates or public keys in PEM, or a JSON Web Key Set. It is of
    /// type `kubernetes.io/tls` or has the label `wharfinger.dev/credential: "true"`. A change is in force within a second.
    pub keys_secret_ref: SecretFileReference,
    /// How its tokens may be signed. Default: with any of these that the keys are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 9))]
    pub algorithms: Option<Vec<SignatureAlgorithm>>,
}
