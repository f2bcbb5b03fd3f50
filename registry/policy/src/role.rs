//! Roles: short names for the sets of actions that rules usually allow.

use serde::{Deserialize, Serialize};

use crate::{Action, ActionSet};

/// A named set of actions. What a role holds is fixed per format version, so an upgrade never widens it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read images, their tags and their referrers.
    Pull,
    /// [`Role::Pull`], and write images.
    Push,
    /// [`Role::Push`], and delete manifests, tags and blobs.
    Maintain,
    /// [`Role::Maintain`], and list the catalog.
    Admin,
}

impl Role {
    /// Every role, each holding what the ones before it hold.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Maintain, Self::Admin];

    /// The actions that the role holds.
    pub const fn actions(self) -> ActionSet {
        match self {
            Self::Pull => ActionSet::of(&[
                Action::GetManifest,
                Action::GetBlob,
                Action::ListTags,
                Action::GetReferrers,
            ]),
            Self::Push => Self::Pull.actions().union(ActionSet::of(&[
                Action::StartUpload,
                Action::GetUpload,
                Action::UpdateUpload,
                Action::CompleteUpload,
                Action::CancelUpload,
                Action::MountBlob,
                Action::PutManifest,
            ])),
            Self::Maintain => Self::Push
                .actions()
                .union(ActionSet::of(&[Action::DeleteManifest, Action::DeleteBlob])),
            Self::Admin => Self::Maintain.actions().union(ActionSet::of(&[Action::ListCatalog])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_hold_exactly_what_is_documented() {
        let names = |role: Role| role.actions().iter().map(Action::as_str).collect::<Vec<_>>().join(" ");
        assert_eq!(names(Role::Pull), "list-tags get-blob get-manifest get-referrers");
        assert_eq!(
            names(Role::Push),
            "list-tags get-blob get-manifest put-manifest get-referrers start-upload mount-blob get-upload \
             update-upload complete-upload cancel-upload"
        );
        assert_eq!(
            names(Role::Maintain),
            "list-tags get-blob delete-blob get-manifest put-manifest delete-manifest get-referrers start-upload \
             mount-blob get-upload update-upload complete-upload cancel-upload"
        );
        assert_eq!(
            names(Role::Admin),
            "list-catalog list-tags get-blob delete-blob get-manifest put-manifest delete-manifest get-referrers \
             start-upload mount-blob get-upload update-upload complete-upload cancel-upload"
        );
    }

    #[test]
    fn roles_are_written_in_lower_case() {
        let written = Role::ALL.map(|role| serde_json::to_value(role).unwrap());
        assert_eq!(written, ["pull", "push", "maintain", "admin"]);
        assert!(serde_json::from_str::<Role>("\"Pull\"").is_err());
    }
}
