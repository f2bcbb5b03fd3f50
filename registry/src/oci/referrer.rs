//! [`Referrer`]: a manifest that says something about another one, as the list of referrers shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Manifest};

/// The descriptor of a manifest that has a `subject` (end-12a).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// The manifest's media type.
    pub media_type: String,
    /// The manifest's digest.
    pub digest: String,
    /// The manifest's size in bytes.
    pub size: u64,
    /// What kind of artifact it is, see [`Manifest::artifact_type`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifest's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Referrer {
    /// Describes a manifest of `size` bytes.
    pub fn of(digest: &Digest, manifest: &Manifest, size: usize) -> Self {
        Self {
            media_type: manifest.media_type.clone(),
            digest: digest.to_string(),
            size: size as u64,
            artifact_type: manifest.artifact_type.clone(),
            annotations: manifest.annotations.clone(),
        }
    }
}
