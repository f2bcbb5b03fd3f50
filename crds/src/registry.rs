//! [`Registry`]: one container registry.

mod admission;
mod auth;
mod limits;
mod monitoring;
mod oidc;
mod token_server;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use admission::{IdentityAdmission, NamespaceSelection, NamespaceSelector, PolicyAdmission};
pub use auth::{
    AccountVerification, Auth, Challenge, ClientCertificateMode, ClientCertificates, PasswordHashing,
    SecretFileReference, ServiceAccountMode, ServiceAccountTokens, TrustedProxies,
};
pub use limits::{Limits, UploadLimits};
pub use monitoring::{AuditStream, Monitoring, Traces};
pub use oidc::{OidcIssuer, RequiredClaim, SignatureAlgorithm};
pub use token_server::TokenServer;

/// A container registry: the operator runs one for each of these objects.
///
/// A change that only concerns who may do what never restarts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "wharfinger.dev",
    version = "v1alpha1",
    kind = "Registry",
    plural = "registries",
    shortname = "reg",
    category = "wharfinger",
    namespaced,
    status = "RegistryStatus",
    derive = "PartialEq",
    doc = "A container registry, run by the operator.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.endpoints.external"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message("the name of a Registry is at most 40 lower-case letters, digits and `-`, begins with a letter and does not end with `-`, for example `main`")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.auth) || !has(self.auth.clientCertificates) || has(self.tls)").message("clients show certificates over TLS only: give `tls` as well, for example `tls: {secretRef: {name: registry-tls}}`"),
    validation = Rule::new("self.replicas <= 1").message("a volume is used by one process at a time: replicas is 0 or 1")
)]
pub struct RegistrySpec {
    /// How many Pods run: 1, or 0 to stop the registry and keep its data. Default 1.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 1))]
    pub replicas: i32,
    /// The registry's image. Default: the one that came with the operator, which follows its upgrades. It must begin with
    /// one of the operator's allowed prefixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub image: Option<String>,
    /// Where blobs and manifests are kept. The kind cannot be changed later.
    pub storage: Storage,
    /// Scheme, host and port under which clients reach the registry, such as `https://registry.example.com`. Default: the
    /// scheme and Host of each request.
    #[serde(default, rename = "externalURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300), regex(pattern = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"))]
    pub external_url: Option<String>,
    /// The certificate that clients are shown. Default: none, and the registry speaks without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How clients reach the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<Expose>,
    /// Which pages of other origins may use the registry from a browser. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// How clients sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Namespaces whose RegistryIdentities are admitted beside those of this one. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub allowed_identities: Option<Vec<IdentityAdmission>>,
    /// Namespaces whose AccessPolicies are admitted beside those of this one. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub allowed_policies: Option<Vec<PolicyAdmission>>,
    /// Which manifests are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Manifests>,
    /// Whether anybody may delete manifests, tags and blobs, whatever policies say. Default Enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// How much clients may ask of the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What the registry tells of its work, beside its log and its metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Settings of the Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// Whether the operator leaves everything of this Registry as it is. Nothing is enforced anew while it is paused, a
    /// revocation included. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

const fn default_replicas() -> i32 {
    1
}

/// Where blobs and manifests are kept: exactly one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.persistentVolumeClaim) != has(self.emptyDir)").message("give exactly one kind of storage, for example `persistentVolumeClaim: {size: 10Gi}`"),
    validation = Rule::new("has(self.persistentVolumeClaim) == has(oldSelf.persistentVolumeClaim)").message("the kind of storage cannot be changed; make another Registry and copy the images")
)]
pub struct Storage {
    /// A volume that outlives the Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimStorage>,
    /// A volume that ends with its Pod, and all images with it: for trying out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirStorage>,
}

/// A volume that outlives the Pods: one that the operator claims (`size`) or one that exists (`claimName`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.claimName) != has(self.size)").message("give exactly one of `size`, for a new volume, and `claimName`, for one that exists: for example `size: 10Gi`"),
    validation = Rule::new("!has(self.claimName) || (!has(self.storageClassName) && !has(self.accessModes) && !has(self.retention))").message("storageClassName, accessModes and retention are for a new volume; a claim named by `claimName` is used as it is"),
    validation = Rule::new("has(self.claimName) == has(oldSelf.claimName) && (!has(self.claimName) || self.claimName == oldSelf.claimName)").message("claimName cannot be changed"),
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message("storageClassName cannot be changed"),
    validation = Rule::new("has(self.accessModes) == has(oldSelf.accessModes) && (!has(self.accessModes) || self.accessModes == oldSelf.accessModes)").message("accessModes cannot be changed"),
    validation = Rule::new("!has(self.size) || !has(oldSelf.size) || !isQuantity(self.size) || !isQuantity(oldSelf.size) || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0").message("size can only grow")
)]
pub struct PersistentVolumeClaimStorage {
    /// Name of an existing PersistentVolumeClaim, used as it is and never deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: Option<String>,
    /// Size of a new volume, such as `10Gi`. It can grow where the storage class allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))").message("size is a quantity such as `10Gi`"))]
    pub size: Option<String>,
    /// Storage class of a new volume. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// Access modes of a new volume. Default `[ReadWriteOnce]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4), inner(length(max = 32)))]
    pub access_modes: Option<Vec<String>>,
    /// What becomes of a new volume when the Registry is deleted: Retain (default) keeps it, Delete deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// What becomes of a volume when its Registry is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Retention {
    /// It stays, and a Registry of the same name and namespace finds it again.
    Retain,
    /// It is deleted.
    Delete,
}

/// A volume that ends with its Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmptyDirStorage {
    /// The most that the volume may hold, such as `1Gi`; over it the Pod is evicted. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))").message("sizeLimit is a quantity such as `1Gi`"))]
    pub size_limit: Option<String>,
}

/// The certificate that clients are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// A Secret of type `kubernetes.io/tls` in this namespace, with the certificate and its chain in `tls.crt` and the key
    /// in `tls.key`. A new certificate in it is taken over without a restart.
    pub secret_ref: SecretReference,
}

/// Names a Secret in the object's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
}

/// Which pages of other origins may use the registry from a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.allowCredentials) || !self.allowCredentials || (!('*' in self.allowedOrigins) && (!has(self.allowedMethods) || !('*' in self.allowedMethods)) && (!has(self.allowedHeaders) || !('*' in self.allowedHeaders)) && (!has(self.exposeHeaders) || !('*' in self.exposeHeaders)))").message("`*` cannot be together with allowCredentials: list origins, methods and headers, for example `allowedOrigins: [https://ui.example.com]`")
)]
pub struct Cors {
    /// Origins as browsers write them: scheme, host and port in lower case, such as `https://ui.example.com`; or `*`, without
    /// credentials.
    #[schemars(
        length(min = 1, max = 32),
        inner(
            length(max = 300),
            regex(pattern = r"^(\*|https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?)$")
        )
    )]
    pub allowed_origins: Vec<String>,
    /// Whether browsers may send cookies and remembered passwords. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// Methods. Default HEAD, GET, OPTIONS and DELETE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        inner(length(max = 32), regex(pattern = r"^(\*|[A-Z]+)$"))
    )]
    pub allowed_methods: Option<Vec<String>>,
    /// Headers that a page may send. Default Authorization, Accept and Cache-Control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 64), regex(pattern = r"^(\*|[A-Za-z0-9-]+)$")))]
    pub allowed_headers: Option<Vec<String>>,
    /// Headers that a page may read. Default Docker-Content-Digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 64), regex(pattern = r"^(\*|[A-Za-z0-9-]+)$")))]
    pub expose_headers: Option<Vec<String>>,
    /// How long a browser may remember this. Default `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    pub max_age: Option<String>,
}

/// How clients reach the registry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expose {
    /// The Service in front of the Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceExposure>,
}

/// The Service in front of the Pods.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.nodePort) || (has(self.type) && self.type != 'ClusterIP')").message("nodePort needs `type: NodePort` or `type: LoadBalancer`"),
    validation = Rule::new("!has(self.externalTrafficPolicy) || (has(self.type) && self.type != 'ClusterIP')").message("externalTrafficPolicy needs `type: NodePort` or `type: LoadBalancer`")
)]
pub struct ServiceExposure {
    /// Type of the Service. Default ClusterIP.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Port of the Service. Default 443 with TLS, else 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Port on every node. Default: one that the cluster chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,
    /// What becomes of clients from outside of the cluster. Default Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

/// What becomes of clients from outside of the cluster: Cluster (default), where any node takes them and the registry sees the node's address
/// instead of theirs, or Local, where only the Pod's node does and the registry sees who they are. Rules about addresses need Local; condition
/// `ClientAddressHidden` says where they do not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// Any node passes them on, in its own name.
    Cluster,
    /// The Pod's node passes them on as they are.
    Local,
}

/// Type of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ServiceType {
    /// Reachable within the cluster.
    ClusterIP,
    /// Reachable at a port of every node as well.
    NodePort,
    /// Reachable through a load balancer of the cluster's provider as well.
    LoadBalancer,
}

/// Which manifests are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Manifests {
    /// What happens to a manifest that refers to content which is not in its repository. Default `Refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_references: Option<MissingReferences>,
}

/// What happens to a manifest that refers to content which is not in its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum MissingReferences {
    /// It is refused, so that whatever can be pulled can be pulled whole.
    Refuse,
    /// An index may lack manifests: a copy of some platforms of a multi-platform image. An image may lack nothing.
    AllowInIndexes,
    /// Every manifest is accepted.
    Allow,
}

/// Whether manifests, tags and blobs can be deleted at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Deletion {
    /// By whoever policies allow it.
    Enabled,
    /// By nobody: it is answered with 405. Uploads that are not complete can still be cancelled.
    Disabled,
}

/// Settings of the Pods; nothing here can weaken their security.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Requests and limits of the registry's container. Default: requests of 10m CPU and 64Mi memory, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// Compute resources of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the container is guaranteed, such as `cpu: 100m` and `memory: 128Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<BTreeMap<String, IntOrString>>,
    /// What the container gets at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<String, IntOrString>>,
}

/// What the operator has to say about a Registry.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Accepted, ResolvedRefs, Programmed, StorageReady; with TLS CertificateReady; and, while they are true, Insecure, Ephemeral,
    /// NoIdentities, NoPolicies, `ClientAddressHidden`, Paused.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    #[schemars(length(max = 32))]
    pub conditions: Vec<Condition>,
    /// Where clients reach the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Version of the registry, the tag of its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Pods that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods that serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Label selector of the Pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The access document in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessStatus>,
    /// How many identities are accepted and rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identities: Option<Counts>,
    /// How many policies are accepted and rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Counts>,
    /// How long tokens are valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime: Option<String>,
    /// The image that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// Where clients reach a registry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// From outside the cluster, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
    /// From within the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<String>,
}

/// The access document in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessStatus {
    /// Revision of the published document; grows with each publication.
    pub revision: i64,
    /// Digest of the published document.
    pub digest: String,
    /// How many Pods have reported this document.
    pub programmed_replicas: i32,
}

/// How many objects are accepted and rejected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Accepted ones.
    pub accepted: i32,
    /// Rejected ones; each says why in its own status.
    pub rejected: i32,
}
