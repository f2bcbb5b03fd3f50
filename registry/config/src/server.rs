//! The server document: what the registry must know before it can listen, and what needs a restart to change.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::document::{self, DocumentError};

/// The server document, `kind: ServerConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerConfig {
    /// Always `ServerConfig`.
    pub kind: String,
    /// Version of this document's format; 1.
    pub format_version: u32,
    /// Address and port of the registry API, such as `127.0.0.1:5000`.
    pub listen: SocketAddr,
    /// Address and port of `/livez`, `/readyz`, `/status` and `/metrics`. Never the one of `listen`: what stands there is
    /// not for clients.
    pub admin_listen: SocketAddr,
    /// Where blobs and manifests are kept.
    pub storage: Storage,
    /// The Secret that holds the access document, in a cluster. Absent stand-alone, where `--access` names a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_secret: Option<AccessSecret>,
}

/// Where blobs and manifests are kept: exactly one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Storage {
    /// A directory in the layout of the CNCF Distribution registry.
    Filesystem(FilesystemStorage),
}

/// A directory tree in the layout of the CNCF Distribution registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilesystemStorage {
    /// The directory that holds `docker/registry/v2`. Made where it is absent. One process at a time may use it.
    pub root: PathBuf,
}

/// The Secret that holds the access document, and the two copies of it that a restarted container can read without an
/// API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessSecret {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the index Secret.
    pub name: String,
    /// Directory where the kubelet mounts the access Secrets, each in a folder of its name.
    pub mounted: PathBuf,
    /// Directory in memory where the registry saves each document that it accepted.
    pub saved: PathBuf,
}

impl ServerConfig {
    /// The document's `kind`.
    pub const KIND: &'static str = "ServerConfig";

    /// Parses the document from YAML or JSON.
    ///
    /// # Errors
    /// With line and column where the text is not such a document; an unknown field is an error.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        document::parse(Self::KIND, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kind: ServerConfig\nformatVersion: 1\nlisten: 127.0.0.1:5000\nadminListen: 127.0.0.1:5001\nstorage:\n  filesystem:\n    root: /data\n";

    #[test]
    fn parses_a_document_written_by_hand() {
        let config = ServerConfig::parse(GOOD).unwrap();
        assert_eq!(
            config.storage,
            Storage::Filesystem(FilesystemStorage { root: "/data".into() })
        );
        assert_eq!(config.access_secret, None);
    }

    #[test]
    fn refuses_a_misspelt_field_with_its_line() {
        let error = ServerConfig::parse(&GOOD.replace("adminListen", "adminlisten"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 4") && error.contains("adminlisten"), "{error}");
    }

    #[test]
    fn refuses_another_kind_and_a_version_of_the_future() {
        let kind = ServerConfig::parse(&GOOD.replace("ServerConfig", "AccessIndex")).unwrap_err();
        assert!(matches!(kind, DocumentError::Kind { .. }), "{kind}");
        let version =
            ServerConfig::parse(&GOOD.replace("formatVersion: 1", "formatVersion: 9\nnew: true")).unwrap_err();
        assert!(matches!(version, DocumentError::Version { found: 9 }), "{version}");
    }
}
