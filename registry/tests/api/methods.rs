//! Methods that a path does not have.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use wharfinger_registry::server::Limits;

use crate::exchange::plain;
use crate::fixture::{Call, PASSWORD};
use crate::routes::{methods, routes, rows};
use crate::ways::{Document, World};
use crate::wire::Server;

/// The methods of each path that is served.
fn paths(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in routes(world).iter().flat_map(|route| rows(route, world)) {
        let path = row.uri.split('?').next().unwrap().to_owned();
        let names = methods(&row).into_iter().map(|method| method.to_string());
        paths.entry(path).or_default().extend(names);
    }
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_a_route_does_not_have_is_answered_with_those_it_has() {
    let world = World::of("admin", Document::Bearer).await;
    let paths = paths(&world);
    let before = world.registry.files();
    let server = Server::start_with(world.registry.clone(), None, Limits::default()).await;
    let mut refused = 0;
    for (path, allowed) in &paths {
        for name in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MOVE", "get",
        ] {
            if allowed.contains(name) {
                continue;
            }
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            let call = || Call::new(method.clone(), path);
            // Whoever asks: what there is to ask for is no secret.
            for call in [call(), call().basic("admin", PASSWORD), call().bearer("a.b.c")] {
                let answer = plain(server.address, call).await;
                let shown = format!("{name} {path}: {answer:?}");
                assert_eq!(answer.status, 405, "{shown}");
                assert_eq!(answer.header("www-authenticate"), None, "{shown}");
                let found = answer.header("allow").unwrap().split(", ");
                let found: BTreeSet<String> = found.map(str::to_owned).collect();
                assert_eq!(&found, allowed, "{shown}");
                assert!(name == "HEAD" || answer.code() == "UNSUPPORTED", "{shown}");
                refused += 1;
            }
        }
    }
    assert_eq!(world.registry.files(), before);
    assert!(refused > 200, "{refused}");
}
