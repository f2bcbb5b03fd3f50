//! What is pushed: small images, indexes of them, and signatures, in the forms of OCI and of Docker.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const OCI: &str = "application/vnd.oci.image";
const DOCKER: &str = "application/vnd.docker";

/// The name of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Bytes and their media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they are.
    pub media_type: String,
}

impl Content {
    fn new(media_type: String, bytes: Vec<u8>) -> Self {
        Self { bytes, media_type }
    }

    /// The name of the bytes.
    pub fn digest(&self) -> String {
        digest(&self.bytes)
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len() })
    }
}

/// A manifest and the blobs that it refers to.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest.
    pub manifest: Content,
    /// Configuration and layers.
    pub blobs: Vec<Content>,
}

impl Image {
    /// An image in OCI's form, told apart by its name.
    pub fn oci(name: &str) -> Self {
        Self::of(
            format!("{OCI}.manifest.v1+json"),
            format!("{OCI}.config.v1+json"),
            format!("{OCI}.layer.v1.tar"),
            name,
        )
    }

    /// An image in Docker's form.
    pub fn docker(name: &str) -> Self {
        Self::of(
            format!("{DOCKER}.distribution.manifest.v2+json"),
            format!("{DOCKER}.container.image.v1+json"),
            format!("{DOCKER}.image.rootfs.diff.tar"),
            name,
        )
    }

    /// A signature of a manifest, as cosign makes it.
    pub fn signature(of: &Content) -> Self {
        Self::of(
            format!("{OCI}.manifest.v1+json"),
            format!("{OCI}.config.v1+json"),
            "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
            &format!("signature of {}", of.digest()),
        )
    }

    /// An image that names another manifest as its subject.
    pub fn referring(to: &Content, name: &str) -> Self {
        let mut image = Self::oci(name);
        let text: Result<Value, _> = serde_json::from_slice(&image.manifest.bytes);
        if let Ok(mut text) = text {
            text["subject"] = to.descriptor();
            image.manifest.bytes = text.to_string().into_bytes();
        }
        image
    }

    fn of(manifest: String, config: String, layer: String, name: &str) -> Self {
        let text = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": [] }, "comment": name });
        let config = Content::new(config, text.to_string().into_bytes());
        // Larger than what registries read at once.
        let layer = Content::new(layer, format!("layer of {name}\n").into_bytes().repeat(3000));
        let text = json!({ "schemaVersion": 2, "mediaType": manifest, "config": config.descriptor(), "layers": [layer.descriptor()] });
        Self {
            manifest: Content::new(manifest, text.to_string().into_bytes()),
            blobs: vec![config, layer],
        }
    }

    /// An index of images.
    pub fn index(images: &[&Self]) -> Content {
        let manifests: Vec<Value> = images
            .iter()
            .zip(["amd64", "arm64", "s390x"])
            .map(|(image, architecture)| {
                let mut descriptor = image.manifest.descriptor();
                descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
                descriptor
            })
            .collect();
        let media_type = format!("{OCI}.index.v1+json");
        let text = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        Content::new(media_type, text.to_string().into_bytes())
    }
}
