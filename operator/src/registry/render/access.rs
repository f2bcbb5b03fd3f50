//! What the registry's Pods may do in the cluster: follow their own access document, and nothing else.

use serde_json::json;

use super::Draft;
use crate::names;

pub(super) fn service_account(registry: &str) -> Draft {
    // The token is mounted by the Pod template; no other Pod gets one by naming this account carelessly.
    let body = json!({ "automountServiceAccountToken": false });
    Draft {
        kind: "ServiceAccount",
        name: names::pod_account(registry),
        owned: true,
        body,
    }
}

pub(super) fn role(registry: &str) -> Draft {
    let body = json!({
        "rules": [{
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": names::access_secrets(registry),
            "verbs": ["get", "list", "watch"],
        }],
    });
    Draft {
        kind: "Role",
        name: names::pod_account(registry),
        owned: true,
        body,
    }
}

pub(super) fn role_binding(registry: &str, namespace: &str) -> Draft {
    let name = names::pod_account(registry);
    let body = json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }],
    });
    Draft {
        kind: "RoleBinding",
        name,
        owned: true,
        body,
    }
}
