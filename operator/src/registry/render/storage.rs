//! The PersistentVolumeClaim that the operator makes, and the volume of the Pods.

use crds::Retention;
use serde_json::{Value, json};

use super::Draft;
use crate::names;
use crate::registry::validate::Storage;

/// The claim, where the operator makes one.
pub(super) fn claim(registry: &str, storage: &Storage) -> Option<Draft> {
    let Storage::NewClaim {
        size,
        class,
        access_modes,
        retention,
    } = storage
    else {
        return None;
    };
    let mut spec = json!({
        "accessModes": access_modes,
        "resources": { "requests": { "storage": size } },
    });
    if let Some(class) = class {
        spec["storageClassName"] = json!(class);
    }
    let owned = match retention {
        Retention::Retain => false,
        Retention::Delete => true,
    };
    Some(Draft {
        kind: "PersistentVolumeClaim",
        name: names::data_claim(registry),
        owned,
        body: json!({ "spec": spec }),
    })
}

/// The volume of the Pods.
pub(super) fn volume(registry: &str, storage: &Storage) -> Value {
    match storage {
        Storage::NewClaim { .. } => {
            json!({ "name": "data", "persistentVolumeClaim": { "claimName": names::data_claim(registry) } })
        }
        Storage::ExistingClaim { name } => json!({ "name": "data", "persistentVolumeClaim": { "claimName": name } }),
        Storage::EmptyDir { size_limit: None } => json!({ "name": "data", "emptyDir": {} }),
        Storage::EmptyDir {
            size_limit: Some(limit),
        } => json!({ "name": "data", "emptyDir": { "sizeLimit": limit } }),
    }
}
