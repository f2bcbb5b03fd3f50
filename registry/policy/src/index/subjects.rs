//! Numbers for the subjects that policies name, so that the index compares each caller's names once per decision.

use std::collections::HashMap;

use crate::{AnySubject, Caller, OidcSubject, ServiceAccountName, Subject};

/// The number of a subject.
pub(super) type SubjectNumber = u32;

#[derive(Debug, Default)]
pub(super) struct Subjects {
    identities: HashMap<Box<str>, SubjectNumber>,
    groups: HashMap<Box<str>, SubjectNumber>,
    service_accounts: HashMap<ServiceAccountName, SubjectNumber>,
    persons: HashMap<OidcSubject, SubjectNumber>,
    classes: HashMap<AnySubject, SubjectNumber>,
    numbered: SubjectNumber,
}

impl Subjects {
    /// The number of a subject, given to it now if it has none.
    pub(super) fn number(&mut self, subject: &Subject) -> SubjectNumber {
        let next = self.numbered;
        let number = *match subject {
            Subject::Identity(username) => self.identities.entry(username.as_str().into()).or_insert(next),
            Subject::Group(group) => self.groups.entry(group.as_str().into()).or_insert(next),
            Subject::ServiceAccount(account) => self.service_accounts.entry(account.clone()).or_insert(next),
            Subject::OidcSubject(subject) => self.persons.entry(subject.clone()).or_insert(next),
            Subject::Any(class) => self.classes.entry(*class).or_insert(next),
        };
        if number == next {
            // A document is far too small for 2^32 subjects.
            self.numbered += 1;
        }
        number
    }

    /// The subjects that are about `caller`.
    pub(super) fn matching(&self, caller: &Caller<'_>) -> Vec<SubjectNumber> {
        let classes = AnySubject::ALL.into_iter().filter(|class| class.matches(caller));
        let mut found: Vec<_> = classes.filter_map(|class| self.classes.get(&class).copied()).collect();
        if let Some(identity) = &caller.identity {
            found.extend(self.identities.get(identity.username));
            found.extend(
                identity
                    .groups
                    .iter()
                    .filter_map(|group| self.groups.get(group.as_str())),
            );
        }
        if let Some(account) = caller.service_account {
            let name = ServiceAccountName {
                namespace: account.namespace.clone(),
                name: account.name.clone(),
            };
            found.extend(self.service_accounts.get(&name));
        }
        if let Some(oidc) = caller.oidc {
            let subject = OidcSubject {
                issuer: oidc.issuer.clone(),
                subject: oidc.subject.clone(),
            };
            found.extend(self.persons.get(&subject));
        }
        found
    }
}
