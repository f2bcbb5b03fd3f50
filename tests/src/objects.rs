//! The objects that tests apply. Unless said otherwise they are about the Registry `main`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The API version of our kinds.
pub const API_VERSION: &str = "wharfinger.dev/v1alpha1";

/// A Registry whose images end with its Pod.
pub fn registry(name: &str) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Registry",
        "metadata": { "name": name },
        "spec": { "storage": { "emptyDir": {} } },
    })
}

/// A Registry on a volume that the operator claims.
pub fn registry_on_volume(name: &str) -> Value {
    let mut registry = registry(name);
    registry["spec"]["storage"] = json!({ "persistentVolumeClaim": { "size": "1Gi" } });
    registry
}

/// The same Registry with a port on the node, and so on 127.0.0.1.
#[must_use]
pub fn on_node_port(mut registry: Value) -> Value {
    registry["spec"]["expose"] = json!({ "service": { "type": "NodePort" } });
    registry
}

/// The Secret `<owner>-password` with a password under the key `password`, marked by its type.
pub fn password(owner: &str, password: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": format!("{owner}-password") },
        "type": "wharfinger.dev/credential",
        "data": { "password": STANDARD.encode(password) },
    })
}

/// What [`password`] has to be changed by, to hold another one.
pub fn new_password(password: &str) -> Value {
    json!({ "data": { "password": STANDARD.encode(password) } })
}

/// An identity of `main` whose password is in the Secret `<name>-password`.
pub fn identity(name: &str) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "RegistryIdentity",
        "metadata": { "name": name },
        "spec": {
            "registryRef": { "name": "main" },
            "password": { "secretKeyRef": { "name": format!("{name}-password"), "key": "password" } },
        },
    })
}

/// The same identity in groups.
#[must_use]
pub fn in_groups(mut identity: Value, groups: &[&str]) -> Value {
    identity["spec"]["groups"] = json!(groups);
    identity
}

/// The same identity without a password, known instead by what `field` lists: ServiceAccounts, or subjects of certificates or issuers.
#[must_use]
pub fn known_by(mut identity: Value, field: &str, entries: Value) -> Value {
    if let Some(spec) = identity["spec"].as_object_mut() {
        spec.remove("password");
    }
    identity["spec"][field] = entries;
    identity
}

/// An identity of `main` whose password the operator makes.
pub fn generated(name: &str) -> Value {
    let mut identity = identity(name);
    identity["spec"]["password"] = json!({ "generate": {} });
    identity
}

/// The same identity or policy, about another Registry than `main`.
#[must_use]
pub fn about(mut object: Value, registry: &str) -> Value {
    let field = if object["kind"] == "AccessPolicy" {
        "targetRefs"
    } else {
        "registryRef"
    };
    let reference = json!({ "name": registry });
    object["spec"][field] = if field == "targetRefs" {
        json!([reference])
    } else {
        reference
    };
    object
}

/// A policy of `main` that allows a role on repositories.
pub fn allow(name: &str, subject: Value, role: &str, repositories: &[&str]) -> Value {
    policy(
        name,
        "Allow",
        subject,
        json!({ "name": "rule", "repositories": repositories, "role": role }),
    )
}

/// A policy of `main` that denies actions on repositories.
pub fn deny(name: &str, subject: Value, actions: &[&str], repositories: &[&str]) -> Value {
    policy(
        name,
        "Deny",
        subject,
        json!({ "name": "rule", "repositories": repositories, "actions": actions }),
    )
}

/// A policy of `main` with one rule.
pub fn policy(name: &str, effect: &str, subject: Value, rule: Value) -> Value {
    let mut policy = json!({
        "apiVersion": API_VERSION,
        "kind": "AccessPolicy",
        "metadata": { "name": name },
        "spec": { "targetRefs": [{ "name": "main" }], "effect": effect },
    });
    policy["spec"]["subjects"] = Value::Array(vec![subject]);
    policy["spec"]["rules"] = Value::Array(vec![rule]);
    policy
}

/// The subject of everybody who signed in.
pub fn authenticated() -> Value {
    json!({ "any": "Authenticated" })
}

/// The subject of those who did not sign in.
pub fn anonymous() -> Value {
    json!({ "any": "Anonymous" })
}

/// The subject of one user.
pub fn user(name: &str) -> Value {
    json!({ "identity": name })
}

/// The subject of a group.
pub fn group(name: &str) -> Value {
    json!({ "group": name })
}
