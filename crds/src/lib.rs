//! The Kubernetes API of Wharfinger, `wharfinger.dev/v1alpha1`: [`Registry`], [`RegistryIdentity`], [`AccessPolicy`].
//!
//! Doc comments of fields are what `kubectl explain` prints. This crate owns shapes, schema validation and the names of
//! conditions; it does no I/O and evaluates no expression.

#![expect(
    clippy::duplicated_attributes,
    reason = "several printer columns are of one type, and each says so"
)]
#![expect(
    unreachable_pub,
    reason = "the derived code of kube and schemars is not seen to be re-exported below"
)]

mod access_policy;
mod conditions;
mod manifests;
mod marks;
mod reference;
mod registry;
mod registry_identity;
mod rule_action;

pub use access_policy::{
    AccessPolicy, AccessPolicySpec, AccessPolicyStatus, Action, AnySubject, Effect, Mode, PolicyRule, Role,
    ServiceAccountSubject, Subject, TargetStatus,
};
pub use conditions::{condition_types, reasons};
pub use manifests::{all, manifest};
pub use marks::{annotations, labels, secret_types};
pub use reference::{OidcSubject, RegistryReference, SecretKeyReference, TargetReference};
pub use registry::{
    AccessStatus, AccountVerification, AuditStream, Auth, Challenge, ClientCertificateMode, ClientCertificates, Cors,
    Counts, Deletion, EmptyDirStorage, Endpoints, Expose, ExternalTrafficPolicy, IdentityAdmission, Limits, Manifests,
    MissingReferences, Monitoring, NamespaceSelection, NamespaceSelector, OidcIssuer, PasswordHashing,
    PersistentVolumeClaimStorage, Pod, PolicyAdmission, Registry, RegistrySpec, RegistryStatus, RequiredClaim,
    Resources, Retention, SecretFileReference, SecretReference, ServiceAccountMode, ServiceAccountTokens,
    ServiceExposure, ServiceType, SignatureAlgorithm, Storage, Tls, TokenServer, Traces, TrustedProxies, UploadLimits,
};
pub use registry_identity::{
    CertificateSubject, GeneratedPassword, Password, PullSecret, RegistryIdentity, RegistryIdentitySpec,
    RegistryIdentityStatus, Rotation, ServiceAccountReference,
};
pub use rule_action::{RuleAction, Star};

/// The API group of all kinds here.
pub const GROUP: &str = "wharfinger.dev";
/// The version of all kinds here.
pub const VERSION: &str = "v1alpha1";
