//! Kinds of content: images, indexes, artifacts, referrers, and what is odd about some of them.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use wharfinger_registry::oci::{Algorithm, Digest};

use crate::fixture::{INDEX, MANIFEST};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The largest manifest that is taken.
const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;

/// What is pushed together: blobs, then manifests in the order in which they refer to each other.
pub(super) struct Content {
    algorithm: Algorithm,
    pub(super) blobs: Vec<(Digest, Bytes)>,
    pub(super) manifests: Vec<Pushed>,
    /// What the registry is set to do with references to what it does not have.
    pub(super) missing_references: &'static str,
}

/// A manifest as it is sent, and what the registry is to say of it.
pub(super) struct Pushed {
    pub(super) digest: Digest,
    pub(super) media_type: &'static str,
    pub(super) content: Bytes,
    pub(super) tags: Vec<&'static str>,
    pub(super) subject: Option<String>,
    /// Its entry in the list of its subject's referrers.
    pub(super) entry: Value,
}

impl Content {
    pub(super) fn of(algorithm: Algorithm, fill: Fill) -> Self {
        let mut content = Self {
            algorithm,
            blobs: Vec::new(),
            manifests: Vec::new(),
            missing_references: "Refuse",
        };
        fill(&mut content);
        content
    }

    /// A descriptor of what is not pushed.
    fn elsewhere(&self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::of(self.algorithm, content);
        json!({ "mediaType": media_type, "digest": digest.as_str(), "size": content.len() })
    }

    /// Adds a blob, and returns its descriptor.
    fn blob(&mut self, media_type: &str, content: impl Into<Bytes>) -> Value {
        let content = content.into();
        let descriptor = self.elsewhere(media_type, &content);
        let digest = Digest::of(self.algorithm, &content);
        if !self.blobs.iter().any(|(known, _)| *known == digest) {
            self.blobs.push((digest, content));
        }
        descriptor
    }

    /// An image of two layers; it is not added yet.
    fn image(&mut self, name: &str) -> Value {
        let config = self.blob(CONFIG, json!({ "os": "linux", "author": name }).to_string());
        let layers = [1, 2].map(|number| self.blob(LAYER_GZIP, format!("layer {number} of {name}")));
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers })
    }

    /// An artifact of one layer; it is not added yet.
    fn artifact(&mut self, name: &str, artifact_type: &str) -> Value {
        let config = self.blob(EMPTY, "{}");
        let layer = self.blob(artifact_type, format!("artifact {name}"));
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
            "config": config, "layers": [layer], "annotations": { "note": name },
        })
    }

    /// Adds an index of images of two platforms with what `extra` says beside, and returns its descriptor.
    fn index(&mut self, name: &str, tags: &[&'static str], extra: Value) -> Value {
        let children = ["amd64", "arm64"].map(|architecture| {
            let image = self.image(&format!("{name} for {architecture}"));
            let mut child = self.add(&[], &image);
            child["platform"] = json!({ "os": "linux", "architecture": architecture });
            child
        });
        self.add(tags, &index_of(&children, extra))
    }

    /// Adds a manifest, and returns its descriptor.
    fn add(&mut self, tags: &[&'static str], manifest: &Value) -> Value {
        let content = Bytes::from(manifest.to_string());
        let media_type = if manifest["mediaType"] == INDEX {
            INDEX
        } else {
            MANIFEST
        };
        let descriptor = self.elsewhere(media_type, &content);
        let mut entry = descriptor.clone();
        let given = manifest.get("artifactType").or(manifest["config"].get("mediaType"));
        for (field, value) in [("artifactType", given), ("annotations", manifest.get("annotations"))] {
            if let Some(value) = value {
                entry[field] = value.clone();
            }
        }
        self.manifests.push(Pushed {
            digest: Digest::of(self.algorithm, &content),
            media_type,
            content,
            tags: tags.to_vec(),
            subject: manifest["subject"]["digest"].as_str().map(str::to_owned),
            entry,
        });
        descriptor
    }

    pub(super) fn tags(&self) -> BTreeSet<&'static str> {
        self.manifests
            .iter()
            .flat_map(|manifest| manifest.tags.clone())
            .collect()
    }
}

fn index_of(children: &[Value], extra: Value) -> Value {
    with(
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children }),
        extra,
    )
}

fn with(mut manifest: Value, extra: Value) -> Value {
    let Value::Object(extra) = extra else { panic!("{extra}") };
    manifest.as_object_mut().unwrap().extend(extra);
    manifest
}

pub(super) type Fill = fn(&mut Content);

pub(super) const KINDS: [(&str, Fill); 19] = [
    ("an image", |content| {
        let image = content.image("one");
        content.add(&["image", "Image.1_2-3"], &image);
    }),
    ("an image of layers that are not compressed", |content| {
        let mut image = content.image("plain");
        image["layers"] = json!([content.blob(LAYER, "plain layer")]);
        content.add(&["plain"], &image);
    }),
    ("a manifest as large as one may be", |content| {
        let image = content.image("large");
        let large = |length: usize| with(image.clone(), json!({ "annotations": { "large": "A".repeat(length) } }));
        // Two bytes are left for what makes another digest of it.
        let length = LARGEST_MANIFEST - 2 - large(0).to_string().len();
        content.add(&["large"], &large(length));
    }),
    ("an index", |content| {
        content.index("one", &["index"], json!({}));
    }),
    ("an index of indexes", |content| {
        let children = ["first", "second"].map(|name| content.index(name, &[], json!({})));
        content.add(&["nested"], &index_of(&children, json!({})));
    }),
    ("an index of nothing", |content| {
        content.add(&["empty"], &index_of(&[], json!({})));
    }),
    ("an artifact", |content| {
        let artifact = content.artifact("one", "application/vnd.example");
        content.add(&["artifact"], &artifact);
    }),
    ("an index of artifacts", |content| {
        let children = ["first", "second"].map(|name| {
            let artifact = content.artifact(name, "application/vnd.example");
            content.add(&[], &artifact)
        });
        let extra = json!({ "artifactType": "application/vnd.example" });
        content.add(&["artifacts"], &index_of(&children, extra));
    }),
    ("an artifact that is all in its manifest", |content| {
        let nothing = content.blob(EMPTY, "{}");
        let artifact = content.artifact("bare", "application/vnd.example");
        content.blobs.truncate(1);
        content.add(&["bare"], &with(artifact, json!({ "layers": [nothing] })));
    }),
    ("an image with referrers of three kinds", |content| {
        let image = content.image("subject");
        let subject = content.add(&["subject"], &image);
        let referrer = content.image("referrer without an artifact type");
        content.add(&[], &with(referrer, json!({ "subject": subject })));
        for (tag, artifact_type) in [
            ("first", "application/vnd.example.1"),
            ("second", "application/vnd.example.2"),
        ] {
            let artifact = content.artifact(tag, artifact_type);
            content.add(&[tag], &with(artifact, json!({ "subject": subject })));
        }
    }),
    ("an index with an index as its referrer", |content| {
        let subject = content.index("subject", &["subject"], json!({}));
        let artifact_type = "application/vnd.example+list";
        let extra = json!({ "subject": subject, "artifactType": artifact_type, "annotations": { "note": "index" } });
        content.index("referrer", &["referrer"], extra);
    }),
    ("a referrer of what is not there", |content| {
        let subject = content.elsewhere(MANIFEST, b"nowhere");
        let artifact = content.artifact("lonely", "application/vnd.example");
        content.add(&["lonely"], &with(artifact, json!({ "subject": subject })));
    }),
    ("descriptors with their content", |content| {
        let mut image = content.image("with data");
        let config = content.blobs.first().unwrap().1.clone();
        image["config"]["data"] = json!(STANDARD.encode(config));
        content.add(&["data"], &image);
    }),
    ("an image with layers from elsewhere", |content| {
        let mut image = content.image("partly elsewhere");
        let mut foreign = content.elsewhere(NONDISTRIBUTABLE, b"not to be distributed");
        foreign["urls"] = json!(["https://store.example.com/layer"]);
        image["layers"].as_array_mut().unwrap().insert(0, foreign);
        content.add(&["foreign"], &image);
    }),
    ("fields that nobody knows", |content| {
        let mut image = content.image("with fields of its own");
        image["config"]["org.example.own"] = json!({ "a": [1, null, "x"] });
        let child = content.add(&[], &with(image, json!({ "org.example.own": [{}] })));
        content.add(&["own"], &index_of(&[child], json!({ "org.example.own": "x" })));
    }),
    ("an image without layers", |content| {
        let image = content.image("bare");
        content.blobs.truncate(1);
        content.add(&["no-layers"], &with(image, json!({ "layers": [] })));
    }),
    ("an image that lacks a layer", |content| {
        content.missing_references = "Allow";
        let image = content.image("sparse");
        content.blobs.pop();
        content.add(&["sparse"], &image);
    }),
    ("an index that lacks an image", |content| {
        content.missing_references = "AllowInIndexes";
        let image = content.image("there");
        let there = content.add(&[], &image);
        let nowhere = content.elsewhere(MANIFEST, b"nowhere");
        content.add(&["sparse-index"], &index_of(&[there, nowhere], json!({})));
    }),
    ("manifests without a tag", |content| {
        content.index("untagged", &[], json!({}));
    }),
];
