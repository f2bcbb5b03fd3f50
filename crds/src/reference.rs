//! References from one object to another.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names a Registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryReference {
    /// Name of the Registry.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// Namespace of the Registry. Default: the object's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Names a Registry that a policy applies to.
pub type TargetReference = RegistryReference;

/// Names a key of a Secret in the object's own namespace.
///
/// The Secret is of type `wharfinger.dev/credential` or carries the label `wharfinger.dev/credential: "true"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// Name of the Secret.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// Key within the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Names somebody whom an issuer of OpenID Connect tokens knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcSubject {
    /// The URL of the issuer, exactly as its tokens have it in `iss`.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// The subject, as tokens have it in `sub`.
    #[schemars(length(min = 1, max = 255))]
    pub subject: String,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}
