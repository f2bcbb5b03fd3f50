//! Whom a policy is about.

use serde::{Deserialize, Serialize};

use crate::Caller;

/// One entry of a policy's subjects; a policy applies to a caller whom any of its entries matches.
///
/// Written as `{identity: ci}`, `{group: team-a}`, `{serviceAccount: {namespace: ci, name: builder}}`,
/// `{oidcSubject: {issuer: 'https://id.example.com', subject: 4f2a}}` or `{any: Authenticated}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// The identity of this username, compared exactly.
    Identity(String),
    /// Every identity that has this group, compared exactly.
    Group(String),
    /// Whoever came with a token of this ServiceAccount, whichever identity that is.
    ServiceAccount(ServiceAccountName),
    /// Whoever came with a token about this subject, whichever identity that is.
    OidcSubject(OidcSubject),
    /// A class of callers.
    Any(AnySubject),
}

/// Names a ServiceAccount of the cluster.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Names somebody whom an OIDC issuer knows.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSubject {
    /// The URL of the issuer, exactly as its tokens have it.
    pub issuer: String,
    /// The `sub` of its tokens.
    pub subject: String,
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
            Self::ServiceAccount(account) => caller
                .service_account
                .is_some_and(|found| (&found.namespace, &found.name) == (&account.namespace, &account.name)),
            Self::OidcSubject(wanted) => caller
                .oidc
                .is_some_and(|found| (&found.issuer, &found.subject) == (&wanted.issuer, &wanted.subject)),
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
    use super::*;
    use crate::{Identity, Oidc, ServiceAccount};

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
                ..Identity::default()
            }),
            ..Caller::default()
        };
        let (account, oidc) = (
            ServiceAccount {
                namespace: "ci".to_owned(),
                name: "builder".to_owned(),
                ..ServiceAccount::default()
            },
            Oidc {
                issuer: "https://id.example".to_owned(),
                subject: "4f2a".to_owned(),
                ..Oidc::default()
            },
        );
        let callers = [
            ("home", identity("ci", true)),
            ("admitted", identity("tenant.ci", false)),
            ("anonymous", Caller::default()),
            (
                "pod",
                Caller {
                    service_account: Some(&account),
                    ..identity("sa", false)
                },
            ),
            (
                "person",
                Caller {
                    oidc: Some(&oidc),
                    ..identity("oidc", false)
                },
            ),
        ];
        let table = [
            (r#"{"identity": "ci"}"#, "home"),
            (r#"{"identity": "c"}"#, ""),
            (r#"{"group": "team-a"}"#, "home admitted pod person"),
            (r#"{"group": "team-b"}"#, ""),
            (r#"{"any": "Home"}"#, "home"),
            (r#"{"any": "Authenticated"}"#, "home admitted pod person"),
            (r#"{"any": "Anonymous"}"#, "anonymous"),
            (r#"{"any": "Everyone"}"#, "home admitted anonymous pod person"),
            (r#"{"serviceAccount": {"namespace": "ci", "name": "builder"}}"#, "pod"),
            (r#"{"serviceAccount": {"namespace": "cd", "name": "builder"}}"#, ""),
            (
                r#"{"oidcSubject": {"issuer": "https://id.example", "subject": "4f2a"}}"#,
                "person",
            ),
            (
                r#"{"oidcSubject": {"issuer": "https://id.example/", "subject": "4f2a"}}"#,
                "",
            ),
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
            r#"{"serviceAccount": {"name": "builder"}}"#,
            r#"{"oidcSubject": {"subject": "4f2a"}}"#,
        ] {
            assert!(serde_json::from_str::<Subject>(json).is_err(), "{json}");
        }
        assert_eq!(
            serde_json::to_string(&subject(r#"{"any": "Home"}"#)).unwrap(),
            r#"{"any":"Home"}"#
        );
    }
}
