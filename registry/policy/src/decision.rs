//! Decisions: what the policies of a document say about one request.

use serde::Serialize;

use crate::facts::Facts;
use crate::index::{Index, RuleNumber};
use crate::{Action, ActionSet, Caller, Effect, Expression, Mode, Policy, ReferencePattern, Request, Window};

/// The policies of a document, ready to decide requests.
///
/// # Guarantees
///
/// A request is denied when any rule of a Deny matches it, otherwise allowed when any rule of an Allow matches it,
/// otherwise denied. The order of policies, rules, subjects and patterns has no meaning. A condition that cannot be
/// evaluated counts as true in a Deny and as false in an Allow. A policy outside of its window matches nothing, and one in
/// [`Mode::Audit`] decides nothing. The time of a decision grows with the rules that are about its caller and its
/// repository, not with the others.
#[derive(Debug)]
pub struct PolicySet {
    enforced: Rules,
    audited: Rules,
}

/// Rules of one mode.
#[derive(Debug)]
struct Rules {
    /// In the order in which they are considered: those of Denies first, those without a condition first, then by name.
    rules: Vec<IndexedRule>,
    index: Index,
}

/// A rule without what the index has taken over.
#[derive(Debug)]
struct IndexedRule {
    effect: Effect,
    policy: String,
    rule: String,
    window: Window,
    actions: ActionSet,
    references: Vec<ReferencePattern>,
    when: Option<Expression>,
    message: Option<String>,
}

impl Rules {
    fn new(policies: Vec<Policy>) -> Self {
        let mut entries = Vec::new();
        for Policy {
            name,
            effect,
            mode: _,
            window,
            subjects,
            rules,
        } in policies
        {
            for rule in rules {
                let indexed = IndexedRule {
                    effect,
                    policy: name.clone(),
                    rule: rule.name,
                    window,
                    actions: rule.actions,
                    references: rule.references,
                    when: rule.when,
                    message: rule.message,
                };
                entries.push((indexed, subjects.clone(), rule.repositories));
            }
        }
        entries.sort_by(|(a, ..), (b, ..)| a.order().cmp(&b.order()));
        let mut index = Index::default();
        let mut rules = Vec::with_capacity(entries.len());
        for (number, (rule, subjects, repositories)) in (0..).zip(entries) {
            index.insert(number, &subjects, &repositories);
            rules.push(rule);
        }
        Self { rules, index }
    }

    /// The rules that match a request, apart from their references and conditions, in the order in which they are considered.
    fn matching(
        &self,
        caller: &Caller<'_>,
        action: Action,
        repository: Option<&str>,
    ) -> impl Iterator<Item = &IndexedRule> {
        let numbers = match (action, repository) {
            // Most documents have no rule in audit mode.
            _ if self.rules.is_empty() => Vec::new(),
            // It belongs to no repository, so only a rule about all of them is about it.
            (Action::ListCatalog, _) => self.index.find(caller, None),
            (_, Some(repository)) => self.index.find(caller, Some(repository)),
            // Without a repository nothing can allow it.
            (_, None) => Vec::new(),
        };
        let at = caller.at;
        numbers
            .into_iter()
            .map(|number| self.rule(number))
            .filter(move |rule| rule.actions.contains(action) && rule.window.is_open(at))
    }

    fn rule(&self, number: RuleNumber) -> &IndexedRule {
        &self.rules[number as usize]
    }
}

impl PolicySet {
    /// Prepares `policies` for decisions.
    ///
    /// # Assumptions
    ///
    /// The names of policies are unique, and within a policy those of rules. Where they are not, the outcome of a
    /// decision is right all the same, but which of the namesakes it names is arbitrary.
    pub fn new(policies: Vec<Policy>) -> Self {
        let (enforced, audited) = policies.into_iter().partition(|policy| policy.mode == Mode::Enforce);
        Self {
            enforced: Rules::new(enforced),
            audited: Rules::new(audited),
        }
    }

    /// Whether there is no rule that decides, so that nothing is allowed but to list an empty catalog.
    pub fn is_empty(&self) -> bool {
        self.enforced.rules.is_empty()
    }

    /// Decides one request.
    pub fn decide(&self, caller: &Caller<'_>, request: &Request<'_>) -> Decision {
        let facts = Facts::new(caller, request);
        let mut errors = Vec::new();
        let outcome = self.outcome(caller, request, &facts, &mut errors);
        let audited = self.audited.matching(caller, request.action, request.repository);
        let audited = audited
            .filter(|rule| rule.matches(request, &facts, &mut errors) == Match::Yes)
            .map(|rule| Audited {
                policy: rule.policy.clone(),
                rule: rule.rule.clone(),
                effect: rule.effect,
            })
            .collect();
        Decision {
            outcome,
            audited,
            errors,
        }
    }

    fn outcome(
        &self,
        caller: &Caller<'_>,
        request: &Request<'_>,
        facts: &Facts<'_>,
        errors: &mut Vec<EvaluationError>,
    ) -> Outcome {
        let mut refusal = None;
        for rule in self.enforced.matching(caller, request.action, request.repository) {
            match rule.matches(request, facts, errors) {
                Match::Yes => return rule.outcome(),
                Match::No => {}
                Match::WouldOtherwise => {
                    if rule.effect == Effect::Allow && refusal.is_none() {
                        refusal.clone_from(&rule.message);
                    }
                }
            }
        }
        if is_open_to_signed_in(caller, request.action) {
            Outcome::AllowedSignedIn
        } else {
            Outcome::NoRuleMatched { message: refusal }
        }
    }

    /// What a token may be issued for: true unless policy certainly refuses. References and conditions are not looked at,
    /// because policy decides again at each request: a Deny without any that matches refuses, otherwise any Allow that
    /// matches by subject, repository and action grants. For [`Action::ListCatalog`] the repository has no meaning.
    pub fn may_allow(&self, caller: &Caller<'_>, action: Action, repository: &str) -> bool {
        let mut allowed = is_open_to_signed_in(caller, action);
        for rule in self.enforced.matching(caller, action, Some(repository)) {
            match rule.effect {
                Effect::Deny if rule.when.is_none() && !rule.judges_references(action) => return false,
                Effect::Deny => {}
                Effect::Allow => allowed = true,
            }
        }
        allowed
    }
}

/// What came of looking at a rule that is about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    /// It could not be evaluated.
    No,
    /// It would have, but for its references or its condition.
    WouldOtherwise,
}

/// Whether a request needs no Allow: any signed-in caller may list the catalog, and sees only what it may read.
fn is_open_to_signed_in(caller: &Caller<'_>, action: Action) -> bool {
    action == Action::ListCatalog && caller.identity.is_some()
}

impl IndexedRule {
    /// Whether the rule matches a request that it is about; what cannot be evaluated is added to `errors`.
    fn matches(&self, request: &Request<'_>, facts: &Facts<'_>, errors: &mut Vec<EvaluationError>) -> Match {
        if !self.selects(request) {
            return Match::WouldOtherwise;
        }
        match self.when.as_ref().map(|when| when.evaluate(facts)) {
            None | Some(Ok(true)) => Match::Yes,
            Some(Ok(false)) => Match::WouldOtherwise,
            Some(Err(message)) => {
                errors.push(EvaluationError {
                    policy: self.policy.clone(),
                    rule: self.rule.clone(),
                    message,
                });
                match self.effect {
                    Effect::Deny => Match::Yes,
                    Effect::Allow => Match::No,
                }
            }
        }
    }

    /// Whether tags and digests matter for an action.
    fn judges_references(&self, action: Action) -> bool {
        !self.references.is_empty() && action.carries_reference()
    }

    /// Whether the rule is about the tags and digests that a request carries: an Allow about all of them, a Deny about one.
    fn selects(&self, request: &Request<'_>) -> bool {
        if !self.judges_references(request.action) {
            return true;
        }
        let is_selected = |reference: &str| self.references.iter().any(|pattern| pattern.matches(reference));
        let mut carried = request.carried().peekable();
        match self.effect {
            // Where nothing is known, nothing is allowed, and what is denied stays denied.
            Effect::Allow => carried.peek().is_some() && carried.all(is_selected),
            Effect::Deny => carried.peek().is_none() || carried.any(is_selected),
        }
    }

    /// What rules are sorted by. Denies come first because one of them ends the matter, and rules without a condition
    /// before those that cost an evaluation.
    fn order(&self) -> (bool, bool, &str, &str) {
        (
            self.effect == Effect::Allow,
            self.when.is_some(),
            &self.policy,
            &self.rule,
        )
    }

    /// What it means that the rule matches.
    fn outcome(&self) -> Outcome {
        let (policy, rule) = (self.policy.clone(), self.rule.clone());
        match self.effect {
            Effect::Allow => Outcome::Allowed { policy, rule },
            Effect::Deny => Outcome::Denied {
                policy,
                rule,
                message: self.message.clone(),
            },
        }
    }
}

/// What policy says about a request, and what went wrong while asking.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Decision {
    /// What was decided, and by which rule.
    pub outcome: Outcome,
    /// The rules in [`Mode::Audit`] that matched: what they would have done is to be recorded.
    pub audited: Vec<Audited>,
    /// The conditions that could not be evaluated; to be logged and counted whatever the outcome.
    pub errors: Vec<EvaluationError>,
}

impl Decision {
    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        match self.outcome {
            Outcome::Allowed { .. } | Outcome::AllowedSignedIn => true,
            Outcome::Denied { .. } | Outcome::NoRuleMatched { .. } => false,
        }
    }

    /// What the refused caller is to be told, when a rule has something to say.
    pub fn message(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Allowed { .. } | Outcome::AllowedSignedIn => None,
            Outcome::Denied { message, .. } | Outcome::NoRuleMatched { message } => message.as_deref(),
        }
    }
}

/// A rule that matched and decided nothing, because its policy is in [`Mode::Audit`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Audited {
    /// The policy.
    pub policy: String,
    /// Its rule.
    pub rule: String,
    /// What it would have been a reason for.
    pub effect: Effect,
}

/// How a decision came about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A rule of an Allow matched and no Deny did.
    Allowed {
        /// The policy.
        policy: String,
        /// Its rule.
        rule: String,
    },
    /// No rule was needed: `list-catalog` is open to every signed-in caller, and shows only what it may read.
    AllowedSignedIn,
    /// A rule of a Deny matched.
    Denied {
        /// The policy.
        policy: String,
        /// Its rule.
        rule: String,
        /// The rule's message.
        message: Option<String>,
    },
    /// No Deny matched, and no Allow either.
    NoRuleMatched {
        /// The message of an Allow whose references or condition did not match: the first that has one, of those without a condition
        /// before those with one, by policy and rule name.
        message: Option<String>,
    },
}

/// A condition that could not be evaluated. A Deny with it counted as matching, an Allow as not matching.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvaluationError {
    /// The policy.
    pub policy: String,
    /// Its rule.
    pub rule: String,
    /// What went wrong.
    pub message: String,
}

#[cfg(test)]
mod tests;
