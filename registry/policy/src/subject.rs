//! Whom a policy is about.

use serde::{Deserialize, Serialize};

use crate::Caller;

/// One entry of a policy's subjects; a policy applies to a caller whom any of its entries matches.
///
/// Written as `{identity: ci}`, `{group: team-a}` or `{any: Authenticated}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The identity of this username, compared exactly.
    Identity(String),
    /// Every identity that has this group, compared exactly.
    Group(String),
    /// A class of callers.
    Any(AnySubject),
}

/// A class of callers that needs no name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum AnySubject {
    /// Identities of the Registry's own namespace.
    Home,
    /// Every signed-in caller, those admitted from other namespaces included.
    Authenticated,
    /// Callers who presented no credential.
    Anonymous,
    /// Every caller.
    Everyone,
}

impl Subject {
    /// Whether the entry is about `caller`.
    pub fn matches(&self, caller: &Caller<'_>) -> bool {
        match self {
            Self::Identity(username) => caller
                .identity
                .as_ref()
                .is_some_and(|identity| identity.username == username),
            Self::Group(group) => caller
                .identity
                .as_ref()
                .is_some_and(|identity| identity.groups.contains(group)),
            Self::Any(class) => class.matches(caller),
        }
    }
}

impl AnySubject {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Home, Self::Authenticated, Self::Anonymous, Self::Everyone];

    /// Whether `caller` belongs to the class.
    pub fn matches(self, caller: &Caller<'_>) -> bool {
        match self {
            Self::Home => caller.identity.as_ref().is_some_and(|identity| identity.home),
            Self::Authenticated => caller.identity.is_some(),
            Self::Anonymous => caller.identity.is_none(),
            Self::Everyone => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::Identity;

    fn subject(json: &str) -> Subject {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn subjects_match_whom_they_name() {
        let groups = ["team-a".to_owned()];
        let identity = |username, home| Caller {
            identity: Some(Identity {
                id: "uid",
                username,
                groups: &groups,
                home,
            }),
            client_ip: None,
            at: Timestamp::UNIX_EPOCH,
        };
        let callers = [
            ("home", identity("ci", true)),
            ("admitted", identity("tenant.ci", false)),
            (
                "anonymous",
                Caller {
                    identity: None,
                    client_ip: None,
                    at: Timestamp::UNIX_EPOCH,
                },
            ),
        ];
        let table = [
            (r#"{"identity": "ci"}"#, "home"),
            (r#"{"identity": "c"}"#, ""),
            (r#"{"group": "team-a"}"#, "home admitted"),
            (r#"{"group": "team-b"}"#, ""),
            (r#"{"any": "Home"}"#, "home"),
            (r#"{"any": "Authenticated"}"#, "home admitted"),
            (r#"{"any": "Anonymous"}"#, "anonymous"),
            (r#"{"any": "Everyone"}"#, "home admitted anonymous"),
        ];
        for (json, want) in table {
            let got: Vec<_> = callers
                .iter()
                .filter(|(_, caller)| subject(json).matches(caller))
                .map(|(name, _)| *name)
                .collect();
            assert_eq!(got.join(" "), want, "{json}");
        }
    }

    #[test]
    fn a_subject_is_exactly_one_of_its_kinds() {
        for json in [
            "{}",
            r#"{"identity": "a", "group": "b"}"#,
            r#"{"user": "a"}"#,
            r#"{"any": "authenticated"}"#,
            r#"{"identity": null}"#,
        ] {
            assert!(serde_json::from_str::<Subject>(json).is_err(), "{json}");
        }
        assert_eq!(
            serde_json::to_string(&subject(r#"{"any": "Home"}"#)).unwrap(),
            r#"{"any":"Home"}"#
        );
    }
}
