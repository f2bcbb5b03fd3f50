//! What is said of a decision: that it is so, by what, and what each rule has to do with it.

use std::fmt;

use registry_config::PolicyEntry;
use registry_policy::{Effect, Mode, Outcome, Part, Policy, PolicySet, Subject};
use serde::Serialize;

use super::Situation;
use super::ask::Ask;

/// Whether somebody may do something, and what says so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub(super) allowed: bool,
    /// Who, and what.
    question: String,
    /// The policy and the rule that decide, where any does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<(String, String)>,
    /// What the client is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Why, in words.
    reason: String,
}

impl Verdict {
    pub(super) fn of(situation: &Situation<'_>, ask: &Ask) -> Self {
        let decision = situation.decide(ask);
        let question = format!("{}: {}", situation.name(), ask.describe());
        let message = decision.message().map(str::to_owned);
        if let Some(reason) = situation.before_policies(ask.action) {
            return Self {
                allowed: false,
                question,
                by: None,
                message: None,
                reason,
            };
        }
        let (by, reason) = match decision.outcome.clone() {
            Outcome::Allowed { policy, rule } => {
                let reason = format!("policy `{policy}`, rule `{rule}`, allows it");
                (Some((policy, rule)), reason)
            }
            Outcome::Denied { policy, rule, .. } => {
                let reason = format!("policy `{policy}`, rule `{rule}`, denies it");
                (Some((policy, rule)), reason)
            }
            Outcome::AllowedSignedIn => (
                None,
                "whoever has signed in may list the catalog, and sees what they may read".to_owned(),
            ),
            Outcome::NoRuleMatched { .. } => (None, "no policy allows it".to_owned()),
        };
        Self {
            allowed: decision.is_allowed(),
            question,
            by,
            message,
            reason,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = if self.allowed { "yes" } else { "no" };
        write!(f, "{answer}: {}", self.reason)?;
        match &self.message {
            Some(message) => write!(f, " (clients are told: {message})"),
            None => Ok(()),
        }
    }
}

/// A decision with every rule that has to do with it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    #[serde(flatten)]
    verdict: Verdict,
    /// The caller's groups.
    groups: Vec<String>,
    /// The rules that are about the caller, or about the repository and the action.
    rules: Vec<RuleReport>,
    /// How many others there are.
    other_rules: usize,
}

/// What a rule has to do with a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleReport {
    policy: String,
    rule: String,
    effect: Effect,
    mode: Mode,
    matches: bool,
    /// Why it does not match, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    /// The condition and its parts, with what they give.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    condition: Vec<Part>,
}

impl Explanation {
    pub(super) fn of(situation: &Situation<'_>, ask: &Ask) -> Self {
        // No rule is about somebody whom the registry does not believe.
        let entries = match situation.refusal {
            Some(_) => &[],
            None => situation.access.content.policies.as_slice(),
        };
        let all: usize = entries.iter().map(|entry| entry.rules.len()).sum();
        let mut rules: Vec<RuleReport> = entries
            .iter()
            .flat_map(|entry| reports(entry, situation, ask))
            .collect();
        // What decides comes first.
        rules.sort_by_key(|rule| (!rule.matches, rule.effect == Effect::Allow));
        let groups = situation.identity.as_ref().map(|identity| identity.groups.clone());
        Self {
            verdict: Verdict::of(situation, ask),
            groups: groups.unwrap_or_default(),
            other_rules: all - rules.len(),
            rules,
        }
    }
}

/// The rules of a policy that have to do with a request.
fn reports(entry: &PolicyEntry, situation: &Situation<'_>, ask: &Ask) -> Vec<RuleReport> {
    let Ok(policy) = entry.compile() else { return Vec::new() };
    let caller = situation.caller();
    let is_about_caller = policy.subjects.iter().any(|subject| subject.matches(&caller));
    let reports = policy.rules.iter().filter_map(|rule| {
        let is_about_place = ask.is_in_place_of(rule);
        let is_about_action = rule.actions.contains(ask.action);
        // A rule that is about neither is one of many, and nobody looks for it.
        if !is_about_place || !(is_about_caller || is_about_action) {
            return None;
        }
        let alone = Policy {
            mode: Mode::Enforce,
            rules: vec![rule.clone()],
            ..policy.clone()
        };
        let decision = PolicySet::new(vec![alone]).decide(&caller, &ask.request());
        let matches = matches!(decision.outcome, Outcome::Allowed { .. } | Outcome::Denied { .. });
        let is_reached = is_about_caller && is_about_action && policy.window.is_open(situation.at);
        let because = (!matches).then(|| {
            if !is_about_caller {
                format!(
                    "it is about {}",
                    entry.subjects.iter().map(subject).collect::<Vec<_>>().join(", ")
                )
            } else if !is_about_action {
                let actions: Vec<&str> = rule.actions.iter().map(registry_policy::Action::as_str).collect();
                format!("it is about {}", actions.join(", "))
            } else if !policy.window.is_open(situation.at) {
                "it is not in force then".to_owned()
            } else if decision.errors.is_empty() && rule.when.is_none() {
                "the tag or digest is none of its references".to_owned()
            } else {
                "its condition does not hold".to_owned()
            }
        });
        let condition = rule.when.as_ref().filter(|_| is_reached);
        Some(RuleReport {
            policy: policy.name.clone(),
            rule: rule.name.clone(),
            effect: policy.effect,
            mode: entry.mode,
            matches,
            because,
            condition: condition
                .map(|when| when.explain(&caller, &ask.request()))
                .unwrap_or_default(),
        })
    });
    reports.collect()
}

fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Identity(name) => format!("the identity `{name}`"),
        Subject::Group(name) => format!("the group `{name}`"),
        Subject::ServiceAccount(account) => format!("the ServiceAccount `{}/{}`", account.namespace, account.name),
        Subject::OidcSubject(found) => format!("`{}` of `{}`", found.subject, found.issuer),
        Subject::Any(class) => format!("{class:?}"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict.question)?;
        if !self.groups.is_empty() {
            writeln!(f, "groups: {}", self.groups.join(", "))?;
        }
        write!(f, "{}", self.verdict)?;
        for rule in &self.rules {
            let effect = format!("{:?}", rule.effect);
            let tried = if rule.mode == Mode::Audit {
                " (on trial: it decides nothing)"
            } else {
                ""
            };
            let matches = match &rule.because {
                None => "matches".to_owned(),
                Some(why) => format!("does not match: {why}"),
            };
            write!(f, "\n\n{effect} {} / {}{tried}: {matches}", rule.policy, rule.rule)?;
            for part in &rule.condition {
                let indent = "  ".repeat(part.depth + 1);
                let value = match &part.value {
                    Ok(value) => value.clone(),
                    Err(why) => format!("cannot be evaluated: {why}"),
                };
                write!(f, "\n{indent}{}  ->  {value}", part.text)?;
            }
        }
        if self.other_rules > 0 {
            write!(f, "\n\n{} other rules have nothing to do with it", self.other_rules)?;
        }
        Ok(())
    }
}
