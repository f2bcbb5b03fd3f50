//! Clients that come over IPv6, and over IPv4 to a socket of IPv6: which networks they are in, and what policies see.

use serde_json::{Value, json};
use wharfinger_registry::server::Limits;

use crate::exchange::plain;
use crate::fixture::{Call, PASSWORD, Registry, content};
use crate::wire::Server;

/// Where a registry listens, and the address that its client then comes from, as policies see it.
const LISTENERS: [(&str, &str); 3] = [
    ("127.0.0.1:0", "127.0.0.1"),
    ("[::1]:0", "::1"),
    // An IPv4 address within IPv6 (RFC 4291, section 2.5.5.2) is that IPv4 address.
    ("[::ffff:127.0.0.1]:0", "127.0.0.1"),
];

async fn listening(address: &str, content: Value) -> Server {
    Server::start_on(address, Registry::with(content).into(), None, Limits::default()).await
}

/// Whether `admin` is let in from the one address that a client has there.
async fn is_let_in(listener: &str, ranges: &[&str]) -> bool {
    let mut content = content();
    content["allowedSourceRanges"] = json!(ranges);
    let server = listening(listener, content).await;
    let answer = plain(server.address, Call::get("/v2/").basic("admin", PASSWORD)).await;
    if answer.status == 403 {
        assert_eq!(answer.code(), "DENIED", "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), None, "{answer:?}");
    } else {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    answer.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_of_both_kinds_of_addresses_hold_whichever_socket_a_client_came_to() {
    for (listener, address) in LISTENERS {
        for (ranges, allowed) in [
            (&["127.0.0.0/8"][..], &["127.0.0.1"][..]),
            (&["::1/128"], &["::1"]),
            (&["::/0"], &["::1"]),
            (&["0.0.0.0/0"], &["127.0.0.1"]),
            (&["::1/128", "127.0.0.1/32"], &["::1", "127.0.0.1"]),
            (&["::2/128", "127.0.0.2/32"], &[]),
            (&["fe80::/10", "10.0.0.0/8"], &[]),
        ] {
            let is_in = is_let_in(listener, ranges).await;
            assert_eq!(is_in, allowed.contains(&address), "{listener} {ranges:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_see_one_address_whichever_socket_a_client_came_to() {
    let policy = |name: &str, when: &str| {
        json!({
            "name": name, "effect": "Allow", "subjects": [{ "any": "Everyone" }],
            "rules": [{ "name": "all", "repositories": [format!("{name}/**")], "role": "pull", "when": when }],
        })
    };
    for (listener, address) in LISTENERS {
        let mut content = content();
        content["policies"].as_array_mut().unwrap().extend([
            policy("four", "identity.client_ip == '127.0.0.1'"),
            policy("six", "identity.client_ip == '::1'"),
            policy("net-four", "cidr('127.0.0.0/8').containsIP(identity.client_ip)"),
            policy("net-six", "cidr('::1/128').containsIP(identity.client_ip)"),
            policy("mapped", "identity.client_ip.startsWith('::ffff:')"),
        ]);
        let server = listening(listener, content).await;
        for (repository, seen) in [
            ("four", "127.0.0.1"),
            ("net-four", "127.0.0.1"),
            ("six", "::1"),
            ("net-six", "::1"),
            ("mapped", "::ffff:127.0.0.1"),
        ] {
            let tags = Call::get(&format!("/v2/{repository}/app/tags/list"));
            let answer = plain(server.address, tags).await;
            let want = if seen == address { 404 } else { 401 };
            assert_eq!(answer.status, want, "{repository} at {listener}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_trusted_by_its_address_whichever_socket_it_came_to() {
    for (listener, address) in LISTENERS {
        for (trusted, proxy) in [("127.0.0.0/8", "127.0.0.1"), ("::1/128", "::1")] {
            let mut content = content();
            content["trustedProxies"] = json!([trusted]);
            content["allowedSourceRanges"] = json!(["203.0.113.0/24", "2001:db8::/32"]);
            let server = listening(listener, content).await;
            for (forwarded, is_allowed) in [
                ("203.0.113.9", true),
                ("::ffff:203.0.113.9", true),
                ("[::ffff:203.0.113.9]:4711", true),
                ("2001:db8::9", true),
                ("2001:db9::9", false),
                ("::ffff:198.51.100.1", false),
            ] {
                let call = Call::get("/v2/").basic("admin", PASSWORD);
                let answer = plain(server.address, call.header("x-forwarded-for", forwarded)).await;
                let want = if proxy == address && is_allowed { 200 } else { 403 };
                assert_eq!(
                    answer.status, want,
                    "{forwarded} by {trusted} at {listener}: {answer:?}"
                );
            }
        }
    }
}
