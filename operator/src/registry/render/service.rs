//! The Service in front of the Pods.

use crds::ServiceType;
use serde_json::json;

use super::Draft;
use crate::names;
use crate::registry::validate::Workload;

pub(super) fn render(registry: &str, workload: &Workload) -> Draft {
    let mut port =
        json!({ "name": "registry", "port": workload.service_port, "targetPort": "registry", "protocol": "TCP" });
    if let Some(node_port) = workload.node_port {
        port["nodePort"] = json!(node_port);
    }
    let mut spec = json!({ "type": workload.service_type, "selector": names::pod_selector(registry), "ports": [port] });
    // The API server refuses it where nobody comes from outside, and whoever has set it there keeps it where the spec says nothing.
    if let Some(policy) = workload.external_traffic_policy
        && workload.service_type != ServiceType::ClusterIP
    {
        spec["externalTrafficPolicy"] = json!(policy);
    }
    let body = json!({ "spec": spec });
    Draft {
        kind: "Service",
        name: registry.to_owned(),
        owned: true,
        body,
    }
}
