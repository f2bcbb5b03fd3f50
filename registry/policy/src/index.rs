//! Finds the rules that are about a caller and a repository, without looking at the others: a decision must not cost
//! more because of policies for other repositories or subjects.

mod subjects;
mod trie;

use subjects::Subjects;
use trie::Trie;

use crate::{Caller, RepositoryPattern, Subject};

/// The number of a rule, in the order in which rules are considered.
pub(crate) type RuleNumber = u32;

/// The rules of a document by subject and repository pattern.
#[derive(Debug, Default)]
pub(crate) struct Index {
    subjects: Subjects,
    rules: Trie,
}

impl Index {
    /// Adds a rule that is about `subjects` in `repositories`.
    pub(crate) fn insert(&mut self, rule: RuleNumber, subjects: &[Subject], repositories: &[RepositoryPattern]) {
        for subject in subjects {
            let subject = self.subjects.number(subject);
            for pattern in repositories {
                self.rules.insert(pattern, subject, rule);
            }
        }
    }

    /// The rules that are about `caller` in `repository`, or, where the request belongs to no repository, in every
    /// repository; ascending, each once.
    pub(crate) fn find(&self, caller: &Caller<'_>, repository: Option<&str>) -> Vec<RuleNumber> {
        let subjects = self.subjects.matching(caller);
        let mut found = Vec::new();
        match repository {
            Some(repository) => self.rules.collect(repository, &subjects, &mut found),
            None => self.rules.collect_everywhere(&subjects, &mut found),
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::{AnySubject, Identity, Oidc, OidcSubject, ServiceAccount, ServiceAccountName};

    type Entry = (Vec<Subject>, Vec<RepositoryPattern>);

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let subject = prop_oneof![
            select(vec!["a", "b"]).prop_map(|name| Subject::Identity(name.to_owned())),
            select(vec!["a", "b"]).prop_map(|name| Subject::Group(name.to_owned())),
            ("[ab]", "[ab]")
                .prop_map(|(namespace, name)| Subject::ServiceAccount(ServiceAccountName { namespace, name })),
            ("[ab]", "[ab]").prop_map(|(issuer, subject)| Subject::OidcSubject(OidcSubject { issuer, subject })),
            select(AnySubject::ALL.to_vec()).prop_map(Subject::Any),
        ];
        let segment = select(vec!["a", "b", "aa", "ab", "*", "a*", "*a", "a*b", "*a*", "b*b*a"]);
        let pattern = (vec(segment, 0..4), any::<bool>()).prop_filter_map("no segment", |(mut segments, below)| {
            segments.extend(below.then_some("**"));
            segments.join("/").parse().ok()
        });
        vec((vec(subject, 0..3), vec(pattern, 0..3)), 0..12)
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_scan_finds(
            entries in entries(),
            username in proptest::option::of("[ab]"),
            groups in vec("[ab]", 0..3),
            home: bool,
            account in proptest::option::of(("[ab]", "[ab]")),
            subject in proptest::option::of(("[ab]", "[ab]")),
            repository in proptest::option::of("[ab]{1,3}(/[ab]{1,3}){0,3}"),
        ) {
            let identity = username.as_deref().map(|username| Identity {
                username,
                groups: &groups,
                home,
                ..Identity::default()
            });
            let account = account.map(|(namespace, name)| ServiceAccount { namespace, name, ..ServiceAccount::default() });
            let oidc = subject.map(|(issuer, subject)| Oidc { issuer, subject, ..Oidc::default() });
            let caller = Caller {
                identity,
                service_account: account.as_ref(),
                oidc: oidc.as_ref(),
                ..Caller::default()
            };
            let mut index = Index::default();
            for (rule, (subjects, patterns)) in (0..).zip(&entries) {
                index.insert(rule, subjects, patterns);
            }
            let scanned: Vec<RuleNumber> = (0..)
                .zip(&entries)
                .filter(|(_, (subjects, patterns))| {
                    subjects.iter().any(|subject| subject.matches(&caller))
                        && patterns.iter().any(|pattern| match &repository {
                            Some(repository) => pattern.matches(repository),
                            None => pattern.is_everything(),
                        })
                })
                .map(|(rule, _)| rule)
                .collect();
            prop_assert_eq!(index.find(&caller, repository.as_deref()), scanned);
        }
    }
}
