//! What `docker_auth` tests its conditions with, in the words that the page about it translates them to. Its errors in
//! patterns are those that `kubectl wharfinger lint` finds.

use serde_json::json;

use super::*;

/// Who asks, from where, for which repository.
#[derive(Debug, Clone, Copy)]
struct Asking {
    username: &'static str,
    attributes: &'static str,
    address: Option<&'static str>,
    repository: &'static str,
}

const FOO: Asking = Asking {
    username: "foo",
    attributes: "{}",
    address: None,
    repository: "baz",
};

const fn named(username: &'static str, repository: &'static str) -> Asking {
    Asking {
        username,
        repository,
        ..FOO
    }
}

const fn from(address: Option<&'static str>) -> Asking {
    Asking { address, ..FOO }
}

const fn labelled(attributes: &'static str, repository: &'static str) -> Asking {
    Asking {
        attributes,
        repository,
        ..FOO
    }
}

/// Whether an Allow for `subject` on `repositories`, under a condition where there is one, allows a push.
fn allows(subject: &Value, repositories: &str, when: &str, asking: &Asking) -> bool {
    let mut rule = json!({ "name": "rule", "repositories": [repositories], "role": "push" });
    if !when.is_empty() {
        rule["when"] = json!(when);
    }
    let policy = json!({
        "apiVersion": "wharfinger.dev/v1alpha1",
        "kind": "AccessPolicy",
        "metadata": { "name": "policy" },
        "spec": { "targetRefs": [{ "name": "main" }], "effect": "Allow", "subjects": [subject], "rules": [rule] },
    });
    let policy = policy_entry(&AccessPolicy::deserialize(policy).unwrap()).compile();
    let policies = PolicySet::new(vec![policy.unwrap()]);
    let attributes: Attributes = serde_saphyr::from_str(asking.attributes).unwrap();
    let caller = Caller {
        identity: Some(Identity {
            id: asking.username,
            username: asking.username,
            groups: &[],
            attributes: Some(&attributes),
            home: true,
        }),
        client_ip: asking.address.map(|address| address.parse().unwrap()),
        ..Caller::default()
    };
    let request = Request {
        repository: Some(asking.repository),
        ..Request::bare(Action::StartUpload, "POST")
    };
    let decision = policies.decide(&caller, &request);
    assert!(decision.errors.is_empty(), "{when}: {:?}", decision.errors);
    decision.is_allowed()
}

#[test]
fn accounts_and_names_match_as_in_docker_auth() {
    let (everyone, foo) = (json!({ "any": "Everyone" }), json!({ "identity": "foo" }));
    let glob = "identity.username != null && identity.username.glob('fo?')";
    let ending = format!("{glob} && request.repository.matches('z$')");
    let beginning = format!("{glob} && request.repository.matches('^z')");
    let own = "identity.username != null && request.repository == identity.username";
    let below = "identity.username != null && request.repository.startsWith(identity.username + '/')";
    let quoted = "identity.username != null && request.repository.contains(identity.username + '_')";
    let home = "has(identity.attributes.home) && identity.attributes['home'].exists(h, request.repository.startsWith(h + '/'))";
    for (subject, repositories, when, asking, want) in [
        (&everyone, "**", "", FOO, true),
        (&foo, "**", "", FOO, true),
        (&foo, "**", "", named("foo2", "baz"), false),
        (&everyone, "**", ending.as_str(), FOO, true),
        (&everyone, "**", beginning.as_str(), FOO, false),
        (&everyone, "**", own, named("foo", "foo"), true),
        (&everyone, "**", own, named("foo", "foo2"), false),
        // No username is a pattern.
        (&everyone, "**", quoted, named("foo", "foo_x"), true),
        (&everyone, "**", quoted, named(".*", "foo_x"), false),
        (&everyone, "*/*", below, named("a.b", "a.b/x"), true),
        (&everyone, "*/*", below, named("a.b", "axb/x"), false),
        (&everyone, "*/*", below, named("foo", "foo/x/y"), false),
        (&everyone, "*/*", below, named("foo", "foobar/x"), false),
        // What a part of the username was is an attribute.
        (
            &everyone,
            "*/*",
            home,
            Asking {
                attributes: "{home: [john.smith]}",
                ..named("john.smith@test.com", "john.smith/test")
            },
            true,
        ),
        (
            &everyone,
            "*/*",
            home,
            Asking {
                attributes: "{home: [john.smith-it]}",
                ..named("john.smith@it.test.com", "john.smith-it/test")
            },
            true,
        ),
        (
            &everyone,
            "*/*",
            home,
            named("john.smith@test.com", "john.smith/test"),
            false,
        ),
    ] {
        assert_eq!(
            allows(subject, repositories, when, &asking),
            want,
            "{subject} {repositories} {when} {asking:?}"
        );
    }
}

#[test]
fn addresses_match_as_in_docker_auth() {
    for (network, address, want) in [
        ("127.0.0.1/32", None, false),
        ("127.0.0.1/32", Some("127.0.0.1"), true),
        ("127.0.0.1/32", Some("127.0.0.2"), false),
        ("127.0.0.2/32", Some("127.0.0.1"), false),
        ("127.0.0.0/8", Some("127.0.0.1"), true),
        ("127.0.0.0/8", Some("127.0.0.2"), true),
        ("2001:db8::1/128", None, false),
        ("2001:db8::1/128", Some("2001:db8::1"), true),
        ("2001:db8::1/128", Some("2001:db8::2"), false),
        ("2001:db8::2/128", Some("2001:db8::1"), false),
        ("2001:db8::/48", Some("2001:db8::1"), true),
        ("2001:db8::/48", Some("2001:db8::2"), true),
    ] {
        let when = format!("identity.client_ip != null && cidr('{network}').containsIP(identity.client_ip)");
        let everyone = json!({ "any": "Everyone" });
        assert_eq!(
            allows(&everyone, "**", &when, &from(address)),
            want,
            "{network} {address:?}"
        );
    }
}

/// Labels of most of its cases.
const GROUPS: &str = "{group: [admins, VIP]}";
const PROJECTS: &str = "{group: [admins, VIP], project: [api, frontend]}";

#[test]
fn labels_match_as_in_docker_auth() {
    let has = |label: &str, value: &str| {
        format!("has(identity.attributes.{label}) && '{value}' in identity.attributes['{label}']")
    };
    let some = |label: &str, test: &str| {
        format!("has(identity.attributes.{label}) && identity.attributes['{label}'].exists(l, {test})")
    };
    let prefix = |label: &str| some(label, "request.repository.startsWith(l + '/')");
    let both = |second: &str| {
        let first = prefix("group");
        format!("{first} && {}", some(second, "request.repository.endsWith('/' + l)"))
    };
    for (when, asking, want) in [
        (has("foo", "bar"), FOO, false),
        (has("foo", "bar"), labelled(GROUPS, "baz"), false),
        (has("group", "admins"), labelled(GROUPS, "baz"), true),
        (has("group", "VIP"), labelled(GROUPS, "baz"), true),
        (
            format!("{} && {}", has("foo", "bar"), has("group", "admins")),
            labelled(GROUPS, "baz"),
            false,
        ),
        (some("group", "l.glob('a*')"), labelled(GROUPS, "baz"), true),
        (
            some("group", "l.matches('(admins|VIP)')"),
            labelled(GROUPS, "baz"),
            true,
        ),
        (prefix("group"), FOO, false),
        (prefix("noexist"), labelled(GROUPS, "admins/foo"), false),
        (prefix("group"), labelled(GROUPS, "admins/foo"), true),
        (prefix("group"), labelled(GROUPS, "devs/foo"), false),
        (both("project"), labelled(PROJECTS, "VIP/api"), true),
        (both("noexist"), labelled(PROJECTS, "VIP/api"), false),
        (both("project"), labelled(PROJECTS, "devs/api"), false),
        (both("project"), labelled(PROJECTS, "VIP/web"), false),
        (both("project"), labelled(PROJECTS, "VIP/x/api"), false),
        (both("project"), labelled(PROJECTS, "VIP/apis"), false),
    ] {
        let everyone = json!({ "any": "Everyone" });
        let repositories = if when.contains("request") { "*/*" } else { "**" };
        assert_eq!(
            allows(&everyone, repositories, &when, &asking),
            want,
            "{when} {asking:?}"
        );
    }
}
