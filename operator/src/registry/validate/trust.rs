//! Files that say whom the registry believes: read, or why there is nothing to believe.

use crds::reasons;
use kube::ResourceExt;

use crate::hashing::how_to_agree;
use crate::registry::snapshot::{Snapshot, TrustFile};

/// The file from the Secret `name`, which is not empty; what is in it is not looked at.
///
/// # Errors
/// In words; with the reason where the Secret is to blame, and without one where the file is empty.
pub(super) fn text(
    found: &TrustFile,
    name: &str,
    snapshot: &Snapshot,
) -> Result<String, (Option<&'static str>, String)> {
    let namespace = snapshot.registry.namespace().unwrap_or_default();
    match found {
        TrustFile::Read(text) if text.trim().is_empty() => Err((None, "it is empty".to_owned())),
        TrustFile::Read(text) => Ok(text.clone()),
        TrustFile::NotNeeded | TrustFile::Missing => Err((
            Some(reasons::SECRET_NOT_FOUND),
            format!("it does not exist in namespace `{namespace}`"),
        )),
        TrustFile::NotMarked => Err((
            Some(reasons::SECRET_NOT_MARKED),
            format!(
                "it is neither of type `kubernetes.io/tls` nor marked for this use; {}",
                how_to_agree(name, &namespace)
            ),
        )),
        TrustFile::Unusable(why) => Err((Some(why.reason), why.message.clone())),
    }
}
