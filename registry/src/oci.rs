//! The names of the OCI distribution specification as types: whoever holds one holds a value that passed its grammar.
//!
//! Nothing here touches a store or a request. Everything that becomes part of a path on disk is one of these types.

mod content_range;
mod digest;
mod json;
mod manifest;
mod range;
mod reference;
mod referrer;
mod repository;
mod upload_id;

pub use content_range::{ContentRange, InvalidContentRange};
pub use digest::{Algorithm, Digest, Hasher, InvalidDigest, UnknownAlgorithm};
pub use manifest::{Descriptor, InvalidManifest, Manifest, media_type};
pub use range::{ByteRange, UnsatisfiableRange};
pub use reference::{InvalidTag, Reference, Tag};
pub use referrer::Referrer;
pub use repository::{InvalidRepositoryName, RepositoryName};
pub use upload_id::{InvalidUploadId, UploadId};
