//! [`AccessPolicy`]: who may, or may not, do what.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RuleAction;
use crate::reference::{OidcSubject, RegistryReference, TargetReference};

/// Who may, or may not, do what in one or several Registries.
///
/// A request is allowed where an Allow matches and no Deny does. Order never matters; without any policy nothing is
/// allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "wharfinger.dev",
    version = "v1alpha1",
    kind = "AccessPolicy",
    plural = "accesspolicies",
    shortname = "accpol",
    category = "wharfinger",
    namespaced,
    status = "AccessPolicyStatus",
    derive = "PartialEq",
    doc = "Who may, or may not, do what in one or several Registries.",
    printcolumn(name = "Effect", type_ = "string", json_path = ".spec.effect"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Targets", type_ = "string", json_path = ".spec.targetRefs[*].name"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.effect == 'Allow' || self.rules.all(r, !has(r.role))").message("a Deny names `actions`, not a `role`: `actions: [put-manifest]`, or `actions: [\"*\"]` for all"),
    validation = Rule::new("self.effect == 'Deny' || self.rules.all(r, !has(r.actions) || !('*' in r.actions))").message("an Allow names what it allows, and `*` is for a Deny: for example `role: maintain`"),
    validation = Rule::new("!has(self.notBefore) || !has(self.notAfter) || self.notBefore < self.notAfter").message("notAfter must be later than notBefore, or the policy would never be in force"),
    validation = Rule::new("self.targetRefs.all(a, self.targetRefs.exists_one(b, a == b))").message("each Registry is named once in targetRefs")
)]
pub struct AccessPolicySpec {
    /// The Registries that the policy applies to, 1 to 16.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<TargetReference>,
    /// Whether what matches is allowed or denied. A Deny always wins.
    pub effect: Effect,
    /// Whether the policy decides: Enforce (default), or Audit: it is evaluated and recorded, and decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// From this instant on the policy is in force, by the registry's clock. Default: since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Until just before this instant it is. Default: as long as it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// Whom the policy is about: any of these. Everybody is `any: Everyone`.
    #[schemars(length(min = 1, max = 64))]
    pub subjects: Vec<Subject>,
    /// What it is about: any of these, 1 to 64.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub rules: Vec<PolicyRule>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Whether a policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It is evaluated and recorded, and decides nothing: to try a policy out.
    Audit,
}

/// Whether what matches is allowed or denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Effect {
    /// What matches is allowed, unless a Deny matches too.
    Allow,
    /// What matches is denied.
    Deny,
}

/// Whom a policy is about: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.identity), has(self.group), has(self.serviceAccount), has(self.oidcSubject), has(self.any)].exists_one(given, given)").message("a subject is exactly one of `identity: alice`, `group: team-a`, `serviceAccount: {namespace: ci, name: builder}`, `oidcSubject: {issuer: https://id.example.com, subject: 4f2a}` and `any: Authenticated`")
)]
pub struct Subject {
    /// A username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub identity: Option<String>,
    /// A group of identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub group: Option<String>,
    /// A ServiceAccount whose tokens the Registry accepts, whichever identity it signs in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountSubject>,
    /// Somebody whom an OpenID Connect issuer of the Registry knows, whichever identity they sign in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_subject: Option<OidcSubject>,
    /// A class of callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<AnySubject>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Names a ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountSubject {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A class of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum AnySubject {
    /// Identities of the Registry's own namespace.
    Home,
    /// Everybody who signed in.
    Authenticated,
    /// Callers who did not sign in.
    Anonymous,
    /// Everybody, signed in or not.
    Everyone,
}

/// What a policy is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.role) != has(self.actions)").message("give exactly one of `role` and `actions`, for example `role: pull`")
)]
pub struct PolicyRule {
    /// Names the rule in messages and logs.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Repositories, 1 to 64 patterns: `*` stands for anything within a segment, `team-a/**` for everything below
    /// `team-a`, `**` for everything.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub repositories: Vec<String>,
    /// A named set of actions, for Allow only: pull, push (and pull), maintain (and delete), admin (everything).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The actions themselves; in a Deny `*` stands for every one on a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub actions: Option<Vec<RuleAction>>,
    /// Tags and digests that the rule is about, with `*` for any characters, such as `v*` or `sha256:*`, for the actions that name
    /// a manifest: an Allow needs all that a request names to match, every `?tag=` included, a Deny one. Default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(
            length(min = 1, max = 256),
            regex(pattern = r"^[A-Za-z0-9_*][A-Za-z0-9_.*-]*(:[0-9a-f*]*)?$")
        )
    )]
    pub references: Option<Vec<String>>,
    /// A CEL expression over `identity` and `request` that must be true as well, at most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub when: Option<String>,
    /// Shown to a client whose request this rule refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
    /// Fields that this version does not know; the operator refuses the object and names them.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A named set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reading manifests, blobs, tags and referrers.
    Pull,
    /// Pull, and writing.
    Push,
    /// Push, and deleting.
    Maintain,
    /// Everything.
    Admin,
}

/// Something that a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the names are those of the requests in the OCI distribution specification"
)]
pub enum Action {
    ListCatalog,
    ListTags,
    GetBlob,
    DeleteBlob,
    GetManifest,
    PutManifest,
    DeleteManifest,
    GetReferrers,
    StartUpload,
    MountBlob,
    GetUpload,
    UpdateUpload,
    CompleteUpload,
    CancelUpload,
}

/// What the operator has to say about a policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessPolicyStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Accepted and Programmed: true where they are true for every target.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// What each target says.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub targets: Vec<TargetStatus>,
}

/// What one target of a policy says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The target, as the spec names it.
    #[serde(rename = "ref")]
    pub ref_: RegistryReference,
    /// Accepted and Programmed.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
}
