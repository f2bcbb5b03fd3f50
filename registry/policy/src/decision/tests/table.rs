//! Decisions, case by case.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn without_policies_nothing_is_allowed() {
    let set = PolicySet::new(Vec::new());
    assert!(set.is_empty());
    for action in Action::ALL {
        let want = if action == Action::ListCatalog {
            "allowed as signed in"
        } else {
            "no rule"
        };
        assert_eq!(
            outcome(&set, &home("a", &[]), &request(action, Some("a/b"))),
            want,
            "{action}"
        );
        assert_eq!(
            outcome(&set, &ANONYMOUS, &request(action, Some("a/b"))),
            "no rule",
            "{action}"
        );
        assert_eq!(
            set.may_allow(&home("a", &[]), action, "a/b"),
            action == Action::ListCatalog
        );
        assert!(!set.may_allow(&ANONYMOUS, action, "a/b"));
    }
}

#[test]
fn a_policy_without_subjects_rules_or_repositories_does_nothing() {
    let rules = || vec![rule("all", &["**"], ActionSet::ALL)];
    let set = PolicySet::new(vec![
        policy("nobody", Effect::Allow, &[], rules()),
        policy("nothing", Effect::Allow, &[EVERYONE], Vec::new()),
        policy(
            "nowhere",
            Effect::Allow,
            &[EVERYONE],
            vec![rule("all", &[], ActionSet::ALL)],
        ),
        policy(
            "no-action",
            Effect::Allow,
            &[EVERYONE],
            vec![rule("all", &["**"], ActionSet::EMPTY)],
        ),
    ]);
    assert_eq!(
        outcome(&set, &home("a", &[]), &request(Action::GetBlob, Some("a/b"))),
        "no rule"
    );
    assert_eq!(
        outcome(&set, &ANONYMOUS, &request(Action::ListCatalog, None)),
        "no rule"
    );
}

#[test]
fn a_user_has_what_the_role_holds_below_a_prefix_and_nothing_elsewhere() {
    for role in Role::ALL {
        let own = rule("own", &["mynamespace/**"], role.actions());
        let set = PolicySet::new(vec![policy("team", Effect::Allow, &[identity("ci")], vec![own])]);
        for action in Action::ALL {
            for (username, repository, is_own) in [
                ("ci", "mynamespace/x", true),
                ("ci", "mynamespace/x/y", true),
                ("ci", "mynamespace2/x", false),
                ("ci", "mynamespace", false),
                ("c", "mynamespace/x", false),
                ("ci2", "mynamespace/x", false),
            ] {
                let want = action == Action::ListCatalog || (is_own && role.actions().contains(action));
                let decision = set.decide(&home(username, &[]), &request(action, Some(repository)));
                assert_eq!(decision.is_allowed(), want, "{role:?} {action} {username} {repository}");
                assert_eq!(set.may_allow(&home(username, &[]), action, repository), want);
            }
        }
    }
}

#[test]
fn a_permission_on_a_single_image_ends_there() {
    let image = rule("image", &["team-a/web"], Role::Pull.actions());
    let set = PolicySet::new(vec![policy("one", Effect::Allow, &[group("readers")], vec![image])]);
    let groups = ["readers".to_owned()];
    for (repository, want) in [
        ("team-a/web", "allowed by one/image"),
        ("team-a/web/x", "no rule"),
        ("team-a/we", "no rule"),
        ("team-a", "no rule"),
    ] {
        assert_eq!(
            outcome(
                &set,
                &home("a", &groups),
                &request(Action::GetManifest, Some(repository))
            ),
            want
        );
    }
    assert_eq!(
        outcome(
            &set,
            &home("a", &groups),
            &request(Action::PutManifest, Some("team-a/web"))
        ),
        "no rule"
    );
    assert_eq!(
        outcome(
            &set,
            &home("readers", &[]),
            &request(Action::GetManifest, Some("team-a/web"))
        ),
        "no rule"
    );
}

#[test]
fn a_deny_wins_over_any_allow() {
    let all = || rule("all", &["**"], ActionSet::ALL);
    let secret = || rule("secret", &["team-a/secret/**"], ActionSet::ALL).message("ask team-a");
    let allow = || policy("a-allow", Effect::Allow, &[EVERYONE], vec![all()]);
    let deny = || policy("z-deny", Effect::Deny, &[group("contractors")], vec![secret()]);
    let groups = ["contractors".to_owned()];
    for policies in [vec![allow(), deny()], vec![deny(), allow()]] {
        let set = PolicySet::new(policies);
        for (caller, repository, want) in [
            (
                home("a", &groups),
                "team-a/secret/x",
                "denied by z-deny/secret: ask team-a",
            ),
            (home("a", &groups), "team-a/secret", "allowed by a-allow/all"),
            (home("a", &[]), "team-a/secret/x", "allowed by a-allow/all"),
            (ANONYMOUS, "team-a/secret/x", "allowed by a-allow/all"),
        ] {
            assert_eq!(
                outcome(&set, &caller, &request(Action::GetBlob, Some(repository))),
                want
            );
            assert_eq!(
                set.may_allow(&caller, Action::GetBlob, repository),
                want.starts_with("allowed")
            );
        }
    }
}

#[test]
fn a_global_and_a_repository_policy_combine_to_both() {
    // In Angos' words: a repository's policy only narrows the global one. Here it is a Deny with the negated condition.
    for (global_allows, repository_allows, want) in [
        ("true", "true", "allowed by global/r"),
        ("true", "false", "denied by repository/r"),
        ("false", "true", "no rule"),
        ("false", "false", "denied by repository/r"),
    ] {
        let global = rule("r", &["**"], ActionSet::ALL).when(global_allows);
        let repository = rule("r", &["team-a/**"], ActionSet::ALL).when(&format!("!({repository_allows})"));
        let set = PolicySet::new(vec![
            policy("global", Effect::Allow, &[EVERYONE], vec![global]),
            policy("repository", Effect::Deny, &[EVERYONE], vec![repository]),
        ]);
        assert_eq!(
            outcome(&set, &ANONYMOUS, &request(Action::GetBlob, Some("team-a/web"))),
            want
        );
    }
}

#[test]
fn everything_is_allowed_except_what_a_deny_names() {
    // In Angos' words: `default = "allow"`.
    let all = rule("all", &["**"], ActionSet::ALL);
    let no_root = rule("no-root", &["**"], ActionSet::ALL).when("identity.username == 'root'");
    let no_latest =
        rule("no-latest", &["**"], ActionSet::of(&[Action::PutManifest])).when("request.tags.exists(t, t == 'latest')");
    let set = PolicySet::new(vec![
        policy("default", Effect::Allow, &[EVERYONE], vec![all]),
        policy("except", Effect::Deny, &[EVERYONE], vec![no_root, no_latest]),
    ]);
    let tags = ["latest".to_owned()];
    let put = Request {
        tags: &tags,
        ..request(Action::PutManifest, Some("a"))
    };
    assert_eq!(
        outcome(&set, &home("a", &[]), &request(Action::GetBlob, Some("a"))),
        "allowed by default/all"
    );
    assert_eq!(
        outcome(&set, &home("root", &[]), &request(Action::GetBlob, Some("a"))),
        "denied by except/no-root"
    );
    assert_eq!(outcome(&set, &home("a", &[]), &put), "denied by except/no-latest");
    assert_eq!(
        outcome(&set, &ANONYMOUS, &request(Action::PutManifest, Some("a"))),
        "allowed by default/all"
    );
}

#[test]
fn each_user_owns_a_namespace_and_names_are_no_patterns() {
    let own = rule("namespace", &["*/**"], Role::Admin.actions())
        .when("identity.username != null && request.repository.startsWith(identity.username + '/')");
    let everybody = Subject::Any(AnySubject::Authenticated);
    let set = PolicySet::new(vec![policy("own", Effect::Allow, &[everybody], vec![own])]);
    for (username, repository, want) in [
        ("a.b", "a.b/x", "allowed by own/namespace"),
        ("a.b", "a.b/x/y", "allowed by own/namespace"),
        ("a.b", "axb/x", "no rule"),
        ("a.b", "a.b2/x", "no rule"),
        ("a/b", "a/b/x", "allowed by own/namespace"),
        ("a", "ab/x", "no rule"),
    ] {
        assert_eq!(
            outcome(
                &set,
                &home(username, &[]),
                &request(Action::PutManifest, Some(repository))
            ),
            want
        );
    }
    assert_eq!(
        outcome(&set, &ANONYMOUS, &request(Action::GetBlob, Some("null/x"))),
        "no rule"
    );
}

#[test]
fn tags_decide_for_the_requests_that_carry_one() {
    let no_latest =
        rule("no-latest", &["**"], ActionSet::of(&[Action::GetManifest])).when("request.reference == 'latest'");
    let set = PolicySet::new(vec![
        policy(
            "pull",
            Effect::Allow,
            &[EVERYONE],
            vec![rule("all", &["**"], Role::Pull.actions())],
        ),
        policy("beta", Effect::Deny, &[EVERYONE], vec![no_latest]),
    ]);
    let get = |reference| Request {
        reference: Some(reference),
        ..request(Action::GetManifest, Some("app"))
    };
    assert_eq!(outcome(&set, &ANONYMOUS, &get("beta3")), "allowed by pull/all");
    assert_eq!(outcome(&set, &ANONYMOUS, &get("latest")), "denied by beta/no-latest");
    assert_eq!(
        outcome(&set, &ANONYMOUS, &request(Action::GetBlob, Some("app"))),
        "allowed by pull/all"
    );
}

#[test]
fn a_condition_that_cannot_be_evaluated_never_allows() {
    let broken = "identity.oidc.claims['x'] == 'y'";
    let get = request(Action::GetBlob, Some("a"));
    let with = |policies: Vec<Policy>| outcome(&PolicySet::new(policies), &ANONYMOUS, &get);
    let all = |name: &str| rule(name, &["**"], ActionSet::ALL);
    let allow = |name: &str, rule: Rule| policy(name, Effect::Allow, &[EVERYONE], vec![rule]);
    let deny = |name: &str, rule: Rule| policy(name, Effect::Deny, &[EVERYONE], vec![rule]);

    assert_eq!(
        with(vec![allow("p", all("r").when(broken).message("m"))]),
        "no rule; error in p/r"
    );
    assert_eq!(
        with(vec![deny("p", all("r").when(broken).message("m"))]),
        "denied by p/r: m; error in p/r"
    );
    assert_eq!(
        with(vec![allow("open", all("r")), deny("p", all("r").when(broken))]),
        "denied by p/r; error in p/r"
    );
    assert_eq!(
        with(vec![
            allow("a", all("r").when(broken)),
            allow("b", all("r").when("true"))
        ]),
        "allowed by b/r; error in a/r"
    );
    let decision = PolicySet::new(vec![deny("p", all("r").when(broken))]).decide(&ANONYMOUS, &get);
    assert_eq!(
        decision.errors,
        [EvaluationError {
            policy: "p".to_owned(),
            rule: "r".to_owned(),
            message: "`_._` cannot be applied to (null_type, string): compare with null before using a value that may \
                      be null"
                .to_owned(),
        }]
    );
}

#[test]
fn a_condition_that_turns_out_to_be_no_boolean_never_allows() {
    // The static check lets through what only the values can tell.
    let when = "{'yes': true, 'no': 'no'}[request.method == 'GET' ? 'no' : 'yes'] && true";
    let get = request(Action::GetBlob, Some("a"));
    for (effect, want) in [
        (Effect::Allow, "no rule; error in p/r"),
        (Effect::Deny, "denied by p/r; error in p/r"),
    ] {
        let all = rule("r", &["**"], ActionSet::ALL).when(when);
        let set = PolicySet::new(vec![policy("p", effect, &[EVERYONE], vec![all])]);
        assert_eq!(outcome(&set, &ANONYMOUS, &get), want);
    }
}

#[test]
fn the_refused_are_told_why_always_by_the_same_rule() {
    let all = |name: &str, when: &str| rule(name, &["**"], ActionSet::ALL).when(when);
    let first = || {
        let rules = vec![
            all("2", "false").message("second"),
            all("1", "false"),
            all("3", "false").message("third"),
        ];
        policy("a", Effect::Allow, &[EVERYONE], rules)
    };
    let second = || {
        policy(
            "b",
            Effect::Allow,
            &[EVERYONE],
            vec![all("0", "false").message("other policy")],
        )
    };
    let get = request(Action::GetBlob, Some("a"));
    for policies in [vec![first(), second()], vec![second(), first()]] {
        assert_eq!(outcome(&PolicySet::new(policies), &ANONYMOUS, &get), "no rule: second");
    }
    let elsewhere = vec![
        rule("r", &["b"], ActionSet::ALL)
            .when("false")
            .message("not about this repository"),
        rule("s", &["**"], ActionSet::of(&[Action::GetManifest]))
            .when("false")
            .message("not about this action"),
    ];
    let elsewhere = policy("0", Effect::Allow, &[EVERYONE], elsewhere);
    assert_eq!(
        outcome(&PolicySet::new(vec![elsewhere, second()]), &ANONYMOUS, &get),
        "no rule: other policy"
    );
    let deny = policy("z", Effect::Deny, &[EVERYONE], vec![all("r", "true")]);
    assert_eq!(
        outcome(&PolicySet::new(vec![first(), deny]), &ANONYMOUS, &get),
        "denied by z/r"
    );
    let quiet = policy(
        "z",
        Effect::Deny,
        &[EVERYONE],
        vec![all("r", "false").message("does not deny")],
    );
    assert_eq!(outcome(&PolicySet::new(vec![quiet]), &ANONYMOUS, &get), "no rule");
}

#[test]
fn the_catalog_is_open_to_the_signed_in_unless_a_deny_on_everything_names_it() {
    let list = ActionSet::of(&[Action::ListCatalog]);
    let but_list: ActionSet = Action::ALL
        .into_iter()
        .filter(|action| *action != Action::ListCatalog)
        .collect();
    let one = |effect, subject: Subject, repositories: &[&str], actions| {
        PolicySet::new(vec![policy(
            "p",
            effect,
            &[subject],
            vec![rule("r", repositories, actions)],
        )])
    };
    for (set, signed_in, anonymous) in [
        (
            one(Effect::Deny, EVERYONE, &["**"], list),
            "denied by p/r",
            "denied by p/r",
        ),
        (
            one(Effect::Deny, EVERYONE, &["a", "**"], ActionSet::ALL),
            "denied by p/r",
            "denied by p/r",
        ),
        (
            one(Effect::Deny, EVERYONE, &["**"], but_list),
            "allowed as signed in",
            "no rule",
        ),
        (
            one(Effect::Deny, EVERYONE, &["a/**", "*", "*/**"], ActionSet::ALL),
            "allowed as signed in",
            "no rule",
        ),
        (
            one(Effect::Deny, identity("b"), &["**"], list),
            "allowed as signed in",
            "no rule",
        ),
        (
            one(Effect::Allow, EVERYONE, &["**"], list),
            "allowed by p/r",
            "allowed by p/r",
        ),
        (
            one(Effect::Allow, EVERYONE, &["a/**"], list),
            "allowed as signed in",
            "no rule",
        ),
        (
            one(Effect::Allow, EVERYONE, &["**"], Role::Maintain.actions()),
            "allowed as signed in",
            "no rule",
        ),
        (
            one(Effect::Allow, EVERYONE, &["**"], Role::Admin.actions()),
            "allowed by p/r",
            "allowed by p/r",
        ),
    ] {
        for (caller, want) in [(home("a", &[]), signed_in), (ANONYMOUS, anonymous)] {
            // A catalog request has no repository; if it is given one all the same, that changes nothing.
            for repository in [None, Some("a/b")] {
                assert_eq!(outcome(&set, &caller, &request(Action::ListCatalog, repository)), want);
            }
            assert_eq!(
                set.may_allow(&caller, Action::ListCatalog, ""),
                want.starts_with("allowed")
            );
        }
    }
}

#[test]
fn an_action_on_a_repository_that_is_not_given_is_refused() {
    let all = rule("r", &["**"], ActionSet::ALL);
    let set = PolicySet::new(vec![policy("p", Effect::Allow, &[EVERYONE], vec![all])]);
    assert_eq!(
        outcome(&set, &home("a", &[]), &request(Action::GetBlob, None)),
        "no rule"
    );
}

#[test]
fn a_token_is_granted_unless_policy_certainly_refuses() {
    let conditional = |rule: Rule, when: Option<&str>| match when {
        Some(when) => rule.when(when),
        None => rule,
    };
    let allow = |when| {
        let pull = conditional(rule("r", &["a/**"], Role::Pull.actions()), when);
        policy("allow", Effect::Allow, &[EVERYONE], vec![pull])
    };
    let deny = |when| {
        let all = conditional(rule("r", &["**"], ActionSet::ALL), when);
        policy("deny", Effect::Deny, &[identity("ci")], vec![all])
    };
    for (policies, want) in [
        (vec![allow(None)], true),
        (vec![allow(Some("false"))], true),
        (vec![allow(None), deny(Some("true"))], true),
        (vec![allow(Some("true")), deny(None)], false),
        (vec![deny(Some("false"))], false),
    ] {
        let set = PolicySet::new(policies);
        assert_eq!(set.may_allow(&home("ci", &[]), Action::GetBlob, "a/b"), want);
        assert!(!set.may_allow(&home("ci", &[]), Action::PutManifest, "a/b"));
        assert!(!set.may_allow(&home("ci", &[]), Action::GetBlob, "b/b"));
    }
}

#[test]
fn policies_for_other_repositories_and_subjects_cost_nothing() {
    let count = 10_000;
    let when = Expression::parse("request.n == 1").unwrap();
    let others = (0..count).flat_map(|number| {
        let text = |text: &str| text.replace('#', &number.to_string());
        let rules = |repositories: &[&str]| {
            vec![Rule {
                when: Some(when.clone()),
                ..rule("r", repositories, ActionSet::ALL)
            }]
        };
        [
            policy(
                &text("repository-#"),
                Effect::Deny,
                &[EVERYONE],
                rules(&[&text("team-#/**"), &text("x/#")]),
            ),
            policy(
                &text("wildcard-#"),
                Effect::Deny,
                &[EVERYONE],
                rules(&[&text("pre-#-*/**"), &text("*-post-#")]),
            ),
            policy(
                &text("identity-#"),
                Effect::Deny,
                &[identity(&text("user-#"))],
                rules(&["**"]),
            ),
            policy(
                &text("group-#"),
                Effect::Deny,
                &[group(&text("group-#"))],
                rules(&["team/*"]),
            ),
        ]
    });
    let ours = policy(
        "ours",
        Effect::Allow,
        &[identity("ci")],
        vec![rule("r", &["team/**"], ActionSet::ALL)],
    );
    let alone = PolicySet::new(vec![ours.clone()]);
    let crowded = PolicySet::new(others.chain([ours]).collect());
    let groups: Vec<String> = (0..10).map(|number| format!("some-group-{number}")).collect();
    let caller = home("ci", &groups);
    let get = request(Action::GetBlob, Some("team/app"));
    let fastest = |set: &PolicySet| {
        let once = || {
            let started = Instant::now();
            for _ in 0..200 {
                assert!(set.decide(&caller, &get).is_allowed());
            }
            started.elapsed()
        };
        (0..20).map(|_| once()).min().unwrap_or(Duration::MAX)
    };
    let (alone, crowded) = (fastest(&alone), fastest(&crowded));
    // A scan of the others would take thousands of times as long.
    assert!(
        crowded < alone * 20,
        "{alone:?} alone, {crowded:?} with {} others",
        count * 4
    );
}
