//! [`Owner`] and [`Upload`]: whose an upload session is, and how it is named by whoever continues it.

use std::net::IpAddr;

use crate::oci::{RepositoryName, UploadId};

/// Who has opened an upload session. Nobody else goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// An identity.
    Identity {
        /// Its username.
        username: String,
        /// What tells it from a later one of the same name.
        uid: String,
    },
    /// A caller who has not signed in. Any other such caller may go on with the session, if it knows the name; only how
    /// many there are is counted by address, where that is known.
    Anonymous(Option<IpAddr>),
}

impl Owner {
    /// Whether a session of `opener` is this caller's; one that another registry has left is everybody's.
    pub(crate) fn may_continue(&self, opener: Option<&Self>) -> bool {
        match (self, opener) {
            (_, None) | (Self::Anonymous(_), Some(Self::Anonymous(_))) => true,
            (caller, Some(opener)) => caller == opener,
        }
    }

    /// The owner as text, in which no address stands.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Identity { username, uid } => format!("identity:{username}:{uid}"),
            Self::Anonymous(_) => "anonymous".to_owned(),
        }
    }

    /// Reads what [`Self::to_text`] wrote; `None` where it is something else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if text == "anonymous" {
            return Some(Self::Anonymous(None));
        }
        // No username has a colon.
        let (username, uid) = text.strip_prefix("identity:")?.split_once(':')?;
        Some(Self::Identity {
            username: username.to_owned(),
            uid: uid.to_owned(),
        })
    }
}

/// An upload session as a caller names it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The repository that it is in.
    pub repository: RepositoryName,
    /// Its name.
    pub session: UploadId,
    /// The caller.
    pub caller: Owner,
    /// How large the blob may become in bytes; `None` where there is no limit.
    pub most: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(username: &str, uid: &str) -> Owner {
        Owner::Identity {
            username: username.to_owned(),
            uid: uid.to_owned(),
        }
    }

    #[test]
    fn text_is_read_back_as_it_was_written() {
        for owner in [identity("alice", "a:b"), identity("a b", ""), Owner::Anonymous(None)] {
            assert_eq!(Owner::from_text(&owner.to_text()), Some(owner));
        }
        for text in ["", "alice", "identity:alice", "anonymous "] {
            assert_eq!(Owner::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_session_is_continued_by_its_opener_alone_and_one_of_nobody_by_everybody() {
        let alice = identity("alice", "1");
        let address = |last| Owner::Anonymous(Some([192, 0, 2, last].into()));
        for (caller, opener, want) in [
            (&alice, Some(&alice), true),
            (&alice, None, true),
            (&alice, Some(&identity("alice", "2")), false),
            (&alice, Some(&identity("bob", "1")), false),
            (&alice, Some(&address(1)), false),
            (&address(1), Some(&alice), false),
            (&address(1), Some(&address(2)), true),
            (&address(1), None, true),
        ] {
            assert_eq!(caller.may_continue(opener), want, "{caller:?} {opener:?}");
        }
    }
}
