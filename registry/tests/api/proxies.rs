//! Proxies in front of the registry: whose word counts, and for what; and how much one client may do at once.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use tokio::task::spawn_blocking;
use wharfinger_registry::server::Limits;

use crate::fixture::{Call, PASSWORD, READINGS, Registry, content};
use crate::wire::{Connection, Server, basic};

/// A registry that lets anybody pull from `inside/**` who comes from 203.0.113.0/24.
fn registry(trusted: &[&str]) -> Registry {
    let mut content = content();
    content["trustedProxies"] = json!(trusted);
    content["policies"].as_array_mut().unwrap().push(json!({
        "name": "inside", "effect": "Allow", "subjects": [{ "any": "Everyone" }],
        "rules": [{ "name": "all", "repositories": ["inside/**"], "role": "pull", "when": "identity.client_ip.startsWith('203.0.113.')" }],
    }));
    Registry::with(content)
}

#[tokio::test]
async fn policies_see_the_client_behind_a_trusted_proxy_and_no_other_claim() {
    let ask = |forwarded: &'static str| Call::get("/v2/inside/app/tags/list").header("x-forwarded-for", forwarded);
    // The fixture's requests come from 192.0.2.7.
    let behind = registry(&["192.0.2.0/24"]);
    for (forwarded, status) in [
        ("203.0.113.9", 404),
        ("203.0.113.9, 198.51.100.1", 401),
        ("198.51.100.1, 203.0.113.9", 404),
        ("203.0.113.9, 192.0.2.8", 404),
        ("203.0.113.9, unknown", 401),
    ] {
        assert_eq!(behind.send(ask(forwarded)).await.status.as_u16(), status, "{forwarded}");
    }
    let direct = registry(&["198.51.100.0/24"]);
    assert_eq!(direct.send(ask("203.0.113.9")).await.status, StatusCode::UNAUTHORIZED);
    let nobody = registry(&[]);
    assert_eq!(nobody.send(ask("203.0.113.9")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_realm_follows_a_trusted_proxy_and_locations_stay_relative() {
    let proxied = |call: Call| {
        call.header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "r.example")
            .header("x-forwarded-port", "44301")
    };
    for (trusted, realm) in [
        (&["192.0.2.0/24"][..], "https://r.example:44301/token"),
        (&["10.0.0.0/8"], "http://registry.test:5000/token"),
    ] {
        let registry = registry(trusted);
        let answer = registry.send(proxied(Call::get("/v2/"))).await;
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains(&format!("realm=\"{realm}\"")), "{challenge}");
        let start = Call::new(http::Method::POST, "/v2/team/app/blobs/uploads/").basic("pusher", PASSWORD);
        let answer = registry.send(proxied(start)).await;
        assert!(
            answer
                .header("location")
                .unwrap()
                .starts_with("/v2/team/app/blobs/uploads/"),
            "{answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_a_trusted_proxy_any_number() {
    let limits = Limits {
        connections_per_address: 3,
        ..Limits::default()
    };
    let server = Server::start_with(registry(&[]), None, limits).await;
    let address = server.address;
    spawn_blocking(move || {
        let mut open: Vec<_> = (0..3).map(|_| Connection::open(address)).collect();
        for connection in &mut open {
            assert_eq!(connection.ask("GET /v2/", "").status, 401);
        }
        assert!(is_closed(address), "the fourth is closed");
        assert_eq!(open[0].ask("GET /v2/", "").status, 401, "the others go on");
        open.pop();
        wait(|| !is_closed(address));
    })
    .await
    .unwrap();
    assert!(server.registry.metrics.text().contains("connections_refused_total"));

    let server = Server::start_with(registry(&["127.0.0.0/8"]), None, limits).await;
    let address = server.address;
    spawn_blocking(move || {
        let mut open: Vec<_> = (0..10).map(|_| Connection::open(address)).collect();
        for connection in &mut open {
            assert_eq!(connection.ask("GET /v2/", "").status, 401);
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_limit_of_all_connections_clients_wait() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = Server::start_with(registry(&[]), None, limits).await;
    let address = server.address;
    spawn_blocking(move || {
        let mut open: Vec<_> = (0..2).map(|_| Connection::open(address)).collect();
        for connection in &mut open {
            assert_eq!(connection.ask("GET /v2/", "").status, 401);
        }
        let mut waiting = Connection::open(address);
        waiting.write("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n");
        waiting
            .stream
            .get_ref()
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        assert!(
            std::io::BufRead::fill_buf(&mut waiting.stream).is_err(),
            "no answer yet"
        );
        waiting
            .stream
            .get_ref()
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        open.pop();
        assert_eq!(waiting.read().unwrap().status, 401);
    })
    .await
    .unwrap();
}

fn is_closed(address: std::net::SocketAddr) -> bool {
    let mut connection = Connection::open(address);
    // It may be reset before it is written to.
    let _ = std::io::Write::write_all(connection.stream.get_mut(), b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n");
    !matches!(std::io::BufRead::fill_buf(&mut connection.stream), Ok([_, ..]))
}

fn wait(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_reads_so_many_things_at_once_and_is_never_held_back_otherwise() {
    let registry = registry(&[]);
    let large = vec![0_u8; 32 * 1024 * 1024];
    let digest = crate::fixture::digest(&large);
    let push = Call::new(
        http::Method::POST,
        &format!("/v2/team/app/blobs/uploads/?digest={digest}"),
    );
    assert_eq!(
        registry.send(push.basic("admin", PASSWORD).body(large)).await.status,
        StatusCode::CREATED
    );
    let server = Server::start_with(registry, None, Limits::default()).await;
    let address = server.address;
    spawn_blocking(move || {
        let (puller, pusher) = (basic("puller", PASSWORD), basic("pusher", PASSWORD));
        let blob = format!("GET /v2/team/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{puller}\r\n");
        let mut held: Vec<_> = (0..READINGS)
            .map(|_| {
                let mut connection = Connection::open(address);
                connection.write(&blob);
                // The answer has begun, and the rest of it does not fit what the system keeps for its reader.
                assert!(!std::io::BufRead::fill_buf(&mut connection.stream).unwrap().is_empty());
                connection
            })
            .collect();
        let mut other = Connection::open(address);
        let refused = other.ask("GET /v2/team/app/tags/list", &puller);
        assert_eq!(
            (refused.status.as_u16(), refused.header("retry-after")),
            (429, Some("1")),
            "{refused:?}"
        );
        assert!(refused.text().contains("TOOMANYREQUESTS"), "{refused:?}");
        for (line, user, status) in [
            ("GET /v2/", &puller, 200),
            ("GET /token", &puller, 200),
            ("POST /v2/team/app/blobs/uploads/", &pusher, 202),
            ("POST /v2/team/app/blobs/uploads/", &puller, 403),
            ("GET /v2/team/app/manifests/none", &pusher, 404),
        ] {
            assert_eq!(other.ask(line, user).status, status, "{line}");
        }
        held.pop();
        wait(|| {
            Connection::open(address)
                .ask("GET /v2/team/app/manifests/none", &puller)
                .status
                == 404
        });
    })
    .await
    .unwrap();
}
