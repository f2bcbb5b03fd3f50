//! [`RegistryIdentity`]: somebody who may sign in to a registry.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::reference::{RegistryReference, SecretKeyReference};

/// Somebody who may sign in to a Registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "wharfinger.dev",
    version = "v1alpha1",
    kind = "RegistryIdentity",
    plural = "registryidentities",
    shortname = "regid",
    category = "wharfinger",
    namespaced,
    status = "RegistryIdentityStatus",
    derive = "PartialEq",
    doc = "Somebody who may sign in to a Registry.",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.registryRef.name"),
    printcolumn(name = "Username", type_ = "string", json_path = ".status.username"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("has(self.spec.username) || (self.metadata.name != 'token' && size(self.metadata.name) <= 128)").message("the name of this object cannot be a username; set `spec.username`, for example `username: alice`")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.registryRef == oldSelf.registryRef").message("registryRef cannot be changed; delete the identity and make another"),
    validation = Rule::new("has(self.username) == has(oldSelf.username) && (!has(self.username) || self.username == oldSelf.username)").message("username cannot be changed; delete the identity and make another")
)]
pub struct RegistryIdentitySpec {
    /// The Registry to sign in to. Cannot be changed.
    pub registry_ref: RegistryReference,
    /// The name to sign in with; `:` and the name `token` are not possible. Default: the object's name. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^:\x00-\x1f\x7f]+$"))]
    #[x_kube(validation = Rule::new("self != 'token'").message("`token` cannot be a username"))]
    pub username: Option<String>,
    /// Groups that policies may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Option<Vec<String>>,
    /// Where the password comes from.
    pub password: Password,
    /// Whether nobody can sign in as this identity; tokens that it was given end as well. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// From this instant on nobody can sign in as this identity, and tokens that it was given end, by the registry's clock.
    /// Default: it does not end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Where a password comes from: exactly one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretKeyRef) != has(self.generate)").message("give exactly one source of the password: `generate: {}`, or `secretKeyRef: {name: alice-password, key: password}`")
)]
pub struct Password {
    /// A Secret of this namespace that holds the password; one trailing newline is dropped. A change is in force within
    /// a second. A Secret that goes missing leaves the last password in force: to revoke, disable or delete the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyReference>,
    /// The operator makes a password and keeps it in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<GeneratedPassword>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A password that the operator makes, once. Deleting the Secret makes a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedPassword {
    /// Name of the Secret, with the keys `username` and `password`. Default: the object's name and `-credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// How many characters the password has, letters and digits, 20 to 128. Default 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 20, max = 128))]
    pub length: Option<i32>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// What the operator has to say about an identity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryIdentityStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Accepted, ResolvedRefs, Programmed.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The name to sign in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Name of the Secret that holds the generated username and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<String>,
}
