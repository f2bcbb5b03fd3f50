//! Names of the objects that the operator makes for a Registry, of the places within its Pods, and of those who sign in.

use std::collections::BTreeMap;

use crds::{RegistryIdentity, labels};
use kube::ResourceExt;
use registry_config::Slot;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

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
    let mut secrets = access_shards(registry);
    secrets.insert(0, access_secret(registry));
    secrets
}

/// The shards of an access document, those of both slots.
pub(crate) fn access_shards(registry: &str) -> Vec<String> {
    let list = access_secret(registry);
    Slot::ALL.into_iter().flat_map(|slot| slot.secrets(&list)).collect()
}

/// The Secret that holds what cannot be recomputed.
pub(crate) fn state_secret(registry: &str) -> String {
    format!("{registry}-state")
}

/// Whether a Secret is one of the shards of what cannot be recomputed.
pub(crate) fn is_state_shard(registry: &str, name: &str) -> bool {
    name.strip_prefix(&state_secret(registry))
        .is_some_and(|rest| rest.starts_with('-'))
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

/// The name that an identity signs in with.
pub(crate) fn username(identity: &RegistryIdentity) -> String {
    let spec = &identity.spec;
    if spec.generate_username == Some(true) {
        return made_up_username(identity);
    }
    spec.username.clone().unwrap_or_else(|| identity.name_any())
}

/// The name that is made up for an identity. It follows from what the object is called and which Registry it is for, so that it stays the
/// same when objects are made again or come from a backup. It begins with a letter, and so is a text in YAML.
fn made_up_username(identity: &RegistryIdentity) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let namespace = identity.namespace().unwrap_or_default();
    let registry = &identity.spec.registry_ref;
    let home = registry.namespace.as_ref().unwrap_or(&namespace);
    let whose = format!("username {home}/{} {namespace}/{}", registry.name, identity.name_any());
    let digest = Sha256::digest(whose);
    let mut rest = u128::from_be_bytes(std::array::from_fn(|index| digest[index]));
    let letter = |of: usize| {
        let of = of as u128;
        let index = usize::try_from(rest % of).unwrap_or_default();
        rest /= of;
        char::from(LETTERS[index])
    };
    std::iter::once(26).chain([LETTERS.len(); 11]).map(letter).collect()
}

/// The labels of every Secret that the operator makes for a Registry.
pub(crate) fn secret_labels(registry: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::REGISTRY.to_owned(), registry.to_owned()),
    ])
}

/// The labels of a Secret that it makes for one of the Registry's identities.
pub(crate) fn identity_secret_labels(registry: &str, identity: &RegistryIdentity) -> BTreeMap<String, String> {
    let mut all = secret_labels(registry);
    all.insert(labels::IDENTITY.to_owned(), identity.name_any());
    all
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

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str, spec: &Value) -> RegistryIdentity {
        let mut full = json!({ "registryRef": { "name": "main" }, "generateUsername": true });
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object = json!({
            "apiVersion": "wharfinger.dev/v1alpha1", "kind": "RegistryIdentity",
            "metadata": { "name": name, "namespace": "here" }, "spec": full,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_name_that_is_made_up_is_the_objects_own_and_stays() {
        let made_up = username(&identity("ci", &json!({})));
        assert_eq!(made_up.len(), 12);
        assert!(
            made_up.starts_with(|first: char| first.is_ascii_lowercase()),
            "{made_up}"
        );
        assert!(
            made_up
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
            "{made_up}"
        );
        assert_eq!(username(&identity("ci", &json!({ "description": "another" }))), made_up);
        let elsewhere = json!({ "registryRef": { "name": "main", "namespace": "there" } });
        for other in [
            identity("cd", &json!({})),
            identity("ci", &json!({ "registryRef": { "name": "other" } })),
            identity("ci", &elsewhere),
        ] {
            assert_ne!(username(&other), made_up);
        }
        assert_eq!(username(&identity("ci", &json!({ "generateUsername": false }))), "ci");
    }
}
