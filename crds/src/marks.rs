//! Labels, annotations and Secret types with a meaning to the operator.

/// Labels.
pub mod labels {
    /// Consent of a Secret's owner that identities may read their password from it; `"true"`.
    pub const CREDENTIAL: &str = "wharfinger.dev/credential";
    /// Name of the Registry that an object of the operator's belongs to.
    pub const REGISTRY: &str = "wharfinger.dev/registry";
    /// Name of the RegistryIdentity that a generated Secret belongs to.
    pub const IDENTITY: &str = "wharfinger.dev/identity";
    /// On a Secret that Pods pull with; `"true"`.
    pub const PULL_SECRET: &str = "wharfinger.dev/pull-secret";
    /// Who made an object; [`MANAGER`] for the operator's own.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`MANAGED_BY`] on the operator's own objects.
    pub const MANAGER: &str = "wharfinger";
}

/// Annotations.
pub mod annotations {
    /// Digest of an object as the operator rendered it last, so that a field which is no longer rendered is noticed.
    pub const RENDERED: &str = "wharfinger.dev/rendered";
    /// On a generated Secret: when its password was put there, where it was rotated.
    pub const ROTATED_AT: &str = "wharfinger.dev/rotated-at";
    /// On a generated Secret: the password that is to follow stands beside the one in use.
    pub const ROTATION_PENDING: &str = "wharfinger.dev/rotation-pending";
    /// On a Registry's state Secret: the installation that may take the Registry over from the one that manages it.
    pub const HAND_OVER_TO: &str = "wharfinger.dev/hand-over-to";
}

/// Types of Secrets.
pub mod secret_types {
    /// A Secret made to hold a password for an identity; consent like [`super::labels::CREDENTIAL`].
    pub const CREDENTIAL: &str = "wharfinger.dev/credential";
    /// Kubernetes' own, for a certificate and its key.
    pub const TLS: &str = "kubernetes.io/tls";
    /// The access document of a Registry.
    pub const ACCESS: &str = "wharfinger.dev/access";
    /// What the operator cannot recompute about a Registry.
    pub const STATE: &str = "wharfinger.dev/state";
}
