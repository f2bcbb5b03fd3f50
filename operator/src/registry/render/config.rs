//! The server document, in a ConfigMap whose name carries its content's digest: a Pod keeps the one that it began with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crds::Registry;
use kube::ResourceExt;
use registry_config::{AccessSecret, FORMAT_VERSION, FilesystemStorage, ServerConfig, Storage, TlsFiles};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Draft;
use crate::names;
use crate::registry::validate::Workload;

pub(super) fn render(registry: &Registry, workload: &Workload) -> Draft {
    let name = registry.name_any();
    let server = workload.server.clone();
    let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let config = ServerConfig {
        kind: ServerConfig::KIND.to_owned(),
        format_version: FORMAT_VERSION,
        listen: any(names::REGISTRY_PORT),
        admin_listen: any(names::ADMIN_PORT),
        tls: registry.spec.tls.is_some().then(|| TlsFiles {
            certificate: format!("{}/tls.crt", names::TLS_DIR).into(),
            private_key: format!("{}/tls.key", names::TLS_DIR).into(),
        }),
        limits: server.limits,
        uploads: server.uploads,
        audit: server.audit,
        traces: server.traces,
        storage: Storage::Filesystem(FilesystemStorage {
            root: names::DATA_DIR.into(),
        }),
        access_secret: Some(AccessSecret {
            namespace: registry.namespace().unwrap_or_default(),
            name: names::access_secret(&name),
            mounted: names::ACCESS_DIR.into(),
            saved: names::SAVED_DIR.into(),
        }),
    };
    let text = serde_json::to_string_pretty(&config).expect("a server document has only string keys");
    let digest = hex::encode(&Sha256::digest(&text)[..5]);
    let body = json!({ "immutable": true, "data": { "server.yaml": text } });
    Draft {
        kind: "ConfigMap",
        name: format!("{name}-server-{digest}"),
        owned: true,
        body,
    }
}
