//! What is to become of each policy.

mod bounds;

use std::collections::{BTreeMap, HashSet};

use crds::{AccessPolicy, Action, AnySubject, Effect, Mode, PolicyRule, Role, Subject, reasons};
use kube::ResourceExt;
use registry_config::{PolicyEntry, Problem, RuleAction, RuleEntry};
use registry_policy::Expression;

use crate::outcome::Verdict;
use crate::registry::admission::{self, Admission};
use crate::registry::snapshot::Snapshot;
use crate::state::{PolicyState, State};
use crate::unknown_fields;

use super::known;
use bounds::{Bounds, Clipped};

/// What is to become of a policy.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Judged {
    pub(in crate::registry) generation: Option<i64>,
    pub(in crate::registry) accepted: Verdict,
    /// Whether less of it is in force than it asks for, though it is accepted.
    pub(in crate::registry) is_narrowed: bool,
    /// The form that is enforced: this generation, the last accepted one, or a broken Deny without its conditions.
    pub(in crate::registry) in_force: Option<PolicyEntry>,
    /// The accepted form to keep.
    pub(in crate::registry) keep: Option<PolicyState>,
}

/// Judges all policies that name the Registry, by UID.
pub(super) fn judge(snapshot: &Snapshot, state: &State) -> BTreeMap<String, Judged> {
    let listed: HashSet<&str> = known(snapshot).1.iter().map(|entry| entry.name.as_str()).collect();
    let in_force = |policy: &AccessPolicy| listed.contains(name(policy, false).as_str());
    let mut admissions = admission::of_policies(&snapshot.registry, &snapshot.namespaces, &snapshot.policies, in_force);
    let judged = snapshot.policies.iter().map(|policy| {
        let uid = policy.uid().unwrap_or_default();
        let kept = state.policies.get(&uid);
        let judged = match admissions.remove(&uid).unwrap_or(Admission::Refused) {
            Admission::Home => judge_alone(policy, kept, true),
            Admission::Guest(number, entry) => {
                within(&Bounds::of(entry), number, judge_alone(policy, kept, false))
            }
            Admission::Excess(number, most) => {
                let message = format!(
                    "spec.allowedPolicies[{number}] of the Registry admits {most} policies of a namespace, and there are more"
                );
                refused(policy, Verdict::no(reasons::LIMIT_EXCEEDED, message))
            }
            Admission::Refused => refused(policy, not_admitted(policy, snapshot)),
        };
        (uid, judged)
    });
    judged.collect()
}

fn not_admitted(policy: &AccessPolicy, snapshot: &Snapshot) -> Verdict {
    let message = format!(
        "Registry `{}` in namespace `{}` does not admit policies of namespace `{}`: its owner admits them by `spec.allowedPolicies`",
        snapshot.registry.name_any(),
        snapshot.registry.namespace().unwrap_or_default(),
        policy.namespace().unwrap_or_default()
    );
    Verdict::no(reasons::NOT_ALLOWED_BY_REGISTRY, message)
}

/// A policy that does nothing, and of which nothing is kept.
fn refused(policy: &AccessPolicy, accepted: Verdict) -> Judged {
    Judged {
        generation: policy.metadata.generation,
        accepted,
        is_narrowed: false,
        in_force: None,
        keep: None,
    }
}

/// A policy of another namespace, within what is admitted of it. What is kept of it is the whole, so that it comes back when its
/// bounds become wider.
fn within(bounds: &Bounds<'_>, number: usize, judged: Judged) -> Judged {
    let Some(entry) = &judged.in_force else { return judged };
    let path = format!("spec.allowedPolicies[{number}] of the Registry");
    match bounds.clip(entry) {
        Ok(Clipped { entry, narrowed }) => {
            let mut accepted = judged.accepted;
            if !narrowed.is_empty() {
                let separator = if accepted.message.is_empty() { "" } else { "; " };
                let rules = narrowed.join("`, `");
                accepted.message = format!(
                    "{}{separator}{path} admits less than `{rules}` ask for, and that is what is in force",
                    accepted.message
                );
            }
            Judged {
                accepted,
                is_narrowed: !narrowed.is_empty(),
                in_force: Some(entry),
                ..judged
            }
        }
        Err(why) => Judged {
            accepted: Verdict::no(reasons::NOT_ALLOWED_BY_REGISTRY, format!("{path}: {why}")),
            in_force: None,
            ..judged
        },
    }
}

/// Judges a policy whatever others there are.
fn judge_alone(policy: &AccessPolicy, kept: Option<&PolicyState>, is_home: bool) -> Judged {
    let generation = policy.metadata.generation;
    let entry = entry(policy, is_home);
    let Wrong {
        reason,
        text,
        is_harmless,
    } = match problems(policy, &entry) {
        Ok(remark) => {
            let keep = PolicyState {
                generation: generation.unwrap_or_default(),
                policy: entry.clone(),
            };
            return Judged {
                generation,
                accepted: Verdict::yes(reasons::ACCEPTED, remark),
                is_narrowed: false,
                in_force: Some(entry),
                keep: Some(keep),
            };
        }
        Err(wrong) => wrong,
    };
    let refused = |consequence: &str, in_force, keep| Judged {
        generation,
        accepted: Verdict::no(reason, format!("{text}; {consequence}")),
        is_narrowed: false,
        in_force,
        keep,
    };
    // One that an earlier version accepted is not of the past.
    let before = kept.filter(|kept| Some(kept.generation) != generation || !is_harmless);
    if let Some(before) = before {
        let consequence = format!("generation {} of this policy stays in force", before.generation);
        return refused(&consequence, Some(before.policy.clone()), Some(before.clone()));
    }
    if is_harmless {
        return refused("until it is corrected, it acts as it is", Some(entry), kept.cloned());
    }
    // Of others' policies nothing acts that was never right: it could deny what they have no business with.
    let stripped =
        (is_home && policy.spec.effect == Effect::Deny && unknown_fields::in_policy(&policy.spec).is_empty())
            .then(|| without_invalid_conditions(&entry))
            .filter(|stripped| stripped.compile().is_ok());
    let consequence = if stripped.is_some() {
        "until it is corrected, this Deny acts as if the condition were true"
    } else {
        "the policy does nothing until it is corrected"
    };
    refused(consequence, stripped, None)
}

/// What is wrong with a policy that is not accepted.
struct Wrong {
    reason: &'static str,
    text: String,
    /// Whether it can be in force nevertheless: nothing is let through that should not be.
    is_harmless: bool,
}

/// What is worth saying about a policy, or what is wrong with it.
fn problems(policy: &AccessPolicy, entry: &PolicyEntry) -> Result<String, Wrong> {
    let unknown = unknown_fields::in_policy(&policy.spec);
    if !unknown.is_empty() {
        return Err(Wrong {
            reason: reasons::UNKNOWN_FIELD,
            text: format!(
                "this version does not know `{}`; correct the spelling or remove it",
                unknown.join("`, `")
            ),
            is_harmless: false,
        });
    }
    let compiled = entry.compile().map_err(|problems| Wrong {
        reason: if problems.iter().all(is_about_condition) {
            reasons::INVALID_EXPRESSION
        } else {
            reasons::INVALID
        },
        text: text(&problems),
        is_harmless: false,
    })?;
    let absences = registry_config::absences(&compiled);
    // What makes an Allow narrower than it looks is worth a word, and no reason to refuse it.
    if absences.is_empty() || policy.spec.effect == Effect::Allow {
        return Ok(text(&absences));
    }
    Err(Wrong {
        reason: reasons::INVALID_EXPRESSION,
        text: text(&absences),
        is_harmless: true,
    })
}

fn text(problems: &[Problem]) -> String {
    let each: Vec<String> = problems.iter().map(|problem| format!("spec.{problem}")).collect();
    each.join("; ")
}

fn is_about_condition(problem: &Problem) -> bool {
    problem.path.split('.').next_back() == Some("when")
}

/// The policy with every condition dropped that cannot be read.
fn without_invalid_conditions(entry: &PolicyEntry) -> PolicyEntry {
    let mut entry = entry.clone();
    for rule in &mut entry.rules {
        rule.when = rule.when.take().filter(|when| Expression::parse(when).is_ok());
    }
    entry
}

/// What a policy is called in the access document: one of another namespace with that before it, and a `/`, which no name has.
fn name(policy: &AccessPolicy, is_home: bool) -> String {
    let name = policy.name_any();
    if is_home {
        name
    } else {
        format!("{}/{name}", policy.namespace().unwrap_or_default())
    }
}

/// A policy of the Registry's own namespace as the access document has it.
pub(in crate::registry) fn entry_at_home(policy: &AccessPolicy) -> PolicyEntry {
    entry(policy, true)
}

/// The policy as the access document has it.
fn entry(policy: &AccessPolicy, is_home: bool) -> PolicyEntry {
    PolicyEntry {
        name: name(policy, is_home),
        effect: match policy.spec.effect {
            Effect::Allow => registry_policy::Effect::Allow,
            Effect::Deny => registry_policy::Effect::Deny,
        },
        mode: match policy.spec.mode {
            None | Some(Mode::Enforce) => registry_policy::Mode::Enforce,
            Some(Mode::Audit) => registry_policy::Mode::Audit,
        },
        not_before: policy.spec.not_before.as_ref().map(|time| time.0),
        not_after: policy.spec.not_after.as_ref().map(|time| time.0),
        subjects: policy.spec.subjects.iter().filter_map(subject).collect(),
        rules: policy.spec.rules.iter().map(rule).collect(),
    }
}

/// The schema sees to it that exactly one field is given.
fn subject(subject: &Subject) -> Option<registry_policy::Subject> {
    use registry_policy::Subject as S;
    let fields = (
        &subject.identity,
        &subject.group,
        &subject.service_account,
        &subject.oidc_subject,
        subject.any,
    );
    match fields {
        (Some(identity), None, None, None, None) => Some(S::Identity(identity.clone())),
        (None, Some(group), None, None, None) => Some(S::Group(group.clone())),
        (None, None, Some(account), None, None) => Some(S::ServiceAccount(registry_policy::ServiceAccountName {
            namespace: account.namespace.clone(),
            name: account.name.clone(),
        })),
        (None, None, None, Some(found), None) => Some(S::OidcSubject(registry_policy::OidcSubject {
            issuer: found.issuer.clone(),
            subject: found.subject.clone(),
        })),
        (None, None, None, None, Some(any)) => Some(S::Any(match any {
            AnySubject::Home => registry_policy::AnySubject::Home,
            AnySubject::Authenticated => registry_policy::AnySubject::Authenticated,
            AnySubject::Anonymous => registry_policy::AnySubject::Anonymous,
            AnySubject::Everyone => registry_policy::AnySubject::Everyone,
        })),
        _ => None,
    }
}

fn rule(rule: &PolicyRule) -> RuleEntry {
    RuleEntry {
        name: rule.name.clone(),
        repositories: rule.repositories.clone(),
        role: rule.role.map(role),
        actions: rule.actions.iter().flatten().copied().map(rule_action).collect(),
        references: rule.references.clone().unwrap_or_default(),
        when: rule.when.clone(),
        message: rule.message.clone(),
    }
}

const fn role(role: Role) -> registry_policy::Role {
    match role {
        Role::Pull => registry_policy::Role::Pull,
        Role::Push => registry_policy::Role::Push,
        Role::Maintain => registry_policy::Role::Maintain,
        Role::Admin => registry_policy::Role::Admin,
    }
}

const fn action(action: Action) -> registry_policy::Action {
    use registry_policy::Action as A;
    match action {
        Action::ListCatalog => A::ListCatalog,
        Action::ListTags => A::ListTags,
        Action::GetBlob => A::GetBlob,
        Action::DeleteBlob => A::DeleteBlob,
        Action::GetManifest => A::GetManifest,
        Action::PutManifest => A::PutManifest,
        Action::DeleteManifest => A::DeleteManifest,
        Action::GetReferrers => A::GetReferrers,
        Action::StartUpload => A::StartUpload,
        Action::MountBlob => A::MountBlob,
        Action::GetUpload => A::GetUpload,
        Action::UpdateUpload => A::UpdateUpload,
        Action::CompleteUpload => A::CompleteUpload,
        Action::CancelUpload => A::CancelUpload,
    }
}

const fn rule_action(listed: crds::RuleAction) -> RuleAction {
    match listed {
        crds::RuleAction::Any(_) => RuleAction::Any,
        crds::RuleAction::Named(named) => RuleAction::Named(action(named)),
    }
}
