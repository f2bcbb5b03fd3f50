//! What holds for any policies and any request.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// A world small enough for rules to meet requests.
#[derive(Clone, Debug)]
struct Question {
    username: Option<String>,
    groups: Vec<String>,
    home: bool,
    action: Action,
    repository: String,
    tags: Vec<String>,
    reference: Option<String>,
}

impl Question {
    fn ask<T>(&self, answer: impl FnOnce(&Caller<'_>, &Request<'_>) -> T) -> T {
        let identity = self.username.as_deref().map(|username| Identity {
            id: username,
            username,
            groups: &self.groups,
            home: self.home,
            ..Identity::default()
        });
        let repository = (self.action != Action::ListCatalog).then_some(self.repository.as_str());
        let asked = Request {
            tags: &self.tags,
            reference: self.reference.as_deref(),
            ..request(self.action, repository)
        };
        answer(
            &Caller {
                identity,
                ..Caller::default()
            },
            &asked,
        )
    }

    fn decide(&self, policies: &[Policy]) -> Decision {
        let set = PolicySet::new(policies.to_vec());
        self.ask(|caller, request| set.decide(caller, request))
    }
}

fn actions() -> impl Strategy<Value = Action> {
    select(vec![Action::GetManifest, Action::PutManifest, Action::ListCatalog])
}

fn questions() -> impl Strategy<Value = Question> {
    let caller = (option::of("[ab]"), vec("[gh]", 0..3), any::<bool>());
    let asked = (actions(), "[xy](/[xy]){0,2}", vec("[tl]", 0..3), option::of("[tl]"));
    (caller, asked).prop_map(
        |((username, groups, home), (action, repository, tags, reference))| Question {
            username,
            groups,
            home,
            action,
            repository,
            tags,
            reference,
        },
    )
}

/// A condition that no request of these tests has the facts for.
const BROKEN: &str = "identity.oidc.claims['x'] == 'y'";

fn rules() -> impl Strategy<Value = Rule> {
    let conditions = select(vec![
        "true",
        "false",
        "request.reference == 't'",
        "identity.username.startsWith('a')",
        "request.tags.all(t, t != 'l')",
        BROKEN,
        "'g' in identity.groups",
        "identity.username != null && request.action != 'put-manifest'",
    ]);
    let repositories = vec(select(vec!["**", "x/**", "x", "*", "x/*", "y/x"]), 0..3);
    (
        repositories,
        vec(actions(), 0..3),
        vec(select(vec!["t", "*", "l*"]), 0..3),
        option::of(conditions),
        option::of("[mn]"),
    )
        .prop_map(|(repositories, actions, references, when, message)| Rule {
            name: String::new(),
            repositories: patterns(&repositories),
            actions: actions.into_iter().collect(),
            references: references.iter().map(|pattern| pattern.parse().unwrap()).collect(),
            when: when.map(|source| Expression::parse(source).unwrap()),
            message,
        })
}

fn policies(effects: Vec<Effect>) -> impl Strategy<Value = Policy> {
    let subject = prop_oneof![
        select(vec!["a", "b"]).prop_map(identity),
        select(vec!["g", "h"]).prop_map(group),
        select(AnySubject::ALL.to_vec()).prop_map(Subject::Any),
    ];
    (select(effects), vec(subject, 0..3), vec(rules(), 0..4)).prop_map(|(effect, subjects, mut rules)| {
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("rule-{number}");
        }
        policy("another", effect, &subjects, rules)
    })
}

/// Policies with names of their own.
fn documents() -> impl Strategy<Value = Vec<Policy>> {
    vec(policies(vec![Effect::Allow, Effect::Deny]), 0..6).prop_map(|mut policies| {
        for (number, policy) in policies.iter_mut().enumerate() {
            policy.name = format!("policy-{number}");
        }
        policies
    })
}

/// Whether a rule is about the tags and the digest of a request, by its definition.
fn names_reference(effect: Effect, rule: &Rule, request: &Request<'_>) -> bool {
    if rule.references.is_empty() || request.action == Action::ListCatalog {
        return true;
    }
    let tags = request.tags.iter().map(String::as_str);
    let carried: Vec<&str> = request.reference.into_iter().chain(tags).collect();
    let selected = carried
        .iter()
        .filter(|name| rule.references.iter().any(|pattern| pattern.matches(name)));
    match effect {
        Effect::Allow => !carried.is_empty() && selected.count() == carried.len(),
        Effect::Deny => carried.is_empty() || selected.count() > 0,
    }
}

/// The decision by its definition, without an index or an order.
fn is_allowed_by_definition(policies: &[Policy], caller: &Caller<'_>, request: &Request<'_>) -> bool {
    let facts = Facts::new(caller, request);
    let rule_matches = |effect: Effect, rule: &Rule| {
        let names_repository = rule.repositories.iter().any(|pattern| match request.repository {
            Some(repository) => pattern.matches(repository),
            None => pattern.is_everything(),
        });
        let holds = |when: &Expression| when.evaluate(&facts).unwrap_or(effect == Effect::Deny);
        names_repository
            && names_reference(effect, rule, request)
            && rule.actions.contains(request.action)
            && rule.when.as_ref().is_none_or(holds)
    };
    let any_matches = |effect: Effect| {
        policies.iter().filter(|policy| policy.effect == effect).any(|policy| {
            policy.subjects.iter().any(|subject| subject.matches(caller))
                && policy.rules.iter().any(|rule| rule_matches(effect, rule))
        })
    };
    let signed_in = request.action == Action::ListCatalog && caller.identity.is_some();
    !any_matches(Effect::Deny) && (any_matches(Effect::Allow) || signed_in)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_decision_is_what_its_definition_says(policies in documents(), question in questions()) {
        let want = question.ask(|caller, request| is_allowed_by_definition(&policies, caller, request));
        prop_assert_eq!(question.decide(&policies).is_allowed(), want);
    }

    #[test]
    fn adding_a_deny_never_widens(
        policies in documents(),
        deny in policies(vec![Effect::Deny]),
        question in questions(),
    ) {
        let before = question.decide(&policies).is_allowed();
        let after = question.decide(&[policies, vec![deny]].concat()).is_allowed();
        prop_assert!(before || !after);
    }

    #[test]
    fn adding_an_allow_never_narrows(
        policies in documents(),
        allow in policies(vec![Effect::Allow]),
        question in questions(),
    ) {
        let before = question.decide(&policies).is_allowed();
        let after = question.decide(&[policies, vec![allow]].concat()).is_allowed();
        prop_assert!(after || !before);
    }

    #[test]
    fn order_never_matters(
        (policies, shuffled) in
            documents().prop_flat_map(|policies| (Just(policies.clone()), Just(policies).prop_shuffle())),
        question in questions(),
    ) {
        let mut shuffled = shuffled;
        for policy in &mut shuffled {
            policy.rules.reverse();
            policy.subjects.reverse();
            policy.rules.iter_mut().for_each(|rule| rule.repositories.reverse());
        }
        prop_assert_eq!(question.decide(&policies), question.decide(&shuffled));
    }

    #[test]
    fn an_evaluation_error_never_widens(
        policies in documents(),
        question in questions(),
        which: prop::sample::Index,
    ) {
        let mut broken = policies.clone();
        let mut rules: Vec<&mut Rule> = broken.iter_mut().flat_map(|policy| &mut policy.rules).collect();
        prop_assume!(!rules.is_empty());
        let chosen = which.index(rules.len());
        rules[chosen].when = Some(Expression::parse(BROKEN).unwrap());
        let before = question.decide(&policies).is_allowed();
        let after = question.decide(&broken).is_allowed();
        prop_assert!(before || !after);
    }

    #[test]
    fn a_token_is_granted_for_whatever_is_allowed(policies in documents(), question in questions()) {
        let set = PolicySet::new(policies);
        let (allowed, granted) = question.ask(|caller, request| {
            let granted = set.may_allow(caller, request.action, request.repository.unwrap_or_default());
            (set.decide(caller, request).is_allowed(), granted)
        });
        prop_assert!(granted || !allowed);
    }
}
