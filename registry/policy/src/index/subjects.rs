//! Numbers for the subjects that policies name, so that the index compares each caller's names once per decision.

use std::collections::HashMap;

use crate::{AnySubject, Caller, Subject};

/// The number of a subject.
pub(super) type SubjectNumber = u32;

#[derive(Debug, Default)]
pub(super) struct Subjects {
    identities: HashMap<Box<str>, SubjectNumber>,
    groups: HashMap<Box<str>, SubjectNumber>,
    classes: HashMap<AnySubject, SubjectNumber>,
}

impl Subjects {
    /// The number of a subject, given to it now if it has none.
    pub(super) fn number(&mut self, subject: &Subject) -> SubjectNumber {
        let used = self.identities.len() + self.groups.len() + self.classes.len();
        let next = SubjectNumber::try_from(used).expect("a document is far too small for 2^32 subjects");
        *match subject {
            Subject::Identity(username) => self.identities.entry(username.as_str().into()).or_insert(next),
            Subject::Group(group) => self.groups.entry(group.as_str().into()).or_insert(next),
            Subject::Any(class) => self.classes.entry(*class).or_insert(next),
        }
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
        found
    }
}
