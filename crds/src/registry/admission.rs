//! Whose identities and policies a Registry takes from other namespaces, and within which bounds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Action, Effect, Role};

/// Namespaces: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.names) != has(self.selector)").message("give exactly one of `names: [team-a]` and `selector: {matchLabels: {registry: allowed}}`; `selector: {}` is every namespace")
)]
pub struct NamespaceSelection {
    /// Their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)))]
    pub names: Option<Vec<String>>,
    /// Their labels. Whoever may label a namespace decides then who is admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

/// Labels that a namespace has: all that is asked for. Nothing asked for is every namespace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels and their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32))]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Conditions on labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub match_expressions: Option<Vec<LabelSelectorRequirement>>,
    /// Fields that this version does not know. A selector with any selects nothing: without the field it would select more.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Namespaces whose RegistryIdentities are admitted, and within which bounds. The first entry counts that is for a namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityAdmission {
    /// Whose.
    pub namespaces: NamespaceSelection,
    /// What their usernames begin with; one that does not is put behind it. Default: the name of their namespace and `.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^:\x00-\x1f\x7f-\x{9f}]+$"))]
    pub username_prefix: Option<String>,
    /// The groups that they may be in; others that they name do not count. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub groups: Option<Vec<String>>,
    /// Whether they may name `oidcSubjects` and `certificateSubjects`. Whoever may write identities there then says who somebody is whom an
    /// issuer or a certificate vouches for, anybody but those whom an identity of this namespace names: their username and groups are the
    /// tenant's then, not those of the issuer. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_external_subjects: Option<bool>,
    /// How many there may be of each namespace. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_identities: Option<i32>,
}

/// Namespaces whose AccessPolicies are admitted, and within which bounds. The first entry counts that is for a namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.role) != has(self.actions)").message("give exactly one of `role` and `actions`, for example `role: push`")
)]
pub struct PolicyAdmission {
    /// Whose.
    pub namespaces: NamespaceSelection,
    /// Where they act: in repositories below these, such as `team-a` for `team-a/**`.
    #[schemars(
        length(min = 1, max = 32),
        inner(
            length(min = 1, max = 200),
            regex(pattern = r"^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$")
        )
    )]
    pub repository_prefixes: Vec<String>,
    /// What they may be about: the actions of a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What they may be about: the actions themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub actions: Option<Vec<Action>>,
    /// Whether they may allow, deny, or both. Default: Allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    pub effects: Option<Vec<Effect>>,
    /// Whether they may allow anything to callers who did not sign in. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_anonymous: Option<bool>,
    /// How many there may be of each namespace. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_policies: Option<i32>,
}
