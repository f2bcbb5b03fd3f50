//! [`TrustFile`]: a file of a Secret that says whom the registry believes.

use crds::{SecretFileReference, secret_types};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use crate::api;
use crate::hashing::{is_marked, value_of};
use crate::outcome::Verdict;

/// A file that says whom the registry believes: authorities of certificates, or keys of a token server. Nothing in it is secret.
pub(in crate::registry) enum TrustFile {
    /// There is none to be read.
    NotNeeded,
    /// Its Secret does not exist.
    Missing,
    /// The Secret is of another type, and its owner has not agreed.
    NotMarked,
    /// There is no file in it.
    Unusable(Verdict),
    /// It was read.
    Read(String),
}

impl TrustFile {
    /// Whether the Secret itself is what is missing, so that no watch may tell of its coming.
    pub(in crate::registry) fn is_unresolved(&self) -> bool {
        matches!(self, Self::Missing | Self::NotMarked)
    }
}

/// Reads the file that is named, or the one under the key `usual`.
pub(super) async fn read(
    reference: &SecretFileReference,
    usual: &str,
    secrets: &Api<Secret>,
) -> Result<TrustFile, api::Error> {
    let name = &reference.name;
    let found = api::find(format!("read Secret `{name}`"), secrets.get_opt(name)).await?;
    let Some(found) = found else {
        return Ok(TrustFile::Missing);
    };
    if found.type_.as_deref() != Some(secret_types::TLS) && !is_marked(&found) {
        return Ok(TrustFile::NotMarked);
    }
    let file = value_of(found, reference.key.as_deref().unwrap_or(usual));
    // What is no text has nothing of what is looked for in it, and that is said where it is looked for.
    let text = file.map(|file| String::from_utf8_lossy(&file).into_owned());
    Ok(text.map_or_else(TrustFile::Unusable, TrustFile::Read))
}
