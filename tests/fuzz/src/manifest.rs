//! Manifests.

use serde_json::Value;
use wharfinger_registry::oci::Manifest;

use super::DIGEST;

/// What is accepted as a manifest is one to any reader of JSON, and says the same to it. What is stored already may be less: another
/// registry may have accepted it.
pub(crate) fn check(input: &[u8]) {
    let Ok(manifest) = Manifest::parse(input) else { return };
    let Ok(value) = serde_json::from_slice::<Value>(input) else {
        assert!(
            Manifest::parse_sent(None, input).is_err(),
            "a manifest is JSON to others, too"
        );
        return;
    };
    assert_eq!(value["schemaVersion"], 2);
    let list = |name: &str| value[name].as_array().map_or(0, Vec::len);
    assert!(value["manifests"].is_null() || (value["layers"].is_null() && value["config"].is_null()));
    assert_eq!(manifest.manifests.len(), list("manifests"));
    assert!(manifest.blobs.len() <= list("layers") + usize::from(!value["config"].is_null()));
    if let Some(media_type) = value["mediaType"].as_str() {
        assert_eq!(manifest.media_type, media_type);
    }
    let descriptors = manifest
        .blobs
        .iter()
        .chain(&manifest.manifests)
        .chain(&manifest.subject);
    for descriptor in descriptors {
        assert!(DIGEST.is_match(descriptor.digest.as_str()));
    }
    for (child, written) in manifest
        .manifests
        .iter()
        .zip(value["manifests"].as_array().into_iter().flatten())
    {
        assert_eq!(written["digest"], child.digest.as_str());
        assert_eq!(written["size"], child.size);
    }
    assert_eq!(manifest.subject.is_some(), !value["subject"].is_null());
    let same = Manifest::parse_sent(Some(&manifest.media_type), input).ok();
    let is_plain = !manifest.media_type.contains(';') && manifest.media_type.trim() == manifest.media_type;
    assert!(
        !is_plain || same.as_ref() == Some(&manifest),
        "its own media type is refused"
    );
    let other = format!("x{}", manifest.media_type);
    assert!(
        Manifest::parse_sent(Some(&other), input).is_err(),
        "another media type is accepted"
    );
}
