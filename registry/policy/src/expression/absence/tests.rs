//! What is found, and that nothing is overlooked.

use proptest::prelude::*;

use super::*;
use crate::facts::Facts;
use crate::vocabulary::availability;
use crate::{Caller, Request};

fn absent(source: &str, actions: &[Action]) -> Option<String> {
    let found = Expression::parse(source).unwrap().absence(ActionSet::of(actions), &[]);
    found.map(|found| format!("{} of {}", found.fact, found.action))
}

/// A condition, the actions that it is for, and what is missing.
const CASES: &[(&str, &[Action], Option<&str>)] = &[
    (
        "['get-blob'].contains(request.action) && request.digest == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "request.action.startsWith('get-b') && request.digest == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "request.action.endsWith('-upload') || has(request.digest) && request.digest == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "request.method == 'PATCH' && request.session_id == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "request.method == 'GET' && request.digest == 'x'",
        &[Action::GetBlob, Action::PutManifest],
        None,
    ),
    (
        "request.method != 'GET' || request.digest == 'x'",
        &[Action::ListTags],
        Some("request.digest of list-tags"),
    ),
    ("request.tags.exists(t, t == request.reference)", &Action::ALL, None),
    ("request.digest == 'x'", &[Action::GetBlob], None),
    (
        "request.digest == 'x'",
        &[Action::GetBlob, Action::GetManifest],
        Some("request.digest of get-manifest"),
    ),
    (
        "request.digest == 'x'",
        &[Action::ListTags],
        Some("request.digest of list-tags"),
    ),
    (
        "has(request.digest) && request.digest == 'x'",
        &[Action::GetManifest, Action::ListTags],
        None,
    ),
    (
        "request.digest == 'x' && has(request.digest)",
        &[Action::GetManifest],
        None,
    ),
    (
        "!has(request.digest) || request.digest == 'x'",
        &[Action::GetManifest],
        None,
    ),
    (
        "has(request.digest) || request.digest == 'x'",
        &[Action::GetManifest],
        Some("request.digest of get-manifest"),
    ),
    (
        "has(request.digest) ? request.digest == 'x' : false",
        &[Action::GetManifest],
        None,
    ),
    (
        "has(request.digest) ? false : request.digest == 'x'",
        &[Action::GetManifest],
        Some("request.digest of get-manifest"),
    ),
    (
        "has(request.n) && request.last == 'x'",
        &[Action::ListTags],
        Some("request.last of list-tags"),
    ),
    (
        "has(request.n) && has(request.last) && request.n > 5u && request.last == 'x'",
        &[Action::ListTags],
        None,
    ),
    ("request.repository == 'x'", &[Action::ListTags], None),
    (
        "request.namespace == 'x'",
        &[Action::ListCatalog],
        Some("request.namespace of list-catalog"),
    ),
    (
        "has(request.repository) && request.namespace == 'x'",
        &[Action::ListCatalog, Action::ListTags],
        None,
    ),
    (
        "request.action == 'list-tags' && request.reference == 'x'",
        &[Action::GetManifest],
        None,
    ),
    (
        "request.action == 'get-manifest' && request.digest == 'x'",
        &[Action::GetManifest, Action::GetBlob],
        Some("request.digest of get-manifest"),
    ),
    (
        "request.action != 'get-blob' || request.digest == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "request.action in ['get-blob', 'delete-blob'] && request.digest == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "!(request.action in ['get-blob'] && request.digest.startsWith('x'))",
        &Action::ALL,
        None,
    ),
    (
        "request.tags.all(t, t != request.digest)",
        &[Action::PutManifest],
        Some("request.digest of put-manifest"),
    ),
    (
        "has(request.digest) && request.tags.exists(t, t == request.digest)",
        &[Action::PutManifest],
        None,
    ),
    ("request.reference in ['a', 'b']", &[Action::GetManifest], None),
    (
        "request.tags.size() > 0 && identity.username == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "identity.oidc != null && identity.oidc.provider_name == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "identity.oidc == null || identity.oidc.claims['sub'] == 'x'",
        &Action::ALL,
        None,
    ),
    (
        "identity.oidc.provider_name == 'x'",
        &[Action::ListTags],
        Some("identity.oidc.provider_name of list-tags"),
    ),
    (
        "has(identity.oidc.claims) && identity.oidc.claims.sub == 'x'",
        &[Action::ListTags],
        Some("identity.oidc.claims of list-tags"),
    ),
    (
        "has(identity.oidc.claims.sub) && identity.service_account.pod != null",
        &[Action::ListTags],
        Some("identity.oidc.claims of list-tags"),
    ),
    (
        "identity.service_account != null && identity.service_account.namespace == 'ci'",
        &Action::ALL,
        None,
    ),
    (
        "identity.client_ip != null && ip(identity.client_ip).family() == 4",
        &Action::ALL,
        None,
    ),
];

#[test]
fn tells_what_is_read_without_being_asked_for() {
    for (source, actions, want) in CASES {
        assert_eq!(absent(source, actions).as_deref(), *want, "{source}");
    }
}

#[test]
fn whom_a_policy_is_about_may_make_a_fact_certain() {
    let subject = |issuer: &str| {
        Subject::OidcSubject(crate::OidcSubject {
            issuer: issuer.to_owned(),
            subject: "x".to_owned(),
        })
    };
    let about = |subjects: &[Subject]| {
        let expression = Expression::parse("identity.oidc.claims['sub'] == 'x'").unwrap();
        expression.absence(ActionSet::ALL, subjects).is_some()
    };
    assert!(!about(&[subject("a"), subject("b")]));
    assert!(about(&[subject("a"), Subject::Group("g".to_owned())]));
    assert!(about(&[]));
}

#[test]
fn no_action_has_more_than_a_few_facts_that_may_be_missing() {
    for action in Action::ALL {
        let fields = crate::vocabulary::variables(ROOTS);
        let mut maybe: Vec<Source> = Vec::new();
        for source in fields.iter().map(|(_, variable)| Source::of(variable.fact)) {
            if source.availability(action, &[]) == Availability::Maybe && !maybe.contains(&source) {
                maybe.push(source);
            }
        }
        assert!(
            (2..=5).contains(&maybe.len()),
            "{action} has {}: each doubles the work",
            maybe.len()
        );
    }
}

/// Conditions over some facts, with everything that hides what is missing.
fn condition() -> impl Strategy<Value = String> {
    let fact = prop::sample::select(vec!["repository", "reference", "digest", "from", "n"]);
    let leaf = prop_oneof![
        fact.clone().prop_map(|fact| format!("has(request.{fact})")),
        fact.prop_map(|fact| format!("request.{fact} == {}", if fact == "n" { "7u" } else { "'x'" })),
        prop::sample::select(Action::ALL.to_vec()).prop_map(|action| format!("request.action == '{action}'")),
        Just("request.action in ['get-blob', 'list-tags']".to_owned()),
        Just("identity.oidc != null".to_owned()),
        Just("identity.oidc.provider_name == 'x'".to_owned()),
        Just("has(identity.oidc.provider_name)".to_owned()),
        Just("request.action.startsWith('get-')".to_owned()),
        Just("['get-blob', 'put-manifest'].contains(request.action)".to_owned()),
        Just("identity.username == 'x'".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("!({part})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} && {right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} || {right})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            inner.clone().prop_map(|part| format!("['a', 'b'].exists(t, {part})")),
            inner.prop_map(|part| format!("request.tags.all(t, {part})")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_missing_in_some_request_is_found_beforehand(
        source in condition(),
        action in prop::sample::select(Action::ALL.to_vec()),
        there in any::<u8>(),
        has_oidc in any::<bool>(),
    ) {
        // Macros within macros are refused.
        let Ok(expression) = Expression::parse(&source) else { return Ok(()) };
        let there = |name: &str, bit: u8| match availability(name, action) {
            Some(Availability::Always) => true,
            Some(Availability::Maybe) => there & (1 << bit) != 0,
            Some(Availability::Never) | None => false,
        };
        let text = |name, bit| there(name, bit).then_some("x");
        let tags = if has_oidc && action == Action::PutManifest { vec!["v1".to_owned()] } else { Vec::new() };
        let request = Request {
            repository: text("repository", 0),
            reference: text("reference", 1),
            digest: text("digest", 2),
            from: text("from", 3),
            n: there("n", 4).then_some(7),
            tags: &tags,
            ..Request::bare(action, "GET")
        };
        let oidc = crate::Oidc { provider_name: "x".to_owned(), ..crate::Oidc::default() };
        let caller = Caller { oidc: has_oidc.then_some(&oidc), ..Caller::default() };
        let evaluated = expression.evaluate(&Facts::new(&caller, &request));
        if evaluated.is_err_and(|why| why.contains("is missing") || why.contains("null_type")) {
            let found = expression.absence(ActionSet::of(&[action]), &[]);
            prop_assert!(found.is_some(), "{source} for {action} with {request:?}");
        }
    }
}
