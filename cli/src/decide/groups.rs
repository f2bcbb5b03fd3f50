//! Groups whose members nobody lists: those that issuers and ServiceAccounts give, and what every member may do.

use std::collections::BTreeMap;

use registry_config::{Access, IdentityEntry, ServiceAccountTokens};
use registry_policy::{AnySubject, Effect, Expression, Outcome, Policy, PolicySet, Rule, ServiceAccount, Subject};

use super::Situation;
use super::ask::Ask;

const ACCOUNTS: &str = ServiceAccountTokens::GROUP;

/// A group that somebody may be in without an identity that says so.
pub(super) struct Group<'a> {
    pub(super) name: &'a str,
    source: Source<'a>,
}

/// Who says that somebody is in a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source<'a> {
    /// An issuer, with its name here and its URL.
    Issuer(&'a str, &'a str),
    /// The cluster, of its ServiceAccounts.
    Accounts,
}

/// Which members of a group may do something.
pub(super) enum Members {
    /// Whoever is in it, by this policy and rule.
    All {
        policy: Option<String>,
        rule: Option<String>,
    },
    /// It depends on who it is.
    Some,
    /// Nobody by being in it.
    None,
}

/// The groups of this kind that policies name, each once.
pub(super) fn named(access: &Access) -> Vec<Group<'_>> {
    let subjects = access.content.policies.iter().flat_map(|entry| &entry.subjects);
    let groups = subjects.filter_map(|subject| match subject {
        Subject::Group(name) => Some((name.as_str(), Source::of(name, access)?)),
        _ => None,
    });
    let groups: BTreeMap<&str, Source<'_>> = groups.collect();
    groups
        .into_iter()
        .map(|(name, source)| Group { name, source })
        .collect()
}

impl<'a> Source<'a> {
    fn of(group: &str, access: &'a Access) -> Option<Self> {
        let accounts = access.content.service_accounts.as_ref();
        let is_of_accounts = accounts.is_some_and(|accounts| match rest(group, ACCOUNTS) {
            Some(namespace) => accounts.admits(namespace),
            None => group == ACCOUNTS && !accounts.namespaces.is_empty(),
        });
        if is_of_accounts {
            return Some(Self::Accounts);
        }
        let mut issuers = access.content.oidc.iter().filter(|issuer| issuer.groups.is_some());
        let issuer = issuers.find(|issuer| rest(group, &issuer.name).is_some())?;
        Some(Self::Issuer(&issuer.name, &issuer.issuer))
    }
}

/// What comes after a prefix and its colon.
fn rest<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix(':')
}

impl Group<'_> {
    /// Whether a subject may be a member whom nobody lists.
    fn may_be(&self, subject: &Subject, access: &Access) -> bool {
        match (subject, self.source) {
            (Subject::Identity(username), Source::Issuer(name, _)) => rest(username, name).is_some(),
            (Subject::Identity(username), Source::Accounts) => {
                ServiceAccount::names_in(username).is_some_and(|(namespace, _)| self.has_accounts_of(namespace, access))
            }
            (Subject::Group(group), _) => Source::of(group, access) == Some(self.source),
            (Subject::ServiceAccount(account), Source::Accounts) => self.has_accounts_of(&account.namespace, access),
            (Subject::OidcSubject(found), Source::Issuer(_, url)) => found.issuer == url,
            (Subject::ServiceAccount(_) | Subject::OidcSubject(_) | Subject::Any(_), _) => false,
        }
    }

    /// Whether ServiceAccounts of a namespace are in it.
    fn has_accounts_of(&self, namespace: &str, access: &Access) -> bool {
        if let Some(own) = rest(self.name, ACCOUNTS) {
            return own == namespace;
        }
        let accounts = access.content.service_accounts.as_ref();
        accounts.is_some_and(|accounts| accounts.admits(namespace))
    }

    /// Whether a policy is about an identity that is a member because it says so.
    fn is_about_listed(&self, policy: &Policy, situation: &Situation<'_>) -> bool {
        let listed = situation.access.content.identities.iter();
        let mut members = listed.filter(|identity| identity.groups.iter().any(|group| group == self.name));
        members.any(|member| {
            let member = Situation::about(situation.access, situation.question, Some(member.clone()), situation.at);
            policy.subjects.iter().any(|subject| subject.matches(&member.caller()))
        })
    }

    /// Somebody of whom no more is known than the group.
    pub(super) fn member(&self) -> IdentityEntry {
        let mut groups = vec![self.name.to_owned()];
        if self.source == Source::Accounts && self.name != ACCOUNTS {
            groups.push(ACCOUNTS.to_owned());
        }
        IdentityEntry {
            groups,
            ..IdentityEntry::guest("")
        }
    }

    /// Which members may do all that is asked for, where the situation is that of one of them.
    ///
    /// It is decided twice: as if everything that depends on the member spoke against it, and as if it spoke for it. `policies` are
    /// those of the situation.
    pub(super) fn who_may(&self, situation: &Situation<'_>, policies: &[Policy], asks: &[Ask]) -> Members {
        let assume = |favoured| {
            let policies = policies.iter().cloned();
            PolicySet::new(
                policies
                    .map(|policy| self.assume(policy, situation, favoured))
                    .collect(),
            )
        };
        let decide = |policies: &PolicySet, ask: &Ask| policies.decide(&situation.caller(), &ask.request());
        let may = |policies: &PolicySet| {
            asks.iter()
                .all(|ask| situation.before_policies(ask.action).is_none() && decide(policies, ask).is_allowed())
        };
        let strict = assume(Effect::Deny);
        if !may(&assume(Effect::Allow)) {
            Members::None
        } else if !may(&strict) {
            Members::Some
        } else {
            let by = match asks.last().map(|ask| decide(&strict, ask).outcome) {
                Some(Outcome::Allowed { policy, rule }) => Some((policy, rule)),
                _ => None,
            };
            let (policy, rule) = by.unzip();
            Members::All { policy, rule }
        }
    }

    /// The policy where what depends on the member holds if it has the favoured effect, and else does not.
    fn assume(&self, mut policy: Policy, situation: &Situation<'_>, favoured: Effect) -> Policy {
        let caller = situation.caller();
        let holds = policy.effect == favoured;
        let is_about_all = policy.subjects.iter().any(|subject| subject.matches(&caller));
        let mut subjects = policy.subjects.iter();
        // What members may do for other reasons than the group is not asked here, but what some of them may not.
        let is_about_some = policy.effect == Effect::Deny
            && (subjects.any(|subject| self.may_be(subject, situation.access))
                || self.is_about_listed(&policy, situation));
        if holds && !is_about_all && is_about_some {
            policy.subjects = vec![Subject::Any(AnySubject::Everyone)];
        }
        policy.rules.retain(|rule| holds || !depends(rule));
        for rule in policy.rules.iter_mut().filter(|rule| depends(rule)) {
            rule.when = None;
        }
        policy
    }
}

/// Whether a condition looks at who it is. Where somebody comes from is known: a question says it.
fn depends(rule: &Rule) -> bool {
    let condition = rule.when.as_ref().map(Expression::source);
    condition.is_some_and(|condition| condition.replace("identity.client_ip", "").contains("identity"))
}
