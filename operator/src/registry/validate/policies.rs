//! What is to become of each policy.

use std::collections::BTreeMap;

use crds::{AccessPolicy, Action, AnySubject, Effect, Mode, PolicyRule, Role, Subject, reasons};
use kube::ResourceExt;
use registry_config::{PolicyEntry, Problem, RuleEntry};
use registry_policy::Expression;

use crate::outcome::Verdict;
use crate::registry::snapshot::Snapshot;
use crate::state::{PolicyState, State};
use crate::unknown_fields;

/// What is to become of a policy.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Judged {
    pub(in crate::registry) generation: Option<i64>,
    pub(in crate::registry) accepted: Verdict,
    /// The form that is enforced: this generation, the last accepted one, or a broken Deny without its conditions.
    pub(in crate::registry) in_force: Option<PolicyEntry>,
    /// The accepted form to keep.
    pub(in crate::registry) keep: Option<PolicyState>,
}

/// Judges all policies that name the Registry, by UID.
pub(super) fn judge(snapshot: &Snapshot, state: &State) -> BTreeMap<String, Judged> {
    let judged = snapshot.policies.iter().map(|policy| {
        let uid = policy.uid().unwrap_or_default();
        let judged = judge_one(policy, snapshot, state.policies.get(&uid));
        (uid, judged)
    });
    judged.collect()
}

fn judge_one(policy: &AccessPolicy, snapshot: &Snapshot, kept: Option<&PolicyState>) -> Judged {
    let generation = policy.metadata.generation;
    if policy.namespace() != snapshot.registry.namespace() {
        let message = format!(
            "Registry `{}` admits policies of its own namespace `{}` only; make this policy there",
            snapshot.registry.name_any(),
            snapshot.registry.namespace().unwrap_or_default()
        );
        let accepted = Verdict::no(reasons::NOT_ALLOWED_BY_REGISTRY, message);
        return Judged {
            generation,
            accepted,
            in_force: None,
            keep: None,
        };
    }
    let entry = entry(policy);
    let Some((reason, wrong)) = problems(policy, &entry) else {
        let keep = PolicyState {
            generation: generation.unwrap_or_default(),
            policy: entry.clone(),
        };
        let accepted = Verdict::yes(reasons::ACCEPTED, "");
        return Judged {
            generation,
            accepted,
            in_force: Some(entry),
            keep: Some(keep),
        };
    };
    if let Some(kept) = kept {
        let message = format!("{wrong}; generation {} of this policy stays in force", kept.generation);
        let accepted = Verdict::no(reason, message);
        return Judged {
            generation,
            accepted,
            in_force: Some(kept.policy.clone()),
            keep: Some(kept.clone()),
        };
    }
    let stripped = (policy.spec.effect == Effect::Deny && unknown_fields::in_policy(&policy.spec).is_empty())
        .then(|| without_invalid_conditions(&entry))
        .filter(|stripped| stripped.compile().is_ok());
    let consequence = if stripped.is_some() {
        "until it is corrected, this Deny acts as if the condition were true"
    } else {
        "the policy does nothing until it is corrected"
    };
    let accepted = Verdict::no(reason, format!("{wrong}; {consequence}"));
    Judged {
        generation,
        accepted,
        in_force: stripped,
        keep: None,
    }
}

/// What is wrong with a policy, if anything.
fn problems(policy: &AccessPolicy, entry: &PolicyEntry) -> Option<(&'static str, String)> {
    let unknown = unknown_fields::in_policy(&policy.spec);
    if !unknown.is_empty() {
        let message = format!(
            "this version does not know `{}`; correct the spelling or remove it",
            unknown.join("`, `")
        );
        return Some((reasons::UNKNOWN_FIELD, message));
    }
    let problems = entry.compile().err()?;
    let reason = if problems.iter().all(is_about_condition) {
        reasons::INVALID_EXPRESSION
    } else {
        reasons::INVALID
    };
    let text: Vec<String> = problems.iter().map(|problem| format!("spec.{problem}")).collect();
    Some((reason, text.join("; ")))
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

/// The policy as the access document has it.
pub(super) fn entry(policy: &AccessPolicy) -> PolicyEntry {
    PolicyEntry {
        name: policy.name_any(),
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
    match (&subject.identity, &subject.group, &subject.service_account, subject.any) {
        (Some(identity), None, None, None) => Some(S::Identity(identity.clone())),
        (None, Some(group), None, None) => Some(S::Group(group.clone())),
        (None, None, Some(account), None) => Some(S::ServiceAccount(registry_policy::ServiceAccountName {
            namespace: account.namespace.clone(),
            name: account.name.clone(),
        })),
        (None, None, None, Some(any)) => Some(S::Any(match any {
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
        actions: rule.actions.iter().flatten().copied().map(action).collect(),
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
