//! [`Manifest`]: what the registry reads of a manifest in order to store it safely and serve it again.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::Json;
use super::{Digest, InvalidDigest};

/// Media types that the registry knows by the shape of a manifest.
pub mod media_type {
    /// An image.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An index, and the list of referrers.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
}

/// A manifest as far as the registry looks into it: its media type and what it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The media type, under which the manifest is served.
    pub media_type: String,
    /// Blobs that must be in the same repository.
    pub blobs: Vec<Descriptor>,
    /// Manifests that must be in the same repository.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one says something about; it need not exist.
    pub subject: Option<Descriptor>,
    /// What kind of artifact this is: the manifest's `artifactType` or, for an image without one, its config's media type.
    pub artifact_type: Option<String>,
    /// The manifest's annotations; none where they are not a map of texts, which no client could read either.
    pub annotations: BTreeMap<String, String>,
}

/// A reference to other content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What is referred to.
    pub digest: Digest,
    /// How many bytes it must have.
    pub size: u64,
}

/// Why content is not accepted as a manifest.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// Not JSON, or JSON of another shape.
    #[error("the manifest is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// `schemaVersion` is missing or is not 2.
    #[error("the manifest's schemaVersion is not 2; convert it to an OCI or Docker schema 2 manifest")]
    SchemaVersion,
    /// An image and an index at once: clients would disagree about what it is.
    #[error("the manifest has both `manifests` and `layers` or `config`; it must be an image or an index, not both")]
    Ambiguous,
    /// Neither an image nor an index.
    #[error("the manifest has neither `config` and `layers` nor `manifests`")]
    Shapeless,
    /// The request's `Content-Type` and the manifest's `mediaType` differ.
    #[error("Content-Type is `{header}`, but the manifest's mediaType is `{body}`; send the same in both")]
    MediaType {
        /// The request's `Content-Type`.
        header: String,
        /// The manifest's own media type, or the one that follows from its shape where it has none.
        body: String,
    },
    /// A descriptor's digest is not one.
    #[error("a descriptor of the manifest is not valid: {0}")]
    Digest(#[from] InvalidDigest),
}

/// The fields that are read. Others pass unread; a field of these that stands twice is refused, because two readers
/// could take different ones.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Vec<String>,
}

impl Manifest {
    /// Reads a manifest that is already stored.
    ///
    /// # Errors
    /// Where the content is no manifest.
    pub fn parse(content: &[u8]) -> Result<Self, InvalidManifest> {
        let raw: Raw<'_> = serde_json::from_slice(content)?;
        if raw.schema_version != Some(2) {
            return Err(InvalidManifest::SchemaVersion);
        }
        let is_index = match (&raw.manifests, &raw.layers, &raw.config) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => return Err(InvalidManifest::Ambiguous),
            (Some(_), None, None) => true,
            (None, Some(_), _) | (None, None, Some(_)) => false,
            (None, None, None) => return Err(InvalidManifest::Shapeless),
        };
        let shape = if is_index {
            media_type::OCI_INDEX
        } else {
            media_type::OCI_MANIFEST
        };
        let given = raw.artifact_type.filter(|artifact_type| !artifact_type.is_empty());
        let of_config = raw.config.as_ref().map(|config| config.media_type.clone());
        let artifact_type = given.or(of_config.filter(|media_type| !media_type.is_empty()));
        let annotations = raw.annotations.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let blobs = raw.config.into_iter().chain(raw.layers.unwrap_or_default());
        Ok(Self {
            media_type: raw.media_type.unwrap_or_else(|| shape.to_owned()),
            // Foreign layers are fetched from their own addresses and need not be here.
            blobs: blobs
                .filter(|blob| !blob.is_foreign())
                .map(Descriptor::try_from)
                .collect::<Result<_, _>>()?,
            manifests: raw
                .manifests
                .unwrap_or_default()
                .into_iter()
                .map(Descriptor::try_from)
                .collect::<Result<_, _>>()?,
            subject: raw.subject.map(Descriptor::try_from).transpose()?,
            artifact_type,
            annotations: annotations.unwrap_or_default(),
        })
    }

    /// Reads a manifest that a client sends under `content_type`.
    ///
    /// # Errors
    /// Where the content is no manifest, or is one of another media type.
    pub fn parse_sent(content_type: Option<&str>, content: &[u8]) -> Result<Self, InvalidManifest> {
        // What is not read here is read by others, so it must be JSON too, which is UTF-8 (RFC 8259, section 8.1).
        serde_json::from_slice::<Json>(content)?;
        let manifest = Self::parse(content)?;
        let header = content_type.map(|header| header.split(';').next().unwrap_or_default().trim());
        match header {
            Some(header) if !header.eq_ignore_ascii_case(&manifest.media_type) => Err(InvalidManifest::MediaType {
                header: header.to_owned(),
                body: manifest.media_type,
            }),
            Some(_) | None => Ok(manifest),
        }
    }
}

impl RawDescriptor {
    fn is_foreign(&self) -> bool {
        !self.urls.is_empty()
            && (self.media_type.contains(".foreign.") || self.media_type.contains(".nondistributable."))
    }
}

impl TryFrom<RawDescriptor> for Descriptor {
    type Error = InvalidDigest;

    fn try_from(raw: RawDescriptor) -> Result<Self, Self::Error> {
        Ok(Self {
            digest: raw.digest.parse()?,
            size: raw.size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn descriptor(extra: &str) -> String {
        format!(r#"{{"mediaType":"x","digest":"{DIGEST}","size":3{extra}}}"#)
    }

    #[test]
    fn reads_images_and_indexes() {
        let (config, layer) = (descriptor(""), descriptor(""));
        let image = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
        let image = Manifest::parse(image.as_bytes()).unwrap();
        assert_eq!(
            (image.media_type.as_str(), image.blobs.len(), image.manifests.len()),
            (media_type::OCI_MANIFEST, 2, 0)
        );
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"m","manifests":[{layer}]}}"#);
        let index = Manifest::parse_sent(Some("m; charset=utf-8"), index.as_bytes()).unwrap();
        assert_eq!(
            (index.media_type.as_str(), index.blobs.len(), index.manifests.len()),
            ("m", 0, 1)
        );
    }

    #[test]
    fn reads_what_a_referrer_says_of_itself() {
        let subject = descriptor("");
        let config = descriptor("").replace("\"x\"", "\"application/vnd.example\"");
        let read = |fields: &str| Manifest::parse(format!(r#"{{"schemaVersion":2,{fields}}}"#).as_bytes()).unwrap();
        let by_config = read(&format!(
            r#""config":{config},"layers":[],"subject":{subject},"annotations":{{"a":"b"}}"#
        ));
        assert_eq!(by_config.subject.unwrap().digest.as_str(), DIGEST);
        assert_eq!(by_config.artifact_type.as_deref(), Some("application/vnd.example"));
        assert_eq!(
            by_config.annotations,
            BTreeMap::from([("a".to_owned(), "b".to_owned())])
        );
        let given = read(&format!(
            r#""config":{config},"layers":[],"artifactType":"t","annotations":[1]"#
        ));
        assert_eq!(
            (given.artifact_type.as_deref(), given.annotations.len()),
            (Some("t"), 0)
        );
        assert_eq!(read(r#""manifests":[]"#).artifact_type, None);
    }

    #[test]
    fn foreign_layers_need_not_be_here() {
        let foreign = format!(
            r#"{{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"{DIGEST}","size":3,"urls":["u"]}}"#
        );
        let image = format!(r#"{{"schemaVersion":2,"layers":[{foreign}]}}"#);
        assert_eq!(Manifest::parse(image.as_bytes()).unwrap().blobs, []);
    }

    #[test]
    fn nesting_in_fields_that_are_not_read_is_no_danger() {
        let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
        let deep = format!(r#"{{"schemaVersion":2,"layers":[],"annotations":{open}{close}}}"#);
        assert_eq!(Manifest::parse(deep.as_bytes()).unwrap().blobs, []);
    }

    #[test]
    fn refuses_what_clients_would_read_differently() {
        type Is = fn(&InvalidManifest) -> bool;
        let d = descriptor("");
        let table: [(String, Is); 9] = [
            ("{".into(), |e| matches!(e, InvalidManifest::Json(_))),
            (format!(r#"{{"schemaVersion":1,"layers":[{d}]}}"#), |e| {
                matches!(e, InvalidManifest::SchemaVersion)
            }),
            (format!(r#"{{"layers":[{d}]}}"#), |e| {
                matches!(e, InvalidManifest::SchemaVersion)
            }),
            (r#"{"schemaVersion":2}"#.into(), |e| {
                matches!(e, InvalidManifest::Shapeless)
            }),
            (format!(r#"{{"schemaVersion":2,"layers":[{d}],"manifests":[]}}"#), |e| {
                matches!(e, InvalidManifest::Ambiguous)
            }),
            (format!(r#"{{"schemaVersion":2,"config":{d},"manifests":[]}}"#), |e| {
                matches!(e, InvalidManifest::Ambiguous)
            }),
            (format!(r#"{{"schemaVersion":2,"layers":[{d}],"layers":[]}}"#), |e| {
                matches!(e, InvalidManifest::Json(_))
            }),
            (
                r#"{"schemaVersion":2,"layers":[{"digest":"sha256:x","size":1}]}"#.into(),
                |e| matches!(e, InvalidManifest::Digest(_)),
            ),
            (
                format!(r#"{{"schemaVersion":2,"layers":[{{"digest":"{DIGEST}","size":-1}}]}}"#),
                |e| matches!(e, InvalidManifest::Json(_)),
            ),
        ];
        for (text, is_expected) in table {
            let error = Manifest::parse(text.as_bytes()).unwrap_err();
            assert!(is_expected(&error), "{}: {error:?}", &text[..text.len().min(80)]);
        }
        let image = format!(r#"{{"schemaVersion":2,"layers":[{d}]}}"#);
        let error = Manifest::parse_sent(Some(media_type::OCI_INDEX), image.as_bytes()).unwrap_err();
        assert!(matches!(error, InvalidManifest::MediaType { .. }), "{error:?}");
    }
}
