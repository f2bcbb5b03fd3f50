//! Condition types and reasons, as constants: they are API, and users and tools match on them.

/// Condition types.
pub mod condition_types {
    /// The object does what it is for.
    pub const READY: &str = "Ready";
    /// The spec is valid and admitted.
    pub const ACCEPTED: &str = "Accepted";
    /// Everything that the spec refers to exists and is usable.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// Every running replica enforces what the object says.
    pub const PROGRAMMED: &str = "Programmed";
    /// The storage is bound and writable.
    pub const STORAGE_READY: &str = "StorageReady";
    /// The certificate can be used, is valid now and is for the names that clients use. Only present with TLS.
    pub const CERTIFICATE_READY: &str = "CertificateReady";
    /// Clients talk to the registry without TLS. Only present when true.
    pub const INSECURE: &str = "Insecure";
    /// The storage ends with its Pod. Only present when true.
    pub const EPHEMERAL: &str = "Ephemeral";
    /// Nobody can sign in, because there is no accepted identity. Only present when true.
    pub const NO_IDENTITIES: &str = "NoIdentities";
    /// Nothing is allowed, because there is no accepted policy. Only present when true.
    pub const NO_POLICIES: &str = "NoPolicies";
    /// Rules ask for addresses of clients, and the Service puts a node's in their place. Only present when true.
    pub const CLIENT_ADDRESS_HIDDEN: &str = "ClientAddressHidden";
    /// The operator leaves the Registry as it is. Only present when true.
    pub const PAUSED: &str = "Paused";
}

/// Reasons.
pub mod reasons {
    /// The condition is true and nothing is wrong.
    pub const OK: &str = "Ok";
    /// The object is accepted.
    pub const ACCEPTED: &str = "Accepted";
    /// Every running replica reports the revision in force.
    pub const PROGRAMMED: &str = "Programmed";
    /// Replicas have not yet reported the revision in force.
    pub const PENDING: &str = "Pending";
    /// No replica runs that could enforce anything.
    pub const NO_REPLICAS: &str = "NoReplicas";
    /// A replica runs, but cannot be asked.
    pub const UNREACHABLE: &str = "Unreachable";
    /// A replica refused the access document.
    pub const DOCUMENT_REFUSED: &str = "DocumentRefused";
    /// Pods are starting or stopping.
    pub const PROGRESSING: &str = "Progressing";
    /// A Pod cannot run.
    pub const POD_FAILING: &str = "PodFailing";
    /// Scaled to no replicas on purpose.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
    /// The spec is not valid.
    pub const INVALID: &str = "Invalid";
    /// The spec has a field that this version does not know.
    pub const UNKNOWN_FIELD: &str = "UnknownField";
    /// A CEL expression is not valid.
    pub const INVALID_EXPRESSION: &str = "InvalidExpression";
    /// The image is not within the operator's allowed prefixes.
    pub const IMAGE_NOT_ALLOWED: &str = "ImageNotAllowed";
    /// An object of that name exists and is not the operator's, or another installation manages this Registry.
    pub const CONFLICT: &str = "Conflict";
    /// The Registry does not exist.
    pub const REGISTRY_NOT_FOUND: &str = "RegistryNotFound";
    /// The Registry does not admit objects of this namespace.
    pub const NOT_ALLOWED_BY_REGISTRY: &str = "NotAllowedByRegistry";
    /// Another identity has this username.
    pub const USERNAME_CONFLICT: &str = "UsernameConflict";
    /// The identity is disabled by its spec.
    pub const DISABLED: &str = "Disabled";
    /// The identity's `expiresAt` has passed.
    pub const EXPIRED: &str = "Expired";
    /// What is accepted would no longer fit.
    pub const LIMIT_EXCEEDED: &str = "LimitExceeded";
    /// All references are resolved.
    pub const RESOLVED: &str = "Resolved";
    /// A Secret does not exist.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A Secret exists, but not the key.
    pub const SECRET_KEY_NOT_FOUND: &str = "SecretKeyNotFound";
    /// A Secret's owner has not agreed to its use as a password.
    pub const SECRET_NOT_MARKED: &str = "SecretNotMarked";
    /// A Secret's value cannot be a password.
    pub const INVALID_PASSWORD: &str = "InvalidPassword";
    /// A Secret's value is no hash of a password that could be used.
    pub const INVALID_PASSWORD_HASH: &str = "InvalidPasswordHash";
    /// Lines of a user file cannot be used; its other users can sign in.
    pub const INVALID_HTPASSWD: &str = "InvalidHtpasswd";
    /// The authorities of clients' certificates cannot be read.
    pub const INVALID_AUTHORITIES: &str = "InvalidAuthorities";
    /// The keys of a token server cannot be read.
    pub const INVALID_KEYS: &str = "InvalidKeys";
    /// Another identity is known by this name in certificates.
    pub const CERTIFICATE_CONFLICT: &str = "CertificateConflict";
    /// Another identity stands for this subject of an issuer.
    pub const OIDC_SUBJECT_CONFLICT: &str = "OidcSubjectConflict";
    /// Another identity stands for this ServiceAccount.
    pub const SERVICE_ACCOUNT_CONFLICT: &str = "ServiceAccountConflict";
    /// A Secret of the operator's cannot be written.
    pub const SECRET_NOT_WRITTEN: &str = "SecretNotWritten";
    /// The password's hash is being computed.
    pub const HASH_PENDING: &str = "HashPending";
    /// A named PersistentVolumeClaim does not exist.
    pub const CLAIM_NOT_FOUND: &str = "ClaimNotFound";
    /// A PersistentVolumeClaim is not bound yet.
    pub const CLAIM_PENDING: &str = "ClaimPending";
    /// The registry cannot use its storage.
    pub const STORAGE_FAILING: &str = "StorageFailing";
    /// A Secret exists, but is not of type `kubernetes.io/tls`.
    pub const SECRET_TYPE_INVALID: &str = "SecretTypeInvalid";
    /// A certificate or its key cannot be read, or the two do not belong together.
    pub const INVALID_CERTIFICATE: &str = "InvalidCertificate";
    /// A certificate is not valid any more, or not yet.
    pub const CERTIFICATE_EXPIRED: &str = "CertificateExpired";
    /// A certificate is not for the name that clients use.
    pub const NAME_MISMATCH: &str = "NameMismatch";
    /// There is no TLS.
    pub const NO_TLS: &str = "NoTLS";
    /// The Service's `externalTrafficPolicy` is `Cluster`.
    pub const EXTERNAL_TRAFFIC_POLICY: &str = "ExternalTrafficPolicy";
    /// The storage is an emptyDir.
    pub const EMPTY_DIR: &str = "EmptyDir";
    /// The object's Registry is paused.
    pub const PAUSED: &str = "Paused";
    /// There is none.
    pub const NONE: &str = "None";
}
