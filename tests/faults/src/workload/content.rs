//! What is pushed.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde_json::json;

/// How many blobs all clients know, and push to the same places at the same time.
const SHARED: u64 = 6;
/// Blobs of this size and more are written in several steps.
const LARGE: usize = 700_000;

/// One of the blobs that everybody has.
pub(super) fn shared(random: &mut StdRng) -> Arc<[u8]> {
    let number = random.random_range(0..SHARED);
    bytes(&mut StdRng::seed_from_u64(number))
}

/// A blob that nobody else has: its first bytes name its owner.
pub(super) fn own(random: &mut StdRng, name: &str) -> Arc<[u8]> {
    let mut content = name.as_bytes().to_vec();
    content.extend_from_slice(&bytes(random));
    content.into()
}

fn bytes(random: &mut StdRng) -> Arc<[u8]> {
    let length = match random.random_range(0..20) {
        0 => LARGE,
        1..4 => random.random_range(5_000..60_000),
        _ => random.random_range(64..2_000),
    };
    let mut content = vec![0; length];
    random.fill_bytes(&mut content);
    content.into()
}

/// A manifest of these blobs, which nobody else has.
pub(super) fn manifest(name: &str, blobs: &[(String, usize)]) -> Arc<[u8]> {
    let descriptor = |(digest, size): &(String, usize)| json!({"mediaType": "application/octet-stream", "digest": digest, "size": size});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(&blobs[0]),
        "layers": blobs[1..].iter().map(descriptor).collect::<Vec<_>>(),
        "annotations": {"name": name},
    });
    manifest.to_string().into_bytes().into()
}

/// The media type of manifests.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
