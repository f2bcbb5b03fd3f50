//! The Deployment of the registry's Pods, which pass the `restricted` Pod Security Standard.

use crds::{Registry, Resources};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Draft, storage};
use crate::names;
use crate::registry::validate::Workload;

/// How long a Pod may finish what clients have begun.
const GRACE_SECONDS: i64 = 60;

pub(super) fn render(registry: &Registry, workload: &Workload, config: &str) -> Draft {
    let name = registry.name_any();
    let mut labels = names::object_labels(&name);
    labels["app.kubernetes.io/component"] = json!("registry");
    let body = json!({
        "spec": {
            "replicas": workload.replicas,
            "revisionHistoryLimit": 2,
            "selector": { "matchLabels": names::pod_selector(&name) },
            // One process per volume: the old one ends before the new one begins.
            "strategy": { "type": "Recreate" },
            "template": {
                "metadata": { "labels": labels },
                "spec": pod(&name, registry, workload, config),
            },
        },
    });
    Draft {
        kind: "Deployment",
        name,
        owned: true,
        body,
    }
}

fn pod(name: &str, registry: &Registry, workload: &Workload, config: &str) -> Value {
    let mut pod = json!({
        "serviceAccountName": names::pod_account(name),
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": names::UID,
            "runAsGroup": names::UID,
            "fsGroup": names::UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(registry, workload)],
        "volumes": [
            { "name": "config", "configMap": { "name": config } },
            { "name": "access", "projected": { "sources": access_sources(name) } },
            { "name": "saved", "emptyDir": { "medium": "Memory", "sizeLimit": "16Mi" } },
            storage::volume(name, &workload.storage),
        ],
    });
    if let (Some(secret), Some(volumes)) = (&workload.tls_secret, pod["volumes"].as_array_mut()) {
        // The whole Secret, so that the kubelet replaces it in place; optional, so that a Pod without a certificate starts
        // and says what it lacks.
        let items = ["tls.crt", "tls.key"].map(|key| json!({ "key": key, "path": key }));
        let source = json!({ "secretName": secret, "optional": true, "defaultMode": 0o440, "items": items });
        volumes.push(json!({ "name": "tls", "secret": source }));
    }
    pod
}

fn container(registry: &Registry, workload: &Workload) -> Value {
    let probe = |path: &str, period: i32, failures: i32| {
        json!({
            "httpGet": { "path": path, "port": "admin" },
            "periodSeconds": period,
            "failureThreshold": failures,
            "timeoutSeconds": 5,
        })
    };
    let mut container = json!({
        "name": "registry",
        "image": workload.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["serve", "--config", format!("{}/server.yaml", names::CONFIG_DIR), "--log-format", "json"],
        "ports": [
            { "name": "registry", "containerPort": names::REGISTRY_PORT, "protocol": "TCP" },
            { "name": "admin", "containerPort": names::ADMIN_PORT, "protocol": "TCP" },
        ],
        "resources": resources(registry.spec.pod.as_ref().and_then(|pod| pod.resources.as_ref())),
        "startupProbe": probe("/livez", 1, 60),
        "livenessProbe": probe("/livez", 10, 3),
        "readinessProbe": probe("/readyz", 2, 2),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "config", "mountPath": names::CONFIG_DIR, "readOnly": true },
            { "name": "access", "mountPath": names::ACCESS_DIR, "readOnly": true },
            { "name": "saved", "mountPath": names::SAVED_DIR },
            { "name": "data", "mountPath": names::DATA_DIR },
        ],
    });
    if let (Some(_), Some(mounts)) = (&workload.tls_secret, container["volumeMounts"].as_array_mut()) {
        mounts.push(json!({ "name": "tls", "mountPath": names::TLS_DIR, "readOnly": true }));
    }
    container
}

fn resources(given: Option<&Resources>) -> Value {
    given.map_or_else(
        || json!({ "requests": { "cpu": "10m", "memory": "64Mi" } }),
        |given| serde_json::to_value(given).expect("resources have only string keys"),
    )
}

/// All nine access Secrets, each in a folder of its name and each optional, so that growth restarts nothing.
fn access_sources(name: &str) -> Vec<Value> {
    let index = names::access_secret(name);
    let items = |secret: &str| {
        let keys: &[&str] = if *secret == index {
            &["index", "content"]
        } else {
            &["content"]
        };
        let items: Vec<Value> = keys
            .iter()
            .map(|key| json!({ "key": key, "path": format!("{secret}/{key}") }))
            .collect();
        items
    };
    let sources = names::access_secrets(name).into_iter();
    sources
        .map(|secret| json!({ "secret": { "name": secret, "optional": true, "items": items(&secret) } }))
        .collect()
}
