//! Images made up for the tests, and pushing and pulling them without any client program.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use rand::RngCore;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::http::{Connection, Credentials};
use crate::registry::Target;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest.
    pub manifest: Bytes,
    /// What the manifest names: the configuration, then the layer.
    pub blobs: [Bytes; 2],
}

/// The digest of some bytes, as the OCI specifications write it.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Image {
    /// An image that no other is like, whose one layer holds a file of so many random bytes.
    pub fn random(size: usize) -> Self {
        let mut content = vec![0; size];
        rand::rng().fill_bytes(&mut content);
        let archive = tar("file", &content);
        let layer = Bytes::from(gzip(&archive));
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest(&archive)] },
        });
        let config = Bytes::from(config.to_string());
        let descriptor = |media_type: &str, bytes: &Bytes| json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER, &layer)],
        });
        Self {
            manifest: Bytes::from(manifest.to_string()),
            blobs: [config, layer],
        }
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// Writes the image as an OCI layout, which skopeo and crane read.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn write_layout(&self, folder: &Path) -> Result<()> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        for bytes in self.blobs.iter().chain([&self.manifest]) {
            fs::write(blobs.join(digest(bytes).trim_start_matches("sha256:")), bytes)?;
        }
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST,
                "digest": self.digest(),
                "size": self.manifest.len(),
                "annotations": { "org.opencontainers.image.ref.name": "latest" },
            }],
        });
        Ok(fs::write(folder.join("index.json"), index.to_string())?)
    }

    /// Pushes the image.
    ///
    /// # Errors
    /// With the first answer that is not what it should be.
    pub async fn push(&self, target: Target, who: &Credentials, repository: &str, tag: &str) -> Result<()> {
        let mut connection = target.connect().await?;
        for blob in &self.blobs {
            push_blob(&mut connection, who, repository, blob).await?;
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        let put = connection
            .send_with(
                Method::PUT,
                &path,
                who,
                &[("Content-Type", MANIFEST)],
                self.manifest.clone(),
            )
            .await?;
        ensure!(put.status == 201, "PUT {path}: {} {}", put.status, put.text());
        Ok(())
    }

    /// Pulls the image by its tag or digest, and checks every byte.
    ///
    /// # Errors
    /// Where it is not there or not the same.
    pub async fn pull(&self, target: Target, who: &Credentials, repository: &str, reference: &str) -> Result<()> {
        let mut connection = target.connect().await?;
        let path = format!("/v2/{repository}/manifests/{reference}");
        let answer = connection
            .send_with(Method::GET, &path, who, &[("Accept", MANIFEST)], Bytes::new())
            .await?;
        ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.text());
        ensure!(answer.body == self.manifest, "GET {path} gave another manifest");
        for blob in &self.blobs {
            let path = format!("/v2/{repository}/blobs/{}", digest(blob));
            let answer = connection.get(&path, who).await?;
            ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.text());
            ensure!(answer.body == *blob, "GET {path} gave other bytes");
        }
        Ok(())
    }
}

/// Uploads a blob (POST, then PUT).
///
/// # Errors
/// With the first answer that is not what it should be.
pub async fn push_blob(connection: &mut Connection, who: &Credentials, repository: &str, blob: &Bytes) -> Result<()> {
    let location = begin_upload(connection, who, repository).await?;
    finish_upload(connection, who, &location, blob, Bytes::from(blob.to_vec())).await
}

/// Begins an upload and returns where it goes on.
///
/// # Errors
/// Where the registry refuses.
pub async fn begin_upload(connection: &mut Connection, who: &Credentials, repository: &str) -> Result<String> {
    let path = format!("/v2/{repository}/blobs/uploads/");
    let begun = connection.send(Method::POST, &path, who, Bytes::new()).await?;
    ensure!(begun.status == 202, "POST {path}: {} {}", begun.status, begun.text());
    location_of(&begun.header("Location"))
}

/// Ends an upload with its last bytes.
///
/// # Errors
/// Where the registry refuses.
pub async fn finish_upload(
    connection: &mut Connection,
    who: &Credentials,
    location: &str,
    whole: &Bytes,
    last: Bytes,
) -> Result<()> {
    let separator = if location.contains('?') { '&' } else { '?' };
    let path = format!("{location}{separator}digest={}", digest(whole));
    let done = connection
        .send_with(
            Method::PUT,
            &path,
            who,
            &[("Content-Type", "application/octet-stream")],
            last,
        )
        .await?;
    ensure!(done.status == 201, "PUT {path}: {} {}", done.status, done.text());
    Ok(())
}

/// The path of a Location, which may be a whole URL.
fn location_of(location: &str) -> Result<String> {
    ensure!(!location.is_empty(), "there is no Location");
    let Some((_, rest)) = location.split_once("://") else {
        return Ok(location.into());
    };
    let path = rest.find('/').map(|at| rest[at..].to_owned());
    path.context("the Location has no path")
}

/// Compressed as clients compress layers: most of them would compress one that is not, and so change its digest.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("memory can be written to")
}

/// An archive of one file (POSIX ustar).
pub fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}
