use jiff::Timestamp;

use super::*;
use crate::{AnySubject, Identity, RepositoryPattern, Role, Rule, Subject};

mod bounds;
mod properties;
mod table;

const ANONYMOUS: Caller<'static> = Caller {
    identity: None,
    client_ip: None,
    certificate: None,
    oidc: None,
    service_account: None,
    at: Timestamp::UNIX_EPOCH,
};

/// A caller of the Registry's own namespace.
fn home<'a>(username: &'a str, groups: &'a [String]) -> Caller<'a> {
    Caller {
        identity: Some(Identity {
            id: username,
            username,
            groups,
            home: true,
            ..Identity::default()
        }),
        ..Caller::default()
    }
}

fn request(action: Action, repository: Option<&str>) -> Request<'_> {
    Request {
        repository,
        ..Request::bare(action, "GET")
    }
}

fn patterns(texts: &[&str]) -> Vec<RepositoryPattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn rule(name: &str, repositories: &[&str], actions: ActionSet) -> Rule {
    Rule {
        name: name.to_owned(),
        repositories: patterns(repositories),
        actions,
        references: Vec::new(),
        when: None,
        message: None,
    }
}

impl Rule {
    fn when(self, source: &str) -> Self {
        Self {
            when: Some(Expression::parse(source).unwrap()),
            ..self
        }
    }

    fn references(self, patterns: &[&str]) -> Self {
        Self {
            references: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect(),
            ..self
        }
    }

    fn message(self, message: &str) -> Self {
        Self {
            message: Some(message.to_owned()),
            ..self
        }
    }
}

fn policy(name: &str, effect: Effect, subjects: &[Subject], rules: Vec<Rule>) -> Policy {
    Policy {
        name: name.to_owned(),
        effect,
        mode: Mode::Enforce,
        window: Window::default(),
        subjects: subjects.to_vec(),
        rules,
    }
}

fn identity(username: &str) -> Subject {
    Subject::Identity(username.to_owned())
}

fn group(name: &str) -> Subject {
    Subject::Group(name.to_owned())
}

const EVERYONE: Subject = Subject::Any(AnySubject::Everyone);

/// What a decision comes to, in short: `policy/rule` after what it did.
fn outcome(set: &PolicySet, caller: &Caller<'_>, request: &Request<'_>) -> String {
    let decision = set.decide(caller, request);
    let text = match &decision.outcome {
        Outcome::Allowed { policy, rule } => format!("allowed by {policy}/{rule}"),
        Outcome::AllowedSignedIn => "allowed as signed in".to_owned(),
        Outcome::Denied { policy, rule, .. } => format!("denied by {policy}/{rule}"),
        Outcome::NoRuleMatched { .. } => "no rule".to_owned(),
    };
    assert_eq!(decision.is_allowed(), text.starts_with("allowed"));
    assert!(!decision.is_allowed() || decision.message().is_none());
    let errors = decision
        .errors
        .iter()
        .map(|error| format!("; error in {}/{}", error.policy, error.rule));
    let message = decision.message().map(|message| format!(": {message}"));
    text + &message.unwrap_or_default() + &errors.collect::<String>()
}
