//! The server document: what the registry must know before it can listen, and what needs a restart to change.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::document::{self, DocumentError};
use crate::{Audit, DurationText, Problem, Traces};

/// The server document, `kind: ServerConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerConfig {
    /// Always `ServerConfig`.
    pub kind: String,
    /// Version of this document's format; 1.
    pub format_version: u32,
    /// Address and port of the registry API, such as `127.0.0.1:5000`.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Address and port of `/livez`, `/readyz`, `/status` and `/metrics`. Never the one of `listen`: what stands there is
    /// not for clients.
    #[serde(deserialize_with = "address")]
    pub admin_listen: SocketAddr,
    /// The certificate of the registry API. Absent: clients talk to it without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// How much one client, and all together, may ask of the process.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// How long upload sessions live, and how many there may be.
    #[serde(default, skip_serializing_if = "Uploads::is_default")]
    pub uploads: Uploads,
    /// Where the audit stream goes. Absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Where traces are sent. Absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// Where blobs and manifests are kept.
    pub storage: Storage,
    /// The Secret that holds the access document, in a cluster. Absent stand-alone, where `--access` names a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_secret: Option<AccessSecret>,
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        let hint = "write an IP address and a port, such as `127.0.0.1:5000`, or `0.0.0.0:5000` for every address of the machine";
        serde::de::Error::custom(format!("`{text}` is no address to listen on: {hint}"))
    })
}

/// The files of a certificate and its private key, in PEM. They are followed while the registry runs: a pair that cannot
/// be used changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsFiles {
    /// The server's certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key, not encrypted.
    pub private_key: PathBuf,
}

/// How much one client, and all together, may ask of the process, and how long a connection may be silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once; more wait until one ends. Default 10000.
    pub connections: NonZeroU32,
    /// Connections at once from one address that is not a trusted proxy's; more are closed. Many clients may share an
    /// address. Default 2000.
    pub connections_per_address: NonZeroU32,
    /// Downloads and other readings at once of one identity, or of one address without one; more are answered with 429.
    /// Default 2000.
    pub requests_per_identity: NonZeroU32,
    /// How long a connection may take for its first byte, with TLS for the whole handshake. Default `10s`.
    pub handshake_timeout: DurationText,
    /// How long the head of a request may take, and how long a connection may be idle. Default `60s`.
    pub idle_timeout: DurationText,
    /// How long a body may stand still, in either direction. There is no limit on a transfer that moves. Default `60s`.
    pub stall_timeout: DurationText,
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Limits {
    fn default() -> Self {
        const fn count(number: u32) -> NonZeroU32 {
            NonZeroU32::MIN.saturating_add(number - 1)
        }
        Self {
            connections: count(10_000),
            connections_per_address: count(2_000),
            requests_per_identity: count(2_000),
            handshake_timeout: DurationText::from_secs(10),
            idle_timeout: DurationText::from_secs(60),
            stall_timeout: DurationText::from_secs(60),
        }
    }
}

/// How long upload sessions live that nobody writes to, and how many one identity may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Uploads {
    /// After how long a session is removed that nobody has written to. Default `24h`.
    pub expire_after: DurationText,
    /// Sessions that one identity, or one address without an identity, may have open; more are answered with 429. Default
    /// 1000.
    pub sessions_per_identity: NonZeroU32,
}

impl Uploads {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            expire_after: DurationText::from_secs(24 * 60 * 60),
            sessions_per_identity: NonZeroU32::MIN.saturating_add(999),
        }
    }
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

    /// Parses the document and checks what its parts say together, as the registry does before it starts.
    ///
    /// # Errors
    /// As [`ServerConfig::parse`], and with everything that [`ServerConfig::problems`] finds.
    pub fn accept(text: &str) -> Result<Self, DocumentError> {
        let config = Self::parse(text)?;
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(DocumentError::Invalid(problems));
        }
        Ok(config)
    }

    /// What is wrong with the document although each value alone is well formed.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.listen == self.admin_listen && self.listen.port() != 0 {
            let message = "the admin port must not be the one that clients reach: give it another port";
            problems.push(Problem::new("adminListen", message));
        }
        let Limits {
            handshake_timeout,
            idle_timeout,
            stall_timeout,
            ..
        } = self.limits;
        for (field, timeout) in [
            ("handshakeTimeout", handshake_timeout),
            ("idleTimeout", idle_timeout),
            ("stallTimeout", stall_timeout),
        ] {
            if timeout.get().is_zero() {
                problems.push(Problem::new(
                    format!("limits.{field}"),
                    "give at least `1s`: nobody could ever answer in no time",
                ));
            }
        }
        if self.uploads.expire_after.get().is_zero() {
            problems.push(Problem::new(
                "uploads.expireAfter",
                "give at least `1s`: no upload could ever be completed in no time",
            ));
        }
        problems.extend(self.traces.iter().flat_map(Traces::problems));
        problems
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
    fn what_is_left_out_of_the_limits_has_its_default_and_no_time_at_all_is_a_problem() {
        let config = ServerConfig::parse(&format!("{GOOD}limits:\n  connections: 5\n  stallTimeout: 0s\n")).unwrap();
        let limits = Limits {
            connections: NonZeroU32::new(5).unwrap(),
            stall_timeout: DurationText::from_secs(0),
            ..Limits::default()
        };
        assert_eq!(config.limits, limits);
        assert_eq!(limits.connections_per_address.get(), 2_000);
        let problems: Vec<String> = config.problems().into_iter().map(|problem| problem.path).collect();
        assert_eq!(problems, ["limits.stallTimeout"]);
        assert!(ServerConfig::parse(&format!("{GOOD}limits:\n  connections: 0\n")).is_err());
    }

    #[test]
    fn uploads_have_their_defaults_and_must_live_for_some_time() {
        let config = ServerConfig::parse(GOOD).unwrap();
        assert_eq!(config.uploads.expire_after.to_string(), "24h");
        assert_eq!(config.uploads.sessions_per_identity.get(), 1000);
        let config = ServerConfig::parse(&format!("{GOOD}uploads:\n  expireAfter: 0s\n")).unwrap();
        let problems: Vec<String> = config.problems().into_iter().map(|problem| problem.path).collect();
        assert_eq!(problems, ["uploads.expireAfter"]);
    }

    #[test]
    fn refuses_a_misspelt_field_with_its_line() {
        let error = ServerConfig::parse(&GOOD.replace("adminListen", "adminlisten"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 4") && error.contains("adminlisten"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_line_and_an_example() {
        for wrong in ["localhost:5000", "5000", ":5000", "127.0.0.1:70000"] {
            let error = ServerConfig::parse(&GOOD.replace("127.0.0.1:5000", &format!("'{wrong}'")));
            let error = error.unwrap_err().to_string();
            assert!(
                error.contains("line 3") && error.contains(wrong) && error.contains("0.0.0.0:5000"),
                "{error}"
            );
        }
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
