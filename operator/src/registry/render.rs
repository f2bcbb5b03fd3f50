//! The objects of a Registry, from its validated spec alone: pure, in a fixed order, one function per object.

mod access;
mod config;
mod deployment;
mod service;
mod storage;

#[cfg(test)]
mod tests;

use crds::{Registry, annotations};
use kube::api::ApiResource;
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::names;
use crate::registry::validate::Workload;

/// A kind of object that the operator makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) plural: &'static str,
}

/// Every kind of object that the operator makes by server-side apply.
pub(crate) const KINDS: [Kind; 7] = [
    Kind {
        group: "",
        name: "ServiceAccount",
        plural: "serviceaccounts",
    },
    Kind {
        group: "rbac.authorization.k8s.io",
        name: "Role",
        plural: "roles",
    },
    Kind {
        group: "rbac.authorization.k8s.io",
        name: "RoleBinding",
        plural: "rolebindings",
    },
    Kind {
        group: "",
        name: "ConfigMap",
        plural: "configmaps",
    },
    Kind {
        group: "",
        name: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
    },
    Kind {
        group: "",
        name: "Service",
        plural: "services",
    },
    Kind {
        group: "apps",
        name: "Deployment",
        plural: "deployments",
    },
];

impl Kind {
    /// The kind as the client names it; all of them are of version v1.
    pub(crate) fn resource(self) -> ApiResource {
        let api_version = if self.group.is_empty() {
            "v1".to_owned()
        } else {
            format!("{}/v1", self.group)
        };
        ApiResource {
            group: self.group.to_owned(),
            version: "v1".to_owned(),
            api_version,
            kind: self.name.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

/// An object as it should be.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The whole object, with the digest of the rest in an annotation.
    pub(crate) object: Value,
}

/// Renders all objects, those first that others need.
pub(super) fn render(registry: &Registry, workload: &Workload) -> Vec<Rendered> {
    let name = registry.name_any();
    let config = config::render(registry, workload);
    let config_name = config.name.clone();
    let mut objects = vec![
        access::service_account(&name),
        access::role(&name),
        access::role_binding(&name, &registry.namespace().unwrap_or_default()),
        config,
    ];
    objects.extend(storage::claim(&name, &workload.storage));
    objects.push(service::render(&name, workload));
    objects.push(deployment::render(registry, workload, &config_name));
    objects.into_iter().map(|object| object.finish(registry)).collect()
}

/// An object before the parts that all have in common are added.
struct Draft {
    kind: &'static str,
    name: String,
    /// Whether it goes with its Registry.
    owned: bool,
    body: Value,
}

impl Draft {
    fn finish(self, registry: &Registry) -> Rendered {
        let kind = KINDS
            .into_iter()
            .find(|kind| kind.name == self.kind)
            .expect("every draft is of a listed kind");
        let mut object = Map::new();
        object.insert("apiVersion".into(), kind.resource().api_version.into());
        object.insert("kind".into(), kind.name.into());
        let mut metadata = json!({
            "name": self.name,
            "namespace": registry.namespace(),
            "labels": names::object_labels(&registry.name_any()),
        });
        if self.owned {
            metadata["ownerReferences"] = json!([registry.controller_owner_ref(&())]);
        }
        object.insert("metadata".into(), metadata);
        if let Value::Object(body) = self.body {
            object.extend(body);
        }
        let mut object = Value::Object(object);
        let digest = hex::encode(&Sha256::digest(object.to_string())[..8]);
        object["metadata"]["annotations"] = json!({ annotations::RENDERED: digest });
        Rendered {
            kind,
            name: self.name,
            object,
        }
    }
}
