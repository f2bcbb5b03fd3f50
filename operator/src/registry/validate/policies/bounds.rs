//! What a policy of another namespace may do at most.

use crds::{Effect, PolicyAdmission};
use registry_config::{PolicyEntry, RuleAction, RuleEntry};
use registry_policy::{ActionSet, AnySubject, RepositoryPattern, Subject};

use super::{action, role};

/// The bounds of an entry of `spec.allowedPolicies`.
pub(super) struct Bounds<'a> {
    entry: &'a PolicyAdmission,
    actions: ActionSet,
}

/// What is left of a policy within its bounds.
pub(super) struct Clipped {
    pub(super) entry: PolicyEntry,
    /// The rules that lost something, by name.
    pub(super) narrowed: Vec<String>,
}

impl<'a> Bounds<'a> {
    pub(super) fn of(entry: &'a PolicyAdmission) -> Self {
        let actions: ActionSet = match (entry.role, &entry.actions) {
            (Some(named), None) => role(named).actions(),
            (None, Some(actions)) => actions.iter().copied().map(action).collect(),
            // The schema sees to it that exactly one is given.
            _ => ActionSet::EMPTY,
        };
        // The catalog is of no repository, so it is outside of any prefix.
        Self {
            entry,
            actions: actions.intersection(ActionSet::ON_REPOSITORIES),
        }
    }

    /// What is left of `policy`.
    ///
    /// # Errors
    /// Why nothing is, in words.
    pub(super) fn clip(&self, policy: &PolicyEntry) -> Result<Clipped, String> {
        let effect = match policy.effect {
            registry_policy::Effect::Allow => Effect::Allow,
            registry_policy::Effect::Deny => Effect::Deny,
        };
        let effects = self.entry.effects.as_deref().unwrap_or(&[Effect::Allow]);
        if !effects.contains(&effect) {
            return Err(format!("it admits no policy from here whose effect is {effect:?}"));
        }
        let is_open = |subject: &Subject| matches!(subject, Subject::Any(AnySubject::Anonymous | AnySubject::Everyone));
        if effect == Effect::Allow && self.entry.allow_anonymous != Some(true) && policy.subjects.iter().any(is_open) {
            return Err(
                "it admits no policy from here that allows anything to callers who did not sign in: name for example `any: Authenticated`".to_owned(),
            );
        }
        let mut narrowed = Vec::new();
        let rules: Vec<RuleEntry> = policy
            .rules
            .iter()
            .filter_map(|rule| {
                let clipped = self.clip_rule(rule);
                if clipped.as_ref() != Some(rule) {
                    narrowed.push(rule.name.clone());
                }
                clipped
            })
            .collect();
        if rules.is_empty() {
            let prefixes = self.entry.repository_prefixes.join("`, `");
            return Err(format!(
                "nothing of it is below `{prefixes}` and about actions that are admitted from here"
            ));
        }
        Ok(Clipped {
            entry: PolicyEntry {
                rules,
                ..policy.clone()
            },
            narrowed,
        })
    }

    fn clip_rule(&self, rule: &RuleEntry) -> Option<RuleEntry> {
        let wanted = rule.actions();
        let actions = wanted.intersection(self.actions);
        let patterns = rule.repositories.iter();
        let patterns = patterns.filter_map(|pattern| pattern.parse::<RepositoryPattern>().ok());
        let mut repositories: Vec<String> = patterns
            .flat_map(|asked| {
                let prefixes = self.entry.repository_prefixes.iter();
                let clipped = prefixes.filter_map(move |prefix| asked.below(prefix));
                clipped.map(String::from)
            })
            .collect();
        repositories.sort();
        repositories.dedup();
        if actions.is_empty() || repositories.is_empty() {
            return None;
        }
        let is_whole = actions == wanted;
        let mut as_written = rule.repositories.clone();
        as_written.sort();
        as_written.dedup();
        Some(RuleEntry {
            role: rule.role.filter(|_| is_whole),
            // By their names in place of `*`, because the bounds are what this operator knows, whatever a later registry takes `*` for.
            actions: if is_whole && !rule.actions.contains(&RuleAction::Any) {
                rule.actions.clone()
            } else {
                actions.iter().map(RuleAction::Named).collect()
            },
            // A rule that is within its bounds stays as it is written.
            repositories: if repositories == as_written {
                rule.repositories.clone()
            } else {
                repositories
            },
            ..rule.clone()
        })
    }
}
