//! Names of the objects that the operator makes for a Registry, and of the places within its Pods.

use crds::{RegistryIdentity, labels};
use kube::ResourceExt;
use serde_json::{Value, json};

/// The user and group of every container.
pub(crate) const UID: i64 = 65532;
/// Port of the registry API in the Pod.
pub(crate) const REGISTRY_PORT: u16 = 5000;
/// Port of health, status and metrics in the Pod.
pub(crate) const ADMIN_PORT: u16 = 5001;
/// Where the server document is mounted.
pub(crate) const CONFIG_DIR: &str = "/etc/wharfinger";
/// Where the access Secrets are mounted.
pub(crate) const ACCESS_DIR: &str = "/run/wharfinger/access";
/// Where the registry saves the access document that it accepted.
pub(crate) const SAVED_DIR: &str = "/run/wharfinger/saved";
/// Where the certificate is mounted.
pub(crate) const TLS_DIR: &str = "/run/wharfinger/tls";
/// Where blobs and manifests are kept.
pub(crate) const DATA_DIR: &str = "/var/lib/wharfinger";

/// The index Secret of the access document.
pub(crate) fn access_secret(registry: &str) -> String {
    format!("{registry}-access")
}

/// All Secrets that an access document may ever need: the index and both slots of shards.
pub(crate) fn access_secrets(registry: &str) -> Vec<String> {
    let shards = ['a', 'b']
        .into_iter()
        .flat_map(|slot| (0..4).map(move |shard| format!("{registry}-access-{slot}{shard}")));
    std::iter::once(access_secret(registry)).chain(shards).collect()
}

/// The Secret that holds what cannot be recomputed.
pub(crate) fn state_secret(registry: &str) -> String {
    format!("{registry}-state")
}

/// The ServiceAccount, Role and RoleBinding of the registry's Pods.
pub(crate) fn pod_account(registry: &str) -> String {
    format!("{registry}-registry")
}

/// The PersistentVolumeClaim that the operator makes.
pub(crate) fn data_claim(registry: &str) -> String {
    format!("{registry}-data")
}

/// The Secret for an identity's generated password, where its spec names none.
pub(crate) fn credentials_secret(identity: &RegistryIdentity) -> String {
    format!("{}-credentials", identity.name_any())
}

/// The labels that tell a Registry's Pods, and nobody else's, in their namespace.
pub(crate) fn pod_selector(registry: &str) -> Value {
    json!({ "app.kubernetes.io/name": "wharfinger-registry", labels::REGISTRY: registry })
}

/// The same as a label selector in text.
pub(crate) fn pod_selector_text(registry: &str) -> String {
    format!(
        "app.kubernetes.io/name=wharfinger-registry,{}={registry}",
        labels::REGISTRY
    )
}

/// The labels of every object that belongs to a Registry.
pub(crate) fn object_labels(registry: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "wharfinger-registry",
        "app.kubernetes.io/instance": registry,
        labels::MANAGED_BY: labels::MANAGER,
        labels::REGISTRY: registry,
    })
}
