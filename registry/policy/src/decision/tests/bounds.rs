//! What bounds a policy beside subjects, repositories and actions: references, time, and the mode.

use super::*;

const EVERYWHERE: &[&str] = &["**"];

fn manifests() -> ActionSet {
    [
        Action::GetManifest,
        Action::PutManifest,
        Action::DeleteManifest,
        Action::GetReferrers,
    ]
    .into_iter()
    .collect()
}

fn with_blobs() -> ActionSet {
    Role::Push.actions()
}

fn put<'a>(reference: &'a str, tags: &'a [String]) -> Request<'a> {
    Request {
        reference: Some(reference),
        tags,
        ..request(Action::PutManifest, Some("a"))
    }
}

fn tags(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn an_allow_needs_all_references_of_a_request_and_a_deny_one() {
    const DIGEST: &str = "sha256:00";
    for (patterns, reference, names, allowed, denied) in [
        (&["v*"][..], "v1", &["v1"][..], true, true),
        (&["v*"], "latest", &["latest"], false, false),
        (&["v*"], "v1", &["v1", "latest"], false, true),
        (&["v*"], DIGEST, &["v1"], false, true),
        (&["v*", "sha256:*"], DIGEST, &["v1", "v2"], true, true),
        (&["sha256:*"], DIGEST, &[], true, true),
        (&["sha256:*"], "v1", &["v1"], false, false),
    ] {
        let tags = tags(names);
        let request = put(reference, &tags);
        let rule = || rule("r", EVERYWHERE, manifests()).references(patterns);
        let allow = policy("p", Effect::Allow, &[EVERYONE], vec![rule()]);
        let set = PolicySet::new(vec![allow]);
        assert_eq!(
            set.decide(&ANONYMOUS, &request).is_allowed(),
            allowed,
            "{patterns:?} {reference} {names:?}"
        );
        let open = policy(
            "open",
            Effect::Allow,
            &[EVERYONE],
            vec![super::rule("r", EVERYWHERE, manifests())],
        );
        let deny = policy("p", Effect::Deny, &[EVERYONE], vec![rule()]);
        let set = PolicySet::new(vec![open, deny]);
        assert_eq!(
            !set.decide(&ANONYMOUS, &request).is_allowed(),
            denied,
            "{patterns:?} {reference} {names:?}"
        );
    }
}

#[test]
fn references_judge_only_the_actions_that_name_a_manifest() {
    let rule = rule("r", EVERYWHERE, with_blobs())
        .references(&["v*"])
        .message("use a version");
    let set = PolicySet::new(vec![policy("p", Effect::Allow, &[EVERYONE], vec![rule])]);
    for action in [
        Action::GetBlob,
        Action::StartUpload,
        Action::CompleteUpload,
        Action::ListTags,
    ] {
        assert_eq!(
            outcome(&set, &ANONYMOUS, &request(action, Some("a"))),
            "allowed by p/r",
            "{action}"
        );
    }
    let latest = tags(&["latest"]);
    assert_eq!(
        outcome(&set, &ANONYMOUS, &put("latest", &latest)),
        "no rule: use a version"
    );
    let referrers = Request {
        digest: Some("sha256:00"),
        ..request(Action::GetReferrers, Some("a"))
    };
    assert_eq!(outcome(&set, &ANONYMOUS, &referrers), "no rule: use a version");
    // Where nothing is known of what is named, as in the filter of the catalog, nothing is allowed.
    assert_eq!(
        outcome(&set, &ANONYMOUS, &request(Action::GetManifest, Some("a"))),
        "no rule: use a version"
    );
    // A token may be asked for: which tag it is for is not known yet.
    assert!(set.may_allow(&ANONYMOUS, Action::PutManifest, "a"));
}

#[test]
fn a_deny_with_references_keeps_no_token_back_but_for_actions_without_any() {
    let open = policy(
        "open",
        Effect::Allow,
        &[EVERYONE],
        vec![rule("r", EVERYWHERE, with_blobs())],
    );
    let denied = rule("r", EVERYWHERE, with_blobs()).references(&["latest"]);
    let set = PolicySet::new(vec![open, policy("p", Effect::Deny, &[EVERYONE], vec![denied])]);
    assert!(set.may_allow(&ANONYMOUS, Action::PutManifest, "a"));
    assert!(!set.may_allow(&ANONYMOUS, Action::GetBlob, "a"));
    assert_eq!(
        outcome(&set, &ANONYMOUS, &request(Action::PutManifest, Some("a"))),
        "denied by p/r"
    );
}

#[test]
fn a_policy_is_in_force_within_its_window_alone() {
    let second = |second| Timestamp::from_second(second).unwrap();
    let window = |from: Option<i64>, to: Option<i64>| Window {
        not_before: from.map(second),
        not_after: to.map(second),
    };
    for (window, open_at, closed_at) in [
        (window(None, None), vec![0, 100], vec![]),
        (window(Some(10), None), vec![10, 11], vec![9]),
        (window(None, Some(20)), vec![0, 19], vec![20, 21]),
        (window(Some(10), Some(20)), vec![10, 19], vec![9, 20]),
    ] {
        let bounded = |effect| Policy {
            window,
            ..policy("p", effect, &[EVERYONE], vec![rule("r", EVERYWHERE, with_blobs())])
        };
        let open = policy(
            "open",
            Effect::Allow,
            &[EVERYONE],
            vec![rule("r", EVERYWHERE, with_blobs())],
        );
        let allow = PolicySet::new(vec![bounded(Effect::Allow)]);
        let deny = PolicySet::new(vec![open, bounded(Effect::Deny)]);
        for (instants, is_open) in [(open_at, true), (closed_at, false)] {
            for instant in instants {
                let caller = Caller {
                    at: second(instant),
                    ..ANONYMOUS
                };
                let get = request(Action::GetBlob, Some("a"));
                assert_eq!(
                    allow.decide(&caller, &get).is_allowed(),
                    is_open,
                    "{window:?} {instant}"
                );
                assert_eq!(
                    deny.decide(&caller, &get).is_allowed(),
                    !is_open,
                    "{window:?} {instant}"
                );
                assert_eq!(
                    allow.may_allow(&caller, Action::GetBlob, "a"),
                    is_open,
                    "{window:?} {instant}"
                );
                assert_eq!(
                    deny.may_allow(&caller, Action::GetBlob, "a"),
                    !is_open,
                    "{window:?} {instant}"
                );
            }
        }
    }
}

#[test]
fn a_policy_in_audit_mode_is_recorded_and_decides_nothing() {
    let audited = |name: &str, effect, rules| Policy {
        mode: Mode::Audit,
        ..policy(name, effect, &[EVERYONE], rules)
    };
    let get = request(Action::GetBlob, Some("a"));
    let all = || vec![rule("r", EVERYWHERE, with_blobs())];
    let never = rule("never", EVERYWHERE, with_blobs()).when("false");
    let broken = rule("broken", EVERYWHERE, with_blobs()).when("request.session_id == 'x'");
    let policies = vec![
        policy("open", Effect::Allow, &[EVERYONE], all()),
        audited("strict", Effect::Deny, vec![all().remove(0), never, broken]),
        audited("lax", Effect::Allow, all()),
    ];
    let decision = PolicySet::new(policies.clone()).decide(&ANONYMOUS, &get);
    assert!(decision.is_allowed());
    let recorded: Vec<(String, Effect)> = decision
        .audited
        .iter()
        .map(|audited| (format!("{}/{}", audited.policy, audited.rule), audited.effect))
        .collect();
    let want = [
        ("strict/r", Effect::Deny),
        ("strict/broken", Effect::Deny),
        ("lax/r", Effect::Allow),
    ];
    assert_eq!(recorded, want.map(|(name, effect)| (name.to_owned(), effect)));
    assert_eq!(decision.errors.len(), 1);

    let without = PolicySet::new(policies[1..].to_vec());
    assert!(!without.decide(&ANONYMOUS, &get).is_allowed());
    assert!(!without.may_allow(&ANONYMOUS, Action::GetBlob, "a"));
    assert!(
        without.is_empty(),
        "nothing decides, so nothing is allowed, and that is to be told"
    );
}
