//! What conditions give, over the whole vocabulary.

use std::net::IpAddr;

use jiff::Timestamp;

use super::parse;
use crate::facts::Facts;
use crate::vocabulary::{Presence, ROOTS, Style, ValueType, functions, variables};
use crate::{Action, Attributes, Caller, Certificate, Identity, MAX_LIST_LENGTH, Oidc, Request, ServiceAccount};

const BARE: Request<'static> = Request::bare(Action::GetManifest, "GET");

const ANONYMOUS: Caller<'static> = Caller {
    identity: None,
    client_ip: None,
    certificate: None,
    oidc: None,
    service_account: None,
    at: Timestamp::UNIX_EPOCH,
};

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// What an expression gives: `true`, `false`, or why it gives nothing.
fn evaluate(source: &str, caller: &Caller<'_>, request: &Request<'_>) -> String {
    match parse(source).evaluate(&Facts::new(caller, request)) {
        Ok(holds) => holds.to_string(),
        Err(message) => message,
    }
}

fn check(caller: &Caller<'_>, request: &Request<'_>, table: &[(&str, &str)]) {
    for (source, want) in table {
        assert_eq!(evaluate(source, caller, request), *want, "{source}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of all facts")]
fn every_fact_reads_as_documented() {
    let (groups, tags) = (texts(&["team-a", "ci"]), texts(&["v1", "stable"]));
    let attributes = Attributes::from([("cost-center".to_owned(), texts(&["a1", "b2"]))]);
    let certificate = Certificate {
        common_names: texts(&["builder"]),
        organizations: texts(&["Example"]),
        dns_names: texts(&["ci.clients.example.com"]),
        uris: texts(&["spiffe://example/ci"]),
    };
    let oidc = Oidc {
        provider_name: "github".to_owned(),
        issuer: "https://token.example".to_owned(),
        subject: "repo:a/b".to_owned(),
        claims: serde_json::from_str(
            r#"{"repository": "a/b", "run": 7, "big": 18446744073709551615, "half": 0.5, "ok": true, "none": null,
                "groups": ["x", "y"], "nested": {"deep": {"er": "z"}}}"#,
        )
        .unwrap(),
    };
    let account = ServiceAccount {
        namespace: "ci".to_owned(),
        name: "builder".to_owned(),
        pod: Some("builder-7".to_owned()),
        node: None,
    };
    let identity = Identity {
        id: "0f8c",
        username: "tenant.ci",
        groups: &groups,
        attributes: Some(&attributes),
        home: false,
    };
    let client_ip: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    let caller = Caller {
        identity: Some(identity),
        client_ip: Some(client_ip),
        certificate: Some(&certificate),
        oidc: Some(&oidc),
        service_account: Some(&account),
        ..Caller::default()
    };
    let request = Request {
        action: Action::PutManifest,
        method: "PUT",
        repository: Some("team-a/web"),
        reference: Some("v1"),
        digest: Some("sha256:00"),
        tags: &tags,
        session_id: Some("5b1c"),
        from: Some("team-b/base"),
        n: Some(50),
        last: Some("v0"),
        artifact_type: Some("application/spdx+json"),
        digest_algorithm: Some("sha512"),
    };
    check(
        &caller,
        &request,
        &[
            ("identity.id == '0f8c'", "true"),
            ("identity.username == 'tenant.ci'", "true"),
            ("identity.groups == ['team-a', 'ci']", "true"),
            ("['team-a', 'ci'] == identity.groups", "true"),
            ("identity.groups[1] == 'ci'", "true"),
            ("size(identity.groups) == 2 && identity.groups.size() == 2", "true"),
            ("'ci' in identity.groups && !('c' in identity.groups)", "true"),
            (
                "identity.groups.contains('ci') && !identity.groups.contains('c')",
                "true",
            ),
            (
                "identity.groups.exists(g, request.repository.startsWith(g + '/'))",
                "true",
            ),
            (
                "identity.groups + request.tags == ['team-a', 'ci', 'v1', 'stable']",
                "true",
            ),
            ("identity.client_ip == '192.0.2.7'", "true"),
            ("identity.attributes['cost-center'] == ['a1', 'b2']", "true"),
            (
                "'b2' in identity.attributes['cost-center'] && !('team' in identity.attributes)",
                "true",
            ),
            ("identity.certificate.common_names == ['builder']", "true"),
            ("'Example' in identity.certificate.organizations", "true"),
            (
                "identity.certificate.dns_names.exists(n, n.glob('*.clients.example.com'))",
                "true",
            ),
            ("identity.certificate.uris[0].startsWith('spiffe://example/')", "true"),
            (
                "identity.oidc != null && identity.oidc.provider_name == 'github'",
                "true",
            ),
            (
                "identity.oidc.claims['repository'] == 'a/b' && identity.oidc.claims.repository == 'a/b'",
                "true",
            ),
            (
                "identity.oidc.claims['run'] == 7 && identity.oidc.claims['half'] == 0.5",
                "true",
            ),
            ("identity.oidc.claims['big'] == 18446744073709551615u", "true"),
            (
                "identity.oidc.claims['ok'] == true && identity.oidc.claims['none'] == null",
                "true",
            ),
            ("'y' in identity.oidc.claims['groups']", "true"),
            ("identity.oidc.claims['nested']['deep']['er'] == 'z'", "true"),
            (
                "has(identity.oidc.claims.run) && !has(identity.oidc.claims.email)",
                "true",
            ),
            (
                "identity.service_account.namespace == 'ci' && identity.service_account.name == 'builder'",
                "true",
            ),
            (
                "identity.service_account.pod == 'builder-7' && identity.service_account.node == null",
                "true",
            ),
            ("request.action == 'put-manifest'", "true"),
            ("request.method == 'PUT'", "true"),
            (
                "request.repository == 'team-a/web' && request.namespace == request.repository",
                "true",
            ),
            ("request.reference == 'v1'", "true"),
            ("request.digest == 'sha256:00'", "true"),
            ("request.tags == ['v1', 'stable']", "true"),
            ("request.session_id == '5b1c'", "true"),
            ("request.from == 'team-b/base'", "true"),
            (
                "request.n == 50 && request.n <= 100 && int(request.n) + 1 == 51",
                "true",
            ),
            ("request.last == 'v0'", "true"),
            ("request.artifact_type == 'application/spdx+json'", "true"),
            ("request.digest_algorithm == 'sha512'", "true"),
        ],
    );
}

#[test]
fn absent_identity_facts_are_null_and_absent_request_facts_are_missing() {
    for (path, variable) in variables(ROOTS) {
        let Some((parent, _)) = path.rsplit_once('.') else {
            continue;
        };
        if ["identity.oidc", "identity.service_account"].contains(&parent) {
            continue;
        }
        let present = evaluate(&format!("has({path})"), &ANONYMOUS, &BARE);
        let is_null = match variable.value_type {
            ValueType::Object(_) if variable.presence == Presence::Always => "false".to_owned(),
            _ => evaluate(&format!("{path} == null"), &ANONYMOUS, &BARE),
        };
        let want = match variable.presence {
            Presence::Always => ("true".to_owned(), "false".to_owned()),
            Presence::Nullable => ("true".to_owned(), "true".to_owned()),
            Presence::Maybe => {
                let missing = if path == "request.namespace" {
                    "request.namespace"
                } else {
                    path.as_str()
                };
                (
                    "false".to_owned(),
                    format!("`{missing}` is missing: ask `has()` or `in` before reading it"),
                )
            }
        };
        assert_eq!((present, is_null), want, "{path}");
    }
}

#[test]
fn addresses_networks_and_patterns() {
    let from = |address: &str| Caller {
        client_ip: Some(address.parse().unwrap()),
        ..ANONYMOUS
    };
    let within =
        "cidr('10.0.0.0/8').containsIP(identity.client_ip) || cidr('2001:db8::/32').containsIP(identity.client_ip)";
    for (address, want) in [
        ("10.1.2.3", "true"),
        ("::ffff:10.1.2.3", "true"),
        ("11.0.0.1", "false"),
        ("2001:db8::1", "true"),
        ("2001:db9::1", "false"),
    ] {
        assert_eq!(evaluate(within, &from(address), &BARE), want, "{address}");
    }
    // An unknown address is within no network: it is an error, which lets nobody in.
    let unknown = evaluate(within, &ANONYMOUS, &BARE);
    assert!(unknown.contains("compare with null"), "{unknown}");
    let request = Request {
        repository: Some("team-a/web/api"),
        reference: Some("v1.2.3"),
        ..BARE
    };
    check(
        &ANONYMOUS,
        &request,
        &[
            (
                "ip('192.0.2.1') == ip('::ffff:192.0.2.1') && ip('::1').isLoopback()",
                "true",
            ),
            (
                "ip('192.0.2.1').family() == 4 && ip('::').family() == 6 && ip('::').isUnspecified()",
                "true",
            ),
            (
                "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.0.0.0/8').containsIP(ip('10.9.9.9'))",
                "true",
            ),
            ("cidr('10.0.0.0/8').containsCIDR(cidr('0.0.0.0/0'))", "false"),
            (
                "cidr('192.0.2.5/24').prefixLength() == 24 && string(ip(cidr('192.0.2.5/24'))) == '192.0.2.5'",
                "true",
            ),
            (
                "isIP('192.0.2.1') && !isIP('192.0.2.256') && isCIDR('::/0') && !isCIDR('::')",
                "true",
            ),
            ("request.reference.matches('^v[0-9]+([.][0-9]+){2}$')", "true"),
            ("request.reference.matches('^[0-9]')", "false"),
            (
                "request.repository.glob('team-*/**') && !request.repository.glob('team-*')",
                "true",
            ),
            (
                "ip(request.reference).family() == 4",
                "error executing function 'ip': `v1.2.3` is no IP address",
            ),
        ],
    );
}

#[test]
fn what_is_written_out_wrongly_is_found_before_any_request() {
    let many = ["request.method.matches('a')"; 9].join(" || ");
    for (source, column, part) in [
        (
            "cidr('10.0.0.0/33').containsIP('10.0.0.1')",
            6,
            "`10.0.0.0/33` is no network",
        ),
        (
            "cidr('10.0.0.0/8').containsIP('10.0.0')",
            31,
            "`10.0.0` is no IP address",
        ),
        ("request.method.matches('a(')", 24, "unclosed group"),
        (r"request.method.matches('\\pL{500}')", 24, "too large"),
        ("request.method.matches(request.action)", 24, "written out in quotes"),
        (
            "cidr('::ffff:10.0.0.0/104').containsIP('10.0.0.1')",
            6,
            "write it as IPv4",
        ),
        (&many, 1, "9 patterns: at most 8"),
        (
            "request.repository.glob(identity.username + '/*')",
            25,
            "written out in quotes",
        ),
    ] {
        let error = crate::Expression::parse(source).unwrap_err();
        assert!(error.message.contains(part), "{source}: {error}");
        assert_eq!((error.line, error.column), (1, column), "{source}: {error}");
    }
}

#[test]
fn every_function_that_is_offered_exists() {
    let sample = |value_type: &ValueType| match value_type {
        ValueType::Bool => "true",
        ValueType::Int => "1",
        ValueType::Uint => "1u",
        ValueType::Double => "1.0",
        ValueType::String | ValueType::Dyn => "'1'",
        ValueType::Bytes => "b'1'",
        ValueType::Duration => "duration('1s')",
        ValueType::Timestamp => "timestamp(1)",
        ValueType::Ip => "ip('192.0.2.1')",
        ValueType::Cidr => "cidr('192.0.2.0/24')",
        ValueType::List(_) => "['1']",
        ValueType::Map(_) => "{'1': 1}",
        ValueType::Null | ValueType::Object(_) => panic!("no function takes {value_type}"),
    };
    for function in functions() {
        let text = match function.name {
            "ip" | "containsIP" => "'192.0.2.1'",
            "cidr" | "containsCIDR" => "'192.0.2.0/24'",
            _ => "'1'",
        };
        let arguments: Vec<&str> = function
            .parameters
            .iter()
            .map(sample)
            .map(|written| if written == "'1'" { text } else { written })
            .collect();
        let call = match (function.style, arguments.split_first()) {
            (Style::Member, Some((receiver, rest))) => format!("{receiver}.{}({})", function.name, rest.join(", ")),
            _ => format!("{}({})", function.name, arguments.join(", ")),
        };
        let sample_of_result = sample(&function.result);
        let got = evaluate(
            &format!("{call} == {sample_of_result} || {call} != {sample_of_result}"),
            &ANONYMOUS,
            &BARE,
        );
        // `1` is no duration, timestamp, boolean or time zone; that is another matter.
        let exists = got == "true" || got.starts_with("error executing function") || got.contains("parse");
        assert!(exists, "{function}: {got}");
    }
}

#[test]
fn an_anonymous_caller_has_no_groups_attributes_or_certificate() {
    check(
        &ANONYMOUS,
        &BARE,
        &[
            ("identity.username == null", "true"),
            ("identity.username != null", "false"),
            ("size(identity.groups) == 0", "true"),
            ("identity.groups.all(g, false)", "true"),
            (
                "size(identity.attributes) == 0 && !('team' in identity.attributes)",
                "true",
            ),
            ("has(identity.attributes.team)", "false"),
            ("identity.attributes.contains('team')", "false"),
            (
                "identity.attributes['team'].exists(t, t == 'a')",
                "`team` is missing: ask `has()` or `in` before reading it",
            ),
            ("size(identity.certificate.common_names) == 0", "true"),
            ("'Example' in identity.certificate.organizations", "false"),
            (
                "identity.certificate.dns_names.exists(n, n == 'x') || identity.certificate.uris == ['x']",
                "false",
            ),
            ("identity.oidc == null && identity.service_account == null", "true"),
            ("identity.oidc != null && identity.oidc.claims['sub'] == 'x'", "false"),
            ("identity.oidc != null && identity.oidc.provider_name == 'x'", "false"),
            (
                "identity.service_account != null && identity.service_account.namespace == 'x'",
                "false",
            ),
        ],
    );
}

#[test]
fn reading_what_is_not_there_is_an_error_unless_the_rest_decides() {
    check(
        &ANONYMOUS,
        &BARE,
        &[
            (
                "request.reference == 'v1'",
                "`request.reference` is missing: ask `has()` or `in` before reading it",
            ),
            (
                "request.reference != 'v1'",
                "`request.reference` is missing: ask `has()` or `in` before reading it",
            ),
            ("has(request.reference) && request.reference == 'v1'", "false"),
            ("request.reference == 'v1' || true", "true"),
            ("request.reference == 'v1' && false", "false"),
            (
                "request.reference == 'v1' || false",
                "`request.reference` is missing: ask `has()` or `in` before reading it",
            ),
            (
                "identity.username.startsWith('a')",
                "`startsWith` cannot be applied to (null_type, string): compare with null before using a value that \
                 may be null",
            ),
            (
                "identity.oidc.claims['x'] == 'y'",
                "`_._` cannot be applied to (null_type, string): compare with null before using a value that may be \
                 null",
            ),
            (
                "has(identity.oidc.claims.x)",
                "`_._` cannot be applied to (null_type, string): compare with null before using a value that may be null",
            ),
            ("identity.groups[0] == 'a'", "index out of bounds: Int(0)"),
            ("1 / size(request.tags) == 1", "division by zero of Int(1)"),
            (
                "int(request.method) == 1",
                "error executing function 'int': string parse error: invalid digit found in string",
            ),
        ],
    );
}

#[test]
fn negative_conditions_hold_for_an_anonymous_caller() {
    check(&ANONYMOUS, &BARE, &[("identity.username != 'root'", "true")]);
}

#[test]
fn what_a_push_says_can_be_asked_in_every_way() {
    let tags = texts(&["latest"]);
    let identity = Identity {
        id: "ci",
        username: "ci",
        groups: &[],
        home: true,
        ..Identity::default()
    };
    let caller = Caller {
        identity: Some(identity),
        ..Caller::default()
    };
    let request = Request {
        action: Action::PutManifest,
        method: "PUT",
        repository: Some("ci/app"),
        reference: Some("latest"),
        tags: &tags,
        ..BARE
    };
    check(
        &caller,
        &request,
        &[
            ("request.namespace.startsWith(identity.username + '/')", "true"),
            ("has(request.namespace) && request.namespace.endsWith('/app')", "true"),
            ("!has(request.reference) || request.reference != 'latest'", "false"),
            ("request.tags.all(t, t != 'latest')", "false"),
            (
                "size(request.tags) > 0 && request.tags.exists(t, t == 'latest')",
                "true",
            ),
            ("request.tags.exists_one(t, t.contains('late'))", "true"),
            (
                "request.tags.filter(t, t == 'latest').size() == 1 && request.tags.map(t, t + '!')[0] == 'latest!'",
                "true",
            ),
            ("has(request.n) && request.n > 100", "false"),
            ("has(request.from) && request.from.startsWith('shared/')", "false"),
            (
                "has(request.session_id) || has(request.last) || has(request.artifact_type)",
                "false",
            ),
            (
                "has(request.digest) ? request.digest.startsWith('sha256:') : !has(request.digest_algorithm)",
                "true",
            ),
            (
                "duration('90m') > duration('1h') && timestamp('2024-02-29T10:00:00Z').getMonth() == 1",
                "true",
            ),
            (
                "string(1) + string(2u) == '12' && int('3') == 3 && uint(4) == 4u && double('0.5') == 0.5",
                "true",
            ),
            ("bytes('a') == b'a' && bool('true') && size('äb') == 2", "true"),
        ],
    );
}

#[test]
fn a_list_too_long_to_search_is_an_error() {
    let fits = vec!["t".to_owned(); MAX_LIST_LENGTH];
    let too_long = vec!["t".to_owned(); MAX_LIST_LENGTH + 1];
    let source = "'x' in request.tags || size(identity.groups) > 1000";
    check(&ANONYMOUS, &Request { tags: &fits, ..BARE }, &[(source, "false")]);
    let refused = "error executing function 'list': 257 entries are more than the 256 that conditions see";
    check(
        &ANONYMOUS,
        &Request {
            tags: &too_long,
            ..BARE
        },
        &[(source, refused)],
    );
    let identity = Identity {
        id: "",
        username: "a",
        groups: &too_long,
        home: true,
        ..Identity::default()
    };
    check(
        &Caller {
            identity: Some(identity),
            ..Caller::default()
        },
        &BARE,
        &[(source, refused)],
    );
}

#[test]
fn a_long_value_does_not_flood_the_log() {
    let last = "9".repeat(5000);
    let message = evaluate(
        "identity.attributes[request.last] == []",
        &ANONYMOUS,
        &Request {
            last: Some(&last),
            ..BARE
        },
    );
    assert_eq!(message.chars().count(), 301, "{message}");
}
