//! Which facts of a request there are, by action: what [`Presence::Maybe`](super::Presence) means where the action is known.

use super::Fact;
use crate::Action;

/// Whether the requests of an action have a fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    /// All of them.
    Always,
    /// Some.
    Maybe,
    /// None.
    Never,
}

/// Whether the requests of `action` have the field `name` of `request`; nothing where there is no such field.
pub fn availability(name: &str, action: Action) -> Option<Availability> {
    Some(super::REQUEST.field(name)?.fact.availability(action))
}

impl Fact {
    /// Whether the requests of `action` have it. What is known of the caller does not depend on the action.
    pub(crate) fn availability(self, action: Action) -> Availability {
        use Action as A;
        use Availability::{Always, Maybe, Never};
        let within = |always: &[Action], maybe: &[Action]| {
            if always.contains(&action) {
                Always
            } else if maybe.contains(&action) {
                Maybe
            } else {
                Never
            }
        };
        match self {
            Self::Repository if action == A::ListCatalog => Never,
            Self::Reference => within(&[A::GetManifest, A::PutManifest, A::DeleteManifest], &[]),
            Self::Digest => within(
                &[
                    A::GetBlob,
                    A::DeleteBlob,
                    A::GetReferrers,
                    A::MountBlob,
                    A::CompleteUpload,
                ],
                &[A::GetManifest, A::PutManifest, A::DeleteManifest, A::StartUpload],
            ),
            // An upload that comes with its first request has no session.
            Self::SessionId => within(&[A::GetUpload, A::UpdateUpload, A::CancelUpload], &[A::CompleteUpload]),
            // An upload that asks for a mount is started where there is none.
            Self::From | Self::DigestAlgorithm => within(&[], &[A::StartUpload, A::MountBlob, A::CompleteUpload]),
            Self::PageSize | Self::Last => within(&[], &[A::ListCatalog, A::ListTags, A::GetReferrers]),
            Self::ArtifactType => within(&[], &[A::GetReferrers]),
            Self::ProviderName
            | Self::Claims
            | Self::ServiceAccountNamespace
            | Self::ServiceAccountName
            | Self::Pod
            | Self::Node => Maybe,
            Self::Identity
            | Self::Id
            | Self::Username
            | Self::Groups
            | Self::Attributes
            | Self::ClientIp
            | Self::Certificate
            | Self::CommonNames
            | Self::Organizations
            | Self::DnsNames
            | Self::Uris
            | Self::Oidc
            | Self::ServiceAccount
            | Self::Request
            | Self::Action
            | Self::Method
            | Self::Repository
            | Self::Tags => Always,
        }
    }
}
