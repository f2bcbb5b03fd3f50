//! [`Monitoring`]: what a registry tells of its work, beside its log and its metrics.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the registry tells of its work, beside its log and its metrics. A change restarts it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// The audit stream: a line of JSON for each request, with who asked for what, from where, and what policy said.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditStream>,
    /// Traces. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
}

/// Where the audit stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum AuditStream {
    /// To the container's standard output; its log is on standard error.
    Stdout,
}

/// Where traces are sent, by OTLP over HTTP without TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Traces {
    /// Address of the collector, such as `http://collector.observability:4318`; `/v1/traces` is added where it has no path.
    #[schemars(
        length(max = 300),
        regex(pattern = r"^http://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$")
    )]
    pub endpoint: String,
    /// How many of a million requests are traced, unless a trusted proxy has decided it for one. Default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub sampling_rate_per_million: Option<i32>,
}
