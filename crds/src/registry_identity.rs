//! [`RegistryIdentity`]: somebody who may sign in to a registry.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::reference::{OidcSubject, RegistryReference, SecretKeyReference};

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
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("has(self.spec.username) || (has(self.spec.generateUsername) && self.spec.generateUsername) || (self.metadata.name != 'token' && size(self.metadata.name) <= 128)").message("the name of this object cannot be a username; set `spec.username`, for example `username: alice`")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.password) || has(self.serviceAccounts) || has(self.oidcSubjects) || has(self.certificateSubjects)").message("give at least one way to sign in: `password: {generate: {}}`, `serviceAccounts: [{name: builder}]`, `oidcSubjects: [{issuer: https://id.example.com, subject: 4f2a}]` or `certificateSubjects: [{commonName: builder}]`"),
    validation = Rule::new("!has(self.pullSecrets) || (has(self.password) && !has(self.password.hashSecretKeyRef))").message("a pull secret holds the password itself, so it needs `password.generate` or `password.secretKeyRef`"),
    validation = Rule::new("self.registryRef == oldSelf.registryRef").message("registryRef cannot be changed; delete the identity and make another"),
    validation = Rule::new("has(self.username) == has(oldSelf.username) && (!has(self.username) || self.username == oldSelf.username)").message("username cannot be changed; delete the identity and make another"),
    validation = Rule::new("(has(self.generateUsername) && self.generateUsername) == (has(oldSelf.generateUsername) && oldSelf.generateUsername)").message("generateUsername cannot be changed; delete the identity and make another"),
    validation = Rule::new("!has(self.username) || !has(self.generateUsername) || !self.generateUsername").message("give either `username: alice` or `generateUsername: true`")
)]
pub struct RegistryIdentitySpec {
    /// The Registry to sign in to. Cannot be changed.
    pub registry_ref: RegistryReference,
    /// The name to sign in with; `:` and the name `token` are not possible. Default: the object's name. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^:\x00-\x1f\x7f-\x{9f}]+$"))]
    #[x_kube(validation = Rule::new("self != 'token'").message("`token` cannot be a username"))]
    pub username: Option<String>,
    /// Whether the name to sign in with is made up: twelve lower-case letters and digits, which stand in the status and in the Secrets that the
    /// operator makes, and always the same for an object of this name. Default false. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate_username: Option<bool>,
    /// What this identity is for, for people. It has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub description: Option<String>,
    /// Groups that policies may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Option<Vec<String>>,
    /// Facts about this identity that conditions of policies may use as `identity.attributes`, each a list of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "attributes")]
    pub attributes: Option<BTreeMap<String, Vec<String>>>,
    /// Where the password comes from. Default: nobody can sign in with a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// ServiceAccounts of this object's own namespace whose tokens sign in as this identity: a Pod needs nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub service_accounts: Option<Vec<ServiceAccountReference>>,
    /// Subjects of OpenID Connect tokens that sign in as this identity, where the Registry accepts tokens of their issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub oidc_subjects: Option<Vec<OidcSubject>>,
    /// Names in certificates of clients who are this identity, where the Registry believes their authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub certificate_subjects: Option<Vec<CertificateSubject>>,
    /// Secrets of type `kubernetes.io/dockerconfigjson` in this namespace that the operator keeps, for Pods to pull with. Each
    /// follows the password, after the registry has accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub pull_secrets: Option<Vec<PullSecret>>,
    /// Whether a changed password ends the tokens that were given for the old one, too. Default false: they live out their
    /// lifetime, because most clients do not ask for another in the middle of a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke_tokens_on_change: Option<bool>,
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

/// At most 32 attributes of at most 32 texts of at most 256 characters.
fn attributes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "maxProperties": 32,
        "additionalProperties": {
            "type": "array",
            "maxItems": 32,
            "items": { "type": "string", "maxLength": 256 },
        },
    })
}

/// Where a password comes from: exactly one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.secretKeyRef), has(self.hashSecretKeyRef), has(self.generate)].filter(given, given).size() == 1").message("give exactly one source of the password: `generate: {}`, or `secretKeyRef: {name: alice-password, key: password}`, or `hashSecretKeyRef: {name: alice-hash, key: hash}`")
)]
pub struct Password {
    /// A Secret of this namespace that holds the password; one trailing newline is dropped. A change is in force within
    /// a second. A Secret that goes missing leaves the last password in force: to revoke, disable or delete the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyReference>,
    /// A Secret of this namespace that holds the hash of the password, as `wharfinger-registry hash-password` (Argon2id) or
    /// `htpasswd -nB` (bcrypt) prints it, so that the password itself is nowhere in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_secret_key_ref: Option<SecretKeyReference>,
    /// The operator makes a password and keeps it in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<GeneratedPassword>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// When a generated password is replaced. The registry accepts the new one before the Secret holds it, and the old one for some
/// time after that, so that nobody who reads the Secret is ever refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.overlap) || duration(self.overlap) < duration(self.interval)").message("overlap is shorter than interval, for example `interval: 720h` and `overlap: 24h`")
)]
pub struct Rotation {
    /// How long a password is in use, at least `1m`, such as `720h`.
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m')").message("interval is at least `1m`"))]
    pub interval: String,
    /// How long the old password is accepted beside the new one, once the Secret holds that. Default `1h`, or half of the
    /// interval where that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub overlap: Option<String>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A password that the operator makes. Deleting the Secret makes a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedPassword {
    /// Name of the Secret, with the keys `username` and `password`. Default: the object's name and `-credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub secret_name: Option<String>,
    /// How many characters the password has, letters and digits, 20 to 128. Default 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 20, max = 128))]
    pub length: Option<i32>,
    /// When the operator makes another one by itself. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Names a ServiceAccount of the object's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountReference {
    /// Its name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A name in a certificate: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.commonName), has(self.dnsName), has(self.uri)].exists_one(given, given)").message("give exactly one of `commonName: builder`, `dnsName: ci.example.com` and `uri: spiffe://example.com/ci`")
)]
pub struct CertificateSubject {
    /// The common name of the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub common_name: Option<String>,
    /// A DNS name among the subject alternative names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub dns_name: Option<String>,
    /// A URI among the subject alternative names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub uri: Option<String>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A Secret for Pods to pull with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// Its name. A Secret of that name that the operator did not make is left alone.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// The hosts that images are named with, with their ports, such as `registry.example.com` or `localhost:30500`. Default:
    /// those of the Registry's endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 260), regex(pattern = r"^[A-Za-z0-9._\[\]-]+(:[0-9]{1,5})?$"))
    )]
    pub hosts: Option<Vec<String>>,
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
