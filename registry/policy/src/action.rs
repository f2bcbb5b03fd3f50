//! The actions that policies decide, under the names that rules, scopes and audit records use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a request does, as far as policies are concerned. HEAD is the same action as GET.
///
/// The name in rules, in `request.action` and in serialised documents is that of [`Action::as_str`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// List the repositories that the caller may read: `GET /v2/_catalog`. Belongs to no repository.
    ListCatalog,
    /// List the tags of a repository: end-8a, end-8b.
    ListTags,
    /// Read a blob or ask whether it exists: end-2.
    GetBlob,
    /// Delete a blob: end-10.
    DeleteBlob,
    /// Read a manifest or ask whether it exists: end-3.
    GetManifest,
    /// Write a manifest, its tags included: end-7.
    PutManifest,
    /// Delete a manifest or a tag: end-9.
    DeleteManifest,
    /// List the manifests that refer to one: end-12a, end-12b.
    GetReferrers,
    /// Open an upload session: end-4a, end-4b.
    StartUpload,
    /// Take over a blob from another repository: end-11. Needs [`Action::GetBlob`] on the source as well.
    MountBlob,
    /// Ask for the progress of an upload session: end-13.
    GetUpload,
    /// Send a chunk to an upload session: end-5.
    UpdateUpload,
    /// Close an upload session: end-6.
    CompleteUpload,
    /// Abandon an upload session: `DELETE` on it.
    CancelUpload,
}

impl Action {
    /// Every action, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::ListCatalog,
        Self::ListTags,
        Self::GetBlob,
        Self::DeleteBlob,
        Self::GetManifest,
        Self::PutManifest,
        Self::DeleteManifest,
        Self::GetReferrers,
        Self::StartUpload,
        Self::MountBlob,
        Self::GetUpload,
        Self::UpdateUpload,
        Self::CompleteUpload,
        Self::CancelUpload,
    ];

    /// The name that rules and `request.action` use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ListCatalog => "list-catalog",
            Self::ListTags => "list-tags",
            Self::GetBlob => "get-blob",
            Self::DeleteBlob => "delete-blob",
            Self::GetManifest => "get-manifest",
            Self::PutManifest => "put-manifest",
            Self::DeleteManifest => "delete-manifest",
            Self::GetReferrers => "get-referrers",
            Self::StartUpload => "start-upload",
            Self::MountBlob => "mount-blob",
            Self::GetUpload => "get-upload",
            Self::UpdateUpload => "update-upload",
            Self::CompleteUpload => "complete-upload",
            Self::CancelUpload => "cancel-upload",
        }
    }

    /// The HTTP methods that requests for the action come with, the usual one first.
    pub const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::ListCatalog
            | Self::ListTags
            | Self::GetBlob
            | Self::GetManifest
            | Self::GetReferrers
            | Self::GetUpload => &["GET", "HEAD"],
            Self::PutManifest => &["PUT"],
            Self::DeleteBlob | Self::DeleteManifest | Self::CancelUpload => &["DELETE"],
            Self::StartUpload | Self::MountBlob => &["POST"],
            Self::UpdateUpload => &["PATCH"],
            // One that comes with its first request is completed by that.
            Self::CompleteUpload => &["PUT", "POST"],
        }
    }

    /// Whether a request for the action names a manifest by tag or digest.
    pub(crate) const fn carries_reference(self) -> bool {
        matches!(
            self,
            Self::GetManifest | Self::PutManifest | Self::DeleteManifest | Self::GetReferrers
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == name)
            .ok_or_else(|| UnknownAction { name: name.to_owned() })
    }
}

/// A name that is no action's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown action `{name}`: it is one of {}", Action::ALL.map(Action::as_str).join(", "))]
pub struct UnknownAction {
    /// The name as it was written.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_one_name_in_rules_and_documents() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
            assert_eq!(action.to_string(), action.as_str());
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
            assert_eq!(
                serde_json::from_value::<Action>(action.as_str().into()).unwrap(),
                action
            );
        }
    }

    #[test]
    fn an_unknown_action_is_answered_with_those_that_exist() {
        let error = "getblob".parse::<Action>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown action `getblob`: it is one of list-catalog, list-tags, get-blob, delete-blob, get-manifest, \
             put-manifest, delete-manifest, get-referrers, start-upload, mount-blob, get-upload, update-upload, \
             complete-upload, cancel-upload"
        );
    }
}
