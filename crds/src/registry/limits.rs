//! [`Limits`]: how much one client, and all together, may ask of a registry.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How much one client, and all together, may ask of the registry. All but `maxBlobSize` restart it when they change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Connections at once; more wait until one ends. Default 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: Option<i32>,
    /// Connections at once from one address that is not a trusted proxy's; more are closed. Default 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_address: Option<i32>,
    /// Downloads and other readings at once of one identity, or of one address without one; more are answered with 429.
    /// Default 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_identity: Option<i32>,
    /// The largest blob, such as `10Gi`; a larger one is refused with 413. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 20),
        regex(pattern = r"^[1-9][0-9]{0,14}$|^[1-9][0-9]{0,8}(Ki|Mi|Gi|k|M|G)$|^[1-9][0-9]{0,5}(Ti|T)$")
    )]
    pub max_blob_size: Option<String>,
    /// Upload sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads: Option<UploadLimits>,
    /// How long a connection may take for its first byte, with TLS for the whole handshake. Default `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("handshakeTimeout is at least `1s`"))]
    pub handshake_timeout: Option<String>,
    /// How long the head of a request may take, and how long a connection may be idle. Default `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("idleTimeout is at least `1s`"))]
    pub idle_timeout: Option<String>,
    /// How long a body may stand still, in either direction. There is no limit on a transfer that moves. Default `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("stallTimeout is at least `1s`"))]
    pub stall_timeout: Option<String>,
}

/// How long upload sessions live that nobody writes to, and how many one identity may have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadLimits {
    /// After how long a session is removed that nobody has written to. Default `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("expireAfter is at least `1s`"))]
    pub expire_after: Option<String>,
    /// Sessions that one identity, or one address without an identity, may have open; more are answered with 429. Default
    /// 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sessions_per_identity: Option<i32>,
}
