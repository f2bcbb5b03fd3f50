//! [`Claims`]: what a token says.

use registry_policy::{Oidc, ServiceAccount};
use serde::{Deserialize, Serialize};

use super::Grant;

/// The claims of a token. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The registry that made it.
    pub iss: String,
    /// Whom it speaks for: a username, or empty for an anonymous caller.
    pub sub: String,
    /// The service that it is for.
    pub aud: String,
    /// From this instant on it is refused.
    pub exp: u64,
    /// Before this instant it is refused.
    pub nbf: u64,
    /// When it was made.
    pub iat: u64,
    /// Its own name.
    pub jti: String,
    /// The revision of the access document under which it was made.
    pub rev: u64,
    /// What tells the identity from a later one of the same name; absent for an anonymous caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Which credential it was given for: a truncated digest of its hash; absent for an anonymous caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cred: Option<String>,
    /// The ServiceAccount whose token it was given for, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<ServiceAccount>,
    /// What the OpenID Connect token said that it was given for, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<Oidc>,
    /// What it opens at most.
    pub access: Vec<AccessClaim>,
}

/// One resource that a token opens, in the format of the Docker token specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaim {
    /// `repository`, or `registry` for the catalog.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository, or `catalog`.
    pub name: String,
    /// `pull`, `push` and `delete`, or `*` for the catalog.
    pub actions: Vec<String>,
}

impl Claims {
    /// Whether it was given for a token of somebody else's.
    pub fn is_from_elsewhere(&self) -> bool {
        self.account.is_some() || self.oidc.is_some()
    }
}

/// Whether `access` opens `repository` for what `grant` stands for.
pub(crate) fn opens(access: &[AccessClaim], repository: &str, grant: Grant) -> bool {
    has(access, "repository", repository, grant.as_str())
}

/// Whether `access` opens the catalog.
pub(crate) fn opens_catalog(access: &[AccessClaim]) -> bool {
    has(access, "registry", "catalog", "*")
}

fn has(access: &[AccessClaim], kind: &str, name: &str, action: &str) -> bool {
    let mut matching = access
        .iter()
        .filter(|access| access.kind == kind && access.name == name);
    matching.any(|access| access.actions.iter().any(|granted| granted == action))
}
