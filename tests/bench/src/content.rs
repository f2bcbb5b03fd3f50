//! What is pushed.

use anyhow::{Result, ensure};
use faults::http::Connection;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// The media type of an image.
pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The size of a large layer in bytes.
pub(crate) const LAYER_BYTES: usize = 512 * 1024 * 1024;

/// Bytes that no file system or network makes smaller.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    StdRng::seed_from_u64(1).fill_bytes(&mut content);
    content
}

/// The digest of some bytes.
pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// A small image: its config, and its manifest of about 1.5 KB.
pub(crate) struct Image {
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    pub(crate) fn new() -> Self {
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec();
        let descriptor = serde_json::json!({
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(&config),
            "size": config.len(),
        });
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": descriptor,
            "layers": vec![&descriptor; 8],
        });
        Self {
            manifest: manifest.to_string().into_bytes(),
            config,
        }
    }

    /// Pushes the image.
    pub(crate) fn push(&self, connection: &mut Connection, repository: &str, tag: &str) -> Result<()> {
        push_blob(connection, repository, &self.config)?;
        let path = format!("/v2/{repository}/manifests/{tag}");
        let reply = connection.ask("PUT", &path, &[("Content-Type", IMAGE)], &self.manifest)?;
        ensure!(reply.status == 201, "a manifest was answered with {}", reply.shown());
        Ok(())
    }
}

/// Pushes a blob by `POST` and `PUT`.
pub(crate) fn push_blob(connection: &mut Connection, repository: &str, content: &[u8]) -> Result<()> {
    let begun = connection.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"")?;
    ensure!(begun.status == 202, "an upload was answered with {}", begun.shown());
    let path = with_digest(session(&begun)?, &digest(content));
    let reply = connection.ask("PUT", &path, &[], content)?;
    ensure!(reply.status == 201, "a blob was answered with {}", reply.shown());
    Ok(())
}

/// The path of an upload session.
pub(crate) fn session(reply: &faults::http::Reply) -> Result<&str> {
    let location = reply.header("location").unwrap_or_default();
    let path = location
        .split_once("//")
        .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let path = path.unwrap_or(location);
    ensure!(path.starts_with("/v2/"), "no session in the location `{location}`");
    Ok(path)
}

pub(crate) fn with_digest(path: &str, digest: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}digest={digest}")
}
